package policy

import (
	"fmt"
	"hash/fnv"
	"slices"
	"strings"
	"time"

	"tattled/event"
)

// What may stand in Config.Do, Config.Distinct, Reputation.Unknown, When.Strength and When.Direction.
const (
	doReport      = "report"
	doAlert       = "alert"
	doCount       = "count"
	distinctPorts = "ports"
	distinctUsers = "users"
	distinctPaths = "paths"
	unknownAlert  = "alert"
	unknownDrop   = "drop"
	strong        = "strong"
	weak          = "weak"

	directionIn      = "in"
	directionForward = "forward"
)

// rule is a Config in the form in which it is asked.
type rule struct {
	name string
	id   uint32 // of its tracks in a State: changes with what is counted, not with how much is too much

	kinds, after kinds
	when         When
	threshold    int
	within       int64 // milliseconds
	gap          int64 // a run of events ends with a pause of this, milliseconds
	distinct     string
	minDistinct  int // different values among threshold events; 0 where threshold counts the values
	successes    int // failures that one success takes back at most; 0 where successes are not weighed
	reputation   *event.Reputation

	report, alert, count bool
	private              bool // alerts may be about addresses that are Internal to the gate
}

// kinds is a set of kinds.
type kinds uint32

func setOf(list []event.Kind) kinds {
	var set kinds
	for _, k := range list {
		set |= 1 << k
	}
	return set
}

// list returns the kinds of the set, in order.
func (s kinds) list() []event.Kind {
	return slices.DeleteFunc(event.Kinds(), func(k event.Kind) bool { return !s.has(k) })
}

func (s kinds) has(k event.Kind) bool { return k < 32 && s&(1<<k) != 0 }

func compile(c *Config) rule {
	r := rule{
		name: c.Name, kinds: setOf(c.When.Kind), after: setOf(c.After), when: c.When, distinct: c.Distinct,
		threshold: min(max(c.Threshold, 1), MaxThreshold), within: c.Within.D().Milliseconds(),
		report: slices.Contains(c.Do, doReport) && c.Reputation == nil,
		alert:  slices.Contains(c.Do, doAlert), count: slices.Contains(c.Do, doCount), private: c.Private,
	}
	r.gap = max(r.within, time.Hour.Milliseconds())
	if c.Reputation != nil {
		lowest, highest := c.Reputation.Bounds()
		r.reputation = &event.Reputation{MinScore: lowest, MaxScore: highest, MaxAge: c.Reputation.MaxAge.D(), DropUnknown: c.Reputation.DropsUnknown()}
		if r.reputation.MaxAge == 0 {
			r.reputation.MaxAge = 90 * 24 * time.Hour
		}
	}
	if c.MinDistinct > 0 && c.Distinct != "" {
		r.minDistinct = min(c.MinDistinct, maxMinDistinct)
		r.threshold = min(max(r.threshold, r.minDistinct), maxBroad)
	}
	if r.after == 0 && r.distinct != distinctPorts && r.distinct != distinctPaths {
		r.successes = min(max(c.Successes, 0), maxLogins)
	}
	h := fnv.New32a()
	when := fmt.Sprint(c.When)
	if c.When.Direction != directionForward { // the field has been there for some releases alone, and is the last one
		when = strings.TrimSuffix(when, " "+c.When.Direction+"}") + "}"
	}
	fmt.Fprintf(h, "%q %q %v %v", c.Name, c.Distinct, c.After, when)
	if c.Distinct != "" || r.successes > 0 { // values have had 64 bits since, and some tracks have them that had none
		fmt.Fprintf(h, " 64 %v %v", r.minDistinct > 0, r.successes > 0)
	}
	r.id = h.Sum32()
	return r
}

// tells reports whether reaching the rule leads to a telling of d.
func (r *rule) tells(d *destination) bool {
	return d.action == Report && r.report || d.action == Alert && r.alert
}

// keeps returns how many moments a track of the rule keeps. Twice the threshold lets an old log that is read late reach
// the threshold by itself beside what happens meanwhile.
func (r *rule) keeps() int {
	switch {
	case r.successes > 0: // more than the accounts whose successes may outweigh them
		return max(2*r.threshold, maxLogins+1)
	case r.threshold == 1 && r.after == 0:
		return 0
	}
	return 2 * r.threshold
}

// unique reports whether of several moments with one value only the newest counts.
func (r *rule) unique() bool { return r.distinct != "" && r.minDistinct == 0 }

// roles says what e is to the rule: something to count, something that may reach it, or both.
func (r *rule) roles(e *event.Event) (counts, triggers bool) {
	if r.after == 0 {
		is := r.mismatch(e) == ""
		return is, is
	}
	counts = r.after.has(e.Kind) && r.foreign(e) == ""
	return counts, r.mismatch(e) == ""
}

// counted returns the kinds of the events that the rule counts where they may be several, nil where all are of the kind of the
// one that reaches it.
func (r *rule) counted() []event.Kind {
	switch list := r.kinds.list(); {
	case r.after != 0 || len(list) == 1:
		return nil
	case len(list) == 0:
		return event.Kinds()
	default:
		return list
	}
}

// concerns reports whether the conditions on the service let one pass, by its hash.
func (r *rule) concerns(service uint16) bool {
	is := func(name string) bool { return service16(name) == service }
	return (len(r.when.Service) == 0 || slices.ContainsFunc(r.when.Service, is)) && !slices.ContainsFunc(r.when.ServiceNot, is)
}

// mismatch returns the name of the first condition of When that e does not fulfil, "" if it fulfils all.
func (r *rule) mismatch(e *event.Event) string {
	w := &r.when
	switch {
	case r.kinds != 0 && !r.kinds.has(e.Kind):
		return "kind"
	case len(w.Rule) > 0 && !slices.Contains(w.Rule, e.Rule):
		return "rule"
	case slices.Contains(w.RuleNot, e.Rule):
		return "rule_not"
	case e.Forward != (w.Direction == directionForward):
		return "direction"
	case w.Strength != "" && e.Weak != (w.Strength == weak):
		return "strength"
	case len(w.Ports) > 0 && !slices.ContainsFunc(w.Ports, func(p Ports) bool { return p.Contains(e.LocalPort) }):
		return "ports"
	case len(w.User) > 0 && !slices.Contains(w.User, e.User):
		return "user"
	case len(w.UserNot) > 0 && slices.Contains(w.UserNot, e.User):
		return "user_not"
	}
	return r.foreign(e)
}

// foreign is the part of mismatch that holds for the events of After as well.
func (r *rule) foreign(e *event.Event) string {
	w := &r.when
	switch {
	case len(w.Service) > 0 && !slices.Contains(w.Service, e.Service):
		return "service"
	case slices.Contains(w.ServiceNot, e.Service):
		return "service_not"
	case len(w.Source) > 0 && !slices.Contains(w.Source, e.Source):
		return "source"
	case len(w.Country) > 0 && !slices.Contains(w.Country, country(e)):
		return "country"
	case len(w.CountryNot) > 0 && slices.Contains(w.CountryNot, country(e)):
		return "country_not"
	case len(w.ASN) > 0 && !slices.Contains(w.ASN, e.Place.ASN):
		return "asn"
	case len(w.ASNNot) > 0 && slices.Contains(w.ASNNot, e.Place.ASN):
		return "asn_not"
	}
	return ""
}

func country(e *event.Event) string {
	if e.Place.Country == "" {
		return Unknown
	}
	return e.Place.Country
}

// has reports whether e has the value that must be distinct.
func (r *rule) has(e *event.Event) bool {
	switch r.distinct {
	case distinctPorts:
		return e.LocalPort != 0
	case distinctUsers:
		return e.User != ""
	case distinctPaths:
		return e.Path != ""
	}
	return true
}

// Explanation is what one policy makes of one event by itself.
type Explanation struct {
	Policy   string
	Mismatch string // the condition that does not hold, as named in the configuration, "distinct" where there is no such value; "" if all hold
	Counts   bool   // the event counts towards the threshold
	Weighs   bool   // it is a success that takes back failures, and is weighed against others
}

// Explain says what each policy makes of e, without a state. An event that is Ordinary to the gate, or trusted, counts
// nowhere.
func (p *Policy) Explain(e *event.Event) []Explanation {
	idle := p.gate.Ordinary(e) || p.gate.Trusts(e.Addr)
	var all []Explanation
	for i := range p.rules {
		r := &p.rules[i]
		x := Explanation{Policy: r.name, Mismatch: r.mismatch(e)}
		counts, _ := r.roles(e)
		if x.Mismatch == "" && r.distinct != "" && !r.has(e) {
			x.Mismatch, counts = "distinct", false
		}
		x.Counts = counts && !idle
		x.Weighs = r.successes > 0 && e.Kind == event.AuthSuccess && e.User != "" && r.foreign(e) == "" && !idle
		all = append(all, x)
	}
	return all
}
