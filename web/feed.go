package web

import (
	"sort"
	"sync"
	"time"

	"tattled/event"
)

// The bounds of a Feed.
const (
	ringSize   = 4096 // events kept in memory
	maxClients = 64   // event streams at once
	minutes    = 60   // of activity
)

// Feed keeps the newest events in memory and wakes the clients that wait for them. A client has no queue: it takes what
// it has not seen from the ring at its own pace, so that a slow one holds up nobody.
type Feed struct {
	mu       sync.Mutex
	ring     []event.Event // the newest events; once full, ring[next] is the oldest
	next     int           // where the next event goes
	last     uint64        // Seq of the newest event
	activity [minutes]minute
	waiting  map[*client]struct{}
	dropped  uint64

	top   Top
	topAt time.Time // when top was counted; zero if never
}

// minute counts the events that were read in one minute.
type minute struct {
	at     int64 // minutes since 1970
	events uint64
}

// client is one open event stream.
type client struct {
	wake chan struct{} // capacity 1: there may be something new
}

func newFeed() *Feed {
	return &Feed{ring: make([]event.Event, 0, ringSize), waiting: make(map[*client]struct{})}
}

// Publish takes events that were committed, in the order of their Seq, and tells the clients. It copies what it keeps,
// never waits for a client, and takes no longer for a thousand of them that hang. Events that it had before are passed
// over.
func (f *Feed) Publish(events []event.Event) {
	f.mu.Lock()
	defer f.mu.Unlock()
	begin := 0
	for begin < len(events) && events[begin].Seq <= f.last {
		begin++
	}
	events = events[begin:]
	if len(events) == 0 {
		return
	}
	for i := range events {
		f.count(events[i].Received.Unix() / 60)
	}
	f.last = events[len(events)-1].Seq
	for _, e := range events[max(0, len(events)-ringSize):] {
		if len(f.ring) < ringSize {
			f.ring = append(f.ring, e)
			continue
		}
		f.ring[f.next] = e
		f.next = (f.next + 1) % ringSize
	}
	for c := range f.waiting {
		select {
		case c.wake <- struct{}{}:
		default:
		}
	}
}

// count adds an event to its minute. What the slot held of another hour gives way, be it later: then the clock jumped back.
func (f *Feed) count(at int64) {
	slot := &f.activity[((at%minutes)+minutes)%minutes]
	if slot.at != at {
		*slot = minute{at: at}
	}
	slot.events++
}

// Clients returns how many event streams are open.
func (f *Feed) Clients() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.waiting)
}

// Dropped returns how many event streams were cut because the client took too long to read.
func (f *Feed) Dropped() uint64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.dropped
}

// join adds a client; ok is false when there are too many.
func (f *Feed) join() (c *client, ok bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.waiting) >= maxClients {
		return nil, false
	}
	c = &client{wake: make(chan struct{}, 1)}
	f.waiting[c] = struct{}{}
	return c, true
}

// leave takes a client out; slow says that it was cut.
func (f *Feed) leave(c *client, slow bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.waiting, c)
	if slow {
		f.dropped++
	}
}

// newest returns the Seq of the newest event, 0 if there was none.
func (f *Feed) newest() uint64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.last
}

// after returns the oldest events, at most limit, with Seq > seq, ascending. whole is false where the ring does not reach
// back that far; then the store knows more.
func (f *Feed) after(seq uint64, limit int) (found []event.Event, whole bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	begin := sort.Search(len(f.ring), func(i int) bool { return f.at(i).Seq > seq })
	for i := begin; i < len(f.ring) && len(found) < limit; i++ {
		found = append(found, *f.at(i))
	}
	return found, len(f.ring) > 0 && f.at(0).Seq <= seq+1
}

// latest returns the newest events, at most limit, ascending.
func (f *Feed) latest(limit int) []event.Event {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := len(f.ring)
	found := make([]event.Event, 0, min(limit, n))
	for i := max(0, n-limit); i < n; i++ {
		found = append(found, *f.at(i))
	}
	return found
}

// at returns the i-th event of the ring, counted from the oldest. f.mu is held.
func (f *Feed) at(i int) *event.Event { return &f.ring[(f.next+i)%len(f.ring)] }

// perMinute returns how many events were read in each of the last 60 minutes, the current one last.
func (f *Feed) perMinute(now time.Time) [minutes]uint64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	var counts [minutes]uint64
	current := now.Unix() / 60
	for _, m := range f.activity {
		if age := current - m.at; 0 <= age && age < minutes {
			counts[minutes-1-age] = m.events
		}
	}
	return counts
}
