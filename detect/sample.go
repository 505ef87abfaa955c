package detect

import (
	"bytes"
	"fmt"
	"net/netip"
	"path"
	"slices"
	"strconv"

	"tattled/detect/parse"
	"tattled/detect/rulefile"
)

// Sample is a message that a rule file shows, and what must be found in it.
type Sample struct {
	Form *rulefile.Sample // as it is written. Do not write to it
	Addr netip.Addr       // of the peer; the zero address where the message must not match

	line    int
	refused Refusal
}

func newSample(form *rulefile.Sample, f *rulefile.Faults) Sample {
	s := Sample{Form: form, line: form.Line.Line}
	if form.Line.Value == "" {
		f.Add(max(s.line, form.IP.Line), "samples: one without a line")
	}
	for _, port := range []rulefile.Text{form.Port, form.LocalPort} {
		if _, ok := parse.Port([]byte(port.Value)); !ok && port.Line > 0 {
			f.Add(port.Line, "samples: %q is not a port", port.Value)
		}
	}
	if form.IP.Line > 0 {
		addr, err := netip.ParseAddr(form.IP.Value)
		if err != nil || addr.Zone() != "" || addr.Is4In6() {
			f.Add(form.IP.Line, "samples: %q is not an address as tattled writes them", form.IP.Value)
		}
		s.Addr = addr
	}
	if form.Refused.Line > 0 {
		reasons := slices.DeleteFunc(Refusals(), func(r Refusal) bool { return r == OtherForm }) // a sample is of no declared form
		for _, r := range reasons {
			if r.String() == form.Refused.Value {
				s.refused = r
			}
		}
		if s.refused == NotRefused || form.IP.Line > 0 {
			f.Add(form.Refused.Line, "samples: refused: %q is not a reason (one of %v), or the sample has an ip as well", form.Refused.Value, reasons)
		}
	}
	return s
}

// newSamples reads a rule's samples.
func newSamples(form *rulefile.Rule, f *rulefile.Faults) []Sample {
	var all []Sample
	positive := 0
	for i := range form.Samples {
		one := newSample(&form.Samples[i], f)
		if one.Addr.IsValid() {
			positive++
		}
		all = append(all, one)
	}
	if positive == 0 && form.Kind.Value != noEvent {
		f.Add(form.Line(), "samples: rule %q has none that must match: add a real line and its ip", form.Name.Value)
	}
	return all
}

// Samples returns the samples of every rule in All, and what is wrong with them. It reads the built-in files again, this time in
// full.
func (r *Rules) Samples() (map[*Rule][]Sample, []Fault) {
	all := map[*Rule][]Sample{}
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
		f := rulefile.Faults{File: s.File}
		if content, err := readFile(r.builtin, path.Join("rules", s.File), &file); err != nil {
			f.Add(0, "cannot read the file: %v", err)
		} else if form, ok := rulefile.Decode(content, &f); ok {
			for i := range form.Rules {
				if rule := rules[s][form.Rules[i].Name.Value]; rule != nil {
					all[rule] = newSamples(&form.Rules[i], &f)
				}
			}
		}
		found = append(found, f.All...)
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
	samples, found := r.Samples()
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
func (r *Rules) check(rule *Rule, s *Sample) string {
	program := s.Form.Program.Value
	if program == "" {
		program = rule.Service.Programs[0]
	}
	var f Finding
	verdict := r.Detect([]byte(program), []byte(s.Form.Line.Value), &f)
	switch {
	case s.refused != NotRefused:
		if verdict != Refused || f.Refusal != s.refused {
			return fmt.Sprintf("should be refused (%v), but is %s", s.refused, describe(verdict, &f))
		}
		return ""
	case !s.Addr.IsValid():
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
		want rulefile.Text
		got  string
	}{
		{"ip", rulefile.Text{Value: s.Addr.String(), Line: 1}, f.Addr.String()},
		{"port", s.Form.Port, strconv.Itoa(int(f.Port))},
		{"local_port", s.Form.LocalPort, strconv.Itoa(int(f.LocalPort))},
		{"user", s.Form.User, string(f.User)},
		{"proto", s.Form.Proto, f.Proto.String()},
		{"stray", s.Form.Stray, strconv.FormatBool(f.Stray)},
	} {
		if detail.want.Line > 0 && detail.want.Value != detail.got {
			return fmt.Sprintf("%s should be %q, but is %q", detail.name, detail.want.Value, detail.got)
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
