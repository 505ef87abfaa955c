package storetest

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"tattled/event"
	"tattled/store"
)

func (s Suite) ranks(t *testing.T) {
	t.Run("the most severe first", s.severity)
	t.Run("none starves", s.patience)
	t.Run("what was seen while a report waited joins it", s.joins)
	t.Run("a refresh joins and ranks", s.refreshes)
	t.Run("what can wait makes room", s.makesRoom)
}

// due puts a report into the outbox, of so many events of a kind.
func (r *running) due(t *testing.T, id string, kind event.Kind, count int, at time.Time) {
	t.Helper()
	one := report(1)
	one.ID, one.Kind, one.Count = id, kind, count
	err := r.Do(t.Context(), func(tx *store.WriteTx) error {
		_, err := tx.AddReport(one, at)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// claim claims the next item, and settles it with delivered.
func (r *running) claim(t *testing.T, delivered bool) store.Item {
	t.Helper()
	out, at := r.Outbox("abuseipdb"), noon().Add(24*time.Hour)
	item, ok, _, err := out.Claim(t.Context(), at)
	if err != nil || !ok {
		t.Fatalf("nothing to claim: %v", err)
	}
	if delivered {
		if err := out.Settle(t.Context(), item.ID, store.Settlement{State: store.Delivered, At: at}); err != nil {
			t.Fatal(err)
		}
	}
	return item
}

// submit brings events in, and returns when they are durable.
func (r *running) submit(t *testing.T, events ...event.Event) {
	t.Helper()
	upTo := r.s.Stats().LastSeq + uint64(len(events))
	if err := r.Submit(t.Context(), events, "", nil); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(10 * time.Second); r.s.Stats().LastSeq < upTo; <-time.After(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("events are not committed")
		}
	}
}

func (s Suite) begin(t *testing.T, o store.Options) (*running, func()) {
	t.Helper()
	b, _ := s.Open(t)
	r := start(t, b, o, store.CommitterOptions{Linger: time.Microsecond})
	return r, func() {
		if err := r.stop(); err != nil {
			t.Error(err)
		}
		r.s.Close()
	}
}

func (s Suite) severity(t *testing.T) {
	r, end := s.begin(t, Options())
	defer end()
	r.due(t, "blocked", event.FirewallBlock, 5, noon())
	r.due(t, "probed", event.Probe, 5, noon().Add(time.Minute))
	r.due(t, "guessed", event.AuthFailure, 9, noon().Add(2*time.Minute))
	r.due(t, "guessed often", event.AuthFailure, 400, noon().Add(3*time.Minute))
	r.due(t, "exploited", event.WebAttack, 5, noon().Add(4*time.Minute))
	r.due(t, "not yet", event.WebAttack, 5000, noon().Add(25*time.Hour))
	var order []string
	for range 4 {
		order = append(order, r.claim(t, true).ID)
	}
	if want := []string{"exploited", "guessed often", "guessed", "probed"}; !slices.Equal(order, want) {
		t.Errorf("claimed %v, want %v", order, want)
	}
	item := r.claim(t, false) // nobody knows whether it arrives: it goes before all others
	r.due(t, "exploited too", event.WebAttack, 5, noon())
	out := r.Outbox("abuseipdb")
	doubt := store.Settlement{State: store.Pending, At: noon(), RetryAt: noon(), UnansweredSince: noon()}
	if err := out.Settle(t.Context(), item.ID, doubt); err != nil {
		t.Fatal(err)
	}
	if again := r.claim(t, true); again.ID != item.ID {
		t.Errorf("claimed %s before one that may have arrived", again.ID)
	}
}

func (s Suite) patience(t *testing.T) {
	r, end := s.begin(t, Options())
	defer end()
	r.due(t, "blocked", event.FirewallBlock, 1, noon())
	for n := range 20 {
		r.due(t, fmt.Sprint("exploited ", n), event.WebAttack, 1, noon().Add(time.Duration(n+1)*time.Minute))
	}
	for n := range 21 {
		if item := r.claim(t, true); item.ID == "blocked" {
			if n != 7 {
				t.Errorf("what waits for longest was claim %d", n+1)
			}
			return
		}
	}
	t.Error("it starves")
}

// failures are n failed logins from the address, with accounts of their own, from a moment on.
func failures(addr string, n int, from time.Time) []event.Event {
	var all []event.Event
	for i := range n {
		e := Event(i)
		e.Addr, e.User, e.Time, e.Received = netip.MustParseAddr(addr), fmt.Sprint("u", i), from.Add(time.Duration(i)*time.Second), from.Add(time.Duration(i)*time.Second)
		all = append(all, e)
	}
	return all
}

func (s Suite) joins(t *testing.T) {
	r, end := s.begin(t, Options())
	defer end()
	r.submit(t, failures("45.9.20.7", 3, noon())...)
	r.submit(t, failures("45.9.20.7", 37, noon().Add(time.Minute))...)
	later := failures("45.9.20.7", 1, noon().Add(2*time.Minute))
	later[0].Categories = []int{5, 18}
	r.submit(t, later...)

	item := r.claim(t, false)
	if got := item.Report; got.Count != 41 || got.Users < 16 || !got.Last.Equal(noon().Add(2*time.Minute)) || !slices.Equal(got.Categories, []int{5, 18, 22}) {
		t.Errorf("claimed %+v", got)
	}
	kept, err := r.s.Items(10)
	if err != nil || len(kept) == 0 || !slices.ContainsFunc(kept, func(i store.Item) bool { return i.ID == item.ID && i.Report.Count == 41 }) {
		t.Errorf("what was joined is not kept: %+v, %v", kept, err)
	}
	r.submit(t, failures("45.9.20.7", 2, noon().Add(3*time.Minute))...)
	out := r.Outbox("abuseipdb")
	doubt := store.Settlement{State: store.Pending, At: noon(), RetryAt: noon(), UnansweredSince: noon()}
	if err := out.Settle(t.Context(), item.ID, doubt); err != nil {
		t.Fatal(err)
	}
	if again := r.claim(t, true); again.Report.Count != 41 {
		t.Errorf("what may have arrived has %d events now", again.Report.Count)
	}
}

func (s Suite) refreshes(t *testing.T) {
	r, end := s.begin(t, Options())
	defer end()
	for n := range 40 {
		r.submit(t, failures(fmt.Sprintf("45.9.21.%d", n), 3, noon().Add(time.Duration(n)*time.Minute))...)
	}
	r.submit(t, failures("45.9.21.30", 300, noon().Add(time.Hour))...)
	if err := r.Outbox("abuseipdb").Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	if item := r.claim(t, true); item.Report.Addr.String() != "45.9.21.30" || item.Report.Count != 303 {
		t.Errorf("claimed %+v", item.Report)
	}
	if item := r.claim(t, true); item.Report.Addr.String() != "45.9.21.0" || item.Report.Count != 3 {
		t.Errorf("claimed %+v", item.Report)
	}
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	if err := r.Outbox("abuseipdb").Refresh(canceled); err == nil {
		t.Error("a refresh goes on after its end")
	}
}

func (s Suite) makesRoom(t *testing.T) {
	o := Options()
	o.Waiting = 3
	r, end := s.begin(t, o)
	defer end()
	r.due(t, "exploited", event.WebAttack, 5, noon())
	r.due(t, "blocked", event.FirewallBlock, 5, noon().Add(time.Minute))
	r.due(t, "guessed", event.AuthFailure, 5, noon().Add(2*time.Minute))
	r.due(t, "exploited too", event.WebAttack, 5, noon().Add(3*time.Minute))
	items, err := r.s.Items(10)
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range items {
		if (i.State == store.Expired) != (i.ID == "blocked") {
			t.Errorf("%s is %s", i.ID, i.State)
		}
	}
}
