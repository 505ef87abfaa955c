package daemon

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"tattled/event"
	"tattled/report"
	"tattled/report/abuseipdb/double"
	"tattled/store"
)

// A key that was revoked is a problem at once, with what the API says and what to do; nothing of what waits is lost, and it goes when the
// key holds again.
func TestRevokedKeyIsAProblem(t *testing.T) {
	r := startRuns(t)
	r.double.SetFaults(double.Fault{Mode: double.Revoked})
	r.reload(true)
	r.attack("45.148.10.1")
	r.attack("45.148.10.2")
	problem := func() *event.Problem {
		all := r.d.health().Problems
		if at := slices.IndexFunc(all, func(p event.Problem) bool { return p.What == "abuseipdb accepts nothing" }); at >= 0 {
			return &all[at]
		}
		return nil
	}
	until(t, "problem", func() bool { return problem() != nil })
	if p := problem(); !strings.Contains(p.Cause, "status 401: Authentication failed. Your API key is either missing, incorrect, or revoked.") ||
		!strings.Contains(p.Remedy, "make one at https://www.abuseipdb.com/account/api, write it alone into report.abuseipdb.key_file and reload") || p.Since.IsZero() {
		t.Errorf("%+v", *p)
	}
	until(t, "two reports that wait", func() bool {
		items := r.d.store.Stats().Items["abuseipdb"]
		return items[store.Pending]+items[store.Claimed] == 2
	})
	r.double.SetFaults()
	until(t, "both reports", func() bool { return r.settled(report.Delivered) == 2 })
	until(t, "end of the problem", func() bool { return problem() == nil })
}

// What the quota does not carry goes by a bulk file, as each report would have gone.
func TestReportsGoByBulkFile(t *testing.T) {
	r := startRuns(t)
	now := time.Now().UTC()
	r.double.Step(time.Date(now.Year(), now.Month(), now.Day(), 12, 0, 0, 0, time.UTC).Sub(now)) // away from the reset of the quota
	r.double.SetFaults(double.Fault{Mode: double.Exhausted, Endpoint: "report"})
	r.reload(true)
	const attackers = 1_100
	for n := range attackers {
		r.attack(netip.AddrFrom4([4]byte{45, 148, byte(n >> 8), byte(n)}).String())
	}
	until(t, "bulk file", func() bool {
		return len(r.double.Reports()) >= 1_000 && r.settled(report.Delivered) == uint64(len(r.double.Reports()))
	})
	bulk := r.double.Reports()
	if n := len(bulk); len(r.double.Files()) != 1 || !strings.HasPrefix(bulk[0].Comment, "sshd: 5 failed logins") || fmt.Sprint(bulk[0].Categories) != "[18 22]" {
		t.Errorf("%d arrived: %+v", n, bulk[0])
	}
	r.double.SetFaults()
	if items := r.d.store.Stats().Items["abuseipdb"]; items[store.Pending]+items[store.Claimed]+items[store.Delivered] != attackers {
		t.Errorf("%v", items)
	}
}
