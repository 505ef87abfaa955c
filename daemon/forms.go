package daemon

import (
	"fmt"
	"sync"
	"time"

	"tattled/detect"
	"tattled/setting"
)

// eachForm calls use for each source that has a form, or may have one: its path in the configuration, its name as records
// have it, and its program, which is "" where each record names its own.
func (s *Sources) eachForm(use func(path, source, program, form string)) {
	for i := range s.Files {
		f := &s.Files[i]
		use(fmt.Sprintf("sources.files[%d].form", i), f.Source(), f.Program, f.Form)
	}
	for i := range s.Syslog {
		l := &s.Syslog[i]
		use(fmt.Sprintf("sources.syslog[%d].form", i), l.Listen, l.Program, l.Form)
	}
}

// checkForms reports the forms that are at fault.
func (s *Sources) checkForms(report setting.Report) {
	s.eachForm(func(path, _, _, form string) {
		if form == "" {
			return
		}
		if _, err := detect.ParseForm(form); err != nil {
			report(path, err.Error())
		}
	})
}

// forms returns the declared forms of access logs by source. They were checked.
func (s *Sources) forms() map[string]*detect.Form {
	all := map[string]*detect.Form{}
	s.eachForm(func(_, source, _, form string) {
		if f, err := detect.ParseForm(form); form != "" && err == nil {
			all[source] = f
		}
	})
	return all
}

// formWarnings says, in words, where the form of an access log has to be guessed, and where one is declared in vain.
func formWarnings(s *Sources, rules *detect.Rules) []string {
	var all []string
	s.eachForm(func(path, _, program, form string) {
		switch access := rules.ReadsAccess(program); {
		case program == "":
		case form == "" && access:
			all = append(all, fmt.Sprintf("%s: is missing, so the form of this access log is guessed for each line, and a line that may be of another form proves nothing: "+
				"write combined, common, vhost_combined, or the string of your LogFormat or log_format. A log of JSON needs none", path))
		case form != "" && !access:
			all = append(all, fmt.Sprintf("%s: is for access logs, and no rules read one of the program %q: leave it out, or write program: nginx or apache2", path, program))
		}
	})
	return all
}

// Of the lines about an attack of which the peer cannot be told: how many of a service within how long are a problem.
const (
	disputedLines = 20
	disputedIn    = time.Hour
)

// disputes counts, by service, lines that can be read in several ways which all tell of an attack, but not by the same peer:
// nobody can be blamed for them, and that somebody attacks is known all the same. Safe for concurrent use.
type disputes struct {
	mu   sync.Mutex
	seen map[string]*dispute
}

// dispute has the times of the last lines of a service, in a ring.
type dispute struct {
	at   [disputedLines]time.Time
	next int
}

// note takes a line of a service that was read at now. It returns whether that makes them a problem which they were not.
func (d *disputes) note(service string, now time.Time) (began bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.seen == nil {
		d.seen = map[string]*dispute{}
	}
	one := d.seen[service]
	if one == nil {
		one = &dispute{}
		d.seen[service] = one
	}
	before := one.problem(now)
	one.at[one.next] = now
	one.next = (one.next + 1) % disputedLines
	return !before && one.problem(now)
}

// problem reports whether there were too many within disputedIn before now.
func (d *dispute) problem(now time.Time) bool {
	oldest := d.at[d.next]
	return !oldest.IsZero() && now.Sub(oldest) < disputedIn
}

// problems says, in words, which services are attacked by somebody who cannot be told.
func (d *disputes) problems(services []*detect.Service, now time.Time) []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	var all []string
	for _, s := range services {
		if one := d.seen[s.Name]; one != nil && one.problem(now) {
			all = append(all, fmt.Sprintf("%s: %d lines or more within an hour tell of an attack and not of whom, because a client wrote what looks like another part of the line: nobody is reported for them. "+
				"See what `tattled explain` says of one; for an access log declare its form (sources.files[].form)", s.Name, disputedLines))
		}
	}
	return all
}
