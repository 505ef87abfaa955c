package replay

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"tattled/event"
	"tattled/receiver"
	"tattled/receiver/receivertest"
)

// log is a finished log that can be read again.
type log struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *log) Receiver(testing.TB) receiver.Receiver {
	return New(&later{log: l}, Options{Program: "test"})
}

func (l *log) Append(_ testing.TB, messages ...string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, m := range messages {
		l.text.WriteString(m + "\n")
	}
}

// later reads what the log has when the first read comes.
type later struct {
	log *log
	in  io.Reader
}

func (l *later) Read(p []byte) (int, error) {
	if l.in == nil {
		l.log.mu.Lock()
		defer l.log.mu.Unlock()
		l.in = bytes.NewReader(bytes.Clone(l.log.text.Bytes()))
	}
	return l.in.Read(p)
}

func TestSuite(t *testing.T) {
	receivertest.Run(t, receivertest.Harness{
		Open: func(testing.TB) receivertest.Source { return &log{} },
		Ends: true,
	})
}

// sink keeps what it is given.
type sink struct {
	lines []string
	cut   []bool
	trust []event.Trust
	times []time.Time
}

func (s *sink) Handle(_ context.Context, b *receiver.Batch) error {
	for i := range b.Records {
		r := &b.Records[i]
		s.lines = append(s.lines, string(r.Message))
		s.cut = append(s.cut, r.Cut)
		s.trust = append(s.trust, r.Trust)
		s.times = append(s.times, r.Time)
		clear(r.Message) // dead when Handle returns
	}
	return nil
}

// read reads text with o, in one piece, byte by byte, and in halves: the result must be the same.
func read(t *testing.T, text string, o Options) (*sink, *receiver.Meter) {
	t.Helper()
	var first *sink
	var meter *receiver.Meter
	for i, in := range []io.Reader{
		strings.NewReader(text), iotest.HalfReader(strings.NewReader(text)), iotest.DataErrReader(strings.NewReader(text)),
		iotest.OneByteReader(strings.NewReader(text)),
	} {
		if i == 3 && len(text) > 1<<20 {
			continue
		}
		s, r := &sink{}, New(in, o)
		if err := r.Run(t.Context(), nil, s); err != nil {
			t.Fatal(err)
		}
		if first == nil {
			first, meter = s, r.Meter()
		}
		if !slices.Equal(s.lines, first.lines) || !slices.Equal(s.cut, first.cut) {
			t.Errorf("reader %d gives %d records that are not the %d of reader 0", i, len(s.lines), len(first.lines))
		}
		if got := r.Meter().Bytes.Load(); got != uint64(len(text)) {
			t.Errorf("reader %d: %d bytes counted, want %d", i, got, len(text))
		}
	}
	return first, meter
}

func TestLines(t *testing.T) {
	long := strings.Repeat("x", 1<<20)
	for _, test := range []struct {
		name, in string
		want     []string // with every line kept
		blank    int      // how many are left out otherwise
	}{
		{"nothing", "", nil, 0},
		{"one line end", "\n", []string{""}, 1},
		{"no line end at the end", "a\nb", []string{"a", "b"}, 0},
		{"blank lines", "a\n\n \n\nb\n\n", []string{"a", "", " ", "", "b", ""}, 4},
		{"CR LF", "a\r\n\r\nb\r\r\n", []string{"a", "", "b\r"}, 1},
		{"no text", "\xff\xfe\n\x80\n\x01\n", []string{"\xff\xfe", "\x80", "\x01"}, 1},
		{"NULs", "\x00\x00a\x00b\n\x00\n\x00", []string{"a\x00b", "", ""}, 2},
		{"a MiB", "a\n" + long + "\nb\n", []string{"a", long[:DefaultMaxLine], "b"}, 0},
		{"a MiB to the end", long, []string{long[:DefaultMaxLine]}, 0},
		{"a MiB and CR", long + "\r\n", []string{long[:DefaultMaxLine]}, 0},
		{"a hole", strings.Repeat("\x00", 1<<20) + "a\nb\n", []string{"a", "b"}, 0},
		{"the longest", long[:DefaultMaxLine] + "\r\nb", []string{long[:DefaultMaxLine], "b"}, 0},
		{"one more", long[:DefaultMaxLine+1] + "\r\nb", []string{long[:DefaultMaxLine], "b"}, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, _ := read(t, test.in, Options{Program: "p", EveryLine: true})
			if !slices.Equal(got.lines, test.want) {
				t.Errorf("got %.100q, want %.100q", got.lines, test.want)
			}
			for i, cut := range got.cut {
				if want := len(got.lines[i]) == DefaultMaxLine && test.name != "the longest"; cut != want {
					t.Errorf("record %d: Cut is %v, want %v", i, cut, want)
				}
			}
			some, m := read(t, test.in, Options{Program: "p"})
			if len(some.lines) != len(test.want)-test.blank || m.Dropped(receiver.Empty) != uint64(test.blank) {
				t.Errorf("%d records and %d blank, want %d and %d", len(some.lines), m.Dropped(receiver.Empty), len(test.want)-test.blank, test.blank)
			}
		})
	}
}

func TestLongestLineSetting(t *testing.T) {
	line := strings.Repeat("y", 1<<20)
	got, m := read(t, line+"\n"+line+"z\n", Options{Program: "p", MaxLine: 1 << 20})
	if len(got.lines) != 2 || got.cut[0] || !got.cut[1] || m.Cut.Load() != 1 {
		t.Errorf("%d records, cut %v, %d counted", len(got.lines), got.cut, m.Cut.Load())
	}
}

func TestHeadersTimesAndTrust(t *testing.T) {
	o := Options{Received: time.Date(2024, 1, 2, 0, 0, 0, 0, time.UTC), Trust: event.TrustReport}
	got, _ := read(t, "Dec 31 23:00:00 web1 sshd[7]: hello\n", o)
	if want := time.Date(2023, 12, 31, 23, 0, 0, 0, time.UTC); !slices.Equal(got.lines, []string{"hello"}) || !got.times[0].Equal(want) || got.trust[0] != event.TrustReport {
		t.Errorf("got %q at %v with trust %v, want hello at %v", got.lines, got.times, got.trust, want)
	}
}

func TestProgress(t *testing.T) {
	var told []int64
	r := New(strings.NewReader(strings.Repeat("a\n", 300000)), Options{Progress: func(n int64) { told = append(told, n) }})
	if err := r.Run(t.Context(), nil, &sink{}); err != nil {
		t.Fatal(err)
	}
	if !slices.IsSorted(told) || told[len(told)-1] != 600000 || len(told) < 3 {
		t.Errorf("told of %v bytes, want several times and 600000 in the end", told)
	}
}

func TestAFailedReadIsAnError(t *testing.T) {
	broken := errors.New("broken")
	r, s := New(io.MultiReader(strings.NewReader("a\nb"), iotest.ErrReader(broken)), Options{Program: "p"}), &sink{}
	if err := r.Run(t.Context(), nil, s); !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
	if !slices.Equal(s.lines, []string{"a"}) {
		t.Errorf("got %q: half a line is no record", s.lines)
	}
}

type count struct{ records int }

func (c *count) Handle(_ context.Context, b *receiver.Batch) error {
	c.records += len(b.Records)
	return nil
}

func TestAllocatesNothingForALine(t *testing.T) {
	text := []byte(strings.Repeat("Nov 21 00:00:00 web1 sshd[7]: Failed password for root from 192.0.2.1 port 1 ssh2\n", 20000))
	allocs := testing.AllocsPerRun(5, func() {
		if err := New(bytes.NewReader(text), Options{}).Run(t.Context(), nil, &count{}); err != nil {
			t.Fatal(err)
		}
	})
	if allocs > 20 {
		t.Errorf("%v allocations for 20,000 lines", allocs)
	}
}

func BenchmarkRun(b *testing.B) {
	line := "Nov 21 00:00:%02d web1 sshd[7]: Failed password for root from 192.0.2.1 port 1 ssh2\n"
	var text []byte
	for i := range 60 {
		text = append(text, bytes.Repeat(fmt.Appendf(nil, line, i), 300)...)
	}
	for name, o := range map[string]Options{"whole line": {Program: "p"}, "header": {}} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if err := New(bytes.NewReader(text), o).Run(b.Context(), nil, &count{}); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/18000, "ns/line")
		})
	}
}
