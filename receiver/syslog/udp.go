package syslog

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"tattled/event"
	"tattled/receiver"
)

// longAgo is a deadline that wakes whoever waits for a socket.
func longAgo() time.Time { return time.Unix(1, 0) }

// datagramConn is a socket that datagrams come by.
type datagramConn interface {
	syscall.Conn
	Close() error
}

// runDatagrams reads datagrams: as many as there are, at most maxDatagrams, are one batch. One goroutine does it all, so
// that a sender's datagrams stay in order.
func (r *Receiver) runDatagrams(ctx context.Context, conn datagramConn, gathers bool, h receiver.Handler) error {
	p, err := newPaced(conn, gathers)
	if err != nil {
		return err
	}
	defer p.Close()
	defer context.AfterFunc(ctx, func() { _ = p.SetReadDeadline(longAgo()) })()
	r.meter.Open.Add(1)
	defer r.meter.Open.Add(-1)

	mem, release, err := r.stageMemory()
	if err != nil {
		return err
	}
	defer release()
	d, b, pause := newDatagrams(mem), newBatcher(r), backoff{}
	lost := dropCounter{known: !r.passed}
	if err := r.recoverDatagrams(ctx, h, d, b, &lost); err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	var errno unix.Errno
	read := func(uintptr) bool { // made once, or each call would allocate it
		errno = d.receive(uintptr(p.fd))
		if errno == unix.EAGAIN {
			p.arm(true)
		}
		return errno != unix.EAGAIN
	}
	for ctx.Err() == nil {
		err := p.Read(read)
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			continue
		case err != nil:
			return fmt.Errorf("read datagrams on %s: %w", r.cfg.Listen, err)
		case errno != 0: // no memory, an interface that went away
			r.meter.Errors.Add(1)
			pause.wait(ctx)
			continue
		}
		pause = backoff{}
		if err := r.handleDatagrams(ctx, h, d, b, &lost); err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return err
		}
		p.gather(ctx, d.n, b.batch.Received)
	}
	return nil
}

// stageMemory returns memory for datagrams that is not Go's: that of the ring, if there is one.
func (r *Receiver) stageMemory() (mem []byte, release func(), err error) {
	if r.spool != nil {
		return r.spool.ring.stage, func() {}, nil
	}
	mem, err = unix.Mmap(-1, 0, stageSize, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		return nil, nil, fmt.Errorf("allocate memory for datagrams: %w", err)
	}
	return mem, func() { _ = unix.Munmap(mem) }, nil
}

// datagramStream is the id in the ring of what comes by datagrams. Its position is the turn of receiving.
const datagramStream = 1

// recoverDatagrams takes what the process before had received when it was killed, unless it is in the ring already.
func (r *Receiver) recoverDatagrams(ctx context.Context, h receiver.Handler, d *datagrams, b *batcher, lost *dropCounter) error {
	if r.spool != nil && d.n > 0 && r.spool.ends[datagramStream] != d.turn {
		if err := r.handleDatagrams(ctx, h, d, b, lost); err != nil {
			return err
		}
	}
	d.prepareAll()
	return nil
}

func (r *Receiver) handleDatagrams(ctx context.Context, h receiver.Handler, d *datagrams, b *batcher, lost *dropCounter) error {
	b.begin(time.Now())
	r.senders.turn(b.batch.Received)
	for i := range d.n {
		data := d.data(i)
		b.bytes += uint64(len(data))
		if total, ok := d.overflow(i); ok {
			b.gaps += lost.add(total)
		}
		trust, allowed := r.sender(d, i)
		if !allowed {
			b.records++
			b.notAllowed++
			r.strangers.note(d.peer(i), b.batch.Received)
			continue
		}
		if len(r.cfg.Allow) > 0 {
			r.heardFrom(&r.senders, d.peer(i), b.batch.Received)
		}
		if r.spool != nil {
			b.hold(data, d.cut(i), trust)
		} else if err := b.datagram(ctx, h, data, d.cut(i), trust); err != nil {
			return err
		}
	}
	if r.spool != nil {
		return r.spool.takeDatagrams(ctx, h, d, b)
	}
	return b.flush(ctx, h)
}

// sender says whether the sender of the i-th datagram may send, and what may follow from it.
func (r *Receiver) sender(d *datagrams, i int) (trust event.Trust, allowed bool) {
	if r.unix != nil {
		uid, known := d.uid(i)
		return r.cfg.trustUnix(uid, known, r.unix.uids), true
	}
	return r.cfg.trustUDP(), r.cfg.allows(d.peer(i))
}

// dropCounter follows the kernel's count of lost datagrams, which wraps. Of a socket that systemd passed, what was lost before
// the first count is not known to be ours.
type dropCounter struct {
	total uint32
	known bool
}

func (l *dropCounter) add(total uint32) uint64 {
	more := total - l.total
	if !l.known {
		more = 0
	}
	l.total, l.known = total, true
	return uint64(more)
}

// backoff waits longer each time: 5 ms to 1 s.
type backoff struct{ next time.Duration }

func (b *backoff) wait(ctx context.Context) {
	b.next = min(max(2*b.next, 5*time.Millisecond), time.Second)
	timer := time.NewTimer(b.next)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
