package syslog

import (
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"net/netip"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"tattled/receiver/wire"
)

// keeper keeps descriptors for the process that comes after this one: systemd's file descriptor store. Safe for concurrent
// use. It must not wait: a connection calls it while it reads.
type keeper interface {
	// Keep stores a copy of fd under name, which may have several, and reports whether it did. A name is at most 255
	// printable ASCII characters without a colon.
	Keep(name string, fd uintptr) bool
	// Forget closes the copies under name.
	Forget(name string)
}

// keptPrefix begins the names of what we keep. The digit is raised when what follows it changes its meaning.
const keptPrefix = "tattled-connection-1"

// keepEvery paces how often one connection asks to be kept, so that no peer can keep systemd busy.
const keepEvery = 10 * time.Second

// framing is what a connection's framer has learnt of its stream. It is a letter in the name under which the connection
// is kept.
type framing byte

const (
	framingNew     framing = 'n' // no whole record yet
	framingCounted framing = 'c' // no line yet
	framingLF      framing = 'l' // lines that end in LF
	framingNUL     framing = 'z' // lines that may end in NUL
)

// learnt finds out what f has learnt, by asking copies of it. whole is false in the middle of a record that was cut: how
// much of it is to be skipped cannot be told.
func learnt(f wire.Framer) (how framing, whole bool) {
	probe := f
	if _, n, _ := probe.Next([]byte("x"), false); n > 0 {
		return 0, false
	}
	probe = f // which believes a count beyond Max until there is a line
	if _, _, state := probe.Next([]byte("999999 <\n"), false); state == wire.More {
		return framingCounted, true
	}
	probe = f
	if line, _, _ := probe.Next([]byte("x\x00y\n"), false); len(line) == 1 {
		return framingNUL, true
	}
	return framingLF, true
}

// taught returns a framer that has learnt how.
func taught(limit int, how framing) wire.Framer {
	f := wire.Framer{Max: limit}
	switch how {
	case framingLF:
		f.Next([]byte("\n"), false)
	case framingNUL:
		f.Next([]byte("x\x00"), false)
	}
	return f
}

// keptName makes a name for a connection of a listener. It is used once.
func keptName(how framing, listener netip.AddrPort) string {
	return fmt.Sprintf("%s-%c-%016x-%s", keptPrefix, how, rand.Uint64(), listenerName(listener))
}

// listenerName writes an address without colons.
func listenerName(a netip.AddrPort) string { return strings.ReplaceAll(a.String(), ":", "_") }

// readKeptName is the reverse of keptName. The listener is as listenerName writes it.
func readKeptName(name string) (how framing, listener string, ok bool) {
	rest, ok := strings.CutPrefix(name, keptPrefix+"-")
	if !ok || len(rest) < 20 || rest[1] != '-' || rest[18] != '-' {
		return 0, "", false
	}
	switch how = framing(rest[0]); how {
	case framingNew, framingCounted, framingLF, framingNUL:
		return how, rest[19:], true
	default:
		return 0, "", false
	}
}

// keep asks for the connection to be kept. What the framer has learnt goes into the name, the beginning of a record that
// was taken out of the kernel into a file of its own.
func (c *conn) keep(how framing) {
	if c.server.keeper == nil {
		return
	}
	kept, name := false, keptName(how, c.server.identity())
	if err := c.raw.Control(func(fd uintptr) { kept = c.server.keeper.Keep(name, fd) }); err != nil || !kept {
		return
	}
	c.kept, c.how = name, how
	if !c.note(c.carry) {
		c.unkeep()
	}
}

// unkeep takes the connection back: should this process die now, it ends with it.
func (c *conn) unkeep() {
	if c.kept == "" {
		return
	}
	c.server.keeper.Forget(c.kept)
	c.kept = ""
	if c.memo != nil {
		c.memo.Close()
		c.memo = nil
	}
}

// vouch is called before bytes are discarded that were handed on. It takes the connection back if whoever got it with the
// rest of the stream could not read on: in the middle of a record that was cut, or with another framing than its name says.
func (c *conn) vouch() {
	if c.kept == "" {
		return
	}
	switch how, whole := learnt(c.framer); {
	case !whole:
		c.unkeep()
	case how != c.how: // the first line among counted records, once in a life
		c.unkeep()
		c.tried = time.Time{}
	}
}

// secure sees to it that a connection that sent whole records is kept.
func (c *conn) secure(now time.Time) {
	if c.kept != "" || c.server.keeper == nil || !c.proven || now.Sub(c.tried) < keepEvery {
		return
	}
	if how, whole := learnt(c.framer); whole {
		c.tried = now
		c.keep(how)
	}
}

// note writes the beginning of a record to where the next process finds it, before it is taken out of the kernel: a file
// in memory that is kept with the connection, made when it is first needed. Its length is written last: before that, the
// bytes do not count.
func (c *conn) note(begun []byte) bool {
	if c.memo == nil {
		if len(begun) == 0 {
			return true
		}
		fd, err := unix.MemfdCreate("tattled-record", unix.MFD_CLOEXEC)
		if err != nil {
			return false
		}
		memo := os.NewFile(uintptr(fd), c.kept)
		if !c.server.keeper.Keep(c.kept, uintptr(fd)) {
			memo.Close()
			return false
		}
		c.memo = memo
	}
	if _, err := c.memo.WriteAt(begun, noteHead); err != nil {
		return false
	}
	_, err := c.memo.WriteAt(binary.BigEndian.AppendUint32(nil, uint32(len(begun))), 0)
	return err == nil
}

// noteHead is the size of the length before the bytes of a note.
const noteHead = 4

// readNote returns what the last process had noted, at most limit bytes.
func readNote(memo io.ReaderAt, limit int) ([]byte, error) {
	var head [noteHead]byte
	if n, err := memo.ReadAt(head[:], 0); n == 0 && err == io.EOF {
		return nil, nil // it died before it wrote
	} else if n < len(head) {
		return nil, err
	}
	length := binary.BigEndian.Uint32(head[:])
	if length == 0 {
		return nil, nil
	}
	if int64(length) > int64(limit) {
		return nil, fmt.Errorf("a record's beginning of %d bytes", length)
	}
	begun := make([]byte, length)
	if n, err := memo.ReadAt(begun, noteHead); n < len(begun) {
		return nil, err
	}
	return begun, nil
}

// resume goes on where the last process left the connection.
func (c *conn) resume(k *keptConn) error {
	c.kept, c.how, c.memo = k.name, k.how, k.memo
	c.framer = taught(c.server.cfg.MaxLine, k.how)
	c.proven = k.how != framingNew
	if k.memo == nil {
		return nil
	}
	begun, err := readNote(k.memo, readSize-1)
	if err != nil {
		return err
	}
	if len(begun) > 0 {
		c.carry, c.seen, c.since = begun, len(begun), time.Now()
	}
	return nil
}

// part is called when ctx has ended and the last records were handed on. A connection that is kept goes to the next
// process: nothing but our descriptor is closed. One that is not yet kept is, if it sent anything. What cannot be handed
// over is counted.
func (c *conn) part() {
	if c.kept == "" {
		how, whole := learnt(c.framer)
		if !c.proven {
			how = framingNew
		}
		if whole && (c.proven || len(c.carry) > 0 || c.unread()) {
			c.keep(how)
		}
	}
	if c.kept == "" {
		c.lose()
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
	_ = c.tcp.CloseRead() // the peer is told now, whenever systemd gets to it; it may be gone
	_ = c.tcp.CloseWrite()
	c.unkeep()
}
