package fail2ban

import (
	"errors"
	"fmt"
	"regexp/syntax"
	"slices"
	"strings"
)

// kind is what an item of a pattern is.
type kind uint8

const (
	text kind = iota
	addr
	addrPort
	port
	user
	wide // <any>
	word
	maybe // <word?>
	digits
	short    // digits, as many as a port has
	begin    // of the message
	end      // of the message
	boundary // of a word
)

// fields are the items that a pattern writes as fields.
var fields = map[kind]string{
	addr: "<ip>", addrPort: "<ip:port>", port: "<port>", user: "<user>", wide: "<any>", word: "<word>", maybe: "<word?>", digits: "<int>",
}

type item struct {
	kind kind
	text string
}

// sequence is one way to write an expression out.
type sequence []item

// maxWays bounds how many sequences one expression may become.
const maxWays = 256

var errManyWays = fmt.Errorf("its alternatives can be combined in more than %d ways", maxWays)

// writer writes expressions out as sequences.
type writer struct {
	loose  bool // a field may hold more than the expression lets stand there
	blanks bool // a word may have blanks in it
	short  bool // of a repeated choice, only one more than must be
	wider  bool // a field does hold more
}

// slot is a place in an expression, and what may stand there.
type slot []sequence

// slots writes re out place by place.
func (w *writer) slots(re *syntax.Regexp) ([]slot, error) {
	switch {
	case re.Op == syntax.OpConcat:
		var all []slot
		for _, sub := range re.Sub {
			more, err := w.slots(sub)
			if err != nil {
				return nil, err
			}
			all = append(all, more...)
		}
		return all, nil
	case re.Op == syntax.OpCapture && re.Name == "":
		return w.slots(re.Sub[0])
	}
	ways, err := w.all(re)
	if err != nil {
		return nil, err
	}
	return []slot{ways}, nil
}

// all returns the ways to write re out.
func (w *writer) all(re *syntax.Regexp) ([]sequence, error) {
	switch re.Op {
	case syntax.OpEmptyMatch:
		return []sequence{nil}, nil
	case syntax.OpLiteral:
		return w.literal(re)
	case syntax.OpCharClass, syntax.OpAnyChar, syntax.OpAnyCharNotNL:
		return w.hole(re, 1, 1)
	case syntax.OpBeginText, syntax.OpBeginLine:
		return []sequence{{{kind: begin}}}, nil
	case syntax.OpEndText, syntax.OpEndLine:
		return []sequence{{{kind: end}}}, nil
	case syntax.OpWordBoundary:
		return []sequence{{{kind: boundary}}}, nil
	case syntax.OpCapture:
		return w.capture(re)
	case syntax.OpStar:
		return w.repeat(re.Sub[0], 0, -1)
	case syntax.OpPlus:
		return w.repeat(re.Sub[0], 1, -1)
	case syntax.OpQuest:
		return w.repeat(re.Sub[0], 0, 1)
	case syntax.OpRepeat:
		return w.repeat(re.Sub[0], re.Min, re.Max)
	case syntax.OpConcat:
		ways := []sequence{nil}
		for _, sub := range re.Sub {
			more, err := w.all(sub)
			if err != nil {
				return nil, err
			}
			if ways, err = product(ways, more); err != nil {
				return nil, err
			}
		}
		return ways, nil
	case syntax.OpAlternate:
		return w.alternate(re)
	default:
		return nil, fmt.Errorf("%v has no counterpart in a pattern", re.Op)
	}
}

func product(a, b []sequence) ([]sequence, error) {
	if len(a)*len(b) > maxWays {
		return nil, errManyWays
	}
	var all []sequence
	for _, front := range a {
		for _, back := range b {
			all = append(all, slices.Concat(front, back))
		}
	}
	return all, nil
}

// maxFolded bounds the letters of a text that may be upper or lower case: each makes twice as many ways.
const maxFolded = 4

func (w *writer) literal(re *syntax.Regexp) ([]sequence, error) {
	ways := []sequence{nil}
	folded := 0
	for _, c := range re.Rune {
		low, up := strings.ToLower(string(c)), strings.ToUpper(string(c))
		one := []sequence{{{text: string(c)}}}
		switch {
		case string(c) == hostMark:
			one = []sequence{{{kind: addr}}}
		case re.Flags&syntax.FoldCase != 0 && low != up:
			if folded++; folded > maxFolded {
				return nil, errors.New("a pattern is case-sensitive")
			}
			one = []sequence{{{text: low}}, {{text: up}}}
		}
		var err error
		if ways, err = product(ways, one); err != nil {
			return nil, err
		}
	}
	return ways, nil
}

// capture makes a field of a user's name where the group holds nothing else.
func (w *writer) capture(re *syntax.Regexp) ([]sequence, error) {
	switch {
	case strings.HasPrefix(re.Name, "port"):
		return []sequence{{{kind: port}}}, nil
	case !strings.HasPrefix(re.Name, "user"):
		return w.all(re.Sub[0])
	}
	if isHole(re.Sub[0]) { // a peer chose it: <user> holds all that it may have written
		w.wider = w.wider || !anyText(re.Sub[0])
		return []sequence{{{kind: user}}}, nil
	}
	return w.all(re.Sub[0])
}

// isHole reports whether re is one repeated class, or a choice of some.
func isHole(re *syntax.Regexp) bool {
	switch re.Op {
	case syntax.OpCapture:
		return isHole(re.Sub[0])
	case syntax.OpAlternate:
		return !slices.ContainsFunc(re.Sub, func(sub *syntax.Regexp) bool { return !isHole(sub) })
	case syntax.OpStar, syntax.OpPlus:
		return isClass(re.Sub[0])
	}
	return false
}

// anyText reports whether re, which is a hole, or one of its alternatives takes any text.
func anyText(re *syntax.Regexp) bool {
	switch re.Op {
	case syntax.OpAnyChar, syntax.OpAnyCharNotNL:
		return true
	case syntax.OpCharClass:
		return false
	}
	return slices.ContainsFunc(re.Sub, anyText)
}

func isClass(re *syntax.Regexp) bool {
	return re.Op == syntax.OpCharClass || re.Op == syntax.OpAnyChar || re.Op == syntax.OpAnyCharNotNL
}

// alternate puts the alternatives beside each other. One that is any text makes the other holes superfluous.
func (w *writer) alternate(re *syntax.Regexp) ([]sequence, error) {
	if isHole(re) && anyText(re) {
		return []sequence{{{kind: wide}}}, nil
	}
	var ways []sequence
	for _, sub := range re.Sub {
		more, err := w.all(sub)
		if err != nil {
			return nil, err
		}
		if ways = append(ways, more...); len(ways) > maxWays {
			return nil, errManyWays
		}
	}
	return ways, nil
}

// repeat writes out a repetition. Where there is no bound, one more than must be is what a pattern describes of it.
func (w *writer) repeat(re *syntax.Regexp, least, most int) ([]sequence, error) {
	for re.Op == syntax.OpCapture && re.Name == "" {
		re = re.Sub[0]
	}
	if isClass(re) {
		return w.hole(re, least, most)
	}
	one, err := w.all(re)
	if err != nil {
		return nil, err
	}
	if most < 0 {
		most = least + 1
		if least == 1 {
			most = 1
		}
	}
	if len(one) > 2 {
		most = min(most, least+2)
	}
	if w.short {
		most = min(most, least+1)
	}
	ways := []sequence{nil}
	var all []sequence
	for n := 0; n <= most; n++ {
		if n >= least {
			all = append(all, ways...)
		}
		if n == most {
			break
		}
		if ways, err = product(ways, one); err != nil {
			return nil, err
		}
	}
	if len(all) > maxWays {
		return nil, errManyWays
	}
	return all, nil
}

// contains reports whether the class has the whole of lo to hi.
func contains(re *syntax.Regexp, lo, hi rune) bool {
	if re.Op != syntax.OpCharClass {
		return true
	}
	for i := 0; i < len(re.Rune); i += 2 {
		if re.Rune[i] <= lo && hi <= re.Rune[i+1] {
			return true
		}
	}
	return false
}

// hole makes a field, or a choice of few characters, of a repeated class.
func (w *writer) hole(re *syntax.Regexp, least, most int) ([]sequence, error) {
	field := func(k kind) ([]sequence, error) { return []sequence{{{kind: k}}}, nil }
	if re.Op != syntax.OpCharClass && least == 1 && most == 1 {
		return []sequence{{{text: "."}}}, nil // most often a full stop without its backslash; it is one of those that fit
	}
	if re.Op == syntax.OpCharClass {
		if re.Rune[0] == '\t' && re.Rune[len(re.Rune)-1] == ' ' { // white space: logs have one blank
			if least == 0 {
				return []sequence{nil, {{text: " "}}}, nil
			}
			return []sequence{{{text: " "}}}, nil
		}
		if most == 1 && (!w.loose || !someDigits(re)) {
			if ways := few(re); ways != nil {
				if least == 0 {
					ways = append([]sequence{nil}, ways...)
				}
				return ways, nil
			}
		}
	}
	unbounded := most < 0
	all := re.Op != syntax.OpCharClass
	nonSpace := !all && contains(re, '!', '~') && contains(re, 0xa1, 0x10ffff) // \S, which is all but white space
	digit := !all && re.Rune[0] == '0' && re.Rune[len(re.Rune)-1] == '9'
	switch {
	case all && unbounded:
		return field(wide)
	case w.blanks && nonSpace && unbounded:
		w.wider = true
		return field(wide)
	case nonSpace && !contains(re, ' ', ' ') && unbounded && least == 0:
		return field(maybe)
	case nonSpace && !contains(re, ' ', ' ') && unbounded:
		return field(word)
	case digit && least <= 1 && (unbounded || most == 5):
		k := digits
		if !unbounded {
			k = short
		}
		if least == 0 {
			return []sequence{nil, {{kind: k}}}, nil
		}
		return field(k)
	case !w.loose:
		return nil, fmt.Errorf("no field stands for %v", re)
	}
	w.wider = true
	switch {
	case !all && someDigits(re) && least > 0:
		return field(digits)
	case w.blanks:
		return field(wide)
	case !all && !contains(re, ' ', ' ') && least > 0:
		return field(word)
	case !all && !contains(re, ' ', ' '):
		return field(maybe)
	default:
		return field(wide)
	}
}

// someDigits reports whether the class has digits only.
func someDigits(re *syntax.Regexp) bool { return re.Rune[0] >= '0' && re.Rune[len(re.Rune)-1] <= '9' }

// few lists the characters of a class, if they are few.
func few(re *syntax.Regexp) []sequence {
	const most = 4
	var ways []sequence
	for i := 0; i < len(re.Rune); i += 2 {
		for c := re.Rune[i]; c <= re.Rune[i+1]; c++ {
			if len(ways) == most {
				return nil
			}
			ways = append(ways, sequence{{text: string(c)}})
		}
	}
	return ways
}
