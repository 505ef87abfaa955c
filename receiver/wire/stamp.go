package wire

import (
	"encoding/binary"
	"time"

	"tattled/event"
)

// bsdCache has the last timestamp of RFC 3164, as its 15 bytes and as a time.
type bsdCache struct {
	head, tail uint64 // bytes 0 to 7 and 7 to 14
	t          time.Time
	// The year in t was inferred and holds for lines received from here until there, in Unix seconds.
	from, until int64
}

// move makes the cache that of another second of the same minute, if tail is one: no clock is put forward or back within
// a minute, so that its seconds follow each other everywhere.
func (c *bsdCache) move(tail uint64) bool {
	const seconds = 0xffff << 48 // "05" of "00:00:05"
	tens, ones := byte(tail>>48)-'0', byte(tail>>56)-'0'
	if (tail^c.tail)&^seconds != 0 || tens > 5 || ones > 9 {
		return false
	}
	apart := int64(tens)*10 + int64(ones) - int64(byte(c.tail>>48)-'0')*10 - int64(byte(c.tail>>56)-'0')
	c.t, c.tail = c.t.Add(time.Duration(apart)*time.Second), tail
	c.from, c.until = c.from+apart, c.until+apart
	return true
}

// bsdLength is that of "Nov  1 05:40:00".
const bsdLength = 15

// stands reports whether s begins with the timestamp that c has, and a space, and means the same by it.
func (c *bsdCache) stands(s []byte, received time.Time) bool {
	if len(s) <= bsdLength || binary.LittleEndian.Uint64(s) != c.head || binary.LittleEndian.Uint64(s[7:]) != c.tail || s[bsdLength] != ' ' {
		return false
	}
	now := received.Unix()
	return now >= c.from && now < c.until
}

// isoCache has the last "2006-01-02T15:04:05", as its 19 bytes and as a time in UTC.
type isoCache struct {
	head, mid uint64
	tail      uint32
	t         time.Time
}

const day = 24 * 60 * 60

// bsdTime reads a timestamp of RFC 3164 at the start of s and returns its length, 0 if there is none. The time is zero if
// it looks like one but no such time exists.
func (p *Parser) bsdTime(s []byte, received time.Time) (time.Time, int) {
	if len(s) < 14 {
		return time.Time{}, 0
	}
	if len(s) >= 15 {
		head, tail := binary.LittleEndian.Uint64(s), binary.LittleEndian.Uint64(s[7:])
		now := received.Unix()
		c := &p.bsd
		if head == c.head && (tail == c.tail || c.move(tail)) && now >= c.from && now < c.until {
			if len(s) == 15 || s[15] == ' ' {
				return c.t, 15
			}
			return finish(s, c.t, 15)
		}
	}
	return p.bsdTimeSlow(s, received)
}

func (p *Parser) bsdTimeSlow(s []byte, received time.Time) (time.Time, int) {
	mon := month(s)
	if mon == 0 || s[3] != ' ' {
		return time.Time{}, 0
	}
	dom, i := 0, 4
	if s[i] == ' ' {
		i++
	}
	for ; i < 6 && digit(s[i]); i++ {
		dom = dom*10 + int(s[i]-'0')
	}
	if dom == 0 || s[i] != ' ' {
		return time.Time{}, 0
	}
	i++
	year := 0
	if y, ok := number(s, i, 4); ok && len(s) > i+4 && s[i+4] == ' ' { // "Nov  1 2026 05:40:00"
		year = y
		i += 5
	}
	c, ok := clockAt(s, i)
	if !ok {
		return time.Time{}, 0
	}
	i += 8
	if year != 0 {
		return finish(s, date(year, mon, dom, c, p.loc), i)
	}
	t, until := p.inferYear(mon, dom, c, received)
	if i == 15 && !t.IsZero() {
		p.bsd = bsdCache{
			head: binary.LittleEndian.Uint64(s), tail: binary.LittleEndian.Uint64(s[7:]),
			t: t, from: t.Unix() - day, until: until,
		}
	}
	return finish(s, t, i)
}

// inferYear gives that month, day and clock the year of event.InYear, and says until when, in Unix seconds of receiving, it
// remains that. The time is zero if there is no such time in any year.
func (p *Parser) inferYear(mon, dom int, c clock, received time.Time) (t time.Time, until int64) {
	const leapYear = 2000
	shown := date(leapYear, mon, dom, c, time.UTC)
	if shown.IsZero() {
		return time.Time{}, 0
	}
	t, _ = event.InYear(shown, p.loc, received)
	// Two days less than the shortest year: before the next one becomes the latest, whatever the zone's clock does.
	return t, t.Unix() + 363*day
}

// finish reads the fraction behind a time that ends at i of s.
func finish(s []byte, t time.Time, i int) (time.Time, int) {
	nanos, n := fraction(s, i)
	if !endsStamp(s[i+n:]) {
		return time.Time{}, 0
	}
	if !t.IsZero() {
		t = t.Add(nanos)
	}
	return t, i + n
}

// isoTime reads a timestamp of RFC 3339 at the start of s and returns its length, 0 if there is none: with any number of
// digits in the fraction, and Z, +01:00, +0100, +01 or nothing for the zone.
func (p *Parser) isoTime(s []byte) (time.Time, int) {
	if len(s) < 19 {
		return time.Time{}, 0
	}
	head, mid, tail := binary.LittleEndian.Uint64(s), binary.LittleEndian.Uint64(s[8:]), binary.LittleEndian.Uint32(s[15:])
	c := &p.iso
	if head != c.head || mid != c.mid || tail != c.tail || c.tail == 0 {
		t, ok := isoSlow(s)
		if !ok {
			return time.Time{}, 0
		}
		if !t.IsZero() {
			t = t.In(p.loc)
		}
		*c = isoCache{head: head, mid: mid, tail: tail, t: t}
	}
	nanos, n := fraction(s, 19)
	offset, m, zoned := zone(s, 19+n)
	if c.t.IsZero() {
		return time.Time{}, 19 + n + m
	}
	if !zoned {
		u := c.t.UTC()
		return time.Date(u.Year(), u.Month(), u.Day(), u.Hour(), u.Minute(), u.Second(), int(nanos), p.loc), 19 + n
	}
	return c.t.Add(nanos - offset), 19 + n + m
}

// isoSlow reads "2006-01-02T15:04:05" as UTC.
func isoSlow(s []byte) (time.Time, bool) {
	year, ok1 := number(s, 0, 4)
	mon, ok2 := number(s, 5, 2)
	dom, ok3 := number(s, 8, 2)
	c, ok4 := clockAt(s, 11)
	if !ok1 || !ok2 || !ok3 || !ok4 || s[4] != '-' || s[7] != '-' || s[10] != 'T' && s[10] != 't' {
		return time.Time{}, false
	}
	return date(year, mon, dom, c, time.UTC), true
}

// clock is a time of day.
type clock struct{ hour, minute, second int }

// clockAt reads "15:04:05" at i of s.
func clockAt(s []byte, i int) (clock, bool) {
	if len(s) < i+8 || s[i+2] != ':' || s[i+5] != ':' {
		return clock{}, false
	}
	h, ok1 := number(s, i, 2)
	m, ok2 := number(s, i+3, 2)
	sec, ok3 := number(s, i+6, 2)
	return clock{h, m, sec}, ok1 && ok2 && ok3
}

// date is time.Date, but zero where there is no such time. A leap second is taken for the one behind it.
func date(year, mon, dom int, c clock, loc *time.Location) time.Time {
	if mon < 1 || mon > 12 || dom < 1 || c.hour > 23 || c.minute > 59 || c.second > 60 {
		return time.Time{}
	}
	if dom > 28 && dom > time.Date(year, time.Month(mon)+1, 0, 0, 0, 0, 0, time.UTC).Day() {
		return time.Time{}
	}
	return time.Date(year, time.Month(mon), dom, c.hour, c.minute, c.second, 0, loc)
}

// fraction reads ".123" at i of s and returns its length. A comma serves as well (ISO 8601). Digits behind the ninth are
// read and let go.
func fraction(s []byte, i int) (time.Duration, int) {
	if len(s) < i+2 || s[i] != '.' && s[i] != ',' || !digit(s[i+1]) {
		return 0, 0
	}
	nanos, unit, j := 0, 100_000_000, i+1
	for ; j < len(s) && digit(s[j]); j++ {
		nanos += int(s[j]-'0') * unit
		unit /= 10
	}
	return time.Duration(nanos), j - i
}

// zone reads a zone at i of s and returns its offset and its length.
func zone(s []byte, i int) (offset time.Duration, n int, ok bool) {
	if i >= len(s) {
		return 0, 0, false
	}
	switch s[i] {
	case 'Z', 'z':
		return 0, 1, true
	case '+', '-':
	default:
		return 0, 0, false
	}
	hours, ok := number(s, i+1, 2)
	if !ok {
		return 0, 0, false
	}
	n = 3
	colon := 0
	if len(s) > i+3 && s[i+3] == ':' {
		colon = 1
	}
	minutes, ok := number(s, i+3+colon, 2)
	if ok {
		n += colon + 2
	} else {
		minutes = 0
	}
	if hours > 23 || minutes > 59 {
		return 0, 0, false
	}
	offset = time.Duration(hours)*time.Hour + time.Duration(minutes)*time.Minute
	if s[i] == '-' {
		offset = -offset
	}
	return offset, n, true
}

// number reads n digits at i of s.
func number(s []byte, i, n int) (int, bool) {
	if len(s) < i+n {
		return 0, false
	}
	value := 0
	for _, c := range s[i : i+n] {
		if !digit(c) {
			return 0, false
		}
		value = value*10 + int(c-'0')
	}
	return value, true
}

// month reads the English name of a month, in any case, at the start of s; 0 if there is none.
func month(s []byte) int {
	switch uint32(s[0]|0x20)<<16 | uint32(s[1]|0x20)<<8 | uint32(s[2]|0x20) {
	case 'j'<<16 | 'a'<<8 | 'n':
		return 1
	case 'f'<<16 | 'e'<<8 | 'b':
		return 2
	case 'm'<<16 | 'a'<<8 | 'r':
		return 3
	case 'a'<<16 | 'p'<<8 | 'r':
		return 4
	case 'm'<<16 | 'a'<<8 | 'y':
		return 5
	case 'j'<<16 | 'u'<<8 | 'n':
		return 6
	case 'j'<<16 | 'u'<<8 | 'l':
		return 7
	case 'a'<<16 | 'u'<<8 | 'g':
		return 8
	case 's'<<16 | 'e'<<8 | 'p':
		return 9
	case 'o'<<16 | 'c'<<8 | 't':
		return 10
	case 'n'<<16 | 'o'<<8 | 'v':
		return 11
	case 'd'<<16 | 'e'<<8 | 'c':
		return 12
	default:
		return 0
	}
}
