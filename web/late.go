package web

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"syscall"
	"time"

	"tattled/event"
)

// The pause between two attempts to listen doubles from one to the other of these.
const (
	firstRetry = time.Second
	lastRetry  = 30 * time.Second
)

// lateRemedy is for a page that cannot be served.
const lateRemedy = "check which process has the port (ss -lntp), or change web.listen"

// listen opens the socket of the configuration. A port that somebody else has and an address that is not there are no
// error: what detects and reports is not to wait for the page.
func (s *Server) listen() (net.Listener, error) {
	l, err := listenOn(s.cfg.listen())
	if !errors.Is(err, syscall.EADDRINUSE) && !errors.Is(err, syscall.EADDRNOTAVAIL) && !errors.Is(err, syscall.EACCES) {
		return l, err
	}
	at, fault := s.cfg.Address()
	if fault != nil {
		return nil, err
	}
	s.logger.Error("the page cannot be served; all else runs, and it is tried again", "web.listen", s.cfg.listen(), "error", err,
		"remedy", lateRemedy)
	late := &lateListener{address: s.cfg.listen(), at: net.TCPAddrFromAddrPort(at), pause: firstRetry, closed: make(chan struct{}), fault: err, since: s.now()}
	late.opened = func() { s.logger.Info("the page is served now", "web.listen", s.cfg.listen()) }
	s.late = late
	return late, nil
}

func listenOn(address string) (net.Listener, error) {
	return new(net.ListenConfig).Listen(context.Background(), networkOf(address), address)
}

// Problems says why the page is not served, if it is not.
func (s *Server) Problems() []event.Problem {
	if s.late == nil {
		return nil
	}
	s.late.mu.Lock()
	defer s.late.mu.Unlock()
	if s.late.fault == nil {
		return nil
	}
	return []event.Problem{{
		What:   "the page is not served on " + s.late.address,
		Cause:  fmt.Sprintf("%v; it is tried again every %s", s.late.fault, lastRetry),
		Remedy: lateRemedy,
		Since:  s.late.since,
	}}
}

// lateListener is a listener that is not open yet: Accept opens it as soon as that succeeds.
type lateListener struct {
	address string
	at      net.Addr
	opened  func()
	pause   time.Duration
	closed  chan struct{}
	since   time.Time

	mu    sync.Mutex
	inner net.Listener
	fault error // nil when inner is open
	over  bool
}

// Accept implements net.Listener.
func (l *lateListener) Accept() (net.Conn, error) {
	for {
		l.mu.Lock()
		inner := l.inner
		l.mu.Unlock()
		if inner != nil {
			return inner.Accept()
		}
		timer := time.NewTimer(l.pause)
		select {
		case <-timer.C:
			l.open()
		case <-l.closed:
			timer.Stop()
			return nil, net.ErrClosed
		}
		l.pause = min(2*l.pause, lastRetry)
	}
}

func (l *lateListener) open() {
	inner, err := listenOn(l.address)
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case err != nil:
		l.fault = err
	case l.over:
		inner.Close()
	default:
		l.inner, l.fault = inner, nil
		l.opened()
	}
}

// Close implements net.Listener. It may be called more than once.
func (l *lateListener) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.over {
		return nil
	}
	l.over = true
	close(l.closed)
	if l.inner != nil {
		return l.inner.Close()
	}
	return nil
}

// Addr implements net.Listener: where it listens, or is going to.
func (l *lateListener) Addr() net.Addr { return l.at }
