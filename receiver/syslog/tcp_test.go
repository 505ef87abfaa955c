package syslog

import (
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"tattled/receiver"
	"tattled/setting"
)

// closed waits until the other side closed c.
func closed(t testing.TB, c net.Conn) {
	t.Helper()
	c.SetReadDeadline(time.Now().Add(20 * time.Second))
	if _, err := io.ReadAll(c); err != nil && strings.Contains(err.Error(), "timeout") {
		t.Error("the connection stays open")
	}
}

// Hostile and crooked framing: each connection gets what it deserves, and no other notices.
func TestTCPFrames(t *testing.T) {
	long := strings.Repeat("A", 600)
	for name, c := range map[string]struct {
		stream string
		want   []string // messages
		cut    uint64
		bad    uint64
		empty  uint64
	}{
		"count 999999999":          {"999999999 <38>x", []string{"999999999 <38>x"}, 0, 0, 0},
		"count 2^64+1":             {"18446744073709551617 <38>x", []string{"18446744073709551617 <38>x"}, 0, 0, 0},
		"ten thousand digits":      {strings.Repeat("1", 10000) + " <38>x", []string{strings.Repeat("1", 512)}, 1, 0, 0},
		"count 0":                  {"0 <38>x", []string{"0 <38>x"}, 0, 0, 0},
		"leading zero":             {"05 <38>x", []string{"05 <38>x"}, 0, 0, 0},
		"negative":                 {"-5 <38>x", []string{"-5 <38>x"}, 0, 0, 0},
		"count too short":          {"3 " + header + "SHORT\n", []string{"<38"}, 0, 0, 0},
		"count, then LF line":      {"5 <38>x" + header + "MIXED\n", []string{"<38>x"}, 0, 0, 0},
		"count, LF not counted":    {"5 <38>x\n5 <38>y\n", []string{"<38>x", "<38>y"}, 0, 0, 2},
		"count ends early":         {"99 " + header + "x", nil, 0, 1, 0},
		"no newline, then close":   {header + "UNENDED", []string{"UNENDED"}, 0, 0, 0},
		"priority 999":             {"<999>Nov 22 05:40:00 r1 x: PRI\n", []string{"<999>Nov 22 05:40:00 r1 x: PRI"}, 0, 0, 0},
		"NUL in the text":          {header + "y\n" + header + "a\x00b\n", []string{"y", "a\x00b"}, 0, 0, 0},
		"NUL framing":              {header + "a\x00" + header + "b\x00", []string{"a", "b"}, 0, 0, 0},
		"not UTF-8":                {header + "\xff\xfe\n", []string{"\xff\xfe"}, 0, 0, 0},
		"terminal escape":          {header + "\x1b[2J\n", []string{"\x1b[2J"}, 0, 0, 0},
		"empty lines":              {"\n\r\n \n" + header + "x\n", []string{"x"}, 0, 0, 3},
		"long line, then another":  {header + long + "\n" + header + "AFTER\n", []string{long[:512-len(header)], "AFTER"}, 1, 0, 0},
		"long count, then another": {fmt.Sprintf("%d %s%s", len(header)+600, header, long) + "5 <38>x", []string{long[:512-len(header)], "<38>x"}, 1, 0, 0},
		"thousands in one read":    {strings.Repeat("<1>a\n", 3000), slicesRepeat("<1>a", 3000), 0, 0, 0},
		"nothing":                  {"", nil, 0, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			r := listen(t, Config{Listen: "tcp://127.0.0.1:0", MaxLine: 512})
			w := newWatch()
			stop := run(t, r, w)
			conn := dial(t, r)
			send(t, conn, c.stream)
			conn.(*net.TCPConn).CloseWrite()
			closed(t, conn)
			stop()
			if len(w.records) != len(c.want) {
				t.Fatalf("%d records, want %d: %.200q", len(w.records), len(c.want), w.records)
			}
			for i, want := range c.want {
				if w.records[i].message != want {
					t.Errorf("record %d is %.100q, want %.100q", i, w.records[i].message, want)
				}
			}
			m := r.Meter()
			if m.Cut.Load() != c.cut || m.Dropped(receiver.BadFrame) != c.bad || m.Dropped(receiver.Empty) != c.empty || m.Errors.Load() != 0 {
				t.Errorf("cut %d, bad %d, empty %d, errors %d", m.Cut.Load(), m.Dropped(receiver.BadFrame), m.Dropped(receiver.Empty), m.Errors.Load())
			}
			if m.Bytes.Load() != uint64(len(c.stream)) {
				t.Errorf("%d bytes counted of %d", m.Bytes.Load(), len(c.stream))
			}
		})
	}
}

func slicesRepeat(s string, n int) []string {
	all := make([]string, n)
	for i := range all {
		all[i] = s
	}
	return all
}

// A record that comes byte by byte is one record.
func TestTCPTrickle(t *testing.T) {
	r := listen(t, Config{Listen: "tcp://127.0.0.1:0"})
	w := newWatch()
	run(t, r, w)
	c := dial(t, r)
	c.(*net.TCPConn).SetNoDelay(true)
	text := header + "byte by byte\n"
	for i := range text {
		send(t, c, text[i:i+1])
	}
	if got := w.wait(t, 1); got[0].message != "byte by byte" {
		t.Errorf("%+v", got)
	}
}

// A line of 100 MB costs no memory, is one record, and the next line is seen.
func TestTCPGiant(t *testing.T) {
	r := listen(t, Config{Listen: "tcp://127.0.0.1:0"})
	w := newWatch()
	stop := run(t, r, w)
	c := dial(t, r)
	send(t, c, header)
	block := strings.Repeat("A", 1<<20)
	for range 100 {
		send(t, c, block)
	}
	send(t, c, "\n"+header+"AFTER\n")
	got := w.wait(t, 2)
	stop()
	if len(got) != 2 || got[1].message != "AFTER" || len(got[0].message) != defaultMaxLine-len(header) || w.cut != 1 {
		t.Errorf("%d records, %d cut", len(got), w.cut)
	}
}

func TestTCPNotAllowed(t *testing.T) {
	r := listen(t, Config{Listen: "tcp://127.0.0.1:0", Allow: []setting.Network{network(t, "127.0.0.2")}})
	w := newWatch()
	stop := run(t, r, w)
	closed(t, dial(t, r))
	stop()
	if all := r.Refused(); len(all) != 1 || all[0].Addr.String() != "127.0.0.1" || all[0].Count != 1 {
		t.Errorf("refused: %+v", all)
	}
	if r.Meter().Dropped(receiver.NotAllowed) != 1 {
		t.Error("not counted")
	}
}

// from dials from a local address of its own.
func from(t testing.TB, r *Receiver, i int) net.Conn {
	t.Helper()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, byte(1+i/250), byte(1+i%250))}}
	c, err := d.Dial("tcp", r.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// Slow clients with half a line do not keep an honest one out, nor one that has proven itself; the number stays bounded.
func TestTCPSlowClients(t *testing.T) {
	r := listen(t, Config{Listen: "tcp://127.0.0.1:0", MaxConnections: 50})
	w := newWatch()
	stop := run(t, r, w)
	old := from(t, r, 0)
	send(t, old, header+"first\n")
	w.wait(t, 1)
	for i := range 500 {
		if _, err := from(t, r, 1+i%100).Write([]byte(header + "half a li")); err != nil {
			break // already gone
		}
	}
	honest := from(t, r, 200)
	send(t, honest, header+"HONEST\n")
	w.wait(t, 2)
	send(t, old, header+"still there\n")
	got := w.wait(t, 3)
	if got[1].message != "HONEST" || got[2].message != "still there" {
		t.Errorf("%+v", got)
	}
	if open := r.Meter().Open.Load(); open > 50 {
		t.Errorf("%d open", open)
	}
	stop()
	if n := r.Meter().Dropped(receiver.TooMany); n != 452 {
		t.Errorf("%d too many, want 452", n)
	}
}

// Silence ends a connection, and so does a record that does not become whole; only the latter is a loss.
func TestTCPTimeouts(t *testing.T) {
	for text, bad := range map[string]uint64{"": 0, header + "whole\n": 0, header + "half": 1} {
		r := listen(t, Config{Listen: "tcp://127.0.0.1:0"})
		r.cfg.IdleTimeout = setting.Duration(50 * time.Millisecond)
		c := dial(t, r)
		send(t, c, text)
		stop := run(t, r, newWatch()) // only now: on a busy machine the text could come when the time is up
		closed(t, c)
		stop()
		if got := r.Meter().Dropped(receiver.BadFrame); got != bad || r.Meter().Errors.Load() != 0 {
			t.Errorf("%q: %d bad, %d errors", text, got, r.Meter().Errors.Load())
		}
	}
}

// A peer that resets its connection is a fault that passes.
func TestTCPReset(t *testing.T) {
	r := listen(t, Config{Listen: "tcp://127.0.0.1:0"})
	w := newWatch()
	run(t, r, w)
	c := dial(t, r)
	send(t, c, header+"a\n"+header+"half")
	w.wait(t, 1)
	c.(*net.TCPConn).SetLinger(0)
	c.Close()
	until(t, "the end of the connection", func() bool { return r.Meter().Open.Load() == 0 })
	send(t, dial(t, r), header+"b\n")
	w.wait(t, 2)
}

// What had arrived when the context ended is handed on.
func TestTCPLastWords(t *testing.T) {
	r := listen(t, Config{Listen: "tcp://127.0.0.1:0"})
	w := newWatch()
	ctx, cancel := context.WithCancel(context.Background())
	entered, ended := make(chan struct{}), make(chan error, 1)
	first := true
	go func() {
		ended <- r.Run(ctx, nil, handlerFunc(func(ctx context.Context, b *receiver.Batch) error {
			if first {
				first = false
				close(entered)
				<-ctx.Done()
			}
			return w.Handle(ctx, b)
		}))
	}()
	c := dial(t, r)
	send(t, c, header+"first\n")
	<-entered
	send(t, c, header+"last\n"+header+"half")
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if len(w.records) != 2 || w.records[1].message != "last" {
		t.Errorf("%+v", w.records)
	}
}

type handlerFunc func(context.Context, *receiver.Batch) error

func (f handlerFunc) Handle(ctx context.Context, b *receiver.Batch) error { return f(ctx, b) }

// A listener that systemd passed is used, with the connections that wait in it.
func TestPassedTCP(t *testing.T) {
	l, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	f, err := l.File()
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	send(t, c, header+"while nobody ran\n")
	passed := NewPassed(f)
	if _, err := New(Config{Listen: "udp://" + addr}, passed); err != nil || len(passed.Left()) != 1 {
		t.Errorf("a UDP listener took it: %v", err)
	}
	r, err := New(Config{Listen: "tcp://" + addr}, passed)
	if err != nil || len(passed.Left()) != 0 {
		t.Fatalf("%v, left %v", err, passed.Left())
	}
	w := newWatch()
	run(t, r, w)
	w.wait(t, 1)
}

func BenchmarkTCP(b *testing.B) {
	payload := header + strings.Repeat("x", 200-len(header))
	for name, frame := range map[string]string{"lines": payload + "\n", "counted": fmt.Sprintf("%d %s", len(payload), payload)} {
		for _, kept := range []bool{false, true} {
			b.Run(fmt.Sprintf("%s/ring=%v", name, kept), func(b *testing.B) { benchmarkTCP(b, frame, kept) })
		}
	}
}

func benchmarkTCP(b *testing.B, frame string, kept bool) {
	h := new(counting)
	r, end := newUnit(b, Config{}).bench(h, kept)
	c := dial(b, r)
	const group = 300
	block := []byte(strings.Repeat(frame, group))
	b.SetBytes(int64(len(frame)))
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		if n%group == 0 {
			if _, err := c.Write(block); err != nil {
				b.Fatal(err)
			}
		}
		n++
	}
	want := uint64((n + group - 1) / group * group)
	until(b, "the last record", func() bool { return h.records.Load() == want })
	if err := end(); err != nil {
		b.Error(err)
	}
}
