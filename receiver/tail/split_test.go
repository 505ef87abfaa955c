package tail

import (
	"bytes"
	"slices"
	"testing"
	"time"

	"tattled/event"
	"tattled/receiver"
	"tattled/receiver/wire"
)

func splitAll(s *Splitter, text []byte) (messages []string, c Count) {
	records, c := s.Split(text, time.Unix(1795000000, 0), make([]receiver.Record, 0, 100))
	for _, r := range records {
		messages = append(messages, string(r.Message))
	}
	return messages, c
}

func TestSplit(t *testing.T) {
	s := &Splitter{MaxLine: 4, Program: []byte("p"), Trust: event.TrustReport}
	got, c := splitAll(s, []byte("abcd\nabcde\r\n\r\n\n\x00\x00ab\r\nrest"))
	if want := []string{"abcd", "abcd", "ab"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if want := (Count{Bytes: 21, Blank: 2, Cut: 1}); c != want {
		t.Errorf("got %+v, want %+v", c, want)
	}
	s.KeepEmpty = true
	got, _ = splitAll(s, []byte("a\n\n \n\x00\nb\n"))
	if want := []string{"a", "", " ", "", "b"}; !slices.Equal(got, want) {
		t.Errorf("with blank lines kept: got %q, want %q", got, want)
	}
}

func TestSplitStopsAtCapacity(t *testing.T) {
	s := &Splitter{MaxLine: 100, Program: []byte("p")}
	records, c := s.Split([]byte("a\nb\nc\n"), time.Time{}, make([]receiver.Record, 0, 2))
	if len(records) != 2 || c.Bytes != 4 {
		t.Errorf("%d records of %d bytes, want 2 of 4", len(records), c.Bytes)
	}
}

func TestSplitParsesHeaders(t *testing.T) {
	s := &Splitter{MaxLine: 1000, Parser: wire.NewParser(time.UTC)}
	records, _ := s.Split([]byte("Nov 21 00:00:00 web1 sshd[7]: hello\n"), time.Unix(1795000000, 0), make([]receiver.Record, 0, 1))
	r := records[0]
	if string(r.Host) != "web1" || string(r.Program) != "sshd" || string(r.PID) != "7" || string(r.Message) != "hello" || r.Time.IsZero() {
		t.Errorf("got %+v", r)
	}
}

func TestSplitAllocatesNothing(t *testing.T) {
	s := &Splitter{MaxLine: 1000, Parser: wire.NewParser(time.UTC)}
	block := bytes.Repeat([]byte("Nov 21 00:00:00 web1 sshd[7]: Failed password for root from 192.0.2.1 port 1 ssh2\n"), 100)
	records, now := make([]receiver.Record, 0, 200), time.Unix(1795000000, 0)
	if n := testing.AllocsPerRun(100, func() { s.Split(block, now, records) }); n != 0 {
		t.Errorf("%v allocations for 100 lines", n)
	}
}

func BenchmarkSplit(b *testing.B) {
	line := []byte("Nov 21 00:00:00 web1 sshd[7]: Failed password for root from 192.0.2.1 port 1 ssh2\n")
	for name, s := range map[string]*Splitter{
		"whole line": {MaxLine: 1000, Program: []byte("p")},
		"header":     {MaxLine: 1000, Parser: wire.NewParser(time.UTC)},
	} {
		b.Run(name, func(b *testing.B) {
			block := bytes.Repeat(line, 700)
			records, now := make([]receiver.Record, 0, 1024), time.Unix(1795000000, 0)
			for b.Loop() {
				s.Split(block, now, records)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/700, "ns/line")
		})
	}
}

// A line of a file without headers may be the rest of a message that has a line end in it; a line with a header is not.
func TestSplitTellsFraming(t *testing.T) {
	for _, c := range []struct {
		program []byte
		line    string
		want    receiver.Framing
	}{
		{[]byte("proftpd"), "one\n", receiver.FileLine},
		{nil, "Nov 22 10:00:00 web1 proftpd[1]: one\n", receiver.Whole},
		{nil, " Nov 22 10:00:00 web1 proftpd[1]: one\r\n", receiver.Whole},
	} {
		s := Splitter{Program: c.program, MaxLine: 100, Parser: wire.NewParser(time.UTC)}
		records := make([]receiver.Record, 1)
		records[0].Framing = receiver.OutLine // of an earlier use
		records, _ = s.Split([]byte(c.line), time.Now(), records[:0])
		if len(records) != 1 || records[0].Framing != c.want {
			t.Errorf("%q: %+v", c.line, records)
		}
	}
}
