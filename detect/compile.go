package detect

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"

	"tattled/detect/pattern"
	"tattled/detect/rulefile"
)

// compile numbers services and rules, and builds the matchers for the programs that a user's service knows, so that every
// fault of a user's file is found. What is built in is read and compiled when its program is first heard of: most machines
// run few of all programs. The tests hold it, and Run tells of faults.
func (l *loader) compile() *Rules {
	r := &Rules{services: l.services, disabled: l.disabled, builtin: l.builtin, options: l.options}
	for i, s := range r.disabled {
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

// unit is the matcher for the messages of a program, as far as the services that know the program agree on the frame.
type unit struct {
	// What is looked at for every message is together.
	next      *unit                     // of the same programs
	index     *pattern.Index            // nil with a parser
	veto      *pattern.Index            // of the rules of kind none, which are asked only about what an event's rule has read; nil without one
	service   *Service                  // has a parser, which takes the place of everything else; else nil
	parser    atomic.Pointer[parser]    // nil until it is asked for
	prefilter func(message []byte) bool // reports what the parser is to be asked for; nil for every message
	longest   int                       // bytes of the longest message that is read; 0 for any
	object    bool                      // the parser reads what begins as an object of JSON, and nothing else
	stamped   bool                      // a message may begin with a stamp, which is taken off first
	raw       bool                      // its services are, and others know the programs as well
}

// newUnit builds the matcher for variants. What no event's rule reads is ignored, whatever rules of kind none say of it: these
// are apart, so that most messages are never shown to them.
func newUnit(frame pattern.Frame, variants []*pattern.Variant) *unit {
	var events, none []*pattern.Variant
	for _, v := range variants {
		if v.None && !v.Raw { // of a raw one it matters by itself that it was there
			none = append(none, v)
		} else {
			events = append(events, v)
		}
	}
	u := &unit{index: pattern.NewIndex(frame, events)}
	if len(none) > 0 {
		u.veto = pattern.NewIndex(frame, none)
	}
	return u
}

// unitKey is equal for services whose patterns may stand in one unit.
func unitKey(s *Service) string {
	if s.parserName != "" {
		return "parser " + s.Name
	}
	about := fmt.Sprint(s.stamped, s.Raw, s.longest)
	return strings.Join(slices.Concat(s.frame.Before, []string{"\x00"}, s.frame.After, []string{"\x00", about}), "\x01")
}

// listPrograms sets r.programs and r.matchers.
func (r *Rules) listPrograms() {
	services := slices.Concat(r.services, r.disabled)
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
	variants := map[*Service][]*pattern.Variant{}
	order := int32(0)
	compile := func(s *Service, rules []*Rule) {
		f := rulefile.Faults{File: s.File}
		all := variants[s]
		for _, rule := range rules {
			all = rule.compile(all, &f)
		}
		for _, v := range all[len(variants[s]):] {
			v.Order, order = order, order+1
		}
		variants[s] = all
		found = append(found, f.All...)
	}
	for _, s := range m.services {
		if s.unread && prefilters[s.parserName] != nil {
			continue // see parserOf
		}
		r.read(s)
		compile(s, r.rules[s.first:s.first+s.count])
	}
	for _, s := range m.services { // last, so that they name a line that no other rule describes
		compile(s, s.shadow)
	}
	if !sound {
		return found
	}
	units := newUnits(m.services, variants)
	if n := floating(units); n > pattern.MaxFloating {
		found = append(found, Fault{Problem: fmt.Sprintf("rules: %d patterns for the program %q begin alike: "+
			"give them different beginnings, at most %d may share one", n, m.names[0], pattern.MaxFloating)})
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

func floating(units []*unit) (most int) {
	for _, u := range units {
		for _, x := range []*pattern.Index{u.index, u.veto} {
			if x != nil {
				most = max(most, x.Floating())
			}
		}
	}
	return most
}

// newUnits makes a unit of the services that agree on the frame, and one for each parser: at least one.
func newUnits(services []*Service, variants map[*Service][]*pattern.Variant) []*unit {
	var units []*unit
	var keys []string
	together := map[string][]*pattern.Variant{}
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
			units = append(units, &unit{service: s, prefilter: prefilters[s.parserName]})
		} else {
			units = append(units, newUnit(s.frame, together[key]))
		}
		u := units[len(units)-1]
		u.stamped, u.raw, u.longest = first[key].stamped, first[key].Raw && len(keys) > 1, first[key].longest
		u.object = first[key].parserName == jsonParser && !u.stamped
	}
	return units
}

// compile appends variants of the rule's patterns and expressions.
func (r *Rule) compile(all []*pattern.Variant, f *rulefile.Faults) []*pattern.Variant {
	for _, p := range r.match {
		made, err := pattern.Compile(p.Value, r.owner(), r.Service.frame)
		if err != nil {
			f.Add(p.Line, "match: %v", err)
		}
		for i := range made {
			all = append(all, &made[i])
		}
	}
	for _, p := range r.regex {
		v, err := pattern.CompileExpression(p.Value, r.owner())
		if err != nil {
			f.Add(p.Line, "regex: %v", err)
			continue
		}
		all = append(all, v)
	}
	return all
}

// owner is what the rule's patterns are told of it.
func (r *Rule) owner() pattern.Owner {
	return pattern.Owner{Rule: int32(r.Index), None: r.Kind == 0, Raw: r.Raw}
}
