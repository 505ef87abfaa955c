package weblog

import (
	"bytes"
	"encoding/binary"
	"strings"

	"tattled/detect/parse"
)

// globs are the texts with stars that one field is compared with, of all rules of a service. Most fields of most lines
// fit none; that is found out without reading the field as a whole: a glob must begin with its first text, or end with its
// last, or contain another, and four bytes of each are looked up.
type globs struct {
	all          []glob
	heads, tails edges
	inner        innerTexts
	short        []int // globs without a text of four bytes
}

// glob is a text in lower case, cut at its stars, and who asks for it.
type glob struct {
	parts  []string // without a star there is one
	where  ruleSet  // rules that ask for it
	not    ruleSet  // rules that rule it out
	family globFamily
	text   string // of the family: what it begins with, ends with or contains
}

type globFamily uint8

const (
	globShort globFamily = iota
	globHead
	globTail
	globInner
)

// edges finds globs by the first four bytes that they begin with, or by the last four that they end with, and then by the
// four at the other end of that text: a hundred of them often have the same first ones.
type edges struct {
	some gramSet
	all  map[uint32][]edge
}

type edge struct {
	gram   uint32 // at the other end
	length int32
	number int32 // of the glob
	whole  bool  // the glob has no star: the text is all of it
}

func (e *edges) add(gram uint32, one edge) {
	e.some.add(gram)
	e.all[gram] = append(e.all[gram], one)
}

// gramSize is how many bytes are looked up at once.
const gramSize = 4

// gramSet is a set of four bytes by their hash, with letters in either case.
type gramSet [64]uint64

func foldedGram(b []byte) uint32 { return binary.LittleEndian.Uint32(b) | 0x20202020 }

func gramBit(gram uint32) (word, bit uint32) {
	h := gram * 0x9e3779b1 >> (32 - 12)
	return h / 64, h % 64
}

func (s *gramSet) add(gram uint32) {
	word, bit := gramBit(gram)
	s[word] |= 1 << bit
}

func (s *gramSet) has(gram uint32) bool {
	word, bit := gramBit(gram)
	return s[word]&(1<<bit) != 0
}

// of reports whether a rule of set asks for the glob, or rules it out.
func (g *glob) of(set *ruleSet) bool { return g.where.meets(set) || g.not.meets(set) }

// newGlob cuts a text at its stars.
func newGlob(text string) glob {
	g := glob{parts: strings.Split(lowerASCII(text), "*")}
	last := len(g.parts) - 1
	switch {
	case len(g.parts[0]) >= gramSize:
		g.family, g.text = globHead, g.parts[0]
	case len(g.parts[last]) >= gramSize:
		g.family, g.text = globTail, g.parts[last]
	default:
		for _, p := range g.parts {
			if len(p) >= gramSize && len(p) > len(g.text) {
				g.family, g.text = globInner, p
			}
		}
	}
	return g
}

// lowerASCII leaves alone what is not ASCII: bytes of a path need not be UTF-8.
func lowerASCII(text string) string {
	b := []byte(text)
	foldASCII(b)
	return string(b)
}

func foldASCII(b []byte) {
	for i, c := range b {
		if c-'A' < 26 {
			b[i] = c | 0x20
		}
	}
}

// newGlobs makes a matcher of globs of which each is there once.
func newGlobs(all []glob) *globs {
	s := &globs{all: all, heads: edges{all: map[uint32][]edge{}}, tails: edges{all: map[uint32][]edge{}}}
	for i := range all {
		text := []byte(all[i].text)
		one := edge{length: int32(len(text)), number: int32(i), whole: len(all[i].parts) == 1}
		switch all[i].family {
		case globHead:
			one.gram = foldedGram(text[len(text)-gramSize:])
			s.heads.add(foldedGram(text), one)
		case globTail:
			one.gram = foldedGram(text)
			s.tails.add(foldedGram(text[len(text)-gramSize:]), one)
		case globShort:
			s.short = append(s.short, i)
		}
	}
	s.inner = newInnerTexts(all)
	return s
}

// mayFit is false for a text that surely fits no glob that a rule of set asks for or rules out. The text may have letters in
// either case.
func (s *globs) mayFit(text []byte, set *ruleSet) bool {
	if len(text) >= gramSize && (s.headFrom(text, 0, set) >= 0 || s.tailFrom(text, 0, set) >= 0 || s.mayHaveInner(text, set)) {
		return true
	}
	for _, i := range s.short {
		if g := &s.all[i]; g.of(set) && g.mayFitShort(text) {
			return true
		}
	}
	return false
}

// headFrom returns the first place from k on, among the globs that begin with what the text begins with, of one that may
// fit it; -1 if there is none. The text has four bytes.
func (s *globs) headFrom(text []byte, k int, set *ruleSet) int {
	gram := foldedGram(text)
	if !s.heads.some.has(gram) {
		return -1
	}
	all := s.heads.all[gram]
	for ; k < len(all); k++ {
		if n := int(all[k].length); n <= len(text) && foldedGram(text[n-gramSize:]) == all[k].gram && (!all[k].whole || n == len(text)) && s.all[all[k].number].of(set) {
			return k
		}
	}
	return -1
}

// tailFrom is headFrom for the end of a text.
func (s *globs) tailFrom(text []byte, k int, set *ruleSet) int {
	gram := foldedGram(text[len(text)-gramSize:])
	if !s.tails.some.has(gram) {
		return -1
	}
	all := s.tails.all[gram]
	for ; k < len(all); k++ {
		if n := int(all[k].length); n <= len(text) && foldedGram(text[len(text)-n:]) == all[k].gram && s.all[all[k].number].of(set) {
			return k
		}
	}
	return -1
}

// mayFitShort is mayFit of a glob whose texts are all short.
func (g *glob) mayFitShort(text []byte) bool {
	first, last := g.parts[0], g.parts[len(g.parts)-1]
	if len(g.parts) == 1 && len(text) != len(first) || len(text) < len(first)+len(last) && len(g.parts) > 1 {
		return false
	}
	return (first == "" || text[0]|0x20 == first[0]|0x20) && (last == "" || text[len(text)-1]|0x20 == last[len(last)-1]|0x20)
}

// match adds to where and not the rules of every glob that the text, in lower case, fits, as far as they matter to set.
func (s *globs) match(text []byte, set, where, not *ruleSet) {
	add := func(i int) {
		if g := &s.all[i]; g.of(set) && g.fits(text) {
			where.add(&g.where)
			not.add(&g.not)
		}
	}
	for _, i := range s.short {
		add(i)
	}
	if len(text) < gramSize {
		return
	}
	for k := s.headFrom(text, 0, set); k >= 0; k = s.headFrom(text, k+1, set) {
		add(int(s.heads.all[foldedGram(text)][k].number))
	}
	for k := s.tailFrom(text, 0, set); k >= 0; k = s.tailFrom(text, k+1, set) {
		add(int(s.tails.all[foldedGram(text[len(text)-gramSize:])][k].number))
	}
	if len(s.inner.all) > 0 {
		s.matchInner(text, add)
	}
}

// matchInner adds the globs that have a text of theirs anywhere, each once.
func (s *globs) matchInner(text []byte, add func(number int)) {
	var tried [maxGlobs / 64]uint64
	for at := s.inner.next(text, 0); at >= 0; at = s.inner.next(text, at+1) {
		all := s.inner.all[foldedGram(text[at:])]
		for i := range all {
			one := &all[i]
			if n := one.number; s.inner.ends(one, text, at) && tried[n/64]&(1<<(n%64)) == 0 {
				tried[n/64] |= 1 << (n % 64)
				add(int(n))
			}
		}
	}
}

// fits reports whether the text, in lower case, is what the glob says. Each text of the glob is taken as early as it goes,
// which is enough for all of them.
func (g *glob) fits(text []byte) bool {
	last := len(g.parts) - 1
	if last == 0 {
		return string(text) == g.parts[0]
	}
	if len(text) < len(g.parts[0])+len(g.parts[last]) || !parse.HasPrefix(text, g.parts[0]) || !parse.HasSuffix(text, g.parts[last]) {
		return false
	}
	text = text[len(g.parts[0]) : len(text)-len(g.parts[last])]
	for _, p := range g.parts[1:last] {
		at := bytes.Index(text, []byte(p))
		if at < 0 {
			return false
		}
		text = text[at+len(p):]
	}
	return true
}

// innerTexts finds the texts that globs must contain, all in one pass, by four of their bytes and then by their last four.
// Where all of them are long it looks at few bytes (after Wu and Manber, as ngrams does): window is how many bytes of each
// are known, as many as the shortest has, and the four are the last of these.
type innerTexts struct {
	edges
	window int
	shift  [1 << 12]uint8 // by the hash of four bytes: how far away the next four may be
}

// maxInnerWindow bounds the window, in bytes.
const maxInnerWindow = 32

// longWindow is from where on looking at few bytes is faster than looking at all, which need not wait for one another.
const longWindow = 10

func innerSlot(gram uint32) uint32 { return gram * 0x9e3779b1 >> (32 - 12) }

func newInnerTexts(all []glob) innerTexts {
	t := innerTexts{window: maxInnerWindow, edges: edges{all: map[uint32][]edge{}}}
	for i := range all {
		if all[i].family == globInner {
			t.window = min(t.window, len(all[i].text))
		}
	}
	for i := range t.shift {
		t.shift[i] = uint8(t.window - gramSize + 1)
	}
	for i := range all {
		if all[i].family != globInner {
			continue
		}
		text := []byte(all[i].text)
		for k := 0; k+gramSize <= t.window; k++ {
			slot := innerSlot(foldedGram(text[k:]))
			t.shift[slot] = min(t.shift[slot], uint8(t.window-gramSize-k))
		}
		t.add(foldedGram(text[t.window-gramSize:]), edge{gram: foldedGram(text[len(text)-gramSize:]), length: int32(len(text)), number: int32(i)})
	}
	return t
}

// next returns the first place from at on where the last four bytes of a window may stand, -1 if there is none.
func (t *innerTexts) next(text []byte, at int) int {
	at = max(at, t.window-gramSize)
	if t.window < longWindow {
		for ; at+8 <= len(text); at += 5 { // five places at once
			x := binary.LittleEndian.Uint64(text[at:]) | 0x2020202020202020
			if t.some.has(uint32(x)) || t.some.has(uint32(x>>8)) || t.some.has(uint32(x>>16)) || t.some.has(uint32(x>>24)) || t.some.has(uint32(x>>32)) {
				break
			}
		}
		for ; at+gramSize <= len(text); at++ {
			if t.some.has(foldedGram(text[at:])) {
				return at
			}
		}
		return -1
	}
	for at+gramSize <= len(text) {
		skip := t.shift[innerSlot(foldedGram(text[at:]))]
		if skip == 0 {
			return at
		}
		at += int(skip)
	}
	return -1
}

// ends reports whether a text whose window may end at text[at:] has its last bytes where they belong.
func (t *innerTexts) ends(one *edge, text []byte, at int) bool {
	end := at - (t.window - gramSize) + int(one.length)
	return end <= len(text) && foldedGram(text[end-gramSize:]) == one.gram
}

// mayHaveInner is mayFit for the texts that may stand anywhere.
func (s *globs) mayHaveInner(text []byte, set *ruleSet) bool {
	if len(s.inner.all) == 0 {
		return false
	}
	for at := s.inner.next(text, 0); at >= 0; at = s.inner.next(text, at+1) {
		all := s.inner.all[foldedGram(text[at:])]
		for i := range all {
			if s.inner.ends(&all[i], text, at) && s.all[all[i].number].of(set) {
				return true
			}
		}
	}
	return false
}
