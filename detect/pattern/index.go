package pattern

import (
	"tattled/detect/parse"
)

// Index is the matcher for variants that are asked together, as far as their services agree on the frame.
//
//	message -> frame off -> tree of first texts -> groups -> Result
//	                     -> texts anywhere (only for rules that begin alike, or with a field)
type Index struct {
	headless bool // a variant begins with a field, so that what stands before a message may be a part of what that holds

	framing       [256]uint8 // framesFront, framesBack: what a text of before begins with, one of after ends with
	root          [256]*node // by the first byte of a message
	tree          *node
	unanchored    []*group // begin with a field, and are few
	ngrams        *ngrams
	before, after []fixed
	open          [256]uint8 // framesFront, framesBack: beside which bytes any variant is open
	begins        [256]bool  // by what a message may begin with, for any variant to match it
}

// node is a place in a tree of texts. What lies on the way from the root to it, its own label included, is a beginning of
// messages; its groups have exactly that as their first text.
type node struct {
	label  fixed
	groups []*group
	kids   []*node // their labels begin with different bytes
	heads  []byte  // those bytes, side by side
	// keeps has a bit for each value of framed.kept with which a variant here or below is to be tried.
	keeps uint8
}

// settle fills in keeps and heads, here and below.
func (n *node) settle() uint8 {
	n.keeps = 0
	for _, g := range n.groups {
		for i := range g.variants {
			for kept := range uint8(4) {
				if g.variants[i].keeps(kept) {
					n.keeps |= 1 << kept
				}
			}
		}
	}
	for _, k := range n.kids {
		n.keeps |= k.settle()
		n.heads = append(n.heads, k.label.text[0])
	}
	return n.keeps
}

// below returns the node below n whose label begins with c, nil if there is none. It is for a tree that is settled.
func (n *node) below(c byte) *node {
	for i, head := range n.heads {
		if head == c {
			return n.kids[i]
		}
	}
	return nil
}

// kid returns the place of the node below n whose label begins with c, negative if there is none.
func (n *node) kid(c byte) int {
	for i, k := range n.kids {
		if k.label.text[0] == c {
			return i
		}
	}
	return -1
}

const (
	framesFront uint8 = 1 << iota
	framesBack
)

const (
	maxSiblings   = 16 // more variants than this with one first text are distinguished by another string
	maxUnanchored = 4
)

// NewIndex builds the matcher for variants. It keeps copies of them.
func NewIndex(frame Frame, variants []*Variant) *Index {
	x := &Index{tree: new(node)}
	byFirst := map[string][]*Variant{}
	var firsts []string
	for _, v := range variants {
		first := v.first()
		if byFirst[first] == nil {
			firsts = append(firsts, first)
		}
		byFirst[first] = append(byFirst[first], v)
	}
	for _, v := range variants {
		x.headless = x.headless || v.first() == ""
		for _, c := range []byte(v.openFront) {
			x.open[c] |= framesFront
		}
		for _, c := range []byte(v.openBack) {
			x.open[c] |= framesBack
		}
	}
	var floating []*Variant
	for _, first := range firsts {
		all := byFirst[first]
		here := make([]*Variant, 0, len(all))
		for _, v := range all {
			crowded := len(all) > maxSiblings || first == "" && (len(all) > maxUnanchored || v.form == formRegex)
			if crowded && v.longest(first) != "" {
				floating = append(floating, v)
			} else {
				here = append(here, v)
			}
		}
		switch groups := makeGroups(here); {
		case len(groups) == 0:
		case first == "":
			x.unanchored = groups
		default:
			x.insert(first, groups)
		}
	}
	for _, text := range frame.Before {
		x.before = append(x.before, newFixed(text))
		x.framing[text[0]] |= framesFront
	}
	for _, text := range frame.After {
		x.after = append(x.after, newFixed(text))
		x.framing[text[len(text)-1]] |= framesBack
	}
	x.tree.settle()
	for _, n := range x.tree.kids {
		x.root[n.label.text[0]] = n
	}
	if len(floating) > 0 {
		x.ngrams = newNgrams(floating)
	}
	for c := range x.begins {
		x.begins[c] = x.root[c] != nil || len(x.unanchored) > 0 || x.framing[c]&framesFront != 0 || x.ngrams != nil && x.ngrams.starts[c]
	}
	return x
}

// first is the text that a matching message must begin with; "" if the variant begins with a field.
func (v *Variant) first() string {
	if v.form == formRegex {
		return v.expression.first
	}
	return v.segments[0].first.text
}

// longest is the longest text that a matching message must contain, but for first; "" if there is none of three bytes.
func (v *Variant) longest(first string) string {
	longest := ""
	if v.form == formRegex {
		longest = longer(longest, v.expression.literal, first)
	}
	for i := range v.segments {
		s := &v.segments[i]
		longest = longer(longest, s.first.text, first)
		for k := range s.steps {
			longest = longer(longest, s.steps[k].text.text, first)
		}
	}
	return longest
}

// longer is text if it can take the place of longest.
func longer(longest, text, first string) string {
	if len(text) >= minLiteral && len(text) > len(longest) && text != first {
		return text
	}
	return longest
}

func newGroup(v *Variant) *group {
	g := &group{form: v.form, variants: []Variant{*v}}
	if v.form == formTail {
		g.core = &v.segments[v.core]
	}
	return g
}

// makeGroups puts variants together that end in the same segment with the address.
func makeGroups(variants []*Variant) []*group {
	groups := make([]*group, 0, len(variants))
	byCore := map[string]*group{}
	var key []byte
	for _, v := range variants {
		if v.form != formTail || len(variants) == 1 {
			groups = append(groups, newGroup(v))
			continue
		}
		key = v.segments[v.core].appendKey(key[:0])
		if g := byCore[string(key)]; g != nil {
			g.variants = append(g.variants, *v)
			continue
		}
		g := newGroup(v)
		byCore[string(key)] = g
		groups = append(groups, g)
	}
	return groups
}

// Headless reports whether a variant begins with a field, so that what stands before a message may be a part of what that
// holds.
func (x *Index) Headless() bool { return x.headless }

// Floating is how many variants are found by a string anywhere: at most MaxFloating may be.
func (x *Index) Floating() int {
	if x.ngrams == nil {
		return 0
	}
	return x.ngrams.count
}

func (x *Index) insert(text string, groups []*group) {
	at := x.tree
	for text != "" {
		k := at.kid(text[0])
		if k < 0 {
			at.kids = append(at.kids, &node{label: newFixed(text)})
			at = at.kids[len(at.kids)-1]
			break
		}
		next := at.kids[k]
		label := next.label.text
		common := 0
		for common < len(label) && common < len(text) && label[common] == text[common] {
			common++
		}
		if common < len(label) { // a new node between the two
			next.label = newFixed(label[common:])
			next = &node{label: newFixed(label[:common]), kids: []*node{next}}
			at.kids[k] = next
		}
		at, text = next, text[common:]
	}
	at.groups = append(at.groups, groups...)
}

// Read makes what it can of a message. Where a text of the frame might also be what a peer wrote, the message is read with
// that text as well: the way in which its program meant it must be among those that are compared.
func (x *Index) Read(message []byte, r *parse.Result) {
	if len(message) == 0 || !x.begins[message[0]] {
		return
	}
	if x.framing[message[0]]&framesFront == 0 && x.framing[message[len(message)-1]]&framesBack == 0 {
		x.readFramed(&Framed{Text: message}, r)
		return
	}
	var all [4]Framed
	for i := range x.Framings(message, &all) {
		x.readFramed(&all[i], r)
	}
}

func (x *Index) readFramed(m *Framed, r *parse.Result) {
	if len(m.Text) > 0 {
		at := 0
		for n := x.root[m.Text[0]]; n != nil && n.keeps&(1<<m.kept) != 0 && n.label.beginsAt(m.Text, at); {
			for _, g := range n.groups {
				g.try(m, true, r)
			}
			if at += len(n.label.text); at == len(m.Text) {
				break
			}
			n = n.below(m.Text[at])
		}
	}
	for _, g := range x.unanchored {
		g.try(m, false, r)
	}
	if x.ngrams != nil && len(m.Text) > 0 && x.ngrams.starts[m.Text[0]] {
		x.ngrams.read(m, r)
	}
}

// ReadShown reads a message of which one is what rsyslog wrote around it taken off, and text is that without a stamp.
func (x *Index) ReadShown(message, one, text []byte, r *parse.Result) {
	x.Read(text, r)
	if x.headless && len(text) < len(message) {
		x.readWhole(message, one, text, r)
	}
}

// readWhole reads a message of which text was read already with what was taken off its front: one is without what rsyslog
// writes around it, text is also without a stamp.
func (x *Index) readWhole(message, one, text []byte, r *parse.Result) {
	if len(text) < len(one) {
		x.Read(one, r)
	}
	if len(one) < len(message) {
		x.Read(message, r)
	}
}

// Framings takes the frame off a message, a text at either end at most, and returns in how many ways. Where such a text
// might be what a peer wrote, the message with that text is another one: the way in which its program meant it must be
// among those that are compared.
func (x *Index) Framings(message []byte, all *[4]Framed) (n int) {
	m := &all[0]
	m.Text = message
	front, back := 0, 0
	for i := range x.before {
		if f := &x.before[i]; f.beginsAt(m.Text, 0) {
			front, m.Before = len(f.text), i+1
			m.Text = m.Text[front:]
			break
		}
	}
	for i := range x.after {
		if f := &x.after[i]; f.endsAt(m.Text, len(m.Text)) {
			back, m.After = len(f.text), i+1
			m.Text = m.Text[:len(m.Text)-back]
			break
		}
	}
	n = 1
	if len(m.Text) == 0 {
		return n
	}
	openFront := front > 0 && x.open[m.Text[0]]&framesFront != 0
	openBack := back > 0 && x.open[m.Text[len(m.Text)-1]]&framesBack != 0
	if openFront {
		all[n] = Framed{Text: message[:len(message)-back], After: m.After, kept: framesFront}
		n++
	}
	if openBack {
		all[n] = Framed{Text: message[front:], Before: m.Before, kept: framesBack}
		n++
	}
	if openFront && openBack {
		all[n] = Framed{Text: message, kept: framesFront | framesBack}
		n++
	}
	return n
}

// ngrams finds rules by a string that they must contain, all of them in one pass over the message (after Wu and Manber, "A
// fast algorithm for multi-pattern searching", 1994). Of each rule's text it takes a window of the same size; three bytes
// of the message tell how far away the end of the next window can be, so that most bytes are never looked at.
type ngrams struct {
	window int
	starts [256]bool        // by what a message may begin with, for any of the rules to match it
	shift  [gramSlots]uint8 // by the hash of three bytes
	ends   map[uint32][]gram
	count  int
}

// gram is a rule whose window ends in three bytes of a certain hash.
type gram struct {
	text   string
	offset int // of what follows the window
	number int
	group  *group
}

const (
	gramSlots = 1 << 14
	maxWindow = 32
	// MaxFloating bounds the variants of one program that are found by their window: a bit is kept for each while a
	// message is read, so that none is tried twice.
	MaxFloating = 1 << 13
)

// gramSlot is the hash of a text's first three bytes.
func gramSlot(three string) uint32 {
	return (uint32(three[0]) | uint32(three[1])<<8 | uint32(three[2])<<16) * 0x9e3779b1 >> (32 - 14)
}

// newNgrams takes of each variant's longest text the window that ends in the three bytes which the fewest others have.
func newNgrams(variants []*Variant) *ngrams {
	g := &ngrams{window: maxWindow, ends: map[uint32][]gram{}}
	texts := make([]string, len(variants))
	counts := make([]uint16, gramSlots) // of the texts that have three bytes of that hash, as far as they can be counted
	for i, v := range variants {
		text := v.longest("")
		texts[i] = text
		g.window = min(g.window, len(text))
		for k := 0; k+minLiteral <= len(text); k++ {
			n := &counts[gramSlot(text[k:])]
			*n = max(*n, *n+1)
		}
	}
	g.shift[0] = uint8(g.window - minLiteral + 1)
	for n := 1; n < len(g.shift); n *= 2 {
		copy(g.shift[n:], g.shift[:n])
	}
	anywhere := false
	for i, text := range texts {
		best, fewest := g.window, uint16(0)
		for end := g.window; end <= len(text); end++ {
			if n := counts[gramSlot(text[end-minLiteral:])]; fewest == 0 || n < fewest {
				best, fewest = end, n
			}
		}
		for k := best - g.window; k+minLiteral <= best; k++ {
			slot := gramSlot(text[k:])
			g.shift[slot] = min(g.shift[slot], uint8(best-k-minLiteral))
		}
		if first := variants[i].first(); first != "" {
			g.starts[first[0]] = true
		} else {
			anywhere = true
		}
		slot := gramSlot(text[best-minLiteral:])
		one := gram{text: text, offset: best, number: g.count, group: newGroup(variants[i])}
		g.ends[slot] = append(g.ends[slot], one)
		g.count++
	}
	if anywhere {
		for c := range g.starts {
			g.starts[c] = true
		}
	}
	return g
}

func (g *ngrams) read(m *Framed, r *parse.Result) {
	text := m.Text
	end := g.window
	for end <= len(text) {
		skip := g.shift[gramSlotAt(text, end)]
		if skip == 0 {
			break
		}
		end += int(skip)
	}
	if end <= len(text) {
		g.verify(m, end, r)
	}
}

func gramSlotAt(text []byte, end int) uint32 {
	three := text[end-3 : end : end]
	return (uint32(three[0]) | uint32(three[1])<<8 | uint32(three[2])<<16) * 0x9e3779b1 >> (32 - 14)
}

// verify goes on from the first place where a window may end. It has a function of its own because few messages get here
// and it needs room to note what was tried.
func (g *ngrams) verify(m *Framed, end int, r *parse.Result) {
	var tried [MaxFloating / 64]uint64
	text := m.Text
	for end <= len(text) {
		slot := gramSlotAt(text, end)
		if skip := g.shift[slot]; skip > 0 {
			end += int(skip)
			continue
		}
		grams := g.ends[slot]
		for i := range grams {
			c := &grams[i]
			if from := end - c.offset; from < 0 || tried[c.number/64]&(1<<(c.number%64)) != 0 || !parse.HasPrefix(text[from:], c.text) {
				continue
			}
			tried[c.number/64] |= 1 << (c.number % 64)
			c.group.try(m, false, r)
		}
		end++
	}
}

// leastBegun is how many bytes of fixed text at its beginning tell what a message is that has lost its end.
const leastBegun = 10

// Begun returns the rule of a pattern that a message begins as, as far as leastBegun bytes of fixed text tell; negative if there
// is none. Rules of kind none do not count.
func (x *Index) Begun(message []byte) (rule int32) {
	var all [4]Framed
	for i := range x.Framings(message, &all) {
		if rule := x.begun(all[i].Text); rule >= 0 {
			return rule
		}
	}
	return -1
}

// begun is Begun for a message without its frame.
func (x *Index) begun(text []byte) (rule int32) {
	rule = -1
	if len(text) == 0 {
		return rule
	}
	at := 0
	for n := x.root[text[0]]; n != nil && n.label.beginsAt(text, at); {
		if at += len(n.label.text); at >= leastBegun {
			for _, g := range n.groups {
				for i := range g.variants {
					if v := &g.variants[i]; v.Rule >= 0 && !v.None {
						rule = v.Rule
					}
				}
			}
		}
		if at >= len(text) {
			break
		}
		n = n.below(text[at])
	}
	return rule
}
