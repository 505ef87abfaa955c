package syslog

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"tattled/event"
	"tattled/receiver"
	"tattled/receiver/wire"
)

// frameTimeout is how long a record may take from its first byte to its last.
const frameTimeout = time.Minute

// heldFor is how long more is waited for of a record that may be whole (wire.Held): more than a sender takes to send a lost segment
// again.
const heldFor = 500 * time.Millisecond

// conn is one TCP connection. It takes no bytes out of the kernel before their record is in the ring or, without one, was
// handed on: it looks at them (MSG_PEEK), takes the whole records in them, and then lets the kernel discard those. So an idle connection, or one
// with half a record, holds no memory of ours, and what was not handed on is still there for whoever has the connection.
//
// The exception is half a record that fills the kernel's buffer: its few bytes can be the end of a packet of 64 KiB, which
// is charged whole, and the kernel would let the peer send no more. Those bytes are taken into carry. If the connection is
// kept for the next process, they are noted beside it first.
type conn struct {
	server *server
	tcp    *net.TCPConn
	raw    syscall.RawConn
	key    netip.Addr // for max_per_peer
	trust  event.Trust
	ours   netip.Addr // of the peer, if allow names it in particular
	framer wire.Framer

	seat   seat // where it is in server.crowd; guarded by server.mu
	opened bool // its first bytes were found to be syslog, or not to be anything else
	proven bool // a whole record came, and not only an empty line
	parted bool // its lines are parted by carriage returns alone
	over   bool // it ended for a reason of the peer's or of ours; without, it goes on in the next process

	kept  string    // the name under which it is kept, empty if it is not
	how   framing   // as the name says
	spill *spill    // kept under the same name: carry, for the next process; nil if there never was any
	tried time.Time // when it was last asked for being kept

	taken uint64    // up to where the kernel has given the stream away
	carry []byte    // the beginning of a record, taken out of the kernel: what is before taken
	seen  int       // bytes of the record that is not whole, carry included
	since time.Time // when that record was begun; zero if there is none

	held     bool // it may be whole
	released bool // no more of it came, so it is

	// What peek found.
	rd    *reader
	have  int // bytes in rd.buf, carry included
	eof   bool
	errno unix.Errno
	poll  [1]unix.PollFd // here, or it would be allocated
}

// newConn makes the conn of a new connection, or of the one that k has.
func newConn(s *server, tcp *net.TCPConn, peer netip.Addr, k *keptConn) (*conn, error) {
	c := &conn{
		server: s, tcp: tcp, key: peerKey(peer),
		trust:  s.cfg.trustTCP(peer, tcp.LocalAddr().(*net.TCPAddr).AddrPort().Addr().Unmap(), &s.own),
		framer: wire.Framer{Max: s.cfg.MaxLine},
	}
	if s.cfg.particular(peer) {
		c.ours = peer
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return c, err
	}
	c.raw = raw
	// An urgent byte is a byte of the stream like any other, as RFC 6093 wants it: see position.
	err = raw.Control(func(fd uintptr) { _ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_OOBINLINE, 1) })
	if k != nil && err == nil {
		err = c.resume(k)
	}
	return c, err
}

// end lets go of the connection: for good if it is over, else only here.
func (c *conn) end() {
	if c.over {
		c.release()
	}
	if c.spill != nil {
		c.spill.file.Close()
	}
	c.tcp.Close()
}

// serve reads until the peer closes, breaks a limit, or ctx ends. It returns only errors of the handler.
func (c *conn) serve(ctx context.Context) error {
	look := func(fd uintptr) bool { return c.look(ctx, fd) }
	for {
		more, err := c.turn(ctx, look)
		if !more || err != nil {
			return err
		}
	}
}

// turn waits for bytes and hands on the records in them. more says that the connection may go on.
func (c *conn) turn(ctx context.Context, look func(uintptr) bool) (more bool, err error) {
	limit := c.server.cfg.IdleTimeout.D()
	deadline := time.Now().Add(limit)
	switch {
	case c.held:
		deadline = time.Now().Add(heldFor)
	case !c.since.IsZero():
		deadline = c.since.Add(min(frameTimeout, limit))
	}
	c.tcp.SetReadDeadline(deadline)
	if ctx.Err() != nil { // checked behind SetReadDeadline, which may have undone that of wakeAll
		return false, c.stop(ctx)
	}
	waited := c.raw.Read(look)
	defer c.giveBack()
	switch {
	case ctx.Err() != nil:
		c.giveBack()
		return false, c.stop(ctx)
	case c.held && errors.Is(waited, os.ErrDeadlineExceeded):
		c.letOut()
		return true, nil
	case waited != nil: // the deadline, or evicted
		c.abandon(waited)
		return false, nil
	case c.errno != 0:
		c.abandon(c.errno)
		return false, nil
	}
	if err := c.take(ctx); err != nil {
		return false, err
	}
	c.over = c.eof
	return !c.eof, nil
}

// letOut has the record taken that is held.
func (c *conn) letOut() {
	c.framer.Release()
	c.held, c.released = false, true
}

// look is what raw.Read calls when there may be something to read: it peeks, and reports whether there is anything new.
func (c *conn) look(ctx context.Context, fd uintptr) bool {
	if c.rd == nil {
		if c.rd = c.server.borrow(ctx); c.rd == nil {
			return true
		}
	}
	c.peek(fd)
	if c.released {
		if c.errno == unix.EAGAIN { // all of it is carried
			c.errno = 0
		}
		return true
	}
	if c.errno == unix.EAGAIN || c.errno == 0 && !c.eof && c.have == c.seen {
		if c.errno == 0 && c.seen > len(c.carry) && crowded(fd) && !c.pull(fd) {
			c.errno = unix.ECONNABORTED
			return true
		}
		c.errno = 0
		c.giveBack()
		return false
	}
	return true
}

// peek looks at what the kernel has, behind what we carry.
func (c *conn) peek(fd uintptr) {
	carried := copy(c.rd.buf, c.carry)
	c.have, c.eof = carried, false
	n, errno := recv(fd, c.rd.buf[carried:], unix.MSG_PEEK)
	if c.errno = errno; errno != 0 {
		return
	}
	c.have += n
	switch {
	case n == 0:
		c.eof = true
	case c.have == c.seen: // nothing new, unless it is the end, which a peek does not show behind bytes
		c.poll[0] = unix.PollFd{Fd: int32(fd), Events: unix.POLLRDHUP}
		if ready, err := unix.Poll(c.poll[:], 0); err != nil || ready == 0 {
			return
		}
		// Bytes may have come between the two calls. Behind the end none can.
		if n, c.errno = recv(fd, c.rd.buf[carried:], unix.MSG_PEEK); c.errno == 0 {
			c.have = carried + n
			c.eof = c.have == c.seen
		}
	}
}

// pull takes the beginning of a record out of the kernel. It reports false if the connection must end, because the next
// process might get it and begin in the middle of the record.
func (c *conn) pull(fd uintptr) bool {
	begun := c.rd.buf[:c.seen] // as peek left it
	if c.kept != "" && !c.note(begun) && !c.unstore() {
		return false
	}
	more := begun[len(c.carry):]
	n, errno := recv(fd, more, unix.MSG_TRUNC)
	if errno != 0 {
		n = 0
	}
	c.carry = append(c.carry, more[:n]...)
	c.taken += uint64(n)
	return n == len(more) // all of it was seen
}

// crowded reports whether what is unread takes more than a quarter of the kernel's buffer for the connection.
func crowded(fd uintptr) bool {
	var mem [9]uint32 // SK_MEMINFO_VARS; the first two are SK_MEMINFO_RMEM_ALLOC and SK_MEMINFO_RCVBUF
	size := uint32(unsafe.Sizeof(mem))
	_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, fd, unix.SOL_SOCKET, unix.SO_MEMINFO, uintptr(unsafe.Pointer(&mem)), uintptr(unsafe.Pointer(&size)), 0)
	return errno != 0 || mem[0] > mem[1]/4
}

// take hands on the whole records in what was peeked, and discards them.
func (c *conn) take(ctx context.Context) error {
	b, buf, done := c.rd.batcher, c.rd.buf[:c.have], 0
	if !c.opens(buf) {
		return nil
	}
	b.begin(time.Now())
	proven, lost, waits := false, false, false
	parted := !c.proven && c.partedByCR(buf)
	for at := 0; !lost && !waits; {
		frame, n, state := c.framer.Next(buf[at:], c.eof)
		at += n
		switch state {
		case wire.Frame, wire.Cut:
			if parted && !wire.Blank(frame) { // many records, of which each would be read as a part of one
				b.records++
				b.bad++
				parted = false
				break
			}
			proven = proven || !wire.Blank(frame)
			if c.server.spool != nil {
				b.hold(frame, state == wire.Cut, c.trust)
			} else {
				b.add(frame, state == wire.Cut, c.trust)
			}
		case wire.Bad:
			b.records++
			b.bad++
		case wire.More, wire.Held:
			waits, c.held, c.released = true, state == wire.Held, false
		case wire.Lost: // what is left is text, of which none may become a record
			b.records++
			b.outOfStep++
			at, lost = len(buf), true
		}
		if waits || lost || b.full() {
			b.bytes += uint64(at - done)
			if err := c.hand(ctx, at-done); errors.Is(err, errEnds) {
				c.server.meter.Errors.Add(1)
				c.eof = true
				return nil
			} else if err != nil {
				return err
			}
			done = at
		}
	}
	c.eof = c.eof || lost
	if proven {
		c.proven = true
		c.server.heard(c, b.batch.Received)
		if c.ours.IsValid() {
			c.server.peers.note(c.ours, false, b.batch.Received)
		}
	}
	if !lost {
		c.offer(b.batch.Received)
	}
	c.wait(done, b.batch.Received)
	return nil
}

// partedByCR reports whether buf begins with lines between which there are carriage returns alone: one is followed by a priority, and there
// is no line feed before it. Only what comes before the first whole record is looked at: later it would be text in a line.
func (c *conn) partedByCR(buf []byte) bool {
	buf = bytes.TrimLeft(buf, "\x00\t\n\r ")
	if len(buf) == 0 || buf[0] >= '0' && buf[0] <= '9' {
		return false
	}
	if end := bytes.IndexAny(buf, "\n\x00"); end >= 0 {
		buf = buf[:end]
	}
	for {
		_, rest, found := bytes.Cut(buf, []byte{'\r'})
		if !found {
			return false
		}
		if wire.Priority(rest) > 0 {
			if !c.parted {
				c.parted = true
				c.server.meter.CarriageReturns.Add(1)
			}
			return true
		}
		buf = rest
	}
}

// opens judges the first bytes of the connection, and reports whether records may be taken out of them: not before it is
// known that they are of no other protocol. If they are of one, the connection ends, and nothing of it becomes a record.
func (c *conn) opens(buf []byte) bool {
	if c.opened || c.proven {
		return true
	}
	switch wire.Opens(buf, c.eof) {
	case wire.Syslog:
		c.opened = true
	case wire.Foreign:
		c.server.refused(receiver.WrongProtocol)
		c.server.meter.Bytes.Add(uint64(c.have))
		c.eof, c.seen = true, 0
		return false
	default:
		if !wire.Blank(buf) { // wait for more of it
			c.wait(0, time.Now())
			return false
		}
	}
	return true
}

// wait notes that all but done bytes of what was peeked is the beginning of a record.
func (c *conn) wait(done int, now time.Time) {
	switch c.seen = c.have - done; {
	case c.seen == 0:
		c.since = time.Time{}
	case c.since.IsZero() || done > 0:
		c.since = now
	}
}

// errEnds says that the connection must end, for a fault of its own. errMidRecord is one of those.
var (
	errEnds      = errors.New("the connection must end")
	errMidRecord = fmt.Errorf("%w: systemd did not take its removal in time, and the next process might get it in the middle of a record", errEnds)
)

// hand hands on the records in the first n bytes of what was not yet handed on, and has the kernel forget these.
func (c *conn) hand(ctx context.Context, n int) error {
	b := c.rd.batcher
	if c.server.spool != nil {
		return c.server.spool.takeFrames(ctx, c, n)
	}
	if err := b.flush(ctx, c.server.handler); err != nil || n == 0 {
		return err
	}
	if !c.revalidate() {
		return errMidRecord
	}
	return c.forget(n)
}

// begin is where what is not yet handed on begins.
func (c *conn) begin() uint64 { return c.taken - uint64(len(c.carry)) }

// forget lets the kernel forget n bytes that were handed on, or are in the ring.
func (c *conn) forget(n int) error {
	carried := min(n, len(c.carry))
	if err := c.drop(n - carried); err != nil || carried == 0 {
		return err
	}
	if c.carry = c.carry[carried:]; len(c.carry) == 0 {
		c.carry = nil
	}
	if c.kept != "" && !c.note(c.carry) && !c.unstore() {
		return errMidRecord
	}
	return nil
}

// drop takes n bytes out of the kernel, which were seen, and forgets them.
func (c *conn) drop(n int) error {
	for n > 0 {
		var got int
		var errno unix.Errno
		err := c.raw.Control(func(fd uintptr) { got, errno = recv(fd, c.rd.buf[:min(n, len(c.rd.buf))], unix.MSG_TRUNC) })
		switch {
		case err != nil:
			return fmt.Errorf("%w: %w", errEnds, err)
		case errno != 0:
			return fmt.Errorf("%w: %w", errEnds, errno)
		case got == 0:
			return fmt.Errorf("%w: %w", errEnds, io.ErrUnexpectedEOF)
		}
		n -= got
		c.taken += uint64(got)
	}
	return nil
}

// stop ends the connection because ctx has ended. The peer does not notice if it is kept.
func (c *conn) stop(ctx context.Context) error {
	if err := c.last(ctx); err != nil {
		return err // what was not taken stays in the kernel
	}
	c.over = c.over || c.eof
	if !c.over {
		c.handOff()
	}
	return nil
}

// last hands on what is there when ctx has ended, without waiting.
func (c *conn) last(ctx context.Context) error {
	c.eof = false
	if c.server.failed.Load() {
		return nil
	}
	select {
	case c.rd = <-c.server.readers:
	default:
		return nil // all readers wait in Handle, and so would this
	}
	if c.rd == nil {
		c.rd = newReader(c.server.Receiver)
	}
	defer c.giveBack()
	if err := c.raw.Control(c.peek); err != nil {
		return nil // evicted
	}
	switch c.errno {
	case 0:
		if err := c.take(ctx); err != nil || !c.held || c.server.keeper != nil {
			return err
		}
		c.letOut() // nobody will see the rest of it
		if err := c.raw.Control(c.peek); err != nil || c.errno != 0 {
			return nil
		}
		return c.take(ctx)
	case unix.EAGAIN:
	default:
		c.abandon(c.errno)
	}
	return nil
}

// abandon ends the connection for a fault of it.
func (c *conn) abandon(why error) {
	c.over = true
	if !errors.Is(why, os.ErrDeadlineExceeded) && !errors.Is(why, net.ErrClosed) {
		c.server.meter.Errors.Add(1)
	}
	c.countLost()
}

// countLost counts the record that was begun and will not become whole.
func (c *conn) countLost() {
	if c.seen > 0 {
		c.server.meter.Records.Add(1)
		c.server.meter.Bytes.Add(uint64(c.seen))
		c.server.meter.Drop(receiver.BadFrame, 1)
	}
}

// giveBack returns the reader for others.
func (c *conn) giveBack() {
	if c.rd != nil {
		c.server.readers <- c.rd
		c.rd = nil
	}
}

// recv is recv(2) without waiting. unix.Recvfrom would allocate the address of a peer that a stream does not have.
func recv(fd uintptr, buf []byte, flags int) (int, unix.Errno) {
	for {
		n, _, errno := unix.Syscall6(unix.SYS_RECVFROM, fd, uintptr(unsafe.Pointer(unsafe.SliceData(buf))), uintptr(len(buf)), uintptr(flags|unix.MSG_DONTWAIT), 0, 0)
		switch errno {
		case unix.EINTR:
			continue
		case 0:
			return int(n), 0
		default:
			return 0, errno
		}
	}
}
