package daemon

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"

	"tattled/detect"
	"tattled/policy"
	"tattled/setting"
)

// loadRules loads the rules that cfg asks for, and finds what in cfg names a service, a rule or a program that no rule file has. A
// directory that is not there has no rules.
func loadRules(cfg *Config) (*detect.Rules, Faults) {
	o := ruleOptions(cfg)
	rules, problems := detect.Load(o)
	whole := rules
	if o.Disable, o.Netfilter = nil, (detect.Netfilter{}); rules == nil || len(cfg.Rules.Disable) > 0 {
		whole, _ = detect.Load(o)
	}
	faults := RuleFaults(problems)
	for i, f := range faults {
		switch setting, problem, found := strings.Cut(f.Problem, ": "); {
		case f.File == "" && found: // what the options name is not there
			faults[i] = cfg.origin.fault(cfg.entryOf(setting, problem), problem)
		case f.File == o.Directory && f.Line == 0:
			faults[i] = cfg.origin.fault("rules.directory", f.Problem+": name a folder that the service may read")
		}
	}
	if whole != nil { // else nobody knows what the rule files name
		more := checkNames(cfg, whole)
		faults = slices.DeleteFunc(faults, func(f Fault) bool { // of the same, and it says less
			return slices.ContainsFunc(more, func(m Fault) bool { return m.Setting == f.Setting })
		})
		faults = append(faults, more...)
	}
	if len(faults) > 0 {
		return nil, faults
	}
	return rules, nil
}

func ruleOptions(cfg *Config) detect.Options {
	o := detect.Options{Directory: cfg.Rules.Directory, Disable: cfg.Rules.Disable, Netfilter: cfg.Rules.Netfilter}
	if _, err := os.Stat(o.Directory); errors.Is(err, fs.ErrNotExist) {
		o.Directory = ""
	}
	for _, n := range cfg.Rules.TrustedProxies {
		o.TrustedProxies = append(o.TrustedProxies, n.Prefixes()...)
	}
	return o
}

// entryOf returns the entry of a list of words that a problem quotes, or setting if there is none.
func (c *Config) entryOf(setting, problem string) string {
	n := &c.Rules.Netfilter
	for _, list := range []struct {
		path, of string
		words    []string
	}{
		{"rules.disable", "rules.disable", c.Rules.Disable},
		{"rules.netfilter.block", "rules.netfilter", n.Block}, {"rules.netfilter.accept", "rules.netfilter", n.Accept},
	} {
		for i, word := range list.words {
			if list.of == setting && strings.Contains(problem, fmt.Sprintf("%q", word)) {
				return fmt.Sprintf("%s[%d]", list.path, i)
			}
		}
	}
	return setting
}

// ruleNames are what a configuration may name of the rule files.
type ruleNames struct {
	services []string
	programs []string // a name may have a *
	rules    func(services []string) []string
}

// checkNames finds the services, rules and programs in cfg that no rule file has. whole is all rules, those that are disabled too.
func checkNames(cfg *Config, whole *detect.Rules) Faults {
	all := newRuleNames(cfg, whole)
	var faults Faults
	report := func(path, problem string) { faults = append(faults, cfg.origin.fault(path, problem)) }
	for i := range cfg.Policy {
		checkPolicyNames(fmt.Sprintf("policy[%d].when.", i), &cfg.Policy[i].When, &all, report)
	}
	for _, s := range cfg.sources() {
		if s.program != "" && !slices.ContainsFunc(all.programs, func(known string) bool { return fitsProgram(known, s.program) }) {
			report(s.at+".program", fmt.Sprintf("no rule reads the messages of a program %q, so that nothing is ever found there", s.program)+
				meant(s.program, all.programs, "`tattled check --rules` lists the services, and a rule file of your own may name more programs"))
		}
	}
	for i, name := range cfg.Rules.Disable {
		service, rule, one := strings.Cut(name, "/")
		switch {
		case !slices.Contains(all.services, service):
			report(fmt.Sprintf("rules.disable[%d]", i), fmt.Sprintf("there is no service %q", service)+meant(service, all.services, "`tattled check --rules` lists them"))
		case one:
			if known := all.rules([]string{service}); !slices.Contains(known, rule) {
				report(fmt.Sprintf("rules.disable[%d]", i), fmt.Sprintf("there is no rule %q of %s", rule, service)+meant(rule, known, "`tattled explain LINE` says which one a line is of"))
			}
		}
	}
	return faults
}

func newRuleNames(cfg *Config, whole *detect.Rules) ruleNames {
	var all ruleNames
	for _, s := range whole.Services() {
		all.services = append(all.services, s.Name)
		all.programs = append(all.programs, s.Programs...)
	}
	all.rules = func(services []string) []string {
		o := ruleOptions(cfg)
		o.Disable, o.Netfilter = nil, detect.Netfilter{}
		read, faults := detect.Load(o) // of its own, to be forgotten: reading all files takes memory
		if len(faults) > 0 {
			return nil // changed since a moment ago
		}
		var found []string
		for _, r := range read.All() {
			if len(services) == 0 || slices.Contains(services, r.Service.Name) {
				found = append(found, r.Name)
			}
		}
		return found
	}
	return all
}

func checkPolicyNames(at string, w *policy.When, all *ruleNames, report setting.FaultFunc) {
	check := func(list string, words, known []string, what string) {
		for i, word := range words {
			if word != "" && !slices.Contains(known, word) {
				report(fmt.Sprintf("%s%s[%d]", at, list, i), fmt.Sprintf("there is no %s %q", what, word)+
					meant(word, known, "`tattled explain LINE` says which one a line is of"))
			}
		}
	}
	check("service", w.Service, all.services, "service")
	check("service_not", w.ServiceNot, all.services, "service")
	if len(w.Rule)+len(w.RuleNot) == 0 {
		return
	}
	services := slices.DeleteFunc(slices.Clone(w.Service), func(s string) bool { return !slices.Contains(all.services, s) })
	known, what := all.rules(services), "rule"
	if len(services) > 0 {
		what = "rule of " + strings.Join(services, ", ") + " named"
	}
	check("rule", w.Rule, known, what)
	check("rule_not", w.RuleNot, known, what)
}

// meant is the end of a sentence about an unknown name: what it was meant to be, or else what helps.
func meant(name string, known []string, help string) string {
	if near := setting.Nearest(name, known); near != "" {
		return fmt.Sprintf(": did you mean %q?", near)
	}
	return ": " + help
}

// fitsProgram reports whether a rule file's name of a program, which may have a * for any text, stands for name.
func fitsProgram(known, name string) bool {
	front, back, any := strings.Cut(known, "*")
	if !any {
		return known == name
	}
	return len(name) >= len(front)+len(back) && strings.HasPrefix(name, front) && strings.HasSuffix(name, back)
}

// names returns the names by which policies and metrics know the sources.
func (c *Config) names() []string {
	var all []string
	for _, s := range c.sources() {
		all = append(all, s.name)
	}
	return all
}

// checkSourceNames reports the sources in policies that are not configured.
func (c *Config) checkSourceNames(report setting.FaultFunc) {
	known := c.names()
	for i := range c.Policy {
		for j, name := range c.Policy[i].When.Source {
			if name == "" || slices.Contains(known, name) {
				continue
			}
			help := "there is " + strings.Join(known, ", ")
			if slices.Contains(known, "file:"+name) {
				help = fmt.Sprintf("did you mean %q?", "file:"+name)
			}
			report(fmt.Sprintf("policy[%d].when.source[%d]", i, j), fmt.Sprintf("there is no source %q", name)+meant(name, known, help))
		}
	}
}
