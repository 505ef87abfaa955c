package wire

import (
	"encoding/binary"
	"math/bits"

	"tattled/receiver"
)

// The words of a header are short and of any length, which is what loops over bytes are slowest at: the processor guesses
// where they end, and guesses wrong. So eight bytes are looked at at once.
const (
	each = 0x0101010101010101 // times a byte: eight of it
	high = 0x8080808080808080
)

// zeroes tells where w has bytes that are 0: it has the high bit of the first of them as its lowest set bit, and is 0 if
// there is none (S. E. Anderson, "Bit Twiddling Hacks": determine if a word has a zero byte).
func zeroes(w uint64) uint64 { return (w - each) &^ w & high }

// digits8 returns how many decimal digits w begins with, of the eight bytes that were read as a number from memory.
func digits8(w uint64) int {
	w ^= '0' * each // digits are now 0 to 9
	return bits.TrailingZeros64((w&^high+(0x80-10)*each|w)&high) / 8
}

// hostCache has the last host and the space behind it, as two numbers and what they have of it.
type hostCache struct {
	front, back         uint64
	frontMask, backMask uint64
	length              int // of the host; 0 if there is none
}

// end returns where the first word of s ends, which a space must follow; negative if that is not among the whole eights of
// bytes of s.
func (h *hostCache) end(s []byte) int {
	if len(s) >= 16 && h.length > 0 && (binary.LittleEndian.Uint64(s)^h.front)&h.frontMask|(binary.LittleEndian.Uint64(s[8:])^h.back)&h.backMask == 0 {
		return h.length
	}
	for i := 0; i+8 <= len(s); i += 8 {
		found := zeroes(binary.LittleEndian.Uint64(s[i:]) ^ ' '*each)
		if found == 0 {
			continue
		}
		i += bits.TrailingZeros64(found) / 8
		h.keep(s, i)
		return i
	}
	return -1
}

func (h *hostCache) keep(s []byte, length int) {
	if len(s) < 16 || length >= 16 {
		return
	}
	h.frontMask = uint64(1)<<(8*min(8, length+1)) - 1 // a shift by 64 gives 0, and one less than that is all bits
	h.backMask = uint64(1)<<(8*max(0, length-7)) - 1
	h.front, h.back, h.length = binary.LittleEndian.Uint64(s)&h.frontMask, binary.LittleEndian.Uint64(s[8:])&h.backMask, length
}

// usual reads what nearly all records have behind their timestamp, "host tag[123]: message" or "host tag: message", as
// origin does. It returns false, and has done nothing, if it is in any doubt.
func (p *Parser) usual(s []byte, r *receiver.Record) bool {
	space := p.host.end(s)
	if space <= 0 || s[space-1] == ':' {
		return false
	}
	tag, end, found := space+1, space+1, uint64(0)
	for ; end+8 <= len(s); end += 8 {
		w := binary.LittleEndian.Uint64(s[end:])
		if found = zeroes(w^':'*each) | zeroes(w^'['*each) | zeroes(w^' '*each); found != 0 {
			break
		}
	}
	end += bits.TrailingZeros64(found) / 8
	if found == 0 || end == tag || end+len("[1234567") >= len(s) {
		return false
	}
	var pid []byte
	text := end
	if s[end] == '[' {
		n := digits8(binary.LittleEndian.Uint64(s[end+1:]))
		if text = end + 1 + n + 1; n == 0 || n == 8 || s[text-1] != ']' {
			return false
		}
		pid = s[end+1 : text-1]
	}
	if text+2 > len(s) || s[text] != ':' || s[text+1] != ' ' {
		return false
	}
	r.Host, r.Program, r.PID = s[:space], s[tag:end], pid
	if rest := s[text+2:]; len(rest) > 0 && (rest[0] == '[' || rest[0] == 0xEF) {
		message(rest, r)
	} else {
		r.Message = rest
	}
	return true
}
