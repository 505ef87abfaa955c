package syslog

import (
	"net/netip"
	"slices"
	"sync"
	"time"

	"tattled/setting"
)

// Peer is a sender whose records were taken, by an address that allow names and that is not a private one.
type Peer struct {
	Addr     netip.Addr
	Last     time.Time // when a record of it was taken last
	Datagram bool      // anybody who can forge an address that allow names can be this one
}

const (
	// maxPeers is how many peers of a listener are remembered. A new one is not taken when there are as many.
	maxPeers = 512
	// Networks of allow that are wider than these name nobody in particular: whoever has an address there is not one of ours for that.
	narrow4, narrow6 = 16, 48
	// peerFor is how long a peer is remembered here after its last record. Whoever wants to know for longer asks more often.
	peerFor = time.Hour
)

// narrow reports whether an entry of allow names senders in particular.
func narrow(n setting.Network) bool {
	p := n.Prefix()
	return p.Addr().Is4() && p.Bits() >= narrow4 || p.Addr().Is6() && p.Bits() >= narrow6
}

// particular reports whether allow names a peer in particular, which has no private address: of those nobody is told anyway, and on
// their network they are the easiest to forge.
func (c *Config) particular(peer netip.Addr) bool {
	peer = peer.Unmap().WithZone("")
	return !peer.IsPrivate() && slices.ContainsFunc(c.Allow, func(n setting.Network) bool { return narrow(n) && n.Prefix().Contains(peer) })
}

// peerList remembers whose records were taken. Safe for concurrent use.
type peerList struct {
	mu  sync.Mutex
	all map[netip.Addr]Peer
}

// note takes in that a record of addr was taken at now.
func (l *peerList) note(addr netip.Addr, datagram bool, now time.Time) {
	addr = addr.Unmap().WithZone("")
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, known := l.all[addr]; !known && len(l.all) >= maxPeers {
		l.expire(now)
		if len(l.all) >= maxPeers {
			return
		}
	}
	if l.all == nil {
		l.all = map[netip.Addr]Peer{}
	}
	l.all[addr] = Peer{addr, now, datagram}
}

func (l *peerList) expire(now time.Time) {
	for addr, p := range l.all {
		if now.Sub(p.Last) >= peerFor {
			delete(l.all, addr)
		}
	}
}

// Peers returns the senders whose records were taken within the last hour, by addresses that allow names in a network of no
// more than a /16 (of IPv6, a /48) and that are not private: at most 512, in order. By TCP they completed a handshake.
func (r *Receiver) Peers() []Peer {
	r.peers.mu.Lock()
	defer r.peers.mu.Unlock()
	all := make([]Peer, 0, len(r.peers.all))
	for _, p := range r.peers.all {
		all = append(all, p)
	}
	slices.SortFunc(all, func(a, b Peer) int { return a.Addr.Compare(b.Addr) })
	return all
}

// recently is which senders of datagrams were noted a short time ago, so that a datagram costs a comparison. One goroutine uses it.
type recently struct {
	slots [64]netip.Addr
	since time.Time
}

// renewEvery is how often a sender that goes on is noted again.
const renewEvery = time.Minute

// turn has every sender noted again after renewEvery. It is called once for each batch.
func (s *recently) turn(now time.Time) {
	if age := now.Sub(s.since); age < 0 || age >= renewEvery {
		*s = recently{since: now}
	}
}

// has reports whether addr was noted since the last turn that counted, and takes in that it is now.
func (s *recently) has(addr netip.Addr) bool {
	raw := addr.As16()
	slot := &s.slots[(raw[15]^raw[7])%64]
	if *slot == addr {
		return true
	}
	*slot = addr
	return false
}

// heardFrom takes in that a datagram of addr is taken.
func (r *Receiver) heardFrom(s *recently, addr netip.Addr, now time.Time) {
	if addr.IsValid() && !s.has(addr) && r.cfg.particular(addr) {
		r.peers.note(addr, true, now)
	}
}
