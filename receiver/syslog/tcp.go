package syslog

import (
	"context"
	"net"
	"net/netip"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"tattled/receiver"
)

// server is one life of a TCP listener.
type server struct {
	*Receiver
	handler receiver.Handler
	failed  atomic.Bool // the handler did
	readers chan *reader

	mu    sync.Mutex
	crowd crowd // the open connections

	own ownAddresses
}

// runTCP accepts connections and serves each in a goroutine of its own. What they read with is shared and few, because
// most of them are idle and all of them wait when Handle does.
func (r *Receiver) runTCP(parent context.Context, h receiver.Handler) error {
	ctx, fail := context.WithCancelCause(parent)
	defer fail(nil)
	s := &server{
		Receiver: r, handler: h,
		readers: make(chan *reader, max(4, 2*runtime.GOMAXPROCS(0))),
		crowd:   newCrowd(),
	}
	for range cap(s.readers) {
		s.readers <- nil // made when it is first needed
	}
	defer r.tcp.Close()
	defer context.AfterFunc(ctx, func() {
		r.tcp.SetDeadline(longAgo())
		s.wakeAll()
	})()

	var serving sync.WaitGroup
	serve := func(c *conn) {
		serving.Go(func() {
			defer s.leave(c)
			if err := c.serve(ctx); err != nil && ctx.Err() == nil {
				s.failed.Store(true)
				fail(err)
			}
		})
	}
	for _, k := range r.resumed {
		if c := s.admit(k.tcp, k); c != nil {
			serve(c)
		}
	}
	r.resumed = nil
	var pause backoff
	for ctx.Err() == nil {
		tcp, err := r.tcp.AcceptTCP()
		if err != nil {
			if ctx.Err() == nil { // out of descriptors, or a client that was gone already
				r.meter.Errors.Add(1)
				pause.wait(ctx)
			}
			continue
		}
		pause = backoff{}
		if c := s.admit(tcp, nil); c != nil {
			serve(c)
		}
	}
	serving.Wait()
	if parent.Err() != nil {
		return nil
	}
	return context.Cause(ctx)
}

// admit registers a connection, or closes it and returns nil. k is what an earlier process left of it, nil if it is new.
func (s *server) admit(tcp *net.TCPConn, k *keptConn) *conn {
	peer := tcp.RemoteAddr().(*net.TCPAddr).AddrPort().Addr().Unmap()
	c, err := newConn(s, tcp, peer, k)
	switch {
	case err != nil:
		s.meter.Errors.Add(1)
	case !s.cfg.allows(peer):
		s.refused(receiver.NotAllowed)
		s.strangers.note(peer, time.Now())
	case !s.enter(c):
		s.refused(receiver.TooMany)
	default:
		return c
	}
	c.over = true
	c.end()
	return nil
}

// enter puts c on the books. Where there are too many, of all or of its address, another one has to go for it.
func (s *server) enter(c *conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	s.crowd.add(c, now)
	s.meter.Open.Add(1)
	switch {
	case s.crowd.of(c.key) > s.cfg.MaxPerPeer:
		return s.evict(s.crowd.first(c.key, now), c)
	case s.crowd.n > s.cfg.MaxConnections:
		return s.evict(s.crowd.first(netip.Addr{}, now), c)
	default:
		return true
	}
}

// refused counts a connection that may not be, as a record that was dropped.
func (s *server) refused(reason receiver.Reason) {
	s.meter.Records.Add(1)
	s.meter.Drop(reason, 1)
}

// evict lets a connection go to make room for c. It returns false if that is c itself.
func (s *server) evict(gone, c *conn) bool {
	s.forget(gone)
	if gone == c {
		return false
	}
	s.refused(receiver.TooMany)
	_ = gone.tcp.CloseWrite() // tells the peer, even where a copy is kept; not CloseRead: half a line would seem to be the last
	gone.tcp.Close()          // its goroutine does the rest
	return true
}

// heard says that c sent a whole record.
func (s *server) heard(c *conn, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.crowd.heard(c, now)
}

// leave closes c, for good if it is over.
func (s *server) leave(c *conn) {
	c.end()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.forget(c)
}

// forget takes c off the books, once.
func (s *server) forget(c *conn) {
	if s.crowd.remove(c) {
		s.meter.Open.Add(-1)
	}
}

// wakeAll ends every wait for a peer.
func (s *server) wakeAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.crowd.peers {
		for e := p.conns.Front(); e != nil; e = e.Next() {
			e.Value.(*conn).tcp.SetReadDeadline(longAgo())
		}
	}
}

// peerKey is what max_per_peer goes by: an IPv6 network of 64 bits is one customer's.
func peerKey(peer netip.Addr) netip.Addr {
	if peer.Is4() {
		return peer
	}
	network, err := peer.WithZone("").Prefix(64)
	if err != nil {
		return peer
	}
	return network.Addr()
}

// borrow waits for a reader. It returns nil when ctx ends.
func (s *server) borrow(ctx context.Context) *reader {
	select {
	case rd := <-s.readers:
		if rd == nil {
			rd = newReader(s.Receiver)
		}
		return rd
	case <-ctx.Done():
		return nil
	}
}

// reader is what a connection needs while it reads, and only then.
type reader struct {
	*batcher
	buf []byte
}

// readSize is the least that is looked at of a stream.
const readSize = 64 << 10

func newReader(r *Receiver) *reader {
	return &reader{batcher: newBatcher(r), buf: make([]byte, r.lookSize())}
}

// lookSize is how much of a stream is looked at in one go.
func (r *Receiver) lookSize() int { return max(readSize, r.cfg.MaxLine+64) }
