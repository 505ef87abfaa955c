package detect

import (
	"fmt"
	"strings"
)

// field is a hole in a pattern.
type field uint8

const (
	literal     field = iota // no hole: fixed text
	fieldIP                  // the peer's address; exactly one in a pattern
	fieldIPPort              // the same with the peer's port behind it
	fieldPort                // the peer's port
	fieldLocalPort
	fieldInt   // decimal digits
	fieldHost  // a name or an address that is not the peer's
	fieldWord  // no white space and no control character
	fieldMaybe // the same, or nothing
	fieldUser  // anything, also nothing: the account as the peer wrote it
	fieldAny   // anything, also nothing
)

// fieldNames are the names that a pattern may use. Several names for one thing make patterns readable.
var fieldNames = map[string]field{
	"ip": fieldIP, "ip:port": fieldIPPort, "port": fieldPort, "local_port": fieldLocalPort, "int": fieldInt, "host": fieldHost,
	"word": fieldWord, "word?": fieldMaybe, "method": fieldWord, "user": fieldUser, "any": fieldAny,
}

// wide fields hold any bytes, so an attacker may write into them whatever stands elsewhere in the pattern.
func (f field) wide() bool { return f >= fieldUser }

// class is the set of bytes that a narrow field may hold, as a bit of classes.
func (f field) class() uint8 {
	switch f {
	case fieldPort, fieldLocalPort, fieldInt:
		return classDigit
	case fieldIP, fieldHost:
		return classHost
	case fieldIPPort:
		return classPeer
	default:
		return classWord
	}
}

// longest is how many bytes a narrow field may hold. The bounds keep a search linear that tries a field at many places.
func (f field) longest() int {
	switch f {
	case fieldPort, fieldLocalPort:
		return 5
	case fieldInt:
		return 20
	case fieldIP, fieldIPPort, fieldHost:
		return 256
	default:
		return 512
	}
}

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

// item is fixed text or a field.
type item struct {
	field field
	text  string // of a literal
}

const (
	maxPattern  = 1024 // bytes
	maxVariants = 64   // ways to write out the alternatives of one pattern
)

// expand writes out a pattern's alternatives: "a{b|c|}d" gives abd, acd and ad, in this order.
func expand(pattern string) ([][]item, error) {
	w, err := parsePattern(pattern)
	if err != nil {
		return nil, err
	}
	all := make([][]item, w.count)
	for i := range all {
		all[i] = w.write(nil, i)
	}
	return all, nil
}

// ways are a pattern before its alternatives are written out, in this many ways.
type ways struct {
	elements []element
	count    int
}

// element is an item, or a group of alternatives.
type element struct {
	one     item
	choices [][]item // nil for an item
}

func parsePattern(pattern string) (ways, error) {
	w := ways{count: 1}
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
func (w *ways) write(items []item, number int) []item {
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
func nextChoices(s string) (choices [][]item, rest string, err error) {
	var choice []item
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
func nextItem(s, special string) (item, string, error) {
	if s[0] == '<' {
		end := strings.IndexByte(s, '>')
		if end < 0 {
			return item{}, "", fmt.Errorf("a field is never closed: write > at its end, or \\< for a less-than sign")
		}
		f, known := fieldNames[s[1:end]]
		if !known {
			return item{}, "", fmt.Errorf("no such field: %s (there are ip, ip:port, port, local_port, user, host, int, word, word?, method and any; write \\< for a less-than sign)", s[:end+1])
		}
		return item{field: f}, s[end+1:], nil
	}
	text := ""
	for {
		n := strings.IndexAny(s, special)
		if n < 0 {
			return item{text: text + s}, "", nil
		}
		text, s = text+s[:n], s[n:]
		if s[0] != '\\' {
			return item{text: text}, s, nil
		}
		if len(s) == 1 {
			return item{}, "", fmt.Errorf("the pattern ends in a backslash: write \\\\ for one")
		}
		text, s = text+s[1:2], s[2:]
	}
}

// join appends items, and makes one literal of two that meet.
func join(all []item, items ...item) []item {
	for _, it := range items {
		last := len(all) - 1
		switch {
		case it.field == literal && it.text == "":
		case it.field == literal && last >= 0 && all[last].field == literal:
			all[last].text += it.text
		default:
			all = append(all, it)
		}
	}
	return all
}

// checkItems refuses a pattern whose fields could be told apart in more than one way, so that matching never guesses and
// never goes back. One of a rule that is of no event may be without fixed text: few messages are shown to it.
func checkItems(items []item, none bool) error {
	var count [fieldAny + 1]int
	longest := 0
	for i, it := range items {
		count[it.field]++
		longest = max(longest, len(it.text))
		if it.field == literal {
			continue
		}
		if i+1 < len(items) && items[i+1].field != literal {
			return fmt.Errorf("two fields meet: put fixed text between them")
		}
		if it.field.wide() {
			continue
		}
		if i+2 < len(items) && classPrefix(items[i+1].text, it.field.class()) == len(items[i+1].text) {
			return fmt.Errorf("the text %q between two fields could be part of the field before it: put a byte into it that such a field cannot hold", items[i+1].text)
		}
		if i >= 2 && classSuffix(items[i-1].text, it.field.class()) == len(items[i-1].text) {
			return fmt.Errorf("the text %q between two fields could be part of the field behind it: put a byte into it that such a field cannot hold", items[i-1].text)
		}
	}
	count[fieldPort] += count[fieldIPPort]
	if n := count[fieldIP] + count[fieldIPPort]; n > 1 || n == 0 && !none {
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
