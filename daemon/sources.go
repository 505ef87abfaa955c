package daemon

import (
	"fmt"
	"path/filepath"
	"slices"
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
func doubleSources(s *Sources) []string {
	j := s.Journal
	if j == nil || j.Directory != "" || j.Namespace != "" || len(j.Units) > 0 || len(j.Matches) > 0 {
		return nil
	}
	var all []string
	for i, f := range s.Files {
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

// sourceProblems says, in words, what is wrong with the choice of sources, or with what they find.
func (d *Daemon) sourceProblems() []string {
	all := slices.Clone(d.doubles)
	for _, r := range d.receivers {
		if p, ok := opened(r).(interface{ Problems() []string }); ok {
			all = append(all, p.Problems()...)
		}
	}
	return all
}
