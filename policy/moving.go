package policy

import (
	"net/netip"
	"sync/atomic"

	"github.com/gaissmai/bart"

	"tattled/event"
)

// moving is what a gate knows of addresses that changes while it is in use. Each set never changes; a new one takes its place.
type moving struct{ trusted, own, forwarders, administrators atomic.Pointer[bart.Lite] }

// SetTrusted replaces the networks that are trusted beside those of the GateConfig: of files, and of DNS names.
func (g *Gate) SetTrusted(networks []netip.Prefix) { g.moving.trusted.Store(tableOf(networks)) }

// SetOwnNetworks replaces the networks of this machine that its interfaces do not have: its public address where another machine
// translates.
func (g *Gate) SetOwnNetworks(networks []netip.Prefix) { g.moving.own.Store(tableOf(networks)) }

// SetForwarders replaces the networks of those who send us the logs of others. They are never reported, and no third party is asked
// about them; the operator is alerted of them as of anybody.
func (g *Gate) SetForwarders(networks []netip.Prefix) { g.moving.forwarders.Store(tableOf(networks)) }

// SetAdministrators replaces the networks from which an account that the operator trusts logged in a short time ago. They are not reported for
// failed logins, and no third party is asked about them; the operator is alerted of them as of anybody.
func (g *Gate) SetAdministrators(networks []netip.Prefix) {
	g.moving.administrators.Store(tableOf(networks))
}

// tableOf returns nil for none, which costs whoever asks next to nothing.
func tableOf(networks []netip.Prefix) *bart.Lite {
	if len(networks) == 0 {
		return nil
	}
	set := new(bart.Lite)
	for _, n := range networks {
		if n.IsValid() {
			set.Insert(n.Masked())
		}
	}
	return set
}

func has(set *atomic.Pointer[bart.Lite], addr netip.Addr) bool {
	s := set.Load()
	return s != nil && s.Contains(addr)
}

// RefuseReport is RefuseAddr for a report about events of a kind.
func (g *Gate) RefuseReport(addr netip.Addr, kind event.Kind) Refusal {
	r := g.RefuseAddr(addr)
	if (r == None || r == Infrastructure) && kind == event.AuthFailure && has(&g.moving.administrators, Peer(addr)) {
		return Administrator
	}
	return r
}

// RefuseLookup says why no third party may be asked about addr; None if it may.
func (g *Gate) RefuseLookup(addr netip.Addr) Refusal {
	if r := g.RefuseReport(addr, event.AuthFailure); r.Confidential() {
		return r
	}
	return None
}
