package syslog

import (
	"net/netip"
	"slices"
	"sync"
	"time"
)

// Refused is a sender that allow does not name.
type Refused struct {
	Addr        netip.Addr // by the word of the network: that of a datagram may be made up
	Count       uint64     // datagrams dropped and connections closed since it is known
	First, Last time.Time
}

// maxRefused is how many senders are remembered: a new one takes the place of the one that tried last the longest ago.
const maxRefused = 32

// refusals remembers who was refused. Safe for concurrent use.
type refusals struct {
	mu  sync.Mutex
	all []Refused
}

// note takes in that addr was refused at now.
func (r *refusals) note(addr netip.Addr, now time.Time) {
	addr = addr.Unmap()
	r.mu.Lock()
	defer r.mu.Unlock()
	i := slices.IndexFunc(r.all, func(one Refused) bool { return one.Addr == addr })
	switch {
	case i >= 0:
	case len(r.all) < maxRefused:
		i = len(r.all)
		r.all = append(r.all, Refused{Addr: addr, First: now})
	default:
		i = 0
		for j := range r.all {
			if r.all[j].Last.Before(r.all[i].Last) {
				i = j
			}
		}
		r.all[i] = Refused{Addr: addr, First: now}
	}
	r.all[i].Count++
	r.all[i].Last = now
}

// Refused returns the senders that were refused since the start, at most 32, the last to try first.
func (r *Receiver) Refused() []Refused {
	r.strangers.mu.Lock()
	all := slices.Clone(r.strangers.all)
	r.strangers.mu.Unlock()
	slices.SortStableFunc(all, func(a, b Refused) int { return b.Last.Compare(a.Last) })
	return all
}
