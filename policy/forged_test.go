package policy

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"tattled/event"
	"tattled/setting"
)

// forge makes an event one that anybody could have written.
func forge(events ...*event.Event) []*event.Event {
	for _, e := range events {
		e.Trust = event.TrustCount
	}
	return events
}

func to(reports []event.Report, destination string) []event.Report {
	return slices.DeleteFunc(slices.Clone(reports), func(r event.Report) bool { return r.Destination != destination })
}

// Of a /64, whoever did what is reported is named: not the user who logs in there, nor one who did it long ago.
func TestTheRightUserOfANetworkIsNamed(t *testing.T) {
	user, bad := netip.MustParseAddr("2a02:6b8:1:2::aaaa"), netip.MustParseAddr("2a02:6b8:1:2::dead")
	from := func(addr netip.Addr, events []*event.Event) []*event.Event {
		for _, e := range events {
			e.Addr = addr
		}
		return events
	}
	logins := from(user, series(7, noon, time.Minute))
	for _, e := range logins {
		e.Kind, e.Rule, e.User = event.AuthSuccess, "accepted", "dan" // who attacks tries another account
	}
	p := newPolicy(t, GateConfig{}, Defaults()...)
	attack := func(at time.Time) []*event.Event { return from(bad, series(5, at, time.Second)) }
	got := to(judge(p, append(logins, attack(noon.Add(time.Hour))...)...), "abuseipdb")
	if len(got) != 1 || got[0].Addr != bad {
		t.Errorf("the user of the same network is reported: %+v", got)
	}
	var s State
	mistyped := from(user, series(4, noon.Add(-24*time.Hour), time.Hour/2)) // too slow for any policy
	got = to(judgeInto(newPolicy(t, GateConfig{}, bruteforce("report")), &s, append(mistyped, attack(noon)...)...), "abuseipdb")
	if len(got) != 1 || got[0].Addr != bad || got[0].Count != 5 {
		t.Errorf("what was long before is taken into the report: %+v", got)
	}
	forged := forge(from(user, series(50, noon, time.Second))...)
	got = to(judge(p, append(forged, attack(noon.Add(time.Minute))...)...), "abuseipdb")
	if len(got) != 1 || got[0].Addr != bad {
		t.Errorf("forged events choose who is reported: %+v", got)
	}
	s = State{}
	got = to(judgeInto(p, &s, append(from(user, series(30, noon, time.Second)), attack(noon.Add(25*time.Hour))...)...), "abuseipdb")
	if len(got) != 2 || got[1].Addr != bad {
		t.Errorf("what was reported before is named again: %+v", got)
	}
	a, b := from(user, series(3, noon, time.Second)), from(bad, series(3, noon, time.Second))
	six := bruteforce("report")
	six.Threshold = 6
	got = judge(newPolicy(t, GateConfig{}, six), a[0], b[0], b[1], a[1], a[2], b[2])
	if len(got) != 1 || got[0].Addr != bad {
		t.Errorf("of two that did as much, the latest is to be named: %+v", got)
	}
}

// Whatever a stranger forges about an address, beside each real event: the report about the real ones comes at the same
// event, and says the same.
func TestForgedEventsNeitherPushOutNorStain(t *testing.T) {
	rule := bruteforce("report", "alert")
	for name, forged := range map[string]func(i, k int) *event.Event{
		"many moments": func(i, k int) *event.Event { return failure(noon) },
		"ports and accounts": func(i, k int) *event.Event {
			e := failure(noon)
			e.LocalPort, e.User = uint16(1000+10*i+k), fmt.Sprint("victim", i, k)
			return e
		},
		"lines of the same connection": func(i, k int) *event.Event {
			e := failure(noon)
			e.Session, e.PID, e.Rule = true, fmt.Sprint(i), "another"
			return e
		},
		"many connections": func(i, k int) *event.Event {
			e := failure(noon)
			e.Session, e.PID = true, fmt.Sprint("x", 10*i+k)
			return e
		},
	} {
		p := newPolicy(t, GateConfig{}, rule)
		var with, without State
		var a, b []event.Report
		for i := range 100 {
			at := noon.Add(time.Duration(i) * time.Second)
			for k := range 10 {
				e := forged(i, k)
				e.Time, e.Received = at, at
				a = append(a, judgeInto(p, &with, forge(e)...)...)
			}
			real := failure(at)
			real.LocalPort, real.Session, real.PID = 22, true, fmt.Sprint(i)
			a = append(a, judgeInto(p, &with, real)...)
			same := *real
			b = append(b, judgeInto(p, &without, &same)...)
		}
		a, b = to(a, "abuseipdb"), to(b, "abuseipdb")
		if fmt.Sprintf("%+v", a) != fmt.Sprintf("%+v", b) || len(b) != 1 {
			t.Errorf("%s:\n with    %+v\n without %+v", name, a, b)
		}
		if len(a) == 1 && (!slices.Equal(a[0].Ports, []uint16{22}) || a[0].Users != 1) {
			t.Errorf("%s: published are ports %v and %d accounts", name, a[0].Ports, a[0].Users)
		}
	}
}

// An honest client fails once, in five lines of one connection. Forged connections beside them must not make five attempts of
// it.
func TestForgedConnectionsDoNotMultiplyAttempts(t *testing.T) {
	p := newPolicy(t, GateConfig{}, bruteforce("report"))
	var s State
	var got []event.Report
	for i := range 5 {
		e := failure(noon)
		e.Session, e.PID, e.Rule = true, "7", fmt.Sprint("rule", i)
		got = append(got, judgeInto(p, &s, e)...)
		for k := range 20 {
			f := failure(noon)
			f.Session, f.PID = true, fmt.Sprint("f", i, k)
			judgeInto(p, &s, forge(f)...)
		}
	}
	if len(got) != 0 {
		t.Errorf("one attempt was reported: %+v", got)
	}
}

// An alert that rests on forged events mutes none that rests on proven ones; and each of both comes once.
func TestForgedAlertsMuteNoProvenOne(t *testing.T) {
	p := newPolicy(t, GateConfig{}, Defaults()...)
	intrusion := func(at time.Time) []*event.Event {
		login := failure(at.Add(time.Minute))
		login.Kind, login.Rule = event.AuthSuccess, "accepted"
		return append(series(5, at, time.Second), login)
	}
	var s State
	for i := range 3 {
		got := to(judgeInto(p, &s, forge(intrusion(noon.Add(time.Duration(i)*10*time.Minute))...)...), "mail")
		if want := i == 0; (len(got) == 1) != want {
			t.Errorf("forged, time %d: %d alerts", i, len(got))
		}
	}
	for i := range 3 {
		got := to(judgeInto(p, &s, intrusion(noon.Add(time.Hour+time.Duration(i)*10*time.Minute))...), "mail")
		if want := i == 0; (len(got) == 1) != want {
			t.Errorf("proven, time %d: %d alerts", i, len(got))
		}
	}
	if got := to(judgeInto(p, &s, forge(intrusion(noon.Add(2*time.Hour))...)...), "mail"); len(got) != 0 {
		t.Error("a proven alert does not mute a forged one")
	}
}

// The reports of an address are a function of its proven events alone; and of the alerts, those that rest on proven events
// are.
func TestProvenEventsAreJudgedAlone(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		all := bruteforce("report", "alert")
		all.Name, all.Threshold = "all", 3
		distinct := bruteforce("report")
		distinct.Name, distinct.Distinct, distinct.Threshold = "distinct", "ports", 3
		p := newPolicy(t, GateConfig{}, append(Defaults(), all, distinct)...)
		with, without := map[netip.Addr]*State{}, map[netip.Addr]*State{}
		clock := noon
		for i := range rapid.IntRange(1, 200).Draw(rt, "events") {
			e := anEvent(rt, &clock)
			key := Key(e.Addr)
			if with[key] == nil {
				with[key], without[key] = new(State), new(State)
			}
			proven := p.Gate().Refuse(e) == None
			var a, b Judgement
			p.Judge(with[key], e, &a)
			if !proven {
				if n := len(to(a.Reports, "abuseipdb")); n > 0 {
					rt.Fatalf("event %d is not proven and was reported", i)
				}
				continue
			}
			p.Judge(without[key], e, &b)
			if x, y := written(to(a.Reports, "abuseipdb")...), written(to(b.Reports, "abuseipdb")...); x != y {
				rt.Fatalf("event %d: with the others\n%s\nwithout\n%s", i, x, y)
			}
			alerts := written(to(a.Reports, "mail")...)
			for _, r := range to(b.Reports, "mail") {
				if one := written(r); !strings.Contains(alerts, one) {
					rt.Fatalf("event %d: the alert\n%s\nis not among\n%s", i, one, alerts)
				}
			}
		}
	})
}

// written returns all of reports, with what their pointers point to.
func written(reports ...event.Report) string {
	var b strings.Builder
	for _, r := range reports {
		var prior event.Prior
		if r.Prior != nil {
			prior, r.Prior = *r.Prior, nil
		}
		fmt.Fprintf(&b, "%+v %+v\n", r, prior)
	}
	return b.String()
}

// What is reported of an old log, read late, is what happened then.
func TestALateReportSpeaksOfItsOwnEvents(t *testing.T) {
	p := newPolicy(t, GateConfig{}, bruteforce("report"))
	old := noon.Add(-48 * time.Hour)
	var mixed []*event.Event
	for i, e := range series(5, old, time.Minute) {
		live := failure(noon.Add(time.Duration(i) * time.Hour / 2)) // too slow for the policy
		live.LocalPort, live.User = 2222, "live"
		e.Received, e.LocalPort = live.Received, 22
		mixed = append(mixed, live, e)
	}
	got := judge(p, mixed...)
	if len(got) != 1 {
		t.Fatalf("%d reports", len(got))
	}
	if r := got[0]; r.Count != 5 || !r.First.Equal(old) || !r.Last.Equal(old.Add(4*time.Minute)) || !slices.Equal(r.Ports, []uint16{22}) || r.Users != 1 {
		t.Errorf("%+v", r)
	}
}

// A report of a sequence, and an alert, is about what followed: what came before is of another kind, and counted apart.
func TestAReportOfASequenceIsAboutItsEnd(t *testing.T) {
	rule := Config{
		Name: "after", When: When{Kind: []event.Kind{event.Probe}}, After: []event.Kind{event.AuthFailure}, Threshold: 5,
		Within: setting.Duration(time.Hour), Do: []string{"report", "alert"},
	}
	events := series(6, noon, time.Minute)
	probe := events[5]
	probe.Kind, probe.Rule, probe.LocalPort = event.Probe, "offered", 22
	got := judge(newPolicy(t, GateConfig{}, rule), events...)
	if len(got) != 2 {
		t.Fatalf("%d, want a report and an alert", len(got))
	}
	for _, r := range got {
		if r.Kind != event.Probe || r.Count != 1 || !r.First.Equal(probe.Time) || r.Addr != attacker {
			t.Errorf("%s: %+v", r.Destination, r)
		}
		if r.Prior == nil || r.Prior.Count != 5 || !r.Prior.First.Equal(noon) {
			t.Errorf("%s: before it %+v", r.Destination, r.Prior)
		}
	}
}
