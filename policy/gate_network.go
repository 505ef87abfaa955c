package policy

import "net/netip"

// RefuseNetwork is RefuseAddr for a network as Network returns it: it gives a reason if one holds of any address in it, because who blocks
// the network blocks that address too.
func (g *Gate) RefuseNetwork(p netip.Prefix) Refusal {
	if r := g.RefuseAddr(p.Addr()); r != None || p.IsSingleIP() {
		return r
	}
	switch {
	case g.trusted.OverlapsPrefix(p):
		return Trusted
	case g.own.Load().OverlapsPrefix(p):
		return Own
	case g.shared != nil && g.shared.set.Overlaps(p):
		return Infrastructure
	default:
		return None
	}
}
