package abuseipdb_test

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"pgregory.net/rapid"

	"tattled/event"
	"tattled/report/abuseipdb"
	"tattled/report/reporttest"
)

func at(text string) time.Time {
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		panic(err)
	}
	return t
}

// The comments, word for word: they are public, and a change of them undoes AbuseIPDB's merging of what is sent twice.
func TestComments(t *testing.T) {
	judged := at("2026-11-22T10:05:00Z")
	for _, test := range []struct {
		report event.Report
		want   string
	}{
		{event.Report{Kind: event.AuthFailure, Service: "sshd", Count: 5, Users: 3, Ports: []uint16{22}, Proto: event.TCP,
			First: at("2026-11-22T10:00:01.9Z"), Last: at("2026-11-22T10:04:11Z")},
			"sshd: 5 failed logins, 3 user names tried, port 22/tcp, 2026-11-22 10:00:01 to 10:04:11 UTC"},
		{event.Report{Kind: event.AuthFailure, Service: "sshd", Count: 1, Users: 1,
			First: at("2026-11-22T12:00:01+02:00"), Last: at("2026-11-22T12:00:01+02:00")},
			"sshd: 1 failed login, 2026-11-22 10:00:01 UTC"},
		{event.Report{Kind: event.FirewallBlock, Service: "netfilter", Count: 12, Ports: []uint16{22, 23, 80}, Proto: event.TCP,
			First: at("2026-11-21T23:59:00Z"), Last: at("2026-11-22T00:01:00Z")},
			"firewall: 12 blocked connection attempts, ports 22 23 80/tcp, 2026-11-21 23:59:00 to 2026-11-22 00:01:00 UTC"},
		{event.Report{Kind: event.FirewallAccept, Count: 1, Proto: event.TCP}, "firewall: 1 unwanted connection"},
		{event.Report{Kind: event.WebAttack, Service: "nginx", Count: 2}, "nginx: 2 malicious HTTP requests"},
		{event.Report{Kind: event.MailAbuse, Service: "postfix-smtpd", Count: 1}, "postfix-smtpd: 1 abusive mail attempt"},
		{event.Report{Kind: event.Probe, Service: "sshd", Count: 3}, "sshd: 3 probes"},
		{event.Report{Kind: event.Ban, Service: "fail2ban", Count: 1}, "fail2ban: 1 ban for repeated attacks"},
		{event.Report{Kind: event.AuthSuccess, Service: "sshd", Count: 1}, "sshd: 1 unexpected login"},
		{event.Report{Kind: event.Probe, Kinds: []event.Kind{event.Probe, event.WebAttack}, Service: "web-access", Count: 300}, "web-access: 300 suspicious events"},
		{event.Report{Kind: event.Probe, Kinds: []event.Kind{event.Probe, event.WebAttack}, Service: "web-access", Count: 1}, "web-access: 1 probe"},
		{event.Report{Kind: 99, Service: "web1.example.org", Count: 2}, "service: 2 suspicious events"},
		{event.Report{Kind: event.AuthFailure, Service: "sshd", Count: 2, First: at("2026-11-22T11:00:00Z"), Last: at("2026-11-22T11:00:01Z")},
			"sshd: 2 failed logins"}, // a clock ahead of ours: no span that nobody can vouch for
		{event.Report{Kind: event.AuthFailure, Service: "sshd", Count: 2, First: at("2026-11-22T10:00:00Z"), Last: at("2026-11-22T09:00:00Z")},
			"sshd: 2 failed logins"},
	} {
		test.report.Judged = judged
		if got := abuseipdb.Comment(&test.report); got != test.want {
			t.Errorf("got  %s\nwant %s", got, test.want)
		}
	}
}

// No content of any field that is for the operator's eyes reaches the comment, whatever it is, and neither does the
// address, the place or the policy's name: the comment of a report with them is that of a report without them.
func TestCommentLeaksNothing(t *testing.T) {
	texts := append(reporttest.HostileTexts(), "alice", "10.1.2.3", "2001:db8::5", "web1.example.org", "hunter2", "sshd", "22")
	text := rapid.OneOf(rapid.SampledFrom(texts), rapid.String())
	rapid.Check(t, func(t *rapid.T) {
		r := reporttest.Report(rapid.IntRange(0, 200).Draw(t, "n"), at("2026-11-22T10:05:00Z"))
		r.Kind = event.Kind(rapid.Uint8Range(0, 12).Draw(t, "kind"))
		r.Count = rapid.IntRange(1, 1<<40).Draw(t, "count")
		r.Users = rapid.IntRange(0, 1<<40).Draw(t, "users")
		r.Ports = rapid.SliceOfN(rapid.Uint16(), 0, 100).Draw(t, "ports")
		r.Service = text.Draw(t, "service")
		bare := *r
		bare.ID, bare.Policy, bare.Rule, bare.Destination = "", "", "", ""
		bare.User, bare.Host, bare.Reporter, bare.Line = "", "", "", ""
		bare.Place, bare.Addr, bare.Score, bare.Reputation = event.Place{}, netip.Addr{}, nil, nil
		r.ID, r.Policy, r.Rule = text.Draw(t, "id"), text.Draw(t, "policy"), text.Draw(t, "rule")
		r.User, r.Host, r.Reporter, r.Line = text.Draw(t, "user"), text.Draw(t, "host"), text.Draw(t, "reporter"), text.Draw(t, "line")
		r.Place.City, r.Place.Org, r.Place.CountryName = text.Draw(t, "city"), text.Draw(t, "org"), text.Draw(t, "country")
		score := 77
		r.Score = &score

		got, want := abuseipdb.Comment(r), abuseipdb.Comment(&bare)
		if got != want {
			t.Fatalf("the comment depends on what it must not tell:\n got %q\nwant %q", got, want)
		}
		if len(got) > abuseipdb.MaxComment || len(got) == 0 {
			t.Fatalf("the comment has %d bytes", len(got))
		}
		for _, c := range []byte(got) {
			if c < ' ' || c > '~' || strings.IndexByte(`"'\<>&;=%`, c) >= 0 {
				t.Fatalf("the comment holds %q: %q", c, got)
			}
		}
		if !utf8.ValidString(got) {
			t.Fatal("the comment is not UTF-8")
		}
	})
}

// A thousand reports as they come about, each full of what is private: not one of the requests that reach the far end
// holds any of it.
func TestRequestLeaksNothing(t *testing.T) {
	d, url := far(t, doubleOptions())
	c := client(t, url, key)
	now := time.Now()
	private := []string{"mallory-at-home", "web1.internal.example", "reporter-label", "GET /reset?token=deadbeef", "10.11.12.13",
		"2001:db8:77::1", "policy-name", "report-id", "Springfield", "Globex"}
	for n := range 1000 {
		r := reporttest.Report(n, now)
		r.Addr = netip.AddrFrom4([4]byte{203, 0, byte(n / 250), byte(n % 250)})
		r.ID, r.Policy = fmt.Sprint("report-id", n), "policy-name"
		r.User, r.Host, r.Reporter = "mallory-at-home", "web1.internal.example", "reporter-label"
		r.Line = "GET /reset?token=deadbeef to 10.11.12.13 or 2001:db8:77::1"
		r.Place.City, r.Place.Org = "Springfield", "Globex"
		if out := c.Send(t.Context(), r); out.Result != 1 {
			t.Fatalf("report %d: %v %s", n, out.Result, out.Detail)
		}
	}
	for _, q := range d.Requests() {
		for _, p := range private {
			if all := fmt.Sprintf("%+v", q); strings.Contains(strings.ToLower(all), strings.ToLower(p)) {
				t.Fatalf("a request holds %q: %s", p, all)
			}
		}
	}
}
