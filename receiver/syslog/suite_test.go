package syslog

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tattled/receiver"
	"tattled/receiver/receivertest"
)

// sender is a source for the suite: a listener and one peer that sends to it. Each listener gets a new connection.
type sender struct {
	listen func(testing.TB) string
	frame  func([]byte, string) []byte

	mu   sync.Mutex
	conn net.Conn
}

func (s *sender) Receiver(t testing.TB) receiver.Receiver {
	r := listen(t, Config{Listen: s.listen(t), Timezone: "UTC"})
	c, err := net.Dial(r.Addr().Network(), r.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conn != nil {
		s.conn.Close()
	}
	s.conn = c
	return r
}

func (s *sender) Append(t testing.TB, messages ...string) {
	s.mu.Lock()
	c := s.conn
	s.mu.Unlock()
	var out []byte
	for _, m := range messages {
		out = s.frame(out, "<13>Nov 22 05:40:00 host suite[1]: "+m)
		if _, datagrams := c.(net.PacketConn); datagrams || len(out) > 1<<16 {
			if _, err := c.Write(out); err != nil {
				t.Errorf("send: %v", err)
				return
			}
			out = out[:0]
		}
	}
	if len(out) > 0 {
		if _, err := c.Write(out); err != nil {
			t.Errorf("send: %v", err)
		}
	}
}

func lines(out []byte, record string) []byte   { return append(append(out, record...), '\n') }
func counted(out []byte, record string) []byte { return fmt.Appendf(out, "%d %s", len(record), record) }
func datagram(_ []byte, record string) []byte  { return []byte(record) }

func listen(t testing.TB, cfg Config) *Receiver {
	t.Helper()
	r, err := New(cfg, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if r.udp != nil {
			r.udp.Close()
		}
		if r.tcp != nil {
			r.tcp.Close()
		}
		if r.unix != nil {
			r.unix.conn.Close()
		}
	})
	return r
}

func TestConformance(t *testing.T) {
	fixed := func(listen string) func(testing.TB) string { return func(testing.TB) string { return listen } }
	for name, c := range map[string]struct {
		listen  func(testing.TB) string
		frame   func([]byte, string) []byte
		forgets bool
	}{
		"udp":         {listen: fixed("udp://127.0.0.1:0"), frame: datagram, forgets: true},
		"udp by IPv6": {listen: fixed("udp://[::1]:0"), frame: datagram, forgets: true},
		"tcp lines":   {listen: fixed("tcp://127.0.0.1:0"), frame: lines},
		"tcp counted": {listen: fixed("tcp://127.0.0.1:0"), frame: counted},
		"unix":        {listen: func(t testing.TB) string { return "unix://" + filepath.Join(t.TempDir(), "log") }, frame: datagram},
	} {
		t.Run(name, func(t *testing.T) {
			receivertest.Run(t, receivertest.Harness{
				Open:    func(testing.TB) receivertest.Source { return &sender{listen: c.listen, frame: c.frame} },
				Forgets: c.forgets,
			})
		})
	}
}

// got is a record, kept.
type got struct{ host, program, pid, message, trust string }

// watch is a handler that keeps records.
type watch struct {
	mu      sync.Mutex
	records []got
	cut     int
	batches int
	arrived chan struct{}
}

func newWatch() *watch { return &watch{arrived: make(chan struct{}, 1)} }

func (w *watch) Handle(_ context.Context, b *receiver.Batch) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.batches++
	for _, r := range b.Records {
		w.records = append(w.records, got{string(r.Host), string(r.Program), string(r.PID), string(bytes.Clone(r.Message)), r.Trust.String()})
		if r.Cut {
			w.cut++
		}
	}
	select {
	case w.arrived <- struct{}{}:
	default:
	}
	return nil
}

func (w *watch) wait(t testing.TB, n int) []got {
	t.Helper()
	deadline := time.After(20 * time.Second)
	for {
		w.mu.Lock()
		all := append([]got(nil), w.records...)
		w.mu.Unlock()
		if len(all) >= n {
			return all
		}
		select {
		case <-w.arrived:
		case <-deadline:
			t.Fatalf("%d of %d records arrived", len(all), n)
		}
	}
}

// until polls for what no signal tells.
func until(t testing.TB, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(20 * time.Second)
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("gave up waiting for %s", what)
		}
	}
}

// run starts r and returns what ends it and checks that it ended well and that the books balance.
func run(t testing.TB, r *Receiver, w *watch) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx, nil, w) }()
	once := sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
		m, total := r.Meter(), uint64(len(w.records))
		for _, reason := range receiver.Reasons() {
			total += m.Dropped(reason)
		}
		if m.Records.Load() != total || m.Open.Load() != 0 {
			t.Errorf("books: %d records received, %d accounted for; %d open", m.Records.Load(), total, m.Open.Load())
		}
	})
	t.Cleanup(once)
	return once
}

func dial(t testing.TB, r *Receiver) net.Conn {
	t.Helper()
	c, err := net.Dial(r.Addr().Network(), r.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func send(t testing.TB, c net.Conn, text string) {
	t.Helper()
	if _, err := c.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
}

// arrived waits until all that was sent by TCP is in the receiver's kernel.
func arrived(t testing.TB, c net.Conn) {
	t.Helper()
	raw, err := c.(*net.TCPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	until(t, "what was sent to arrive", func() bool {
		left, fault := 0, error(nil)
		if err := raw.Control(func(fd uintptr) { left, fault = unix.IoctlGetInt(int(fd), unix.TIOCOUTQ) }); err != nil || fault != nil {
			t.Fatal(err, fault)
		}
		return left == 0
	})
}
