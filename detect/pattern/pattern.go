// Package pattern reads messages by the patterns and expressions of rules. A pattern is fixed text and fields; compiled, it is a
// Variant for each way to write out its alternatives, and an Index finds, among all variants that may be of a message, those whose
// fixed text it has. Fields that a peer can fill hold any bytes, so every way to read a message counts: two ways that name different
// peers make it ambiguous. Matching is linear in the message and allocates nothing. Write, Reach and Variant.Covers give what the
// patterns say to those who try them: the adversary, explain, and the check for covers. What a service or a rule is, this
// package does not know: it gets an Owner and a Frame.
package pattern

import (
	"fmt"
	"strings"
)

// Field is a hole in a pattern.
type Field uint8

// The fields, as patterns name them.
const (
	Literal Field = iota // no hole: fixed text
	IP                   // the peer's address; exactly one in a pattern
	IPPort               // the same with the peer's port behind it
	Port                 // the peer's port
	LocalPort
	Int   // decimal digits
	Host  // a name or an address that is not the peer's
	Word  // no white space and no control character
	Maybe // the same, or nothing
	User  // anything, also nothing: the account as the peer wrote it
	Any   // anything, also nothing
)

// fieldNames are the names that a pattern may use. Several names for one thing make patterns readable.
var fieldNames = map[string]Field{
	"ip": IP, "ip:port": IPPort, "port": Port, "local_port": LocalPort, "int": Int, "host": Host,
	"word": Word, "word?": Maybe, "method": Word, "user": User, "any": Any,
}

// Wide fields hold any bytes, so an attacker may write into them whatever stands elsewhere in the pattern.
func (f Field) Wide() bool { return f >= User }

// class is the set of bytes that a narrow field may hold, as a bit of classes.
func (f Field) class() uint8 {
	switch f {
	case Port, LocalPort, Int:
		return classDigit
	case IP, Host:
		return classHost
	case IPPort:
		return classPeer
	default:
		return classWord
	}
}

// Longest is how many bytes a narrow field may hold. The bounds keep a search linear that tries a field at many places.
func (f Field) Longest() int {
	switch f {
	case Port, LocalPort:
		return 5
	case Int:
		return 20
	case IP, IPPort, Host:
		return 256
	default:
		return 512
	}
}

// name is the field as a pattern writes it.
func (f Field) name() string {
	switch f {
	case IP:
		return "<ip>"
	case IPPort:
		return "<ip:port>"
	case Port:
		return "<port>"
	case LocalPort:
		return "<local_port>"
	case User:
		return "<user>"
	case Any:
		return "<any>"
	case Maybe:
		return "<word?>"
	case Int:
		return "<int>"
	case Host:
		return "<host>"
	default:
		return "<word>"
	}
}

// Holds reports whether a narrow field may hold a byte.
func (f Field) Holds(c byte) bool { return classes[c]&f.class() != 0 }

// Digits reports whether a narrow field is a number.
func (f Field) Digits() bool { return f.class() == classDigit }

const (
	classDigit uint8 = 1 << iota
	classHost
	classWord
	classPeer
)

// classes tells for each byte which narrow fields may hold it. The class of an address is much wider than addresses are:
// whatever stands there unbroken is one thing, and if it is no address, the line is refused rather than read otherwise.
var classes = func() (t [256]uint8) {
	for c := 0x21; c < 256; c++ {
		if c == 0x7f {
			continue
		}
		t[c] = classWord
		if !strings.ContainsRune("[](){}<>,;\"'`/#=|@&?!\\$", rune(c)) {
			t[c] |= classHost | classPeer
		}
		if c == '[' || c == ']' {
			t[c] |= classPeer
		}
		if '0' <= c && c <= '9' {
			t[c] |= classDigit
		}
	}
	return t
}()

// Item is fixed text or a field.
type Item struct {
	Field Field
	Text  string // of a literal
}

const (
	maxPattern  = 1024 // bytes
	maxVariants = 64   // ways to write out the alternatives of one pattern
)

// expand writes out a pattern's alternatives: "a{b|c|}d" gives abd, acd and ad, in this order.
func expand(pattern string) ([][]Item, error) {
	w, err := parsePattern(pattern)
	if err != nil {
		return nil, err
	}
	all := make([][]Item, w.count)
	for i := range all {
		all[i] = w.write(nil, i)
	}
	return all, nil
}

// alternatives are a pattern before its alternatives are written out, in this many ways.
type alternatives struct {
	elements []element
	count    int
}

// element is an item, or a group of alternatives.
type element struct {
	one     Item
	choices [][]Item // nil for an item
}

func parsePattern(pattern string) (alternatives, error) {
	w := alternatives{count: 1}
	if len(pattern) > maxPattern {
		return w, fmt.Errorf("the pattern is longer than %d bytes", maxPattern)
	}
	w.elements = make([]element, 0, 2*strings.Count(pattern, "<")+2*strings.Count(pattern, "{")+1)
	for rest := pattern; rest != ""; {
		var e element
		var err error
		if rest[0] == '{' {
			e.choices, rest, err = nextChoices(rest[1:])
			w.count *= len(e.choices)
		} else {
			e.one, rest, err = nextItem(rest, `<{\`)
		}
		if err != nil {
			return w, err
		}
		if w.count > maxVariants {
			return w, fmt.Errorf("the pattern's alternatives can be combined in more than %d ways: make it several patterns", maxVariants)
		}
		w.elements = append(w.elements, e)
	}
	return w, nil
}

// write appends a way by its number.
func (w *alternatives) write(items []Item, number int) []Item {
	each := w.count // ways with what was chosen so far
	for i := range w.elements {
		e := &w.elements[i]
		if e.choices == nil {
			items = join(items, e.one)
			continue
		}
		each /= len(e.choices)
		items = join(items, e.choices[number/each%len(e.choices)]...)
	}
	return items
}

// nextChoices takes a group of alternatives, whose brace was taken, from the front of a pattern.
func nextChoices(s string) (choices [][]Item, rest string, err error) {
	var choice []Item
	for s != "" {
		switch s[0] {
		case '{':
			return nil, "", fmt.Errorf("alternatives within alternatives: write them out, or \\{ for a brace")
		case '|', '}':
			choices = append(choices, choice)
			choice = nil
			if s[0] == '}' {
				return choices, s[1:], nil
			}
			s = s[1:]
		default:
			one, rest, err := nextItem(s, `<{|}\`)
			if err != nil {
				return nil, "", err
			}
			choice, s = join(choice, one), rest
		}
	}
	return nil, "", fmt.Errorf("alternatives are never closed: write } at their end, or \\{ for a brace")
}

// nextItem takes a field, or the fixed text up to the next byte of special, of which a backslash is one.
func nextItem(s, special string) (Item, string, error) {
	if s[0] == '<' {
		end := strings.IndexByte(s, '>')
		if end < 0 {
			return Item{}, "", fmt.Errorf("a field is never closed: write > at its end, or \\< for a less-than sign")
		}
		f, known := fieldNames[s[1:end]]
		if !known {
			return Item{}, "", fmt.Errorf("no such field: %s (there are ip, ip:port, port, local_port, user, host, int, word, word?, method and any; write \\< for a less-than sign)", s[:end+1])
		}
		return Item{Field: f}, s[end+1:], nil
	}
	text := ""
	for {
		n := strings.IndexAny(s, special)
		if n < 0 {
			return Item{Text: text + s}, "", nil
		}
		text, s = text+s[:n], s[n:]
		if s[0] != '\\' {
			return Item{Text: text}, s, nil
		}
		if len(s) == 1 {
			return Item{}, "", fmt.Errorf("the pattern ends in a backslash: write \\\\ for one")
		}
		text, s = text+s[1:2], s[2:]
	}
}

// join appends items, and makes one literal of two that meet.
func join(all []Item, items ...Item) []Item {
	for _, it := range items {
		last := len(all) - 1
		switch {
		case it.Field == Literal && it.Text == "":
		case it.Field == Literal && last >= 0 && all[last].Field == Literal:
			all[last].Text += it.Text
		default:
			all = append(all, it)
		}
	}
	return all
}

// checkItems refuses a pattern whose fields could be told apart in more than one way, so that matching never guesses and
// never goes back. One of a rule that is of no event may be without fixed text: few messages are shown to it.
func checkItems(items []Item, none bool) error {
	var count [Any + 1]int
	longest := 0
	for i, it := range items {
		count[it.Field]++
		longest = max(longest, len(it.Text))
		if it.Field == Literal {
			continue
		}
		if i+1 < len(items) && items[i+1].Field != Literal {
			return fmt.Errorf("two fields are adjacent: put fixed text between them")
		}
		if it.Field.Wide() {
			continue
		}
		if i+2 < len(items) && classPrefix(items[i+1].Text, it.Field.class()) == len(items[i+1].Text) {
			return fmt.Errorf("the text %q between two fields could be part of the field before it: put a byte into it that such a field cannot hold", items[i+1].Text)
		}
		if i >= 2 && classSuffix(items[i-1].Text, it.Field.class()) == len(items[i-1].Text) {
			return fmt.Errorf("the text %q between two fields could be part of the field after it: put a byte into it that such a field cannot hold", items[i-1].Text)
		}
	}
	count[Port] += count[IPPort]
	if n := count[IP] + count[IPPort]; n > 1 || n == 0 && !none {
		return fmt.Errorf("the pattern has %d <ip> fields: it must have exactly one, in each of its alternatives", n)
	}
	for _, name := range [...]string{"port", "local_port", "user"} {
		if n := count[fieldNames[name]]; n > 1 {
			return fmt.Errorf("the pattern has %d <%s> fields: name all but one of them otherwise", n, name)
		}
	}
	if longest < minLiteral && !none {
		return fmt.Errorf("the pattern has no fixed text of %d bytes: it would have to be tried on every line", minLiteral)
	}
	return nil
}

// minLiteral is how much fixed text a pattern or expression must have, in bytes, so that it need not be tried on every line.
const minLiteral = 3

// classPrefix returns how many bytes at the beginning of s are of class.
func classPrefix(s string, class uint8) int {
	n := 0
	for n < len(s) && classes[s[n]]&class != 0 {
		n++
	}
	return n
}

// classSuffix returns how many bytes at the end of s are of class.
func classSuffix(s string, class uint8) int {
	n := 0
	for n < len(s) && classes[s[len(s)-1-n]]&class != 0 {
		n++
	}
	return n
}
