package pattern

import (
	"bytes"
	"net/netip"

	"tattled/detect/parse"
)

// form is how a pattern is matched. It depends on where the address stands among the pattern's wide fields.
type form uint8

const (
	formExact form = iota // no wide field: from the front to the end
	formTail              // wide fields before the address only: the segment with the address ends the message
	formHead              // wide fields behind the address only: the segment with the address begins the message
	formInner             // wide fields on both sides: every place where the segment with the address fits
	formRegex
)

// Variant is one way to write out one pattern, or a regular expression.
type Variant struct {
	Owner
	Order         int32 // among all patterns that may read one message: where two match, the smaller one names the rule
	before, after int   // the texts of the frame that the message must have had, from 1; 0 for whatever it had
	// The bytes beside which what looks like the frame's text may be a part of what a field holds: see findOpen.
	openFront, openBack string

	form       form
	segments   []segment
	core       int  // the segment with the address
	user       int  // the segment before the user; -1 for none
	rare       byte // of a formInner: a byte that a matching message has and few others do, 0 for none
	expression *expression
}

// group is a set of variants that are judged together: of a formTail, all that end in the same segment, because that
// segment alone says what the address is; else one.
type group struct {
	form     form
	core     *segment
	variants []Variant
}

// TooLong reports whether the message may have been cut before the address that its program wrote.
func (v *Variant) TooLong(m []byte) bool {
	return len(m) > parse.LongestBehind && v.form != formExact && v.form != formHead
}

// record puts a way to read the message by the variant into r. That of a shadow rule, whose rule is -1, names no rule.
func (v *Variant) record(m []byte, c *captures, user []byte, r *parse.Result) {
	r.Raw = r.Raw || v.Raw
	if r.Found {
		var other parse.Result
		if v.record(m, c, user, &other); other.Found {
			r.Join(&other)
		}
		return
	}
	addr, ok := c.addr(m)
	if !ok {
		if v.None && parse.NoPeer(m[c.ip:c.ipEnd]) {
			return // it looks for peers in lines of many forms
		}
		r.Refusal = parse.RefusalOf(m[c.ip:c.ipEnd])
	} else if v.TooLong(m) {
		addr, r.Refusal = netip.Addr{}, parse.TooLong
	}
	r.Found, r.Order, r.Rule, r.Addr, r.Port, r.Local, r.User = true, v.Order, v.Rule, addr, c.port, c.local, user
}

// Framed is a message whose frame was taken off.
type Framed struct {
	Text          []byte
	Before, After int
	kept          uint8 // framesFront, framesBack: where it was not, for the variants that are open there
}

// keeps reports whether the variant is to be tried on a message that kept these texts of the frame.
func (v *Variant) keeps(kept uint8) bool {
	return (kept&framesFront == 0 || v.openFront != "") && (kept&framesBack == 0 || v.openBack != "")
}

// Fits reports whether the variant is to be tried on a message with what was taken off it.
func (v *Variant) Fits(m *Framed) bool {
	return v.keeps(m.kept) && (v.before == 0 || v.before == m.Before) && (v.after == 0 || v.after == m.After)
}

// try reads the message by the group's patterns. known says that their first fixed text was compared already.
func (g *group) try(m *Framed, known bool, r *parse.Result) {
	switch v := &g.variants[0]; g.form {
	case formTail:
		g.tryTail(m, known, r)
	case formExact:
		if v.Fits(m) {
			v.tryExact(m.Text, known, r)
		}
	case formHead:
		if v.Fits(m) {
			v.tryHead(m.Text, known, r)
		}
	case formInner:
		if v.Fits(m) {
			v.tryInner(m.Text, known, r)
		}
	case formRegex:
		if v.Fits(m) {
			v.expression.try(m.Text, v, r)
		}
	}
}

// tryExact begins where a mismatch is found sooner: a pattern that ends in the address at the end.
func (v *Variant) tryExact(m []byte, known bool, r *parse.Result) {
	var c captures
	s := &v.segments[0]
	if n := len(s.steps); n > 0 && s.steps[n-1].endsInAddress() {
		if at, ok := s.backward(m, len(m), &c); !ok || at != 0 {
			return
		}
	} else if end, ok := s.forward(m, 0, known, &c); !ok || end != len(m) {
		return
	}
	v.record(m, &c, nil, r)
}

func (st *step) endsInAddress() bool {
	return (st.field == IP || st.field == IPPort) && st.text.text == ""
}

func (g *group) tryTail(m *Framed, known bool, r *parse.Result) {
	var found captures
	start, ok := g.core.backward(m.Text, len(m.Text), &found)
	if !ok {
		return
	}
	for i := range g.variants {
		v := &g.variants[i]
		if !v.Fits(m) {
			continue
		}
		c := found
		end, ok := v.segments[0].forward(m.Text, 0, known, &c)
		if !ok || end > start {
			continue
		}
		user, end, ok := v.between(m.Text, 0, v.core, end, start, &c)
		if !ok {
			continue
		}
		if v.user == v.core-1 {
			user = m.Text[end:start]
		}
		v.record(m.Text, &c, user, r)
		if v.Rule >= 0 {
			return // the others could only say the same address
		}
	}
}

// between matches the segments between first and last, each as early as it goes, in m[end:start]. It returns where the
// last of them ends, and the user if one of their gaps holds it.
func (v *Variant) between(m []byte, first, last, end, start int, c *captures) (user []byte, to int, ok bool) {
	for k := first + 1; k < last; k++ {
		at, to, ok := v.segments[k].find(m, end, start, c)
		if !ok {
			return nil, 0, false
		}
		if v.user == k-1 {
			user = m[end:at]
		}
		end = to
	}
	return user, end, true
}

func (v *Variant) tryHead(m []byte, known bool, r *parse.Result) {
	var c captures
	end, ok := v.segments[0].forward(m, 0, known, &c)
	if !ok {
		return
	}
	last := len(v.segments) - 1
	start, ok := v.segments[last].backward(m, len(m), &c)
	if !ok || start < end {
		return
	}
	user, end, ok := v.between(m, 0, last, end, start, &c)
	if !ok {
		return
	}
	if v.user == last-1 {
		user = m[end:start]
	}
	v.record(m, &c, user, r)
}

// tryInner looks at every place where the segment with the address fits. What stands left of it is matched as early as it
// goes and what stands right of it as late as it goes, so that no place is missed.
func (v *Variant) tryInner(m []byte, known bool, r *parse.Result) {
	if v.rare != 0 && bytes.IndexByte(m, v.rare) < 0 {
		return
	}
	var c captures
	end, ok := v.segments[0].forward(m, 0, known, &c)
	if !ok {
		return
	}
	last := len(v.segments) - 1
	start, ok := v.segments[last].backward(m, len(m), &c)
	if !ok || start < end {
		return
	}
	user, end, ok := v.between(m, 0, v.core, end, start, &c)
	if !ok {
		return
	}
	for k := last - 1; k > v.core; k-- {
		at, to, ok := v.segments[k].findLast(m, end, start, &c)
		if !ok {
			return
		}
		if v.user == k {
			user = m[to:start]
		}
		start = at
	}
	for from := end; ; {
		at, to, ok := v.segments[v.core].find(m, from, start, &c)
		if !ok {
			return
		}
		switch v.user {
		case v.core - 1:
			user = m[end:at]
		case v.core:
			user = m[to:start]
		}
		if v.record(m, &c, user, r); r.Ambiguous {
			return
		}
		from = at + 1
	}
}
