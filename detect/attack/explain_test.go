package attack

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"tattled/detect"
)

// verdictOf is what the ways to read a message amount to.
func verdictOf(e *detect.Explanation) (v detect.Verdict, addr netip.Addr, ambiguous bool) {
	if !slices.ContainsFunc(e.Ways, func(w detect.Way) bool { return w.Rule.Kind != 0 }) {
		return detect.Ignored, netip.Addr{}, false
	}
	for _, w := range e.Ways {
		if w.Refusal == detect.Ambiguous || w.Addr != e.Ways[0].Addr {
			return detect.Refused, netip.Addr{}, true
		}
	}
	if e.Ways[0].Rule.Kind == 0 {
		return detect.Ignored, netip.Addr{}, false
	}
	if e.Ways[0].Refusal != detect.NotRefused {
		return detect.Refused, netip.Addr{}, false
	}
	return detect.Matched, e.Ways[0].Addr, false
}

// checkExplanation holds what is explained against what Detect says.
func checkExplanation(t testing.TB, r *detect.Rules, x *detect.Explainer, program, message string) {
	t.Helper()
	var f detect.Finding
	verdict := r.Detect([]byte(program), []byte(message), &f)
	e := x.Explain([]byte(program), []byte(message))
	v, addr, ambiguous := verdictOf(&e)
	switch {
	case e.Verdict != verdict || v != verdict:
		t.Fatalf("%s: %q\nis %s, explained as %v by %+v", program, message, describe(verdict, &f), v, e.Ways)
	case verdict == detect.Matched && (addr != f.Addr || e.Ways[0].Rule != f.Rule || e.Finding.Addr != f.Addr):
		t.Fatalf("%s: %q\nis %s, explained as %v by %v", program, message, describe(verdict, &f), addr, e.Ways[0].Rule)
	case verdict == detect.Refused && (f.Refusal == detect.Ambiguous) != ambiguous:
		t.Fatalf("%s: %q\nis %s, explained by %+v", program, message, describe(verdict, &f), e.Ways)
	case e.Nearest != nil && (verdict != detect.Ignored || e.Nearest.At < 0 || e.Nearest.At > len(e.Message)):
		t.Fatalf("%s: %q\nis %s, nearest %+v", program, message, describe(verdict, &f), e.Nearest)
	}
}

// TestExplainAgrees says that the verdict which is explained is always Detect's: over all samples, as their own program's
// and as others', cut and changed, and over lines that are made to be hostile.
func TestExplainAgrees(t *testing.T) {
	r := loadFile(t, oddRules(0, len(oddPatterns))+
		"  - {name: rx, kind: probe, categories: [15], regex: ['^(?P<user>.*)e(?:rr|rrr)or (?P<ip>\\S+) .*x.*$'], samples: [{line: x, ip: 192.0.2.1}]}\n", true)
	x := detect.NewExplainer(r)
	g := rand.New(rand.NewPCG(7, 7))
	samples := samplesOf(t, r)
	for _, rule := range r.All() {
		for _, s := range samples[rule] {
			line, program := s.Form.Line.Value, rule.Service.Programs[0]
			cut := g.IntN(len(line) + 1)
			switch g.IntN(30) { // there are many samples: of some, one form
			case 0:
				program = r.Services()[g.IntN(len(r.Services()))].Programs[0]
			case 1:
				program = "nobody"
			case 2, 3:
				line = line[:cut]
			case 4, 5:
				line = line[:cut] + "x" + line[cut:]
			case 6, 7:
				line = "message repeated 2 times: [ " + line + "]"
			case 8, 9:
			default:
				continue
			}
			checkExplanation(t, r, x, program, line)
		}
	}
	for _, s := range r.Services() {
		if len(newReference(t, r, s).rules) == 0 || s.Name != "odd" && s.Name != "sshd" && g.IntN(8) > 0 {
			continue
		}
		next := hostileLines(r, s, samples)
		for range 30 {
			if line := next(); len(line) < 500 {
				checkExplanation(t, r, x, s.Programs[0], line)
			}
		}
	}
	for _, line := range []string{"an error 192.0.2.1 x error 192.0.2.2 x", "an error 192.0.2.1 x", "error host x", "error 1 y"} {
		checkExplanation(t, r, x, "odd", line)
	}
}

// TestExplainPacketsAgrees says the same of packets that no rule counts, and of one that a rule does.
func TestExplainPacketsAgrees(t *testing.T) {
	r := load(t, detect.Options{Disable: []string{"netfilter/accept"}})
	x := detect.NewExplainer(r)
	const rest = "MAC= SRC=198.51.100.9 DST=192.0.2.10 LEN=60 PROTO=TCP SPT=51234 DPT=22 WINDOW=65535 RES=0x00 SYN URGP=0 "
	for _, front := range []string{
		"DROP IN= OUT=eth0 ", "DROP IN=eth0 OUT=eth1 ", "odd IN=eth0 OUT= ", "AUDIT IN=eth0 OUT= ", "ALLOW IN=eth0 OUT= ", "DROP ALLOW IN=eth0 OUT= ", "DROP IN=eth0 OUT= ",
	} {
		checkExplanation(t, r, x, "kernel", front+rest)
	}
	for _, line := range []string{"hello", "DROP IN=eth0 OUT= MAC= SRC=198.51.100.9 DST=192.0.2.10 "} {
		checkExplanation(t, r, x, "kernel", line)
	}
}
