package pattern

import (
	"bytes"
	"encoding/binary"
	"net/netip"

	"tattled/detect/parse"
)

// fixed is fixed text. Its first and last eight bytes are kept as numbers: most texts are no longer, and comparing numbers
// costs a fraction of a call that compares bytes.
type fixed struct {
	text          string
	front, frontM uint64 // the text's first bytes as they are read from memory, and a mask where it is shorter
	back, backM   uint64 // the same of its last bytes
}

func newFixed(text string) fixed {
	f := fixed{text: text}
	n := min(len(text), 8)
	var b [8]byte
	copy(b[:], text)
	f.front = binary.LittleEndian.Uint64(b[:])
	f.frontM = uint64(1)<<(8*n) - 1 // a shift by 64 gives 0, and one less than that is all bits
	clear(b[:])
	copy(b[8-n:], text[len(text)-n:])
	f.back = binary.LittleEndian.Uint64(b[:])
	f.backM = f.frontM << (64 - 8*n)
	return f
}

// beginsAt reports whether the text stands at m[i:].
func (f *fixed) beginsAt(m []byte, i int) bool {
	if i+8 <= len(m) {
		if (binary.LittleEndian.Uint64(m[i:])^f.front)&f.frontM != 0 {
			return false
		}
		if len(f.text) <= 8 {
			return true
		}
	}
	return parse.HasPrefix(m[i:], f.text)
}

// endsAt reports whether the text stands at the end of m[:end].
func (f *fixed) endsAt(m []byte, end int) bool {
	if end >= 8 {
		if (binary.LittleEndian.Uint64(m[end-8:])^f.back)&f.backM != 0 {
			return false
		}
		if len(f.text) <= 8 {
			return true
		}
	}
	return parse.HasSuffix(m[:end], f.text)
}

// segment is a part of a pattern without wide fields: fixed text, then narrow fields with fixed text behind each. Given
// where it begins, or where it ends, there is at most one way to match it; checkItems sees to that.
type segment struct {
	first fixed
	steps []step

	// Its first and its last fixed text, to search for; of the first and the last segment of a pattern, whose place is
	// known, nil.
	needle, lastNeedle []byte
}

type step struct {
	field Field
	class uint8
	least int // bytes
	limit int // bytes
	// ahead and behind are how many bytes of the fixed text after and before the field could themselves be part of such a
	// field: a run of them is longer than the field by so much.
	ahead, behind int
	text          fixed // behind the field
}

// captures is what a segment's fields held.
type captures struct {
	ip, ipEnd   int     // offsets into the message
	four        [4]byte // the address, if isFour
	isFour      bool
	port, local uint16
}

// addr reads the address.
func (c *captures) addr(m []byte) (netip.Addr, bool) {
	if c.isFour {
		return netip.AddrFrom4(c.four), true
	}
	return parse.Addr(m[c.ip:c.ipEnd])
}

// split cuts a pattern at its wide fields. user is the number of the segment before the <user> field, -1 without one.
func split(items []Item) (segments []segment, user int) {
	wide, narrow := 0, 0
	for _, it := range items {
		switch {
		case it.Field.Wide():
			wide++
		case it.Field != Literal:
			narrow++
		}
	}
	segments = make([]segment, 1, wide+1)
	steps := make([]step, 0, narrow) // of all segments
	user = -1
	for i, it := range items {
		s := &segments[len(segments)-1]
		switch {
		case it.Field.Wide():
			if it.Field == User {
				user = len(segments) - 1
			}
			segments = append(segments, segment{})
		case it.Field != Literal:
			st := step{field: it.Field, class: it.Field.class(), least: 1, limit: it.Field.Longest()}
			if it.Field == Maybe {
				st.least = 0
			}
			if i > 0 {
				st.behind = classSuffix(items[i-1].Text, st.class)
			}
			if i+1 < len(items) {
				st.text = newFixed(items[i+1].Text)
				st.ahead = classPrefix(items[i+1].Text, st.class)
			}
			from := len(steps) - len(s.steps)
			steps = append(steps, st)
			s.steps = steps[from:]
		case len(s.steps) == 0:
			s.first = newFixed(it.Text)
		}
	}
	for i := 1; i < len(segments)-1; i++ {
		s := &segments[i]
		s.needle = []byte(s.first.text)
		s.lastNeedle = s.needle
		if n := len(s.steps); n > 0 {
			s.lastNeedle = []byte(s.steps[n-1].text.text)
		}
	}
	return segments, user
}

func (s *segment) hasIP() bool {
	for i := range s.steps {
		if f := s.steps[i].field; f == IP || f == IPPort {
			return true
		}
	}
	return false
}

// forward matches the segment at the beginning of m[at:], whose first text the caller may have compared (known), and
// returns where it ends.
func (s *segment) forward(m []byte, at int, known bool, c *captures) (end int, ok bool) {
	if !known && !s.first.beginsAt(m, at) {
		return 0, false
	}
	at += len(s.first.text)
	for i := range s.steps {
		st := &s.steps[i]
		end := st.forward(m, at, c)
		if end < 0 || !st.text.beginsAt(m, end) {
			return 0, false
		}
		at = end + len(st.text.text)
	}
	return at, true
}

// backward matches the segment at the end of m[:end] and returns where it begins.
func (s *segment) backward(m []byte, end int, c *captures) (at int, ok bool) {
	for i := len(s.steps) - 1; i >= 0; i-- {
		st := &s.steps[i]
		if !st.text.endsAt(m, end) {
			return 0, false
		}
		end -= len(st.text.text)
		if end = st.backward(m, end, c); end < 0 {
			return 0, false
		}
	}
	if !s.first.endsAt(m, end) {
		return 0, false
	}
	return end - len(s.first.text), true
}

// find returns the first place at or behind from where the segment matches and ends by to.
func (s *segment) find(m []byte, from, to int, c *captures) (at, end int, ok bool) {
	for from+len(s.needle) <= to {
		i := bytes.Index(m[from:to], s.needle)
		if i < 0 {
			return 0, 0, false
		}
		at = from + i
		if end, ok := s.forward(m[:to], at, true, c); ok {
			return at, end, true
		}
		from = at + 1
	}
	return 0, 0, false
}

// findLast returns the last place where the segment matches, begins at or behind from and ends by to.
func (s *segment) findLast(m []byte, from, to int, c *captures) (at, end int, ok bool) {
	for from+len(s.lastNeedle) <= to {
		i := bytes.LastIndex(m[from:to], s.lastNeedle)
		if i < 0 {
			return 0, 0, false
		}
		end = from + i + len(s.lastNeedle)
		if at, ok := s.backward(m, end, c); ok && at >= from {
			return at, end, true
		}
		to = end - 1
	}
	return 0, 0, false
}

// appendKey appends what is equal for equal segments.
func (s *segment) appendKey(key []byte) []byte {
	key = append(key, s.first.text...)
	for i := range s.steps {
		key = append(key, 0, '0'+byte(s.steps[i].field))
		key = append(key, s.steps[i].text.text...)
	}
	return key
}
