package detect

import (
	"regexp"
	"regexp/syntax"
	"slices"
	"strconv"
	"strings"

	"tattled/detect/parse"
)

// part is fixed text or a field of a compiled variant, in the order of the message.
type part struct {
	text  string // of fixed text
	field field
	class uint8
	least int
	limit int
}

// parts lays the variant's segments out in a row, with a wide field between each two of them.
func (v *variant) parts() []part {
	var all []part
	for i := range v.segments {
		if i > 0 {
			wide := part{field: fieldAny}
			if v.user == i-1 {
				wide.field = fieldUser
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

// reach knows where in a message each part of a pattern may begin: from[i][p] says that the parts before i can be read
// from m[:p], to[i][p] that the parts from i on can be read from m[p:]. Unlike the matcher, which takes the one way that
// matters, it takes all of them.
type reach struct {
	from, to [][]bool
}

// fill computes both for the parts of a pattern.
func (r *reach) fill(parts []part, m []byte) {
	r.from, r.to = sized(r.from, len(parts)+1, len(m)+1), sized(r.to, len(parts)+1, len(m)+1)
	r.from[0][0] = true
	for i := range parts {
		if parts[i].field.wide() {
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
		if parts[i].field.wide() {
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
		case t.field != literal:
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
		if t.field == fieldPort || t.field == fieldLocalPort {
			if _, ok := parse.Port(m[p:q]); !ok {
				continue
			}
		}
		if t.field == fieldIPPort {
			if _, _, _, ok := parse.CutPort(m[p:q]); !ok {
				continue
			}
		}
		fn(p, q)
	}
}

// peers returns every text that stands where the address belongs, in all ways to read the whole message.
func (r *reach) peers(parts []part, m []byte) []string {
	k := slices.IndexFunc(parts, func(t part) bool { return t.field == fieldIP || t.field == fieldIPPort })
	var all []string
	if k < 0 && r.to[0][0] {
		return []string{""} // of kind none, and without an address
	} else if k < 0 {
		return nil
	}
	parts[k].steps(m, r.from[k], func(p, q int) {
		peer := m[p:q]
		if parts[k].field == fieldIPPort {
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
func (r *reach) nearest(parts []part, m []byte) Nearest {
	i := len(parts)
	for !slices.Contains(r.from[i], true) {
		i--
	}
	n := Nearest{At: len(m), score: textOf(parts[:i])}
	n.missing = textOf(parts) - n.score
	last := len(m)
	for !r.from[i][last] {
		last--
	}
	switch {
	case i == len(parts):
		n.At = last
		return n
	case parts[i].field != literal:
		n.At, n.Expected = last, parts[i].name()
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
		if free := i > 0 && parts[i-1].field.wide(); k >= common && (!free || k > 1) {
			common, n.At = k, p+k
		}
	}
	n.score += common
	n.missing -= common
	n.Expected = quoted(parts[i].text[common:])
	if before := i - 1; common == 0 && before >= 0 && !parts[before].field.wide() && n.At < len(m) && classes[m[n.At]]&parts[before].class != 0 {
		for n.At > 0 && classes[m[n.At-1]]&parts[before].class != 0 { // the field goes on there: it is what does not fit
			n.At--
		}
		n.Expected = parts[before].name()
	}
	return n
}

// name is the field as a pattern writes it.
func (t *part) name() string {
	switch t.field {
	case fieldIP:
		return "<ip>"
	case fieldIPPort:
		return "<ip:port>"
	case fieldPort:
		return "<port>"
	case fieldLocalPort:
		return "<local_port>"
	case fieldUser:
		return "<user>"
	case fieldAny:
		return "<any>"
	case fieldMaybe:
		return "<word?>"
	case fieldInt:
		return "<int>"
	case fieldHost:
		return "<host>"
	default:
		return "<word>"
	}
}

func quoted(text string) string { return strconv.Quote(text) }

// tryExpression adds the two ways in which an expression may read the message, or returns where the two part.
func (p *explained) tryExpression(m []byte, e *Explanation) Nearest {
	var r parse.Result
	p.expression.try(m, &p.variant, &r)
	if !r.Found {
		return p.nearest(m)
	}
	group := 2 * p.expression.ip
	for _, expression := range []*regexp.Regexp{p.expression.greedy, p.expression.twin} {
		peer := ""
		if at := expression.FindSubmatchIndex(m); at != nil && at[group] >= 0 {
			peer = string(m[at[group]:at[group+1]])
		}
		e.addWay(p, m, peer)
	}
	return Nearest{}
}

// nearest finds the longest beginning of the expression that the message begins with.
func (p *explained) nearest(m []byte) Nearest {
	tree, err := syntax.Parse(p.text.Value, syntax.Perl)
	if err != nil || !strings.Contains(string(m), p.expression.literal) {
		return Nearest{}
	}
	for k := len(tree.Sub) - 1; k > 1; k-- {
		front := &syntax.Regexp{Op: syntax.OpConcat, Sub: tree.Sub[:k], Flags: tree.Flags}
		compiled, err := regexp.Compile(front.String())
		if err != nil {
			return Nearest{}
		}
		at := compiled.FindIndex(m)
		if at == nil {
			continue
		}
		n := Nearest{At: at[1], score: len(required(front))}
		for _, sub := range tree.Sub[k : len(tree.Sub)-1] {
			n.missing += len(required(sub))
		}
		if k < len(tree.Sub)-1 {
			n.Expected = tree.Sub[k].String()
		}
		return n
	}
	return Nearest{}
}
