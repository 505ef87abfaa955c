package store

import (
	"encoding/binary"
	"maps"
	"math"
)

// CountsKey is where Meta has the record of what lies in the tables. Who takes records away behind the Store's back
// deletes it, and New counts again.
const CountsKey = "counts"

// The first byte of the record of counts.
const (
	countsForm    = 2
	countsRecords = 1 // each record in Events is one event
)

// counts is what lies in the tables, so that nobody needs to count at start. It is written in every transaction.
type counts struct {
	commit  uint64 // number of the transaction
	lastSeq uint64 // of events
	itemSeq uint64 // of items

	records   [tableEnd]uint64 // in each table but Meta
	events    uint64           // in Events
	addresses uint64           // in Addresses or in Recent
	items     map[itemsKey]uint64

	clock       int64    // retention's clock, milliseconds
	sweepCursor [16]byte // where the sweep over Addresses goes on
	scoreHand   [16]byte
}

// counted lists the tables whose records are counted.
func counted() []Table { return Tables()[1:] }

// itemsKey says of what there are so many items.
type itemsKey struct {
	destination string
	state       State
}

func (c *counts) clone() counts {
	copied := *c
	copied.items = maps.Clone(c.items)
	if copied.items == nil {
		copied.items = map[itemsKey]uint64{}
	}
	return copied
}

// move counts an item that goes from one state to another; 0 is nowhere.
func (c *counts) move(destination string, from, to State) {
	if k := (itemsKey{destination, from}); from != 0 {
		if c.items[k] > 1 {
			c.items[k]--
		} else {
			delete(c.items, k)
		}
	}
	if to != 0 {
		c.items[itemsKey{destination, to}]++
	}
}

// waiting is how many items of a destination are not settled.
func (c *counts) waiting(destination string) int {
	return int(c.items[itemsKey{destination, Pending}] + c.items[itemsKey{destination, Claimed}])
}

func (c *counts) append(b []byte) []byte {
	b = append(b, countsForm)
	for _, n := range []uint64{c.commit, c.lastSeq, c.itemSeq, c.addresses, uint64(c.clock), c.events} {
		b = binary.AppendUvarint(b, n)
	}
	for _, t := range counted() {
		b = binary.AppendUvarint(b, c.records[t])
	}
	b = append(b, c.sweepCursor[:]...)
	b = append(b, c.scoreHand[:]...)
	b = binary.AppendUvarint(b, uint64(len(c.items)))
	for k, n := range c.items {
		b = appendText(b, k.destination, maxText)
		b = append(b, byte(k.state))
		b = binary.AppendUvarint(b, n)
	}
	return b
}

func decodeCounts(b []byte) (counts, bool) {
	d := decoder{b: b}
	c := counts{items: map[itemsKey]uint64{}}
	form := d.byte()
	if form != countsForm && form != countsRecords {
		return counts{}, false
	}
	for _, n := range []*uint64{&c.commit, &c.lastSeq, &c.itemSeq, &c.addresses} {
		*n = d.uvarint()
	}
	c.clock = int64(d.number(math.MaxInt64))
	if form == countsForm {
		c.events = d.uvarint()
	}
	for _, t := range counted() {
		c.records[t] = d.uvarint()
	}
	if form == countsRecords {
		c.events = c.records[Events]
	}
	copy(c.sweepCursor[:], d.bytes(16))
	copy(c.scoreHand[:], d.bytes(16))
	for range d.count(1000) {
		k := itemsKey{destination: d.text(maxText), state: State(d.byte())}
		c.items[k] = d.uvarint()
	}
	if !d.done() {
		return counts{}, false
	}
	return c, true
}

// recount finds out what lies in the tables by looking at every record. It is the slow way, for when the record of counts
// is gone.
func recount(tx ReadTx) counts {
	c := counts{items: map[itemsKey]uint64{}}
	last := map[Table][]byte{}
	for _, t := range counted() {
		tx.Scan(t, nil, nil, false, func(k, v []byte) bool {
			c.records[t]++
			if t == Events {
				c.events += uint64(eventsIn(v))
			}
			last[t] = append(last[t][:0], k...)
			return true
		})
	}
	c.lastSeq, _ = seqOf(last[Events])
	c.itemSeq, _ = seqOf(last[Items])
	c.addresses = c.records[Addresses]
	if k := last[Recent]; len(k) >= 8 {
		c.commit = binary.BigEndian.Uint64(k)
	}
	tx.Scan(Items, nil, nil, false, func(k, v []byte) bool {
		if item, ok := openItem(k, v); ok {
			c.move(item.Report.Destination, 0, item.State)
		}
		return true
	})
	return c
}
