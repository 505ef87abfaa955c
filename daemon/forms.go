package daemon

import (
	"fmt"
	"maps"
	"slices"
	"sync"

	"tattled/detect"
	"tattled/event"
	"tattled/policy/shared"
	"tattled/setting"
)

// checkForms reports the forms that are at fault.
func (c *Config) checkForms(report setting.FaultFunc) {
	for _, s := range c.sources() {
		if s.form == "" {
			continue
		}
		if _, err := detect.ParseForm(s.form); err != nil {
			report(s.at+".form", err.Error())
		}
	}
}

// forms returns the declared forms of access logs by source. They were checked.
func (c *Config) forms() map[string]*detect.Form {
	all := map[string]*detect.Form{}
	for _, s := range c.sources() {
		if f, err := detect.ParseForm(s.form); s.form != "" && err == nil {
			all[s.name] = f
		}
	}
	return all
}

// formWarnings says, in words, where the form of an access log has to be guessed, and where one is declared in vain.
func formWarnings(cfg *Config, rules *detect.Rules) []string {
	var all []string
	for _, s := range cfg.sources() {
		switch access := rules.ReadsAccess(s.program); {
		case s.program == "":
		case s.form == "" && access:
			all = append(all, fmt.Sprintf("%s.form: is missing, so the form of this access log is guessed for each line, and a line that may be of another form proves nothing, nor does any line of a log with looked-up names (HostnameLookups): "+
				"write combined, common, vhost_combined, or the string of your LogFormat or log_format. A log of JSON needs none", s.at))
		case s.form != "" && !access:
			all = append(all, fmt.Sprintf("%s.form: is for access logs, and no rules read one of the program %q: leave it out, or write program: nginx or apache2", s.at, s.program))
		}
	}
	return all
}

// proxyWarnings says, in words, which networks of rules.trusted_proxies are private ones: whoever has an address there has anybody
// blamed whom he names in an X-Forwarded-For.
func proxyWarnings(proxies []shared.Network) []string {
	var all []string
	for _, n := range proxies {
		for _, p := range n.Prefixes() {
			if a := p.Addr(); !p.IsSingleIP() && (a.IsPrivate() || a.IsLoopback() || a.IsLinkLocalUnicast()) {
				all = append(all, fmt.Sprintf("rules.trusted_proxies: whoever has an address in %s (a container, a machine of the same network) can have anybody reported for what he asks a web server. Write the proxies' own addresses", p))
			}
		}
	}
	return all
}

// Of the lines of a source with a declared form: how many must be of another form, at least, to be a problem, and of how many
// the last ones are looked at.
const (
	misfitLeast  = 20
	misfitWindow = 1000
)

// misfits counts, by source, lines that are not of the form that was declared for it: where most are, nothing is found in its log,
// and nobody but a problem says so. Safe for concurrent use.
type misfits struct {
	mu   sync.Mutex
	seen map[string]*misfit // few: by source
}

// misfit is about how many of the last lines were of the form, and how many of another.
type misfit struct {
	form         *detect.Form // which they were compared with
	fits, others uint64
}

func (m *misfit) problem() bool { return m.others >= misfitLeast && m.others > m.fits }

// note takes what a batch of a source had. It returns whether that makes a problem of the source, which it was not.
func (m *misfits) note(source string, form *detect.Form, fits, others uint64) (began bool) {
	if fits+others == 0 {
		return false
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.seen == nil {
		m.seen = map[string]*misfit{}
	}
	one := m.seen[source]
	if one == nil || one.form != form { // a form that was corrected begins anew
		one = &misfit{form: form}
		m.seen[source] = one
	}
	before := one.problem()
	for one.fits, one.others = one.fits+fits, one.others+others; one.fits+one.others > misfitWindow; {
		one.fits, one.others = one.fits/2, one.others/2
	}
	return !before && one.problem()
}

// problems says of which sources most lines are of another form than the one that is declared.
func (m *misfits) problems(forms map[string]*detect.Form) []event.Problem {
	m.mu.Lock()
	defer m.mu.Unlock()
	var all []event.Problem
	for _, source := range slices.Sorted(maps.Keys(m.seen)) {
		if one := m.seen[source]; one.form == forms[source] && one.problem() {
			all = append(all, event.Problem{
				What:   source + ": its lines are not of the form that is declared for it",
				Cause:  fmt.Sprintf("%d of the last %d lines are of another form than form: %s, so that nothing is found in them", one.others, one.fits+one.others, one.form),
				Remedy: "write the LogFormat or log_format of the server, and try it with `tattled match --form`",
			})
		}
	}
	return all
}
