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

// login is a success of user that follows an event.
func loginAt(at time.Time, user string) *event.Event {
	e := failure(at)
	e.Kind, e.Rule, e.User = event.AuthSuccess, "accepted", user
	return e
}

func weighing(n int) Config {
	c := bruteforce("report")
	c.Successes = n
	return c
}

// A number counts only with breadth: ten requests for the same path are none, and neither are five for five.
func TestBreadth(t *testing.T) {
	rule := Config{
		Name: "web", When: When{Kind: []event.Kind{event.WebAttack}}, Threshold: 10, Distinct: "paths", MinDistinct: 5,
		Within: setting.Duration(time.Hour), Do: []string{"report"},
	}
	p := newPolicy(t, GateConfig{}, rule)
	asked := func(n int, path func(i int) string) []*event.Event {
		all := series(n, noon, time.Second)
		for i, e := range all {
			e.Kind, e.Path = event.WebAttack, path(i)
		}
		return all
	}
	for _, c := range []struct {
		name   string
		events []*event.Event
		due    int // the events it takes, 0 for never
	}{
		{"one path, often", asked(1000, func(int) string { return "/.env" }), 0},
		{"four paths, often", asked(1000, func(i int) string { return fmt.Sprint("/", i%4) }), 0},
		{"five paths, five times", asked(5, func(i int) string { return fmt.Sprint("/", i) }), 0},
		{"without paths", asked(100, func(int) string { return "" }), 0},
		{"five paths by turns", asked(100, func(i int) string { return fmt.Sprint("/", i%5) }), 10},
		{"a new path each time", asked(100, func(i int) string { return fmt.Sprint("/", i) }), 10},
		{"four paths, and one among many", asked(500, func(i int) string { return fmt.Sprint("/", max(i/100, 0)) }), 401},
	} {
		var s State
		var j Judgement
		due := 0
		for i, e := range c.events {
			if p.Judge(&s, e, &j); len(j.Reports) > 0 && due == 0 {
				due = i + 1
			}
		}
		if due != c.due {
			t.Errorf("%s: reported at event %d, want %d", c.name, due, c.due)
		}
	}
}

// A failure that a success of its account follows is none: of its own account, at its own service, shortly after, and so
// many at most.
func TestSuccessTakesFailuresBack(t *testing.T) {
	p := newPolicy(t, GateConfig{}, weighing(3))
	four := series(4, noon, time.Second)
	at := noon.Add(time.Minute)
	for _, c := range []struct {
		name    string
		success *event.Event
		change  func(e *event.Event)
		after   int // failures that are still possible before a report
	}{
		{"none", nil, nil, 0},
		{"of the account", loginAt(at, "root"), nil, 3},
		{"of another one", loginAt(at, "alice"), nil, 0},
		{"at another service", loginAt(at, "root"), func(e *event.Event) { e.Service = "dovecot" }, 0},
		{"too late", loginAt(noon.Add(11*time.Minute), "root"), nil, 0},
		{"before the failures", loginAt(noon.Add(-time.Second), "root"), nil, 0},
		{"that anybody may have forged", loginAt(at, "root"), func(e *event.Event) { e.Trust = event.TrustCount }, 0},
		{"from an unproven address", loginAt(at, "root"), func(e *event.Event) { e.Handshake = false }, 0},
	} {
		var s State
		var got []event.Report
		got = append(got, judgeInto(p, &s, four...)...)
		if c.change != nil {
			c.change(c.success)
		}
		if c.success != nil {
			got = append(got, judgeInto(p, &s, c.success)...)
		}
		more := 0
		for ; len(got) == 0 && more < 20; more++ {
			e := failure(noon.Add(2*time.Minute + time.Duration(more)*time.Second))
			e.User = "admin"
			got = judgeInto(p, &s, e)
		}
		want := c.after + 1
		if c.name == "too late" {
			want = 1
		}
		if more != want {
			t.Errorf("a success %s: reported after %d more failures, want %d", c.name, more, want)
		}
	}
}

// One who has a valid account, or a few, guesses no more than they are, however often he logs in.
func TestAValidAccountLaundersNothing(t *testing.T) {
	p := newPolicy(t, GateConfig{}, weighing(5))
	for own, want := range map[int]int{0: 5, 1: 5, 4: 5, 8: 9, 15: 16, 100: maxLogins + 1} {
		var s State
		tries := 0
		for i := range 200 {
			at := noon.Add(time.Duration(i) * time.Second)
			for k := range own {
				judgeInto(p, &s, loginAt(at, fmt.Sprint("own", k)))
			}
			tries++
			if len(judgeInto(p, &s, failure(at.Add(time.Millisecond)))) > 0 {
				break
			}
		}
		if tries != want {
			t.Errorf("with %d accounts: reported at failure %d, want %d", own, tries, want)
		}
	}
}

// Where many share an address, the accounts that get in are weighed against those that do not; forged ones weigh nothing
// against proven failures.
func TestShare(t *testing.T) {
	rule := weighing(5)
	rule.Distinct, rule.Threshold, rule.Within = "users", 10, setting.Duration(24*time.Hour)
	for _, c := range []struct {
		failing, logins int
		forged          bool
		due             int
	}{{12, 0, false, 1}, {12, 9, false, 1}, {12, 12, false, 0}, {12, 400, false, 0}, {12, 400, true, 1}, {30, 400, false, 1}} {
		p := newPolicy(t, GateConfig{}, rule)
		var s State
		due := 0
		for i := range c.logins {
			e := loginAt(noon.Add(time.Duration(i)*time.Minute), fmt.Sprint("customer", i))
			if c.forged {
				forge(e)
			}
			judgeInto(p, &s, e)
		}
		for i := range c.failing {
			e := failure(noon.Add(time.Duration(i) * time.Hour))
			e.User = fmt.Sprint("other", i)
			due += len(judgeInto(p, &s, e))
		}
		if due != c.due {
			t.Errorf("%+v: %d reports", c, due)
		}
		if weighed := p.Counters().Decisions()[Decision{"bruteforce", "weighed"}] > 0; weighed != (c.logins >= 12 && !c.forged) {
			t.Errorf("%+v: weighed is %v", c, weighed)
		}
	}
}

// outageEvents are what addresses do that got in before noon: from then on all fail, every minute for ten minutes.
func outageEvents(addresses int) []*event.Event {
	var all []*event.Event
	for i := range addresses {
		e := loginAt(noon.Add(-time.Hour), "deploy")
		e.Addr = netip.AddrFrom4([4]byte{45, 9, 21, byte(i)})
		all = append(all, e)
	}
	for minute := range 10 {
		for i := range addresses {
			e := failure(noon.Add(time.Duration(minute) * time.Minute))
			e.User, e.Addr = "staging", netip.AddrFrom4([4]byte{45, 9, 21, byte(i)})
			all = append(all, e)
		}
	}
	return all
}

// judgeAll judges events of many addresses by one memory.
func judgeAll(p *Policy, j *Judgement, states map[netip.Addr]*State, events ...*event.Event) {
	for _, e := range events {
		if states[e.Addr] == nil {
			states[e.Addr] = new(State)
		}
		p.Judge(states[e.Addr], e, j)
	}
	p.Count(j)
}

// An account that got in before is not guessed from where it did, however often it fails: its client has an old password. Other
// accounts are, and so is that one from elsewhere, after a month, or where the login may have been forged.
func TestOwnAccount(t *testing.T) {
	for _, c := range []struct {
		what  string
		login func(e *event.Event)
		fails string
		after time.Duration
		due   int
	}{
		{"its own account", func(*event.Event) {}, "deploy", time.Hour, 0},
		{"its own account, weeks later", func(*event.Event) {}, "deploy", 29 * 24 * time.Hour, 0},
		{"its own account, after a month", func(*event.Event) {}, "deploy", 31 * 24 * time.Hour, 1},
		{"another account", func(*event.Event) {}, "root", time.Hour, 1},
		{"no account", func(*event.Event) {}, "", time.Hour, 1},
		{"an account of another service", func(e *event.Event) { e.Service = "vsftpd" }, "deploy", time.Hour, 1},
		{"an account that got in elsewhere", func(e *event.Event) { e.Addr = netip.MustParseAddr("45.9.22.1") }, "deploy", time.Hour, 1},
		{"a login that may be forged", func(e *event.Event) { forge(e) }, "deploy", time.Hour, 1},
	} {
		states, j := map[netip.Addr]*State{}, Judgement{}
		p := newPolicy(t, GateConfig{}, weighing(5))
		in := loginAt(noon, "deploy")
		in.Addr = attacker
		c.login(in)
		judgeAll(p, &j, states, in)
		for i := range 20 {
			e := failure(noon.Add(c.after + time.Duration(i)*time.Second))
			e.User, e.Addr = c.fails, attacker
			judgeAll(p, &j, states, e)
		}
		if len(j.Reports) != c.due {
			t.Errorf("%s: %d reports, not %d", c.what, len(j.Reports), c.due)
		}
	}
}

func TestOutage(t *testing.T) {
	states, j := map[netip.Addr]*State{}, Judgement{}
	p := newPolicy(t, GateConfig{}, weighing(5))
	judgeAll(p, &j, states, outageEvents(8)...)
	if len(j.Reports) != 0 || p.Counters().Decisions()[Decision{"bruteforce", "held"}] == 0 {
		t.Errorf("%d reports, %v", len(j.Reports), p.Counters().Decisions())
	}
	now := j.Outages.Now()
	if len(now) != 1 || now[0].Service != "sshd" || now[0].Addresses != 8 || !now[0].Since.Equal(noon) {
		t.Errorf("%+v", now)
	}
	// An attacker that never got in is reported in the middle of it, at his fifth failure.
	judgeAll(p, &j, states, series(5, noon.Add(9*time.Minute), time.Second)...)
	if len(j.Reports) != 1 || j.Reports[0].Addr != attacker {
		t.Errorf("%+v", j.Reports)
	}
	// It is over once they get in again, and what failed meanwhile is forgotten: five more it takes.
	j.Reset()
	var after []*event.Event
	for i := range 8 {
		e := loginAt(noon.Add(10*time.Minute), "deploy")
		e.Addr = netip.AddrFrom4([4]byte{45, 9, 21, byte(i)})
		after = append(after, e)
	}
	judgeAll(p, &j, states, after...)
	if len(j.Outages.Now()) != 0 {
		t.Errorf("%+v", j.Outages.Now())
	}
	again := series(5, noon.Add(11*time.Minute), time.Second)
	for i, e := range again {
		e.Addr = netip.AddrFrom4([4]byte{45, 9, 21, 0})
		if judgeAll(p, &j, states, e); (len(j.Reports) > 0) != (i == 4) {
			t.Errorf("failure %d after the outage: %d reports", i+1, len(j.Reports))
		}
	}
}

// What is no outage: few addresses, addresses that never got in, more that get in than fail, forged failures, and one that
// lasts for a day.
func TestNoOutage(t *testing.T) {
	reports := func(events []*event.Event) (int, []Outage) {
		states, j := map[netip.Addr]*State{}, Judgement{}
		judgeAll(newPolicy(t, GateConfig{}, weighing(5)), &j, states, events...)
		return len(j.Reports), j.Outages.Now()
	}
	if n, now := reports(outageEvents(4)); n != 4 || len(now) != 0 {
		t.Errorf("four addresses: %d reports, %+v", n, now)
	}
	if n, now := reports(outageEvents(8)[8:]); n != 8 || len(now) != 0 {
		t.Errorf("eight that never got in: %d reports, %+v", n, now)
	}
	forged := outageEvents(8)
	forge(forged[8:]...)
	if n, now := reports(append(forged, outageEvents(4)[4:]...)); n != 4 || len(now) != 0 {
		t.Errorf("forged failures: %d reports, %+v", n, now)
	}
	var busy []*event.Event
	for _, e := range outageEvents(6) {
		if busy = append(busy, e); e.Kind != event.AuthFailure {
			continue
		}
		for i := range 2 { // others get in meanwhile, who did before
			in := loginAt(e.Time, "staff")
			in.Addr = netip.AddrFrom4([4]byte{45, 9, 22, 2*e.Addr.As4()[3] + byte(i)})
			busy = append(busy, in)
		}
	}
	early := slices.Clone(busy)
	for i, e := range early {
		if e.Kind == event.AuthSuccess && e.User == "staff" {
			before := *e
			before.Time, before.Received = noon.Add(-time.Hour), noon.Add(-time.Hour)
			early[i] = &before
		}
	}
	if n, now := reports(append(early[:len(early):len(early)], busy...)); n == 0 || len(now) != 0 {
		t.Errorf("others get in: %d reports, %+v", n, now)
	}
	var long []*event.Event
	for hour := range 24 {
		for _, e := range outageEvents(8)[8*min(hour, 1):] {
			e.Time, e.Received = e.Time.Add(time.Duration(hour)*10*time.Minute*6), e.Received.Add(time.Duration(hour)*10*time.Minute*6)
			long = append(long, e)
		}
		for minute := range 5 { // without a pause
			for _, e := range outageEvents(8)[8:] {
				shift := time.Duration(hour)*time.Hour + time.Duration(minute+1)*10*time.Minute
				e.Time, e.Received = e.Time.Add(shift), e.Received.Add(shift)
				long = append(long, e)
			}
		}
	}
	if n, _ := reports(long); n != 8 {
		t.Errorf("an outage of a day: %d reports, want 8 once six hours are over", n)
	}
}

// However many services and addresses there are, what is remembered of them is bounded.
func TestOutagesAreBounded(t *testing.T) {
	p := newPolicy(t, GateConfig{}, weighing(5))
	var j Judgement
	for i := range 20 * maxVisitors {
		var s State
		for _, e := range []*event.Event{loginAt(noon.Add(-time.Hour), "a"), failure(noon.Add(time.Duration(i) * time.Second))} {
			e.Service, e.Addr = fmt.Sprint("s", i%(2*maxServices)), netip.AddrFrom4([4]byte{45, 9, byte(i >> 8), byte(i)})
			p.Judge(&s, e, &j)
		}
	}
	n := 0
	for _, v := range j.Outages.services {
		n = max(n, len(v.all))
	}
	if len(j.Outages.services) != maxServices || n > maxVisitors {
		t.Errorf("%d services with %d addresses", len(j.Outages.services), n)
	}
}

func TestSuccessesAreChecked(t *testing.T) {
	faults := func(c Config) (paths []string) {
		c.Name, c.Within, c.Do = "x", setting.Duration(time.Hour), []string{"report"}
		c.Check(func(path, _ string) { paths = append(paths, path) })
		return paths
	}
	failures := When{Kind: []event.Kind{event.AuthFailure}}
	for _, c := range []struct {
		config Config
		want   string
	}{
		{Config{When: failures, Threshold: 5, Successes: 5}, ""},
		{Config{When: failures, Threshold: 5, Distinct: "users", Successes: 20}, ""},
		{Config{When: failures, Threshold: 5, Successes: 21}, "successes"},
		{Config{When: failures, Threshold: 5, Successes: -1}, "successes"},
		{Config{Threshold: 5, Successes: 5}, "successes"},
		{Config{When: failures, After: []event.Kind{event.Probe}, Threshold: 5, Successes: 5}, "successes"},
		{Config{When: failures, Threshold: 5, Distinct: "ports", Successes: 5}, "successes"},
		{Config{Threshold: 10, Distinct: "paths", MinDistinct: 5}, ""},
		{Config{Threshold: 10, MinDistinct: 5}, "min_distinct"},
		{Config{Threshold: 10, Distinct: "paths", MinDistinct: 1}, "min_distinct"},
		{Config{Threshold: 50, Distinct: "paths", MinDistinct: 33}, "min_distinct"},
		{Config{Threshold: 4, Distinct: "paths", MinDistinct: 5}, "threshold"},
		{Config{Threshold: 101, Distinct: "paths", MinDistinct: 5}, "threshold"},
	} {
		if got := fmt.Sprint(faults(c.config)); got != "["+c.want+"]" {
			t.Errorf("%+v: faults %s, want %q", c.config, got, c.want)
		}
	}
}
