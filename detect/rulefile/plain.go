package rulefile

import (
	"bytes"
	"slices"
	"strings"
)

// plain reads the rule files that are built in, which all have one plain style, of which it knows just enough: reading YAML
// as such would be most of what a start costs. What it does not understand makes it fail, and decode reads the file instead
// (TestPlain says that it understands them all, and as decode does). It leaves the samples out: only Run needs them.
type plain struct {
	rest   []byte // what was not read yet
	line   int
	column int // of rest in its line; -1 at its beginning, before the indentation
	failed bool
}

// ReadPlain reads a rule file, or what stands in it before the rules.
func ReadPlain(content []byte) (form File, ok bool) {
	p := plain{rest: content, line: 1, column: -1}
	p.mapping(0, func(key string) {
		switch key {
		case "service":
			form.Service = p.textLine()
		case "programs":
			form.Programs = p.texts(0)
		case "drift":
			drift := p.flag()
			form.Drift = &drift
		case "raw":
			form.Raw = p.flag()
		case "lines":
			form.Lines = p.textLine()
		case "proof":
			form.Proof = p.textLine()
		case "session":
			form.Session = p.flag()
		case "before":
			form.Before = p.texts(0)
		case "after":
			form.After = p.texts(0)
		case "stamp":
			form.Stamp = p.flag()
		case "longest":
			form.Longest = p.textLine()
		case "parser":
			form.Parser = p.textLine()
		case "fields":
			form.Fields = p.lists(0)
		case "peer_once":
			form.PeerOnce = p.flag()
		case "fetchers":
			form.Fetchers = p.texts(0)
		case "rules":
			p.endLine()
			for p.indent() == 2 && p.hyphen() {
				form.Rules = append(form.Rules, p.rule())
			}
		default:
			p.fail()
		}
	})
	return form, !p.failed && len(p.rest) == 0
}

// rule reads a rule whose hyphen was read.
func (p *plain) rule() (r Rule) {
	p.mapping(4, func(key string) {
		switch key {
		case "name":
			r.Name = p.textLine()
		case "kind":
			r.Kind = p.textLine()
		case "handshake":
			r.Handshake = p.flag()
		case "raw":
			r.Raw = p.flag()
		case "weak":
			r.Weak = p.flag()
		case "categories":
			r.Categories = p.texts(4)
		case "match":
			r.Match = p.texts(4)
		case "regex":
			r.Regex = p.texts(4)
		case "where":
			r.Where = p.lists(4)
		case "not":
			r.Not = p.lists(4)
		case "samples":
			for p.skipLine(); p.indent() > 4; {
				p.skipLine()
			}
		default:
			p.fail()
		}
	})
	return r
}

func (p *plain) fail() {
	p.failed, p.rest, p.column = true, nil, -1
}

func (p *plain) skipLine() {
	_, p.rest, _ = bytes.Cut(p.rest, []byte("\n"))
	p.line++
	p.column = -1
}

// indent goes to the next text that is no comment, from the beginning of a line, and returns the column where it stands; -1
// if there is none.
func (p *plain) indent() int {
	for p.column < 0 && len(p.rest) > 0 {
		text := bytes.TrimLeft(p.rest, " ")
		if len(text) == 0 || text[0] == '\n' || text[0] == '#' {
			p.skipLine()
			continue
		}
		p.column, p.rest = len(p.rest)-len(text), text
	}
	return p.column
}

// more reports whether more than a comment is left of the line, and goes to it.
func (p *plain) more() bool {
	text := bytes.TrimLeft(p.rest, " ")
	if len(text) == 0 || text[0] == '\n' || text[0] == '#' && len(text) < len(p.rest) {
		return false
	}
	p.rest = text
	return true
}

// endLine goes to the next line.
func (p *plain) endLine() {
	if p.more() {
		p.fail()
	}
	p.skipLine()
}

// take reads a text if it is next.
func (p *plain) take(text string) bool {
	rest, found := bytes.CutPrefix(p.rest, []byte(text))
	p.rest = rest
	return found
}

// hyphen reads the mark of an item of a list in a line of its own.
func (p *plain) hyphen() bool {
	if !p.take("- ") {
		return false
	}
	p.column += 2
	return true
}

// mapping reads keys that stand in the same column. value reads what belongs to a key, to the end of the line.
func (p *plain) mapping(column int, value func(key string)) {
	var seen []string
	for p.indent() == column {
		key := p.key()
		if slices.Contains(seen, key) {
			p.fail()
			return
		}
		seen = append(seen, key)
		value(key)
	}
}

// key reads a key and the colon behind it.
func (p *plain) key() string {
	n := 0
	for n < len(p.rest) && (p.rest[n] >= 'a' && p.rest[n] <= 'z' || p.rest[n] == '_') {
		n++
	}
	key := string(p.rest[:n])
	p.rest = p.rest[n:]
	if key == "" || !p.take(":") || len(p.rest) == 0 || p.rest[0] != ' ' && p.rest[0] != '\n' {
		p.fail()
	}
	return key
}

// textLine reads a text that is the rest of the line.
func (p *plain) textLine() Text {
	p.more()
	t := p.text()
	p.endLine()
	return t
}

func (p *plain) flag() bool {
	t := p.textLine()
	if t.Value != "true" && t.Value != "false" {
		p.fail()
	}
	return t.Value == "true"
}

// texts reads the texts of a key that stands in a column: in brackets, or each behind a hyphen in a line of its own.
func (p *plain) texts(column int) (all []Text) {
	beside := p.more()
	if !beside {
		p.endLine()
		if p.indent() <= column {
			p.fail()
		}
	}
	switch {
	case p.take("["):
		all = p.list()
		p.endLine()
	case !beside:
		for inner := p.column; p.indent() == inner && p.hyphen(); {
			all = append(all, p.textLine())
		}
	}
	if len(all) == 0 {
		p.fail()
	}
	return all
}

// list reads texts in brackets of which the first was read.
func (p *plain) list() []Text {
	all := make([]Text, 0, bytes.IndexByte(p.rest, '\n')/16+1)
	for p.gap(); !p.failed && !p.take("]"); p.gap() {
		all = append(all, p.text())
		if !p.take(",") && !bytes.HasPrefix(p.rest, []byte("]")) {
			p.fail()
		}
	}
	return all
}

// gap goes to the next text within brackets.
func (p *plain) gap() {
	for !p.more() && len(p.rest) > 0 {
		p.skipLine()
	}
}

// lists reads the names, with one or several texts each, of a key that stands in a column.
func (p *plain) lists(column int) (l Lists) {
	if p.more() && p.take("{") {
		for l.Line = p.line; !p.failed && !p.take("}"); p.gap() {
			one := List{Name: Text{Line: p.line}}
			one.Name.Value = p.key()
			if p.more() && p.take("[") {
				one.Values = p.list()
			} else {
				one.Values = []Text{p.text()}
			}
			l.All = append(l.All, one)
			if !p.take(",") && !bytes.HasPrefix(p.rest, []byte("}")) {
				p.fail()
			}
		}
		p.endLine()
		return l
	}
	p.endLine()
	inner := p.indent()
	if inner <= column {
		p.fail()
	}
	l.Line = p.line
	p.mapping(inner, func(key string) {
		one := List{Name: Text{key, p.line}}
		if !p.more() || p.rest[0] == '[' {
			one.Values = p.texts(inner)
		} else {
			one.Values = []Text{p.textLine()}
		}
		l.All = append(l.All, one)
	})
	return l
}

// text reads a text, in quotes or not.
func (p *plain) text() Text {
	t := Text{Line: p.line}
	switch {
	case p.take("'"):
		t.Value = p.quoted('\'')
		if strings.Contains(t.Value, "''") {
			t.Value = strings.ReplaceAll(t.Value, "''", "'")
		}
	case p.take(`"`):
		t.Value = p.quoted('"')
		if strings.Contains(t.Value, `\`) {
			t.Value = p.unescaped(t.Value)
		}
	default:
		n := 0
		for n < len(p.rest) && isPlain(p.rest[n]) {
			n++
		}
		t.Value = string(p.rest[:n])
		p.rest = p.rest[n:]
		if t.Value == "" || t.Value[0] == '-' || strings.EqualFold(t.Value, "null") {
			p.fail()
		}
	}
	return t
}

func isPlain(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte(`-_./$()\`, c) >= 0
}

// quoted reads a text to the quote that ends it. In single quotes another one is written twice, in double quotes it stands
// behind a backslash.
func (p *plain) quoted(quote byte) string {
	for n := 0; n < len(p.rest) && ' ' <= p.rest[n] && p.rest[n] < 0x7f; n++ {
		switch {
		case p.rest[n] == '\\' && quote == '"':
			n++
		case p.rest[n] != quote:
		case quote == '\'' && n+1 < len(p.rest) && p.rest[n+1] == quote:
			n++
		default:
			value := string(p.rest[:n])
			p.rest = p.rest[n+1:]
			return value
		}
	}
	p.fail()
	return ""
}

// unescaped makes what they stand for of \\, \", \e (the escape character) and \t.
func (p *plain) unescaped(s string) string {
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c == '\\' {
			i++
			switch c = s[i]; c {
			case '\\', '"':
			case 'e':
				c = 0x1b
			case 't':
				c = '\t'
			default:
				p.fail()
			}
		}
		b = append(b, c)
	}
	return string(b)
}
