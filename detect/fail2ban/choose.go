package fail2ban

import (
	"errors"
	"fmt"
	"regexp"
	"regexp/syntax"
	"strings"
	"unicode"

	"tattled/detect"
	"tattled/detect/attack"
)

// choose finds the best form for an expression: patterns that describe no line which it does not; else the expression
// itself; else patterns whose fields hold more. Each is compiled, and must read a line that the expression makes.
func (t *translation) choose(r *Rule, whole string, tree *syntax.Regexp) error {
	anchored, err := t.anchored(whole)
	if err != nil {
		return err
	}
	r.generated, err = t.sample(tree, anchored)
	if err != nil {
		return err
	}
	if t.anyPattern(r, tree, anchored, writer{}) {
		return nil
	}
	asItIs := t.regex(r, tree, whole)
	if asItIs == nil || t.anyPattern(r, tree, anchored, writer{loose: true}) {
		return nil
	}
	return asItIs
}

// anyPattern tries to write the rule as patterns in the way of w: with all of it, with less repetition, and both again with
// fields that may hold blanks, for what a peer may have chosen.
func (t *translation) anyPattern(r *Rule, tree *syntax.Regexp, anchored *regexp.Regexp, w writer) bool {
	for _, w.blanks = range []bool{false, true} {
		for _, w.short = range []bool{false, true} {
			if t.patterns(r, tree, anchored, w) == nil {
				return true
			}
		}
	}
	return false
}

// anchored compiles the expression for comparison.
func (t *translation) anchored(whole string) (*regexp.Regexp, error) {
	ip := strings.Replace(address, "?P<ip>", "?:", 1)
	re, err := regexp.Compile(strings.ReplaceAll(whole, hostMark, `(?:`+ip+`|\[?`+ip+`\]?)`))
	if err != nil {
		return nil, fmt.Errorf("it is not an RE2 expression: %w", err)
	}
	return re, nil
}

// patterns tries to write the rule as patterns.
func (t *translation) patterns(r *Rule, tree *syntax.Regexp, anchored *regexp.Regexp, w writer) error {
	slots, err := w.slots(tree)
	if err != nil {
		return err
	}
	if slots, err = finish(slots); err != nil {
		return err
	}
	if !w.loose && !w.blanks {
		for _, line := range examples(slots) {
			if !anchored.MatchString(line) {
				return fmt.Errorf("the expression does not take %q", line)
			}
		}
	}
	if r.Match, err = patterns(slots); err != nil {
		return err
	}
	r.Regex, r.Wider = "", w.wider
	return t.try(r)
}

// examples are lines that the slots describe: each alternative of each slot, with the first ones of the others.
func examples(slots []slot) []string {
	front := []string{""}
	for _, s := range slots {
		var next []string
		for i, way := range s {
			from := front
			if i > 0 {
				from = front[:1]
			}
			for _, f := range from {
				next = append(next, f+way.example())
			}
		}
		front = next
	}
	return front
}

// example is a line that the sequence describes.
func (s sequence) example() string {
	var b strings.Builder
	for _, it := range s {
		switch it.kind {
		case addr:
			b.WriteString("203.0.113.5")
		case addrPort:
			b.WriteString("203.0.113.5:40022")
		case port:
			b.WriteString("40022")
		case digits:
			b.WriteString("7")
		case user, wide, word, maybe:
			b.WriteString("x")
		default:
			b.WriteString(it.text)
		}
	}
	return b.String()
}

// regex tries to write the rule as the expression itself. What stands before the address, or what stands behind it, must
// hold no text that could be a forged line: tattled reads an expression in two ways only.
func (t *translation) regex(r *Rule, tree *syntax.Regexp, whole string) error {
	if strings.Count(whole, hostMark) > 1 {
		return errors.New("the address is in more than one place, which one expression of RE2 cannot name")
	}
	before, behind := openAround(tree)
	begins, ends := strings.HasPrefix(whole, "^"), strings.HasSuffix(whole, "$")
	if (before || !begins) && (behind || !ends) {
		return errors.New("text of any length is before the address and after it: a peer could write an address of its choice there")
	}
	body := strings.TrimPrefix(whole, "^")
	if cut, found := cutEnd(body); found {
		body = cut
	} else {
		ends = false
	}
	at := strings.Index(body, hostMark)
	front, back := body[:at], body[at+len(hostMark):]
	switch {
	case !begins && front == "":
		front = `(?:.*[^0-9A-Za-z.:])?`
	case !begins:
		front = ".*" + front
	}
	switch {
	case !ends && back == "":
		back = `(?:[^0-9A-Za-z.:].*)?`
	case !ends:
		back += ".*"
	}
	text := strings.NewReplacer("(?P<other", "(?P<x", "(?P<port", "(?P<x").Replace("^" + front + address + back + "$")
	text = regexp.MustCompile(`\(\?P<x\d+>`).ReplaceAllString(text, "(?:")
	users := regexp.MustCompile(`\(\?P<user\d+>`)
	if len(users.FindAllString(text, -1)) == 1 {
		text = users.ReplaceAllString(text, "(?P<user>")
	} else {
		text = users.ReplaceAllString(text, "(?:")
	}
	r.Match, r.Regex, r.Wider = nil, text, false
	return t.try(r)
}

// openAround reports whether text of any length, with blanks in it, may stand before the address and behind it.
func openAround(tree *syntax.Regexp) (before, behind bool) {
	seen := false
	var walk func(re *syntax.Regexp)
	walk = func(re *syntax.Regexp) {
		switch re.Op {
		case syntax.OpLiteral:
			seen = seen || strings.Contains(string(re.Rune), hostMark)
			return
		case syntax.OpStar, syntax.OpPlus, syntax.OpRepeat:
			if (re.Op != syntax.OpRepeat || re.Max != 1) && holdsBlank(re.Sub[0]) && !blankOnly(re.Sub[0]) {
				if seen {
					behind = true
				} else {
					before = true
				}
			}
		}
		for _, sub := range re.Sub {
			walk(sub)
		}
	}
	walk(tree)
	return before, behind
}

// holdsBlank reports whether something that re matches may have a blank in it.
func holdsBlank(re *syntax.Regexp) bool {
	switch re.Op {
	case syntax.OpAnyChar, syntax.OpAnyCharNotNL:
		return true
	case syntax.OpCharClass:
		return contains(re, ' ', ' ')
	case syntax.OpLiteral:
		return strings.Contains(string(re.Rune), " ")
	}
	for _, sub := range re.Sub {
		if holdsBlank(sub) {
			return true
		}
	}
	return false
}

// blankOnly reports whether re is white space and nothing else: no text can be forged of it.
func blankOnly(re *syntax.Regexp) bool {
	switch re.Op {
	case syntax.OpCharClass:
		return re.Rune[0] == '\t' && re.Rune[len(re.Rune)-1] == ' '
	case syntax.OpLiteral:
		return strings.TrimSpace(string(re.Rune)) == ""
	}
	return false
}

// firstAttack is how many hostile lines each form of a rule is tried with before Prove tries the one that was chosen.
const firstAttack = 2000

// try compiles the rule by itself, runs its sample and attacks it.
func (t *translation) try(r *Rule) error {
	alone := Filter{Service: t.filter.Service, Programs: t.filter.Programs, Stamped: t.stamped, Rules: []*Rule{r}}
	for r.covers = nil; ; {
		rules, faults := detect.LoadFile("rule", []byte(alone.YAML()), false)
		if rules == nil {
			return errors.New(faults[0].Problem)
		}
		if faults = prove(rules, attack.Options{Lines: firstAttack, User: true}); len(faults) == 0 {
			break
		}
		if cover := faults[0].Cover; cover == "" || len(r.covers) == maxCovers {
			return errors.New(faults[0].Problem)
		}
		r.covers = append(r.covers, faults[0].Cover)
	}
	t.filter.Rules = append(t.filter.Rules, r)
	return nil
}

// maxCovers bounds how many patterns of other lines are added for one rule.
const maxCovers = 32

// sample makes a line of the expression.
func (t *translation) sample(tree *syntax.Regexp, anchored *regexp.Regexp) (Sample, error) {
	var content *regexp.Regexp
	if t.content != "" {
		content, _ = regexp.Compile("(?:" + t.content + ")") // translate has read it
	}
	for variation := range 64 {
		g := generator{choice: variation}
		message := g.line(tree)
		if anchored.MatchString(message) && strings.Contains(message, example) && (content == nil || content.MatchString(message)) {
			return Sample{Program: t.filter.Programs[0], Message: message, IP: example}, nil
		}
	}
	return Sample{}, errors.New("no line could be made of it")
}

const example = "203.0.113.5"

// generator makes lines of an expression.
type generator struct {
	choice int
	b      strings.Builder
	plain  bool // leave out what may be left out unless it is text
	odd    bool // a character of a class was made up
}

func (g *generator) line(tree *syntax.Regexp) string {
	g.write(tree)
	return g.b.String()
}

// pick takes a choice of n, which depends on the variation.
func (g *generator) pick(n int) int {
	k := g.choice % n
	g.choice /= n
	return k
}

func (g *generator) write(re *syntax.Regexp) {
	switch re.Op {
	case syntax.OpLiteral:
		for _, c := range re.Rune {
			switch {
			case string(c) == hostMark:
				g.b.WriteString(example)
			case re.Flags&syntax.FoldCase != 0 && len(re.Rune) > 1: // (?i), of which the tree has upper case; [Uu] mostly begins a sentence
				g.b.WriteRune(unicode.ToLower(c))
			default:
				g.b.WriteRune(c)
			}
		}
	case syntax.OpCharClass, syntax.OpAnyChar, syntax.OpAnyCharNotNL:
		g.odd = g.odd || !isFew(re)
		g.b.WriteRune(sampleRune(re))
	case syntax.OpCapture, syntax.OpConcat:
		for _, sub := range re.Sub {
			g.write(sub)
		}
	case syntax.OpAlternate:
		g.write(re.Sub[g.pick(len(re.Sub))])
	case syntax.OpStar, syntax.OpQuest:
		if g.plain && re.Op == syntax.OpStar {
			return
		}
		if g.pick(2) == 1 {
			g.write(re.Sub[0])
		}
	case syntax.OpPlus:
		if re.Sub[0].Op == syntax.OpAnyCharNotNL {
			g.b.WriteString("some text")
			return
		}
		g.write(re.Sub[0])
	case syntax.OpRepeat:
		for range re.Min {
			g.write(re.Sub[0])
		}
	}
}

// isFew reports whether re is a class of few characters.
func isFew(re *syntax.Regexp) bool { return re.Op == syntax.OpCharClass && few(re) != nil }

// sampleRune returns a character of the class that people would expect there.
func sampleRune(re *syntax.Regexp) rune {
	if re.Op != syntax.OpCharClass {
		return '.'
	}
	if isFew(re) {
		return re.Rune[0]
	}
	for _, c := range "x7Aa.: -" {
		if contains(re, c, c) {
			return c
		}
	}
	return re.Rune[0]
}
