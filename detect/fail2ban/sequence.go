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

// finish turns the ways to write an expression out into patterns' items: what is open at either end becomes a field, what
// cannot be is dropped, and fields that meet become one where one stands for both.
func finish(ways []sequence) ([]sequence, error) {
	var all []sequence
	for _, s := range ways {
		s, ok := anchors(s)
		if !ok {
			continue
		}
		done, err := settle(s)
		if err != nil {
			return nil, err
		}
		for _, one := range done {
			if !slices.ContainsFunc(all, func(other sequence) bool { return slices.Equal(one, other) }) {
				all = append(all, one)
			}
		}
		if len(all) > maxWays {
			return nil, errManyWays
		}
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("no line can match it")
	}
	return all, nil
}

// anchors puts a wide field where the expression has no anchor; ok is false for what demands text beyond one.
func anchors(s sequence) (out sequence, ok bool) {
	open := true
	for i, it := range s {
		if it.kind == begin {
			if i > 0 && slices.ContainsFunc(s[:i], func(it item) bool { return it.kind == text }) {
				return nil, false
			}
			s, open = s[i+1:], false
			break
		}
	}
	if open {
		out = append(out, item{kind: wide})
	}
	for i, it := range s {
		switch it.kind {
		case begin:
			return nil, false
		case end:
			if slices.ContainsFunc(s[i:], func(it item) bool {
				return it.kind != end && it.kind != boundary && it.kind != wide && it.kind != maybe
			}) {
				return nil, false
			}
			return out, true
		}
		out = append(out, it)
	}
	return append(out, item{kind: wide}), true
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
	return nil, fmt.Errorf("%s and %s meet: nothing tells where one ends", fields[last.kind], fields[it.kind])
}

// atBoundary resolves a boundary of a word behind fixed text.
func atBoundary(front sequence, last item, rest sequence) ([]sequence, error) {
	if last.kind != text || last.text == "" {
		return nil, fmt.Errorf(`\b beside a field has no counterpart in a pattern`)
	}
	ends := []rune(last.text)
	if !isWord(ends[len(ends)-1]) {
		return nil, fmt.Errorf(`\b behind %q has no counterpart in a pattern`, last.text)
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

// compact writes sequences as patterns: what they have in common stands once, what differs in braces.
func compact(ways []sequence) []string {
	const (
		most  = 32  // alternatives in one pattern
		bytes = 900 // in one pattern
	)
	var all []string
	for from := 0; from < len(ways); {
		to, size := from, 0
		for to < len(ways) && to < from+most && (to == from || size < bytes) {
			size += len(strings.Join(tokensOf(ways[to]), ""))
			to++
		}
		part := ways[from:to]
		from = to
		tokens := make([][]string, len(part))
		for i, s := range part {
			tokens[i] = tokensOf(s)
		}
		front := common(tokens, func(t []string, i int) string { return t[i] }, len(shortest(tokens)))
		back := common(tokens, func(t []string, i int) string { return t[len(t)-1-i] }, len(shortest(tokens))-front)
		var b strings.Builder
		b.WriteString(strings.Join(tokens[0][:front], ""))
		if len(tokens) > 1 {
			b.WriteByte('{')
			for i, t := range tokens {
				if i > 0 {
					b.WriteByte('|')
				}
				b.WriteString(strings.Join(t[front:len(t)-back], ""))
			}
			b.WriteByte('}')
		} else {
			b.WriteString(strings.Join(tokens[0][front:len(tokens[0])-back], ""))
		}
		b.WriteString(strings.Join(tokens[0][len(tokens[0])-back:], ""))
		all = append(all, b.String())
	}
	return all
}

func shortest(lists [][]string) []string {
	return slices.MinFunc(lists, func(a, b []string) int { return len(a) - len(b) })
}

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
