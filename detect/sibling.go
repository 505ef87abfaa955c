package detect

import (
	"fmt"
	"slices"
	"strings"

	"tattled/detect/rulefile"
)

// A pattern with wide fields on both sides of its address finds it wherever its text is. A program also writes lines that no
// rule describes; where one begins as the pattern does and has a peer's text in it, that text can hold all that the pattern
// looks for, with somebody else's address, and be the only way to read the line. So such a pattern needs a cover, a pattern of
// the same service, mostly of kind none, that is the beginning, anything, the label before the address, the address, the byte
// after it, and anything again:
//
//	pattern   Login of <user> from <ip>: bad password for <any>
//	cover     Login of <any> from <ip>: <any>
//
// It reads every address in the line that has this label before it. So a line which begins as the pattern, and in which its peer
// is written as the cover has it, is from that peer, or ambiguous, whatever else is in it.

// maxLabel bounds the text before the address of a cover, in bytes: a longer one would be found in lines of one event only.
const maxLabel = 24

// covers reports whether v is a cover of p.
func (v *variant) covers(p *variant) bool {
	if !v.mayCover() || v.before != 0 && v.before != p.before || v.after != 0 && v.after != p.after {
		return false
	}
	for _, c := range []byte(p.openFront) { // shown to p with the text of the frame, but not to v
		if strings.IndexByte(v.openFront, c) < 0 {
			return false
		}
	}
	before, address, after := p.place()
	label, own, _ := v.place()
	mine := v.segments[1].parts()
	return address == own && textOf(label) <= maxLabel &&
		beginsWith(v.segments[0].parts(), p.segments[0].parts()) && endsWith(label, before) && beginsWith(mine[len(label)+1:], after)
}

// mayCover reports whether the variant has the form of a cover.
func (v *variant) mayCover() bool {
	return v.form == formInner && len(v.segments) == 3 && len(v.segments[2].parts()) == 0
}

// beginsWith reports whether all that p reads begins with what head reads.
func beginsWith(head, p []part) bool {
	for i := range head {
		last := i == len(head)-1
		if i >= len(p) || head[i].field != p[i].field || !strings.HasPrefix(p[i].text, head[i].text) || !last && head[i].text != p[i].text {
			return false
		}
	}
	return true
}

// endsWith reports whether all that p reads ends with what tail reads.
func endsWith(tail, p []part) bool {
	if len(tail) > len(p) {
		return false
	}
	p = p[len(p)-len(tail):]
	for i := range tail {
		if tail[i].field != p[i].field || !strings.HasSuffix(p[i].text, tail[i].text) || i > 0 && tail[i].text != p[i].text {
			return false
		}
	}
	return true
}

// place returns what the variant has around its address: all before it, back to a wide field, and after it what shows in every
// line where it ends: the first byte that it cannot hold, and what is before that. Numbers are no words, so they may be between.
func (v *variant) place() (before []part, address field, after []part) {
	all := v.segments[v.core].parts()
	i := slices.IndexFunc(all, func(t part) bool { return t.field == fieldIP || t.field == fieldIPPort })
	before, address = all[:i], all[i].field
	last := i // the address, or the last of the numbers after it
	for last+3 < len(all) && all[last+2].class == classDigit {
		last += 2
	}
	after = slices.Clone(all[i+1 : min(last+2, len(all))])
	if n := len(after); n > 0 {
		after[n-1].text = endOf(after[n-1].text, all[last].field)
	}
	return before, address, after
}

// endOf is the text after a field as far as it shows where the field ends, and a byte more.
func endOf(text string, f field) string { return text[:min(len(text), classPrefix(text, f.class())+2)] }

// cover writes the pattern that is missing for v.
func (v *variant) cover(s *Service) string {
	var b strings.Builder
	if v.before > 0 {
		b.WriteString(patternText(s.before[v.before-1]))
	}
	before, address, after := v.place()
	label := before[len(before)-1].text
	if n := len(label); n > maxLabel {
		label = label[n-maxLabel:]
		label = label[max(0, strings.IndexAny(label, " ,;:=([\"")):]
	}
	if last := &after[len(after)-1]; last.text[len(last.text)-1] != ' ' { // it shows without
		number := address
		if len(after) > 1 {
			number = after[len(after)-2].field
		}
		last.text = last.text[:min(len(last.text), classPrefix(last.text, number.class())+1)]
	}
	all := slices.Concat(v.segments[0].parts(), []part{{field: fieldAny}, {text: label}, {field: address}}, after, []part{{field: fieldAny}})
	for i := range all {
		if all[i].field == literal {
			b.WriteString(patternText(all[i].text))
		} else {
			b.WriteString(all[i].name())
		}
	}
	if v.after > 0 {
		b.WriteString(patternText(s.after[v.after-1]))
	}
	return b.String()
}

// patternText writes fixed text as a pattern has it.
func patternText(text string) string {
	return strings.NewReplacer(`\`, `\\`, `<`, `\<`, `{`, `\{`).Replace(text)
}

// uncovered returns a fault for each pattern that needs a cover and has none.
func (r *Rules) uncovered() []Fault {
	var found []Fault
	for _, s := range r.services {
		type pattern struct {
			at       rulefile.Text
			rule     *Rule
			variants []variant
		}
		var all []pattern
		for _, rule := range slices.Concat(r.of(s), s.witnesses) {
			for _, p := range rule.match {
				variants, _ := rule.compilePattern(p.Value) // Load told of one that cannot be compiled
				all = append(all, pattern{p, rule, variants})
			}
		}
		covered := func(v *variant) bool {
			return slices.ContainsFunc(all, func(p pattern) bool {
				return slices.ContainsFunc(p.variants, func(k variant) bool { return k.covers(v) })
			})
		}
		for _, p := range all {
			for i := range p.variants {
				if v := &p.variants[i]; v.form == formInner && !v.none && p.rule.Index >= 0 && !covered(v) {
					cover := v.cover(s)
					found = append(found, Fault{File: s.File, Line: p.at.Line, Cover: cover, Problem: fmt.Sprintf("match: a peer's text may be on both sides of the address in this pattern of rule %s, "+
						"and nothing describes other lines that begin alike, in which it could be all of it: add to a rule of kind: none at the end of the file: match: ['%s']",
						p.rule.Name, strings.ReplaceAll(cover, "'", "''"))})
					break
				}
			}
		}
	}
	return found
}
