package storetest

import (
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"tattled/receiver"
	"tattled/store"
)

func (s Suite) marks(t *testing.T) {
	t.Run("survive a restart", s.marksOutlive)
	t.Run("no later than the cursor", s.marksFirst)
	t.Run("bounded", s.marksBounded)
}

// marksOf reads all marks.
func marksOf(t *testing.T, s *store.Store) []string {
	t.Helper()
	all, err := s.Marks()
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func (s Suite) marksOutlive(t *testing.T) {
	b, reopen := s.Open(t)
	r := start(t, b, Options(), store.CommitterOptions{Linger: time.Microsecond})
	want := []string{"a", "b\x00\xff", strings.Repeat("x", 16<<10)}
	for _, mark := range append(want, "a") {
		if err := r.PutMark(mark); err != nil {
			t.Fatal(err)
		}
	}
	for _, mark := range []string{"", strings.Repeat("x", 16<<10+1)} {
		if r.PutMark(mark) == nil {
			t.Errorf("a mark of %d bytes was accepted", len(mark))
		}
	}
	if err := r.PutNote(t.Context(), "a", []byte("a note is not a mark")); err != nil {
		t.Fatal(err)
	}
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	if err := r.PutMark("late"); err == nil {
		t.Error("a mark was accepted after the end")
	}
	if err := r.s.Close(); err != nil {
		t.Fatal(err)
	}
	again := start(t, reopen(), Options(), store.CommitterOptions{})
	defer again.s.Close()
	defer func() { _ = again.stop() }()
	if got := marksOf(t, again.s); !slices.Equal(got, want) {
		t.Errorf("%d marks: %.20q, want %.20q", len(got), got, want)
	}
	if got := string(again.s.Note("a")); got != "a note is not a mark" {
		t.Errorf("the note of the same name is %q", got)
	}
}

// Whatever transaction fails, applied or not: where a cursor is durable, so is each mark that was put before it was submitted.
func (s Suite) marksFirst(t *testing.T) {
	for _, apply := range []bool{true, false} {
		for at := range 8 {
			b, _ := s.Open(t)
			f := &faulty{Backend: b, fail: func(n int) (bool, error) {
				if n == at+1 {
					return apply, errFault
				}
				return false, nil
			}}
			r := start(t, f, Options(), store.CommitterOptions{Linger: time.Microsecond, MaxGroup: 1})
			for r.Beat() == 0 { // before that, a request makes a transaction of its own
				runtime.Gosched()
			}
			put := 0
			for i := 1; i <= 40; i++ {
				if r.PutMark(fmt.Sprintf("%03d", i)) != nil ||
					r.Submit(t.Context(), nil, "log", receiver.Cursor(fmt.Sprintf("%03d", i))) != nil ||
					r.Do(t.Context(), func(*store.WriteTx) error { return nil }) != nil {
					break
				}
				put = i
			}
			_ = r.stop() // it failed, as it was told to
			cursor, marks := string(r.s.Position("log")), marksOf(t, r.s)
			if last := fmt.Sprintf("%03d", put); put > 0 && cursor < last {
				t.Errorf("transaction %d, applied %v: the cursor is %q after %q was durable", at, apply, cursor, last)
			}
			if cursor != "" && (len(marks) == 0 || marks[len(marks)-1] < cursor) {
				t.Errorf("transaction %d, applied %v: the cursor is %q, the marks are %q", at, apply, cursor, marks)
			}
			if err := r.s.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// Too many marks make room for new ones, the oldest first, and are counted; those that nobody put again for long are
// forgotten at a start.
func (s Suite) marksBounded(t *testing.T) {
	b, reopen := s.Open(t)
	synctest.Test(t, func(t *testing.T) {
		o := Options()
		o.Marks, o.MarkAge = 100, 30*24*time.Hour
		r := start(t, b, o, store.CommitterOptions{Linger: time.Microsecond})
		for i := range 250 {
			if err := r.PutMark(fmt.Sprintf("%03d", i)); err != nil {
				t.Fatal(err)
			}
			<-time.After(time.Second)
		}
		if err := r.stop(); err != nil {
			t.Fatal(err)
		}
		got := marksOf(t, r.s)
		if n := len(got); n < 80 || n > 100 || got[n-1] != "249" || int(r.s.Stats().Evicted["marks"]) != 250-n {
			t.Errorf("%d marks, the last %q, evicted %v", n, got[n-1], r.s.Stats().Evicted)
		}
		if err := r.s.Close(); err != nil {
			t.Fatal(err)
		}
		r = start(t, reopen(), o, store.CommitterOptions{Linger: time.Microsecond})
		<-time.After(30 * 24 * time.Hour)
		for range 400 { // retention's clock needs some transactions to follow
			if err := r.PutMark("249"); err != nil {
				t.Fatal(err)
			}
			<-time.After(2 * time.Minute)
		}
		if err := r.stop(); err != nil {
			t.Fatal(err)
		}
		if n := len(marksOf(t, r.s)); n != len(got) {
			t.Errorf("%d marks, want %d: this run has read them all", n, len(got))
		}
		if err := r.s.Close(); err != nil {
			t.Fatal(err)
		}
		r = start(t, reopen(), o, store.CommitterOptions{Linger: time.Microsecond})
		if err := r.PutMark("new"); err != nil {
			t.Fatal(err)
		}
		<-time.After(time.Second)
		if err := r.stop(); err != nil {
			t.Fatal(err)
		}
		if got := marksOf(t, r.s); !slices.Equal(got, []string{"249", "new"}) {
			t.Errorf("marks %q", got)
		}
		if err := r.s.Close(); err != nil {
			t.Fatal(err)
		}
	})
}
