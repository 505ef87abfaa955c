package store_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"tattled/event"
	"tattled/store"
	"tattled/store/mem"
	"tattled/store/storetest"
)

// waiting is an outbox without a committer that runs: each call is a transaction of its own.
type waiting struct {
	t *testing.T
	s *store.Store
	c *store.Committer
}

func newWaiting(t *testing.T) *waiting {
	t.Helper()
	s, err := store.New(mem.New(0), storetest.Options())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return &waiting{t, s, store.NewCommitter(s, nil, store.CommitterOptions{})}
}

func (w *waiting) do(fn func(*store.WriteTx) error) {
	w.t.Helper()
	if err := w.c.Do(w.t.Context(), fn); err != nil {
		w.t.Fatal(err)
	}
}

func (w *waiting) add(destination string, n int, at time.Time) {
	w.t.Helper()
	w.do(func(tx *store.WriteTx) error {
		_, err := tx.AddReport(&event.Report{ID: fmt.Sprint(destination, n), Destination: destination, Policy: "p", Judged: at, Addr: storetest.Event(n).Addr}, at)
		return err
	})
}

// claim claims the next item and returns its ID.
func (w *waiting) claim(destination string, now time.Time) string {
	w.t.Helper()
	item, ok, _, err := w.c.Outbox(destination).Claim(w.t.Context(), now)
	if err != nil || !ok {
		w.t.Fatalf("nothing to claim: %v", err)
	}
	return item.ID
}

func (w *waiting) settle(destination, id string, s store.Settlement) {
	w.t.Helper()
	if err := w.c.Outbox(destination).Settle(w.t.Context(), id, s); err != nil {
		w.t.Fatal(err)
	}
}

// is fails unless the oldest item that waits was judged at at; the zero time is for none.
func (w *waiting) is(what, destination string, at time.Time) {
	w.t.Helper()
	created, ok, err := w.s.OldestWaiting(destination)
	if err != nil || ok == at.IsZero() || !created.Equal(at) {
		w.t.Fatalf("%s: the oldest for %s is of %s, %v, %v; want %s", what, destination, created, ok, err, at)
	}
}

// The oldest item that waits is the oldest by its coming, whichever is tried next, and only of its destination.
func TestOldestWaiting(t *testing.T) {
	w := newWaiting(t)
	noon := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	at := func(n int) time.Time { return noon.Add(time.Duration(n) * time.Minute) }
	w.is("nothing", "abuseipdb", time.Time{})
	w.add("abuseipdb", 1, at(1))
	w.add("mail", 2, at(2))
	w.add("abuseipdb", 3, at(3))
	w.is("added", "abuseipdb", at(1))
	w.is("added", "mail", at(2))
	first := w.claim("abuseipdb", at(10))
	w.is("claimed", "abuseipdb", at(1))
	w.settle("abuseipdb", first, store.Settlement{State: store.Pending, At: at(10), RetryAt: at(60)})
	w.is("put off", "abuseipdb", at(1))
	w.settle("abuseipdb", w.claim("abuseipdb", at(11)), store.Settlement{State: store.Delivered, At: at(11)})
	w.is("the later one is gone", "abuseipdb", at(1))
	w.settle("abuseipdb", w.claim("abuseipdb", at(61)), store.Settlement{State: store.Rejected, At: at(61)})
	w.is("both are gone", "abuseipdb", time.Time{})
	w.is("both are gone", "mail", at(2))
	w.add("abuseipdb", 4, at(70))
	w.is("another one", "abuseipdb", at(70))
}

// Whatever is claimed, put off and settled in whatever order, of more items than are remembered, the answer is that of a look at all.
func TestOldestWaitingOfMany(t *testing.T) {
	w := newWaiting(t)
	noon := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	const items = 12_000 // more than a scan sorts at once
	w.do(func(tx *store.WriteTx) error {
		for n := range items {
			r := event.Report{ID: fmt.Sprint(n), Destination: "abuseipdb", Policy: "p", Judged: noon, Addr: storetest.Event(n).Addr}
			if _, err := tx.AddReport(&r, noon.Add(time.Duration(n)*time.Second)); err != nil {
				return err
			}
		}
		return nil
	})
	random := rand.New(rand.NewPCG(1, 2))
	left := make([]bool, items)
	for n := range left {
		left[n] = true
	}
	var putOff []int
	now := noon.Add(items * time.Second)
	for step := range 3000 {
		id := w.claim("abuseipdb", now)
		var n int
		if _, err := fmt.Sscan(id, &n); err != nil {
			t.Fatal(err)
		}
		if random.IntN(50) == 0 {
			w.settle("abuseipdb", id, store.Settlement{State: store.Pending, At: now, RetryAt: now.Add(time.Hour)})
			putOff = append(putOff, n)
		} else {
			w.settle("abuseipdb", id, store.Settlement{State: store.Delivered, At: now})
			left[n] = false
		}
		if step == 2000 { // those that were put off become due, all at once
			now = now.Add(2 * time.Hour)
		}
		if step%97 == 0 {
			w.is(fmt.Sprint("step ", step), "abuseipdb", noon.Add(time.Duration(slices.Index(left, true))*time.Second))
		}
	}
	if len(putOff) < 20 {
		t.Errorf("only %d were put off", len(putOff))
	}
}
