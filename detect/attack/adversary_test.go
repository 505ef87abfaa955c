package attack

import (
	"bytes"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"tattled/detect"
)

const (
	truePeer = peer4    // the peer that the program logs
	framed1  = planted4 // whom the attacker would like to be blamed
	framed2  = planted6
)

func load(t testing.TB, o detect.Options) *detect.Rules {
	t.Helper()
	r, faults := detect.Load(o)
	for _, f := range faults {
		t.Error(f)
	}
	if r == nil {
		t.FailNow()
	}
	return r
}

// loadFile loads one rule file, with beside set among the built-in ones.
func loadFile(t testing.TB, content string, beside bool) *detect.Rules {
	t.Helper()
	r, faults := detect.LoadFile("mine.yaml", []byte(content), beside)
	if r == nil {
		t.Fatalf("%v\n%s", faults, content)
	}
	return r
}

// samplesOf returns the samples of every rule.
func samplesOf(t testing.TB, r *detect.Rules) map[*detect.Rule][]detect.Sample {
	t.Helper()
	samples, faults := r.Samples()
	for _, f := range faults {
		t.Error(f)
	}
	return samples
}

// serviceOf returns the service of a name.
func serviceOf(r *detect.Rules, name string) *detect.Service {
	return r.Services()[slices.IndexFunc(r.Services(), func(s *detect.Service) bool { return s.Name == name })]
}

// describe says what Detect made of a message.
func describe(v detect.Verdict, f *detect.Finding) string {
	switch v {
	case detect.Matched:
		return fmt.Sprintf("matched by %v with %v", f.Rule, f.Addr)
	case detect.Refused:
		return fmt.Sprintf("refused by %v (%v)", f.Rule, f.Refusal)
	default:
		return v.String()
	}
}

// targetsOfService lists the forms of all lines that a service's rules describe.
func targetsOfService(r *detect.Rules, s *detect.Service, samples map[*detect.Rule][]detect.Sample) []target {
	var all []target
	for _, rule := range r.All() {
		if rule.Service == s {
			all = append(all, targetsOf(rule, samples[rule])...)
		}
	}
	return all
}

// TestAdversary attacks all rules, with more lines than check does.
func TestAdversary(t *testing.T) {
	r := load(t, detect.Options{})
	tallies, faults := Run(r, Options{Seed: 4, Lines: 150_000 / len(r.Services())})
	for _, f := range faults {
		t.Error(f)
	}
	for _, a := range tallies {
		t.Logf("%s: %d lines: %d found the true peer, %d were refused, %d ignored", a.Service.Name, a.Lines, a.Found, a.Refused, a.Ignored)
		if a.Found < a.Lines/20 {
			t.Errorf("%s: the true peer was found in only %d of %d lines", a.Service.Name, a.Found, a.Lines)
		}
	}
}

// TestReferenceAgrees compares Detect and the reference on lines that are made to be hostile.
func TestReferenceAgrees(t *testing.T) {
	r := load(t, detect.Options{})
	samples := samplesOf(t, r)
	for _, s := range r.Services() {
		ref := newReference(t, r, s)
		if len(ref.rules) == 0 || !knownAlone(r, s) {
			continue
		}
		next := hostileLines(r, s, samples)
		for range max(1500/len(r.Services()), 10) {
			if message := next(); len(message) < 300 {
				agree(t, r, &ref, s.Programs[0], message)
			}
		}
	}
}

// hostileLines returns what writes lines of a service's patterns with hostile texts.
func hostileLines(r *detect.Rules, s *detect.Service, samples map[*detect.Rule][]detect.Sample) (next func() string) {
	targets := make([][]target, len(r.Services()))
	targets[s.Index] = targetsOfService(r, s, samples)
	v := newAdversary(r, s, targets, 5, r.Detect)
	patterns := slices.DeleteFunc(slices.Clone(targets[s.Index]), func(t target) bool { return t.shapes == nil })
	return func() string {
		v.current = &patterns[v.IntN(len(patterns))]
		return joined(v.current.write(&v.hostile, truePeer, 0))
	}
}

// TestAdversaryCatches says that the adversary can win: each of these rules looks right, has a sample that it judges as it
// should, and can be made to blame somebody.
func TestAdversaryCatches(t *testing.T) {
	for name, c := range map[string]struct {
		rules string // of one rule
		want  string // what is said of it
	}{
		"wide on both sides": {
			"regex: ['^login of (?P<user>.*) from (?P<ip>\\S+) port .*$']\nsamples: [{line: login of dan from 203.0.113.5 port 22 ssh2, ip: 203.0.113.5}]",
			" and not from 198.51.100.66: write it as a pattern",
		},
		"no blanks expected": {
			"regex: ['^(?P<user>\\S+) failed from (?P<ip>\\S+)( .*)?$']\nsamples: [{line: dan failed from 203.0.113.5 twice, ip: 203.0.113.5, user: dan}]",
			"write it as a pattern",
		},
		"a word for a user": {
			"match: ['login failed, user=<word>, rip=<ip>, <any>']\nsamples: [{line: 'login failed, user=dan, rip=203.0.113.5, TLS', ip: 203.0.113.5}]",
			"write <user> or <any> for it",
		},
		"a word for a greeting": {
			"match: ['rejected HELO <word> [<ip>]{: <any>|}']\nsamples: [{line: 'rejected HELO example.org [203.0.113.5]: bad', ip: 203.0.113.5}]",
			"write <user> or <any> for it",
		},
		"the wider rule first": {
			"match: ['bad <any> from <ip>']\nsamples: [{line: bad thing from 203.0.113.5, ip: 203.0.113.5}]\n" +
				"- {name: two, kind: probe, categories: [15], match: ['bad password from <ip>'], samples: [{line: bad thing from 203.0.113.5, ip: 203.0.113.5}]}",
			"this pattern of rule two is never reached, as rule one (line 4) describes its lines",
		},
	} {
		content := "service: mine\nprograms: [mine]\nrules:\n- name: one\n  kind: probe\n  categories: [15]\n  " + strings.ReplaceAll(c.rules, "\nsamples", "\n  samples") + "\n"
		r := loadFile(t, content, false)
		_, faults := Run(r, Options{Seed: 1, Lines: 2000, User: true})
		if len(faults) != 1 || faults[0].Line == 0 || !strings.Contains(faults[0].String(), c.want) {
			t.Errorf("%s: %v", name, faults)
		}
	}
}

// TestDocs holds the rule files that docs/rules.md shows to what it says of them.
func TestDocs(t *testing.T) {
	page, err := os.ReadFile("../../docs/rules.md")
	if err != nil {
		t.Fatal(err)
	}
	shown := 0
	for _, block := range strings.Split(string(page), "```yaml\n")[1:] {
		content, _, _ := strings.Cut(block, "```")
		r := loadFile(t, content, false)
		_, wrong := r.Run()
		tally, framed := Run(r, Options{Seed: 1, Lines: 2000})
		for _, f := range append(wrong, framed...) {
			t.Error(f)
		}
		if tally[0].Found < 1000 {
			t.Errorf("%+v", tally[0])
		}
		shown++
	}
	if shown != 2 {
		t.Errorf("%d rule files are shown", shown)
	}
}

// TestAdversaryCatchesDetect says that faults of the matcher itself are caught: here one that takes a way to read a line
// where there are several, and one that takes a text of the frame off whoever wrote it.
func TestAdversaryCatchesDetect(t *testing.T) {
	r := loadFile(t, oddRules(0, len(oddPatterns)), true)
	x := detect.NewExplainer(r)
	for name, pick := range map[string]func(ways []detect.Way) detect.Way{
		"first": func(ways []detect.Way) detect.Way { return ways[0] },
		"last":  func(ways []detect.Way) detect.Way { return ways[len(ways)-1] },
	} {
		guess := func(program, message []byte, f *detect.Finding) detect.Verdict {
			v := r.Detect(program, message, f)
			if v != detect.Refused || f.Refusal != detect.Ambiguous || len(message) > 1000 {
				return v
			}
			e := x.Explain(program, message)
			f.Addr = pick(e.Ways).Addr
			return detect.Matched
		}
		if _, faults := run(r, Options{Seed: 1, Lines: 200, User: true}, guess); len(faults) < 10 {
			t.Errorf("with the %s of several ways to read a line there are only %d faults", name, len(faults))
		}
	}
	_, frameless, _ := strings.Cut(oddRules(0, len(oddPatterns)), "\nrules:")
	bare := loadFile(t, "service: odd\nprograms: [odd]\nrules:"+frameless, false)
	unframed := func(program, message []byte, f *detect.Finding) detect.Verdict {
		message = bytes.TrimPrefix(message, []byte("e: "))
		if without, found := bytes.CutSuffix(message, []byte(" !")); found {
			return bare.Detect(program, without, f)
		}
		return bare.Detect(program, bytes.TrimSuffix(message, []byte(".")), f)
	}
	if _, faults := run(r, Options{Seed: 1, Lines: 20_000, User: true}, unframed); len(faults) == 0 {
		t.Error("nobody is blamed where all that looks like a text of the frame is taken off")
	}
}

// knownAlone reports whether the first program of s is known to no other service, so that the reference of s tells all
// that there is to say about its lines.
func knownAlone(r *detect.Rules, s *detect.Service) bool {
	return !slices.ContainsFunc(r.Services(), func(other *detect.Service) bool {
		return other != s && slices.Contains(other.Programs, s.Programs[0])
	})
}

// TestDisabledWitnesses says that nobody can be blamed by a line of a rule that is disabled. Every other rule is, then the
// rest; then whole services that share programs with others.
func TestDisabledWitnesses(t *testing.T) {
	whole := load(t, detect.Options{})
	disable := make([][]string, 3)
	for _, rule := range whole.All() {
		disable[rule.Index%2] = append(disable[rule.Index%2], rule.String())
	}
	for i, s := range whole.Services() {
		if slices.ContainsFunc(whole.Services()[:i], func(other *detect.Service) bool { return shares(s, other) }) {
			disable[2] = append(disable[2], s.Name)
		}
	}
	for _, names := range disable {
		r := load(t, detect.Options{Disable: names})
		_, faults := Run(r, Options{Seed: 4})
		for _, f := range faults {
			t.Error(f)
		}
	}
	r := load(t, detect.Options{Disable: []string{"openvpn/bad-certificate"}})
	var f detect.Finding
	message := "203.0.113.5:4 VERIFY ERROR: depth=0, error=x: CN=/198.51.100.66:2 TLS Auth Error: peer provided a blank username"
	if v := r.Detect([]byte("openvpn"), []byte(message), &f); v != detect.Refused || f.Refusal != detect.Ambiguous {
		t.Errorf("%s is %s", message, describe(v, &f))
	}
	message = "203.0.113.5:4 VERIFY ERROR: depth=0, error=x: CN=dan, serial=7"
	if v := r.Detect([]byte("openvpn"), []byte(message), &f); v != detect.Ignored || f.Rule != nil || f.Service == nil {
		t.Errorf("%s is %s", message, describe(v, &f))
	}
}
