package bolt

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"tattled/event"
	"tattled/store"
)

// BenchmarkOutbox is what the feed and the story of an address cost with 50,000 reports, as many as are kept of one destination.
func BenchmarkOutbox(b *testing.B) {
	backend, _, err := Open(filepath.Join(b.TempDir(), "state.db"), Options{})
	if err != nil {
		b.Fatal(err)
	}
	backend.db.NoSync = true
	s, err := store.New(backend, store.Config{}.Options())
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	c := store.NewCommitter(s, claims(1), store.CommitterOptions{MaxGroup: 50000, Linger: time.Second})
	ctx, cancel := context.WithCancel(b.Context())
	ran := make(chan error, 1)
	go func() { ran <- c.Run(ctx) }()
	for n := 0; n < 50_000; n += 1000 {
		var events []event.Event
		for i := range 1000 {
			events = append(events, failure(uint32(n+i), now))
		}
		if err := c.Submit(ctx, events, "log", nil); err != nil {
			b.Fatal(err)
		}
	}
	cancel()
	if err := <-ran; err != nil {
		b.Fatal(err)
	}
	b.Run("each", func(b *testing.B) {
		for b.Loop() {
			n := 0
			if err := s.EachItem(func(*store.Item) bool { n++; return true }); err != nil || n < 40_000 { // some of the addresses nobody holds
				b.Fatal(n, err)
			}
		}
	})
	b.Run("of one address", func(b *testing.B) {
		for b.Loop() {
			if items, err := s.ItemsOf(random(777), 100); err != nil || len(items) != 1 {
				b.Fatal(len(items), err)
			}
		}
	})
}
