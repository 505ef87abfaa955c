package packet

import (
	"bytes"
	"encoding/binary"
	"math/bits"
	"sync/atomic"

	"tattled/detect/parse"
)

// prefixes remembers what log prefixes mean. An operator has a few of them, and each packet's line begins with one. What is
// remembered once stays, and no more than seenSlots, so that a stranger who has many written gains nothing by it.
type prefixes [seenSlots]atomic.Pointer[prefix]

const seenSlots = 64

// prefix is what the words before a packet's first field say.
type prefix struct {
	words    string
	meaning  meaning
	refused  bool // they are no prefix
	doubtful bool // they are one only if nothing but fields follows
}

// get returns what words mean.
func (p *prefixes) get(words []byte, verdicts *verdictWords) prefix {
	slot := &p[prefixSlot(words)]
	seen := slot.Load()
	if seen != nil && seen.words == string(words) {
		return *seen
	}
	doubtful, ok := prefixLike(words)
	one := prefix{meaning: verdicts.meaning(words), refused: !ok, doubtful: doubtful}
	if seen == nil && len(words) <= longestWords {
		kept := one
		kept.words = string(words)
		slot.CompareAndSwap(nil, &kept)
	}
	return one
}

// prefixSlot is a hash of how long words are and of what they begin and end with.
func prefixSlot(words []byte) uint {
	n := uint64(len(words))
	if len(words) < 8 {
		for _, c := range words {
			n = n*31 + uint64(c)
		}
	} else {
		n += binary.LittleEndian.Uint64(words) ^ bits.RotateLeft64(binary.LittleEndian.Uint64(words[len(words)-8:]), 32)
	}
	return uint(n * 0x9e3779b97f4a7c15 >> (64 - 6))
}

// space returns where the first space is in m, at i or behind; the length of m if there is none.
func space(m []byte, i int) int {
	const each, high = 0x0101010101010101, 0x8080808080808080
	for ; i+8 <= len(m); i += 8 {
		w := binary.LittleEndian.Uint64(m[i:]) ^ ' '*each
		if found := (w - each) &^ w & high; found != 0 { // its lowest bit is in the first byte that is 0
			return i + bits.TrailingZeros64(found)/8
		}
	}
	for i < len(m) && m[i] != ' ' {
		i++
	}
	return i
}

// index returns where a text is that begins with a byte which few words before it have; negative without it.
func index(m []byte, text string) int {
	for at := 0; ; at++ {
		i := bytes.IndexByte(m[at:], text[0])
		if i < 0 {
			return -1
		}
		if at += i; parse.HasPrefix(m[at:], text) {
			return at
		}
	}
}
