package detect

import (
	"fmt"
	"slices"
	"strings"
)

// compile numbers services and rules and builds the matcher. Patterns that are refused are faults.
func (l *loader) compile() *Rules {
	r := &Rules{services: l.services}
	variants := map[*Service][]variant{}
	order := int32(0)
	for i, s := range l.services {
		s.Index = i
		for _, rule := range l.rules[s] {
			rule.Index = len(r.rules)
			r.rules = append(r.rules, rule)
			f := faults{file: s.File}
			for _, v := range rule.compile(&f) {
				v.order, order = order, order+1
				variants[s] = append(variants[s], v)
			}
			l.faults = append(l.faults, f.all...)
		}
		if s.parser != nil {
			s.parser.bind(l.rules[s])
		}
	}
	if len(l.faults) == 0 {
		r.programs = newPrograms(l.programs(variants))
	}
	return r
}

// programs builds what is needed for each program's messages. Programs that the same services know share it.
func (l *loader) programs(variants map[*Service][]variant) []program {
	knowing := map[string][]*Service{}
	var names []string
	for _, s := range l.services {
		for _, name := range s.Programs {
			if knowing[name] == nil {
				names = append(names, name)
			}
			knowing[name] = append(knowing[name], s)
		}
	}
	built := map[string][]*unit{}
	var all []program
	for _, name := range names {
		var key strings.Builder
		for _, s := range knowing[name] {
			fmt.Fprintf(&key, "%d ", s.Index)
		}
		units := built[key.String()]
		if units == nil {
			units = l.units(knowing[name], variants)
			built[key.String()] = units
			if n := scattered(units); n > maxScattered {
				l.faults = append(l.faults, Fault{Problem: fmt.Sprintf("rules: %d patterns for the program %q begin alike: "+
					"give them different beginnings, at most %d may share one", n, name, maxScattered)})
			}
		}
		all = append(all, program{name: name, service: knowing[name][0], units: units})
	}
	return all
}

func scattered(units []*unit) (most int) {
	for _, u := range units {
		if u.grams != nil {
			most = max(most, u.grams.count)
		}
	}
	return most
}

// units builds the matchers for services: one for those that agree on the frame, and one for each parser.
func (l *loader) units(services []*Service, variants map[*Service][]variant) []*unit {
	var units []*unit
	var keys []string
	together := map[string][]variant{}
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
		if s := first[key]; s.parser != nil {
			units = append(units, &unit{parser: s.parser, stamped: s.stamped})
		} else {
			u := newUnit(s.before, s.after, together[key])
			u.stamped = s.stamped
			units = append(units, u)
		}
	}
	return units
}

// compile makes variants of the rule's patterns and expressions.
func (r *Rule) compile(f *faults) []variant {
	var all []variant
	for _, p := range r.match {
		made, err := r.compilePattern(p.value)
		if err != nil {
			f.add(p.line, "match: %v", err)
		}
		all = append(all, made...)
	}
	for _, p := range r.regex {
		e, err := newExpression(p.value)
		if err != nil {
			f.add(p.line, "regex: %v", err)
			continue
		}
		all = append(all, variant{rule: int32(r.Index), form: formRegex, user: -1, expression: e})
	}
	return all
}

func (r *Rule) compilePattern(pattern string) ([]variant, error) {
	ways, err := expand(pattern)
	if err != nil {
		return nil, err
	}
	var all []variant
	for _, items := range ways {
		v := variant{rule: int32(r.Index)}
		items = v.takeFrame(items, r.Service)
		if err := checkItems(items); err != nil {
			return nil, err
		}
		v.segments, v.user = split(items)
		v.core = slices.IndexFunc(v.segments, func(s segment) bool { return s.hasIP() })
		switch last := len(v.segments) - 1; {
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
		all = append(all, v)
	}
	return all, nil
}

// rareByte returns the byte of the pattern's texts that is seen least in logs, as experience has it; 0 if all are common.
func rareByte(items []item) byte {
	for _, c := range []byte("\"<>(){}'`!?*;|&#@=[],/_") {
		for _, it := range items {
			if strings.IndexByte(it.text, c) >= 0 {
				return c
			}
		}
	}
	return 0
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
