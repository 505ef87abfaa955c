package daemon

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"tattled/detect"
	"tattled/receiver"
)

// A declared form is believed exactly, by the source that it was declared for alone.
func TestDeclaredForm(t *testing.T) {
	cfg, err := parseConfig("x.yaml", []byte(`
sources:
  files:
    - {path: /var/log/a.log, program: nginx, form: '$host - $remote_addr [$time_local] "$request" $status $body_bytes_sent'}
    - {path: /var/log/b.log, program: nginx}
    - {path: /var/log/c.log, program: sshd, form: combined}
`))
	if err != nil {
		t.Fatal(err)
	}
	var out taken
	p := testPipeline(t, "192.0.2.0/24", &out)
	p.engine.Load().forms = cfg.forms()
	line := record("nginx", `198.51.100.66 - 203.0.113.5 [22/Nov/2026:10:00:00 +0000] "GET /.env HTTP/1.1" 404 9`)
	for source, want := range map[string]string{"file:/var/log/a.log": "203.0.113.5", "file:/var/log/b.log": ""} {
		out.events = nil
		if err := p.Handle(t.Context(), &receiver.Batch{Source: source, Received: time.Now(), Records: []receiver.Record{line}}); err != nil {
			t.Fatal(err)
		}
		switch {
		case want == "" && len(out.events) > 0, want != "" && (len(out.events) != 1 || out.events[0].Addr.String() != want || !out.events[0].Handshake):
			t.Errorf("%s: %v", source, out.events)
		}
	}
	warned := strings.Join(formWarnings(cfg, testRules(t)), "\n")
	if strings.Contains(warned, "files[0]") || !strings.Contains(warned, "sources.files[1].form: is missing") || !strings.Contains(warned, `files[2].form: is for access logs`) {
		t.Errorf("the warnings are:\n%s", warned)
	}
}

// Lines that are not of the form that is declared for their log are refused for that, and where most of them are, the page says
// so until the form is corrected. Lines of other programs have no form.
func TestMisfits(t *testing.T) {
	var out taken
	p := testPipeline(t, "192.0.2.0/24", &out)
	const source = "file:/var/log/a.log"
	form := func(text string) map[string]*detect.Form {
		f, err := detect.ParseForm(text)
		if err != nil {
			t.Fatal(err)
		}
		return map[string]*detect.Form{source: f}
	}
	e := p.engine.Load()
	e.forms = form("common")
	began := 0
	p.unformed = func(string) { began++ }
	hand := func(n int, program, line string) {
		for range n {
			if err := p.Handle(t.Context(), &receiver.Batch{Source: source, Received: time.Now(), Records: []receiver.Record{record(program, line)}}); err != nil {
				t.Fatal(err)
			}
		}
	}
	const combined = `203.0.113.5 - - [22/Nov/2026:10:00:00 +0000] "GET /.env HTTP/1.1" 404 9 "-" "-"`
	hand(misfitLeast-1, "nginx", combined)
	hand(misfitLeast, "sshd", "Server listening on 0.0.0.0 port 22.")
	if all := p.misfits.problems(e.forms); len(all) > 0 || began > 0 {
		t.Errorf("a few lines are a problem: %v", all)
	}
	hand(2, "nginx", combined)
	all := p.misfits.problems(e.forms)
	if len(all) != 1 || began != 1 || !strings.HasPrefix(all[0].What, source+": ") || !strings.HasPrefix(all[0].Cause, "21 of the last 21 lines are of another form than form: %h %l %u %t") {
		t.Errorf("problems: %q", all)
	}
	s := p.tally.source(source)
	if m, r := s.matched.Load(), s.refused.Load(); m != 0 || r != misfitLeast+1 {
		t.Errorf("matched %d, refused %d", m, r)
	}
	p.tally.eachRefused(func(service string, reason detect.Refusal, n uint64) {
		if service != "web-access" || reason != detect.OtherForm || n != misfitLeast+1 {
			t.Errorf("%d lines of %s were refused: %v", n, service, reason)
		}
	})
	hand(misfitLeast+2, "nginx", strings.TrimSuffix(combined, ` "-" "-"`))
	if all := p.misfits.problems(e.forms); len(all) > 0 {
		t.Errorf("fewer than half are a problem: %v", all)
	}
	hand(3*misfitWindow, "nginx", combined)
	if all := p.misfits.problems(e.forms); len(all) != 1 || began != 2 {
		t.Errorf("%d began: %q", began, all)
	}
	e.forms = form("combined")
	hand(1, "nginx", combined)
	if all := p.misfits.problems(e.forms); len(all) > 0 {
		t.Errorf("a form that was corrected is a problem: %v", all)
	}
	if len(out.events) != 1+misfitLeast+2 {
		t.Errorf("%d events", len(out.events))
	}
}

// A form that cannot be believed is a fault at its line.
func TestFormFault(t *testing.T) {
	_, err := parseConfig("x.yaml", []byte(`sources:
  files:
    - path: /var/log/a.log
      form: '%{X-Forwarded-For}i "%r" %s'
  syslog:
    - listen: udp://127.0.0.1:5514
      form: nonsense
`))
	if err == nil || !strings.Contains(err.Error(), "x.yaml:4: sources.files[0].form: it has no column") || !strings.Contains(err.Error(), "x.yaml:7: sources.syslog[0].form: ") {
		t.Error(err)
	}
}

// Lines that tell of an attack and not of whom are counted by service, and twenty within an hour are a problem.
func TestDisputed(t *testing.T) {
	var out taken
	p := testPipeline(t, "192.0.2.0/24", &out)
	began := 0
	p.attacked = func(service string, column netip.Addr) {
		if began++; service != "web-access" || column != netip.MustParseAddr("198.51.100.66") {
			t.Errorf("%s is attacked, by first column %v", service, column)
		}
	}
	now := time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)
	hand := func(at time.Time, program, line string) {
		if err := p.Handle(t.Context(), &receiver.Batch{Source: "s", Received: at, Records: []receiver.Record{record(program, line)}}); err != nil {
			t.Fatal(err)
		}
	}
	const attack = `198.51.100.66 - 203.0.113.5 [22/Nov/2026:10:00:00 +0000] "GET /.env HTTP/1.1" 404 9`
	rules := p.engine.Load().rules
	for i := range 2*disputedLines - 2 { // one in four minutes: 15 in an hour
		hand(now.Add(time.Duration(i)*4*time.Minute), "nginx", attack)
	}
	now = now.Add(10 * time.Hour)
	for i := range disputedLines - 1 {
		hand(now.Add(time.Duration(i)*time.Second), "nginx", attack)
		hand(now, "nginx", `www.example.org - - [22/Nov/2026:10:00:00 +0000] "GET /.env HTTP/1.1" 404 9`) // nobody's word against another's
	}
	if all := p.disputes.problems(rules, now); len(all) > 0 || began > 0 {
		t.Errorf("%d lines are a problem: %v", disputedLines-1, all)
	}
	hand(now.Add(time.Minute), "nginx", attack)
	hand(now.Add(time.Minute), "nginx", attack)
	if all := p.disputes.problems(rules, now.Add(2*time.Minute)); len(all) != 1 || !strings.HasPrefix(all[0].What, "web-access: ") || !strings.Contains(all[0].Cause, "(first columns with as many lines: 198.51.100.66)") || began != 1 {
		t.Errorf("%d lines are no problem: %v, %d", disputedLines, all, began)
	}
	if all := p.disputes.problems(rules, now.Add(2*time.Hour)); len(all) > 0 {
		t.Errorf("it is a problem for ever: %v", all)
	}
	counted := map[detect.Refusal]uint64{}
	p.tally.eachRefused(func(service string, reason detect.Refusal, n uint64) {
		if counted[reason] += n; service != "web-access" {
			t.Errorf("%d lines of %s were refused", n, service)
		}
	})
	if counted[detect.Ambiguous] != 3*disputedLines-1 || counted[detect.HostName] != disputedLines-1 {
		t.Errorf("refused: %v", counted)
	}
	if n := len(detect.Refusals()); n >= len(refusals{}) {
		t.Errorf("there are %d reasons, and room for fewer", n)
	}
}

// Of a service of which many lines are in doubt, the first columns that many of them have are named, a few at a time, and what is
// remembered is bounded.
func TestDisputedColumns(t *testing.T) {
	var d disputes
	now := time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)
	began := 0
	note := func(column string) {
		now = now.Add(time.Millisecond)
		if d.note("web-access", netip.MustParseAddr(column), now) {
			began++
		}
	}
	for i := range disputedLines {
		note("203.0.113.5")
		note(fmt.Sprintf("2001:db8::%x", i+1))
	}
	if began != 2 {
		t.Errorf("%d began, not the service and its column", began)
	}
	for i := range 3 * disputedTraced {
		note(fmt.Sprintf("2001:db8:1::%x", i+1))
	}
	if n := len(d.seen); n > disputedTraced {
		t.Errorf("%d columns are followed", n)
	}
	for i := range 2 * disputedShown {
		for range disputedLines {
			note(fmt.Sprintf("198.51.100.%d", i+1))
		}
	}
	if began != 2+disputedShown {
		t.Errorf("%d began, not %d: the log can be flooded", began, 2+disputedShown)
	}
	all := d.problems(testRules(t), now)
	if len(all) != 1 || !strings.Contains(all[0].Cause, "198.51.100.1 ") || !strings.Contains(all[0].Cause, " and 5 more)") || strings.Contains(all[0].Cause, "2001:db8") {
		t.Errorf("problems: %q", all)
	}
}

// A record of an access log that was cut after its status counts, and the books balance.
func TestCutAccessRecord(t *testing.T) {
	var out taken
	p := testPipeline(t, "192.0.2.0/24", &out)
	whole := record("nginx", `203.0.113.5 - - [22/Nov/2026:10:00:00 +0000] "GET /.env HTTP/1.1" 404 9 "-" "`+strings.Repeat(`\x22`, 4000))
	early := record("nginx", `203.0.113.5 - - [22/Nov/2026:10:00:00 +0000] "GE`)
	sshd := record("sshd", "Invalid user x from 203.0.113.9 port 22")
	whole.Cut, early.Cut, sshd.Cut = true, true, true
	b := &receiver.Batch{Source: "test", Received: time.Now(), Records: []receiver.Record{whole, early, sshd}}
	if err := p.Handle(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	s := p.tally.source("test")
	if m, i, r := s.matched.Load(), s.ignored.Load(), s.refused.Load(); len(out.events) != 1 || m != 1 || i != 0 || r != 2 || p.tally.overlong.Load() != 2 {
		t.Errorf("%d events; matched %d, ignored %d, refused %d", len(out.events), m, i, r)
	}
}
