package attack

import (
	"regexp"
	"regexp/syntax"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"tattled/detect"
	"tattled/detect/pattern"
	"tattled/detect/rulefile"
)

// targetsOf lists the forms of all lines that a rule describes: what its patterns and expressions say, and what its samples
// show.
func targetsOf(rule *detect.Rule, samples []detect.Sample) []target {
	all := ruleTargets(rule)
	if name, _ := rule.Service.Parser(); name != "" {
		return append(all, parserTargets(rule, samples)...)
	}
	for i := range samples {
		if one := &samples[i]; one.Addr.IsValid() {
			all = append(all, sampleTarget(rule, one))
		}
	}
	return all
}

// ruleTargets are the lines of a rule's patterns and expressions.
func ruleTargets(rule *detect.Rule) []target {
	var all []target
	match, regex := rule.Patterns()
	for _, p := range match {
		all = append(all, patternTargets(rule, p)...)
	}
	for _, p := range regex {
		all = append(all, expressionTargets(rule, p)...)
	}
	return all
}

// patternTargets are a pattern's lines: with hostile texts in what its fields may hold, and once more, if a field is named
// for what a peer chooses and is no wide one, as if it were.
func patternTargets(rule *detect.Rule, p rulefile.Text) []target {
	ways, err := pattern.Write(p.Value, rule.Service.Frame())
	if err != nil {
		return nil // Load reported it
	}
	t := target{rule: rule, at: p, own: true, peers: peers(), shapes: ways}
	var chosen []pattern.Written
	for _, one := range ways {
		for i := range one.Items {
			if chosenByPeer(one.Items, i) {
				chosen = append(chosen, one)
				break
			}
		}
	}
	all := []target{t.writing(false)}
	if t.own, t.shapes = false, chosen; len(chosen) > 0 {
		all = append(all, t.writing(true))
	}
	return all
}

// peers are addresses in the forms in which programs write them.
func peers() []string { return []string{peer4, peer4, peer6, "::ffff:" + peer4} }

// writing returns t with what writes its lines.
func (t target) writing(chosen bool) target {
	t.write = func(h *hostile, peer string, depth int) []piece {
		one := &t.shapes[h.IntN(len(t.shapes))]
		line := h.pattern(one.Items, peer, depth, chosen)
		if depth > 0 {
			return line
		}
		return h.around(t.rule.Service, one.Before, one.After, line)
	}
	return t
}

// chosenByPeer reports whether the text before a narrow field of names says that a peer chooses what it holds.
func chosenByPeer(items []pattern.Item, i int) bool {
	if f := items[i].Field; f != pattern.Word && f != pattern.Maybe && f != pattern.Host || i == 0 {
		return false
	}
	text := items[i-1].Text
	before := strings.ToLower(strings.TrimRight(text, " =:\"'`<([{"))
	name := before[strings.LastIndexFunc(before, func(c rune) bool { return c != '_' && !unicode.IsLetter(c) })+1:]
	switch name {
	case "helo", "ehlo":
		return true
	case "login", "for":
		return items[i].Field != pattern.Host && !strings.HasSuffix(text, ": ") // that begins what it was that failed
	case "user", "ruser", "username", "account", "acct", "name", "sasl_username", "authid", "authcid", "mailbox",
		"agent", "referer", "referrer", "request", "uri", "url", "path":
		return items[i].Field != pattern.Host // a name of the DNS has no blanks
	default:
		return false
	}
}

// pattern writes a line by a pattern. With chosen, narrow fields that a peer chooses hold anything.
func (h *hostile) pattern(items []pattern.Item, peer string, depth int, chosen bool) []piece {
	line := make([]piece, 0, len(items))
	for i, it := range items {
		switch f := it.Field; {
		case f == pattern.Literal:
			line = append(line, piece{text: it.Text})
		case f == pattern.IP:
			line = append(line, piece{text: peer})
		case f == pattern.IPPort:
			if strings.Contains(peer, ":") && !strings.HasPrefix(peer, "[") {
				peer = "[" + peer + "]"
			}
			line = append(line, piece{text: peer + ":4022"})
		case f.Wide(), chosen && chosenByPeer(items, i):
			line = append(line, piece{h.text(depth), freeHole})
		case f.Digits():
			line = append(line, piece{h.number(f), narrowHole})
		case f == pattern.Maybe && h.IntN(3) == 0:
			line = append(line, piece{"", narrowHole})
		default:
			line = append(line, piece{h.narrow(f, depth), narrowHole})
		}
	}
	return line
}

// expressionTargets are an expression's lines: with hostile texts in every repetition and every group as far as it admits
// them, and once more with any text in the group for the user.
func expressionTargets(rule *detect.Rule, p rulefile.Text) []target {
	tree, err := syntax.Parse(p.Value, syntax.Perl)
	if err != nil {
		return nil
	}
	t := target{rule: rule, at: p, own: true}
	for _, peer := range peers() {
		if admitsPeer(tree, peer) {
			t.peers = append(t.peers, peer)
		}
	}
	write := func(chosen bool) func(h *hostile, peer string, depth int) []piece {
		return func(h *hostile, peer string, depth int) []piece {
			w := expressionWriter{h: h, peer: peer, depth: depth, chosen: chosen}
			w.node(tree)
			if depth > 0 {
				return w.line
			}
			return h.around(rule.Service, "", "", w.line)
		}
	}
	t.write = write(false)
	all := []target{t}
	if slices.Contains(tree.CapNames(), "user") {
		t.own, t.write = false, write(true)
		all = append(all, t)
	}
	return all
}

// admitsPeer reports whether the group for the address can hold that of peer.
func admitsPeer(n *syntax.Regexp, peer string) bool {
	if n.Op == syntax.OpCapture && n.Name == "ip" {
		one, err := regexp.Compile("^(?:" + n.Sub[0].String() + ")$")
		return err == nil && one.MatchString(peer)
	}
	return slices.ContainsFunc(n.Sub, func(sub *syntax.Regexp) bool { return admitsPeer(sub, peer) })
}

// expressionWriter writes a line by an expression.
type expressionWriter struct {
	h      *hostile
	peer   string
	depth  int
	chosen bool
	line   []piece
}

func (w *expressionWriter) node(n *syntax.Regexp) {
	switch n.Op {
	case syntax.OpLiteral:
		w.line = append(w.line, piece{text: string(n.Rune)})
	case syntax.OpCapture:
		switch {
		case n.Name == "ip":
			w.line = append(w.line, piece{text: w.peer})
		case n.Name == "port":
			w.line = append(w.line, piece{text: w.h.number(pattern.Port)})
		case n.Name == "user" && w.chosen:
			w.line = append(w.line, piece{w.h.text(w.depth), freeHole})
		default:
			w.node(n.Sub[0])
		}
	case syntax.OpConcat:
		for _, sub := range n.Sub {
			w.node(sub)
		}
	case syntax.OpAlternate:
		w.node(n.Sub[w.h.IntN(len(n.Sub))])
	case syntax.OpCharClass, syntax.OpAnyChar, syntax.OpAnyCharNotNL:
		w.line = append(w.line, piece{w.admitted(n, 1, 1), narrowHole})
	case syntax.OpStar, syntax.OpPlus, syntax.OpQuest, syntax.OpRepeat:
		w.repetition(n)
	}
}

func (w *expressionWriter) repetition(n *syntax.Regexp) {
	least, most := n.Min, n.Max
	switch n.Op {
	case syntax.OpStar:
		least, most = 0, -1
	case syntax.OpPlus:
		least, most = 1, -1
	case syntax.OpQuest:
		least, most = 0, 1
	}
	if sub := n.Sub[0]; sub.Op == syntax.OpCharClass || sub.Op == syntax.OpAnyChar || sub.Op == syntax.OpAnyCharNotNL {
		one := piece{w.admitted(sub, least, most), narrowHole}
		if least == 0 {
			one.hole = freeHole // what is taken out of it leaves what is admitted
		}
		w.line = append(w.line, one)
		return
	}
	times := least + w.h.IntN(3)
	if most >= 0 {
		times = min(times, most)
	}
	for range times {
		w.node(n.Sub[0])
	}
}

// admitted writes a hostile text of what a class of characters admits.
func (w *expressionWriter) admitted(class *syntax.Regexp, least, most int) string {
	var b strings.Builder
	n := 0
	for text := w.h.text(w.depth); text != "" && n != most; {
		c, size := utf8.DecodeRuneInString(text)
		if admits(class, c) {
			b.WriteString(text[:size])
			n++
		}
		text = text[size:]
	}
	for _, c := range "w1 A.:-/\n" {
		for n < least && admits(class, c) {
			b.WriteRune(c)
			n++
		}
	}
	for n < least && class.Op == syntax.OpCharClass && len(class.Rune) > 0 {
		b.WriteRune(class.Rune[0])
		n++
	}
	return b.String()
}

func admits(class *syntax.Regexp, c rune) bool {
	switch class.Op {
	case syntax.OpAnyChar:
		return true
	case syntax.OpAnyCharNotNL:
		return c != '\n'
	default:
		for i := 0; i+1 < len(class.Rune); i += 2 {
			if class.Rune[i] <= c && c <= class.Rune[i+1] {
				return true
			}
		}
		return false
	}
}

// sampleTarget is a sample's line with hostile texts in place of the user that it shows. Within hostile texts it is the line
// with another address.
func sampleTarget(rule *detect.Rule, s *detect.Sample) target {
	line, user, peer := s.Form.Line.Value, s.Form.User.Value, s.Form.IP.Value
	front, back, found := strings.Cut(line, user)
	t := target{rule: rule, at: s.Form.Line}
	if user != "" && found && !strings.Contains(back, user) {
		t.peers = []string{s.Addr.String()}
	}
	t.write = func(h *hostile, planted string, depth int) []piece {
		if depth > 0 {
			return []piece{{text: strings.ReplaceAll(line, peer, planted)}}
		}
		return []piece{{text: front}, {h.text(0), freeHole}, {text: back}}
	}
	return t
}
