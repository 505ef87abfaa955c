package store

import (
	"bytes"
	"encoding/binary"
	"maps"
	"slices"
	"time"

	"tattled/event"
)

// What was evicted, as Stats and the metrics call it.
const (
	whatEvents    = "events"
	whatAddresses = "addresses"
	whatItems     = "items"
	whatScores    = "scores"
	whatStreams   = "streams"
	whatWaiting   = "waiting" // reports that were never sent
)

const (
	// retainAtOnce bounds how many records of one sort a transaction takes away beyond what it adds, so that it stays short.
	retainAtOnce = 512
	// sweepAtOnce is how many addresses a transaction looks at, at least.
	sweepAtOnce = 64
	// clockHaste bounds how much faster than real time retention's clock runs: a clock that jumps years ahead for a while
	// must not expire everything.
	clockHaste = 60
)

// pressure says how much must be evicted.
type pressure uint8

const (
	pressureNone     pressure = iota
	pressureHigh              // more than 80 % of the greatest size is used: history is evicted, faster than it comes
	pressureCritical          // more than 90 %, or the last transaction found no space: so do reports that wait
)

func (w *work) pressure() pressure {
	u := w.usage
	switch {
	case u.Max == 0:
		return pressureNone
	case w.shrink || u.Used > u.Max/100*90:
		return pressureCritical
	case u.Used > u.Max/100*80:
		return pressureHigh
	}
	return pressureNone
}

// clockNote is the note that keeps what the machine's clock did over a restart.
const clockNote = "clock"

// tick moves retention's clock on towards the real one, and notices where that was set forward.
func (w *work) tick() error {
	now := w.now.UnixMilli()
	w.judgement.Clock = w.s.clock.Clone()
	if w.s.ticked.IsZero() {
		w.counts.clock = advance(w.counts.clock, now, 0)
		return nil
	}
	elapsed := w.s.elapsed(w.s.ticked, w.now)
	w.counts.clock = advance(w.counts.clock, now, elapsed)
	if !w.judgement.Clock.Observe(w.s.ticked.UnixMilli(), now, elapsed) {
		return nil
	}
	steps, _ := w.judgement.Clock.AppendBinary([]byte{0})
	return w.put(Notes, noteKey(clockNote), steps)
}

// advance returns where a clock (in milliseconds, 0 if it never went) goes that follows the real one, now, when elapsed
// has really passed.
func advance(clock, now int64, elapsed time.Duration) int64 {
	if clock == 0 {
		return now
	}
	return min(now, clock+clockHaste*max(elapsed.Milliseconds(), 0)+1)
}

// retain takes away what is too old or too much.
func (w *work) retain() error {
	o := &w.s.options
	now := w.pressure()
	for _, step := range []func() error{
		func() error { return w.retainEvents(o, now) },
		func() error { return w.retainWaiting(now) },
		func() error { return w.retainDone(o, now) },
		func() error { return w.sweep(o, now) },
		func() error { return w.retainScores(o) },
		func() error { return w.retainStreams(o) },
		func() error { return w.retainMarks(o) },
	} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// before is the moment, in milliseconds, before which things are too old. Without a bound it is before all time.
func (w *work) before(age time.Duration) int64 {
	if age <= 0 {
		return -1 << 62
	}
	return w.counts.clock - age.Milliseconds()
}

// retainEvents drops the oldest events. Where space is tight, it drops more than come in.
func (w *work) retainEvents(o *Options, now pressure) error {
	over := 0
	if o.Events > 0 && w.counts.events > uint64(o.Events) {
		over = int(w.counts.events - uint64(o.Events))
	}
	least := 0
	if now >= pressureHigh {
		least = max(retainAtOnce, int(w.counts.events/64))
	}
	drop := max(over, least)
	most := max(least, int(w.counts.lastSeq-w.s.counts.lastSeq)+retainAtOnce)
	dropped, keys, rest := w.oldestEvents(min(drop, most), most, w.before(o.EventAge))
	w.counts.events -= min(w.counts.events, uint64(dropped))
	w.evict[whatEvents] += uint64(dropped)
	if err := w.remove(Events, keys); err != nil || len(rest) == 0 {
		return err
	}
	w.pack.begin()
	for i := range rest {
		w.pack.add(&rest[i])
	}
	key := key64(rest[len(rest)-1].Seq)
	w.value = seal(w.value[:0], Events, key, w.pack.b)
	return w.write(Events, key, w.value)
}

// oldestEvents returns what is to be dropped: so many of the oldest events, and up to most that were read before a moment. It
// returns the keys of those whose record goes, and what stays of the record after them where a part of it goes.
func (w *work) oldestEvents(drop, most int, before int64) (dropped int, keys [][]byte, rest []event.Event) {
	w.tx.Scan(Events, nil, nil, false, func(k, v []byte) bool {
		if n := eventsIn(v); dropped+n <= drop {
			keys, dropped = append(keys, bytes.Clone(k)), dropped+n
			return true
		}
		all, _ := openEvents(k, v)
		i := 0
		for i < len(all) && dropped < most && (dropped < drop || all[i].Received.UnixMilli() < before) {
			i, dropped = i+1, dropped+1
		}
		if i == len(all) && i > 0 {
			keys = append(keys, bytes.Clone(k))
			return true
		}
		if i > 0 {
			rest = all[i:]
		}
		return false
	})
	return dropped, keys, rest
}

// retainWaiting lets reports expire that wait for longest, where nothing else makes room.
func (w *work) retainWaiting(now pressure) error {
	if now < pressureCritical {
		return nil
	}
	for k := range maps.Clone(w.counts.items) {
		if k.state != Pending {
			continue
		}
		for range retainAtOnce/2 + int(w.counts.itemSeq-w.s.counts.itemSeq) {
			if err := w.expireOldest(k.destination, w.now); err != nil {
				return err
			}
		}
	}
	return nil
}

// retainDone drops the items that were settled first.
func (w *work) retainDone(o *Options, now pressure) error {
	over := 0
	if o.Settled > 0 && w.counts.records[Done] > uint64(o.Settled) {
		over = int(w.counts.records[Done] - uint64(o.Settled))
	}
	if now >= pressureHigh {
		over = max(over, retainAtOnce+int(w.counts.itemSeq-w.s.counts.itemSeq))
	}
	before := w.before(o.SettledAge)
	var keys [][]byte
	w.tx.Scan(Done, nil, nil, false, func(k, _ []byte) bool {
		if len(k) != 16 {
			return true
		}
		old := int64(binary.BigEndian.Uint64(k)/1e6) < before
		if len(keys) >= over && !old || len(keys) >= max(over, retainAtOnce) {
			return false
		}
		keys = append(keys, bytes.Clone(k))
		return true
	})
	for _, k := range keys {
		if err := w.dropItem(k); err != nil {
			return err
		}
	}
	w.evict[whatItems] += uint64(len(keys))
	return nil
}

// dropItem takes away a settled item by its key in Done.
func (w *work) dropItem(key []byte) error {
	seq := key[8:]
	if item, ok := openItem(seq, w.tx.Get(Items, seq)); ok {
		w.counts.move(item.Report.Destination, item.State, 0)
		if err := w.delete(ItemIDs, []byte(item.ID)); err != nil {
			return err
		}
	}
	if err := w.delete(Items, seq); err != nil {
		return err
	}
	return w.delete(Done, key)
}

// candidate is an address that may have to go.
type candidate struct {
	key              [16]byte
	evictionPriority int64
	old              bool
}

// sweep looks at some addresses from the cursor on, around and around, and gives up those that are too old and,
// as long as there are too many, those that are worth least among them.
func (w *work) sweep(o *Options, now pressure) error {
	over := 0
	if o.Addresses > 0 && w.counts.addresses > uint64(o.Addresses) {
		over = int(w.counts.addresses - uint64(o.Addresses))
	}
	if now >= pressureHigh {
		over = max(over, sweepAtOnce)
	}
	over = min(over, 8*retainAtOnce)
	hand, before := w.counts.sweepCursor, w.before(o.AddressAge)
	found, next, damaged := w.lookAt(max(sweepAtOnce, 4*over), before)
	if over > 0 {
		found = append(found, w.lookAtRecent(hand, next, before)...)
	}
	for _, key := range damaged {
		if err := w.quarantine(Addresses, key, w.tx.Get(Addresses, key)); err != nil {
			return err
		}
		w.buf = (&address{first: milli(w.now), last: milli(w.now), lost: milli(w.now)}).append(w.buf[:0])
		if err := w.put(Addresses, key, w.buf); err != nil {
			return err
		}
	}
	slices.SortFunc(found, func(a, b candidate) int {
		if a.old != b.old {
			if a.old {
				return -1
			}
			return 1
		}
		return int(min(max(a.evictionPriority-b.evictionPriority, -1), 1))
	})
	for i, c := range found {
		if !c.old && i >= over {
			break
		}
		if err := w.delete(Addresses, c.key[:]); err != nil {
			return err
		}
		w.gone = append(w.gone, c.key)
		w.counts.addresses -= min(w.counts.addresses, 1)
		w.evict[whatAddresses]++
	}
	w.counts.sweepCursor = next
	return nil
}

// lookAtRecent returns the addresses that are newer in memory and whose keys are from the cursor up to next.
func (w *work) lookAtRecent(from, next [16]byte, before int64) (found []candidate) {
	for key, at := range w.s.recent.m {
		if bytes.Compare(key[:], from[:]) < 0 || next != [16]byte{} && bytes.Compare(key[:], next[:]) >= 0 {
			continue
		}
		if _, again := w.places[key]; again {
			continue
		}
		record, _, ok := at.read(w.tx, key)
		if !ok {
			continue // whoever folds it quarantines it
		}
		var a address
		d := decoder{b: record}
		a.head(&d)
		found = append(found, candidate{key, a.evictionPriority(), a.last < before})
	}
	return found
}

// lookAt returns up to n addresses after the cursor that are not newer in memory, and where the cursor is then: nothing for
// the beginning.
func (w *work) lookAt(n int, before int64) (found []candidate, next [16]byte, damaged [][]byte) {
	seen := 0
	w.tx.Scan(Addresses, w.counts.sweepCursor[:], nil, false, func(k, v []byte) bool {
		if seen++; seen > n {
			next = [16]byte(k)
			return false
		}
		c := candidate{key: [16]byte(k)}
		if _, newer := w.place(c.key); newer {
			return true
		}
		payload, ok := unseal(Addresses, k, v)
		var a address
		d := decoder{b: payload}
		if a.head(&d); !ok || d.bad {
			damaged = append(damaged, bytes.Clone(k))
			return true
		}
		c.evictionPriority, c.old = a.evictionPriority(), a.last < before
		found = append(found, c)
		return true
	})
	return found, next, damaged
}

// retainScores drops scores where there are too many, in the order of their addresses: they can be asked for again.
func (w *work) retainScores(o *Options) error {
	if o.Scores <= 0 || w.counts.records[Scores] <= uint64(o.Scores) {
		return nil
	}
	over := min(int(w.counts.records[Scores])-o.Scores, retainAtOnce)
	var keys [][]byte
	w.tx.Scan(Scores, w.counts.scoreHand[:], nil, false, func(k, _ []byte) bool {
		keys = append(keys, bytes.Clone(k))
		return len(keys) < over
	})
	w.counts.scoreHand = [16]byte{}
	if len(keys) == over {
		copy(w.counts.scoreHand[:], keys[over-1])
	}
	w.evict[whatScores] += uint64(len(keys))
	return w.remove(Scores, keys)
}

// retainStreams forgets streams where there are too many, a tenth at a time: those that were not read for longest, and of
// those that this run reads on none as long as there are others. A log may be quiet for longer than all others live; without
// its position it would be read again, or not at all.
func (w *work) retainStreams(o *Options) error {
	n := w.counts.records[Streams]
	if o.Streams <= 0 || n <= uint64(o.Streams) || time.Since(w.s.opened) < startsWithin && n <= 2*uint64(o.Streams) {
		return nil
	}
	type stream struct {
		key  []byte
		at   time.Time
		used bool
	}
	var all []stream
	w.s.mu.Lock()
	w.tx.Scan(Streams, nil, nil, false, func(k, v []byte) bool {
		payload, _ := unseal(Streams, k, v)
		d := decoder{b: payload}
		all = append(all, stream{bytes.Clone(k), d.time(), w.s.inUse[string(k[1:])]})
		return true
	})
	w.s.mu.Unlock()
	slices.SortFunc(all, func(a, b stream) int {
		if a.used != b.used {
			if b.used {
				return -1
			}
			return 1
		}
		return a.at.Compare(b.at)
	})
	all = all[:max(0, len(all)-o.Streams+o.Streams/10)]
	for _, s := range all {
		if err := w.delete(Streams, s.key); err != nil {
			return err
		}
	}
	w.evict[whatStreams] += uint64(len(all))
	return nil
}
