package syslog

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"tattled/receiver/wire"
)

// keeper keeps descriptors for the process that comes after this one: systemd's file descriptor store. Safe for concurrent
// use.
type keeper interface {
	// Keep has a copy of fd stored under name, which may have several, and reports whether there is room. It does not wait:
	// should this process die soon, the copy may not be there. A name is at most 255 printable ASCII characters without a
	// colon.
	Keep(name string, fd uintptr) bool
	// Forget has the copies under name closed, and does not wait either.
	Forget(name string)
	// Settle waits a moment until what was asked about name holds whenever this process dies, and reports whether it does.
	Settle(name string) bool
}

// keptPrefix begins the names of what we keep. The digit is raised when what follows it changes its meaning. A name has
// 23 bytes, because the next process gets all of them in one variable of its environment, and Linux takes none beyond
// 128 KiB: 4096 of them fit.
const keptPrefix = "tattled2"

// oldPrefix begins the names that the version before used. They are too long, so a connection that has one gets a new one.
const oldPrefix = "tattled-connection-1"

// keepEvery paces how often one connection asks to be kept, so that no peer can keep systemd busy.
const keepEvery = 10 * time.Second

// framing is what a connection's framer has learnt of its stream. It is a letter in the name under which the connection
// is kept.
type framing byte

const (
	framingNew     framing = 'n' // no whole record yet
	framingCounted framing = 'c' // counted records, and no line
	framingBytes   framing = 'o' // of these one with characters beyond ASCII, counted in bytes
	framingChars   framing = 'u' // and counted in characters
	framingLF      framing = 'l' // lines that end in LF
	framingNUL     framing = 'z' // lines that may end in NUL
)

// countedIn has the framings of counted records by what the counts count.
var countedIn = [...]framing{wire.AnyUnit: framingCounted, wire.Bytes: framingBytes, wire.Characters: framingChars}

// framingOf finds out how f frames, by asking copies of it. whole is false in the middle of a record that was cut, because
// how much of it is to be skipped is not known, and where the stream is out of step.
func framingOf(f wire.Framer) (how framing, whole bool) {
	probe := f
	_, n, state := probe.Next([]byte("x"), false)
	if n > 0 {
		return 0, false
	}
	counted := state == wire.Lost
	probe = f // which believes a count beyond Max until there is a line
	switch _, _, state = probe.Next([]byte("999999 <\n"), false); {
	case state == wire.Lost:
		return 0, false
	case state == wire.More && counted:
		return countedIn[f.Unit()], true
	case state == wire.More:
		return framingNew, true
	}
	probe = f
	if line, _, _ := probe.Next([]byte("x\x00y\n"), false); len(line) == 1 {
		return framingNUL, true
	}
	return framingLF, true
}

// restoreFramer returns a framer that frames as how says.
func restoreFramer(limit int, how framing) wire.Framer {
	f := wire.Framer{Max: limit}
	switch how {
	case framingCounted, framingBytes, framingChars:
		f.Next([]byte("1 <"), false)
		f.SetUnit(wire.Unit(slices.Index(countedIn[:], how)))
	case framingLF:
		f.Next([]byte("x\n"), false)
	case framingNUL:
		f.Next([]byte("x\x00"), false)
	}
	return f
}

// keptName makes a name for a connection of a listener. It is used once.
func keptName(how framing, listener netip.AddrPort) string {
	id := binary.BigEndian.AppendUint64(nil, rand.Uint64())
	return keptPrefix + string(how) + listenerName(listener) + base64.RawURLEncoding.EncodeToString(id[:6])
}

// listenerName is a listener's address as names have it: 32 bits of its hash. Two listeners with one hash would still
// take only connections that can have come in by them.
func listenerName(a netip.AddrPort) string {
	sum := sha256.Sum256([]byte(a.String()))
	return base64.RawURLEncoding.EncodeToString(sum[:4])
}

// ringPrefix begins the names of rings.
const ringPrefix = keptPrefix + "R"

// ringName is the name under which the ring of a listener is kept.
func ringName(listen string) string {
	sum := sha256.Sum256([]byte(listen))
	return ringPrefix + base64.RawURLEncoding.EncodeToString(sum[:6])
}

// streamID tells a connection in the ring by its name.
func streamID(name string) uint64 {
	if len(name) < 8 {
		return 0
	}
	return binary.BigEndian.Uint64([]byte(name[len(name)-8:]))
}

// readKeptName is the reverse of keptName. The listener is as listenerName writes it.
func readKeptName(name string) (how framing, listener string, ok bool) {
	rest, ok := strings.CutPrefix(name, keptPrefix)
	if !ok || len(rest) != 1+6+8 {
		return 0, "", false
	}
	return framing(rest[0]), rest[1:7], framing(rest[0]).known()
}

// readOldName does the same for a name of the version before: prefix, framing, 16 digits, and the address with _ for each
// colon.
func readOldName(name string) (how framing, listener string, ok bool) {
	rest, ok := strings.CutPrefix(name, oldPrefix+"-")
	if !ok || len(rest) < 20 || rest[1] != '-' || rest[18] != '-' {
		return 0, "", false
	}
	at, err := netip.ParseAddrPort(strings.ReplaceAll(rest[19:], "_", ":"))
	return framing(rest[0]), listenerName(at), err == nil && framing(rest[0]).known()
}

func (f framing) known() bool {
	switch f {
	case framingNew, framingCounted, framingBytes, framingChars, framingLF, framingNUL:
		return true
	default:
		return false
	}
}

// store asks the keeper to keep the connection. How the framer frames goes into the name, the beginning of a record that
// was taken out of the kernel into a file of its own.
func (c *conn) store(how framing) {
	if c.server.keeper == nil {
		return
	}
	kept, name := false, keptName(how, c.server.identity())
	if err := c.raw.Control(func(fd uintptr) { kept = c.server.keeper.Keep(name, fd) }); err != nil || !kept {
		return
	}
	c.kept, c.how = name, how
	if !c.note(c.carry) {
		c.unstore()
	}
}

// unstore takes the connection back: should this process die now, it ends with it. It reports whether that is sure; else
// the next process may still get it.
func (c *conn) unstore() bool {
	if c.kept == "" {
		return true
	}
	c.server.keeper.Forget(c.kept)
	sure := c.server.keeper.Settle(c.kept)
	c.kept = ""
	if c.spill != nil {
		c.spill.file.Close()
		c.spill = nil
	}
	return sure
}

// revalidate is called before bytes are discarded that were handed on. It takes the connection back if whoever got it with the
// rest of the stream could not read on: in the middle of a record that was cut, or with another framing than its name says.
// It reports false if that failed: then the connection must end, or somebody might take the rest of a record for a record.
func (c *conn) revalidate() bool {
	if c.kept == "" {
		return true
	}
	switch how, whole := framingOf(c.framer); {
	case !whole:
		return c.unstore()
	case how != c.how: // the first line among counted records, once in a life
		c.tried = time.Time{}
		return c.unstore()
	}
	return true
}

// offer sees to it that a connection that sent whole records is kept.
func (c *conn) offer(now time.Time) {
	if c.kept != "" || c.server.keeper == nil || !c.proven || now.Sub(c.tried) < keepEvery {
		return
	}
	if how, whole := framingOf(c.framer); whole {
		c.tried = now
		c.store(how)
	}
}

// note writes the beginning of a record to where the next process finds it, before it is taken out of the kernel: into a
// spill that is made when it is first needed. It reports whether the note holds.
func (c *conn) note(begun []byte) bool {
	if c.spill == nil {
		if len(begun) == 0 {
			return true
		}
		m, err := newSpill(c.kept)
		if err != nil {
			return false
		}
		if !c.server.keeper.Keep(c.kept, m.file.Fd()) || !c.server.keeper.Settle(c.kept) {
			m.file.Close()
			return false
		}
		c.spill = m
	}
	return c.spill.write(c.begin(), begun) == nil
}

// resume goes on where the last process left the connection.
func (c *conn) resume(k *keptConn) error {
	c.kept, c.how = k.name, k.how
	c.framer = restoreFramer(c.server.cfg.MaxLine, k.how)
	c.proven = k.how != framingNew
	known := false
	if err := c.raw.Control(func(fd uintptr) { c.taken, known = position(fd) }); err != nil {
		return err
	}
	if !known {
		return errors.New("the kernel does not say how far the connection was read")
	}
	if err := c.remember(k); err != nil {
		return err
	}
	if s := c.server.spool; s != nil {
		if end := s.ends[streamID(c.kept)]; end > c.begin() { // the process was killed before the kernel had forgotten it
			if err := c.skip(end - c.begin()); err != nil {
				return err
			}
		}
	}
	if len(c.carry) > 0 {
		c.seen, c.since = len(c.carry), time.Now()
	}
	if k.old { // a name that is too long
		c.unstore()
		c.store(k.how)
	}
	return nil
}

// remember finds the beginning of a record that the last process took out of the kernel.
func (c *conn) remember(k *keptConn) (err error) {
	switch {
	case k.spill == nil:
	case k.old:
		c.spill = &spill{file: k.spill, empty: true}
		c.carry, err = readOldNote(k.spill, c.server.lookSize()-1)
	default:
		c.spill = &spill{file: k.spill, empty: true}
		c.carry, err = c.spill.read(c.taken, c.server.lookSize()-1)
	}
	return err
}

// skip lets the kernel forget n bytes that are in the ring.
func (c *conn) skip(n uint64) error {
	if n > maxSkip {
		return errors.New("the ring has more of the connection than one look brings")
	}
	c.rd = &reader{buf: make([]byte, readSize)}
	defer func() { c.rd = nil }()
	return c.forget(int(n))
}

// maxSkip is more than lookSize can be.
const maxSkip = 1 << 20

// handOff is called when ctx has ended and the last records were handed on. A connection that is kept goes to the next
// process: nothing but our descriptor is closed. One that is not yet kept is, if it sent anything. What cannot be handed
// over is counted.
func (c *conn) handOff() {
	if c.kept == "" {
		how, whole := framingOf(c.framer)
		if !c.proven {
			how = framingNew
		}
		if whole && (c.proven || len(c.carry) > 0 || c.unread()) {
			c.store(how)
		}
	}
	if c.kept == "" {
		c.countLost()
	}
}

// unread reports whether the kernel has bytes of the connection.
func (c *conn) unread() bool {
	n := 0
	err := c.raw.Control(func(fd uintptr) { n, _ = unix.IoctlGetInt(int(fd), unix.TIOCINQ) })
	return err == nil && n > 0
}

// release ends the connection for good, for the copy that is kept too.
func (c *conn) release() {
	if c.kept == "" {
		return
	}
	_ = c.tcp.CloseRead() // the peer is notified now, whenever systemd gets to it; it may be gone
	_ = c.tcp.CloseWrite()
	c.server.keeper.Forget(c.kept)
	c.kept = ""
}
