package store

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"iter"
	"net/netip"
	"time"

	"tattled/event"
)

// WriteTx is what a request of Committer.Do writes through. It is dead when the request's function returns.
type WriteTx struct {
	w     *work
	wrote bool
}

// maxNote bounds a note in bytes.
const maxNote = 4096

// AddReport puts r into the outbox of its destination, due at now. It returns false if an item with r's ID is there
// already, whatever became of it.
func (tx *WriteTx) AddReport(r *event.Report, now time.Time) (bool, error) {
	if r.ID == "" || len(r.ID) > maxID || r.Destination == "" || len(r.Destination) > maxText {
		return false, fmt.Errorf("add report: ID %q and destination %q must have 1 to %d and 1 to %d bytes", r.ID, r.Destination, maxID, maxText)
	}
	tx.wrote = true
	return tx.w.addItem(r, now)
}

// PutScore stores the AbuseIPDB score of addr, in place of the last one of the same MaxAge.
func (tx *WriteTx) PutScore(addr netip.Addr, s Score) error {
	tx.wrote = true
	return tx.w.put(Scores, scoreKey(addr, s.MaxAge), appendScore(nil, s))
}

// PutNote puts value under key; nil takes the note away. Keys are few and chosen by the program.
func (tx *WriteTx) PutNote(key string, value []byte) error {
	if key == "" || len(key) > maxText || len(value) > maxNote {
		return fmt.Errorf("put note: key %q has %d bytes (at most %d), value %d (at most %d)", key, len(key), maxText, len(value), maxNote)
	}
	tx.wrote = true
	if value == nil {
		return tx.w.delete(Notes, noteKey(key))
	}
	return tx.w.put(Notes, noteKey(key), append([]byte{0}, value...))
}

// dueKey is where Due has an item that waits (at its next attempt) or is claimed (at the time of the claim).
func dueKey(i *Item, seq []byte) []byte {
	at, rank := i.NextAttempt, i.Rank
	if i.State == Claimed {
		at, rank = i.Claimed, 0
	}
	key := dueFrom(i.Report.Destination, i.State, rank)
	key = binary.BigEndian.AppendUint64(key, orderedTime(at))
	return append(key, seq...)
}

// dueFrom begins the keys of a destination's items in one state and of one rank, which only those have that are Pending. Destinations
// have no zero byte, and no one is the beginning of another with it.
func dueFrom(destination string, s State, rank uint8) []byte {
	return append([]byte(destination), 0, byte(s)|rank<<4)
}

// dueUpTo comes after all of them.
func dueUpTo(destination string, s State, rank uint8) []byte {
	return append([]byte(destination), 0, byte(s)|rank<<4+1)
}

// ranks yields the ranks of which a destination has items that are Pending, the most urgent first.
func ranks(tx ReadTx, destination string) iter.Seq[uint8] {
	return func(yield func(uint8) bool) {
		for rank := 0; rank <= MaxRank; {
			found := MaxRank + 1
			at := len(destination) + 1 // of the byte with state and rank
			tx.Scan(Due, dueFrom(destination, Pending, uint8(rank)), dueUpTo(destination, Pending, MaxRank), false, func(k, _ []byte) bool {
				found = int(k[at] >> 4)
				if State(k[at]&15) > Pending { // claimed
					found++
				}
				return false
			})
			if found == rank && !yield(uint8(rank)) {
				return
			}
			rank = max(rank+1, found)
		}
	}
}

// splitDue returns the time and the sequence of a key in Due.
func splitDue(key []byte) (at uint64, seq []byte, ok bool) {
	if len(key) < 18 {
		return 0, nil, false
	}
	tail := key[len(key)-16:]
	return binary.BigEndian.Uint64(tail), bytes.Clone(tail[8:]), true
}

func doneKey(i *Item, seq []byte) []byte {
	return append(key64(orderedTime(i.Settled)), seq...)
}

// addItem puts a new item into the outbox, unless it is there.
func (w *work) addItem(r *event.Report, now time.Time) (bool, error) {
	id := []byte(r.ID)
	if w.tx.Get(ItemIDs, id) != nil {
		return false, nil
	}
	if o := w.s.options.Waiting; o > 0 && w.counts.waiting(r.Destination) >= o {
		if err := w.expireOldest(r.Destination, now); err != nil {
			return false, err
		}
	}
	w.counts.itemSeq++
	seq := key64(w.counts.itemSeq)
	item := Item{ID: r.ID, Report: *r, State: Pending, Created: now, NextAttempt: now}
	w.rank(&item)
	if err := w.put(ItemIDs, id, seq); err != nil {
		return false, err
	}
	w.counts.move(r.Destination, 0, Pending)
	w.changed[r.Destination] = true
	return true, w.putItem(&item, seq)
}

// expireOldest settles, of those items that can wait for longest, the one that has, to make room for another.
func (w *work) expireOldest(destination string, now time.Time) error {
	var item *Item
	var seq []byte
	for i := MaxRank; i >= 0 && item == nil; i-- {
		var err error
		if item, seq, err = w.firstDue(destination, Pending, uint8(i)); err != nil {
			return err
		}
	}
	if item == nil {
		return nil
	}
	w.evict[whatWaiting]++
	w.expired[destination]++
	return w.change(item, seq, func(i *Item) {
		i.State, i.Settled, i.Detail = Expired, now, "too many reports were waiting for "+destination
	})
}

// putItem writes an item and its place in Due or Done.
func (w *work) putItem(i *Item, seq []byte) error {
	w.buf = appendItem(w.buf[:0], i)
	if err := w.put(Items, seq, w.buf); err != nil {
		return err
	}
	if !i.State.Final() {
		return w.put(Due, dueKey(i, seq), nil)
	}
	return w.put(Done, doneKey(i, seq), nil)
}

// change takes an item that is not settled from one state to another.
func (w *work) change(i *Item, seq []byte, to func(*Item)) error {
	before := i.State
	if err := w.delete(Due, dueKey(i, seq)); err != nil {
		return err
	}
	to(i)
	i.Detail = cut(i.Detail, MaxDetail)
	w.counts.move(i.Report.Destination, before, i.State)
	w.changed[i.Report.Destination] = true
	return w.putItem(i, seq)
}

// firstDue returns the first item of a destination in a state and of a rank, nil if there is none. Places in Due that lead nowhere are
// taken away, damaged items quarantined.
func (w *work) firstDue(destination string, s State, rank uint8) (*Item, []byte, error) {
	for {
		var place []byte
		w.tx.Scan(Due, dueFrom(destination, s, rank), dueUpTo(destination, s, rank), false, func(k, _ []byte) bool {
			place = bytes.Clone(k)
			return false
		})
		if place == nil {
			return nil, nil, nil
		}
		if _, seq, ok := splitDue(place); ok {
			record := w.tx.Get(Items, seq)
			item, sound := openItem(seq, record)
			if sound && bytes.Equal(dueKey(&item, seq), place) {
				return &item, seq, nil
			}
			if record != nil && !sound {
				if err := w.quarantine(Items, seq, record); err != nil {
					return nil, nil, err
				}
				w.counts.move(destination, s, 0)
			}
		}
		if err := w.delete(Due, place); err != nil {
			return nil, nil, err
		}
	}
}

// find returns the item with an ID, nil if there is none.
func (w *work) find(id string) (*Item, []byte) {
	payload, ok := unseal(ItemIDs, []byte(id), w.tx.Get(ItemIDs, []byte(id)))
	if !ok {
		return nil, nil
	}
	seq := bytes.Clone(payload)
	item, ok := openItem(seq, w.tx.Get(Items, seq))
	if !ok {
		return nil, nil
	}
	return &item, seq
}
