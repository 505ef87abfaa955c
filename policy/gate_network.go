package policy

import (
	"net/netip"
	"sync/atomic"

	"github.com/gaissmai/bart"

	"tattled/event"
)

// RefuseNetwork is RefuseReport, for the kind of event that most is refused of, for a network as Network returns it: it gives a reason if
// one holds of any address in it, because who blocks the network blocks that address too.
func (g *Gate) RefuseNetwork(p netip.Prefix) Refusal {
	if r := g.RefuseReport(p.Addr(), event.AuthFailure); r != None || p.IsSingleIP() {
		return r
	}
	switch {
	case g.trusted.OverlapsPrefix(p), overlaps(&g.moving.trusted, p):
		return Trusted
	case overlaps(&g.own, p), overlaps(&g.moving.own, p):
		return Own
	case overlaps(&g.moving.forwarders, p):
		return Forwarder
	case overlaps(&g.moving.administrators, p):
		return Administrator
	case g.shared != nil && g.shared.set.Overlaps(p):
		return Infrastructure
	default:
		return None
	}
}

func overlaps(set *atomic.Pointer[bart.Lite], p netip.Prefix) bool {
	s := set.Load()
	return s != nil && s.OverlapsPrefix(p)
}
