package fail2ban

import (
	"fmt"
	"slices"
	"strings"
	"unicode"
)

// Where an expression leaves open what follows, a pattern says what follows: nothing, or one of these and anything.
const (
	behindWord    = " :,.;)"
	behindNumber  = " :,;)"
	behindAddress = " ,;)'"
)

// finish turns an expression that was written out into what patterns describe: what is open at either end becomes a field,
// and fields that meet become one where one stands for both.
func finish(slots []slot) ([]slot, error) {
	slots, err := anchors(slots)
	if err != nil {
		return nil, err
	}
	for i := 0; i < len(slots); i++ {
		for {
			j := meeting(slots, i)
			if j < 0 {
				break
			}
			one := slots[i]
			for _, s := range slots[i+1 : j+1] {
				if one, err = product(one, s); err != nil {
					return nil, err
				}
			}
			slots = slices.Replace(slots, i, j+1, one)
		}
	}
	for i, s := range slots {
		var settled slot
		for _, way := range s {
			more, err := settle(way)
			if err != nil {
				return nil, err
			}
			for _, one := range more {
				if !slices.ContainsFunc(settled, func(other sequence) bool { return slices.Equal(one, other) }) {
					settled = append(settled, one)
				}
			}
		}
		slots[i] = settled
	}
	return slots, nil
}

// meeting returns the slot whose beginning and the end of slot i must be seen together; -1 for none.
func meeting(slots []slot, i int) int {
	for j := i + 1; j < len(slots); j++ {
		for _, a := range slots[i] {
			for _, b := range slots[j] {
				if len(a) > 0 && len(b) > 0 && meets(a, b) {
					return j
				}
			}
		}
		if !slices.ContainsFunc(slots[j], func(s sequence) bool { return len(s) == 0 }) {
			return -1
		}
	}
	return -1
}

// meets reports whether the end of a and the beginning of b must be seen together: two fields, the boundary of a word, or a
// port behind an address.
func meets(a, b sequence) bool {
	last, first := a[len(a)-1], b[0]
	switch {
	case last.kind == boundary || first.kind == boundary || last.kind == end:
		return true
	case last.kind != text && first.kind != text:
		return true
	case last.kind == addr && first.text == ":" && (len(b) == 1 || b[1].kind == digits || b[1].kind == short):
		return true
	case first.kind == digits || first.kind == short: // behind " port "
		return true
	}
	return false
}

// anchors puts a wide field where the expression has no anchor, and takes the anchors away.
func anchors(slots []slot) ([]slot, error) {
	is := func(k kind) func(sequence) bool {
		return func(s sequence) bool { return slices.ContainsFunc(s, func(it item) bool { return it.kind == k }) }
	}
	open := slot{{{kind: wide}}}
	if len(slots) > 0 && slices.Equal(slots[0][0], sequence{{kind: begin}}) {
		slots = slots[1:]
	} else {
		slots = append([]slot{open}, slots...)
	}
	n := len(slots) - 1
	switch last := slots[n]; {
	case !slices.ContainsFunc(last, is(end)):
		slots = append(slots, open)
	default:
		var closed slot
		for _, way := range last {
			at := slices.IndexFunc(way, func(it item) bool { return it.kind == end })
			switch {
			case at < 0:
				way = append(slices.Clone(way), item{kind: wide})
			case at == len(way)-1:
				way = way[:at]
			default:
				return nil, fmt.Errorf("there is text after the end of the line")
			}
			closed = append(closed, way)
		}
		slots = append(slots[:n:n], closed)
	}
	for _, s := range slots {
		if slices.ContainsFunc(s, is(begin)) || slices.ContainsFunc(s, is(end)) {
			return nil, fmt.Errorf("the beginning or the end of the line is in the middle of the expression")
		}
	}
	return slots, nil
}

// settle resolves boundaries of words, ports, and fields that meet.
func settle(s sequence) ([]sequence, error) {
	ways := []sequence{nil}
	for i := 0; i < len(s); i++ {
		it := s[i]
		var next []sequence
		for _, front := range ways {
			more, err := add(front, it, s[i+1:])
			if err != nil {
				return nil, err
			}
			next = append(next, more...)
		}
		if ways = next; len(ways) > maxWays {
			return nil, errManyWays
		}
	}
	for i := range ways {
		ways[i] = slices.DeleteFunc(ways[i], func(it item) bool { return it.kind == end || it.kind == text && it.text == "" })
		if slices.ContainsFunc(ways[i], func(it item) bool { return it.kind == short }) {
			return nil, fmt.Errorf("no field stands for digits of a bounded number")
		}
	}
	return ways, nil
}

// add puts an item behind others, in every way that is needed.
func add(front sequence, it item, rest sequence) ([]sequence, error) {
	with := func(more ...item) sequence { return slices.Concat(front, more) }
	last := item{}
	if len(front) > 0 {
		last = front[len(front)-1]
	}
	switch {
	case last.kind == end: // only a field for what is open is behind it
		return []sequence{front}, nil
	case it.kind == text && last.kind == text && len(front) > 0:
		joined := slices.Clone(front)
		joined[len(joined)-1].text += it.text
		return []sequence{joined}, nil
	case it.kind == boundary:
		return atBoundary(front, last, rest)
	case it.kind == digits || it.kind == short:
		if n := len(front); n >= 2 && last.text == ":" && front[n-2].kind == addr {
			return []sequence{append(slices.Clone(front[:n-2]), item{kind: addrPort})}, nil
		}
		if last.kind == text && strings.HasSuffix(last.text, " port ") && !slices.ContainsFunc(front, func(it item) bool { return it.kind == port }) {
			return []sequence{with(item{kind: port})}, nil
		}
	}
	if it.kind == text || last.kind == text || len(front) == 0 {
		return []sequence{with(it)}, nil
	}
	return meet(front, last, it)
}

// meet puts a field behind a field.
func meet(front sequence, last, it item) ([]sequence, error) {
	with := func(more ...item) sequence { return slices.Concat(front, more) }
	then := func(behind string) []sequence {
		all := []sequence{front}
		for _, c := range behind {
			all = append(all, with(item{text: string(c)}, item{kind: wide}))
		}
		return all
	}
	blank := item{text: " "}
	open := func(k kind) bool { return k == wide || k == user }
	switch {
	case open(last.kind) && (it.kind == wide || it.kind == maybe):
		return []sequence{front}, nil
	case last.kind == maybe && open(it.kind), last.kind == wide && it.kind == user:
		return []sequence{append(slices.Clone(front[:len(front)-1]), it)}, nil
	case it.kind == wide && last.kind == word:
		return then(" "), nil
	case it.kind == wide && (last.kind == digits || last.kind == port):
		return then(behindNumber), nil
	case it.kind == wide && (last.kind == addr || last.kind == addrPort):
		return then(behindAddress), nil
	case open(last.kind) && it.kind == word: // the word is the end of the text, or follows a blank
		return []sequence{append(slices.Clone(front[:len(front)-1]), it), with(blank, it)}, nil
	case open(last.kind) && (it.kind == digits || it.kind == addr):
		return []sequence{append(slices.Clone(front[:len(front)-1]), it), with(blank, it)}, nil
	case last.kind == word && it.kind == maybe, last.kind == it.kind && (it.kind == word || it.kind == maybe || it.kind == digits):
		return []sequence{front}, nil
	case last.kind == maybe && it.kind == word, last.kind == digits && it.kind == word:
		return []sequence{append(slices.Clone(front[:len(front)-1]), it)}, nil
	}
	return nil, fmt.Errorf("%s and %s are adjacent: nothing marks where one ends", fields[last.kind], fields[it.kind])
}

// atBoundary resolves a boundary of a word behind fixed text.
func atBoundary(front sequence, last item, rest sequence) ([]sequence, error) {
	if (last.kind == digits || last.kind == addr) && len(rest) > 0 && rest[0].kind == wide { // what follows is no part of a word: see meet
		return []sequence{front}, nil
	}
	if last.kind != text || last.text == "" {
		return nil, fmt.Errorf(`\b beside a field has no counterpart in a pattern`)
	}
	ends := []rune(last.text)
	if !isWord(ends[len(ends)-1]) {
		return nil, fmt.Errorf(`\b after %q has no counterpart in a pattern`, last.text)
	}
	switch {
	case len(rest) == 0:
		return []sequence{front}, nil
	case rest[0].kind == text && !isWord([]rune(rest[0].text)[0]):
		return []sequence{front}, nil
	case rest[0].kind != wide || len(rest) > 1:
		return nil, fmt.Errorf(`\b beside a field has no counterpart in a pattern`)
	}
	// What follows is open: nothing, or a character that ends words.
	all := []sequence{append(slices.Clone(front), item{kind: end})}
	for _, c := range behindWord {
		all = append(all, append(slices.Clone(front), item{text: string(c)}))
	}
	return all, nil
}

func isWord(c rune) bool { return c == '_' || c < 0x80 && (unicode.IsLetter(c) || unicode.IsDigit(c)) }

// Bounds of the patterns that one expression becomes.
const (
	maxVariants = 64  // ways to write out the alternatives of one pattern, as package detect bounds them
	maxPattern  = 900 // bytes
	maxPatterns = 32
)

// patterns writes slots as patterns. Where one pattern would have too many alternatives, those of a slot are shared out.
func patterns(slots []slot) ([]string, error) {
	variants, widest := 1, 0
	for i, s := range slots {
		variants *= len(s)
		if len(s) > len(slots[widest]) {
			widest = i
		}
	}
	if variants > maxVariants*maxPatterns {
		return nil, errManyWays
	}
	var b strings.Builder
	for _, s := range slots {
		b.WriteString(s.pattern())
	}
	if variants <= maxVariants && b.Len() <= maxPattern {
		return []string{b.String()}, nil
	}
	half := len(slots[widest]) / 2
	if half == 0 {
		return nil, fmt.Errorf("it is longer than a pattern may be")
	}
	var all []string
	for _, part := range []slot{slots[widest][:half], slots[widest][half:]} {
		more, err := patterns(slices.Replace(slices.Clone(slots), widest, widest+1, part))
		if err != nil {
			return nil, err
		}
		all = append(all, more...)
	}
	if len(all) > maxPatterns {
		return nil, errManyWays
	}
	return all, nil
}

// pattern writes one slot: what its ways have in common at either end stands once, what differs in braces.
func (s slot) pattern() string {
	tokens := make([][]string, len(s))
	least := 0
	for i, way := range s {
		if tokens[i] = tokensOf(way); i == 0 || len(tokens[i]) < least {
			least = len(tokens[i])
		}
	}
	if len(tokens) == 1 {
		return strings.Join(tokens[0], "")
	}
	front := common(tokens, func(t []string, i int) string { return t[i] }, least)
	for front > 0 && inWord(tokens[0][front-1]) && slices.ContainsFunc(tokens, func(t []string) bool { return front < len(t) && inWord(t[front]) }) {
		front-- // words stay whole
	}
	back := common(tokens, func(t []string, i int) string { return t[len(t)-1-i] }, least-front)
	for back > 0 && inWord(tokens[0][len(tokens[0])-back]) && slices.ContainsFunc(tokens, func(t []string) bool { return back < len(t) && inWord(t[len(t)-back-1]) }) {
		back--
	}
	var different []string
	for _, t := range tokens {
		different = append(different, strings.Join(t[front:len(t)-back], ""))
	}
	first := tokens[0]
	return strings.Join(first[:front], "") + "{" + strings.Join(different, "|") + "}" + strings.Join(first[len(first)-back:], "")
}

func inWord(token string) bool { return len(token) == 1 && isWord(rune(token[0])) }

// common returns how many tokens, at most limit, all lists have in common.
func common(lists [][]string, at func(list []string, i int) string, limit int) int {
	for i := range limit {
		for _, l := range lists {
			if at(l, i) != at(lists[0], i) {
				return i
			}
		}
	}
	return limit
}

// tokensOf are the fields and the characters of a sequence as a pattern writes them.
func tokensOf(s sequence) []string {
	var all []string
	for _, it := range s {
		if it.kind != text {
			all = append(all, fields[it.kind])
			continue
		}
		for _, c := range it.text {
			one := string(c)
			if strings.ContainsRune(`\<{|}`, c) {
				one = `\` + one
			}
			all = append(all, one)
		}
	}
	return all
}
