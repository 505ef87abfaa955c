package store

import (
	"encoding/binary"
	"slices"
	"time"

	"tattled/event"
)

const (
	// packSize is from how many bytes on a record of Events is full: three share a page.
	packSize = 1100
	// packMost is how many events are in one at most, so that whoever wants one reads few. It fits into seven bits.
	packMost = 64
)

// pack writes records of Events: what a commit has, one after another, under the Seq of the last one. Each event is written
// with what differs from the one before; those of a flood differ in little. Older releases wrote one a record, under its Seq.
type pack struct {
	b    []byte
	prev *event.Event
	none event.Event // before the first one
}

// What an event may share with the one before, as bits: its texts, in the order of shared, then these.
const (
	sameCategories = 1 << (iota + 8)
	samePlace
	sameNature
	sameReceived
)

// shared returns the texts of e that many events have alike.
func shared(e *event.Event) [8]*string {
	return [...]*string{&e.Service, &e.Rule, &e.Program, &e.Host, &e.Source, &e.Reporter, &e.User, &e.PID}
}

// natureOf is what of e takes a byte each.
func natureOf(e *event.Event) [4]byte {
	return [...]byte{byte(e.Kind), byte(e.Proto), byte(e.Trust), flagsOf(e)}
}

// begin empties p.
func (p *pack) begin() { p.b, p.prev = append(p.b[:0], packForm, 0), &p.none }

func (p *pack) full() bool { return len(p.b) >= packSize || p.b[1] == packMost }

// add takes one more event, which must not change before the next one is there.
func (p *pack) add(e *event.Event) {
	p.b[1]++
	var same uint64
	now, before := shared(e), shared(p.prev)
	for i := range now {
		if *now[i] == *before[i] {
			same |= 1 << i
		}
	}
	if slices.Equal(e.Categories, p.prev.Categories) {
		same |= sameCategories
	}
	if e.Place == p.prev.Place {
		same |= samePlace
	}
	if natureOf(e) == natureOf(p.prev) {
		same |= sameNature
	}
	if e.Received.Equal(p.prev.Received) {
		same |= sameReceived
	}
	p.b = appendSince(binary.AppendUvarint(p.b, same), e.Time, p.prev.Time)
	p.b = p.appendOther(p.b, e, same)
	p.b = appendAddr(p.b, e.Addr)
	p.b = binary.BigEndian.AppendUint16(p.b, e.Port)
	p.b = binary.BigEndian.AppendUint16(p.b, e.LocalPort)
	p.b = appendText(p.b, e.Line, event.MaxLine)
	p.prev = e
}

// appendOther writes what is not the same.
func (p *pack) appendOther(b []byte, e *event.Event, same uint64) []byte {
	if same&sameReceived == 0 {
		b = appendSince(b, e.Received, p.prev.Received)
	}
	if same&sameNature == 0 {
		nature := natureOf(e)
		b = append(b, nature[:]...)
	}
	if same&sameCategories == 0 {
		b = appendCategories(b, e.Categories)
	}
	if same&samePlace == 0 {
		b = appendPlace(b, &e.Place)
	}
	for i, s := range shared(e) {
		if same&(1<<i) == 0 {
			b = appendText(b, *s, maxText)
		}
	}
	return b
}

// appendSince writes t by the seconds since another time.
func appendSince(b []byte, t, since time.Time) []byte {
	b = binary.AppendVarint(b, t.Unix()-since.Unix()) // it may run over, and back when it is read
	return binary.AppendUvarint(b, uint64(t.Nanosecond()))
}

// eventsIn returns how many events a record of Events has by its own account, 1 where it is damaged or of an older release.
func eventsIn(record []byte) int {
	if len(record) < sealSize+2 || record[sealSize] != packForm {
		return 1
	}
	return min(max(int(record[sealSize+1]), 1), packMost)
}

// openEvents returns the events of a record of Events, in ascending order. It takes any bytes and keeps none of them.
func openEvents(key, record []byte) ([]event.Event, bool) {
	payload, ok := unseal(Events, key, record)
	last, sound := seqOf(key)
	if !ok || !sound {
		return nil, false
	}
	all, ok := decodeEvents(payload)
	for i := range all {
		all[i].Seq = last - uint64(len(all)-1-i)
	}
	return all, ok && last >= uint64(len(all))
}

func decodeEvents(b []byte) ([]event.Event, bool) {
	if len(b) < 2 || b[0] != packForm {
		e, ok := decodeEvent(b)
		return []event.Event{e}, ok
	}
	n := int(b[1])
	if n == 0 || n > packMost {
		return nil, false
	}
	u := unpacker{d: decoder{b: b[2:]}, sec: time.Time{}.Unix(), receivedSec: time.Time{}.Unix()}
	all := make([]event.Event, n)
	for i := range all {
		u.next(&all[i])
	}
	return all, u.d.done()
}

// unpacker reads what pack wrote.
type unpacker struct {
	d                decoder
	prev             event.Event
	sec, receivedSec int64 // of prev, as they were written
}

// next reads one more event.
func (u *unpacker) next(e *event.Event) {
	d := &u.d
	same := d.uvarint()
	*e = u.prev
	u.sec += d.varint()
	e.Time = plainTime(u.sec, int64(d.number(999999999)))
	if same&sameReceived == 0 {
		u.receivedSec += d.varint()
		e.Received = plainTime(u.receivedSec, int64(d.number(999999999)))
	}
	if same&sameNature == 0 {
		e.Kind, e.Proto, e.Trust = event.Kind(d.byte()), event.Proto(d.byte()), event.Trust(d.byte())
		setFlags(e, d.byte())
	}
	if same&sameCategories == 0 {
		e.Categories = d.categories()
	}
	if same&samePlace == 0 {
		e.Place = d.place()
	}
	for i, s := range shared(e) {
		if same&(1<<i) == 0 {
			*s = d.text(maxText)
		}
	}
	e.Addr = d.addr()
	e.Port = binary.BigEndian.Uint16(d.bytes(2))
	e.LocalPort = binary.BigEndian.Uint16(d.bytes(2))
	e.Line = d.text(event.MaxLine)
	u.prev = *e
}
