package web

import (
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"
	"time"

	"tattled/event"
	"tattled/policy"
	"tattled/policy/shared"
	"tattled/store"
)

// realGate is the gate of the policy.
type realGate struct{ *policy.Gate }

func (g realGate) RefuseNetwork(p netip.Prefix) (reason, because string) {
	r := g.Gate.RefuseNetwork(p)
	return r.String(), r.Because()
}

func (g realGate) RefuseEvent(e *event.Event) (reason, because string) {
	r := g.Refuse(e)
	return r.String(), r.Because()
}

func (realGate) Reports(string) bool { return true }

// Whatever the outbox has: no network of the feed has an address in it that the gate refuses, in any form.
func TestFeedNeverNamesTheRefused(t *testing.T) {
	var trusted, cloudflare shared.Network
	for text, n := range map[string]*shared.Network{"45.148.0.0/20": &trusted, "@cloudflare": &cloudflare} {
		if err := n.UnmarshalText([]byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	gate := policy.NewGate(policy.GateConfig{Trusted: []shared.Network{trusted, cloudflare}})
	gate.SetOwn([]netip.Addr{netip.MustParseAddr("2a02:c207:1:1::1"), netip.MustParseAddr("45.149.1.1")})
	gate.SetAdministrators([]netip.Prefix{netip.MustParsePrefix("2a02:c207:1:2::1/128")})
	random := rand.New(rand.NewPCG(3, 5))
	begins := []string{
		"45.148.", "45.149.1.", "10.0.0.", "192.0.2.", "1.1.1.", "104.16.", "127.0.", "224.0.", "169.254.", "2a02:c207:1:1::", "2a02:c207:1:2::", "2a02:c207:1:3::",
		"2001:db8::", "fe80::", "fd00::", "2606:4700:4700::", "64:ff9b::10.0.0.", "64:ff9b::45.149.9.", "64:ff9b:1::", "2001:0:1:2::", "2002:a00:1::", "::ffff:45.148.1.",
	}
	f := &fakeStore{}
	var refused []netip.Addr
	for i := range 3000 {
		text := begins[random.IntN(len(begins))]
		switch {
		case strings.HasSuffix(text, "::"):
			text += string("0123456789abcdef"[random.IntN(16)])
		case strings.Count(text, ".") == 2:
			text += "7." + "123456789"[random.IntN(9):][:1]
		default:
			text += "123456789"[random.IntN(9):][:1]
		}
		addr, err := netip.ParseAddr(text)
		if err != nil {
			t.Fatal(err)
		}
		if gate.RefuseReport(addr, event.AuthFailure) != policy.None {
			refused = append(refused, addr, policy.Peer(addr))
		}
		f.items = append(f.items, reported(text, time.Duration(i)*time.Second, func(i *store.Item) { i.Report.Addr = addr }))
	}
	r := start(t, f, func(_ *Config, d *Deps) { d.Gate = realGate{gate} }, usualPace())
	_, body := r.get("/api/v1/feed?format=pfsense")
	n := 0
	for line := range strings.Lines(body) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		network, err := netip.ParsePrefix(strings.TrimSpace(line))
		if err != nil {
			t.Fatal(err)
		}
		n++
		for _, addr := range refused {
			if network.Contains(addr) {
				t.Errorf("%s has %s in it, which is refused: %s", network, addr, gate.RefuseReport(addr, event.AuthFailure))
			}
		}
	}
	if n < 10 {
		t.Errorf("only %d networks are in the feed:\n%s", n, body)
	}
}
