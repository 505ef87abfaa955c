package syslog

import (
	"context"
	"fmt"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tattled/receiver"
	"tattled/receiver/receivertest"
)

// keptSender is a source for the suite: a listener of a socket unit whose ring and connections are kept, and one peer that
// notices nothing of what happens to its readers.
type keptSender struct {
	*unit
	*sender
}

func (s *keptSender) Receiver(testing.TB) receiver.Receiver { return s.open() }

// newKeptSender makes one. A connection is kept from its first record on, so it sends one, which is not part of the test.
func newKeptSender(t testing.TB, u *unit, frame func([]byte, string) []byte) *keptSender {
	s := &keptSender{u, &sender{frame: frame}}
	w := newWatch()
	r, stop := u.start(w)
	s.conn = dial(t, r)
	if _, tcp := s.conn.(*net.TCPConn); tcp {
		s.Append(t, "hello")
		w.wait(t, 1)
		until(t, "the connection to be kept", func() bool { return len(u.names()) == 1 })
	}
	stop()
	g, err := openRing(u.ring(), map[bool]int{true: stageSize}[r.udp != nil])
	if err != nil {
		t.Fatal(err)
	}
	g.head.tail = g.head.head
	g.close()
	return s
}

// With somebody to keep its ring, syslog is a source that can rewind.
func TestConformanceWithRing(t *testing.T) {
	for name, c := range map[string]struct {
		unit    func(testing.TB, Config) *unit
		frame   func([]byte, string) []byte
		forgets bool
	}{
		"udp":         {newUDPUnit, datagram, true},
		"tcp lines":   {newUnit, lines, false},
		"tcp counted": {newUnit, counted, false},
	} {
		t.Run(name, func(t *testing.T) {
			receivertest.Run(t, receivertest.Harness{
				Open: func(t testing.TB) receivertest.Source {
					return newKeptSender(t, c.unit(t, Config{Timezone: "UTC"}), c.frame)
				},
				Rewinds: true,
				Forgets: c.forgets,
			})
		})
	}
}

// A process that is killed between any two steps of taking records of a connection leaves them to the next one, each once.
func TestKilledWithFrames(t *testing.T) {
	const records = header + "one\n" + header + "two\n"
	n := len(records)
	framed := func(k *killed) {
		for at := 0; at < n; {
			frame, size, _ := k.framer.Next(k.rd.buf[at:n], false)
			k.rd.hold(frame, false, k.trust)
			at += size
		}
	}
	put := func(k *killed) block {
		framed(k)
		b := block{received: time.Now(), id: streamID(k.kept), end: k.begin() + uint64(n)}
		if err := k.server.spool.put(k.t.Context(), &b, k.rd.pieces); err != nil {
			k.t.Fatal(err)
		}
		return b
	}
	forgot := func(k *killed, some int) block {
		b := put(k)
		if err := k.forget(some); err != nil {
			k.t.Fatal(err)
		}
		return b
	}
	deliver := func(k *killed, b block) {
		if err := k.server.spool.deliver(k.t.Context(), k.server.handler, &b, k.rd.pieces, 0); err != nil {
			k.t.Fatal(err)
		}
	}
	for name, c := range map[string]struct {
		carry bool // the beginning was taken out of the kernel before
		again bool // they were delivered and not committed
		step  func(*unit, *killed)
	}{
		"framed":               {step: func(_ *unit, k *killed) { framed(k) }},
		"in the ring":          {step: func(_ *unit, k *killed) { put(k) }},
		"partly forgotten":     {step: func(_ *unit, k *killed) { forgot(k, 7) }},
		"forgotten":            {step: func(_ *unit, k *killed) { forgot(k, n) }},
		"carried, in the ring": {carry: true, step: func(_ *unit, k *killed) { put(k) }},
		"carried, partly forgotten": {carry: true, step: func(_ *unit, k *killed) {
			put(k)
			if err := k.drop(9); err != nil { // and the note is not written yet
				k.t.Fatal(err)
			}
		}},
		"carried, forgotten": {carry: true, step: func(_ *unit, k *killed) { forgot(k, n) }},
		"delivered, not committed": {again: true, step: func(u *unit, k *killed) {
			u.setLazy(true)
			deliver(k, forgot(k, n))
		}},
		"committed": {step: func(_ *unit, k *killed) { deliver(k, forgot(k, n)) }},
	} {
		t.Run(name, func(t *testing.T) {
			u, w := newUnit(t, Config{}), newWatch()
			k := begin(t, u, w)
			if c.carry {
				k.arrive(records[:len(header)+2])
				k.hand()
				k.with(func(fd uintptr) {
					if !k.pull(fd) {
						t.Error("not pulled")
					}
				})
				k.arrive(records[len(header)+2:])
			} else {
				k.arrive(records)
			}
			c.step(u, k)
			k.die()
			u.setLazy(false)
			want := []string{"first", "one", "two", "three"}
			if c.again {
				want = []string{"first", "one", "two", "one", "two", "three"}
			}
			u.resumes(t, w, want, func(*Receiver) { send(t, k.client, header+"three\n") })
		})
	}
}

// The same for datagrams.
func TestKilledWithDatagrams(t *testing.T) {
	type life struct {
		*Receiver
		d *datagrams
		b *batcher
		h receiver.Handler
	}
	hold := func(t testing.TB, l *life) block {
		for i := range l.d.n {
			l.b.hold(l.d.data(i), false, 0)
		}
		b := block{received: time.Now(), id: datagramStream, end: l.d.turn}
		if err := l.spool.put(t.Context(), &b, l.b.pieces); err != nil {
			t.Fatal(err)
		}
		return b
	}
	deliver := func(t testing.TB, l *life) {
		b := hold(t, l)
		l.d.done()
		if err := l.spool.deliver(t.Context(), l.h, &b, l.b.pieces, 0); err != nil {
			t.Fatal(err)
		}
	}
	for name, c := range map[string]struct {
		again bool
		step  func(testing.TB, *unit, *life)
	}{
		"received":                 {step: func(testing.TB, *unit, *life) {}},
		"in the ring":              {step: func(t testing.TB, _ *unit, l *life) { hold(t, l) }},
		"in the ring, and done":    {step: func(t testing.TB, _ *unit, l *life) { hold(t, l); l.d.done() }},
		"delivered, not committed": {again: true, step: func(t testing.TB, u *unit, l *life) { u.setLazy(true); deliver(t, l) }},
		"committed":                {step: func(t testing.TB, _ *unit, l *life) { deliver(t, l) }},
		"the next call was begun": {step: func(t testing.TB, _ *unit, l *life) {
			deliver(t, l)
			l.d.prepare(0)
			l.d.turn++
		}},
	} {
		t.Run(name, func(t *testing.T) {
			u, w := newUDPUnit(t, Config{}), newWatch()
			l := &life{Receiver: u.open(), h: u.commits(w)}
			l.spool = l.openSpool(u.ledger)
			l.d, l.b = newDatagrams(l.spool.ring.stage), newBatcher(l.Receiver)
			l.d.prepareAll()
			conn := dial(t, l.Receiver)
			receive := func(want int) {
				raw, err := l.udp.SyscallConn()
				if err != nil {
					t.Fatal(err)
				}
				until(t, "datagrams", func() bool {
					if err := raw.Control(func(fd uintptr) { l.d.receive(fd) }); err != nil {
						t.Fatal(err)
					}
					return l.d.n == want
				})
			}
			for i := range 3 { // a larger batch before it leaves nothing behind
				send(t, conn, fmt.Sprint(header, "before ", i))
			}
			receive(3)
			l.b.begin(time.Now())
			if err := l.handleDatagrams(t.Context(), l.h, l.d, l.b, &dropCounter{}); err != nil {
				t.Fatal(err)
			}
			send(t, conn, header+"one")
			send(t, conn, header+"two")
			receive(2)
			c.step(t, u, l)
			l.spool.close() // it dies
			l.closeSockets()
			u.setLazy(false)
			want := []string{"before 0", "before 1", "before 2", "one", "two", "three"}
			if c.again {
				want = slices.Insert(want, 5, "one", "two")
			}
			u.resumes(t, w, want, func(*Receiver) { send(t, conn, header+"three") })
		})
	}
}

// A datagram of many lines that was committed in part goes on where it was left.
func TestRewindsWithinADatagram(t *testing.T) {
	u, w := newUDPUnit(t, Config{Datagrams: "lines"}), newWatch()
	var all []byte
	for i := range 3 * maxBatch {
		all = fmt.Appendf(all, "<13>%d\n", i)
	}
	r := u.open()
	stopped := fmt.Errorf("no more")
	ended := make(chan error, 1)
	go func() {
		ended <- r.Run(t.Context(), u.ledger, u.commits(handlerFunc(func(ctx context.Context, b *receiver.Batch) error {
			if w.count() > 0 {
				return stopped
			}
			return w.Handle(ctx, b)
		})))
	}()
	c := dial(t, r)
	send(t, c, string(all))
	if err := <-ended; err != stopped { //nolint:errorlint // it is the one
		t.Fatal(err)
	}
	_, stop := u.start(w)
	w.wait(t, 3*maxBatch)
	stop()
	if n := w.count(); n != 3*maxBatch {
		t.Errorf("%d records", n)
	}
}

// Many connections at once, and processes that die before they commit: what is committed in the end is each record once.
func TestRingUnderLoad(t *testing.T) {
	u := newUnit(t, Config{})
	const clients, records, batches = 4, 3000, 40
	var mu sync.Mutex
	seen := map[string]int{}
	var conns []net.Conn
	hello := newWatch()
	r, stop := u.start(hello)
	for i := range clients {
		c := dial(t, r)
		send(t, c, header+"hello\n")
		hello.wait(t, i+1)
		conns = append(conns, c)
	}
	until(t, "all to be kept", func() bool { return len(u.names()) == clients })
	stop()
	for i, c := range conns {
		go func() {
			for n := range records {
				if _, err := fmt.Fprintf(c, "%s%d %d\n", header, i, n); err != nil {
					t.Errorf("a connection broke: %v", err)
					return
				}
			}
		}()
	}
	failure := fmt.Errorf("killed")
	for lives := 0; ; lives++ {
		r, handled := u.open(), 0
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		err := r.Run(ctx, u.ledger, handlerFunc(func(_ context.Context, b *receiver.Batch) error {
			mu.Lock()
			defer mu.Unlock()
			if handled++; handled > batches {
				return failure
			}
			if handled > batches-5 { // handled and not committed
				return nil
			}
			return u.commits(handlerFunc(func(_ context.Context, b *receiver.Batch) error {
				for _, r := range b.Records {
					seen[string(r.Message)]++
				}
				return nil
			})).Handle(t.Context(), b)
		}))
		cancel()
		if err == nil && len(seen) == clients*records {
			t.Logf("%d lives", lives)
			break
		}
		if lives > 2000 {
			t.Fatalf("%d of %d records", len(seen), clients*records)
		}
	}
	for message, n := range seen {
		if n != 1 {
			t.Errorf("%s: %d times", message, n)
		}
	}
}

// The unix socket's file goes with the process, but not what was taken from it.
func TestUnixRing(t *testing.T) {
	shelf, books, path := newShelf(t), newLedger(), t.TempDir()+"/log"
	books.setLazy(true)
	w := newWatch()
	for life := range 2 {
		r, err := New(Config{Listen: "unix://" + path}, shelf.pass())
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- r.Run(ctx, books, books.commits(w)) }()
		if life == 0 {
			send(t, dial(t, r), header+"one")
		}
		w.wait(t, life+1)
		cancel()
		if err := <-ended; err != nil {
			t.Fatal(err)
		}
	}
	if got := w.messages(); !slices.Equal(got, []string{"one", "one"}) {
		t.Errorf("%q", got)
	}
	if err := unix.Access(path, unix.F_OK); err == nil {
		t.Error("the socket's file is still there")
	}
}
