// Package attack attacks rules: it writes lines by which a peer would have somebody else blamed, and says which rules fall for
// one. It knows rules as their files have them and judges them by detect.Rules.Detect alone; what is written depends on nothing but
// the rules and a seed. `tattled check` attacks the user's rules with it, detect/fail2ban what it translates, and the tests all of
// the built-in rules.
//
//	rules -> forms of line (target.go) -> lines with hostile values (hostile.go) -> Detect -> who is blamed (adversary.go)
package attack

import (
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"

	"tattled/detect"
	"tattled/detect/pattern"
	"tattled/detect/rulefile"
)

// Options say how rules are to be attacked.
type Options struct {
	Seed  uint64 // the same seed writes the same lines
	Lines int    // for each service, and at least leastLines for each pattern
	User  bool   // only the services of the user's files, and those that know a program of theirs
}

// Tally is what became of the lines that were written for one service. What is in Lines and nowhere else blamed
// somebody.
type Tally struct {
	Service *detect.Service
	Lines   int
	Found   int // the true peer
	Refused int // who the peer is cannot be known
	Ignored int // no rule describes it
}

// leastLines is how many lines each form of line gets, however many forms a service has.
const leastLines = 20

// Run tries to get somebody blamed who did nothing. It writes lines as the services' programs would, by every pattern,
// expression and sample, and fills whatever a peer may fill with what peers try: addresses of others, other lines of the
// same log, the end of the line that they stand in, what ends lines and fields. Each line must be judged to be from its
// true peer, or be refused or ignored. A rule that takes another for the peer is a fault, and so is a pattern that never
// names its rule. The tallies are in the order of r.Services.
func Run(r *detect.Rules, o Options) ([]Tally, []detect.Fault) {
	return run(r, o, r.Detect)
}

// judge is Detect, or what a test has in place of it.
type judge func(program, message []byte, f *detect.Finding) detect.Verdict

func run(r *detect.Rules, o Options, judge judge) ([]Tally, []detect.Fault) {
	samples, faults := r.Samples()
	explainer := sync.OnceValue(func() *detect.Explainer { return detect.NewExplainer(r) })
	targets := make([][]target, len(r.Services()))
	for _, rule := range r.All() {
		i := rule.Service.Index
		targets[i] = append(targets[i], targetsOf(rule, samples[rule])...)
	}
	var tallies []Tally
	for i, s := range r.Services() {
		tally := Tally{Service: s}
		if !o.User || touchedByUser(r, s) {
			v := newAdversary(r, s, targets, o.Seed, judge)
			v.explainer = explainer
			v.plain(targets[i])
			v.run(targets[i], o.Lines, &tally)
			v.run(v.disabled, 0, new(Tally))
			faults = append(faults, v.faults...)
		}
		tallies = append(tallies, tally)
	}
	return tallies, faults
}

// disabledTargets lists the forms of the lines that disabled rules for the programs of s describe: its programs go on to
// write them, and nobody may be blamed for one.
func disabledTargets(r *detect.Rules, s *detect.Service) []target {
	var all []target
	for _, rule := range r.Disabled(s) {
		all = append(all, ruleTargets(rule)...)
	}
	return all
}

// touchedByUser reports whether a file of the user's says what becomes of lines of s.
func touchedByUser(r *detect.Rules, s *detect.Service) bool {
	return slices.ContainsFunc(r.Services(), func(other *detect.Service) bool { return !other.Builtin() && shares(other, s) })
}

// shares reports whether both services know some program.
func shares(a, b *detect.Service) bool { return len(a.Shared(b)) > 0 }

// adversary attacks the rules for one service's programs.
type adversary struct {
	hostile
	service   *detect.Service
	disabled  []target // see disabledTargets
	judge     judge
	explainer func() *detect.Explainer
	faults    []detect.Fault
}

// newAdversary makes the adversary for s. It knows the lines of all services that share a program with s.
func newAdversary(r *detect.Rules, s *detect.Service, targets [][]target, seed uint64, judge judge) *adversary {
	name := fnv.New64()
	name.Write([]byte(s.Name))
	v := &adversary{service: s, judge: judge, disabled: disabledTargets(r, s)}
	v.targets = slices.Clone(v.disabled)
	v.Rand = rand.New(rand.NewPCG(seed, name.Sum64())) // of its own, so that no service's lines depend on another
	for i, other := range r.Services() {
		if shares(s, other) {
			v.targets = append(v.targets, targets[i]...)
			v.frames = slices.Concat(v.frames, other.Frame().Before, other.Frame().After)
		}
	}
	return v
}

// run writes lines and reports those that blame somebody, one for each form of line.
func (v *adversary) run(targets []target, lines int, tally *Tally) {
	targets = slices.DeleteFunc(slices.Clone(targets), func(t target) bool { return t.peers == nil })
	if len(targets) == 0 {
		return
	}
	reported, programs := make([]bool, len(targets)), make([][]string, len(targets))
	for i, t := range targets {
		programs[i] = v.service.Shared(t.rule.Service)
	}
	var f detect.Finding
	for i := range max(lines, leastLines*len(targets)) {
		t := &targets[i%len(targets)]
		v.current = t
		c := attempt{program: v.one(programs[i%len(targets)]), peer: v.one(t.peers)}
		c.line = t.write(&v.hostile, c.peer, 0)
		if v.IntN(4) == 0 {
			c.line = v.cut(c.line)
		}
		tally.Lines++
		switch v.judge([]byte(c.program), []byte(joined(c.line)), &f) {
		case detect.Ignored:
			tally.Ignored++
		case detect.Refused:
			tally.Refused++
		default:
			if f.Addr == c.truePeer() {
				tally.Found++
			} else if !reported[i%len(targets)] {
				reported[i%len(targets)] = true
				v.report(t, c)
			}
		}
	}
}

// attempt is one line.
type attempt struct {
	program, peer string
	line          []piece
}

func (c *attempt) truePeer() netip.Addr { return netip.MustParseAddr(c.peer).Unmap() }

// blames returns who is blamed for the line instead of its peer; the zero address if nobody is.
func (v *adversary) blames(c *attempt) netip.Addr {
	var f detect.Finding
	if v.judge([]byte(c.program), []byte(joined(c.line)), &f) != detect.Matched || f.Addr == c.truePeer() {
		return netip.Addr{}
	}
	return f.Addr
}

// report adds a fault for the pattern that blames somebody, unless it has one.
func (v *adversary) report(t *target, c attempt) {
	v.shrink(&c)
	message, blamed := joined(c.line), v.blames(&c)
	by := detect.Way{Rule: t.rule, Pattern: t.at.Value, Line: t.at.Line}
	e := v.explainer().Explain([]byte(c.program), []byte(message))
	for _, w := range e.Ways {
		if w.Addr == blamed {
			by = w
			break
		}
	}
	problem := fmt.Sprintf("rule %s can be made to blame somebody: the line %s of %s is from %s and not from %v: %s",
		by.Rule.Name, strconv.Quote(message), c.program, c.peer, blamed, advice(t, &by))
	at := by.Line
	if at == 0 { // a parser's rule has no pattern
		at = by.Rule.Line
	}
	for _, f := range v.faults {
		if f.File == by.Rule.Service.File && f.Line == at {
			return
		}
	}
	v.faults = append(v.faults, detect.Fault{File: by.Rule.Service.File, Line: at, Problem: problem})
}

// advice says what to write instead.
func advice(t *target, by *detect.Way) string {
	isRegex := func(rule *detect.Rule, pattern string) bool {
		_, regex := rule.Patterns()
		return slices.ContainsFunc(regex, func(p rulefile.Text) bool { return p.Value == pattern })
	}
	switch {
	case isRegex(by.Rule, by.Pattern):
		return "write it as a pattern (match:), which knows every way to read a line; or let nothing beside the address hold what looks like it"
	case isRegex(t.rule, t.at.Value):
		return fmt.Sprintf("write the expression in line %d as a pattern (match:), so that both ways to read the line are known", t.at.Line)
	case !t.own:
		return fmt.Sprintf("a peer may choose what is written there (line %d), also blanks: write <user> or <any> for it", t.at.Line)
	default:
		return "this is a bug of tattled: please report it"
	}
}

// shrink takes out of a line that blames somebody what is not needed for that.
func (v *adversary) shrink(c *attempt) {
	tries, blamed := 5000, v.blames(c)
	still := func(i int, text string) bool {
		before := c.line[i].text
		if tries--; tries < 0 || text == before {
			return false
		}
		c.line[i].text = text
		if v.blames(c) == blamed {
			return true
		}
		c.line[i].text = before
		return false
	}
	c.line = slices.Clone(c.line)
	for range 2 {
		for i := range c.line {
			switch c.line[i].hole {
			case narrowHole:
				_ = still(i, "w") || still(i, "1")
			case freeHole:
				if still(i, "") {
					continue
				}
				for size := (len(c.line[i].text) + 1) / 2; size > 0; size /= 2 {
					for at := 0; at+size <= len(c.line[i].text); {
						if now := c.line[i].text; !still(i, now[:at]+now[at+size:]) {
							at += size
						}
					}
				}
			}
		}
	}
}

// plain writes each pattern's line with nothing special in it. A pattern of which all are other rules' lines is never reached.
func (v *adversary) plain(targets []target) {
	var f detect.Finding
	for i := range targets {
		t := &targets[i]
		var by *detect.Rule
		for _, one := range t.shapes {
			message := one.Before + plainLine(one.Items) + one.After
			verdict := v.judge([]byte(v.service.Programs[0]), []byte(message), &f)
			if by = f.Rule; verdict != detect.Matched || by == t.rule || by.Service != v.service {
				by = nil
				break
			}
		}
		if by != nil && t.own {
			v.faults = append(v.faults, detect.Fault{File: v.service.File, Line: t.at.Line, Problem: fmt.Sprintf(
				"match: this pattern of rule %s is never reached, as rule %s (line %d) describes its lines and comes first: put the narrower rule first",
				t.rule.Name, by.Name, by.Line)})
		}
	}
}

// plainLine writes a line by a pattern with nothing special in it.
func plainLine(items []pattern.Item) string {
	var b strings.Builder
	for _, it := range items {
		switch {
		case it.Field == pattern.Literal:
			b.WriteString(it.Text)
		case it.Field == pattern.IP:
			b.WriteString(peer4)
		case it.Field == pattern.IPPort:
			b.WriteString(peer4 + ":4022")
		case it.Field.Digits() && !it.Field.Wide():
			b.WriteString("4022")
		default:
			b.WriteString("dan")
		}
	}
	return b.String()
}
