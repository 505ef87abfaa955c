package journal

import (
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"

	"tattled/setting"
)

// maxMatches bounds units and matches: they are arguments of a program.
const maxMatches = 100

// Config is sources.journal.
type Config struct {
	// Reporter is the label of this machine on the page, in alerts and in metrics. Default: the host that each entry names.
	Reporter string `yaml:"reporter"`

	// Since is how far back reading begins at the very first start, such as 1h or 7d. After that it goes on where it
	// stopped. Default: it begins with what comes after the start.
	Since setting.Duration `yaml:"since" zero:"default"`

	// Namespace is the journal namespace to read (LogNamespace= of a unit, see systemd-journald.service(8)). Default: the
	// default namespace.
	Namespace string `yaml:"namespace"`

	// Directory is the folder with the journal files to read, absolute, instead of this machine's journal: one that
	// systemd-journal-remote writes, for example. What the files say of user, program and unit is believed. Default: none.
	Directory string `yaml:"directory"`

	// Units lists the services whose entries are read; ".service" may be left out. The kernel's messages belong to none, so
	// the firewall's are not read then. At most 100. Default: all.
	Units []string `yaml:"units"`

	// Matches lists what entries must have to be read, as FIELD=value ("_TRANSPORT=kernel"): one of the values for each field
	// that is named, see systemd.journal-fields(7). Units count as values of _SYSTEMD_UNIT. At most 100. Default: none.
	Matches []string `yaml:"matches"`

	// Containers lists the containers, by name, whose lines may lead to a report, as Docker's and podman's journal drivers write them; a
	// name may have a "*" for any text: [mailserver, "web-*"]. To name one is to trust all that runs in it: whatever its programs write
	// to their standard output and error is believed, as lines of the program that the container's tag names (or its name), or, where a
	// line has a syslog header of its own, of the one in that header. So name none in which strangers run programs, or of which a program
	// lets strangers' text begin a line. Rootless containers are never believed: their user writes what he likes. Default: none;
	// containers are read, counted and shown, and lead to no report. At most 100.
	Containers []string `yaml:"containers"`

	// Helper is the program that reads the journal. Default: tattled-journal beside this program, then
	// /usr/libexec/tattled/tattled-journal, then in PATH; and if there is none, or it cannot read on this system, journalctl.
	Helper string `yaml:"helper"`

	// Logger is told when the journal cannot be read. Default: none.
	Logger *slog.Logger `yaml:"-"`
}

// Check reports every fault of c.
func (c *Config) Check(report setting.FaultFunc) {
	if c.Since < 0 {
		report("since", "is negative: write how far back to begin, such as 1h")
	}
	if c.Namespace != "" && !isNamespace(c.Namespace) {
		report("namespace", fmt.Sprintf("%q is not a namespace's name: letters, digits, and . _ - in between", c.Namespace))
	}
	switch {
	case c.Directory == "":
	case !filepath.IsAbs(c.Directory) || strings.ContainsRune(c.Directory, 0):
		report("directory", fmt.Sprintf("%q is not absolute: write it like /var/log/journal/remote", c.Directory))
	case c.Namespace != "":
		report("directory", "cannot be together with namespace: remove one of them")
	}
	if len(c.Units) > maxMatches {
		report("units", fmt.Sprintf("has %d entries, at most %d are allowed", len(c.Units), maxMatches))
	}
	for i, unit := range c.Units {
		if unit == "" || len(unit) > maxValue || strings.ContainsFunc(unit, isUnprintable) || strings.HasPrefix(unit, "-") {
			report(fmt.Sprintf("units[%d]", i), fmt.Sprintf("%q is not a unit's name: write it like ssh.service", unit))
		}
	}
	if len(c.Matches) > maxMatches {
		report("matches", fmt.Sprintf("has %d entries, at most %d are allowed", len(c.Matches), maxMatches))
	}
	for i, match := range c.Matches {
		field, value, _ := strings.Cut(match, "=")
		if !isFieldName([]byte(field)) || value == "" || len(match) > maxValue || strings.ContainsRune(value, 0) {
			report(fmt.Sprintf("matches[%d]", i), fmt.Sprintf("%q is not of the form FIELD=value: write it like _TRANSPORT=kernel", match))
		}
	}
	if len(c.Containers) > maxMatches {
		report("containers", fmt.Sprintf("has %d entries, at most %d are allowed", len(c.Containers), maxMatches))
	}
	for i, name := range c.Containers {
		if strings.Trim(name, "*") == "" || len(name) > maxValue || strings.ContainsFunc(name, isUnprintable) || strings.Count(name, "*") > 1 {
			report(fmt.Sprintf("containers[%d]", i), fmt.Sprintf("%q is not a container's name: write it like mailserver or \"web-*\", with one * at most and not alone", name))
		}
	}
	if strings.ContainsRune(c.Helper, 0) {
		report("helper", "has a NUL byte")
	}
}

// stream names what is read: another directory has positions of its own.
func (c *Config) stream() string {
	switch {
	case c.Directory != "":
		return "journal:" + filepath.Clean(c.Directory)
	case c.Namespace != "":
		return "journal@" + c.Namespace
	default:
		return "journal"
	}
}

// matches returns units and matches as the FIELD=value that both programs take.
func (c *Config) matches() []string {
	var all []string
	for _, unit := range c.Units {
		if !strings.Contains(unit, ".") {
			unit += ".service"
		}
		all = append(all, SystemdUnit.String()+"="+unit)
	}
	return append(all, c.Matches...)
}

func isNamespace(name string) bool {
	if len(name) > 255 || name[0] == '.' || name[0] == '-' {
		return false
	}
	for _, b := range []byte(name) {
		if !isLetter(b) && !isDigit(b) && b != '.' && b != '_' && b != '-' {
			return false
		}
	}
	return true
}

func isUnprintable(r rune) bool { return r <= ' ' || r == 0x7f }
func isLetter(b byte) bool      { return 'a' <= b|0x20 && b|0x20 <= 'z' }
func isDigit(b byte) bool       { return '0' <= b && b <= '9' }
