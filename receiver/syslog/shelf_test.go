package syslog

import (
	"bytes"
	"context"
	"encoding/binary"
	"maps"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"

	"tattled/receiver"
)

// shelf is a keeper that copies descriptors, as systemd does.
type shelf struct {
	t    testing.TB
	full bool // it takes nothing
	slow bool // it never settles

	mu    sync.Mutex
	files map[string][]int
	total int // how often a connection or its note was kept
}

func newShelf(t testing.TB) *shelf {
	s := &shelf{t: t, files: map[string][]int{}}
	t.Cleanup(func() {
		for name := range s.files {
			s.Forget(name)
		}
	})
	return s
}

func (s *shelf) Keep(name string, fd uintptr) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.full {
		return false
	}
	copied, err := unix.FcntlInt(fd, unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		s.t.Errorf("Keep: %v", err)
		return false
	}
	if len(name) > 255 || strings.ContainsAny(name, ":\n") {
		s.t.Errorf("Keep: name %q", name)
	}
	s.files[name] = append(s.files[name], copied)
	if !strings.HasPrefix(name, ringPrefix) {
		s.total++
	}
	return true
}

func (s *shelf) Forget(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, fd := range s.files[name] {
		unix.Close(fd)
	}
	delete(s.files, name)
}

func (s *shelf) Settle(string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.slow
}

// setSlow says whether what is asked for takes long.
func (s *shelf) setSlow(slow bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.slow = slow
}

// setFull says whether anything more is taken.
func (s *shelf) setFull(full bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.full = full
}

// names are those of the connections that are kept.
func (s *shelf) names() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []string
	for name := range s.files {
		if !strings.HasPrefix(name, ringPrefix) {
			all = append(all, name)
		}
	}
	return all
}

// pass is what the next process gets: a copy of each descriptor, and the listeners.
func (s *shelf) pass(files ...*os.File) *Passed {
	s.mu.Lock()
	defer s.mu.Unlock()
	for name, all := range s.files {
		for _, fd := range all {
			files = append(files, dup(s.t, fd, name))
		}
	}
	p := NewPassed(files...)
	p.Keeper = s
	return p
}

func dup(t testing.TB, fd int, name string) *os.File {
	copied, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	return os.NewFile(uintptr(copied), name)
}

// unit is a service with a socket unit: its listener stays, its processes come and go.
type unit struct {
	*shelf
	*ledger
	cfg      Config
	listener *os.File
}

func newUnit(t testing.TB, cfg Config) *unit {
	t.Helper()
	l, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return unitOf(t, cfg, l.Addr(), l.File)
}

// newUDPUnit is newUnit for a UDP socket.
func newUDPUnit(t testing.TB, cfg Config) *unit {
	t.Helper()
	l, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return unitOf(t, cfg, l.LocalAddr(), l.File)
}

func unitOf(t testing.TB, cfg Config, addr net.Addr, file func() (*os.File, error)) *unit {
	t.Helper()
	f, err := file()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	cfg.Listen = addr.Network() + "://" + addr.String()
	return &unit{shelf: newShelf(t), ledger: newLedger(), cfg: cfg, listener: f}
}

// resumes starts u once more, has more sent to it, and judges what w saw in all its lives.
func (u *unit) resumes(t *testing.T, w *watch, want []string, more func(*Receiver)) {
	t.Helper()
	r, stop := u.start(w)
	more(r)
	w.wait(t, len(want))
	stop()
	if got := w.messages(); !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

// ledger is a store that knows nothing but positions.
type ledger struct {
	books sync.Mutex
	at    map[string]receiver.Cursor
	lazy  bool // it commits nothing

	behind  map[string]receiver.Cursor // what would be committed
	hurries atomic.Int64
}

func newLedger() *ledger {
	return &ledger{at: map[string]receiver.Cursor{}, behind: map[string]receiver.Cursor{}}
}

func (l *ledger) Hurry() { l.hurries.Add(1) }

// catchUp commits all that was handled.
func (l *ledger) catchUp() {
	l.books.Lock()
	defer l.books.Unlock()
	maps.Copy(l.at, l.behind)
}

func (l *ledger) Position(stream string) receiver.Cursor {
	l.books.Lock()
	defer l.books.Unlock()
	return bytes.Clone(l.at[stream])
}

// commits returns h, whose batches are committed when they were handled.
func (l *ledger) commits(h receiver.Handler) receiver.Handler {
	return handlerFunc(func(ctx context.Context, b *receiver.Batch) error {
		if err := h.Handle(ctx, b); err != nil {
			return err
		}
		l.books.Lock()
		defer l.books.Unlock()
		if b.Stream == "" {
			return nil
		}
		l.behind[b.Stream] = bytes.Clone(b.Cursor)
		if !l.lazy {
			l.at[b.Stream] = l.behind[b.Stream]
		}
		return nil
	})
}

// setLazy says whether what is handled from now on is not committed.
func (l *ledger) setLazy(lazy bool) {
	l.books.Lock()
	defer l.books.Unlock()
	l.lazy = lazy
}

// open makes the next process's receiver.
func (u *unit) open() *Receiver {
	u.t.Helper()
	raw, err := u.listener.SyscallConn()
	if err != nil {
		u.t.Fatal(err)
	}
	var listener *os.File
	if err := raw.Control(func(fd uintptr) { listener = dup(u.t, int(fd), "syslog") }); err != nil {
		u.t.Fatal(err)
	}
	passed := u.pass(listener)
	r, err := New(u.cfg, passed)
	if err != nil {
		u.t.Fatal(err)
	}
	if left := passed.Left(); len(left) != 0 || !r.passed {
		u.t.Fatalf("left: %v", left)
	}
	if n := passed.Disown(); n != 0 {
		u.t.Errorf("%d connections disowned", n)
	}
	return r
}

// start runs the next process. stop ends it; it may be called twice.
func (u *unit) start(w *watch) (r *Receiver, stop func()) {
	u.t.Helper()
	r = u.open()
	before := w.count() // run's books are those of one receiver
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx, u.ledger, u.commits(w)) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			u.t.Errorf("Run: %v", err)
		}
		m, total := r.Meter(), uint64(w.count()-before)
		for _, reason := range receiver.Reasons() {
			total += m.Dropped(reason)
		}
		if m.Records.Load() != total || m.Open.Load() != 0 {
			u.t.Errorf("books: %d records received, %d accounted for; %d open", m.Records.Load(), total, m.Open.Load())
		}
	})
	u.t.Cleanup(stop)
	return r, stop
}

func (w *watch) count() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.records)
}

func (w *watch) messages() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var all []string
	for _, r := range w.records {
		all = append(all, r.message)
	}
	return all
}

// note is what lies beside a connection.
func (s *shelf) note() []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	for name, files := range s.files {
		if len(files) == 2 {
			f := dup(s.t, files[1], name)
			defer f.Close()
			head := make([]byte, spillHead)
			if _, err := f.ReadAt(head, 0); err != nil {
				return nil // not yet written
			}
			end := binary.BigEndian.Uint64(head[16:])
			begun, err := (&spill{file: f}).read(end, readSize)
			if err != nil {
				s.t.Error(err)
			}
			return begun
		}
	}
	return nil
}
