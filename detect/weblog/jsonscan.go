package weblog

import (
	"encoding/binary"
	"fmt"
	"math/bits"
	"slices"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"tattled/detect/parse"
)

// Bounds of what is read of an object.
const (
	maxJSONDepth = 64  // objects and arrays within one another
	maxJSONPaths = 64  // wanted values
	maxJSONNodes = 128 // names on the way to them
	maxJSONKey   = 128 // bytes of such a name
)

// jsonTree has the paths to the wanted values. Node 0 is the object that the line is.
type jsonTree struct {
	nodes []jsonNode
	slots int
	peers []string // the last names of the places where the peer's address may be, if they are to be nowhere else
}

type jsonNode struct {
	key   string
	index int // in an array, -1 for a key that is no number
	kids  []int
	slot  int // of the value at this place, -1 if only something within it is wanted
}

func newJSONTree() jsonTree { return jsonTree{nodes: []jsonNode{{slot: -1}}} }

// add takes a path and returns the number of its value: "a.b[0]", with a backslash before a dot or bracket of a name.
func (t *jsonTree) add(path string) (slot int, err error) {
	keys, err := cutPath(path)
	if err != nil {
		return 0, err
	}
	at := 0
	for _, key := range keys {
		k := slices.IndexFunc(t.nodes[at].kids, func(k int) bool { return t.nodes[k].key == key })
		if k >= 0 {
			at = t.nodes[at].kids[k]
			continue
		}
		index, err := strconv.Atoi(key)
		if err != nil || strconv.Itoa(index) != key {
			index = -1
		}
		t.nodes[at].kids = append(t.nodes[at].kids, len(t.nodes))
		at = len(t.nodes)
		t.nodes = append(t.nodes, jsonNode{key: key, index: index, slot: -1})
	}
	if t.nodes[at].slot < 0 {
		t.nodes[at].slot = t.slots
		t.slots++
	}
	if t.slots > maxJSONPaths || len(t.nodes) > maxJSONNodes {
		return 0, fmt.Errorf("more than %d paths, or %d names in them", maxJSONPaths, maxJSONNodes)
	}
	return t.nodes[at].slot, nil
}

func cutPath(path string) (keys []string, err error) {
	var key strings.Builder
	bracket := false
	end := func() {
		keys = append(keys, key.String())
		key.Reset()
	}
	for i := 0; i < len(path); i++ {
		switch c := path[i]; {
		case c == '\\' && i+1 < len(path):
			i++
			key.WriteByte(path[i])
		case c == '.' && !bracket, c == '[' && !bracket:
			if i > 0 && path[i-1] != ']' {
				end()
			}
			bracket = c == '['
		case c == ']' && bracket:
			bracket = false
			end()
		default:
			key.WriteByte(c)
		}
	}
	if bracket {
		return nil, fmt.Errorf("a bracket of the path %q is never closed", path)
	}
	if path == "" || path[len(path)-1] != ']' {
		end()
	}
	for _, k := range keys {
		if k == "" || len(k) > maxJSONKey {
			return nil, fmt.Errorf("the path %q has a name that is empty or too long", path)
		}
	}
	return keys, nil
}

// jsonKind is what a value is.
type jsonKind uint8

const (
	jsonAbsent jsonKind = iota // also null
	jsonText
	jsonEscapedText // with a backslash in it
	jsonNumber
	jsonBool
	jsonObject
	jsonArray
)

// jsonValue is where a value stands in a line: a text without its quotes, anything else as it is.
type jsonValue struct {
	from, to int32
	kind     jsonKind
}

// jsonScan reads a line that is one object, by the grammar of RFC 8259, and notes the wanted values.
type jsonScan struct {
	tree   *jsonTree
	line   []byte
	at     int
	depth  int
	last   bool // of several values at one place, which no writer should write, take the last, not the first
	twice  bool // there are several values at one place
	shadow bool // a name of the peer's is at a place where it is not asked for
	seen   [maxJSONNodes / 64]uint64
	values [maxJSONPaths]jsonValue
}

// scan returns false for what is no object, or has one that is nested too deeply.
func (s *jsonScan) scan() bool {
	s.space()
	if s.at == len(s.line) || s.line[s.at] != '{' || !s.value(0) {
		return false
	}
	s.space()
	return s.at == len(s.line)
}

// ended reports whether a scan that failed did because the line was at its end, perhaps within an escape: all before that is good.
func (s *jsonScan) ended() bool {
	left := len(s.line) - s.at
	return left <= 0 || left < len(`\u0000`) && s.line[s.at] == '\\'
}

func (s *jsonScan) space() {
	for s.at < len(s.line) {
		switch s.line[s.at] {
		case ' ', '\t', '\n', '\r':
			s.at++
		default:
			return
		}
	}
}

// value reads the value that stands next, at a node of the tree, or at none (-1).
func (s *jsonScan) value(node int) bool {
	s.space()
	if s.at == len(s.line) {
		return false
	}
	v := jsonValue{from: int32(s.at)}
	ok := false
	switch c := s.line[s.at]; {
	case c == '"':
		v.kind, ok = s.text()
		v.from++
		v.to = int32(s.at) - 1
	case c == '{':
		v.kind, ok = jsonObject, s.object(node)
	case c == '[':
		v.kind, ok = jsonArray, s.array(node)
	case c == '-' || c-'0' <= 9:
		v.kind, ok = jsonNumber, s.number()
	case c == 't':
		v.kind, ok = jsonBool, s.word("true")
	case c == 'f':
		v.kind, ok = jsonBool, s.word("false")
	case c == 'n':
		ok = s.word("null")
	}
	if !ok || node < 0 {
		return ok
	}
	if v.kind != jsonText && v.kind != jsonEscapedText {
		v.to = int32(s.at)
	}
	bit := uint64(1) << (node % 64)
	again := s.seen[node/64]&bit != 0
	s.seen[node/64] |= bit
	s.twice = s.twice || again
	if slot := s.tree.nodes[node].slot; slot >= 0 && (!again || s.last) {
		s.values[slot] = v
	}
	return true
}

func (s *jsonScan) word(w string) bool {
	if !parse.HasPrefix(s.line[s.at:], w) {
		return false
	}
	s.at += len(w)
	return true
}

// open goes into an object or array; more is false if it is empty, and was left already.
func (s *jsonScan) open(end byte) (more, ok bool) {
	s.at++
	if s.depth++; s.depth > maxJSONDepth {
		return false, false
	}
	s.space()
	if s.at < len(s.line) && s.line[s.at] == end {
		s.at++
		s.depth--
		return false, true
	}
	return true, true
}

// next goes behind a comma, or out of an object or array.
func (s *jsonScan) next(end byte) (more, ok bool) {
	s.space()
	if s.at == len(s.line) {
		return false, false
	}
	s.at++
	switch s.line[s.at-1] {
	case ',':
		return true, true
	case end:
		s.depth--
		return false, true
	}
	return false, false
}

func (s *jsonScan) object(node int) bool {
	more, ok := s.open('}')
	for more && ok {
		s.space()
		from := s.at + 1
		if s.at == len(s.line) || s.line[s.at] != '"' {
			return false
		}
		kind, good := s.text()
		if !good {
			return false
		}
		kid := -1
		if node >= 0 {
			kid = s.tree.kid(node, s.line[from:s.at-1], kind)
		}
		if kid < 0 && s.tree.isPeer(s.line[from:s.at-1]) {
			s.shadow = true
		}
		if s.space(); s.at == len(s.line) || s.line[s.at] != ':' {
			return false
		}
		s.at++
		if !s.nothing() && !s.value(kid) {
			return false
		}
		more, ok = s.next('}')
	}
	return ok
}

// nothing goes behind what nginx writes for a value that there is not, where its form has no quotes around it: a hyphen with
// escape=default, and nothing with escape=json.
func (s *jsonScan) nothing() bool {
	s.space()
	at := s.at
	if at < len(s.line) && s.line[at] == '-' {
		at++
	}
	if at == len(s.line) || s.line[at] != ',' && s.line[at] != '}' {
		return false
	}
	s.at = at
	return true
}

func (s *jsonScan) array(node int) bool {
	more, ok := s.open(']')
	for i := 0; more && ok; i++ {
		kid := -1
		if node >= 0 {
			for _, k := range s.tree.nodes[node].kids {
				if s.tree.nodes[k].index == i {
					kid = k
				}
			}
		}
		if !s.value(kid) {
			return false
		}
		more, ok = s.next(']')
	}
	return ok
}

// kid returns the node below node that has a key, -1 for none.
func (t *jsonTree) kid(node int, key []byte, kind jsonKind) int {
	if kind == jsonEscapedText {
		return t.escapedKid(node, key)
	}
	for _, k := range t.nodes[node].kids {
		if t.nodes[k].key == string(key) {
			return k
		}
	}
	return -1
}

// isPeer reports whether a name is one under which the peer's address is somewhere.
func (t *jsonTree) isPeer(key []byte) bool {
	for _, p := range t.peers {
		if p == string(key) {
			return true
		}
	}
	return false
}

func (t *jsonTree) escapedKid(node int, key []byte) int {
	var room [len(`\u0000`) * maxJSONKey]byte
	if len(key) > len(room) {
		return -1
	}
	return t.kid(node, unescapeJSON(room[:copy(room[:], key)]), jsonText)
}

// text reads a text from its first quote to behind its last.
func (s *jsonScan) text() (kind jsonKind, ok bool) {
	const ones, highs = 0x0101010101010101, 0x8080808080808080
	kind = jsonText
	s.at++
	for {
		for s.at+8 <= len(s.line) { // eight bytes at a time, as long as none of them is special
			x := binary.LittleEndian.Uint64(s.line[s.at:])
			quote, slash := x^'"'*ones, x^'\\'*ones
			special := ((x - ' '*ones) &^ x) | ((quote - ones) &^ quote) | ((slash - ones) &^ slash)
			if special &= highs; special != 0 {
				s.at += bits.TrailingZeros64(special) / 8
				break
			}
			s.at += 8
		}
		if s.at == len(s.line) {
			return kind, false
		}
		switch c := s.line[s.at]; {
		case c == '"':
			s.at++
			return kind, true
		case c == '\\':
			kind = jsonEscapedText
			if !s.escape() {
				return kind, false
			}
		case c < ' ':
			return kind, false
		default:
			s.at++
		}
	}
}

func (s *jsonScan) escape() bool {
	rest := s.line[s.at+1:]
	switch {
	case len(rest) == 0:
		return false
	case strings.IndexByte(`"\/bfnrt`, rest[0]) >= 0:
		s.at += 2
		return true
	case len(rest) >= len("x22") && rest[0] == 'x' && hexDigit(rest[1]) < 16 && hexDigit(rest[2]) < 16:
		s.at += len(`\x22`) // as nginx writes a quote in a log_format without escape=json
		return true
	}
	_, ok := hexFour(rest)
	s.at += len(`\u0000`)
	return ok
}

// hexFour reads u and four hexadecimal digits.
func hexFour(b []byte) (r rune, ok bool) {
	if len(b) < len("u0000") || b[0] != 'u' {
		return 0, false
	}
	for _, c := range b[1:5] {
		d := hexDigit(c)
		if d > 15 {
			return 0, false
		}
		r = r<<4 | rune(d)
	}
	return r, true
}

func (s *jsonScan) digits() (some bool) {
	for s.at < len(s.line) && s.line[s.at]-'0' <= 9 {
		s.at++
		some = true
	}
	return some
}

func (s *jsonScan) number() bool {
	is := func(low byte) bool { return s.at < len(s.line) && s.line[s.at]|0x20 == low }
	if s.line[s.at] == '-' {
		s.at++
	}
	if s.at < len(s.line) && s.line[s.at] == '0' {
		s.at++
	} else if !s.digits() {
		return false
	}
	if s.at < len(s.line) && s.line[s.at] == '.' {
		if s.at++; !s.digits() {
			return false
		}
	}
	if is('e') {
		s.at++
		if s.at < len(s.line) && (s.line[s.at] == '+' || s.line[s.at] == '-') {
			s.at++
		}
		return s.digits()
	}
	return true
}

// unescapeJSON undoes in place the escapes of a text that was read. Half of a surrogate pair becomes U+FFFD.
func unescapeJSON(b []byte) []byte {
	to := 0
	for i := 0; i < len(b); i++ {
		if b[i] != '\\' || i+1 == len(b) {
			b[to] = b[i]
			to++
			continue
		}
		i++
		if k := strings.IndexByte("bfnrt", b[i]); k >= 0 {
			b[to] = "\b\f\n\r\t"[k]
			to++
			continue
		}
		if b[i] == 'x' && i+2 < len(b) && hexDigit(b[i+1]) < 16 && hexDigit(b[i+2]) < 16 {
			b[to] = hexDigit(b[i+1])<<4 | hexDigit(b[i+2])
			to++
			i += 2
			continue
		}
		r, ok := hexFour(b[i:])
		if !ok { // \" \\ \/, or the text was cut here
			b[to] = b[i]
			to++
			continue
		}
		i += len("0000")
		if utf16.IsSurrogate(r) {
			low := rune(utf8.RuneError)
			if i+2 < len(b) && b[i+1] == '\\' {
				if second, ok := hexFour(b[i+2:]); ok {
					low = second
				}
			}
			if r = utf16.DecodeRune(r, low); r != utf8.RuneError {
				i += len(`\u0000`)
			}
		}
		to += utf8.EncodeRune(b[to:], r)
	}
	return b[:to]
}
