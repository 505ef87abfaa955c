package detect

import (
	"bytes"
	"fmt"
	"net/netip"
	"path"
	"strconv"
)

// sample is a message and what must be found in it.
type sample struct {
	form    *sampleForm
	line    int
	addr    netip.Addr // invalid: it must not match
	refused Refusal
}

func newSample(form *sampleForm, f *faults) sample {
	s := sample{form: form, line: form.Line.line}
	if form.Line.value == "" {
		f.add(max(s.line, form.IP.line), "samples: one without a line")
	}
	for _, port := range []text{form.Port, form.LocalPort} {
		if _, ok := parsePort([]byte(port.value)); !ok && port.line > 0 {
			f.add(port.line, "samples: %q is no port", port.value)
		}
	}
	if form.IP.line > 0 {
		addr, err := netip.ParseAddr(form.IP.value)
		if err != nil || addr.Zone() != "" || addr.Is4In6() {
			f.add(form.IP.line, "samples: %q is no address as tattled writes them", form.IP.value)
		}
		s.addr = addr
	}
	if form.Refused.line > 0 {
		for _, r := range Refusals() {
			if r.String() == form.Refused.value {
				s.refused = r
			}
		}
		if s.refused == NotRefused || form.IP.line > 0 {
			f.add(form.Refused.line, "samples: refused: %q is no reason (one of %v), or the sample has an ip as well", form.Refused.value, Refusals())
		}
	}
	return s
}

// newSamples reads a rule's samples.
func newSamples(form *ruleForm, f *faults) []sample {
	var all []sample
	positive := 0
	for i := range form.Samples {
		one := newSample(&form.Samples[i], f)
		if one.addr.IsValid() {
			positive++
		}
		all = append(all, one)
	}
	if positive == 0 && form.Kind.value != noEvent {
		f.add(form.line(), "samples: rule %q has none that must match: add a real line and its ip", form.Name.value)
	}
	return all
}

// samples returns the samples of every rule. It reads the built-in files again, this time in full.
func (r *Rules) samples() (map[*Rule][]sample, []Fault) {
	all := map[*Rule][]sample{}
	rules := map[*Service]map[string]*Rule{}
	for _, rule := range r.All() {
		all[rule] = rule.samples
		if rules[rule.Service] == nil {
			rules[rule.Service] = map[string]*Rule{}
		}
		rules[rule.Service][rule.Name] = rule
	}
	var found []Fault
	var file bytes.Buffer
	for _, s := range r.services {
		if !s.builtin {
			continue
		}
		f := faults{file: s.File}
		if content, err := readFile(r.builtin, path.Join("rules", s.File), &file); err != nil {
			f.add(0, "cannot read the file: %v", err)
		} else if form, ok := decode(content, &f); ok {
			for i := range form.Rules {
				if rule := rules[s][form.Rules[i].Name.value]; rule != nil {
					all[rule] = newSamples(&form.Rules[i], &f)
				}
			}
		}
		found = append(found, f.all...)
	}
	return all, found
}

// Tally is what Run did.
type Tally struct {
	Services []ServiceTally // in the order of Rules.Services
}

// ServiceTally is what Run did of one service.
type ServiceTally struct {
	Service *Service
	Rules   int
	Samples int
}

// Run compiles every rule, tries every sample of it and returns a fault for each that is not judged as it says.
func (r *Rules) Run() (Tally, []Fault) {
	var t Tally
	samples, found := r.samples()
	for _, m := range r.matchers {
		found = append(found, r.build(m, true)...)
	}
	found = append(found, r.faults...)
	found = append(found, r.uncovered()...)
	for _, s := range r.services {
		t.Services = append(t.Services, ServiceTally{Service: s})
	}
	for _, rule := range r.rules {
		mine := &t.Services[rule.Service.Index]
		mine.Rules++
		for _, s := range samples[rule] {
			mine.Samples++
			if problem := r.check(rule, &s); problem != "" {
				found = append(found, Fault{File: rule.Service.File, Line: s.line, Problem: "sample of " + rule.Name + ": " + problem})
			}
		}
	}
	return t, found
}

// check returns what is wrong with the judgement of a sample, "" if nothing is.
func (r *Rules) check(rule *Rule, s *sample) string {
	program := s.form.Program.value
	if program == "" {
		program = rule.Service.Programs[0]
	}
	var f Finding
	verdict := r.Detect([]byte(program), []byte(s.form.Line.value), &f)
	switch {
	case s.refused != NotRefused:
		if verdict != Refused || f.Refusal != s.refused {
			return fmt.Sprintf("should be refused (%v), but is %s", s.refused, describe(verdict, &f))
		}
		return ""
	case !s.addr.IsValid():
		if verdict == Matched {
			return fmt.Sprintf("should not match, but is %s", describe(verdict, &f))
		}
		return ""
	case verdict != Matched:
		return fmt.Sprintf("should match, but is %s", describe(verdict, &f))
	case f.Rule != rule:
		return fmt.Sprintf("is %s, not matched by this rule", describe(verdict, &f))
	}
	for _, detail := range []struct {
		name string
		want text
		got  string
	}{
		{"ip", text{s.addr.String(), 1}, f.Addr.String()},
		{"port", s.form.Port, strconv.Itoa(int(f.Port))},
		{"local_port", s.form.LocalPort, strconv.Itoa(int(f.LocalPort))},
		{"user", s.form.User, string(f.User)},
		{"proto", s.form.Proto, f.Proto.String()},
		{"stray", s.form.Stray, strconv.FormatBool(f.Stray)},
	} {
		if detail.want.line > 0 && detail.want.value != detail.got {
			return fmt.Sprintf("%s should be %q, but is %q", detail.name, detail.want.value, detail.got)
		}
	}
	return ""
}

func describe(v Verdict, f *Finding) string {
	switch v {
	case Matched:
		return fmt.Sprintf("matched by %v with %v", f.Rule, f.Addr)
	case Refused:
		return fmt.Sprintf("refused by %v (%v)", f.Rule, f.Refusal)
	default:
		return v.String()
	}
}
