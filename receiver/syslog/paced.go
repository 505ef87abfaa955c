package syslog

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// paceWait is how long a busy reader of datagrams lets them gather: each time that it looks costs as much CPU time as
	// several datagrams do.
	paceWait = 2 * time.Millisecond
	// paceLeast is how many must come in that time for it to be worth the wait.
	paceLeast = 16
	// paceSlot is what a datagram with a log record takes of the kernel's receive buffer in bytes: 768 for most, here with a margin.
	paceSlot = 2048
	// paceShare is the part of the receive buffer that may fill while the reader waits: a wait can last longer than was asked for.
	paceShare = 8
)

// paced is a socket whose datagrams can be left alone while they gather. Go's poller wakes a thread with each of them, also while
// nobody waits for one. So the socket is not there, but in an epoll of its own which Go's poller has, and in which it is
// not armed while datagrams gather.
type paced struct {
	fd    int
	epoll *os.File
	raw   syscall.RawConn // of epoll
	armed bool
	most  float64 // datagrams a second above which there is no wait
	last  time.Time
	timer *time.Timer
}

// newPaced takes over conn, which it closes: as long as that is open, Go's poller has the socket. gathers says that datagrams may
// gather: senders by UDP do not notice, those of a unix socket would have to wait.
func newPaced(conn datagramConn, gathers bool) (*paced, error) {
	defer conn.Close()
	p := &paced{fd: -1, armed: true, timer: time.NewTimer(time.Hour)}
	p.timer.Stop()
	buffer, err := p.duplicate(conn)
	if err != nil {
		return nil, fmt.Errorf("take over the socket: %w", err)
	}
	if gathers {
		p.most = float64(buffer/paceShare/paceSlot) / paceWait.Seconds()
	}
	if err := p.watch(); err != nil {
		unix.Close(p.fd)
		return nil, fmt.Errorf("watch the socket: %w", err)
	}
	return p, nil
}

// duplicate makes the socket p's, and returns the size of its receive buffer in bytes.
func (p *paced) duplicate(conn datagramConn) (buffer int, err error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return 0, err
	}
	var failed error
	err = raw.Control(func(fd uintptr) {
		if buffer, failed = unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF); failed == nil {
			p.fd, failed = unix.FcntlInt(fd, unix.F_DUPFD_CLOEXEC, 0)
		}
	})
	return buffer, errors.Join(err, failed)
}

// watch puts the socket into an epoll, and that into Go's poller.
func (p *paced) watch() error {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return err
	}
	if err = unix.SetNonblock(fd, true); err == nil { // else NewFile keeps it out of the poller
		err = unix.EpollCtl(fd, unix.EPOLL_CTL_ADD, p.fd, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(p.fd)})
	}
	if err != nil {
		unix.Close(fd)
		return err
	}
	p.epoll = os.NewFile(uintptr(fd), "epoll of a socket")
	p.raw, err = p.epoll.SyscallConn()
	return err
}

// Read is that of syscall.RawConn, but that fn is to receive from p.fd.
func (p *paced) Read(fn func(fd uintptr) bool) error { return p.raw.Read(fn) }

// SetReadDeadline ends a Read.
func (p *paced) SetReadDeadline(at time.Time) error { return p.epoll.SetReadDeadline(at) }

// Close closes the socket.
func (p *paced) Close() error { return errors.Join(p.epoll.Close(), unix.Close(p.fd)) }

// arm says whether datagrams wake who waits in Read. One that is there already does as well.
func (p *paced) arm(on bool) {
	if p.armed == on {
		return
	}
	e := unix.EpollEvent{Fd: int32(p.fd)}
	if on {
		e.Events = unix.EPOLLIN
	}
	p.armed = on
	_ = p.raw.Control(func(fd uintptr) { _ = unix.EpollCtl(int(fd), unix.EPOLL_CTL_MOD, p.fd, &e) }) // both are open, so it succeeds
}

// gather is called with how many datagrams were just read, and when. It waits if more will be there soon.
func (p *paced) gather(ctx context.Context, n int, now time.Time) {
	since := now.Sub(p.last)
	p.last = now
	if rate := float64(n) / since.Seconds(); n == maxDatagrams || rate < paceLeast/paceWait.Seconds() || rate > p.most {
		return
	}
	p.arm(false)
	p.timer.Reset(paceWait)
	select {
	case <-p.timer.C:
	case <-ctx.Done():
	}
}
