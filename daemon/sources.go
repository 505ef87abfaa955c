package daemon

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"tattled/event"
	"tattled/receiver"
	"tattled/receiver/journal"
	"tattled/receiver/tail"
)

// syslogFiles are the files into which syslog daemons write what the journal has too, as distributions ship them.
func syslogFiles() []string {
	return []string{
		"/var/log/auth.log", "/var/log/secure", "/var/log/mail.log", "/var/log/maillog", "/var/log/kern.log", "/var/log/syslog",
		"/var/log/messages", "/var/log/daemon.log", "/var/log/user.log", "/var/log/ufw.log",
	}
}

// doubleSources says, in words, which log files hold what is read from the journal as well, so that each of their lines
// counts twice. Where only a part of the journal is read, nobody can tell.
func doubleSources(cfg *Config) []string {
	j := *sectionOf[*journal.Config](cfg, "sources.journal")
	if j == nil || j.Directory != "" || j.Namespace != "" || len(j.Units) > 0 || len(j.Matches) > 0 {
		return nil
	}
	var all []string
	for i, f := range *sectionOf[tail.Files](cfg, "sources.files") {
		pattern := filepath.Clean(f.Path)
		at := slices.IndexFunc(syslogFiles(), func(path string) bool {
			found, err := filepath.Match(pattern, path)
			return err == nil && found
		})
		if at >= 0 {
			all = append(all, fmt.Sprintf("sources.files[%d].path: the syslog daemon writes to %s what the journal has already, and sources.journal "+
				"is read: each line counts twice; remove one of them", i, syslogFiles()[at]))
		}
	}
	return all
}

// sourceProblems says what is wrong with the choice of sources, and with what they find. They log it themselves.
func (d *Daemon) sourceProblems() []event.Problem {
	var all []event.Problem
	for _, double := range d.doubles {
		setting, cause, _ := strings.Cut(double, ": ")
		all = append(all, event.Problem{What: setting + ": a log is read twice", Cause: cause, Remedy: "remove one of the two"})
	}
	for _, r := range d.receivers {
		if inner := opened(r); inner != nil {
			r = inner
		}
		if p, ok := r.(interface{ Problems() []event.Problem }); ok {
			all = append(all, p.Problems()...)
		}
	}
	return all
}

// up reports whether a source is open, and can be read as far as it knows.
func up(r receiver.Receiver) bool {
	r = opened(r)
	if r == nil {
		return false
	}
	reads, ok := r.(interface{ Reads() bool })
	return !ok || reads.Reads()
}
