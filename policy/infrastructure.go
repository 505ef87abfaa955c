package policy

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"sync"

	"tattled/policy/shared"
)

// infrastructure is what many share, so that nobody is reported for it: see package shared.
type infrastructure struct {
	set   *shared.Set
	onHit func(Hit)

	mu   sync.Mutex
	hits map[string]Hit // by list
}

// Hit is the first address of a list of shared networks about which a report would have been made.
type Hit struct {
	List    *shared.List
	Addr    netip.Addr
	Service string // whose log had the address
}

// Edge reports whether the address is one of a content delivery network. Then what a web server logs as its visitors are not
// its visitors.
func (h Hit) Edge() bool { return h.List.Kind == shared.CDN }

// hit notes that a report about addr, which is as Peer returns it, was refused, and which service's log had it.
func (i *infrastructure) hit(addr netip.Addr, service string) {
	l := i.set.Find(addr)
	i.mu.Lock()
	_, known := i.hits[l.Name]
	if !known {
		i.hits[l.Name] = Hit{l, addr, service}
	}
	i.mu.Unlock()
	if !known && i.onHit != nil {
		i.onHit(Hit{l, addr, service})
	}
}

// Hits returns the first hit of each list, in the order of their names.
func (g *Gate) Hits() []Hit {
	if g.shared == nil {
		return nil
	}
	g.shared.mu.Lock()
	defer g.shared.mu.Unlock()
	return slices.SortedFunc(maps.Values(g.shared.hits), func(a, b Hit) int { return strings.Compare(a.List.Name, b.List.Name) })
}

// Because says why the gate refuses addr for reason r, as the end of the sentence "it is not reported, because ...". It says
// more than the reason does, where that lies in a list.
func (g *Gate) Because(r Refusal, addr netip.Addr) string {
	if r != Infrastructure || g.shared == nil {
		return r.Because()
	}
	l := g.shared.set.Find(Peer(addr))
	if l == nil {
		return r.Because()
	}
	what := "a network of " + l.Operator + " that many share"
	if l.Kind == shared.Crawler {
		what = l.Operator + ", which asks for what others link to"
	}
	return fmt.Sprintf("the address is %s (list %s of %s; report_infrastructure would accept that)", what, l.Name, l.Date)
}
