package policy

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"tattled/event"
	"tattled/setting"
)

var (
	noon     = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	attacker = netip.MustParseAddr("45.9.20.7")
	// Both destinations, with the windows of the manual.
	everyone = []Destination{
		{Name: "abuseipdb", Action: Report, Window: 24 * time.Hour}, {Name: "mail", Action: Alert, Window: 24 * time.Hour},
	}
)

// failure is a failed login over SSH that may be reported, read as it happened.
func failure(at time.Time) *event.Event {
	return &event.Event{
		Time: at, Received: at, Kind: event.AuthFailure, Service: "sshd", Rule: "failed-password", Categories: []int{18, 22},
		Addr: attacker, Port: 40022, Proto: event.TCP, Handshake: true, User: "root", Program: "sshd", Trust: event.TrustReport,
		Source: "journal", Host: "web1",
	}
}

func bruteforce(do ...string) Config {
	return Config{
		Name: "bruteforce", When: When{Kind: []event.Kind{event.AuthFailure}}, Threshold: 5,
		Within: setting.Duration(10 * time.Minute), Do: do,
	}
}

// judge feeds events to a fresh state and returns the reports.
func judge(p *Policy, events ...*event.Event) []event.Report {
	var s State
	return judgeInto(p, &s, events...)
}

func judgeInto(p *Policy, s *State, events ...*event.Event) []event.Report {
	var j Judgement
	for _, e := range events {
		p.Judge(s, e, &j)
	}
	p.Count(&j)
	return j.Reports
}

func newPolicy(t *testing.T, g GateConfig, rules ...Config) *Policy {
	t.Helper()
	CheckAll(rules, func(path, problem string) { t.Fatalf("%s: %s", path, problem) })
	return New(rules, NewGate(g), everyone, nil)
}

func series(n int, from time.Time, step time.Duration) []*event.Event {
	var all []*event.Event
	for i := range n {
		all = append(all, failure(from.Add(time.Duration(i)*step)))
	}
	return all
}

func TestThreshold(t *testing.T) {
	p := newPolicy(t, GateConfig{}, bruteforce("report"))
	for _, c := range []struct {
		name   string
		events []*event.Event
		due    int
	}{
		{"four are too few", series(4, noon, time.Minute), 0},
		{"five in exactly ten minutes", series(5, noon, 150*time.Second), 1},
		{"five in a little more", series(5, noon, 150*time.Second+250*time.Millisecond), 0},
		{"a hundred, slowly enough", series(100, noon, 3*time.Minute), 0},
		{"a hundred at once", series(100, noon, 0), 1},
	} {
		if got := judge(p, c.events...); len(got) != c.due {
			t.Errorf("%s: %d reports, want %d", c.name, len(got), c.due)
		}
	}
}

func TestReportSaysWhatWasCounted(t *testing.T) {
	p := newPolicy(t, GateConfig{}, bruteforce("report"))
	events := series(5, noon, time.Minute)
	for i, e := range events {
		e.LocalPort, e.User = uint16(22+i%2), fmt.Sprintf("u%d", i%3)
	}
	got := judge(p, events...)
	if len(got) != 1 {
		t.Fatalf("%d reports, want 1", len(got))
	}
	r := got[0]
	if r.Count != 5 || r.Users != 3 || !slices.Equal(r.Ports, []uint16{22, 23}) || !r.First.Equal(noon) || !r.Last.Equal(noon.Add(4*time.Minute)) ||
		r.Addr != attacker || r.Policy != "bruteforce" || r.Destination != "abuseipdb" || r.ID == "" {
		t.Errorf("got %+v", r)
	}
}

func TestWindow(t *testing.T) {
	p := newPolicy(t, GateConfig{}, bruteforce("report", "alert"))
	var s State
	got := judgeInto(p, &s, series(24*60+1, noon, time.Minute)...)
	if len(got) != 2 {
		t.Fatalf("%d reports within a window, want one for each destination", len(got))
	}
	got = judgeInto(p, &s, series(60, noon.Add(24*time.Hour+time.Minute), time.Minute)...)
	if len(got) != 2 {
		t.Fatalf("%d reports in the next window, want 2", len(got))
	}
	if want := noon.Add(24*time.Hour + 4*time.Minute); !got[0].Judged.Equal(want) {
		t.Errorf("judged at %s, want %s: as soon as the window allows it", got[0].Judged, want)
	}
	if n := got[0].Count; n != 24*60 {
		t.Errorf("the second report counts %d events, want all since the first", n)
	}
}

func TestReportWindowHasAFloor(t *testing.T) {
	p := New([]Config{bruteforce("report")}, NewGate(GateConfig{}), []Destination{{Name: "abuseipdb", Action: Report, Window: time.Second}}, nil)
	if got := judge(p, series(15*12, noon, 5*time.Second)...); len(got) != 1 {
		t.Errorf("%d reports in 15 minutes, want 1: AbuseIPDB refuses the second", len(got))
	}
}

func TestAlertsOfAnotherPolicyAreNotMuted(t *testing.T) {
	success := Config{
		Name: "success", When: When{Kind: []event.Kind{event.AuthSuccess}}, After: []event.Kind{event.AuthFailure}, Threshold: 5,
		Within: setting.Duration(time.Hour), Do: []string{"alert"},
	}
	p := newPolicy(t, GateConfig{}, bruteforce("alert"), success)
	login := failure(noon.Add(6 * time.Minute))
	login.Kind = event.AuthSuccess
	got := judge(p, append(series(5, noon, time.Minute), login)...)
	if len(got) != 2 || got[1].Policy != "success" {
		t.Errorf("got %v, want an alert about the failures and one about the success", policies(got))
	}
}

func policies(reports []event.Report) []string {
	var names []string
	for _, r := range reports {
		names = append(names, r.Destination+"/"+r.Policy)
	}
	return names
}

func TestSuccessAfterFailures(t *testing.T) {
	defaults := newPolicy(t, GateConfig{}, Defaults()...)
	at := func(e *event.Event, kind event.Kind, at time.Time) *event.Event {
		e.Kind, e.Time, e.Received = kind, at, at
		return e
	}
	for _, c := range []struct {
		name   string
		events []*event.Event
		alerts int
	}{
		{"a mere success", []*event.Event{at(failure(noon), event.AuthSuccess, noon)}, 0},
		{"after four failures", append(series(4, noon, time.Minute), at(failure(noon), event.AuthSuccess, noon.Add(5*time.Minute))), 0},
		{"after five failures", append(series(5, noon, time.Minute), at(failure(noon), event.AuthSuccess, noon.Add(5*time.Minute))), 1},
		{"before five failures", append([]*event.Event{at(failure(noon), event.AuthSuccess, noon.Add(-time.Second))}, series(5, noon, time.Minute)...), 0},
		{"too long after", append(series(5, noon, time.Minute), at(failure(noon.Add(2*time.Hour)), event.AuthSuccess, noon.Add(2*time.Hour))), 0},
	} {
		n := 0
		for _, r := range judge(defaults, c.events...) {
			if r.Destination == "mail" {
				n++
			}
		}
		if n != c.alerts {
			t.Errorf("%s: %d alerts, want %d", c.name, n, c.alerts)
		}
	}
}

// Five lines about one failed attempt count once; three passwords on one connection count three times; the success on
// the same connection is no further line about a failure.
func TestSession(t *testing.T) {
	line := func(pid, rule string, at time.Time) *event.Event {
		e := failure(at)
		e.Session, e.PID, e.Rule = true, pid, rule
		return e
	}
	rule := bruteforce("alert")
	rule.Threshold = 3
	p := newPolicy(t, GateConfig{}, rule)
	one := []*event.Event{
		line("1", "invalid-user", noon), line("1", "pam", noon), line("1", "failed-password", noon),
		line("1", "disconnected", noon), line("1", "max-attempts", noon),
	}
	if got := judge(p, one...); len(got) != 0 {
		t.Error("five lines about one attempt reached a threshold of three")
	}
	three := slices.Clone(one)
	for i := range 2 {
		three = append(three, line("1", "failed-password", noon.Add(time.Duration(i+1)*time.Second)), line("1", "pam", noon))
	}
	if got := judge(p, three...); len(got) != 1 || got[0].Count != 3 {
		t.Errorf("three passwords on one connection: %+v, want one report that counts three", got)
	}
	many := []*event.Event{line("1", "failed-password", noon), line("2", "failed-password", noon), line("3", "failed-password", noon)}
	if got := judge(p, many...); len(got) != 1 {
		t.Error("one failure on each of three connections did not reach a threshold of three")
	}
	for i, e := range many { // a process id that comes again within the hour, for another connection
		e.PID, e.Port = "1", uint16(40001+i)
	}
	pam := line("1", "pam", noon) // names no port, so it is about the connection of that process
	pam.Port = 0
	if got := judge(p, many[0], pam, many[1], pam); len(got) != 0 {
		t.Error("two failures on two connections of one process id, and two lines of PAM about them, reached a threshold of three")
	}
	if got := judge(p, many...); len(got) != 1 {
		t.Error("one failure on each of three ports did not reach a threshold of three")
	}
	reused := []*event.Event{line("1", "a", noon), line("1", "b", noon.Add(2*time.Hour)), line("1", "c", noon.Add(4*time.Hour))}
	rule.Within = setting.Duration(24 * time.Hour)
	if got := judge(newPolicy(t, GateConfig{}, rule), reused...); len(got) != 1 {
		t.Error("a process id that came again hours later was taken for the same connection")
	}
}

func TestDistinct(t *testing.T) {
	rule := bruteforce("alert")
	rule.Distinct = "users"
	p := newPolicy(t, GateConfig{}, rule)
	events := series(200, noon, time.Second)
	if got := judge(p, events...); len(got) != 0 {
		t.Error("two hundred attempts on one account are not five accounts")
	}
	for i, e := range events {
		e.User = fmt.Sprint("user", i%5)
	}
	if got := judge(p, events...); len(got) != 1 || got[0].Users != 5 {
		t.Errorf("five accounts: %+v", got)
	}
	for i, e := range events { // the first account is forgotten before the fifth comes
		e.User = ""
		if i%50 == 0 {
			e.User = fmt.Sprint("user", i)
		}
		e.Time = noon.Add(time.Duration(i/50) * 3 * time.Minute)
		e.Received = e.Time
	}
	if got := judge(p, events...); len(got) != 0 {
		t.Error("events without an account count as accounts")
	}
}

// An old file read late reaches the threshold by its own times, whatever happens meanwhile.
func TestLateEvents(t *testing.T) {
	p := newPolicy(t, GateConfig{}, bruteforce("report"))
	late := series(5, noon.Add(-3*time.Hour), time.Minute)
	live := series(4, noon, time.Second)
	var mixed []*event.Event
	for i, e := range late {
		e.Received = noon.Add(time.Minute)
		if mixed = append(mixed, e); i < len(live) {
			mixed = append(mixed, live[i])
		}
	}
	if got := judge(p, mixed...); len(got) != 1 {
		t.Errorf("%d reports, want 1", len(got))
	}
	slices.Reverse(late)
	if got := judge(p, late...); len(got) != 1 {
		t.Error("a file read backwards is judged otherwise")
	}
	spread := []*event.Event{late[0], live[0], late[1], live[1], late[2]}
	if got := judge(p, spread...); len(got) != 0 {
		t.Error("three old and two new events make five in ten minutes")
	}
}

func TestClock(t *testing.T) {
	p := newPolicy(t, GateConfig{}, bruteforce("report"))
	const year = 365 * 24 * time.Hour
	for _, jump := range []time.Duration{3 * time.Hour, -3 * time.Hour, -10 * year} {
		var s State
		at := noon
		n := len(judgeInto(p, &s, series(5, at, time.Second)...))
		// the clock jumps, and the attack goes on for 23 real hours
		n += len(judgeInto(p, &s, series(20*60, at.Add(jump), time.Minute)...))
		if n != 1 {
			t.Errorf("jump of %s: %d reports within one window, want 1", jump, n)
		}
		n = len(judgeInto(p, &s, series(28*60, at.Add(jump+20*time.Hour), time.Minute)...))
		if n == 0 {
			t.Errorf("jump of %s: nothing was reported in two windows", jump)
		}
	}
	// the clock is ten years ahead for a while, and then right again
	var s State
	judgeInto(p, &s, series(50, noon.Add(10*year), time.Second)...)
	if n := len(judgeInto(p, &s, series(25*60, noon, time.Minute)...)); n != 1 {
		t.Errorf("%d reports in the day after the clock was set right, want 1", n)
	}
	// a sender's clock that is ahead is not ours: such events may not be reported, and do not hold up others
	s = State{}
	ahead := series(50, noon.Add(20*time.Hour), time.Second)
	for _, e := range ahead {
		e.Received = noon
	}
	if n := len(judgeInto(p, &s, ahead...)); n != 0 {
		t.Error("events from the future were reported")
	}
	if n := len(judgeInto(p, &s, series(5, noon.Add(time.Minute), time.Second)...)); n != 1 {
		t.Error("events from the future held up those of now")
	}
}

// What could be forged must not help to frame an address: all events that reach a report must be proven.
func TestForgedEventsDoNotFrame(t *testing.T) {
	p := newPolicy(t, GateConfig{}, bruteforce("report", "alert"))
	for name, forge := range map[string]func(*event.Event){
		"udp listener": func(e *event.Event) { e.Trust = event.TrustCount },
		"spoofed syn":  func(e *event.Event) { e.Handshake = false },
		"udp packet":   func(e *event.Event) { e.Proto = event.UDP },
	} {
		events := series(20, noon, time.Second)
		for _, e := range events[:16] {
			forge(e)
		}
		var reports, alerts int
		for _, r := range judge(p, events...) {
			if r.Destination == "abuseipdb" {
				reports++
			} else {
				alerts++
			}
		}
		if reports != 0 || alerts != 1 {
			t.Errorf("%s: 16 forged and 4 proven events led to %d reports and %d alerts, want 0 and 1", name, reports, alerts)
		}
	}
}

func TestV6IsCountedBySlash64(t *testing.T) {
	p := newPolicy(t, GateConfig{}, bruteforce("report"))
	if Key(netip.MustParseAddr("2a02:6b8:1:2:aaaa::1")) != netip.MustParseAddr("2a02:6b8:1:2::") {
		t.Fatal("Key")
	}
	if Key(netip.MustParseAddr("::ffff:45.9.20.7")) != attacker {
		t.Fatal("Key of a mapped address")
	}
	events := series(5, noon, time.Second)
	for i, host := range []string{"::1", "::b", "::2", "::b", "::3"} {
		events[i].Addr = netip.MustParseAddr("2a02:6b8:1:2" + host)
	}
	got := judge(p, events...)
	if len(got) != 1 || got[0].Addr != events[1].Addr {
		t.Fatalf("got %v, want one report about the most active address", got)
	}
	// our own address in the same /64 is never named
	p.gate.SetOwn([]netip.Addr{events[1].Addr})
	var s State
	if got := judgeInto(p, &s, events...); len(got) != 0 {
		t.Error("events from our own address counted")
	}
	if got := judgeInto(p, &s, events[0], events[0]); len(got) != 1 || got[0].Addr != events[0].Addr {
		t.Errorf("got %v, want one about %s", got, events[0].Addr)
	}
}

// A firewall ACCEPT from an unexpected country, end to end: reputation and all.
func TestAcceptFromUnexpectedCountry(t *testing.T) {
	zero := 0
	rule := Config{
		Name: "accept-unexpected-country", When: When{Kind: []event.Kind{event.FirewallAccept}, CountryNot: []string{"BE", "NL"}},
		Reputation: &Reputation{MaxScore: &zero, MaxAge: setting.Duration(90 * 24 * time.Hour)}, Do: []string{"alert"},
	}
	p := newPolicy(t, GateConfig{}, rule)
	accept := func(country string) *event.Event {
		return &event.Event{
			Time: noon, Received: noon, Kind: event.FirewallAccept, Service: "netfilter", Addr: attacker, LocalPort: 22, Proto: event.TCP,
			Place: event.Place{Country: country}, Line: "ACCEPT IN=eth0",
		}
	}
	var s State
	if got := judgeInto(p, &s, accept("BE"), accept("NL")); len(got) != 0 {
		t.Error("an expected country is alerted on")
	}
	got := judgeInto(p, &s, accept("DE"), accept("DE"), accept("FR"))
	if len(got) != 1 || got[0].Destination != "mail" || got[0].Reputation == nil {
		t.Fatalf("got %+v, want one mail with a reputation", got)
	}
	if r := *got[0].Reputation; !r.Holds(0) || r.Holds(1) || r.MaxAge != 90*24*time.Hour {
		t.Errorf("reputation %+v", r)
	}
	if got := judge(p, accept("")); len(got) != 1 {
		t.Error("an unknown country is not expected")
	}
	stray := accept("DE")
	stray.Stray = true
	if got := judge(p, stray); len(got) != 0 {
		t.Error("a stray packet is held against somebody")
	}
	rule.When.CountryNot = []string{"BE", "??"}
	if got := judge(newPolicy(t, GateConfig{}, rule), accept("")); len(got) != 0 {
		t.Error("the unknown country can not be expected")
	}
}

func TestConditions(t *testing.T) {
	e := failure(noon)
	e.LocalPort, e.Place = 22, event.Place{Country: "DE", ASN: 3320}
	for _, c := range []struct {
		when     When
		mismatch string
	}{
		{When{}, ""},
		{When{Kind: []event.Kind{event.Probe, event.AuthFailure}}, ""},
		{When{Kind: []event.Kind{event.Probe}}, "kind"},
		{When{Service: []string{"sshd"}}, ""},
		{When{Service: []string{"ssh"}}, "service"},
		{When{ServiceNot: []string{"sshd"}}, "service_not"},
		{When{Rule: []string{"failed-password"}}, ""},
		{When{Rule: []string{"x"}}, "rule"},
		{When{RuleNot: []string{"x"}}, ""},
		{When{RuleNot: []string{"x", "failed-password"}}, "rule_not"},
		{When{Strength: "strong"}, ""},
		{When{Strength: "weak"}, "strength"},
		{When{Source: []string{"journal"}}, ""},
		{When{Source: []string{"x"}}, "source"},
		{When{Country: []string{"FR", "DE"}}, ""},
		{When{Country: []string{"FR"}}, "country"},
		{When{CountryNot: []string{"FR"}}, ""},
		{When{CountryNot: []string{"FR", "DE"}}, "country_not"},
		{When{ASN: []uint32{3320}}, ""},
		{When{ASN: []uint32{1}}, "asn"},
		{When{ASNNot: []uint32{3320}}, "asn_not"},
		{When{Ports: []Ports{{20, 25}}}, ""},
		{When{Ports: []Ports{{80, 80}}}, "ports"},
		{When{User: []string{"root"}}, ""},
		{When{User: []string{"admin"}}, "user"},
		{When{UserNot: []string{"root"}}, "user_not"},
	} {
		p := newPolicy(t, GateConfig{}, Config{Name: "x", When: c.when, Do: []string{"alert"}})
		due := len(judge(p, e)) == 1
		if got := p.Explain(e)[0]; got.Mismatch != c.mismatch || got.Counts != (c.mismatch == "") || due != got.Counts {
			t.Errorf("%+v: %+v, due %v, want mismatch %q", c.when, got, due, c.mismatch)
		}
	}
}

func TestCounters(t *testing.T) {
	p := newPolicy(t, GateConfig{}, bruteforce("report", "alert", "count"))
	var s State
	events := series(6, noon, time.Second)
	for _, e := range events {
		e.Trust = event.TrustCount
	}
	judgeInto(p, &s, events...)
	next := New([]Config{bruteforce("report")}, p.Gate(), everyone, p.Counters())
	got := next.Counters().Decisions()
	for action, want := range map[string]uint64{"report": 0, "alert": 1, "count": 1, "refused": 1} {
		if n := got[Decision{"bruteforce", action}]; n != want {
			t.Errorf("%s: %d, want %d", action, n, want)
		}
	}
	if n := next.Counters().Refused(Untrusted); n != 1 {
		t.Errorf("refused as untrusted: %d, want 1", n)
	}
}

// Reports of one address do not depend on what others do, and no destination is told twice within its window, whatever
// the events look like.
func TestIDsAreDeterministic(t *testing.T) {
	p := newPolicy(t, GateConfig{}, Defaults()...)
	a, b := judge(p, series(20, noon, time.Second)...), judge(p, series(20, noon, time.Second)...)
	later := series(20, noon, time.Second)
	for _, e := range later {
		e.Received = e.Received.Add(time.Hour) // the same log, read again later
	}
	c := judge(p, later...)
	if len(a) == 0 || a[0].ID != b[0].ID || a[0].ID != c[0].ID || strings.TrimLeft(a[0].ID, "0123456789abcdef") != "" {
		t.Errorf("IDs %q, %q, %q", a[0].ID, b[0].ID, c[0].ID)
	}
	other := series(20, noon, time.Second)
	for _, e := range other {
		e.Addr = e.Addr.Next()
	}
	if d := judge(p, other...); d[0].ID == a[0].ID {
		t.Error("two addresses share an ID")
	}
}

func TestMutedAllocatesNothing(t *testing.T) {
	p := newPolicy(t, GateConfig{}, Defaults()...)
	for name, addr := range map[string]netip.Addr{"IPv4": attacker, "IPv6": netip.MustParseAddr("2a02:6b8:1:2::3")} {
		var s State
		var j Judgement
		e := failure(noon)
		e.Addr, e.Session, e.PID = addr, true, "17"
		step := func() {
			e.Time = e.Time.Add(time.Second)
			e.Received = e.Time
			p.Judge(&s, e, &j)
		}
		for range 1000 {
			step()
		}
		j.Reset()
		if n := testing.AllocsPerRun(1000, step); n != 0 {
			t.Errorf("%s: %v allocations for an event within the window", name, n)
		}
		if len(j.Reports) != 0 {
			t.Errorf("%s: not muted", name)
		}
	}
}

func BenchmarkJudgeMuted(b *testing.B) {
	p := New(Defaults(), NewGate(GateConfig{}), everyone, nil)
	var s State
	var j Judgement
	e := failure(noon)
	for range 100 {
		p.Judge(&s, e, &j)
	}
	b.ReportAllocs()
	for b.Loop() {
		p.Judge(&s, e, &j)
	}
}
