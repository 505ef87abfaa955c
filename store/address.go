package store

import (
	"cmp"
	"encoding/binary"
	"math"
	"math/bits"
	"net/netip"
	"time"

	"tattled/event"
	"tattled/policy"
)

// The first byte of an encoded address.
const (
	addressForm = 1
	addressKept = 2 // the same form: its state is the one that it had before the store was restored, and no older one
	addressLost = 3 // when its state was lost in milliseconds, then the same form
)

// maxSeqs is how many of its newest events an address remembers.
const maxSeqs = 16

// maxKinds bounds the kinds of events that an address counts.
const maxKinds = 32

// address is what a record in Addresses and in Recent holds. Its head is enough to say what it is worth; the rest
// follows.
type address struct {
	last     int64  // the last event by its own time, but not after it was read; milliseconds
	total    uint64 // events
	notified int64  // when anything was last reported of it, milliseconds; 0 if nothing was

	first   int64 // milliseconds
	counts  [maxKinds]uint64
	country string
	asn     uint32
	seqs    []uint64 // ascending
	state   policy.State
	kept    bool  // the state came through the last restoration
	lost    int64 // when its record was found damaged, milliseconds; 0 if it never was
}

// key16 is the key of an address: of its /64 as policy.Key has it, in 16 bytes, IPv4 as IPv4-mapped.
func key16(addr netip.Addr) [16]byte { return policy.Key(addr).As16() }

// compareKeys compares keys of addresses as the tables order them.
func compareKeys(a, b *[16]byte) int {
	if c := cmp.Compare(binary.BigEndian.Uint64(a[:8]), binary.BigEndian.Uint64(b[:8])); c != 0 {
		return c
	}
	return cmp.Compare(binary.BigEndian.Uint64(a[8:]), binary.BigEndian.Uint64(b[8:]))
}

// milli is t in milliseconds since 1970, within the bounds of plainTime.
func milli(t time.Time) int64 { return plainTime(t.Unix(), int64(t.Nanosecond())).UnixMilli() }

// note takes e into the summary. Of the place only what is small is kept.
func (a *address) note(e *event.Event) {
	at := min(milli(e.Time), milli(e.Received))
	if a.total == 0 || at < a.first {
		a.first = at
	}
	if a.total == 0 || at > a.last {
		a.last = at
	}
	a.total++
	if e.Kind < maxKinds {
		a.counts[e.Kind]++
	}
	a.country, a.asn = cut(e.Place.Country, 2), e.Place.ASN
	if len(a.seqs) == maxSeqs {
		copy(a.seqs, a.seqs[1:])
		a.seqs = a.seqs[:maxSeqs-1]
	}
	a.seqs = append(a.seqs, e.Seq)
}

func (a *address) append(b []byte) []byte {
	switch {
	case a.lost > 0:
		b = binary.AppendUvarint(append(b, addressLost), uint64(a.lost))
	case a.kept:
		b = append(b, addressKept)
	default:
		b = append(b, addressForm)
	}
	b = binary.AppendVarint(b, a.last)
	b = binary.AppendUvarint(b, a.total)
	b = binary.AppendUvarint(b, uint64(a.notified))
	b = binary.AppendVarint(b, a.last-a.first)
	var set uint32
	for k, n := range a.counts {
		if n > 0 {
			set |= 1 << k
		}
	}
	b = binary.AppendUvarint(b, uint64(set))
	for _, n := range a.counts {
		if n > 0 {
			b = binary.AppendUvarint(b, n)
		}
	}
	b = appendText(b, a.country, 2)
	b = binary.AppendUvarint(b, uint64(a.asn))
	b = append(b, byte(len(a.seqs)))
	var last uint64
	for _, seq := range a.seqs {
		b = binary.AppendUvarint(b, seq-last)
		last = seq
	}
	b, _ = a.state.AppendBinary(b)
	return b
}

// head reads the beginning of an encoded address: what retention goes by.
func (a *address) head(d *decoder) {
	a.kept, a.lost = false, 0
	switch d.byte() {
	case addressForm:
	case addressKept:
		a.kept = true
	case addressLost:
		a.lost = int64(d.number(math.MaxInt64))
	default:
		d.bad = true
	}
	a.last, a.total, a.notified = d.varint(), d.uvarint(), int64(d.number(math.MaxInt64))
}

// decode replaces a by what append wrote. It takes any bytes and keeps none of them.
func (a *address) decode(b []byte) bool {
	d := decoder{b: b}
	a.head(&d)
	a.first = a.last - d.varint()
	set := uint32(d.number(math.MaxUint32))
	a.counts = [maxKinds]uint64{}
	for ; set != 0; set &= set - 1 {
		a.counts[bits.TrailingZeros32(set)] = d.uvarint()
	}
	if code := d.bytes(d.count(2)); string(code) != a.country {
		a.country = string(code)
	}
	a.asn = uint32(d.number(math.MaxUint32))
	a.seqs = a.seqs[:0]
	var last uint64
	for range d.count(maxSeqs) {
		last += d.uvarint()
		a.seqs = append(a.seqs, last)
	}
	return !d.bad && a.state.UnmarshalBinary(d.b) == nil
}

// evictionPriority is a moment, in milliseconds, up to which an address deserves its place: the older, the sooner it is evicted.
// Each doubling of its events is worth six hours; one that was reported stays longer than every one that was not, because without
// its windows it would be reported twice.
func (a *address) evictionPriority() int64 {
	const hour = int64(time.Hour / time.Millisecond)
	w := a.last + int64(bits.Len64(a.total))*6*hour
	if a.notified > 0 {
		w = max(w, a.notified) + 1000*hour
	}
	return w
}

// summary is the address as others see it.
func (a *address) summary(addr netip.Addr) Address {
	s := Address{
		Network: policy.Network(addr), First: plainMilli(a.first), Last: plainMilli(a.last),
		Counts: map[event.Kind]uint64{}, Place: event.Place{Country: a.country, ASN: a.asn},
		Windows: a.state.Windows(), Events: a.seqs,
	}
	for i := range s.Windows {
		s.Windows[i].At = plainMilli(s.Windows[i].At.UnixMilli())
	}
	for k, n := range a.counts {
		if n > 0 {
			s.Counts[event.Kind(k)] = n
		}
	}
	return s
}
