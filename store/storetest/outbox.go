package storetest

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"tattled/event"
	"tattled/store"
)

func report(n int) *event.Report {
	return &event.Report{ID: fmt.Sprintf("id-%04d", n), Destination: "abuseipdb", Policy: "p", Judged: noon(), Addr: Event(n).Addr, Count: n + 1, First: noon(), Last: noon()}
}

func (r *running) add(t *testing.T, n int, at time.Time) bool {
	t.Helper()
	added := false
	err := r.Do(t.Context(), func(tx *store.WriteTx) (err error) {
		added, err = tx.AddReport(report(n), at)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return added
}

func (s Suite) outbox(t *testing.T) {
	t.Run("an item's life", s.life)
	t.Run("nobody gets a claimed item", s.exclusive)
	t.Run("recover", s.recover)
	t.Run("many at once", s.many)
	t.Run("clock", s.clock)
}

func (s Suite) life(t *testing.T) {
	b, _ := s.Open(t)
	r := start(t, b, Options(), store.CommitterOptions{Linger: time.Microsecond})
	defer r.s.Close()
	defer func() { _ = r.stop() }() // the test says what went wrong
	out := r.Outbox("abuseipdb")
	if _, ok, next, err := out.Claim(t.Context(), noon()); ok || !next.IsZero() || err != nil {
		t.Fatalf("an empty outbox: %v, %s, %v", ok, next, err)
	}
	if !r.add(t, 2, noon().Add(2*time.Minute)) || !r.add(t, 1, noon().Add(time.Minute)) || r.add(t, 1, noon()) {
		t.Fatal("two items with one ID, or none")
	}
	select {
	case <-out.Changed():
	case <-time.After(10 * time.Second):
		t.Fatal("no hint that something was added")
	}
	if _, ok, next, err := out.Claim(t.Context(), noon()); ok || !next.Equal(noon().Add(time.Minute)) || err != nil {
		t.Fatalf("before anything is due: %v, %s, %v", ok, next, err)
	}
	at := noon().Add(time.Hour)
	item, ok, _, err := out.Claim(t.Context(), at)
	if err != nil || !ok || item.ID != "id-0001" || item.State != store.Claimed || item.Attempts != 1 || !item.Claimed.Equal(at) || item.Report.Count != 2 {
		t.Fatalf("claimed %+v, %v, %v", item, ok, err)
	}
	if err := out.Settle(t.Context(), "id-0002", store.Settlement{State: store.Delivered}); !errors.Is(err, store.ErrNotClaimed) {
		t.Errorf("settled an item that nobody claimed: %v", err)
	}
	if err := r.Outbox("mail").Settle(t.Context(), item.ID, store.Settlement{State: store.Delivered}); !errors.Is(err, store.ErrNotClaimed) {
		t.Errorf("settled an item of another destination: %v", err)
	}
	if err := out.Settle(t.Context(), item.ID, store.Settlement{State: store.Claimed}); err == nil {
		t.Error("settled an item as claimed")
	}
	err = out.Settle(t.Context(), item.ID, store.Settlement{State: store.Pending, At: at, Detail: "500", RetryAt: at.Add(time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	item, ok, _, err = out.Claim(t.Context(), at)
	if err != nil || !ok || item.ID != "id-0002" {
		t.Fatalf("claimed %+v, %v, %v", item, ok, err)
	}
	if err := out.Settle(t.Context(), item.ID, store.Settlement{State: store.Delivered, At: at, Detail: "score 80"}); err != nil {
		t.Fatal(err)
	}
	if _, ok, next, err := out.Claim(t.Context(), at); ok || !next.Equal(at.Add(time.Hour)) || err != nil {
		t.Fatalf("while one is put off: %v, %s, %v", ok, next, err)
	}
	items, err := r.s.Items(10)
	if err != nil || len(items) != 2 || items[1].State != store.Delivered || items[1].Detail != "score 80" || items[0].Detail != "500" {
		t.Fatalf("items %+v, %v", items, err)
	}
	if r.add(t, 2, noon()) {
		t.Error("a report that was delivered was added again")
	}
	if got := r.s.Stats().Items["abuseipdb"]; got[store.Pending] != 1 || got[store.Delivered] != 1 || len(got) != 2 {
		t.Errorf("stats %v", got)
	}
}

// exclusive lets many claim at once: each item goes to one of them.
func (s Suite) exclusive(t *testing.T) {
	b, _ := s.Open(t)
	r := start(t, b, Options(), store.CommitterOptions{Linger: time.Microsecond})
	defer r.s.Close()
	defer func() { _ = r.stop() }() // the test says what went wrong
	const items = 40
	for n := range items {
		r.add(t, n, noon())
	}
	var mu sync.Mutex
	got := map[string]int{}
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			out := r.Outbox("abuseipdb")
			for {
				item, ok, _, err := out.Claim(t.Context(), noon())
				if err != nil || !ok {
					return
				}
				mu.Lock()
				got[item.ID]++
				mu.Unlock()
				if err := out.Settle(t.Context(), item.ID, store.Settlement{State: store.Delivered}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	if len(got) != items {
		t.Errorf("%d items were claimed, want %d", len(got), items)
	}
	for id, n := range got {
		if n != 1 {
			t.Errorf("%s was claimed %d times", id, n)
		}
	}
}

func (s Suite) recover(t *testing.T) {
	for _, c := range []struct {
		age       time.Duration
		window    time.Duration
		uncertain store.Uncertain
		want      store.State
	}{
		{0, 15 * time.Minute, store.Drop, store.Pending},
		{15*time.Minute - time.Second, 15 * time.Minute, store.Drop, store.Pending},
		{15 * time.Minute, 15 * time.Minute, store.Drop, store.Expired},
		{15 * time.Minute, 15 * time.Minute, store.Resend, store.Pending},
		{-time.Hour, 15 * time.Minute, store.Drop, store.Expired}, // the clock was set back: nobody knows how old it is
		{0, 0, store.Drop, store.Expired},                         // a destination that recognizes no duplicate
		{0, 0, store.Resend, store.Pending},
		{15 * time.Minute, time.Hour, store.Drop, store.Pending},
	} {
		b, reopen := s.Open(t)
		r := start(t, b, Options(), store.CommitterOptions{Linger: time.Microsecond})
		r.add(t, 1, noon())
		r.add(t, 2, noon().Add(time.Second))
		if _, ok, _, err := r.Outbox("abuseipdb").Claim(t.Context(), noon()); !ok || err != nil {
			t.Fatal(ok, err)
		}
		if err := r.stop(); err != nil {
			t.Fatal(err)
		}
		r.s.Close()
		r = start(t, reopen(), Options(), store.CommitterOptions{Linger: time.Microsecond})
		if _, ok, _, _ := r.Outbox("abuseipdb").Claim(t.Context(), noon()); ok {
			t.Error("a claimed item was handed out after a restart")
		}
		got, err := r.Outbox("abuseipdb").Recover(t.Context(), noon().Add(c.age), store.Uncertainty{Window: c.window, After: c.uncertain})
		if want := (store.Recovered{Again: 1}); err != nil || c.want == store.Pending && got != want || c.want == store.Expired && got.Dropped != 1 {
			t.Errorf("%s old, %s: %+v, %v", c.age, c.uncertain, got, err)
		}
		items, _ := r.s.Items(2)
		if !items[1].UnansweredSince.Equal(noon()) || !items[0].UnansweredSince.IsZero() {
			t.Errorf("%s old, %s: unanswered since %s", c.age, c.uncertain, items[1].UnansweredSince)
		}
		if items[1].State != c.want || items[0].State != store.Pending {
			t.Errorf("%s old, %s: %s, want %s", c.age, c.uncertain, items[1].State, c.want)
		}
		if err := r.stop(); err != nil {
			t.Fatal(err)
		}
		r.s.Close()
	}
}

// clock: what was put off by a clock that was years ahead is not lost for years.
func (s Suite) clock(t *testing.T) {
	b, _ := s.Open(t)
	r := start(t, b, Options(), store.CommitterOptions{Linger: time.Microsecond})
	defer r.s.Close()
	defer func() { _ = r.stop() }() // the test says what went wrong
	r.add(t, 1, noon().AddDate(10, 0, 0))
	if item, ok, _, err := r.Outbox("abuseipdb").Claim(t.Context(), noon()); !ok || err != nil || item.ID != "id-0001" {
		t.Errorf("%v, %v", ok, err)
	}
	r.add(t, 2, noon().Add(24*time.Hour))
	if _, ok, next, _ := r.Outbox("abuseipdb").Claim(t.Context(), noon()); ok || !next.Equal(noon().Add(24*time.Hour)) {
		t.Errorf("an item that waits for the quota: %v, %s", ok, next)
	}
}
