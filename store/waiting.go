package store

import (
	"encoding/binary"
	"fmt"
	"slices"
	"sync"
	"time"
)

// maxNextOldest is how many of a destination's oldest items are remembered between two scans of its outbox.
const maxNextOldest = 1024

// oldest remembers, of each destination, the sequences of its oldest items that wait, ascending. A later item has a higher sequence, so
// they stay the oldest ones: the first of them that still waits is the oldest of all. Only when none of them does is the outbox scanned
// again, which may hold a million items.
type oldest struct {
	mu  sync.Mutex
	seq map[string][]uint64
}

// OldestWaiting returns when the oldest item of a destination was judged that is pending or claimed, false if nothing waits. Which
// one is the oldest goes by the order in which they came, so that a clock that was set changes nothing.
func (s *Store) OldestWaiting(destination string) (created time.Time, ok bool, err error) {
	o := &s.oldest
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.seq == nil {
		o.seq = map[string][]uint64{}
	}
	err = s.backend.View(func(tx ReadTx) error {
		if created, ok = o.first(tx, destination); ok {
			return nil
		}
		o.seq[destination] = lowestWaiting(tx, destination)
		created, ok = o.first(tx, destination)
		return nil
	})
	if err != nil {
		return time.Time{}, false, fmt.Errorf("look into the outbox of %s: %w", destination, err)
	}
	return created, ok, nil
}

// first returns when the first of those remembered was judged that still waits, and forgets those before it.
func (o *oldest) first(tx ReadTx, destination string) (created time.Time, ok bool) {
	known := o.seq[destination]
	for len(known) > 0 {
		key := key64(known[0])
		item, sound := openItem(key, tx.Get(Items, key))
		if sound && !item.State.Final() && item.Report.Destination == destination {
			o.seq[destination] = known
			return item.Created, true
		}
		known = known[1:]
	}
	delete(o.seq, destination)
	return time.Time{}, false
}

// lowestWaiting returns the lowest sequences of a destination's items that are pending or claimed, ascending. It reads keys alone.
func lowestWaiting(tx ReadTx, destination string) []uint64 {
	var lowest []uint64
	lower := func() { // than all others
		slices.Sort(lowest)
		lowest = lowest[:min(len(lowest), maxNextOldest)]
	}
	ceiling := ^uint64(0)
	tx.Scan(Due, dueFrom(destination, Pending, 0), dueUpTo(destination, Pending, MaxRank), false, func(k, _ []byte) bool {
		if len(k) < 18 {
			return true
		}
		if seq := binary.BigEndian.Uint64(k[len(k)-8:]); seq < ceiling {
			if lowest = append(lowest, seq); len(lowest) == 8*maxNextOldest {
				lower()
				ceiling = lowest[maxNextOldest-1]
			}
		}
		return true
	})
	lower()
	return slices.Clone(lowest) // what it was cut from may be longer
}
