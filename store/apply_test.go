package store_test

import (
	"testing"
	"time"

	"tattled/event"
	"tattled/store"
	"tattled/store/mem"
	"tattled/store/storetest"
)

// Apply stops behind the event that has a report due, and dates what it does by the clock that it is given.
func TestApply(t *testing.T) {
	var clock time.Time
	o := storetest.Options()
	o.Now = func() time.Time { return clock }
	s, err := store.New(mem.New(0), o)
	if err != nil {
		t.Fatal(err)
	}
	c := store.NewCommitter(s, storetest.Policy(), store.CommitterOptions{})
	var events []event.Event
	for n := range 20 { // four addresses in turn: the third time of each has a report due, the fifth an alert
		events = append(events, storetest.Event(n))
	}
	clock = events[0].Received
	var ends []int
	for at := 0; at < len(events); {
		n, err := c.Apply(events[at:])
		if err != nil || n < 1 {
			t.Fatalf("%d, %v", n, err)
		}
		at += n
		ends = append(ends, at)
	}
	if got, want := len(ends), 8; got != want || ends[0] != 9 || ends[4] != 17 {
		t.Errorf("transactions end behind %v", ends)
	}
	item, ok, _, err := c.Outbox("abuseipdb").Claim(t.Context(), clock.Add(time.Minute))
	if err != nil || !ok || !item.Created.Equal(events[8].Received) {
		t.Errorf("claimed %+v, %v, %v", item, ok, err)
	}
	if kept, err := s.Events(0, 100); err != nil || len(kept) != len(events) {
		t.Errorf("%d events are kept, %v", len(kept), err)
	}
}
