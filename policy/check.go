package policy

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"tattled/event"
	"tattled/setting"
)

// List is what a configuration says of policies. With makes of it those that are in effect.
type List []Config

// CheckAll reports every fault of a list of policies: those of each, with paths like "[2].threshold", and those of the
// list as a whole.
func CheckAll(rules []Config, report setting.FaultFunc) {
	for i := range rules {
		at := fmt.Sprintf("[%d]", i)
		rules[i].Check(func(path, problem string) {
			if path != "" {
				path = "." + path
			}
			report(at+path, problem)
		})
	}
	List(rules).Check(report)
	CheckSize(rules, report)
}

// Check reports what is wrong with the list as a whole, and with no policy by itself.
func (l List) Check(report setting.FaultFunc) {
	seen := map[string]int{}
	for i := range l {
		if first, twice := seen[l[i].Name]; twice && l[i].Name != "" {
			report(fmt.Sprintf("[%d].name", i), fmt.Sprintf("%q names policy [%d] already: give each its own name", l[i].Name, first))
		} else {
			seen[l[i].Name] = i
		}
	}
}

// CheckSize reports where the policies in effect, the shipped ones included, would have more remembered of an address than is
// possible.
func CheckSize(all []Config, report setting.FaultFunc) {
	const remedy = "; `policy_defaults: false` switches those that come with tattled off"
	if len(all) > MaxRules {
		report("", fmt.Sprintf("there are %d policies, with those that come with tattled: at most %d are possible", len(all), MaxRules)+remedy)
	}
	sum := 0
	for i := range all {
		sum += min(max(all[i].Threshold, 1), MaxThreshold)
	}
	if sum > maxSum {
		report("", fmt.Sprintf("the thresholds of all policies, with those that come with tattled, add up to %d: at most %d is possible, because so much is remembered of each address", sum, maxSum)+remedy)
	}
}

// Check reports every fault of one policy.
func (c *Config) Check(report setting.FaultFunc) {
	c.checkName(report)
	if c.off() && c.bare() {
		c.checkShipped(report)
		return
	}
	c.When.check(report)
	checkKinds("after", c.After, report)
	if c.Threshold < 0 || c.Threshold > MaxThreshold {
		report("threshold", fmt.Sprintf("%d is out of range: write 1 to %d", c.Threshold, MaxThreshold))
	}
	within := c.Within.D()
	switch {
	case within < 0 || within > maxWithin:
		report("within", fmt.Sprintf("%s is out of range: write at most 30d", c.Within))
	case within == 0 && (c.Threshold > 1 || len(c.After) > 0):
		report("within", "it is missing: write in what time the events must be, such as within: 10m")
	case within > 0 && within < time.Second:
		report("within", fmt.Sprintf("%s is too short: many logs have whole seconds only, write at least 1s", c.Within))
	}
	c.checkDistinct(report)
	c.checkSuccesses(report)
	c.checkDo(report)
	if c.Reputation != nil {
		c.Reputation.check(report)
	}
}

func (c *Config) checkDistinct(report setting.FaultFunc) {
	switch c.Distinct {
	case "", distinctPorts, distinctUsers, distinctPaths:
	default:
		report("distinct", fmt.Sprintf("%q cannot be counted: write ports, users or paths, or leave it out", c.Distinct))
	}
	switch {
	case c.MinDistinct == 0:
	case c.Distinct == "":
		report("min_distinct", "it needs distinct: write what must be so many, such as distinct: users")
	case c.MinDistinct < 2 || c.MinDistinct > maxMinDistinct:
		report("min_distinct", fmt.Sprintf("%d is out of range: write 2 to %d", c.MinDistinct, maxMinDistinct))
	case c.Threshold < c.MinDistinct || c.Threshold > maxBroad:
		report("threshold", fmt.Sprintf("%d does not go with min_distinct %d: write %d to %d", c.Threshold, c.MinDistinct, c.MinDistinct, maxBroad))
	}
}

func (c *Config) checkSuccesses(report setting.FaultFunc) {
	if c.Successes == 0 {
		return
	}
	switch {
	case c.Successes < 0 || c.Successes > maxLogins:
		report("successes", fmt.Sprintf("%d is out of range: write 1 to %d", c.Successes, maxLogins))
	case len(c.When.Kind) != 1 || c.When.Kind[0] != event.AuthFailure:
		report("successes", "it weighs logins against failures of logins: write when: {kind: [auth-failure]}, or drop it")
	case len(c.After) > 0:
		report("successes", "it cannot be combined with after: a success that follows failures is what such a policy is about")
	case c.Distinct != "" && c.Distinct != distinctUsers:
		report("successes", fmt.Sprintf("it cannot be combined with distinct: %s: write users, or leave distinct out", c.Distinct))
	}
}

func (c *Config) checkName(report setting.FaultFunc) {
	switch {
	case c.Name == "":
		report("name", "it is missing: give the policy a name, it is what reports and metrics show")
	case len(c.Name) > maxName:
		report("name", fmt.Sprintf("it has %d bytes: write at most %d", len(c.Name), maxName))
	case strings.Trim(c.Name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.") != "":
		report("name", fmt.Sprintf("%q has other characters than letters, digits, \"-\", \"_\" and \".\"", c.Name))
	}
}

// checkShipped reports a switch that switches nothing.
func (c *Config) checkShipped(report setting.FaultFunc) {
	names := shippedNames()
	switch near := setting.Nearest(c.Name, names); {
	case slices.Contains(names, c.Name):
	case near != "":
		report("name", fmt.Sprintf("no policy that comes with tattled is named %q, so that nothing is switched off: did you mean %q?", c.Name, near))
	default:
		report("name", fmt.Sprintf("no policy that comes with tattled is named %q, so that nothing is switched off: `tattled check --policies` lists them", c.Name))
	}
}

func (c *Config) checkDo(report setting.FaultFunc) {
	if c.Private && !slices.Contains(c.Do, doAlert) {
		report("private", "it lets alerts about private addresses out, and the policy does not alert: add alert to do, or drop it")
	}
	if len(c.Do) == 0 {
		problem := "it is missing: write one or more of report, alert and count"
		if slices.Contains(shippedNames(), c.Name) {
			problem += ". This entry replaces all of the policy that comes with tattled: begin with a copy of it, from `tattled check --policies`"
		}
		report("do", problem)
	}
	for i, do := range c.Do {
		switch do {
		case doReport:
			if c.Reputation != nil {
				report(fmt.Sprintf("do[%d]", i), "a policy with a reputation cannot report: AbuseIPDB forbids reports that rest on its own scores. Use alert, or drop the reputation")
			}
		case doAlert, doCount:
		default:
			report(fmt.Sprintf("do[%d]", i), fmt.Sprintf("%q is not an action: write report, alert or count", do))
		}
	}
}

func (w *When) check(report setting.FaultFunc) {
	checkKinds("when.kind", w.Kind, report)
	for _, list := range []struct {
		path  string
		names []string
	}{{"service", w.Service}, {"service_not", w.ServiceNot}, {"rule", w.Rule}, {"rule_not", w.RuleNot}, {"source", w.Source}, {"user", w.User}, {"user_not", w.UserNot}} {
		for i, name := range list.names {
			if name == "" {
				report(fmt.Sprintf("when.%s[%d]", list.path, i), "it is empty, and would match nothing: drop it")
			}
		}
	}
	if w.Direction != "" && w.Direction != directionIn && w.Direction != directionForward {
		report("when.direction", fmt.Sprintf("%q is not a direction: write in or forward, or leave it out for in", w.Direction))
	}
	if w.Strength != "" && w.Strength != strong && w.Strength != weak {
		report("when.strength", fmt.Sprintf("%q is not a strength: write strong or weak, or leave it out", w.Strength))
	}
	if len(w.Country) > 0 && len(w.CountryNot) > 0 {
		report("when.country_not", "it cannot be combined with country: keep the one that is shorter")
	}
	checkCountries("when.country", w.Country, report)
	checkCountries("when.country_not", w.CountryNot, report)
	if len(w.ASN) > 0 && len(w.ASNNot) > 0 {
		report("when.asn_not", "it cannot be combined with asn: keep the one that is shorter")
	}
	for i, p := range w.Ports {
		if p.First == 0 || p.Last < p.First {
			report(fmt.Sprintf("when.ports[%d]", i), "it is not a port: write a number like 22 or a range like 8000-8100")
		}
	}
}

func checkKinds(path string, kinds []event.Kind, report setting.FaultFunc) {
	for i, k := range kinds {
		if _, err := k.MarshalText(); err != nil {
			report(fmt.Sprintf("%s[%d]", path, i), fmt.Sprintf("it is not a kind of event: write one of %v", event.Kinds()))
		}
	}
}

func checkCountries(path string, codes []string, report setting.FaultFunc) {
	for i, code := range codes {
		if isCountry(code) {
			continue
		}
		problem := fmt.Sprintf("%q is not a country: write its ISO 3166-1 code, such as BE, or \"??\" for an unknown one", code)
		if upper := strings.ToUpper(code); isCountry(upper) {
			problem = fmt.Sprintf("%q must be written in capitals: %s", code, upper)
		} else if code == "UK" {
			problem = "\"UK\" is not a country's code: the United Kingdom is GB"
		}
		report(fmt.Sprintf("%s[%d]", path, i), problem)
	}
}

func (r *Reputation) check(report setting.FaultFunc) {
	lowest, highest := r.Bounds()
	for _, s := range []struct {
		path  string
		score int
	}{{"reputation.min_score", lowest}, {"reputation.max_score", highest}} {
		if s.score < 0 || s.score > 100 {
			report(s.path, fmt.Sprintf("%d is not a score: write 0 to 100", s.score))
		}
	}
	if lowest > highest {
		report("reputation.min_score", fmt.Sprintf("%d is above max_score %d: no score is between them", lowest, highest))
	}
	if r.MinScore == nil && r.MaxScore == nil {
		report("reputation", "it has neither min_score nor max_score, and so is not a condition: add one, or drop it")
	}
	if age := r.MaxAge.D(); age != 0 && (age < 24*time.Hour || age > 365*24*time.Hour) {
		report("reputation.max_age", fmt.Sprintf("%s is out of range: write 1d to 365d", r.MaxAge))
	}
	switch r.Unknown {
	case "", unknownAlert, unknownDrop:
	default:
		report("reputation.unknown", fmt.Sprintf("%q is neither alert nor drop", r.Unknown))
	}
}
