package policy

import (
	"encoding"
	"encoding/binary"
	"errors"
	"net/netip"
	"slices"
)

// stateVersion is the first byte of an encoded State. A reader refuses what it does not know. In version 1 sessions had
// no port. Up to version 2 a track had one tally for all events, whose moments said which of them were clean, the full
// addresses of a /64 were counted once for all tracks, and windows had no class: see decodeOld. Up to version 3 values had 32
// bits, moments had no service, and nothing was known of who got in.
const stateVersion = 4

// What is written of each moment beside its time.
const (
	timesOnly byte = iota
	withValue
	withService // and a value
	momentEnd
)

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
		b = append(b, byte(w.class))
		b = appendText(b, w.destination)
		b = appendText(b, w.policy)
		b = binary.AppendUvarint(b, uint64(w.at))
	}
	b = binary.AppendUvarint(b, uint64(len(s.logins)))
	for _, l := range s.logins {
		b = append(b, flag(l.clean))
		b = binary.BigEndian.AppendUint64(b, l.account)
		b = binary.BigEndian.AppendUint16(b, l.service)
		b = binary.AppendUvarint(b, uint64(l.at))
	}
	b = binary.AppendUvarint(b, uint64(len(s.tracks)))
	for i := range s.tracks {
		t := &s.tracks[i]
		b = binary.BigEndian.AppendUint32(b, t.rule)
		b = append(b, flag(t.split))
		b = t.clean.append(b)
		if t.split {
			b = t.mixed.append(b)
		}
	}
	return b, nil
}

// append writes the tally: all times as distances to the time before, because they are close together.
func (t *tally) append(b []byte) []byte {
	b = binary.AppendUvarint(b, uint64(len(t.hits)))
	last, form := int64(0), t.form()
	b = append(b, form)
	for _, h := range t.hits {
		b = binary.AppendUvarint(b, uint64(h.at-last))
		if form != timesOnly {
			b = binary.BigEndian.AppendUint64(b, h.value)
		}
		if form == withService {
			b = binary.BigEndian.AppendUint16(b, h.service)
		}
		last = h.at
	}
	b = binary.AppendUvarint(b, uint64(t.run.n))
	if t.run.n > 0 {
		b = binary.AppendVarint(b, t.run.last-last)
		b = binary.AppendUvarint(b, uint64(t.run.last-t.run.first))
	}
	b = append(b, byte(len(t.sessions)))
	for i := range t.sessions {
		b = t.sessions[i].append(b, last)
	}
	b = append(b, byte(len(t.ports)))
	for _, p := range t.ports {
		b = binary.BigEndian.AppendUint16(b, p)
	}
	b = append(b, byte(len(t.users)))
	for _, u := range t.users {
		b = binary.BigEndian.AppendUint32(b, u)
	}
	b = append(b, byte(len(t.peers)))
	for i, p := range t.peers {
		full := p.addr.As16()
		if i > 0 { // all of them are in one /64
			b = append(b, full[8:]...)
		} else {
			b = append(b, full[:]...)
		}
		b = binary.AppendUvarint(b, uint64(p.n))
	}
	return b
}

// form returns what must be written of the moments.
func (t *tally) form() byte {
	form := timesOnly
	for _, h := range t.hits {
		switch {
		case h.service != 0:
			return withService
		case h.value != 0:
			form = withValue
		}
	}
	return form
}

func (s *session) append(b []byte, last int64) []byte {
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
	for range d.count(maxWindows * int(classEnd)) {
		s.windows = append(s.windows, d.window())
	}
	if d.version >= 4 {
		for range d.count(2 * maxLogins) {
			s.logins = append(s.logins, d.login())
		}
	}
	if d.version < 3 {
		for range d.count(maxPeers) { // whose events they counted is not known
			d.bytes(16)
			d.uint32()
		}
	}
	for range d.count(MaxRules) {
		t := s.nextTrack()
		t.rule = binary.BigEndian.Uint32(d.bytes(4))
		if d.version < 3 {
			t.decodeOld(&d)
			continue
		}
		t.split = d.flag()
		t.clean.decode(&d)
		if t.split {
			t.mixed.decode(&d)
		}
	}
	if d.bad || len(d.b) > 0 {
		s.Reset()
		return errState
	}
	return nil
}

func (d *decoder) window() window {
	w := window{}
	if d.version >= 3 {
		if w.class = class(d.byte()); w.class >= classEnd {
			d.bad = true
		}
	}
	w.destination, w.policy, w.at = d.text(), d.text(), d.moment()
	return w
}

func (d *decoder) login() login {
	clean := d.flag()
	l := login{account: binary.BigEndian.Uint64(d.bytes(8)), service: binary.BigEndian.Uint16(d.bytes(2)), clean: clean}
	l.at = d.moment()
	return l
}

func (t *tally) decode(d *decoder) {
	last := t.decodeHits(d, nil)
	t.run = d.run(last)
	t.decodeRest(d, last)
	for i := range d.count(maxPeers) {
		var full [16]byte
		if i > 0 {
			full = t.peers[0].addr.As16()
			copy(full[8:], d.bytes(8))
		} else {
			full = [16]byte(d.bytes(16))
		}
		t.peers = append(t.peers, peer{netip.AddrFrom16(full), d.uint32()})
	}
}

// decodeHits reads the moments and returns the time of the last. Where clean is not nil, each says whether it is clean.
func (t *tally) decodeHits(d *decoder, clean *[]bool) (last int64) {
	n := d.count(maxHits)
	form := d.byte()
	if form >= momentEnd || d.version < 4 && form > withValue {
		d.bad = true
	}
	if cap(t.hits) < n {
		t.hits = make([]hit, 0, room(n, maxHits))
	}
	for range n {
		delta := d.uvarint()
		if clean != nil {
			*clean = append(*clean, delta&1 == 1)
			delta >>= 1
		}
		h := hit{at: d.within(last + int64(min(delta, maxMoment+1)))}
		switch {
		case form == timesOnly:
		case d.version < 4:
			if h.value = uint64(binary.BigEndian.Uint32(d.bytes(4))); h.value == 0 {
				d.bad = true
			}
		default:
			h.value = binary.BigEndian.Uint64(d.bytes(8))
		}
		if form == withService {
			h.service = binary.BigEndian.Uint16(d.bytes(2))
		}
		t.hits, last = append(t.hits, h), h.at
	}
	return last
}

// decodeRest reads connections, ports and accounts.
func (t *tally) decodeRest(d *decoder, last int64) {
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

// decodeOld reads a track of version 1 or 2. Where all its events were clean it is not split. Otherwise its moments are
// divided; the connections are in both tallies, because a line that was counted must not count again; and the ports and
// accounts are only in that of all events, because some may be forged.
func (t *track) decodeOld(d *decoder) {
	var clean []bool
	c := &t.clean
	last := c.decodeHits(d, &clean)
	all := d.run(last)
	c.run = d.run(last)
	c.decodeRest(d, last)
	if all == c.run && !slices.Contains(clean, false) {
		return
	}
	t.divide()
	t.mixed.run = all
	i := -1
	c.hits = slices.DeleteFunc(c.hits, func(hit) bool { i++; return !clean[i] })
	c.forget()
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
	n := d.count(len(d.b)) // names have the bounds of the configuration: no other one makes a state unreadable
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
