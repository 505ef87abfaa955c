package syslog

import (
	"container/heap"
	"container/list"
	"net/netip"
	"time"
)

// grace is how long a new connection has for its first record before it is the first to go.
const grace = time.Second

// crowd is the open connections of a listener, and who of them goes when there are too many: the longest silent one of the
// address with the most. So whoever has few connections keeps them however many others there are, and a newcomer always
// gets in. Of addresses that have as many, it is the one with the longest silent connection; but a connection that sent no
// record goes before those that did, once its grace is over or such connections are more than a quarter of all (a flood of
// them). All of it costs O(log n).
//
// Addresses are those of peerKey. The caller holds a lock.
type crowd struct {
	peers     map[netip.Addr]*peer
	order     peers
	newcomers list.List // of *conn that sent no record yet, oldest first
	n         int
}

// peer is an address with its connections.
type peer struct {
	key   netip.Addr
	conns list.List // of *conn, the longest silent first
	index int       // in crowd.order
}

// seat is where a connection is in its crowd.
type seat struct {
	peer     *peer
	element  *list.Element // in peer.conns
	newcomer *list.Element // in crowd.newcomers, nil if it sent a record
	heard    time.Time     // when it sent the last one, or came
}

func newCrowd() crowd { return crowd{peers: map[netip.Addr]*peer{}} }

// of returns how many connections key has.
func (w *crowd) of(key netip.Addr) int {
	if p := w.peers[key]; p != nil {
		return p.conns.Len()
	}
	return 0
}

// add takes c in, which came at now.
func (w *crowd) add(c *conn, now time.Time) {
	p := w.peers[c.key]
	if p == nil {
		p = &peer{key: c.key}
		w.peers[c.key] = p
		heap.Push(&w.order, p)
	}
	c.seat = seat{peer: p, element: p.conns.PushBack(c), heard: now}
	if !c.proven {
		c.seat.newcomer = w.newcomers.PushBack(c)
	}
	heap.Fix(&w.order, p.index)
	w.n++
}

// heard says that c sent a record.
func (w *crowd) heard(c *conn, now time.Time) {
	at := &c.seat
	if at.peer == nil {
		return // it had to go meanwhile
	}
	w.welcome(c)
	at.heard = now
	longest := at.peer.conns.Front() == at.element
	at.peer.conns.MoveToBack(at.element)
	if longest {
		heap.Fix(&w.order, at.peer.index)
	}
}

// welcome ends c's time as a newcomer.
func (w *crowd) welcome(c *conn) {
	if c.seat.newcomer != nil {
		w.newcomers.Remove(c.seat.newcomer)
		c.seat.newcomer = nil
	}
}

// remove takes c out. It reports whether c was in.
func (w *crowd) remove(c *conn) bool {
	p := c.seat.peer
	if p == nil {
		return false
	}
	w.welcome(c)
	p.conns.Remove(c.seat.element)
	if p.conns.Len() == 0 {
		heap.Remove(&w.order, p.index)
		delete(w.peers, p.key)
	} else {
		heap.Fix(&w.order, p.index)
	}
	c.seat = seat{}
	w.n--
	return true
}

// first returns who goes first of all; of key alone if that is valid. There must be one.
func (w *crowd) first(key netip.Addr, now time.Time) *conn {
	most := w.order[0]
	if key.IsValid() {
		most = w.peers[key]
	}
	if oldest := w.newcomers.Front(); oldest != nil {
		c := oldest.Value.(*conn)
		same := c.seat.peer == most || !key.IsValid() && c.seat.peer.conns.Len() == most.conns.Len()
		if same && (now.Sub(c.seat.heard) >= grace || 4*w.newcomers.Len() > w.n) {
			return c
		}
	}
	return most.conns.Front().Value.(*conn)
}

// peers is a heap.Interface: the one with the most connections is on top.
type peers []*peer

func (p peers) Len() int { return len(p) }

func (p peers) Less(i, j int) bool {
	if a, b := p[i].conns.Len(), p[j].conns.Len(); a != b {
		return a > b
	}
	a, b := p[i].conns.Front(), p[j].conns.Front()
	if a == nil || b == nil { // while one is added
		return b == nil && a != nil
	}
	return a.Value.(*conn).seat.heard.Before(b.Value.(*conn).seat.heard)
}

func (p peers) Swap(i, j int) {
	p[i], p[j] = p[j], p[i]
	p[i].index, p[j].index = i, j
}

func (p *peers) Push(x any) {
	one := x.(*peer)
	one.index = len(*p)
	*p = append(*p, one)
}

func (p *peers) Pop() any {
	last := len(*p) - 1
	one := (*p)[last]
	(*p)[last] = nil
	*p = (*p)[:last]
	return one
}
