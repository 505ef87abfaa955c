package daemon

import (
	"bytes"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"tattled/detect"
	"tattled/event"
	"tattled/receiver/tail"
)

// namedFor is how long after the last such line a log with names in it is a problem.
const namedFor = 24 * time.Hour

// namedCause and namedRemedy are of a web server's log that is never believed.
const (
	namedCause  = "lines of it have a name where the client's address should be, or characters of a client's that the server has not escaped, so none of its lines proves an address and nothing is reported from it"
	namedRemedy = "Apache: HostnameLookups Off, or %a in place of %h; nginx: $remote_addr first and no escape=none; or declare the log's form. It is believed again 30 days after the last such line"
)

// namedLogs remembers the sources with a web server's log whose addresses may be names that clients gave themselves: a zone can
// name a client 198.51.100.66. Such a log is as raw as those of rawLogs, and unlike those it should not be, so its operator is
// told. Safe for concurrent use.
type namedLogs struct {
	mu   sync.Mutex
	last map[string]time.Time // few: by source
}

// note remembers that such a line of source was read at now.
func (n *namedLogs) note(source string, now time.Time) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.last == nil {
		n.last = map[string]time.Time{}
	}
	n.last[source] = now
}

// problems says which sources these are.
func (n *namedLogs) problems(now time.Time) []event.Problem {
	n.mu.Lock()
	defer n.mu.Unlock()
	var all []event.Problem
	for _, source := range slices.Sorted(maps.Keys(n.last)) {
		if now.Sub(n.last[source]) < namedFor {
			all = append(all, event.Problem{What: source + ": a web server's log is not believed", Cause: namedCause, Remedy: namedRemedy})
		}
	}
	return all
}

// namedWarnings says, in words, which log files are such, by the last lines of each.
func namedWarnings(cfg *Config, rules *detect.Rules) []string {
	var all []string
	forms := cfg.forms()
	for _, s := range cfg.sources() {
		if s.files == nil || !rules.ReadsAccess(s.program) {
			continue
		}
		for _, path := range s.files() {
			if lines, err := tail.LastLines(path); err == nil && hasNamed(rules, s.program, forms[s.name], lines) {
				all = append(all, fmt.Sprintf("%s.path: %s: %s. %s", s.at, path, namedCause, namedRemedy))
			}
		}
	}
	return all
}

// hasNamed reports whether one of the lines has a name in the address's place.
func hasNamed(rules *detect.Rules, program string, form *detect.Form, lines []byte) bool {
	var f detect.Finding
	for line := range bytes.Lines(lines) {
		rules.DetectKnown([]byte(program), bytes.TrimRight(line, "\r\n"), detect.Known{Form: form}, &f)
		if f.Named {
			return true
		}
	}
	return false
}

// apacheFiles are where distributions have Apache's configuration, below the root of the file system.
func apacheFiles() []string {
	return []string{
		"etc/apache2/apache2.conf", "etc/apache2/conf-enabled/*.conf", "etc/apache2/sites-enabled/*.conf",
		"etc/httpd/conf/httpd.conf", "etc/httpd/conf.d/*.conf",
	}
}

// lookupWarnings says, in words, where Apache is told to look up the names of its clients, if one of its logs is read: as long as
// all clients have addresses for names, the log does not show it.
func lookupWarnings(cfg *Config, rules *detect.Rules, root string) []string {
	if !slices.ContainsFunc(cfg.sources(), func(s source) bool {
		return s.files != nil && (s.program == "apache2" || s.program == "httpd") && rules.ReadsAccess(s.program)
	}) {
		return nil
	}
	var all []string
	for _, pattern := range apacheFiles() {
		paths, _ := filepath.Glob(filepath.Join(root, pattern)) // the patterns are sound
		for _, path := range paths {
			text, err := readBounded(path)
			if err != nil {
				continue // tattled need not be able to read it
			}
			n := 0
			for line := range strings.Lines(string(text)) {
				n++
				if words := strings.Fields(line); len(words) > 1 && strings.EqualFold(words[0], "HostnameLookups") && !strings.EqualFold(words[1], "off") {
					all = append(all, fmt.Sprintf("%s:%d: HostnameLookups is on, so a client's own zone says what %%h writes into the access log, and no line of such a log proves an address: "+
						"turn it off, or write %%a in place of %%h in LogFormat and declare that as form", path, n))
				}
			}
		}
	}
	return all
}
