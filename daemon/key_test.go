package daemon

import (
	"slices"
	"strings"
	"testing"

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
