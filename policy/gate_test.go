package policy

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"tattled/event"
	"tattled/policy/shared"
)

// Every address that nobody holds is refused, at both ends of its block and not beyond.
func TestRegistry(t *testing.T) {
	g := NewGate(GateConfig{})
	for text, want := range map[string]Refusal{
		"0.0.0.0": Special, "0.255.255.255": Special, "1.0.0.0": None,
		"9.255.255.255": None, "10.0.0.0": Private, "10.255.255.255": Private, "11.0.0.0": None,
		"100.63.255.255": None, "100.64.0.0": Private, "100.127.255.255": Private, "100.128.0.0": None,
		"126.255.255.255": None, "127.0.0.1": Loopback, "127.255.255.255": Loopback, "128.0.0.0": None,
		"169.253.255.255": None, "169.254.169.254": LinkLocal, "169.255.0.0": None,
		"172.15.255.255": None, "172.16.0.0": Private, "172.31.255.255": Private, "172.32.0.0": None,
		"192.0.0.8": Special, "192.0.0.170": Special, "192.0.1.0": None, "192.0.2.1": Documentation, "192.0.3.0": None,
		"192.31.196.1": Special, "192.52.193.1": Special, "192.88.99.1": Special, "192.175.48.6": Special,
		"192.167.255.255": None, "192.168.0.1": Private, "192.169.0.0": None,
		"198.17.255.255": None, "198.18.0.0": Special, "198.19.255.255": Special, "198.20.0.0": None,
		"198.51.100.9": Documentation, "203.0.113.5": Documentation, "203.0.114.0": None,
		"223.255.255.255": None, "224.0.0.1": Multicast, "239.255.255.255": Multicast, "240.0.0.1": Special, "255.255.255.255": Special,
		"::": Special, "::1": Loopback, "::2": Special, "64:ff9b::1": Special, "64:ff9b:1::1": Private, "100::1": Special,
		"100:0:0:1::1": Special, "1fff::1": Special, "2001:0:1::1": Special, "2001:20::1": Special, "2001:1ff::1": Special,
		"2001:200::1": None, "2001:db8::1": Documentation, "2001:db9::1": None, "2002:102:304::1": Special, "2003::1": None,
		"2620:4f:8000::1": Special, "2a02:6b8::1": None, "3fff::1": Documentation, "3fff:1000::1": None, "4000::1": Special,
		"5f00::1": Special, "fc00::1": Private, "fdff::1": Private, "fe80::1": LinkLocal, "fec0::1": Private, "ff02::1": Multicast,
	} {
		e := failure(noon)
		e.Addr = netip.MustParseAddr(text)
		if got := g.Refuse(e); got != want {
			t.Errorf("%s: %q, want %q", text, got, want)
		}
	}
}

func TestGate(t *testing.T) {
	var trusted shared.Network
	if err := trusted.UnmarshalText([]byte("45.9.0.0/16")); err != nil {
		t.Fatal(err)
	}
	trusting := NewGate(GateConfig{Trusted: []shared.Network{trusted}})
	own := NewGate(GateConfig{})
	own.SetOwn([]netip.Addr{netip.MustParseAddr("::ffff:45.9.20.7"), netip.MustParseAddr("fe80::1%eth0"), {}})
	plain, lenient := NewGate(GateConfig{}), NewGate(GateConfig{ReportUnverifiedTCP: true})
	for _, c := range []struct {
		name   string
		gate   *Gate
		change func(*event.Event)
		want   Refusal
	}{
		{"good", plain, func(*event.Event) {}, None},
		{"no address", plain, func(e *event.Event) { e.Addr = netip.Addr{} }, Invalid},
		{"mapped address", plain, func(e *event.Event) { e.Addr = netip.MustParseAddr("::ffff:45.9.20.7") }, Invalid},
		{"zone", plain, func(e *event.Event) { e.Addr = netip.MustParseAddr("fe80::1%eth0") }, Invalid},
		{"trusted", trusting, func(*event.Event) {}, Trusted},
		{"own", own, func(*event.Event) {}, Own},
		{"untrusted source", plain, func(e *event.Event) { e.Trust = event.TrustCount }, Untrusted},
		{"udp with a handshake", plain, func(e *event.Event) { e.Proto = event.UDP }, UDP},
		{"udp", lenient, func(e *event.Event) { e.Proto, e.Handshake = event.UDP, false }, UDP},
		{"icmp", lenient, func(e *event.Event) { e.Proto = event.ICMP }, ICMP},
		{"tcp without a handshake", plain, func(e *event.Event) { e.Handshake = false }, Unproven},
		{"the same, accepted", lenient, func(e *event.Event) { e.Handshake = false }, None},
		{"nothing known of the transport", lenient, func(e *event.Event) { e.Handshake, e.Proto = false, event.ProtoUnknown }, Unproven},
		{"59 days", plain, func(e *event.Event) { e.Time = e.Received.Add(-MaxAge) }, None},
		{"older", plain, func(e *event.Event) { e.Time = e.Received.Add(-MaxAge - time.Second) }, TooOld},
		{"a clock that is a little ahead", plain, func(e *event.Event) { e.Time = e.Received.Add(time.Minute) }, None},
		{"a clock that is ahead", plain, func(e *event.Event) { e.Time = e.Received.Add(time.Hour) }, Future},
	} {
		e := failure(noon)
		c.change(e)
		if got := c.gate.Refuse(e); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
	for _, r := range Refusals() {
		if r.Because() == "" || r.String() == "" {
			t.Errorf("refusal %d does not say why", r)
		}
	}
	if !trusting.Trusts(netip.MustParseAddr("::ffff:45.9.1.1")) || trusting.Trusts(netip.Addr{}) {
		t.Error("Trusts")
	}
}

// With the shipped policies a port scan is refused, because nothing proves its sender, unless the operator insists.
func TestPortScan(t *testing.T) {
	for _, insist := range []bool{false, true} {
		p := newPolicy(t, GateConfig{ReportUnverifiedTCP: insist}, Defaults()...)
		var events []*event.Event
		for i := range 30 {
			e := failure(noon.Add(time.Duration(i) * time.Second))
			e.Kind, e.Service, e.Handshake, e.User, e.LocalPort = event.FirewallBlock, "netfilter", false, "", uint16(1000+i)
			events = append(events, e)
		}
		got := judge(p, events...)
		if n := len(got); (n == 1) != insist {
			t.Errorf("report_unverified_tcp %v: %d reports", insist, n)
		}
		if n := p.Counters().Refused(Unproven); (n > 0) == insist {
			t.Errorf("report_unverified_tcp %v: %d refusals", insist, n)
		}
		if insist && len(got[0].Ports) != 5 {
			t.Errorf("ports %v", got[0].Ports)
		}
	}
}

// TestTrustedThroughNAT64 says that a client of NAT64 is trusted by either of its addresses.
func TestTrustedThroughNAT64(t *testing.T) {
	for _, network := range []string{"64:ff9b::/96", "64:ff9b::45.9.20.0/120", "64:ff9b::45.9.20.7", "45.9.20.0/24"} {
		var trusted shared.Network
		if err := trusted.UnmarshalText([]byte(network)); err != nil {
			t.Fatal(err)
		}
		g := NewGate(GateConfig{Trusted: []shared.Network{trusted}})
		e := failure(noon)
		e.Addr = netip.MustParseAddr("64:ff9b::45.9.20.7")
		if !g.Trusts(e.Addr) || g.Refuse(e) != Trusted {
			t.Errorf("trusted %s: %v, %q", network, g.Trusts(e.Addr), g.Refuse(e))
		}
		if other := netip.MustParseAddr("45.9.21.7"); g.Trusts(other) {
			t.Errorf("trusted %s trusts %s", network, other)
		}
	}
}

// TestInfrastructure says that networks which many share are refused, last of all reasons, that the first hit of each list is
// told of once, and that the operator can have them reported.
func TestInfrastructure(t *testing.T) {
	var hits []string
	config := GateConfig{OnHit: func(h Hit) { hits = append(hits, h.List.Name+" "+h.Addr.String()) }}
	g := NewGate(config)
	refuse := func(addr string, change func(*event.Event)) Refusal {
		e := failure(noon)
		e.Addr = netip.MustParseAddr(addr)
		change(e)
		return g.Refuse(e)
	}
	as := func(*event.Event) {}
	for _, addr := range []string{"172.64.0.1", "172.64.0.2", "2606:4700::1", "8.8.8.8", "66.249.66.1"} {
		if r := refuse(addr, as); r != Infrastructure {
			t.Errorf("%s: %v", addr, r)
		}
	}
	if r := refuse("151.101.0.1", func(e *event.Event) { e.Trust = event.TrustCount }); r != Untrusted {
		t.Errorf("untrusted: %v", r)
	}
	if r := refuse("151.101.0.1", func(e *event.Event) { e.Handshake = false }); r != Unproven {
		t.Errorf("unproven: %v", r)
	}
	p := newPolicy(t, config, bruteforce("report", "alert"))
	attack := func(addr string, n int, change func(*event.Event)) {
		events := series(n, noon, time.Second)
		for _, e := range events {
			e.Addr = netip.MustParseAddr(addr)
			change(e)
		}
		judge(p, events...)
	}
	attack("172.64.0.1", 4, as) // not enough for a report
	attack("172.64.0.1", 9, func(e *event.Event) { e.Kind = event.AuthSuccess })
	attack("172.64.0.1", 9, func(e *event.Event) { e.Trust = event.TrustCount })
	if len(hits) > 0 || p.Gate().Hits() != nil {
		t.Errorf("hits %q where no report would have been made", hits)
	}
	for _, addr := range []string{"172.64.0.1", "172.64.0.2", "8.8.8.8", "64:ff9b::66.249.66.1"} {
		attack(addr, 9, as)
	}
	if want := []string{"cloudflare 172.64.0.1", "google-dns 8.8.8.8", "googlebot 66.249.66.1"}; !slices.Equal(hits, want) {
		t.Errorf("hits %q, not %q", hits, want)
	}
	found := p.Gate().Hits()
	if len(found) != 3 || !found[0].Edge() || found[1].Edge() || found[2].Edge() {
		t.Errorf("%v", found)
	}
	if because := g.Because(Infrastructure, netip.MustParseAddr("172.64.0.1")); !strings.Contains(because, "Cloudflare") || !strings.Contains(because, "list cloudflare of 20") {
		t.Error(because)
	}
	if g.Because(UDP, netip.MustParseAddr("172.64.0.1")) != UDP.Because() {
		t.Error("another reason names a list")
	}
	if r := refuse("64:ff9b::172.64.0.1", as); r != Infrastructure {
		t.Errorf("through NAT64: %v", r)
	}
	if because := g.Because(Infrastructure, netip.MustParseAddr("64:ff9b::172.64.0.1")); !strings.Contains(because, "Cloudflare") {
		t.Error(because)
	}
	g = NewGate(GateConfig{ReportInfrastructure: true})
	if r := refuse("172.64.0.1", as); r != None || g.Hits() != nil {
		t.Errorf("with ReportInfrastructure: %v", r)
	}
	var list shared.Network
	if err := list.UnmarshalText([]byte("@cloudflare")); err != nil {
		t.Fatal(err)
	}
	g = NewGate(GateConfig{Trusted: []shared.Network{list}})
	if r := refuse("172.64.0.1", as); r != Trusted {
		t.Errorf("trusted: %v", r)
	}
}
