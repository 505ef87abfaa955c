package policy

import (
	"encoding"
	"encoding/binary"
	"errors"
	"net/netip"
	"slices"
)

// stateVersion is the first byte of an encoded State. A reader refuses what it does not know. In version 1 sessions had
// no port.
const stateVersion = 2

// maxHits is what a track keeps at most.
const maxHits = 2 * MaxThreshold

var errState = errors.New("policy: not an encoded state")

var (
	_ encoding.BinaryAppender    = (*State)(nil)
	_ encoding.BinaryUnmarshaler = (*State)(nil)
)

// AppendBinary appends the encoded state to b. It never fails.
func (s *State) AppendBinary(b []byte) ([]byte, error) {
	b = append(b, stateVersion)
	b = binary.AppendUvarint(b, uint64(len(s.windows)))
	for _, w := range s.windows {
		b = appendText(b, w.destination)
		b = appendText(b, w.policy)
		b = binary.AppendUvarint(b, uint64(w.at))
	}
	b = binary.AppendUvarint(b, uint64(len(s.active)))
	for _, a := range s.active {
		full := a.addr.As16()
		b = append(b, full[:]...)
		b = binary.AppendUvarint(b, uint64(a.n))
	}
	b = binary.AppendUvarint(b, uint64(len(s.tracks)))
	for i := range s.tracks {
		b = s.tracks[i].append(b)
	}
	return b, nil
}

// append writes the track: all times as distances to the time before, because they lie close together.
func (t *track) append(b []byte) []byte {
	b = binary.BigEndian.AppendUint32(b, t.rule)
	b = binary.AppendUvarint(b, uint64(len(t.hits)))
	last, distinct := int64(0), len(t.hits) > 0 && t.hits[0].value != 0
	b = append(b, flag(distinct))
	for _, h := range t.hits {
		b = binary.AppendUvarint(b, uint64(h.at-last)<<1|uint64(flag(h.clean)))
		if distinct {
			b = binary.BigEndian.AppendUint32(b, h.value)
		}
		last = h.at
	}
	for _, r := range []run{t.all, t.clean} {
		b = binary.AppendUvarint(b, uint64(r.n))
		if r.n > 0 {
			b = binary.AppendVarint(b, r.last-last)
			b = binary.AppendUvarint(b, uint64(r.last-r.first))
		}
	}
	b = append(b, byte(len(t.sessions)))
	for _, s := range t.sessions {
		b = binary.BigEndian.AppendUint32(b, s.id)
		b = binary.BigEndian.AppendUint16(b, s.port)
		b = binary.AppendVarint(b, s.last-last)
		b = binary.AppendUvarint(b, uint64(s.attempts))
		n := 0
		for n < maxSessionRules && s.rules[n].rule != 0 {
			n++
		}
		b = append(b, byte(n))
		for _, l := range s.rules[:n] {
			b = binary.BigEndian.AppendUint16(b, l.rule)
			b = binary.AppendUvarint(b, uint64(l.n))
		}
	}
	b = append(b, byte(len(t.ports)))
	for _, p := range t.ports {
		b = binary.BigEndian.AppendUint16(b, p)
	}
	b = append(b, byte(len(t.users)))
	for _, u := range t.users {
		b = binary.BigEndian.AppendUint32(b, u)
	}
	return b
}

// UnmarshalBinary replaces s by what AppendBinary wrote. It takes any bytes: what is not an encoded state within the
// bounds is an error and leaves s as after Reset. It keeps nothing of b.
func (s *State) UnmarshalBinary(b []byte) error {
	s.Reset()
	d := decoder{b: b}
	if d.version = d.byte(); d.version < 1 || d.version > stateVersion {
		d.bad = true
	}
	for range d.count(maxWindows) {
		s.windows = append(s.windows, window{d.text(), d.text(), d.moment()})
	}
	for range d.count(maxActive) {
		s.active = append(s.active, active{netip.AddrFrom16([16]byte(d.bytes(16))), d.uint32()})
	}
	for range d.count(MaxRules) {
		s.nextTrack().decode(&d)
	}
	if d.bad || len(d.b) > 0 {
		s.Reset()
		return errState
	}
	return nil
}

func (t *track) decode(d *decoder) {
	t.rule = binary.BigEndian.Uint32(d.bytes(4))
	n := d.count(maxHits)
	distinct := d.flag()
	if cap(t.hits) < n {
		t.hits = make([]hit, 0, room(n, maxHits))
	}
	last := int64(0)
	for range n {
		h := hit{}
		delta := d.uvarint()
		h.at, h.clean = d.within(last+int64(min(delta>>1, maxMoment+1))), delta&1 == 1
		if distinct {
			if h.value = binary.BigEndian.Uint32(d.bytes(4)); h.value == 0 {
				d.bad = true
			}
		}
		t.hits, last = append(t.hits, h), h.at
	}
	t.all, t.clean = d.run(last), d.run(last)
	for range d.count(maxSessions) {
		t.sessions = append(t.sessions, session{})
		d.session(&t.sessions[len(t.sessions)-1], last)
	}
	for range d.count(maxPorts) {
		t.ports = append(t.ports, binary.BigEndian.Uint16(d.bytes(2)))
	}
	for range d.count(maxUsers) {
		t.users = append(t.users, binary.BigEndian.Uint32(d.bytes(4)))
	}
	if !slices.IsSorted(t.ports) {
		d.bad = true
	}
}

// room leaves place for a few moments more, so that an address which is hot does not move its track about.
func room(n, most int) int { return min(n+4, most) }

// decoder reads what append wrote. After the first fault it is bad and gives zeros.
type decoder struct {
	b       []byte
	version byte
	bad     bool
}

func (d *decoder) bytes(n int) []byte {
	if d.bad || len(d.b) < n {
		d.bad = true
		return make([]byte, n)
	}
	taken := d.b[:n]
	d.b = d.b[n:]
	return taken
}

func (d *decoder) byte() byte { return d.bytes(1)[0] }

func (d *decoder) flag() bool {
	f := d.byte()
	if f > 1 {
		d.bad = true
	}
	return f == 1
}

func (d *decoder) uvarint() uint64 {
	v, n := binary.Uvarint(d.b)
	if d.bad || n <= 0 {
		d.bad = true
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) varint() int64 {
	v, n := binary.Varint(d.b)
	if d.bad || n <= 0 {
		d.bad = true
		return 0
	}
	d.b = d.b[n:]
	return v
}

// count reads how many things follow: at most limit, and never more than bytes are left.
func (d *decoder) count(limit int) int {
	n := d.uvarint()
	if n > uint64(limit) || n > uint64(len(d.b)) {
		d.bad = true
		return 0
	}
	return int(n)
}

func (d *decoder) uint32() uint32 {
	v := d.uvarint()
	if v > 1<<32-1 {
		d.bad = true
		return 0
	}
	return uint32(v)
}

func (d *decoder) uint16() uint16 {
	v := d.uvarint()
	if v > 1<<16-1 {
		d.bad = true
		return 0
	}
	return uint16(v)
}

func (d *decoder) text() string {
	n := d.count(maxName)
	if n == 0 {
		return ""
	}
	b := d.b[:n]
	d.b = d.b[n:]
	return string(b)
}

// within passes a moment that a State can hold.
func (d *decoder) within(at int64) int64 {
	if at < 0 || at > maxMoment {
		d.bad = true
		return 0
	}
	return at
}

func (d *decoder) moment() int64 {
	return d.within(int64(min(d.uvarint(), maxMoment+1)))
}

// near reads a moment that was written as its distance to last.
func (d *decoder) near(last int64) int64 {
	distance := d.varint()
	if distance < -maxMoment || distance > maxMoment {
		d.bad = true
		return 0
	}
	return d.within(last + distance)
}

func (d *decoder) run(last int64) run {
	r := run{n: d.uint32()}
	if r.n == 0 {
		return r
	}
	r.last = d.near(last)
	r.first = d.within(r.last - int64(min(d.uvarint(), maxMoment+1)))
	return r
}

func (d *decoder) session(s *session, last int64) {
	s.id = binary.BigEndian.Uint32(d.bytes(4))
	if d.version > 1 {
		s.port = binary.BigEndian.Uint16(d.bytes(2))
	}
	s.last = d.near(last)
	s.attempts = d.uint16()
	for i := range d.count(maxSessionRules) {
		s.rules[i] = ruleLines{binary.BigEndian.Uint16(d.bytes(2)), d.uint16()}
		if s.rules[i].rule == 0 {
			d.bad = true
		}
	}
}

func appendText(b []byte, s string) []byte {
	b = binary.AppendUvarint(b, uint64(len(s)))
	return append(b, s...)
}

func flag(is bool) byte {
	if is {
		return 1
	}
	return 0
}
