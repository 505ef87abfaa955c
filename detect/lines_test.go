package detect

import (
	"strings"
	"testing"
)

// TestLines says that every built-in service answers where its peers can write whole lines, with a proof, and that no rule
// proves an address where they can.
func TestLines(t *testing.T) {
	r := load(t, Options{})
	for _, s := range r.services {
		switch {
		case s.Lines == LinesUnsaid:
			t.Errorf("%s: lines: is missing", s.File)
		case len(s.Proof) < 15:
			t.Errorf("%s: %q is not a proof", s.File, s.Proof)
		case (s.Raw || s.parserName == "mikrotik") && s.Lines.Whole(false, false):
			t.Errorf("%s: its lines are %s", s.File, s.Lines)
		}
	}
	for _, rule := range r.All() {
		if rule.Handshake && !rule.Service.Lines.Whole(false, false) {
			t.Errorf("%s proves an address in a log whose lines are %s", rule, rule.Service.Lines)
		}
	}
}

// TestLinesFaults has what a rule file may not say of its lines.
func TestLinesFaults(t *testing.T) {
	const rules = "rules:\n- name: one\n  kind: probe\n  handshake: true\n  categories: [15]\n  match: ['bad <user> from <ip>']\n" +
		"  samples: [{line: bad thing from 203.0.113.5, ip: 203.0.113.5}]\n"
	for head, want := range map[string]string{
		"":                                "",
		"lines: escaped\nproof: 'x.c, f'": "",
		"lines: escaped":                  "add a proof",
		"lines: clean\nproof: 'x.c, f'":   `"clean" is none of escaped`,
		"lines: raw\nproof: 'x.c, f'":     "leave handshake out",
		"lines: unknown\nproof: 'x.c, f'": "leave handshake out",
		"lines: single\nproof: 'x.c, f'\nraw: true\nstamp: true": "does not go with raw: true",
	} {
		_, faults := loadWith(nothing(), Options{Directory: userRules(t, "mine.yaml", "service: mine\nprograms: [mine]\n"+head+"\n"+rules)})
		switch {
		case want == "" && len(faults) > 0:
			t.Errorf("%q: %v", head, faults)
		case want != "" && (len(faults) != 1 || !strings.Contains(faults[0].String(), want)):
			t.Errorf("%q: %v, not %q", head, faults, want)
		}
	}
}

// TestWhole has each answer with each framing.
func TestWhole(t *testing.T) {
	for lines, want := range map[Lines]string{
		LinesUnsaid: "record file stream", LinesEscaped: "record file stream", LinesFile: "record file", LinesSingle: "record", LinesRaw: "", LinesUnknown: "",
	} {
		var got []string
		if lines.Whole(false, false) {
			got = append(got, "record")
		}
		if lines.Whole(true, false) {
			got = append(got, "file")
		}
		if lines.Whole(false, true) {
			got = append(got, "stream")
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%q: believed in %v, not in %q", lines, got, want)
		}
	}
}
