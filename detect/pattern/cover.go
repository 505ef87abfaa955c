package pattern

import (
	"slices"
	"strings"
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

// MaxLabel bounds the text before the address of a cover, in bytes: a longer one would be found in lines of one event only.
const MaxLabel = 24

// Inner reports whether wide fields are on both sides of the address, so that the variant needs a cover.
func (v *Variant) Inner() bool { return v.form == formInner }

// Covers reports whether v is a cover of p.
func (v *Variant) Covers(p *Variant) bool {
	if !v.mayCover() || v.before != 0 && v.before != p.before || v.after != 0 && v.after != p.after {
		return false
	}
	if !strings.HasPrefix(p.segments[0].first.text, v.segments[0].first.text) { // most do not begin alike: see below
		return false
	}
	for _, c := range []byte(p.openFront) { // shown to p with the text of the frame, but not to v
		if strings.IndexByte(v.openFront, c) < 0 {
			return false
		}
	}
	before, address, after := p.Place()
	label, own, _ := v.Place()
	mine := v.segments[1].items()
	return address == own && lengthOf(label) <= MaxLabel &&
		beginsWith(v.segments[0].items(), p.segments[0].items()) && endsWith(label, before) && beginsWith(mine[len(label)+1:], after)
}

// mayCover reports whether the variant has the form of a cover.
func (v *Variant) mayCover() bool {
	return v.form == formInner && len(v.segments) == 3 && v.segments[2].first.text == "" && len(v.segments[2].steps) == 0
}

// beginsWith reports whether all that p reads begins with what head reads.
func beginsWith(head, p []Item) bool {
	for i := range head {
		last := i == len(head)-1
		if i >= len(p) || head[i].Field != p[i].Field || !strings.HasPrefix(p[i].Text, head[i].Text) || !last && head[i].Text != p[i].Text {
			return false
		}
	}
	return true
}

// endsWith reports whether all that p reads ends with what tail reads.
func endsWith(tail, p []Item) bool {
	if len(tail) > len(p) {
		return false
	}
	p = p[len(p)-len(tail):]
	for i := range tail {
		if tail[i].Field != p[i].Field || !strings.HasSuffix(p[i].Text, tail[i].Text) || i > 0 && tail[i].Text != p[i].Text {
			return false
		}
	}
	return true
}

// Place returns what the variant has around its address: all before it, back to a wide field, and after it what shows in every
// line where it ends: the first byte that it cannot hold, and what is before that. Numbers are no words, so they may be between.
func (v *Variant) Place() (before []Item, address Field, after []Item) {
	all := v.segments[v.core].items()
	i := slices.IndexFunc(all, func(it Item) bool { return it.Field == IP || it.Field == IPPort })
	before, address = all[:i], all[i].Field
	last := i // the address, or the last of the numbers after it
	for last+3 < len(all) && all[last+2].Field.Digits() {
		last += 2
	}
	after = slices.Clone(all[i+1 : min(last+2, len(all))])
	if n := len(after); n > 0 {
		after[n-1].Text = endOf(after[n-1].Text, all[last].Field)
	}
	return before, address, after
}

// endOf is the text after a field as far as it shows where the field ends, and a byte more.
func endOf(text string, f Field) string { return text[:min(len(text), classPrefix(text, f.class())+2)] }

// Cover writes the pattern that is missing for v, which was compiled with the frame.
func (v *Variant) Cover(frame Frame) string {
	var b strings.Builder
	if v.before > 0 {
		b.WriteString(patternText(frame.Before[v.before-1]))
	}
	before, address, after := v.Place()
	label := before[len(before)-1].Text
	if n := len(label); n > MaxLabel {
		label = label[n-MaxLabel:]
		label = label[max(0, strings.IndexAny(label, " ,;:=([\"")):]
	}
	if last := &after[len(after)-1]; last.Text[len(last.Text)-1] != ' ' { // it shows without
		number := address
		if len(after) > 1 {
			number = after[len(after)-2].Field
		}
		last.Text = last.Text[:min(len(last.Text), classPrefix(last.Text, number.class())+1)]
	}
	all := slices.Concat(v.segments[0].items(), []Item{{Field: Any}, {Text: label}, {Field: address}}, after, []Item{{Field: Any}})
	for i := range all {
		if all[i].Field == Literal {
			b.WriteString(patternText(all[i].Text))
		} else {
			b.WriteString(all[i].Field.name())
		}
	}
	if v.after > 0 {
		b.WriteString(patternText(frame.After[v.after-1]))
	}
	return b.String()
}

// patternText writes fixed text as a pattern has it.
func patternText(text string) string {
	return strings.NewReplacer(`\`, `\\`, `<`, `\<`, `{`, `\{`).Replace(text)
}

// items lays the segment out as a pattern has it.
func (s *segment) items() []Item {
	var all []Item
	for _, p := range s.parts() {
		all = append(all, Item{Field: p.field, Text: p.text})
	}
	return all
}

// lengthOf returns how much fixed text there is.
func lengthOf(items []Item) (n int) {
	for i := range items {
		n += len(items[i].Text)
	}
	return n
}
