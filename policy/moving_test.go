package policy

import (
	"net/netip"
	"testing"
	"time"

	"tattled/event"
	"tattled/setting"
)

func networks(texts ...string) []netip.Prefix {
	var all []netip.Prefix
	for _, text := range texts {
		all = append(all, netip.MustParsePrefix(text))
	}
	return all
}

// What a gate learns while it is in use is in effect at once, and so is what it forgets.
func TestMovingNetworks(t *testing.T) {
	g := NewGate(GateConfig{})
	g.SetTrusted(networks("45.9.20.0/24", "2a02:6b8::/48"))
	g.SetOwnNetworks(networks("45.10.1.1/32"))
	g.SetForwarders(networks("45.11.1.1/32", "2a02:6b9:1:2::/64", "10.0.0.1/32"))
	g.SetAdministrators(networks("45.12.1.1/32", "2a02:6ba:1:2::/64", "172.64.1.1/32"))
	for addr, want := range map[string][2]Refusal{ // for a failed login, for another kind
		"45.9.20.7": {Trusted, Trusted}, "2a02:6b8::7": {Trusted, Trusted}, "45.9.21.7": {None, None},
		"64:ff9b::2d09:1407": {Trusted, Trusted}, // 45.9.20.7 behind NAT64
		"45.10.1.1":          {Own, Own}, "45.10.1.2": {None, None},
		"45.11.1.1": {Forwarder, Forwarder}, "2a02:6b9:1:2:9::": {Forwarder, Forwarder}, "10.0.0.1": {Private, Private},
		"45.12.1.1": {Administrator, None}, "2a02:6ba:1:2:9::1": {Administrator, None}, "64:ff9b::2d0c:101": {Administrator, None},
		"172.64.1.1": {Administrator, Infrastructure},
	} {
		e := failure(noon)
		e.Addr = netip.MustParseAddr(addr)
		if got := g.Refuse(e); got != want[0] {
			t.Errorf("%s, a failed login: %q, want %q", addr, got, want[0])
		}
		e.Kind = event.WebAttack
		if got := g.Refuse(e); got != want[1] {
			t.Errorf("%s, a web attack: %q, want %q", addr, got, want[1])
		}
		if got := g.RefuseLookup(e.Addr); (got != None) != (want[0] != None) {
			t.Errorf("%s: whether a score is asked for: %q", addr, got)
		}
	}
	g.SetTrusted(nil)
	g.SetOwnNetworks(nil)
	g.SetForwarders([]netip.Prefix{{}})
	g.SetAdministrators(nil)
	for _, addr := range []string{"45.9.20.7", "45.10.1.1", "45.11.1.1", "45.12.1.1"} {
		e := failure(noon)
		e.Addr = netip.MustParseAddr(addr)
		if got := g.Refuse(e); got != None {
			t.Errorf("%s, forgotten: %q", addr, got)
		}
	}
	if n := testing.AllocsPerRun(100, func() { g.Trusts(netip.MustParseAddr("45.9.20.7")) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// Nobody becomes invisible: the operator is alerted of who sends logs and of administrators as of anybody, without a lookup; whoever got
// in with an administrator's account is reported for what is not a failed login.
func TestWhoIsOneOfUsIsStillSeen(t *testing.T) {
	failures := Config{Name: "failures", When: When{Kind: []event.Kind{event.AuthFailure}}, Threshold: 3, Within: setting.Duration(time.Hour), Do: []string{"report", "alert"}}
	attacks := Config{Name: "attacks", When: When{Kind: []event.Kind{event.WebAttack}}, Threshold: 3, Within: setting.Duration(time.Hour), Do: []string{"report", "alert"}}
	zero := 0
	scored := Config{Name: "scored", When: When{Kind: []event.Kind{event.AuthFailure}}, Reputation: &Reputation{MaxScore: &zero}, Do: []string{"alert"}}
	for name, set := range map[string]func(*Gate, []netip.Prefix){"forwarder": (*Gate).SetForwarders, "administrator": (*Gate).SetAdministrators} {
		for _, kind := range []event.Kind{event.AuthFailure, event.WebAttack} {
			p := newPolicy(t, GateConfig{}, failures, attacks, scored)
			set(p.Gate(), networks(failure(noon).Addr.String()+"/32"))
			done := map[string]int{}
			var s State
			for _, e := range series(5, noon, time.Minute) {
				e.Kind = kind
				var j Judgement
				p.Judge(&s, e, &j)
				for _, r := range j.Reports {
					done[r.Destination+" "+r.Policy]++
					if r.Policy == "scored" && r.Reputation != nil {
						t.Errorf("%s: a score is asked for", name)
					}
				}
			}
			alerts, reports := done["mail failures"]+done["mail attacks"], done["abuseipdb failures"]+done["abuseipdb attacks"]
			reported := name == "administrator" && kind == event.WebAttack
			if alerts != 1 || (reports == 1) != reported || kind == event.AuthFailure && done["mail scored"] != 1 {
				t.Errorf("%s, %v: %v", name, kind, done)
			}
		}
	}
}

func BenchmarkTrusts(b *testing.B) {
	empty, full := NewGate(GateConfig{}), NewGate(GateConfig{})
	full.SetTrusted(networks("45.9.20.0/24", "2a02:6b8::/48"))
	addr := netip.MustParseAddr("45.13.1.1")
	for name, g := range map[string]*Gate{"nothing": empty, "networks": full} {
		b.Run(name, func(b *testing.B) {
			for range b.N {
				g.Trusts(addr)
			}
		})
	}
}
