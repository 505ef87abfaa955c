package syslog

import (
	"container/list"
	"context"
	"net"
	"net/netip"
	"runtime"
	"sync"
	"sync/atomic"

	"tattled/receiver"
)

// server is one life of a TCP listener.
type server struct {
	*Receiver
	handler receiver.Handler
	failed  atomic.Bool // the handler did
	readers chan *reader

	// conns has every open connection, newcomers those that sent no whole record yet, oldest first.
	mu        sync.Mutex
	conns     map[*conn]struct{}
	perPeer   map[netip.Addr]int
	newcomers list.List
}

// runTCP accepts connections and serves each in a goroutine of its own. What they read with is shared and few, because
// most of them are idle and all of them wait when Handle does.
func (r *Receiver) runTCP(parent context.Context, h receiver.Handler) error {
	ctx, fail := context.WithCancelCause(parent)
	defer fail(nil)
	s := &server{
		Receiver: r, handler: h,
		readers: make(chan *reader, max(4, 2*runtime.GOMAXPROCS(0))),
		conns:   map[*conn]struct{}{},
		perPeer: map[netip.Addr]int{},
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
	case !s.enter(c):
		s.refused(receiver.TooMany)
	default:
		return c
	}
	c.over = true
	c.end()
	return nil
}

// enter puts c on the books if there is room.
func (s *server) enter(c *conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.perPeer[c.key] >= s.cfg.MaxPerPeer || len(s.conns) >= s.cfg.MaxConnections && !s.evict() {
		return false
	}
	s.conns[c] = struct{}{}
	s.perPeer[c.key]++
	if !c.proven {
		c.newcomer = s.newcomers.PushBack(c)
	}
	s.meter.Open.Add(1)
	return true
}

// refused counts a connection that may not be, as a record that was dropped.
func (s *server) refused(reason receiver.Reason) {
	s.meter.Records.Add(1)
	s.meter.Drop(reason, 1)
}

// evict makes room: it takes the place of the connection that has waited longest without sending a whole record. It
// reports whether there was one.
func (s *server) evict() bool {
	oldest := s.newcomers.Front()
	if oldest == nil {
		return false
	}
	c := oldest.Value.(*conn)
	s.forget(c)
	s.refused(receiver.TooMany)
	c.tcp.Close() // its goroutine does the rest
	return true
}

// proven says that c sent a whole record: it is no longer the first to go.
func (s *server) proven(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.newcomer != nil {
		s.newcomers.Remove(c.newcomer)
		c.newcomer = nil
	}
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
	if _, open := s.conns[c]; !open {
		return
	}
	delete(s.conns, c)
	if s.perPeer[c.key]--; s.perPeer[c.key] == 0 {
		delete(s.perPeer, c.key)
	}
	if c.newcomer != nil {
		s.newcomers.Remove(c.newcomer)
		c.newcomer = nil
	}
	s.meter.Open.Add(-1)
}

// wakeAll ends every wait for a peer.
func (s *server) wakeAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		c.tcp.SetReadDeadline(longAgo())
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
