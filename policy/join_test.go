package policy

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"tattled/event"
	"tattled/setting"
)

// waiting judges events until a report is due and returns it, and the state after it.
func waiting(t *testing.T, p *Policy, events ...*event.Event) (*State, event.Report) {
	t.Helper()
	s := new(State)
	due := judgeInto(p, s, events...)
	if len(due) != 1 {
		t.Fatalf("%d reports, want one that waits", len(due))
	}
	return s, due[0]
}

func copies(events []*event.Event) []event.Event {
	var all []event.Event
	for _, e := range events {
		all = append(all, *e)
	}
	return all
}

// joins brings events into s, of which none may be due by itself, and joins them into r.
func joins(t *testing.T, p *Policy, s *State, r *event.Report, events ...*event.Event) bool {
	t.Helper()
	if due := judgeInto(p, s, events...); len(due) > 0 {
		t.Fatalf("%d reports beside the one that waits", len(due))
	}
	return p.Join(s, r, copies(events), new(Clock))
}

// A report that waits tells of all that was seen when it leaves, and of each event once.
func TestJoin(t *testing.T) {
	p := newPolicy(t, GateConfig{}, bruteforce("report"))
	s, r := waiting(t, p, series(5, noon, time.Second)...)
	id := r.ID
	later := series(35, noon.Add(time.Minute), time.Second)
	for i, e := range later {
		e.User, e.LocalPort, e.Categories = fmt.Sprint("u", i%7), uint16(22+i%2), []int{22, 5}
	}
	if !joins(t, p, s, &r, later...) {
		t.Fatal("nothing joined")
	}
	if r.Count != 40 || r.Users != 7 || !slices.Equal(r.Ports, []uint16{22, 23}) || !slices.Equal(r.Categories, []int{5, 18, 22}) ||
		!r.First.Equal(noon) || !r.Last.Equal(noon.Add(94*time.Second)) || r.ID != id {
		t.Errorf("got %+v", r)
	}
	if p.Join(s, &r, copies(later), new(Clock)) || r.Count != 40 {
		t.Errorf("joined a second time: %d events", r.Count)
	}
	next := judgeInto(p, s, series(5, noon.Add(25*time.Hour), time.Second)...)
	if len(next) != 1 || next[0].Count != 5 {
		t.Errorf("the next window's report: %+v, want one of 5 events", next)
	}
}

// What reached another policy meanwhile is told as well, and the worse of both comes first.
func TestJoinOfAnotherPolicy(t *testing.T) {
	web := Config{Name: "web", When: When{Kind: []event.Kind{event.WebAttack}}, Threshold: 3, Within: setting.Duration(time.Hour), Do: []string{"report"}}
	p := newPolicy(t, GateConfig{}, bruteforce("report"), web)
	asked := func(n int) []*event.Event {
		all := series(n, noon.Add(time.Minute), time.Second)
		for _, e := range all {
			e.Kind, e.Service, e.Rule, e.Categories, e.LocalPort = event.WebAttack, "nginx", "scanner", []int{21}, 443
		}
		return all
	}
	s, r := waiting(t, p, series(5, noon, time.Second)...)
	if joins(t, p, s, &r, asked(2)...) {
		t.Errorf("what reached no policy joined: %+v", r)
	}
	if !joins(t, p, s, &r, asked(2)...) { // four now
		t.Fatal("nothing joined")
	}
	if r.Policy != "web" || r.Kind != event.WebAttack || r.Service != "nginx" || r.Count != 4 || !slices.Equal(r.Categories, []int{18, 21, 22}) {
		t.Errorf("got %+v", r)
	}

	s, r = waiting(t, p, asked(3)...)
	if !joins(t, p, s, &r, series(5, noon.Add(2*time.Minute), time.Second)...) {
		t.Fatal("nothing joined")
	}
	if r.Policy != "web" || r.Kind != event.WebAttack || r.Count != 3 || !slices.Equal(r.Categories, []int{18, 21, 22}) {
		t.Errorf("the less severe one took over: %+v", r)
	}
}

// What may be forged joins no report, nor does what another address of the /64 did; alerts and dry runs stay as they are.
func TestJoinsNothing(t *testing.T) {
	p := newPolicy(t, GateConfig{}, bruteforce("report"))
	forged := series(30, noon.Add(time.Minute), time.Second)
	for _, e := range forged {
		e.Trust, e.User = event.TrustCount, "forged"
	}
	s, r := waiting(t, p, series(5, noon, time.Second)...)
	if joins(t, p, s, &r, forged...) || r.Count != 5 {
		t.Errorf("forged events joined: %+v", r)
	}
	one := series(1, noon.Add(2*time.Minute), 0)
	if !joins(t, p, s, &r, one...) || r.Count != 6 || r.Users != 1 {
		t.Errorf("beside forged ones: %+v, want 6 events of one account", r)
	}

	from := func(addr string, events []*event.Event) []*event.Event {
		for _, e := range events {
			e.Addr = netip.MustParseAddr(addr)
		}
		return events
	}
	s, r = waiting(t, p, from("2a0a:e5c0::1", series(5, noon, time.Second))...)
	if joins(t, p, s, &r, from("2a0a:e5c0::2", series(5, noon.Add(time.Minute), time.Second))...) {
		t.Errorf("what a neighbour did joined: %+v", r)
	}
	if !joins(t, p, s, &r, from("2a0a:e5c0::1", series(5, noon.Add(2*time.Minute), time.Second))...) {
		t.Error("what it did itself did not join")
	}

	for name, change := range map[string]func(*event.Report){
		"an alert":   func(r *event.Report) { r.Destination = "mail" },
		"a dry run":  func(r *event.Report) { r.DryRun = true },
		"a sequence": func(r *event.Report) { r.Prior = &event.Prior{Count: 1} },
		"of nobody":  func(r *event.Report) { r.Destination = "nobody" },
	} {
		s, r = waiting(t, p, series(5, noon, time.Second)...)
		change(&r)
		if joins(t, p, s, &r, series(5, noon.Add(time.Minute), time.Second)...) {
			t.Errorf("something joined %s", name)
		}
	}
}

// Whatever comes when, and in how many steps it joins: each event is told once.
func TestJoinCountsOnce(t *testing.T) {
	p := newPolicy(t, GateConfig{}, bruteforce("report"))
	for step := 1; step < 40; step++ {
		s, r := waiting(t, p, series(5, noon, time.Second)...)
		events := series(200, noon.Add(time.Minute), time.Second)
		for i := 0; i < len(events); i += step {
			joins(t, p, s, &r, events[i:min(i+step, len(events))]...)
		}
		if r.Count != 205 {
			t.Errorf("%d at a time: %d events told of 205", step, r.Count)
		}
	}
}
