package pattern

import (
	"slices"
	"strings"
)

// Frame are texts of which a message may begin with one of Before, and end with one of After, without a difference to the
// patterns. A pattern that does begin or end with one of them demands it.
type Frame struct{ Before, After []string }

// Owner is what a pattern is told of the rule that it is of.
type Owner struct {
	Rule int32 // its number among all rules; negative for one that is disabled
	None bool  // it describes lines that are no events
	Raw  bool  // what its lines quote of a peer keeps its line ends
}

// Compile compiles a pattern of a rule, each of the ways to write out its alternatives by itself.
func Compile(pattern string, of Owner, frame Frame) ([]Variant, error) {
	w, err := parsePattern(pattern)
	if err != nil {
		return nil, err
	}
	all := make([]Variant, w.count)
	items := make([]Item, 0, len(w.elements))
	for i := range all {
		v := &all[i]
		v.Owner = of
		items = w.write(items[:0], i)
		items = v.takeFrame(items, &frame)
		if err := checkItems(items, v.None); err != nil {
			return nil, err
		}
		v.findOpen(items, &frame)
		v.segments, v.user = split(items)
		last := len(v.segments) - 1
		for v.core < last && !v.segments[v.core].hasIP() {
			v.core++
		}
		if !v.segments[v.core].hasIP() { // of kind none: that it fits is all there is to know
			v.core = 0
		}
		switch {
		case last == 0:
			v.form = formExact
		case v.core == last:
			v.form = formTail
		case v.core == 0:
			v.form = formHead
		default:
			v.form = formInner
			v.rare = rareByte(items)
		}
	}
	return all, nil
}

// Written is one way to write out a pattern: its items without the texts of the frame that it demands, and these.
type Written struct {
	Items         []Item
	Before, After string
}

// Write writes out a pattern's alternatives: "a{b|c|}d" gives abd, acd and ad, in this order.
func Write(pattern string, frame Frame) ([]Written, error) {
	ways, err := expand(pattern)
	if err != nil {
		return nil, err
	}
	all := make([]Written, len(ways))
	for i, items := range ways {
		var v Variant
		all[i].Items = v.takeFrame(items, &frame)
		if v.before > 0 {
			all[i].Before = frame.Before[v.before-1]
		}
		if v.after > 0 {
			all[i].After = frame.After[v.after-1]
		}
	}
	return all, nil
}

// rareByte returns the byte of the pattern's texts that is seen least in logs, as experience has it; 0 if all are common.
func rareByte(items []Item) byte {
	const rare = "\"<>(){}'`!?*;|&#@=[],/_"
	first := len(rare)
	for _, it := range items {
		for _, c := range []byte(it.Text) {
			if at := strings.IndexByte(rare[:first], c); at >= 0 {
				first = at
			}
		}
	}
	return (rare + "\x00")[first]
}

// takeFrame takes the text of a frame off a pattern that demands it, at either end.
func (v *Variant) takeFrame(items []Item, f *Frame) []Item {
	if len(items) == 0 {
		return items
	}
	for i, text := range f.Before {
		if first := &items[0]; v.before == 0 && first.Field == Literal && strings.HasPrefix(first.Text, text) {
			first.Text, v.before = first.Text[len(text):], i+1
		}
	}
	for i, text := range f.After {
		if last := &items[len(items)-1]; v.after == 0 && last.Field == Literal && strings.HasSuffix(last.Text, text) {
			last.Text, v.after = last.Text[:len(last.Text)-len(text)], i+1
		}
	}
	return slices.DeleteFunc(items, func(it Item) bool { return it.Field == Literal && it.Text == "" })
}

// findOpen notes where a text of the frame might be taken for the frame's though a field, or a field and fixed text beside
// it, hold it: to take it off would then hide how the message was meant.
func (v *Variant) findOpen(items []Item, f *Frame) {
	front := items[:min(2, len(items))]
	for _, text := range f.Before {
		// Most patterns begin with a text, and seldom with the beginning of this one.
		if v.before == 0 && (front[0].Field != Literal || strings.HasPrefix(text, front[0].Text)) {
			v.openFront += openEnd(mirrored(front), reversed(text))
		}
	}
	for _, text := range f.After {
		if v.after == 0 {
			v.openBack += openEnd(items, text)
		}
	}
}

// openEnd returns the bytes that may stand before a text of the frame, at the end of a message that a pattern describes,
// such that the pattern does not describe the message without that text.
func openEnd(items []Item, text string) string {
	n := len(items) - 1
	last := items[n]
	if last.Field == Literal {
		if n > 0 && len(last.Text) < len(text) && strings.HasSuffix(text, last.Text) {
			return anyByte
		}
		return ""
	}
	beside := ""
	if n > 0 {
		beside = items[n-1].Text
	}
	admits := func(s string) bool {
		return last.Field.Wide() || classPrefix(s, last.Field.class()) == len(s) && (s != "" || last.Field == Maybe)
	}
	open := ""
	if last.Field != IP && last.Field != IPPort && !last.Field.Wide() && beside != "" && admits(text) {
		open += beside[len(beside)-1:] // nothing would be left for the field; an address is more than such a text
	}
	for cut := 1; cut <= len(text); cut++ {
		switch head := text[:cut]; {
		case !admits(text[cut:]):
		case len(beside) > cut && strings.HasSuffix(beside, head):
			open += beside[len(beside)-cut-1 : len(beside)-cut]
		case strings.HasSuffix(head, beside):
			return anyByte
		}
	}
	return open
}

// anyByte has every byte.
var anyByte = func() string {
	var all [256]byte
	for c := range all {
		all[c] = byte(c)
	}
	return string(all[:])
}()

// mirrored is a pattern read from the end.
func mirrored(items []Item) []Item {
	all := slices.Clone(items)
	slices.Reverse(all)
	for i := range all {
		all[i].Text = reversed(all[i].Text)
	}
	return all
}

func reversed(s string) string {
	b := []byte(s)
	slices.Reverse(b)
	return string(b)
}
