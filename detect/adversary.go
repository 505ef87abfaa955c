package detect

import (
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"

	"tattled/detect/pattern"
	"tattled/detect/rulefile"
)

// Attack says how rules are to be attacked.
type Attack struct {
	Seed  uint64 // the same seed writes the same lines
	Lines int    // for each service, and at least leastLines for each pattern
	User  bool   // only the services of the user's files, and those that know a program of theirs
}

// AttackTally is what became of the lines that were written for one service. What is in Lines and nowhere else blamed
// somebody.
type AttackTally struct {
	Service *Service
	Lines   int
	Found   int // the true peer
	Refused int // the peer cannot be told
	Ignored int // no rule describes it
}

// leastLines is how many lines each form of line gets, however many forms a service has.
const leastLines = 20

// Attack tries to get somebody blamed who did nothing. It writes lines as the services' programs would, by every pattern,
// expression and sample, and fills whatever a peer may fill with what peers try: addresses of others, other lines of the
// same log, the end of the line that they stand in, what ends lines and fields. Each line must be judged to be from its
// true peer, or be refused or ignored. A rule that takes another for the peer is a fault, and so is a pattern that never
// names its rule. What is written depends on nothing but the rules and the seed.
func (r *Rules) Attack(a Attack) ([]AttackTally, []Fault) {
	return r.attack(a, r.Detect)
}

// judge is Detect, or what a test has in place of it.
type judge func(program, message []byte, f *Finding) Verdict

func (r *Rules) attack(a Attack, judge judge) ([]AttackTally, []Fault) {
	samples, faults := r.samples()
	explainer := sync.OnceValue(func() *Explainer { return NewExplainer(r) })
	targets := make([][]target, len(r.services))
	for i, s := range r.services {
		targets[i] = r.targetsOf(s, samples)
	}
	var tallies []AttackTally
	for i, s := range r.services {
		tally := AttackTally{Service: s}
		if !a.User || r.touchedByUser(s) {
			v := r.newAdversary(s, targets, a.Seed, judge)
			v.explainer = explainer
			v.plain(targets[i])
			v.run(targets[i], a.Lines, &tally)
			v.run(v.disabled, 0, new(AttackTally))
			faults = append(faults, v.faults...)
		}
		tallies = append(tallies, tally)
	}
	return tallies, faults
}

// disabledTargets lists the forms of the lines that disabled rules for the programs of s describe: its programs go on to
// write them, and nobody may be blamed for one.
func (r *Rules) disabledTargets(s *Service) []target {
	var all []target
	for _, other := range slices.Concat([]*Service{s}, r.silent) {
		for _, rule := range other.witnesses {
			if other.shares(s) {
				all = append(all, ruleTargets(rule)...)
			}
		}
	}
	return all
}

// touchedByUser reports whether a file of the user's says what becomes of lines of s.
func (r *Rules) touchedByUser(s *Service) bool {
	return slices.ContainsFunc(r.services, func(other *Service) bool { return !other.builtin && other.shares(s) })
}

// adversary attacks the rules for one service's programs.
type adversary struct {
	hostile
	service   *Service
	disabled  []target // see disabledTargets
	judge     judge
	explainer func() *Explainer
	faults    []Fault
}

// newAdversary makes the adversary for s. It knows the lines of all services that share a program with s.
func (r *Rules) newAdversary(s *Service, targets [][]target, seed uint64, judge judge) *adversary {
	name := fnv.New64()
	name.Write([]byte(s.Name))
	v := &adversary{service: s, judge: judge, disabled: r.disabledTargets(s)}
	v.targets = slices.Clone(v.disabled)
	v.Rand = rand.New(rand.NewPCG(seed, name.Sum64())) // of its own, so that no service's lines depend on another
	for i, other := range r.services {
		if s.shares(other) {
			v.targets = append(v.targets, targets[i]...)
			v.frames = append(append(v.frames, other.frame.Before...), other.frame.After...)
		}
	}
	return v
}

// run writes lines and tells of those that blame somebody, one for each form of line.
func (v *adversary) run(targets []target, lines int, tally *AttackTally) {
	targets = slices.DeleteFunc(slices.Clone(targets), func(t target) bool { return t.peers == nil })
	if len(targets) == 0 {
		return
	}
	told, programs := make([]bool, len(targets)), make([][]string, len(targets))
	for i, t := range targets {
		programs[i] = v.service.shared(t.rule.Service)
	}
	var f Finding
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
		case Ignored:
			tally.Ignored++
		case Refused:
			tally.Refused++
		default:
			if f.Addr == c.truePeer() {
				tally.Found++
			} else if !told[i%len(targets)] {
				told[i%len(targets)] = true
				v.tell(t, c)
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
	var f Finding
	if v.judge([]byte(c.program), []byte(joined(c.line)), &f) != Matched || f.Addr == c.truePeer() {
		return netip.Addr{}
	}
	return f.Addr
}

// tell adds a fault for the pattern that blames somebody, unless it has one.
func (v *adversary) tell(t *target, c attempt) {
	v.shrink(&c)
	message, blamed := joined(c.line), v.blames(&c)
	by := Way{Rule: t.rule, Pattern: t.at.Value, Line: t.at.Line}
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
	v.faults = append(v.faults, Fault{File: by.Rule.Service.File, Line: at, Problem: problem})
}

// advice says what to write instead.
func advice(t *target, by *Way) string {
	isRegex := func(rule *Rule, pattern string) bool {
		return slices.ContainsFunc(rule.regex, func(p rulefile.Text) bool { return p.Value == pattern })
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

// plain writes each pattern's line with nothing special in it. A pattern of which all are other rules' lines is in vain.
func (v *adversary) plain(targets []target) {
	var f Finding
	for i := range targets {
		t := &targets[i]
		var by *Rule
		for _, one := range t.shapes {
			message := one.Before + plainLine(one.Items) + one.After
			verdict := v.judge([]byte(v.service.Programs[0]), []byte(message), &f)
			if by = f.Rule; verdict != Matched || by == t.rule || by.Service != v.service {
				by = nil
				break
			}
		}
		if by != nil && t.own {
			v.faults = append(v.faults, Fault{File: v.service.File, Line: t.at.Line, Problem: fmt.Sprintf(
				"match: this pattern of rule %s is unreachable, as rule %s (line %d) describes its lines and comes first: put the narrower rule first",
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
