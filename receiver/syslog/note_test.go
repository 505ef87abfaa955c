package syslog

import (
	"encoding/binary"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// killed is a process that dies when the test says so: a connection that the test itself drives, call by call.
type killed struct {
	*conn
	t      testing.TB
	client net.Conn
}

// begin makes a process that has a connection, has handed on its first record, and has it kept.
func begin(t testing.TB, u *unit, w *watch) *killed {
	r := u.open()
	client := dial(t, r)
	tcp, err := r.tcp.AcceptTCP()
	if err != nil {
		t.Fatal(err)
	}
	r.spool = r.openSpool(u.ledger)
	s := &server{Receiver: r, handler: u.commits(w), readers: make(chan *reader, 1), crowd: newCrowd()}
	s.readers <- nil
	c, err := newConn(s, tcp, netip.MustParseAddr("127.0.0.1"), nil)
	if err != nil {
		t.Fatal(err)
	}
	k := &killed{conn: c, t: t, client: client}
	k.arrive(header + "first\n")
	k.hand()
	if len(u.names()) != 1 {
		t.Fatal("the connection is not kept")
	}
	return k
}

// arrive sends text and waits until the process has seen all of it.
func (k *killed) arrive(text string) {
	k.t.Helper()
	send(k.t, k.client, text)
	if k.rd == nil {
		k.rd = newReader(k.server.Receiver)
	}
	want := k.seen + len(text)
	until(k.t, "the bytes to arrive", func() bool {
		k.with(k.peek)
		return k.have == want
	})
}

// hand is what turn does with what arrived.
func (k *killed) hand() {
	k.t.Helper()
	if err := k.take(k.t.Context()); err != nil {
		k.t.Fatal(err)
	}
}

func (k *killed) with(do func(uintptr)) {
	if err := k.raw.Control(do); err != nil {
		k.t.Fatal(err)
	}
}

// die leaves to the next process what the kernel leaves to it.
func (k *killed) die() {
	if k.spill != nil {
		k.spill.file.Close()
	}
	k.tcp.Close()
	k.server.tcp.Close()
	k.server.spool.close()
}

// head returns the head of the spill, for a test that undoes the last write to it.
func (k *killed) head() []byte {
	head := make([]byte, spillHead)
	if k.spill != nil {
		_, _ = k.spill.file.ReadAt(head, 0)
	}
	return head
}

func (k *killed) setHead(head []byte) {
	if _, err := k.spill.file.WriteAt(head, 0); err != nil {
		k.t.Fatal(err)
	}
}

// A process that is killed between any two steps of taking the beginning of a record out of the kernel, and of letting go
// of it, leaves a stream that the next one reads to the end: no record is torn, glued or doubled.
func TestKilledAtEveryStep(t *testing.T) {
	const one, two = "half one ", "half two "
	noted := func(k *killed) { // as pull, up to its recv
		if !k.note(k.rd.buf[:k.seen]) {
			k.t.Fatal("no note")
		}
	}
	pulled := func(k *killed) {
		k.with(func(fd uintptr) {
			if !k.pull(fd) {
				k.t.Error("not pulled")
			}
		})
	}
	steps := map[string]func(*killed){
		"nothing was done": func(*killed) {},
		"the bytes were written, not the head": func(k *killed) {
			head := k.head()
			noted(k)
			k.setHead(head)
		},
		"noted":  noted,
		"pulled": pulled,
		"noted again": func(k *killed) {
			pulled(k)
			k.arrive(two)
			k.hand()
			noted(k)
		},
		"the bytes were written again, not the head": func(k *killed) {
			pulled(k)
			k.arrive(two)
			k.hand()
			head := k.head()
			noted(k)
			k.setHead(head)
		},
		"pulled again": func(k *killed) {
			pulled(k)
			k.arrive(two)
			k.hand()
			pulled(k)
		},
		"pulled again, the peer closed": func(k *killed) {
			pulled(k)
			k.arrive(two)
			k.hand()
			pulled(k)
			if err := k.client.(*net.TCPConn).CloseWrite(); err != nil {
				k.t.Fatal(err)
			}
		},
		"handed on and discarded, the note is still there": func(k *killed) {
			pulled(k)
			k.arrive(two + "\n" + header)
			head := k.head()
			k.hand()
			k.setHead(head)
		},
		"handed on and discarded": func(k *killed) {
			pulled(k)
			k.arrive(two + "\n" + header)
			k.hand()
		},
	}
	for name, step := range steps {
		t.Run(name, func(t *testing.T) {
			u, w := newUnit(t, Config{}), newWatch()
			k := begin(t, u, w)
			k.arrive(header + one)
			k.hand()
			step(k)
			k.die()
			want := []string{"first", one + two, "last"}
			rest := two + "\n" + header
			switch {
			case strings.HasSuffix(name, "closed"):
				want, rest = []string{"first", one + two}, ""
			case strings.Contains(name, "discarded"):
				rest = ""
			case strings.Contains(name, "again"):
				rest = "\n" + header
			}
			u.resumes(t, w, want, func(*Receiver) {
				if len(want) == 3 {
					send(t, k.client, rest+"last\n")
				}
			})
		})
	}
}

// A connection whose removal systemd does not take in time ends before its stream is at a place where nobody could go on.
func TestRemovalIsCertain(t *testing.T) {
	u, w := newUnit(t, Config{MaxLine: 512}), newWatch()
	r, stop := u.start(w)
	c := dial(t, r)
	send(t, c, header+"x\n")
	w.wait(t, 1)
	until(t, "the connection to be kept", func() bool { return len(u.names()) == 1 })
	u.setSlow(true)
	send(t, c, header+strings.Repeat("y", 600))
	closed(t, c)
	stop()
	if n := r.Meter().Errors.Load(); n != 1 {
		t.Errorf("%d errors", n)
	}
}

// What was kept by the version before, under its names, goes on under ours, a record that was begun too.
func TestOldNames(t *testing.T) {
	u, w := newUnit(t, Config{}), newWatch()
	k := begin(t, u, w)
	k.arrive(header + "half ")
	k.hand()
	begun := []byte(header + "half ")
	k.with(func(fd uintptr) {
		if !k.pull(fd) {
			t.Fatal("not pulled")
		}
		u.Forget(k.kept)
		old := oldPrefix + "-l-0123456789abcdef-" + strings.ReplaceAll(k.server.identity().String(), ":", "_")
		u.Keep(old, fd)
		u.Keep(old, memory(t, string(binary.BigEndian.AppendUint32(nil, uint32(len(begun))))+string(begun)).Fd())
	})
	k.die()
	_, stop := u.start(w)
	until(t, "a new name", func() bool { return len(u.names()) == 1 && strings.HasPrefix(u.names()[0], keptPrefix) })
	stop()
	_, stop = u.start(w)
	send(t, k.client, "and half\n")
	w.wait(t, 2)
	stop()
	if got := w.messages(); !slices.Equal(got, []string{"first", "half and half"}) {
		t.Errorf("%q", got)
	}
}

// Names are short enough for the environment of the next process, whatever the listener's address.
func TestNamesFit(t *testing.T) {
	for _, at := range []string{"127.0.0.1:514", "[2001:db8:1111:2222:3333:4444:5555:6666%a-long-interface]:65535"} {
		name := keptName(framingLF, netip.MustParseAddrPort(at))
		how, by, ok := readKeptName(name)
		if len(name) > 24 || how != framingLF || by != listenerName(netip.MustParseAddrPort(at)) || !ok {
			t.Errorf("%q of %d bytes: %c %q %v", name, len(name), how, by, ok)
		}
	}
}

// An urgent byte shifts nothing.
func TestPositionWithUrgentByte(t *testing.T) {
	u, w := newUnit(t, Config{}), newWatch()
	k := begin(t, u, w)
	raw, err := k.client.(*net.TCPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var failed error
	err = raw.Control(func(fd uintptr) { failed = unix.Sendmsg(int(fd), []byte(header+"u"), nil, nil, unix.MSG_OOB) })
	if err != nil || failed != nil {
		t.Fatal(err, failed)
	}
	until(t, "what is before it", func() bool { k.with(k.peek); return k.have == len(header) })
	k.hand()
	k.with(func(fd uintptr) {
		if !k.pull(fd) {
			t.Error("not pulled")
		}
	})
	k.die()
	_, stop := u.start(w)
	send(t, k.client, "rgent\n")
	w.wait(t, 2)
	stop()
	if got := w.messages(); !slices.Equal(got, []string{"first", "urgent"}) {
		t.Errorf("%q", got)
	}
}
