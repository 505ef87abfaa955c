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

// usual reads what nearly all records have behind their timestamp, "host tag[123]: message" or "host tag: message", as
// origin does. It returns false, and has done nothing, if it is in any doubt.
func usual(s []byte, r *receiver.Record) bool {
	space, found := 0, uint64(0)
	for ; space+8 <= len(s); space += 8 {
		if found = zeroes(binary.LittleEndian.Uint64(s[space:]) ^ ' '*each); found != 0 {
			break
		}
	}
	space += bits.TrailingZeros64(found) / 8
	if found == 0 || space == 0 || s[space-1] == ':' {
		return false
	}
	tag, end := space+1, space+1
	for found = 0; end+8 <= len(s); end += 8 {
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
		w := binary.LittleEndian.Uint64(s[end+1:]) ^ '0'*each // digits are now 0 to 9
		n := bits.TrailingZeros64((w&^high+(0x80-10)*each|w)&high) / 8
		if text = end + 1 + n + 1; n == 0 || n == 8 || s[text-1] != ']' {
			return false
		}
		pid = s[end+1 : text-1]
	}
	if text+2 > len(s) || s[text] != ':' || s[text+1] != ' ' {
		return false
	}
	r.Host, r.Program, r.PID = s[:space], s[tag:end], pid
	message(s[text+2:], r)
	return true
}
