package wire

import (
	"bytes"
	"encoding/binary"
	"unicode"
	"unicode/utf8"
)

// Unit is what the counts of a stream count, as far as it has shown.
type Unit uint8

// The units.
const (
	AnyUnit    Unit = iota // no counted frame had anything but ASCII
	Bytes                  // as RFC 6587 wants it
	Characters             // of UTF-8: the sender took the length of a string
)

// Unit returns what the stream counts.
func (f *Framer) Unit() Unit { return f.unit }

// SetUnit makes f go on as one whose stream has shown to count u.
func (f *Framer) SetUnit(u Unit) { f.unit = u }

// extent returns where a counted frame that has count bytes in buf ends, and where the next one begins. Most end after count bytes.
//
// A count of characters is too low if some are not ASCII. The first such frame of a stream shows what its sender counts: if the next
// frame follows it, that is bytes. If not, it is taken to be characters, as long as the frame ends there and with a line end. Where that is
// depends on the count alone, and not on where somebody who has text in the frame put a line end or what looks like the next
// frame: either of them within it, and the stream is Lost. So is one with an error of another kind, which would have such a frame reach
// into the next, whose author may be another. See TestCharactersGiveNoFrame.
func (f *Framer) extent(buf []byte, count int, eof bool) (end, next int, s State) {
	if f.unit == Bytes || f.lines || f.unit == AnyUnit && ascii(buf[:count]) {
		return count, count, Frame
	}
	if f.unit == AnyUnit {
		switch f.starts(buf[count:], eof) {
		case Frame:
			f.unit = Bytes
			return count, count, Frame
		case Held:
			return 0, 0, Held
		}
	}
	end, next, s = characters(buf, count, f.Max)
	switch {
	case s == Frame:
		f.unit = Characters
	case s == More && eof:
		s = Lost
	}
	return end, next, s
}

// starts reports whether rest, which follows a counted frame, begins as another one or with a line end, or is the end of the
// stream: Frame if so, Lost if not. Held says that too little is there to know.
func (f *Framer) starts(rest []byte, eof bool) State {
	if len(rest) == 0 {
		if eof {
			return Frame
		}
		return Held
	}
	yes, undecided := rest[0] == 0, false
	if rest[0] > '0' && rest[0] <= '9' {
		var head int
		head, _, undecided = f.count(rest)
		yes = head > 0
	} else if !yes {
		yes, undecided = lineEnds(rest)
	}
	switch {
	case yes:
		return Frame
	case undecided && !eof:
		return Held
	default:
		return Lost
	}
}

// characters finds the end of count characters of UTF-8 in buf. A line end must follow them or be the last of them.
func characters(buf []byte, count, limit int) (end, next int, s State) {
	for range count {
		switch {
		case end >= len(buf):
			return 0, 0, More
		case buf[end] < utf8.RuneSelf:
			end++
		case !utf8.FullRune(buf[end:]):
			return 0, 0, More
		default:
			r, size := utf8.DecodeRune(buf[end:])
			if size == 1 || !countsOnce(r) {
				return 0, 0, Lost
			}
			end += size
		}
		if end > limit {
			return 0, 0, Lost
		}
	}
	next = end
	if buf[end-1] == '\n' {
		end--
	} else {
		if end == len(buf) {
			return 0, 0, More
		}
		ends, undecided := lineEnds(buf[end:])
		switch {
		case undecided:
			return 0, 0, More
		case !ends:
			return 0, 0, Lost
		}
		next += 1 + bytes.IndexByte(buf[end:], '\n')
	}
	if !oneFrame(buf[:end]) {
		return 0, 0, Lost
	}
	return end, next, Frame
}

// countsOnce reports whether r is one character to everybody who counts characters: not two of UTF-16, nor a part of what a
// reader sees as one.
func countsOnce(r rune) bool {
	jamo := r >= 0x1100 && r < 0x1200 || r >= 0xa960 && r < 0xa980 || r >= 0xd7b0 && r < 0xd800
	return r <= 0xffff && !jamo && !unicode.In(r, unicode.M, unicode.Cf)
}

// oneFrame reports whether nothing in buf after its "<" could be where another message begins: a line end, a priority, or a
// count and a "<".
func oneFrame(buf []byte) bool {
	for i, c := range buf {
		switch {
		case c == '\n':
			return false
		case c != '<' || i == 0:
		case i+1 < len(buf) && digit(buf[i+1]), i > 1 && buf[i-1] == ' ' && digit(buf[i-2]):
			return false
		}
	}
	return true
}

// ascii reports whether buf is ASCII.
func ascii(buf []byte) bool {
	for ; len(buf) >= 8; buf = buf[8:] {
		if binary.NativeEndian.Uint64(buf)&0x8080808080808080 != 0 {
			return false
		}
	}
	for _, c := range buf {
		if c >= utf8.RuneSelf {
			return false
		}
	}
	return true
}
