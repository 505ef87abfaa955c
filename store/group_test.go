package store_test

import (
	"context"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"tattled/event"
	"tattled/store"
	"tattled/store/mem"
	"tattled/store/storetest"
)

// grouped submits batches while each commit takes a while, and returns how many events each group had and how many bytes of
// text.
func grouped(t *testing.T, o store.CommitterOptions, batches [][]event.Event, takes time.Duration) (sizes, texts []int, took time.Duration) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		o.OnCommit = func(events []event.Event, _ []event.Report) {
			mu.Lock()
			defer mu.Unlock()
			n := 0
			for i := range events {
				n += len(events[i].Line) + len(events[i].User)
			}
			sizes, texts = append(sizes, len(events)), append(texts, n)
		}
		disk := &slowDisk{Backend: mem.New(0)}
		s, err := store.New(disk, storetest.Options())
		if err != nil {
			t.Fatal(err)
		}
		disk.takes = takes
		c := store.NewCommitter(s, nil, o)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- c.Run(ctx) }()
		began := time.Now()
		for _, b := range batches {
			if err := c.Submit(ctx, b, "", nil); err != nil {
				t.Fatal(err)
			}
		}
		took = time.Since(began)
		cancel()
		if err := <-ended; err != nil {
			t.Fatal(err)
		}
	})
	return sizes, texts, took
}

func most(of []int) int {
	greatest := 0
	for _, n := range of {
		greatest = max(greatest, n)
	}
	return greatest
}

// While a group is committed, the next takes up to 4096 events, and not more.
func TestGroupsOf4096(t *testing.T) {
	batches := make([][]event.Event, 300)
	for i := range batches {
		batches[i] = from("45.1.1.1", 50, storetest.Event(0).Time)
	}
	sizes, _, _ := grouped(t, store.CommitterOptions{}, batches, 100*time.Millisecond)
	if n := most(sizes); n <= 4096-50 || n > 4096 {
		t.Errorf("groups of %v events, want 4096 at most and about as many", sizes)
	}
}

// A group that has no room for what waits is committed at once: it does not linger for more that it could not take.
func TestFullGroupDoesNotLinger(t *testing.T) {
	batches := make([][]event.Event, 5)
	for i := range batches {
		batches[i] = from("45.1.1.1", 60, storetest.Event(0).Time)
	}
	sizes, _, took := grouped(t, store.CommitterOptions{MaxGroup: 100, Linger: time.Hour}, batches, time.Millisecond)
	if took > time.Second || len(sizes) != len(batches) {
		t.Errorf("five batches, each too large to share a group: groups of %v events after %s", sizes, took)
	}
}

// Two groups are in memory at once: they are bounded in bytes as well, whatever peers write.
func TestGroupsAreBoundedInBytes(t *testing.T) {
	batches := make([][]event.Event, 300)
	for i := range batches {
		batches[i] = from("45.1.1.1", 50, storetest.Event(0).Time)
		for k := range batches[i] {
			batches[i][k].Line = strings.Repeat("x", event.MaxLine)
			batches[i][k].User = strings.Repeat("u", 255)
		}
	}
	sizes, texts, _ := grouped(t, store.CommitterOptions{}, batches, 100*time.Millisecond)
	if most(texts) > 4<<20 || most(sizes) < 1000 {
		t.Errorf("groups of %v events with texts of %v bytes, want 4 MiB at most", sizes, texts)
	}
}

// In a flood a group lingers longer, unless somebody waits for it. Where little comes, it does not.
func TestGroupOfAFloodLingers(t *testing.T) {
	for _, c := range []struct {
		name         string
		events, more int // 15 ms later
		waits        bool
		after        time.Duration
	}{
		{"few", 100, 100, false, 20 * time.Millisecond},
		{"flood", 500, 500, false, 80 * time.Millisecond},
		{"waited for", 500, 500, true, 20 * time.Millisecond},
		{"full", 3000, 1096, false, 15 * time.Millisecond},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, err := store.New(mem.New(0), storetest.Options())
				if err != nil {
					t.Fatal(err)
				}
				began := time.Now()
				var took []time.Duration
				n := 0
				committer := store.NewCommitter(s, nil, store.CommitterOptions{OnCommit: func(events []event.Event, _ []event.Report) {
					took, n = append(took, time.Since(began)), n+len(events)
				}})
				ctx, cancel := context.WithCancel(t.Context())
				ended := make(chan error, 1)
				go func() { ended <- committer.Run(ctx) }()
				synctest.Wait()
				for i, n := range []int{c.events, c.more} {
					<-time.After(time.Duration(i) * 15 * time.Millisecond)
					if err := committer.Submit(ctx, from("45.1.1.1", n, storetest.Event(0).Time), "", nil); err != nil {
						t.Fatal(err)
					}
				}
				if c.waits {
					if err := committer.PutNote(ctx, "k", nil); err != nil {
						t.Fatal(err)
					}
				}
				<-time.After(time.Second)
				cancel()
				if err := <-ended; err != nil {
					t.Fatal(err)
				}
				if len(took) != 1 || took[0] > c.after || took[0] < c.after-5*time.Millisecond || n != c.events+c.more {
					t.Errorf("%d events were durable after %v, want them after %s", n, took, c.after)
				}
			})
		})
	}
}
