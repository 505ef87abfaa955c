package detect

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
)

// verdictOf is what the ways to read a message amount to.
func verdictOf(e *Explanation) (v Verdict, addr netip.Addr, ambiguous bool) {
	if !slices.ContainsFunc(e.Ways, func(w Way) bool { return w.Rule.Kind != 0 }) {
		return Ignored, netip.Addr{}, false
	}
	for _, w := range e.Ways {
		if w.Refusal == Ambiguous || w.Addr != e.Ways[0].Addr {
			return Refused, netip.Addr{}, true
		}
	}
	if e.Ways[0].Rule.Kind == 0 {
		return Ignored, netip.Addr{}, false
	}
	if e.Ways[0].Refusal != NotRefused {
		return Refused, netip.Addr{}, false
	}
	return Matched, e.Ways[0].Addr, false
}

// checkExplanation holds what is explained against what Detect says.
func checkExplanation(t testing.TB, r *Rules, x *Explainer, program, message string) {
	t.Helper()
	var f Finding
	verdict := r.Detect([]byte(program), []byte(message), &f)
	e := x.Explain([]byte(program), []byte(message))
	v, addr, ambiguous := verdictOf(&e)
	switch {
	case e.Verdict != verdict || v != verdict:
		t.Fatalf("%s: %q\nis %s, explained as %v by %+v", program, message, describe(verdict, &f), v, e.Ways)
	case verdict == Matched && (addr != f.Addr || e.Ways[0].Rule != f.Rule || e.Finding.Addr != f.Addr):
		t.Fatalf("%s: %q\nis %s, explained as %v by %v", program, message, describe(verdict, &f), addr, e.Ways[0].Rule)
	case verdict == Refused && (f.Refusal == Ambiguous) != ambiguous:
		t.Fatalf("%s: %q\nis %s, explained by %+v", program, message, describe(verdict, &f), e.Ways)
	case e.Nearest != nil && (verdict != Ignored || e.Nearest.At < 0 || e.Nearest.At > len(e.Message)):
		t.Fatalf("%s: %q\nis %s, nearest %+v", program, message, describe(verdict, &f), e.Nearest)
	}
}

// TestExplainAgrees says that the verdict which is explained is always Detect's: over all samples, as their own program's
// and as others', cut and changed, and over lines that are made to be hostile.
func TestExplainAgrees(t *testing.T) {
	r := load(t, Options{Directory: userRules(t, "odd.yaml", oddRules(0, len(oddPatterns))+
		"  - {name: rx, kind: probe, categories: [15], regex: ['^(?P<user>.*)e(?:rr|rrr)or (?P<ip>\\S+) .*x.*$'], samples: [{line: x, ip: 192.0.2.1}]}\n")})
	x := NewExplainer(r)
	g := rand.New(rand.NewPCG(7, 7))
	samples := samplesOf(t, r)
	for _, rule := range r.rules {
		for _, s := range samples[rule] {
			line, program := s.form.Line.Value, rule.Service.Programs[0]
			cut := g.IntN(len(line) + 1)
			switch g.IntN(30) { // there are many samples: of some, one form
			case 0:
				program = r.services[g.IntN(len(r.services))].Programs[0]
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
	for _, s := range r.services {
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

// TestNearest says where a message and the pattern that is nearest to it part.
func TestNearest(t *testing.T) {
	r := load(t, Options{})
	x := NewExplainer(r)
	for _, c := range []struct{ program, message, rest, expected string }{
		{"sshd", "Failed password for root from 203.0.113.5 port 40022 ssh3", "3", `"2"`},
		{"sshd", "Failed password for root from 203.0.113.5 port 99999 ssh2", "99999 ssh2", "<port>"},
		{"sshd", "Failed password for root from 203.0.113.5 port 40022 ssh2 yes", " yes", ""},
		{"sshd", "error: Failed password for root from 203.0.113.5 port 40022", "", `" ssh2"`},
		{"sshd", "Failed password for root", "", `" from "`},
		{"sshd", "Received disconnect from 203.0.113.5 port 58846:11: Bye", "", `" [preauth]"`},
		{"sshd", "Invalid user x from 203.0.113.5 prt 5", "rt 5", `"ort "`},
	} {
		e := x.Explain([]byte(c.program), []byte(c.message))
		if e.Nearest == nil || string(e.Message[e.Nearest.At:]) != c.rest || e.Nearest.Expected != c.expected {
			t.Errorf("%q: %+v", c.message, e.Nearest)
		}
	}
	if e := x.Explain([]byte("sshd"), []byte("Zebra")); e.Nearest != nil {
		t.Errorf("nothing is near to a zebra, but %+v", e.Nearest)
	}
}

// TestExplainNames says what is told of a program that no service knows.
func TestExplainNames(t *testing.T) {
	x := NewExplainer(load(t, Options{}))
	line := []byte("Invalid user x from 203.0.113.5 port 5")
	for program, near := range map[string]string{"ssdh": "sshd", "SSHD": "sshd", "sshd2": "sshd", "kernl": "kernel", "anacron": "", "": ""} {
		e := x.Explain([]byte(program), line)
		if near != "" && !slices.Contains(e.Similar, near) || near == "" && len(e.Similar) > 0 {
			t.Errorf("%q is like %v, not %q", program, e.Similar, near)
		}
		if !slices.ContainsFunc(e.Elsewhere, func(o Elsewhere) bool { return o.Program == "sshd" && o.Verdict == Matched }) {
			t.Errorf("%q: elsewhere %v", program, e.Elsewhere)
		}
	}
}

// TestExplainPackets says what is told of packets that no rule counts.
func TestExplainPackets(t *testing.T) {
	x := NewExplainer(load(t, Options{Disable: []string{"netfilter/accept"}}))
	const rest = "MAC= SRC=198.51.100.9 DST=192.0.2.10 LEN=60 PROTO=TCP SPT=51234 DPT=22 WINDOW=65535 RES=0x00 SYN URGP=0 "
	for line, want := range map[string]string{
		"hello":                         "not a line about a packet",
		"DROP IN= OUT=eth0 " + rest:     "did not come in: IN= is empty",
		"DROP IN=eth0 OUT=eth1 " + rest: "OUT= names where it went on",
		"odd IN=eth0 OUT= " + rest:      `no word of the prefix "odd "`,
		"AUDIT IN=eth0 OUT= " + rest:    "looked at",
		"ALLOW IN=eth0 OUT= " + rest:    "disabled",
		"DROP IN=eth0 OUT= MAC= SRC=198.51.100.9 DST=192.0.2.10 ": "no PROTO=",
		"DROP ALLOW IN=eth0 OUT= " + rest:                         "words that mean a refused packet and",
		"DROP IN=eth0 OUT= " + rest:                               "",
	} {
		e := x.Explain([]byte("kernel"), []byte(line))
		if len(e.Parsed) != 1 || !strings.Contains(e.Parsed[0].Failed, want) || want == "" && e.Parsed[0].Failed != "" {
			t.Errorf("%q: %+v", line, e.Parsed)
		}
		checkExplanation(t, x.rules, x, "kernel", line)
	}
	e := x.Explain([]byte("kernel"), []byte("DROP IN=eth0 OUT= "+rest))
	if got := fmt.Sprint(e.Parsed[0].Fields); got != "[{prefix DROP } {IN eth0} {SRC 198.51.100.9} {DST 192.0.2.10} {PROTO TCP} {SPT 51234} {DPT 22} {stray false}]" {
		t.Error(got)
	}
}
