package store

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"

	"tattled/event"
)

// What a report that joins is told of categories and kinds comes from this many of the newest events of its address: those are looked up,
// which is most of what joining costs.
const (
	claimNewest   = 4
	refreshNewest = 1
)

// join takes into an item that waits what its address did since it was judged, by so many of its newest events. One that may have arrived
// stays as it was sent: the destination knows it again by that.
func (w *work) join(i *Item, newest int) error {
	r := &i.Report
	if w.policy == nil || !i.UnansweredSince.IsZero() || !w.policy.Reports(r.Destination) || !r.Addr.IsValid() {
		return nil
	}
	key := key16(r.Addr)
	if !w.didMore(key, milli(r.Last)) {
		return nil
	}
	a, err := w.address(key)
	if err != nil || a.lost > 0 {
		return err
	}
	w.policy.Join(&a.state, r, w.eventsOf(a.seqs[max(0, len(a.seqs)-newest):]), &w.judgement.Clock)
	return nil
}

// didMore reports whether an address was seen after a moment, in milliseconds. It changes nothing.
func (w *work) didMore(key [16]byte, last int64) bool {
	if t, ok := w.touched[key]; ok {
		return t.now.last > last
	}
	var record []byte
	ok := false
	if at, newer := w.place(key); newer {
		record, _, ok = at.read(w.tx, key)
	} else {
		record, ok = unseal(Addresses, key[:], w.tx.Get(Addresses, key[:]))
	}
	if !ok {
		return false
	}
	var a address
	d := decoder{b: record}
	a.head(&d)
	return !d.bad && a.last > last
}

// eventsOf returns those events that are still kept, in the order of seqs, which ascend.
func (w *work) eventsOf(seqs []uint64) []event.Event {
	var all []event.Event
	for len(seqs) > 0 {
		n := 0
		w.tx.Scan(Events, key64(seqs[0]), nil, false, func(k, v []byte) bool {
			found, _ := openEvents(k, v)
			for i := range found {
				if len(seqs) > n && found[i].Seq == seqs[n] {
					all = append(all, found[i])
					n++
				}
			}
			return false
		})
		seqs = seqs[max(n, 1):]
	}
	return all
}

// refreshAtOnce is how many items one transaction of Refresh looks at.
const refreshAtOnce = 512

// Refresh joins to each report that waits what its address did since, and ranks it anew. It is for a destination that nothing is
// sent to at present, so that the worst go first when it opens. Each transaction is short.
func (o *Outbox) Refresh(ctx context.Context) error {
	for next := uint64(1); next > 0; {
		from := key64(next)
		err := o.c.Do(ctx, func(tx *WriteTx) error {
			tx.wrote = true
			var err error
			next, err = tx.w.refresh(o.destination, from)
			return err
		})
		if err != nil {
			return fmt.Errorf("refresh the reports that wait for %s: %w", o.destination, err)
		}
	}
	return nil
}

// refresh looks at some items from a sequence on, and returns where to go on, 0 at the end.
func (w *work) refresh(destination string, from []byte) (next uint64, err error) {
	type waiting struct {
		item Item
		seq  []byte
	}
	var all []waiting
	left := refreshAtOnce
	w.tx.Scan(Items, from, nil, false, func(k, v []byte) bool {
		if left--; left < 0 {
			next = binary.BigEndian.Uint64(k)
			return false
		}
		if item, ok := openItem(k, v); ok && item.State == Pending && item.Report.Destination == destination {
			all = append(all, waiting{item, bytes.Clone(k)})
		}
		return true
	})
	for i := range all {
		item, before := &all[i].item, all[i].item
		if err := w.join(item, refreshNewest); err != nil {
			return 0, err
		}
		w.rank(item)
		if item.Report.Count == before.Report.Count && item.Rank == before.Rank {
			continue
		}
		if err := w.delete(Due, dueKey(&before, all[i].seq)); err != nil {
			return 0, err
		}
		if err := w.putItem(item, all[i].seq); err != nil {
			return 0, err
		}
	}
	return next, nil
}
