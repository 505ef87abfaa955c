package pattern

import (
	"slices"
	"strconv"

	"tattled/detect/parse"
)

// part is fixed text or a field of a compiled variant, in the order of the message.
type part struct {
	text  string // of fixed text
	field Field
	class uint8
	least int
	limit int
}

// parts lays the variant's segments out in a row, with a wide field between each two of them.
func (v *Variant) parts() []part {
	var all []part
	for i := range v.segments {
		if i > 0 {
			wide := part{field: Any}
			if v.user == i-1 {
				wide.field = User
			}
			all = append(all, wide)
		}
		all = append(all, v.segments[i].parts()...)
	}
	return all
}

// parts lays the segment out.
func (s *segment) parts() []part {
	var all []part
	if s.first.text != "" {
		all = append(all, part{text: s.first.text})
	}
	for _, st := range s.steps {
		all = append(all, part{field: st.field, class: st.class, least: st.least, limit: st.limit})
		if st.text.text != "" {
			all = append(all, part{text: st.text.text})
		}
	}
	return all
}

// textOf returns how much fixed text there is.
func textOf(parts []part) (n int) {
	for i := range parts {
		n += len(parts[i].text)
	}
	return n
}

// Reach knows where in a message each part of a pattern may begin: from[i][p] says that the parts before i can be read
// from m[:p], to[i][p] that the parts from i on can be read from m[p:]. Unlike the matcher, which takes the one way that
// matters, it takes all of them.
type Reach struct {
	from, to [][]bool
	parts    map[*Variant][]part // of those that were tried
}

// MaxWays bounds in how many ways a message is read for somebody who asks.
const MaxWays = 16

// Miss is where a pattern and a message part that it does not describe.
type Miss struct {
	At       int    // where in the message; its length if that ends too early
	Expected string // what the pattern has there: text in quotes, a <field> or an expression; "" for its end

	score, missing int // bytes of fixed text that they have in common, and that the message lacks
}

// IsNear reports whether the two have so much in common that it is worth saying.
func (n *Miss) IsNear() bool { return n.score >= minLiteral }

// Closer reports whether n has more in common with the message than other has.
func (n *Miss) Closer(other *Miss) bool {
	if n.score != other.score {
		return n.score > other.score
	}
	return n.missing < other.missing
}

// Try returns every text that stands where the address belongs, in the ways to read the whole message by v, MaxWays at most; ""
// where v describes it without an address. If there is none, miss is where the two part. frame is the one that v was compiled
// with, and v the same as long as the reach is used.
func (r *Reach) Try(v *Variant, frame Frame, m *Framed) (peers []string, miss Miss) {
	if v.form == formRegex {
		return v.expression.ways(m.Text, v)
	}
	parts, known := r.parts[v]
	if !known {
		if r.parts == nil {
			r.parts = map[*Variant][]part{}
		}
		parts = v.parts()
		r.parts[v] = parts
	}
	r.fill(parts, m.Text)
	peers = r.peers(parts, m.Text)
	switch {
	case len(peers) == 0:
		return nil, r.nearest(parts, m.Text)
	case v.before != 0 && v.before != m.Before:
		return nil, Miss{score: textOf(parts), Expected: quoted(frame.Before[v.before-1])}
	case v.after != 0 && v.after != m.After:
		return nil, Miss{score: textOf(parts), At: len(m.Text), Expected: quoted(frame.After[v.after-1])}
	}
	return peers, Miss{}
}

// fill computes both for the parts of a pattern.
func (r *Reach) fill(parts []part, m []byte) {
	r.from, r.to = sized(r.from, len(parts)+1, len(m)+1), sized(r.to, len(parts)+1, len(m)+1)
	r.from[0][0] = true
	for i := range parts {
		if parts[i].field.Wide() {
			if first := slices.Index(r.from[i], true); first >= 0 {
				for p := first; p <= len(m); p++ {
					r.from[i+1][p] = true
				}
			}
			continue
		}
		parts[i].steps(m, r.from[i], func(_, q int) { r.from[i+1][q] = true })
	}
	r.to[len(parts)][len(m)] = true
	for i := len(parts) - 1; i >= 0; i-- {
		if parts[i].field.Wide() {
			ends := false
			for p := len(m); p >= 0; p-- {
				ends = ends || r.to[i+1][p]
				r.to[i][p] = ends
			}
			continue
		}
		parts[i].steps(m, r.from[i], func(p, q int) { r.to[i][p] = r.to[i][p] || r.to[i+1][q] })
	}
}

// sized makes rows of false, in the memory of those before where there is enough.
func sized(rows [][]bool, n, width int) [][]bool {
	rows = slices.Grow(rows[:0], n)[:n]
	for i := range rows {
		rows[i] = slices.Grow(rows[i][:0], width)[:width]
		clear(rows[i])
	}
	return rows
}

// steps calls fn with each p of begins and each end q that the part, which is not wide, can have from there.
func (t *part) steps(m []byte, begins []bool, fn func(p, q int)) {
	for p, begin := range begins {
		switch {
		case !begin:
		case t.field != Literal:
			t.narrow(m, p, fn)
		case parse.HasPrefix(m[p:], t.text):
			fn(p, p+len(t.text))
		}
	}
}

// narrow is steps of a field from one place.
func (t *part) narrow(m []byte, p int, fn func(p, q int)) {
	for q := p; q <= len(m) && q-p <= t.limit; q++ {
		if q > p && classes[m[q-1]]&t.class == 0 {
			return
		}
		if q-p < t.least {
			continue
		}
		if t.field == Port || t.field == LocalPort {
			if _, ok := parse.Port(m[p:q]); !ok {
				continue
			}
		}
		if t.field == IPPort {
			if _, _, _, ok := parse.CutPort(m[p:q]); !ok {
				continue
			}
		}
		fn(p, q)
	}
}

// peers returns every text that stands where the address belongs, in all ways to read the whole message.
func (r *Reach) peers(parts []part, m []byte) []string {
	k := slices.IndexFunc(parts, func(t part) bool { return t.field == IP || t.field == IPPort })
	var all []string
	if k < 0 && r.to[0][0] {
		return []string{""} // of kind none, and without an address
	} else if k < 0 {
		return nil
	}
	parts[k].steps(m, r.from[k], func(p, q int) {
		peer := m[p:q]
		if parts[k].field == IPPort {
			from, to, _, _ := parse.CutPort(peer)
			peer = peer[from:to]
		}
		if r.to[k+1][q] && len(all) < MaxWays && !slices.Contains(all, string(peer)) {
			all = append(all, string(peer))
		}
	})
	return all
}

// nearest returns where the pattern and the message part: at the last part of the pattern that some way to read the
// message gets to, and there at the place that has most of it.
func (r *Reach) nearest(parts []part, m []byte) Miss {
	i := len(parts)
	for !slices.Contains(r.from[i], true) {
		i--
	}
	n := Miss{At: len(m), score: textOf(parts[:i])}
	n.missing = textOf(parts) - n.score
	last := len(m)
	for !r.from[i][last] {
		last--
	}
	switch {
	case i == len(parts):
		n.At = last
		return n
	case parts[i].field != Literal:
		n.At, n.Expected = last, parts[i].field.name()
		return n
	}
	common := 0
	for p := range r.from[i] {
		if !r.from[i][p] {
			continue
		}
		k := 0
		for k < len(parts[i].text) && p+k < len(m) && m[p+k] == parts[i].text[k] {
			k++
		}
		if free := i > 0 && parts[i-1].field.Wide(); k >= common && (!free || k > 1) {
			common, n.At = k, p+k
		}
	}
	n.score += common
	n.missing -= common
	n.Expected = quoted(parts[i].text[common:])
	if before := i - 1; common == 0 && before >= 0 && !parts[before].field.Wide() && n.At < len(m) && classes[m[n.At]]&parts[before].class != 0 {
		for n.At > 0 && classes[m[n.At-1]]&parts[before].class != 0 { // the field goes on there: it is what does not fit
			n.At--
		}
		n.Expected = parts[before].field.name()
	}
	return n
}

func quoted(text string) string { return strconv.Quote(text) }
