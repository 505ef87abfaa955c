package detect

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"

	"tattled/detect/rulefile"
)

// compile numbers services and rules, and builds the matchers for the programs that a user's service knows, so that every
// fault of a user's file is found. What is built in is read and compiled when its program is first heard of: most machines
// run few of all programs. The tests hold it, and Run tells of faults.
func (l *loader) compile() *Rules {
	r := &Rules{services: l.services, silent: l.silent, builtin: l.builtin, options: l.options}
	for i, s := range r.silent {
		s.Index = len(r.services) + i
	}
	for i, s := range l.services {
		s.Index, s.first = i, len(r.rules)
		if !s.unread {
			s.count = len(l.rules[s])
		}
		r.rules = append(r.rules, make([]*Rule, s.count)...)
		if !s.unread {
			r.number(s, l.rules[s])
		}
	}
	r.listPrograms()
	for _, m := range r.matchers {
		if slices.ContainsFunc(m.services, func(s *Service) bool { return !s.builtin }) {
			l.faults = append(l.faults, r.build(m, len(l.faults) == 0)...)
		}
	}
	return r
}

// matcher is what judges the messages of programs that the same services know.
type matcher struct {
	services []*Service // silent ones last
	names    []string
	first    atomic.Pointer[unit] // of those that read the messages, by unit.next; nil until the first message
}

// listPrograms sets r.programs and r.matchers.
func (r *Rules) listPrograms() {
	services := slices.Concat(r.services, r.silent)
	count := 0
	for _, s := range services {
		count += len(s.Programs)
	}
	knowing := make(map[string][]*Service, count)
	names := make([]string, 0, count)
	var wild []*Service // know programs by a wildcard
	for _, s := range services {
		for _, name := range s.Programs {
			if knowing[name] == nil {
				names = append(names, name)
			}
			knowing[name] = append(knowing[name], s)
		}
		if slices.ContainsFunc(s.Programs, func(p string) bool { return strings.IndexByte(p, wildcard) > 0 }) {
			wild = append(wild, s)
		}
	}
	for _, s := range wild {
		for _, name := range names {
			if !slices.Contains(knowing[name], s) && s.knows(name) {
				knowing[name] = append(knowing[name], s)
				slices.SortFunc(knowing[name], func(a, b *Service) int { return a.Index - b.Index })
			}
		}
	}
	byServices := map[string]*matcher{}
	all := make([]program, 0, len(names))
	var key []byte
	for _, name := range names {
		if knowing[name][0].Index >= len(r.services) {
			continue // only silent ones know it
		}
		key = key[:0]
		for _, s := range knowing[name] {
			key = binary.AppendUvarint(key, uint64(s.Index))
		}
		m := byServices[string(key)]
		if m == nil {
			m = &matcher{services: knowing[name]}
			byServices[string(key)] = m
			r.matchers = append(r.matchers, m)
		}
		m.names = append(m.names, name)
		readsAccess := slices.ContainsFunc(knowing[name], func(s *Service) bool { return s.parserName == accessParser })
		all = append(all, program{name: name, service: knowing[name][0], matcher: m, access: readsAccess})
	}
	r.programs = newPrograms(all)
}

// build compiles what m needs, unless that was done, and returns what is wrong with it. Without sound, a fault is known
// already and more are looked for in the patterns alone.
func (r *Rules) build(m *matcher, sound bool) []Fault {
	r.building.Lock()
	defer r.building.Unlock()
	if m.first.Load() != nil {
		return nil
	}
	var found []Fault
	variants := map[*Service][]*variant{}
	order := int32(0)
	compile := func(s *Service, rules []*Rule) {
		f := rulefile.Faults{File: s.File}
		all := variants[s]
		for _, rule := range rules {
			all = rule.compile(all, &f)
		}
		for _, v := range all[len(variants[s]):] {
			v.order, order = order, order+1
		}
		variants[s] = all
		found = append(found, f.All...)
	}
	for _, s := range m.services {
		if s.unread && glances[s.parserName] != nil {
			continue // see parserOf
		}
		r.read(s)
		compile(s, r.rules[s.first:s.first+s.count])
	}
	for _, s := range m.services { // last, so that they name a line that no other rule describes
		compile(s, s.witnesses)
	}
	if !sound {
		return found
	}
	units := newUnits(m.services, variants)
	if n := scattered(units); n > maxScattered {
		found = append(found, Fault{Problem: fmt.Sprintf("rules: %d patterns for the program %q begin alike: "+
			"give them different beginnings, at most %d may share one", n, m.names[0], maxScattered)})
	}
	for i, u := range units[1:] {
		units[i].next = u
	}
	m.first.Store(units[0])
	return found
}

// parserOf returns the parser of a unit's service, whose rules are read if they were not yet.
func (r *Rules) parserOf(u *unit) parser {
	if p := u.parser.Load(); p != nil {
		return *p
	}
	r.building.Lock()
	defer r.building.Unlock()
	r.read(u.service)
	u.parser.Store(&u.service.parser)
	return u.service.parser
}

func scattered(units []*unit) (most int) {
	for _, u := range units {
		for ; u != nil; u = u.veto {
			if u.grams != nil {
				most = max(most, u.grams.count)
			}
		}
	}
	return most
}

// newUnits makes a unit of the services that agree on the frame, and one for each parser: at least one.
func newUnits(services []*Service, variants map[*Service][]*variant) []*unit {
	var units []*unit
	var keys []string
	together := map[string][]*variant{}
	first := map[string]*Service{}
	for _, s := range services {
		key := unitKey(s)
		if first[key] == nil {
			first[key] = s
			keys = append(keys, key)
		}
		together[key] = append(together[key], variants[s]...)
	}
	for _, key := range keys {
		if s := first[key]; s.parserName != "" {
			units = append(units, &unit{service: s, glance: glances[s.parserName]})
		} else {
			units = append(units, newUnit(s.before, s.after, together[key]))
		}
		u := units[len(units)-1]
		u.stamped, u.raw, u.longest = first[key].stamped, first[key].Raw && len(keys) > 1, first[key].longest
	}
	return units
}

// compile appends variants of the rule's patterns and expressions.
func (r *Rule) compile(all []*variant, f *rulefile.Faults) []*variant {
	for _, p := range r.match {
		made, err := r.compilePattern(p.Value)
		if err != nil {
			f.Add(p.Line, "match: %v", err)
		}
		for i := range made {
			all = append(all, &made[i])
		}
	}
	for _, p := range r.regex {
		e, err := newExpression(p.Value)
		if err != nil {
			f.Add(p.Line, "regex: %v", err)
			continue
		}
		all = append(all, r.expressionVariant(e))
	}
	return all
}

func (r *Rule) expressionVariant(e *expression) *variant {
	return &variant{rule: int32(r.Index), none: r.Kind == 0, raw: r.Raw, form: formRegex, user: -1, expression: e, openFront: anyByte, openBack: anyByte}
}

func (r *Rule) compilePattern(pattern string) ([]variant, error) {
	w, err := parsePattern(pattern)
	if err != nil {
		return nil, err
	}
	all := make([]variant, w.count)
	items := make([]item, 0, len(w.elements))
	for i := range all {
		v := &all[i]
		v.rule, v.none, v.raw = int32(r.Index), r.Kind == 0, r.Raw
		items = w.write(items[:0], i)
		items = v.takeFrame(items, r.Service)
		if err := checkItems(items, v.none); err != nil {
			return nil, err
		}
		v.findOpen(items, r.Service)
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

// rareByte returns the byte of the pattern's texts that is seen least in logs, as experience has it; 0 if all are common.
func rareByte(items []item) byte {
	const rare = "\"<>(){}'`!?*;|&#@=[],/_"
	first := len(rare)
	for _, it := range items {
		for _, c := range []byte(it.text) {
			if at := strings.IndexByte(rare[:first], c); at >= 0 {
				first = at
			}
		}
	}
	return (rare + "\x00")[first]
}

// takeFrame takes the service's frame off a pattern that demands it.
func (v *variant) takeFrame(items []item, s *Service) []item {
	if len(items) == 0 {
		return items
	}
	for i, text := range s.before {
		if first := &items[0]; v.before == 0 && first.field == literal && strings.HasPrefix(first.text, text) {
			first.text, v.before = first.text[len(text):], i+1
		}
	}
	for i, text := range s.after {
		if last := &items[len(items)-1]; v.after == 0 && last.field == literal && strings.HasSuffix(last.text, text) {
			last.text, v.after = last.text[:len(last.text)-len(text)], i+1
		}
	}
	return slices.DeleteFunc(items, func(it item) bool { return it.field == literal && it.text == "" })
}

// findOpen notes where a text of the frame might be taken for the frame's though a field, or a field and fixed text beside
// it, hold it: to take it off would then hide how the message was meant.
func (v *variant) findOpen(items []item, s *Service) {
	front := items[:min(2, len(items))]
	for _, text := range s.before {
		// Most patterns begin with a text, and seldom with the beginning of this one.
		if v.before == 0 && (front[0].field != literal || strings.HasPrefix(text, front[0].text)) {
			v.openFront += openEnd(mirrored(front), reversed(text))
		}
	}
	for _, text := range s.after {
		if v.after == 0 {
			v.openBack += openEnd(items, text)
		}
	}
}

// openEnd returns the bytes that may stand before a text of the frame, at the end of a message that a pattern describes,
// such that the pattern does not describe the message without that text.
func openEnd(items []item, text string) string {
	n := len(items) - 1
	last := items[n]
	if last.field == literal {
		if n > 0 && len(last.text) < len(text) && strings.HasSuffix(text, last.text) {
			return anyByte
		}
		return ""
	}
	beside := ""
	if n > 0 {
		beside = items[n-1].text
	}
	admits := func(s string) bool {
		return last.field.wide() || classPrefix(s, last.field.class()) == len(s) && (s != "" || last.field == fieldMaybe)
	}
	open := ""
	if last.field != fieldIP && last.field != fieldIPPort && !last.field.wide() && beside != "" && admits(text) {
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
func mirrored(items []item) []item {
	all := slices.Clone(items)
	slices.Reverse(all)
	for i := range all {
		all[i].text = reversed(all[i].text)
	}
	return all
}

func reversed(s string) string {
	b := []byte(s)
	slices.Reverse(b)
	return string(b)
}
