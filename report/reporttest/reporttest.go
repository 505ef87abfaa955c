// Package reporttest is the suite that every report.Sender passes: Run, in the sender's own tests, against a real far end.
// It is used by tests only.
package reporttest

import (
	"context"
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"tattled/event"
	"tattled/report"
)

// Rig is one sender under test, and its far end.
type Rig struct {
	Sender report.Sender
	// Arrived returns how many reports the far end has taken since the start.
	Arrived func() int
	// Break makes the far end such that the next Send must come out as the result that is its key. Later, Paused and
	// Rejected must be there, Duplicate may be.
	Break map[report.Result]func(t *testing.T)
	// Hang makes the far end take connections and answer nothing.
	Hang func(t *testing.T)
	// Secrets must never be shown.
	Secrets []string
	// Now is what the reports' times are near to.
	Now time.Time
}

// Deadline is how long a Send may go on after its context ended.
const Deadline = 2 * time.Second

// Run runs the suite. open makes a new rig each time; what it opens it closes by t.Cleanup.
func Run(t *testing.T, open func(t *testing.T) *Rig) {
	tests := []struct {
		name string
		test func(t *testing.T, rig *Rig)
	}{
		{"one report arrives for each Send", testOnce},
		{"hostile text arrives as one report and breaks nothing", testHostile},
		{"the report is left as it was", testUntouched},
		{"a context that is over sends nothing", testOver},
		{"a context that ends ends the Send", testHang},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) { test.test(t, open(t)) })
	}
	rig := open(t)
	if _, bulk := rig.Sender.(report.BulkSender); bulk {
		t.Run("in one request", func(t *testing.T) { runBulk(t, open) })
	}
	for _, needed := range []report.Result{report.Later, report.Paused, report.Rejected} {
		if rig.Break[needed] == nil {
			t.Errorf("the rig cannot bring about %q", needed)
		}
	}
	for result := range rig.Break {
		t.Run("comes out as "+result.String(), func(t *testing.T) { testBroken(t, open(t), result) })
	}
}

// Report returns a report as policy makes it, about the n-th of 250 addresses, judged at now.
func Report(n int, now time.Time) *event.Report {
	return &event.Report{
		ID:         fmt.Sprintf("0123456789abcdef-%d", n),
		Policy:     "ssh-bruteforce",
		Judged:     now,
		Addr:       netip.AddrFrom4([4]byte{203, 0, 113, byte(n % 250)}),
		Kind:       event.AuthFailure,
		Service:    "sshd",
		Rule:       "failed-password",
		Categories: []int{18, 22},
		First:      now.Add(-4 * time.Minute),
		Last:       now.Add(-time.Second),
		Count:      5,
		Users:      3,
		Ports:      []uint16{22},
		Proto:      event.TCP,
		Place:      event.Place{Country: "DE", CountryName: "Germany", City: "Berlin", ASN: 3320, Org: "Example Telecom"},
		User:       "root",
		Host:       "web1",
		Reporter:   "shop",
		Line:       "Failed password for root from 203.0.113.5 port 40022 ssh2",
	}
}

// HostileTexts are texts that an attacker may put into a log, each meant to break one of the forms that a report takes.
func HostileTexts() []string {
	return []string{
		"a\r\nBcc: victim@example.net\r\n\r\nbody",
		"a\nSubject: injected",
		"\r\n.\r\nMAIL FROM:<evil@example.net>\r\nRCPT TO:<victim@example.net>\r\nDATA\r\nsmuggled\r\n.\r\n",
		"\n.\nQUIT\n", "\r.\r", ".\r\n", "..",
		"nul\x00byte", "\x1b[31mred\x1b[0m\x07", "c1\u0085\u009b31m",
		"\u202eright to left\u202c", "\u2028line\u2029paragraph", "zero\u200bwidth\ufeff",
		"\xff\xfe\xc0\xaf not UTF-8", "half\xe2\x82",
		`"; DROP TABLE reports; --`, "=?utf-8?q?=0d=0aBcc:_x?=", "%0d%0aBcc:x", `{"a":"b"}`, "<script>alert(1)</script>", "{{.}} %s%n",
		strings.Repeat("A", 5000), strings.Repeat("\u20ac", 3000), strings.Repeat("\r\n", 2000),
		"ip=198.51.100.7&categories=1&key=x", "+00:00 & = ? # /",
	}
}

// Hostile returns reports with every text in every field that text can get into.
func Hostile(now time.Time) []*event.Report {
	fields := []func(r *event.Report, text string){
		func(r *event.Report, text string) { r.ID = text + r.ID },
		func(r *event.Report, text string) { r.Policy = text },
		func(r *event.Report, text string) { r.Service = text },
		func(r *event.Report, text string) { r.Rule = text },
		func(r *event.Report, text string) { r.Place.Country = text },
		func(r *event.Report, text string) { r.Place.CountryName = text },
		func(r *event.Report, text string) { r.Place.City = text },
		func(r *event.Report, text string) { r.Place.Org = text },
		func(r *event.Report, text string) { r.User = text },
		func(r *event.Report, text string) { r.Host = text },
		func(r *event.Report, text string) { r.Reporter = text },
		func(r *event.Report, text string) { r.Line = text },
	}
	var all []*event.Report
	for _, text := range HostileTexts() {
		everywhere := Report(len(all), now)
		for _, set := range fields {
			r := Report(len(all), now)
			set(r, text)
			set(everywhere, text)
			all = append(all, r)
		}
		everywhere.Addr = netip.AddrFrom4([4]byte{198, 51, 100, byte(len(all))})
		all = append(all, everywhere)
	}
	for i, r := range all { // each its own address, so that nothing is a duplicate
		r.Addr = netip.AddrFrom4([4]byte{100, 64, byte(i / 250), byte(i % 250)})
	}
	return all
}

func testOnce(t *testing.T, rig *Rig) {
	name := rig.Sender.Destination()
	if name == "" || strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" {
		t.Errorf("Destination is %q: want a lower-case word, it is a metric's label", name)
	}
	for n := range 5 {
		out := rig.Sender.Send(t.Context(), Report(n, rig.Now))
		if out.Result != report.Delivered {
			t.Fatalf("Send %d came out as %v: %s", n, out.Result, out.Detail)
		}
		if got := rig.Arrived(); got != n+1 {
			t.Fatalf("after %d Sends, %d reports arrived", n+1, got)
		}
		checkOutcome(t, rig, out)
	}
	if again := rig.Sender.Destination(); again != name {
		t.Errorf("Destination changed from %q to %q", name, again)
	}
}

func testHostile(t *testing.T, rig *Rig) {
	for n, r := range Hostile(rig.Now) {
		out := rig.Sender.Send(t.Context(), r)
		if out.Result != report.Delivered {
			t.Fatalf("report %d came out as %v: %s\n%q", n, out.Result, out.Detail, fmt.Sprintf("%+v", *r))
		}
		if got := rig.Arrived(); got != n+1 {
			t.Fatalf("after %d Sends, %d reports arrived; the last was\n%q", n+1, got, fmt.Sprintf("%+v", *r))
		}
		checkOutcome(t, rig, out)
	}
}

func testUntouched(t *testing.T, rig *Rig) {
	r, same := Report(1, rig.Now), Report(1, rig.Now)
	rig.Sender.Send(t.Context(), r)
	if !reflect.DeepEqual(r, same) {
		t.Errorf("Send changed the report:\n got %+v\nwant %+v", r, same)
	}
}

func testOver(t *testing.T, rig *Rig) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	out := rig.Sender.Send(ctx, Report(1, rig.Now))
	if out.Result != report.Later {
		t.Errorf("came out as %v: %s; want later", out.Result, out.Detail)
	}
	if got := rig.Arrived(); got != 0 {
		t.Errorf("%d reports arrived", got)
	}
	checkOutcome(t, rig, out)
}

func testHang(t *testing.T, rig *Rig) {
	rig.Hang(t)
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	done := make(chan report.Outcome, 1)
	go func() { done <- rig.Sender.Send(ctx, Report(1, rig.Now)) }()
	select {
	case out := <-done:
		if out.Result != report.Later {
			t.Errorf("came out as %v: %s; want later", out.Result, out.Detail)
		}
		checkOutcome(t, rig, out)
	case <-time.After(200*time.Millisecond + Deadline):
		t.Fatalf("Send goes on %v after its context ended", Deadline)
	}
}

func testBroken(t *testing.T, rig *Rig, result report.Result) {
	rig.Break[result](t)
	out := rig.Sender.Send(t.Context(), Report(1, rig.Now))
	if out.Result != result {
		t.Errorf("came out as %v (%s), want %v", out.Result, out.Detail, result)
	}
	if out.Detail == "" {
		t.Error("the outcome says nothing about why")
	}
	checkOutcome(t, rig, out)
}

// checkOutcome checks what holds of every outcome.
func checkOutcome(t *testing.T, rig *Rig, out report.Outcome) {
	t.Helper()
	if !slices.Contains(report.Results(), out.Result) || out.Result >= report.Dismissed {
		t.Errorf("%v is not a result that a sender gives", out.Result)
	}
	if len(out.Detail) > report.MaxDetail {
		t.Errorf("the detail has %d bytes, at most %d are allowed", len(out.Detail), report.MaxDetail)
	}
	if !utf8.ValidString(out.Detail) || report.Harmless(out.Detail, report.MaxDetail) != out.Detail {
		t.Errorf("the detail is not harmless to show: %q", out.Detail)
	}
	for _, secret := range rig.Secrets {
		if strings.Contains(fmt.Sprintf("%+v", out), secret) {
			t.Errorf("the outcome shows the secret: %+v", out)
		}
	}
}
