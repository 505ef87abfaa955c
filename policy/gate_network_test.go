package policy

import (
	"net/netip"
	"testing"

	"tattled/policy/shared"
)

// A /64 is refused for any address in it: of ours, trusted, or one that many share.
func TestRefuseNetwork(t *testing.T) {
	var trusted, narrow shared.Network
	for text, n := range map[string]*shared.Network{"2a02:c207:1::/48": &trusted, "2a02:c207:2:3::7": &narrow} {
		if err := n.UnmarshalText([]byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	g := NewGate(GateConfig{Trusted: []shared.Network{trusted, narrow}})
	g.SetOwn([]netip.Addr{netip.MustParseAddr("2a02:c207:4:5::9")})
	networks := func(text string) []netip.Prefix { return []netip.Prefix{netip.MustParsePrefix(text)} }
	g.SetTrusted(networks("2a02:c207:6:1::7/128"))
	g.SetOwnNetworks(networks("2a02:c207:6:2::7/128"))
	g.SetForwarders(networks("2a02:c207:6:3::7/128"))
	g.SetAdministrators(networks("2a02:c207:6:4::7/128"))
	for network, want := range map[string]Refusal{
		"2a02:c207:6:1::/64":   Trusted,
		"2a02:c207:6:2::/64":   Own,
		"2a02:c207:6:3::/64":   Forwarder,
		"2a02:c207:6:4::/64":   Administrator,
		"2a02:c207:6:4::8/128": None,
		"45.148.10.7/32":       None,
		"2a02:c207:9:9::/64":   None,
		"2a02:c207:1:1::/64":   Trusted,
		"2a02:c207:2:3::/64":   Trusted,
		"2a02:c207:2:3::8/128": None,
		"2a02:c207:4:5::/64":   Own,
		"2a02:c207:4:5::9/128": Own,
		"2a02:c207:4:5::a/128": None,
		"10.0.0.1/32":          Private,
		"203.0.113.5/32":       Documentation,
		"2001:db8::/64":        Documentation,
		"2606:4700:4700::/64":  Infrastructure, // 2606:4700:4700::1111 answers names
		"fe80::/64":            LinkLocal,
		"1.1.1.1/32":           Infrastructure,
	} {
		if got := g.RefuseNetwork(netip.MustParsePrefix(network)); got != want {
			t.Errorf("%s: %q, want %q", network, got, want)
		}
	}
	if got := g.RefuseNetwork(netip.Prefix{}); got != Invalid {
		t.Errorf("no network: %q", got)
	}
}
