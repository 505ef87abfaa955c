package replay

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"tattled/receiver"
)

// merged keeps what a Merge hands over: each message with the time at which it was handed over.
type merged struct {
	lines []string
	times []time.Time
	clock time.Time
	back  bool
}

func (m *merged) Handle(_ context.Context, b *receiver.Batch) error {
	m.back = m.back || b.Received.Before(m.clock)
	m.clock = b.Received
	for i := range b.Records {
		m.lines = append(m.lines, string(b.Records[i].Message))
		m.times = append(m.times, b.Received)
	}
	return nil
}

func noon() time.Time { return time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC) }

// line is one with a header; its message is its number.
func line(at time.Time, n int) string {
	return fmt.Sprintf("%s web1 app[1]: %d\n", at.UTC().Format("2006-01-02T15:04:05.000000Z07:00"), n)
}

func feedOf(name, text string) Feed {
	return Feed{Name: name, Reopens: true, Options: Options{Source: name, Received: noon().Add(365 * 24 * time.Hour)}, Open: func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(text)), nil }}
}

func mergeAll(t testing.TB, feeds ...Feed) *merged {
	t.Helper()
	var m merged
	if err := Merge(t.Context(), feeds, &m); err != nil {
		t.Fatal(err)
	}
	if m.back {
		t.Error("the time went back")
	}
	return &m
}

// Logs that overlap come out as one, in the order of their records, whatever the order in which they are given.
func TestMergeOrder(t *testing.T) {
	var texts [3]strings.Builder
	const n = 5000
	for i := range n {
		texts[i%7%3].WriteString(line(noon().Add(time.Duration(i)*3*time.Second), i))
	}
	m := mergeAll(t, feedOf("c", texts[2].String()), feedOf("a", texts[0].String()), feedOf("b", texts[1].String()))
	if len(m.lines) != n {
		t.Fatalf("%d lines, want %d", len(m.lines), n)
	}
	for i, got := range m.lines {
		if got != fmt.Sprint(i) || !m.times[i].Equal(noon().Add(time.Duration(i)*3*time.Second)) {
			t.Fatalf("line %d is %s at %v", i, got, m.times[i])
		}
	}
}

// A line without a time has that of the one before it, and what comes before the first time has the first one.
func TestMergeWithoutTimes(t *testing.T) {
	m := mergeAll(t, feedOf("a", "no header\n"+line(noon(), 1)+"still none\n"+line(noon().Add(time.Minute), 2)), feedOf("b", line(noon().Add(30*time.Second), 3)))
	if want := []string{"no header", "1", "still none", "3", "2"}; !slices.Equal(m.lines, want) || !m.times[0].Equal(noon()) || !m.times[2].Equal(noon()) {
		t.Errorf("%q at %v", m.lines, m.times)
	}
	if m = mergeAll(t, feedOf("a", "nothing\nat all\n")); len(m.lines) != 2 || !m.times[1].Equal(noon().Add(365*24*time.Hour)) {
		t.Errorf("%q at %v", m.lines, m.times)
	}
}

// One line whose time is far ahead, as a peer or a clock that is wrong may have it, moves nothing; a gap that all lines after it
// confirm does. So does one far back: nothing.
func TestMergeOdd(t *testing.T) {
	for name, odd := range map[string]time.Time{"ahead": noon().AddDate(0, 3, 0), "beyond the log's end": noon().AddDate(3, 0, 0), "back": noon().AddDate(-4, 0, 0)} {
		var b strings.Builder
		for i := range 3000 {
			at := noon().Add(time.Duration(i) * time.Second)
			if i%1000 == 500 {
				at = odd
			}
			if i >= 2000 {
				at = at.Add(48 * time.Hour)
			}
			b.WriteString(line(at, i))
		}
		m := mergeAll(t, feedOf("a", b.String()))
		for i, at := range m.times {
			want := noon().Add(time.Duration(i) * time.Second)
			if i >= 2000 {
				want = want.Add(48 * time.Hour)
			}
			if d := at.Sub(want); d < -2*time.Second || d > 2*time.Second {
				t.Fatalf("%s: line %d is handed over at %v, want %v", name, i, at, want)
			}
		}
	}
}

// Whatever the logs are, each line comes once, in the order of its log, and the time never goes back.
func TestMergeAnything(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var feeds []Feed
		want := map[string]int{}
		for k := range rapid.IntRange(1, 5).Draw(t, "logs") {
			var b strings.Builder
			for i := range rapid.IntRange(0, 200).Draw(t, "lines") {
				message := fmt.Sprintf("%d-%d", k, i)
				want[message]++
				if rapid.IntRange(0, 9).Draw(t, "header") == 0 {
					fmt.Fprintln(&b, message)
					continue
				}
				at := noon().Add(time.Duration(rapid.Int64Range(-1e6, 1e6).Draw(t, "at")) * time.Second)
				fmt.Fprintf(&b, "%s web1 app[1]: %s\n", at.Format(time.RFC3339), message)
			}
			feeds = append(feeds, feedOf(fmt.Sprint(k), b.String()))
		}
		var m merged
		if err := Merge(context.Background(), feeds, &m); err != nil || m.back {
			t.Fatal(err, m.back)
		}
		last := map[string]int{}
		for _, l := range m.lines {
			want[l]--
			var k, i int
			if _, err := fmt.Sscanf(l, "%d-%d", &k, &i); err != nil || i != last[fmt.Sprint(k)] {
				t.Fatalf("%s after %v", l, last)
			}
			last[fmt.Sprint(k)]++
		}
		for l, n := range want {
			if n != 0 {
				t.Fatalf("%s came %d times too few", l, n)
			}
		}
	})
}

// An error says of which log it is and how far that was read; so many logs at once are refused rather than read in a wrong order.
func TestMergeErrors(t *testing.T) {
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	for i := range 20000 {
		_, _ = io.WriteString(w, line(noon().Add(time.Duration(i)*time.Second), i))
	}
	_ = w.Close()
	cut := packed.Bytes()[:packed.Len()-20]
	var m merged
	err := Merge(t.Context(), []Feed{{Name: "auth.log.1", Open: func() (io.ReadCloser, error) {
		r, err := gzip.NewReader(bytes.NewReader(cut))
		return r, err
	}}}, &m)
	if err == nil || !strings.Contains(err.Error(), "read auth.log.1: after line ") || !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("the error is %v", err)
	}
	var feeds []Feed
	for i := range maxOpen + 1 {
		feeds = append(feeds, feedOf(fmt.Sprint(i), line(noon().Add(time.Duration(i)*time.Second), i)+line(noon().Add(time.Hour), i)))
	}
	if err := Merge(t.Context(), feeds, &m); err == nil || !strings.Contains(err.Error(), "more than 64 logs overlap") {
		t.Errorf("the error is %v", err)
	}
	feeds = feeds[:0]
	for i := range 3 * maxOpen { // one after another
		feeds = append(feeds, feedOf(fmt.Sprint(i), line(noon().Add(time.Duration(i)*time.Hour), i)))
	}
	if m := mergeAll(t, feeds...); len(m.lines) != len(feeds) {
		t.Errorf("%d lines", len(m.lines))
	}
}
