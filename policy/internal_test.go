package policy

import (
	"net/netip"
	"testing"
	"time"

	"tattled/event"
	"tattled/policy/shared"
	"tattled/setting"
)

// accepted is a connection that a firewall let in.
func accepted(addr string) *event.Event {
	return &event.Event{
		Time: noon, Received: noon, Kind: event.FirewallAccept, Service: "netfilter", Addr: netip.MustParseAddr(addr), LocalPort: 22, Proto: event.TCP,
	}
}

// Of an address that nobody holds on the public Internet nobody is told, and no score is asked for, unless the policy says so: then
// there are alerts, without a lookup. Of a trusted one there is none either way.
func TestNobodyIsToldOfInternalAddresses(t *testing.T) {
	var trusted shared.Network
	if err := trusted.UnmarshalText([]byte("45.12.0.0/16")); err != nil {
		t.Fatal(err)
	}
	zero := 0
	open := Config{
		Name: "odd-accept", When: When{Kind: []event.Kind{event.FirewallAccept}}, Reputation: &Reputation{MaxScore: &zero}, Do: []string{"alert"},
	}
	private := open
	private.Private = true
	for addr, want := range map[string]Refusal{
		"10.0.0.7": Private, "127.0.0.1": Loopback, "169.254.3.3": LinkLocal, "203.0.113.9": Documentation, "100.64.0.1": Private,
		"224.0.0.5": Multicast, "0.0.0.1": Special, "fe80::1": LinkLocal, "2001:db8::1": Documentation, "45.11.0.1": Own, "45.12.0.1": Trusted,
		"45.9.20.7": None, "2a02:6b8::1": None, "172.64.1.1": None, // an edge of Cloudflare is not reported, and alerted of
	} {
		for _, rule := range []Config{open, private} {
			p := newPolicy(t, GateConfig{Trusted: []shared.Network{trusted}}, rule)
			p.Gate().SetOwn([]netip.Addr{netip.MustParseAddr("45.11.0.1")})
			if got := p.Gate().RefuseAddr(netip.MustParseAddr(addr)); got.Internal() != (want != None) || want != None && got != want {
				t.Errorf("%s: %q, want %q", addr, got, want)
			}
			var s State
			var j Judgement
			p.Judge(&s, accepted(addr), &j)
			due := want == None || rule.Private && want != Trusted
			if due != (len(j.Reports) == 1) {
				t.Errorf("%s, private: %v: %d alerts", addr, rule.Private, len(j.Reports))
			}
			if len(j.Reports) == 1 && (j.Reports[0].Reputation != nil) != (want == None) {
				t.Errorf("%s: asks for a score: %v", addr, j.Reports[0].Reputation != nil)
			}
			p.Count(&j)
			if !due && want != Trusted && (p.Counters().Refused(want) != 1 || p.Counters().Decisions()[Decision{"odd-accept", "refused"}] != 1) {
				t.Errorf("%s: not counted as refused: %v", addr, p.Counters().Decisions())
			}
		}
	}
}

// Regular ports are for packets that were blocked. What was let in is alerted of whatever the port, unless it is expected.
func TestRegularPortsOfBlocksAndAccepts(t *testing.T) {
	rule := Config{Name: "a", When: When{Kind: []event.Kind{event.FirewallAccept, event.FirewallBlock}}, Do: []string{"alert"}}
	for _, c := range []struct {
		gate GateConfig
		kind event.Kind
		port uint16
		due  int
	}{
		{GateConfig{}, event.FirewallAccept, 443, 1},
		{GateConfig{}, event.FirewallAccept, 22, 1},
		{GateConfig{}, event.FirewallBlock, 443, 0},
		{GateConfig{}, event.FirewallBlock, 22, 1},
		{GateConfig{RegularPorts: []uint16{22}}, event.FirewallAccept, 22, 1},
		{GateConfig{RegularPorts: []uint16{22}}, event.FirewallBlock, 22, 0},
		{GateConfig{RegularPorts: []uint16{22}}, event.FirewallBlock, 443, 1},
		{GateConfig{RegularAcceptPorts: []uint16{22}}, event.FirewallAccept, 22, 0},
		{GateConfig{RegularAcceptPorts: []uint16{22}}, event.FirewallAccept, 443, 1},
		{GateConfig{RegularAcceptPorts: []uint16{22}}, event.FirewallBlock, 22, 1},
	} {
		e := accepted("45.9.20.7")
		e.Kind, e.LocalPort = c.kind, c.port
		if got := judge(newPolicy(t, c.gate, rule), e); len(got) != c.due {
			t.Errorf("%+v: %d alerts", c, len(got))
		}
	}
}

// A count is of what the report names: an alert about a login is about one login, and says apart from it how many failures came
// before, in the time of the policy.
func TestCountOfASequence(t *testing.T) {
	rule := Config{
		Name: "success-after-failures", When: When{Kind: []event.Kind{event.AuthSuccess}}, After: []event.Kind{event.AuthFailure},
		Threshold: 5, Within: setting.Duration(time.Hour), Do: []string{"alert", "report"},
	}
	success := func(at time.Time) *event.Event {
		e := failure(at)
		e.Kind, e.Rule, e.User = event.AuthSuccess, "accepted", "alice"
		return e
	}
	for name, c := range map[string]struct {
		events []*event.Event
		want   event.Prior
	}{
		"six failures": {
			append(series(6, noon, time.Minute), success(noon.Add(10*time.Minute))), event.Prior{Count: 6, First: noon},
		},
		"ninety in the hour": {
			append(series(90, noon, 10*time.Second), success(noon.Add(20*time.Minute))), event.Prior{Count: 90, First: noon},
		},
		"ninety over hours, two of them in the hour before": { // not reached: see below
			append(series(90, noon, 30*time.Minute), success(noon.Add(90*30*time.Minute))), event.Prior{},
		},
		"eighty-four over hours, and six in the hour before": {
			append(append(series(84, noon, 30*time.Minute), series(6, noon.Add(84*30*time.Minute), time.Second)...), success(noon.Add(84*30*time.Minute+31*time.Minute))),
			event.Prior{Count: 6, First: noon.Add(84 * 30 * time.Minute)},
		},
		"more than are remembered, after others": {
			append(append(series(3, noon, 50*time.Minute), series(40, noon.Add(150*time.Minute), time.Second)...), success(noon.Add(3*time.Hour))),
			event.Prior{Count: 10, More: true, First: noon.Add(150*time.Minute + 30*time.Second)},
		},
	} {
		got := judge(newPolicy(t, GateConfig{}, rule), c.events...)
		if c.want.Count == 0 {
			if len(got) != 0 {
				t.Errorf("%s: %d reports", name, len(got))
			}
			continue
		}
		if len(got) != 2 {
			t.Errorf("%s: %d reports", name, len(got))
			continue
		}
		last := c.events[len(c.events)-1]
		for _, r := range got {
			if r.Kind != event.AuthSuccess || r.Kinds != nil || r.Count != 1 || r.User != "alice" || r.Users != 1 || !r.First.Equal(last.Time) || !r.Last.Equal(last.Time) {
				t.Errorf("%s: %+v", name, r)
			}
			p := r.Prior
			if p == nil || len(p.Kinds) != 1 || p.Kinds[0] != event.AuthFailure || p.Count != c.want.Count || p.More != c.want.More || !p.First.Equal(c.want.First) {
				t.Errorf("%s: before it %+v, want %+v", name, p, c.want)
			}
		}
	}
}

// Where a policy counts several kinds, the report names them all, and not the last one's for all.
func TestCountOfSeveralKinds(t *testing.T) {
	rule := bruteforce("report")
	rule.When.Kind = []event.Kind{event.AuthFailure, event.Probe}
	events := series(5, noon, time.Second)
	events[1].Kind = event.Probe
	got := judge(newPolicy(t, GateConfig{}, rule), events...)
	if len(got) != 1 || got[0].Count != 5 || len(got[0].Kinds) != 2 || got[0].Kinds[1] != event.Probe {
		t.Errorf("%+v", got)
	}
	if got := judge(newPolicy(t, GateConfig{}, bruteforce("report")), series(5, noon, time.Second)...); len(got) != 1 || got[0].Kinds != nil {
		t.Errorf("%+v", got)
	}
}
