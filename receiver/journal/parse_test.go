package journal

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"syscall"
	"testing"
	"testing/iotest"

	"tattled/receiver"
)

// cursorOf is a cursor as libsystemd writes it.
func cursorOf(n int) string {
	return fmt.Sprintf("s=0123456789abcdef0123456789abcdef;i=%x;b=0123456789abcdef0123456789abcdef;m=%x;t=%x;x=0123456789abcdef", n, n, n)
}

// exported is what a parser handed over.
type exported struct {
	messages []string
	cursors  []string
	gaps     int
	err      error
}

func export(in io.Reader, skipTo string) exported {
	var got exported
	p := newParser(in, func(p *parser) error {
		for i := range p.entries[:p.placed] {
			got.messages = append(got.messages, string(p.value(&p.entries[i], Message)))
		}
		got.cursors = append(got.cursors, string(p.cursor))
		got.gaps += p.gaps
		return nil
	})
	p.skipTo = []byte(skipTo)
	got.err = p.run()
	return got
}

func TestParser(t *testing.T) {
	t.Parallel()
	bin := func(name, value string) string {
		var b bytes.Buffer
		binaryField(&b, name, value)
		return b.String()
	}
	long := strings.Repeat("y", 3*readSize)
	for _, c := range []struct {
		what, in, skipTo string
		messages         string // joined with |
		gaps             int
		bad              bool
	}{
		{what: "nothing"},
		{what: "a position for each entry", in: "__CURSOR=a\nMESSAGE=1\n\n__CURSOR=b\nMESSAGE=2\n\n", messages: "1|2"},
		{what: "a position at the end", in: "MESSAGE=1\n\nMESSAGE=2\n__CURSOR=b\n\n", messages: "1|2"},
		{what: "a position of its own", in: "MESSAGE=1\n\nMESSAGE=2\n\n__CURSOR=b\n\n", messages: "1|2"},
		{what: "what no position has come for", in: "__CURSOR=a\nMESSAGE=1\n\nMESSAGE=2\n\n", messages: "1"},
		{what: "an entry without an end", in: "__CURSOR=a\nMESSAGE=1\n\n__CURSOR=b\nMESSAGE=2\n", messages: "1"},
		{what: "a field without an end", in: "__CURSOR=a\nMESSAGE=1\n\n__CURSOR=b\nMESS", messages: "1"},
		{what: "a binary field without an end", in: "__CURSOR=a\nMESSAGE=1\n\n__CURSOR=b\nMESSAGE\n\x05\x00\x00\x00\x00\x00\x00\x00ab", messages: "1"},
		{what: "more empty lines", in: "\n\n__CURSOR=a\nMESSAGE=1\n\n\n\n__CURSOR=b\nMESSAGE=2\n\n\n", messages: "1|2"},
		{what: "an equals sign in the value", in: "__CURSOR=a\nMESSAGE=a=b=\n\n", messages: "a=b="},
		{what: "a binary field that looks like fields", in: bin("MESSAGE", "x\n\n__CURSOR=z\nMESSAGE=forged\n\n") + "__CURSOR=a\n\n", messages: "x\n\n__CURSOR=z\nMESSAGE=forged\n\n"},
		{what: "the first of two messages", in: "__CURSOR=a\nMESSAGE=1\nMESSAGE=2\n" + bin("MESSAGE", "3") + "\n", messages: "1"},
		{what: "an empty message before another", in: "__CURSOR=a\nMESSAGE=\nMESSAGE=2\n\n", messages: ""},
		{what: "a message that is too long", in: "__CURSOR=a\nMESSAGE=" + long + "\n\n__CURSOR=b\n" + bin("MESSAGE", long) + "\n", messages: long[:MaxMessage] + "|" + long[:MaxMessage]},
		{what: "another field that is too long", in: "__CURSOR=a\nCODE_FILE=" + long + "\n" + bin("_CMDLINE", long) + "MESSAGE=1\n\n", messages: "1"},
		{what: "a gap", in: "__TATTLED_GAP=1\n\n__CURSOR=a\nMESSAGE=1\n\n", messages: "1", gaps: 1},
		{what: "the entry that was read before", in: "__CURSOR=a\nMESSAGE=1\n\n__CURSOR=b\nMESSAGE=2\n\n", skipTo: "a", messages: "2"},
		{what: "the entry that was read before being gone", in: "__CURSOR=b\nMESSAGE=2\n\n__CURSOR=c\nMESSAGE=3\n\n", skipTo: "a", messages: "2|3", gaps: 1},

		{what: "a name that cannot be", in: "__CURSOR=a\nMESSAGE=1\n\n-- Boot 123 --\nMESSAGE=2\n\n", messages: "1", bad: true},
		{what: "no name", in: "=x\n\n", bad: true},
		{what: "a name without end", in: strings.Repeat("A", 2*readSize), bad: true},
		{what: "a length that cannot be", in: "MESSAGE\n\xff\xff\xff\xff\xff\xff\xff\xff", bad: true},
		{what: "a length that is wrong", in: "MESSAGE\n\x01\x00\x00\x00\x00\x00\x00\x00abc\n\n", bad: true},
		{what: "a position that is too long", in: "__CURSOR=" + strings.Repeat("a", receiver.MaxCursor+1) + "\n\n", bad: true},
		{what: "an empty position", in: "__CURSOR=\n\n", bad: true},
		{what: "no position at all", in: strings.Repeat("MESSAGE=1\n\n", maxUnplaced+1), bad: true},
		{what: "too much without a position", in: strings.Repeat("MESSAGE="+long[:MaxMessage]+"\n\n", maxArena/MaxMessage+1), bad: true},
	} {
		for reader, wrap := range map[string]func(io.Reader) io.Reader{
			"whole":       func(r io.Reader) io.Reader { return r },
			"bytes":       iotest.OneByteReader,
			"halves":      iotest.HalfReader,
			"end at once": iotest.DataErrReader,
		} {
			got := export(wrap(strings.NewReader(c.in)), c.skipTo)
			if m := strings.Join(got.messages, "|"); m != c.messages || got.gaps != c.gaps || (got.err != nil) != c.bad {
				t.Errorf("%s, read in %s: %.80q, %d gaps, error %v", c.what, reader, m, got.gaps, got.err)
			}
			if got.err != nil && !errors.Is(got.err, errFormat) {
				t.Errorf("%s: error %v", c.what, got.err)
			}
		}
	}
}

// Entries are handed over before a read that may wait for the next ones.
func TestParserDoesNotWait(t *testing.T) {
	in, out := io.Pipe()
	handed := make(chan int, 10)
	p := newParser(in, func(p *parser) error { handed <- p.placed; return nil })
	ended := make(chan error)
	go func() { ended <- p.run() }()
	for range 3 {
		if _, err := io.WriteString(out, "MESSAGE=1\n\n__CURSOR=a\nMESSAGE=2\n\nMESSAGE=3\n"); err != nil {
			t.Fatal(err)
		}
		if n := <-handed; n != 2 {
			t.Fatalf("%d entries were handed over, want 2", n)
		}
		if _, err := io.WriteString(out, "__CURSOR=b\n\n"); err != nil {
			t.Fatal(err)
		}
		if n := <-handed; n != 1 {
			t.Fatalf("%d entries were handed over, want 1", n)
		}
	}
	out.Close()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
}

// exportText is n entries of sshd, with a position every so many.
func exportText(n, every int) []byte {
	var b bytes.Buffer
	for i := range n {
		fmt.Fprintf(&b, "__REALTIME_TIMESTAMP=%d\n_TRANSPORT=syslog\n_UID=0\n_COMM=sshd\n_EXE=/usr/sbin/sshd\n_SYSTEMD_UNIT=ssh.service\n", 1795219200000000+i)
		fmt.Fprintf(&b, "SYSLOG_IDENTIFIER=sshd\nSYSLOG_PID=4242\n_PID=4242\n_HOSTNAME=web1\nMESSAGE=Failed password for root from 203.0.113.%d port 4022 ssh2\n", i%256)
		if (i+1)%every == 0 {
			b.WriteString("__CURSOR=" + cursorOf(i) + "\n")
		}
		b.WriteByte('\n')
	}
	return b.Bytes()
}

type discard struct{ records int }

func (d *discard) Handle(_ context.Context, b *receiver.Batch) error {
	d.records += len(b.Records)
	return nil
}

// loop gives the same bytes again and again.
type loop struct {
	text []byte
	at   int
	left int // rounds
}

func (l *loop) Read(b []byte) (int, error) {
	if l.at == len(l.text) {
		if l.left--; l.left < 0 {
			return 0, io.EOF
		}
		l.at = 0
	}
	n := copy(b, l.text[l.at:])
	l.at += n
	return n, nil
}

// From the pipe to the handler, nothing is allocated for an entry.
func TestAllocations(t *testing.T) {
	for _, every := range []int{1, 512} {
		r, d := &Receiver{kernel: []byte("kernel"), stream: "journal"}, &discard{}
		r.handler = d
		ctx := context.Background()
		in := &loop{text: exportText(1024, every)}
		p := newParser(in, func(p *parser) error { return r.take(ctx, p) })
		round := func() {
			in.left = 1
			for n := d.records; d.records < n+1024; {
				if err := p.line(); err != nil {
					t.Fatal(err)
				}
			}
		}
		for range 4 {
			round()
		}
		if got := testing.AllocsPerRun(20, round); got > 0 {
			t.Errorf("%.1f allocations for 1024 entries, with a position every %d", got, every)
		}
	}
}

func BenchmarkParser(b *testing.B) {
	r, d := &Receiver{kernel: []byte("kernel"), stream: "journal"}, &discard{}
	r.handler = d
	in := &loop{text: exportText(1024, 512), left: b.N/1024 + 2}
	p := newParser(in, func(p *parser) error { return r.take(b.Context(), p) })
	var before syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &before); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		for n := d.records; d.records == n; {
			in.left = 1
			if err := p.line(); err != nil {
				b.Fatal(err)
			}
		}
	}
	var after syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &after); err != nil {
		b.Fatal(err)
	}
	cpu := after.Utime.Nano() + after.Stime.Nano() - before.Utime.Nano() - before.Stime.Nano()
	b.ReportMetric(float64(cpu)/float64(d.records), "cpu-ns/entry")
}

// Any bytes: no panic, no more memory than promised, the same result however they are cut into reads, and nothing beyond
// the last position.
func FuzzParser(f *testing.F) {
	f.Add([]byte("__CURSOR=a\nMESSAGE=1\n\n__CURSOR=b\nMESSAGE\n\x02\x00\x00\x00\x00\x00\x00\x00a\n\n_UID=0\n\n"), uint8(3))
	f.Add(exportText(5, 2), uint8(7))
	f.Fuzz(func(t *testing.T, text []byte, step uint8) {
		whole := export(bytes.NewReader(text), "")
		parts := export(&stepReader{text, int(step) + 1}, "")
		if strings.Join(whole.messages, "|") != strings.Join(parts.messages, "|") || (whole.err == nil) != (parts.err == nil) || whole.gaps != parts.gaps {
			t.Errorf("read whole: %+v\nin parts of %d: %+v", whole, int(step)+1, parts)
		}
		for _, c := range whole.cursors {
			if len(c) == 0 || len(c) > receiver.MaxCursor {
				t.Errorf("a position of %d bytes", len(c))
			}
		}
		for _, m := range whole.messages {
			if len(m) > MaxMessage {
				t.Errorf("a message of %d bytes", len(m))
			}
			if !bytes.Contains(text, []byte(m)) {
				t.Errorf("message %q is not in the text", m)
			}
		}
		r := &Receiver{kernel: []byte("kernel"), stream: "journal", handler: &discard{}}
		p := newParser(bytes.NewReader(text), func(p *parser) error { return r.take(context.Background(), p) })
		_ = p.run()
		if cap(p.arena) > 4*maxArena {
			t.Errorf("the arena has %d bytes", cap(p.arena))
		}
	})
}

type stepReader struct {
	rest []byte
	step int
}

func (r *stepReader) Read(b []byte) (int, error) {
	if len(r.rest) == 0 {
		return 0, io.EOF
	}
	n := copy(b[:min(len(b), r.step)], r.rest)
	r.rest = r.rest[n:]
	return n, nil
}
