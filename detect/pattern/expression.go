package pattern

import (
	"fmt"
	"regexp"
	"regexp/syntax"
	"slices"
	"strings"

	"tattled/detect/parse"
)

// expression is a rule written as a regular expression (RE2 syntax, linear time). Unlike a pattern it may be ambiguous by
// its nature, and RE2 shows one way to read a line only; so it has a twin that prefers whatever the expression prefers
// least. Where the two find different peers, the line is refused.
type expression struct {
	greedy, twin *regexp.Regexp
	ip           int // numbers of groups, the same in both
	port, user   int // -1 without one
	first        string
	literal      string // a text that every match contains
}

const maxExpression = 1000 // instructions of the compiled program

// CompileExpression compiles an expression of a rule, or says why it is refused.
func CompileExpression(text string, of Owner) (*Variant, error) {
	e, err := newExpression(text)
	if err != nil {
		return nil, err
	}
	return &Variant{Owner: of, form: formRegex, user: -1, expression: e, openFront: anyByte, openBack: anyByte}, nil
}

// newExpression compiles an expression, or says why it is refused.
func newExpression(text string) (*expression, error) {
	tree, err := syntax.Parse(text, syntax.Perl)
	if err != nil {
		return nil, fmt.Errorf("not a valid expression: %w", err)
	}
	if !anchored(tree) {
		return nil, fmt.Errorf("the expression is not anchored: begin it with ^ and end it with $, outside of alternatives")
	}
	e := &expression{ip: -1, port: -1, user: -1}
	for i, name := range tree.CapNames() {
		to := map[string]*int{"ip": &e.ip, "port": &e.port, "user": &e.user}[name]
		switch {
		case name == "":
		case to == nil:
			return nil, fmt.Errorf("no such group: %q (there are ip, port and user; write (?:...) for one without a name)", name)
		case *to >= 0:
			return nil, fmt.Errorf("two groups have the name %q", name)
		default:
			*to = i
		}
	}
	if e.ip < 0 {
		return nil, fmt.Errorf("the expression has no group for the address: write (?P<ip>\\S+)")
	}
	tree = tree.Simplify()
	if prog, err := syntax.Compile(tree); err != nil || len(prog.Inst) > maxExpression {
		return nil, fmt.Errorf("the expression is too large: bound its repetitions")
	}
	e.literal = required(tree)
	if len(e.literal) < minLiteral {
		return nil, fmt.Errorf("the expression has no fixed text of %d bytes that every match contains: it would have to be tried on every line", minLiteral)
	}
	if second := tree.Sub[1]; second.Op == syntax.OpLiteral && second.Flags&syntax.FoldCase == 0 {
		e.first = string(second.Rune)
	}
	e.greedy, err = regexp.Compile(text)
	if err != nil {
		return nil, fmt.Errorf("not a valid expression: %w", err)
	}
	turn(tree)
	e.twin, err = regexp.Compile(source(tree))
	if err != nil || !slices.Equal(e.twin.SubexpNames(), e.greedy.SubexpNames()) {
		return nil, fmt.Errorf("the expression cannot be checked for ambiguity: write it more simply")
	}
	return e, nil
}

// anchored reports whether every match begins and ends where the message does.
func anchored(tree *syntax.Regexp) bool {
	if tree.Op != syntax.OpConcat || len(tree.Sub) < 3 {
		return false
	}
	return tree.Sub[0].Op == syntax.OpBeginText && tree.Sub[len(tree.Sub)-1].Op == syntax.OpEndText
}

// required returns the longest text that every match contains, as far as that is easily told.
func required(tree *syntax.Regexp) string {
	switch tree.Op {
	case syntax.OpLiteral:
		if tree.Flags&syntax.FoldCase == 0 {
			return string(tree.Rune)
		}
	case syntax.OpCapture, syntax.OpPlus:
		return required(tree.Sub[0])
	case syntax.OpConcat:
		longest := ""
		for _, sub := range tree.Sub {
			if text := required(sub); len(text) > len(longest) {
				longest = text
			}
		}
		return longest
	}
	return ""
}

// turn makes every choice of the expression the other way round: repetitions short instead of long, alternatives from the
// last to the first.
func turn(tree *syntax.Regexp) {
	switch tree.Op {
	case syntax.OpStar, syntax.OpPlus, syntax.OpQuest, syntax.OpRepeat:
		tree.Flags ^= syntax.NonGreedy
	case syntax.OpAlternate:
		slices.Reverse(tree.Sub)
	}
	for _, sub := range tree.Sub {
		turn(sub)
	}
}

// source writes out an expression that was simplified. The tree's own String would look in each class for letters that
// differ in case alone, one by one, which takes milliseconds where a class is most of Unicode.
func source(tree *syntax.Regexp) string {
	var all strings.Builder
	for i, sub := range tree.Sub {
		if tree.Op == syntax.OpAlternate && i > 0 {
			all.WriteByte('|')
		}
		all.WriteString(source(sub))
	}
	inner := all.String()
	lazy := ""
	if tree.Flags&syntax.NonGreedy != 0 {
		lazy = "?"
	}
	switch tree.Op {
	case syntax.OpConcat:
		return inner
	case syntax.OpAlternate:
		return "(?:" + inner + ")"
	case syntax.OpStar:
		return "(?:" + inner + ")*" + lazy
	case syntax.OpPlus:
		return "(?:" + inner + ")+" + lazy
	case syntax.OpQuest:
		return "(?:" + inner + ")?" + lazy
	case syntax.OpCapture:
		if tree.Name == "" {
			return "(" + inner + ")"
		}
		return "(?P<" + tree.Name + ">" + inner + ")"
	case syntax.OpCharClass:
		for i := 0; i < len(tree.Rune); i += 2 {
			fmt.Fprintf(&all, `\x{%x}-\x{%x}`, tree.Rune[i], tree.Rune[i+1])
		}
		if all.Len() > 0 {
			return "[" + all.String() + "]"
		}
	}
	return tree.String()
}

// try reads the message by the expression. A line that matches costs an allocation for each of the two; others cost none.
func (e *expression) try(m []byte, v *Variant, r *parse.Result) {
	at := e.greedy.FindSubmatchIndex(m)
	if at == nil || at[2*e.ip] < 0 {
		return
	}
	c := captures{ip: at[2*e.ip], ipEnd: at[2*e.ip+1]}
	if e.port >= 0 && at[2*e.port] >= 0 {
		port, ok := parse.Port(m[at[2*e.port]:at[2*e.port+1]])
		if !ok {
			return
		}
		c.port = port
	}
	var user []byte
	if e.user >= 0 && at[2*e.user] >= 0 {
		user = m[at[2*e.user]:at[2*e.user+1]]
	}
	v.record(m, &c, user, r)
	other := e.twin.FindSubmatchIndex(m)
	if other == nil || other[2*e.ip] < 0 {
		r.Ambiguous = true
		return
	}
	c.ip, c.ipEnd = other[2*e.ip], other[2*e.ip+1]
	v.record(m, &c, user, r)
}

// ways returns what stands where the address belongs in the two ways in which an expression may read the message, or where the
// two part.
func (e *expression) ways(m []byte, v *Variant) (peers []string, miss Miss) {
	var r parse.Result
	e.try(m, v, &r)
	if !r.Found {
		return nil, e.nearest(m)
	}
	group := 2 * e.ip
	for _, one := range []*regexp.Regexp{e.greedy, e.twin} {
		peer := ""
		if at := one.FindSubmatchIndex(m); at != nil && at[group] >= 0 {
			peer = string(m[at[group]:at[group+1]])
		}
		peers = append(peers, peer)
	}
	return peers, Miss{}
}

// nearest finds the longest beginning of the expression that the message begins with.
func (e *expression) nearest(m []byte) Miss {
	tree, err := syntax.Parse(e.greedy.String(), syntax.Perl)
	if err != nil || !strings.Contains(string(m), e.literal) {
		return Miss{}
	}
	for k := len(tree.Sub) - 1; k > 1; k-- {
		front := &syntax.Regexp{Op: syntax.OpConcat, Sub: tree.Sub[:k], Flags: tree.Flags}
		compiled, err := regexp.Compile(front.String())
		if err != nil {
			return Miss{}
		}
		at := compiled.FindIndex(m)
		if at == nil {
			continue
		}
		n := Miss{At: at[1], score: len(required(front))}
		for _, sub := range tree.Sub[k : len(tree.Sub)-1] {
			n.missing += len(required(sub))
		}
		if k < len(tree.Sub)-1 {
			n.Expected = tree.Sub[k].String()
		}
		return n
	}
	return Miss{}
}
