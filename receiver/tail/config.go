package tail

import (
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"time"

	"tattled/event"
	"tattled/setting"
)

// The bounds of Config.MaxLine, in bytes.
const (
	DefaultMaxLine = 16 << 10
	leastMaxLine   = 512
	mostMaxLine    = 1 << 20
)

// MaxFiles is how many files one pattern may match. What lies beyond is not read, and that is logged and counted.
const MaxFiles = 1000

// Config is one entry of sources.files.
type Config struct {
	// Path is the log file, absolute. It may be a pattern (*, ?, [a-z]) for up to 1,000 files, which is looked at again each
	// second. Write the pattern so that it matches the files that are written to and not what rotation makes of them
	// ("*.log", not "*.log*"). No other entry may name the same file, unless it says the same of its lines: then they are read once. The file need not exist yet. Compressed files are never read.
	Path string `yaml:"path"`

	// Program is the program whose log this is, for a log without a syslog header, such as an access log: the whole line is
	// then the message. Default: none, and each line has a header.
	Program string `yaml:"program"`

	// Form is the form of the access log that a web server writes here: combined, common, vhost_combined, or the string of
	// Apache's LogFormat or of nginx' log_format. It is believed exactly; without it each line's form is guessed. It is not
	// for logs of JSON. Default: none.
	Form string `yaml:"form"`

	// Reporter is the label of this log on the page, in alerts and in metrics. Default: the host that each record names.
	Reporter string `yaml:"reporter"`

	// Trust says what may follow from a line: "report", or "count" for a file that others can write to, whose lines then
	// are counted and shown but lead to no report. Default: report.
	Trust string `yaml:"trust"`

	// Timezone is the zone of timestamps that name none, such as "Europe/Brussels". Default: this machine's.
	Timezone string `yaml:"timezone"`

	// MaxLine is the longest line, in bytes. A longer one is cut there, and matches no rule unless it is of an access
	// log and its status is before the cut. From 512 to 1048576; default 16384.
	MaxLine int `yaml:"max_line"`

	// Start says where reading begins in a file that is there when tattled first sees it: "end", or "beginning". A file that
	// comes later is always read from its beginning. Default: end.
	Start string `yaml:"start"`

	// Shared is what this receiver and those of the other entries know together. Default: it knows of no other.
	Shared *Shared `yaml:"-"`

	// Logger is told of files that cannot be read. Default: none.
	Logger *slog.Logger `yaml:"-"`
}

// Source is the name that the batches of the receiver for c carry.
func (c *Config) Source() string { return "file:" + c.Path }

// Paths returns the paths that Path matches now, MaxFiles at most, or Path itself if there are none.
func (c *Config) Paths() []string {
	paths, _ := filepath.Glob(c.Path) // its one error is a bad pattern, which Check refuses
	if len(paths) == 0 {
		return []string{c.Path}
	}
	return paths[:min(len(paths), MaxFiles)]
}

// Check reports every fault of c.
func (c *Config) Check(report setting.FaultFunc) {
	switch {
	case c.Path == "":
		report("path", "is missing: write the log file's path, such as /var/log/auth.log")
	case !filepath.IsAbs(c.Path):
		report("path", fmt.Sprintf("%q is not absolute: write it with the folders that it is in", c.Path))
	case strings.ContainsRune(c.Path, 0):
		report("path", "has a NUL byte")
	default:
		if _, err := filepath.Match(c.Path, ""); err != nil {
			report("path", fmt.Sprintf("%q is not a pattern that can match: close its bracket, or write \\[ for the character itself", c.Path))
		}
	}
	if strings.ContainsFunc(c.Program, func(r rune) bool { return r <= ' ' || r == 0x7f }) {
		report("program", fmt.Sprintf("%q has a space or a control character: write the name as a syslog tag, such as nginx", c.Program))
	}
	if c.Trust != "" && c.Trust != event.TrustReport.String() && c.Trust != event.TrustCount.String() {
		report("trust", fmt.Sprintf("%q is neither report nor count", c.Trust))
	}
	if _, err := c.Zone(); err != nil {
		report("timezone", fmt.Sprintf("%q is not a time zone of this system: write it like Europe/Brussels or UTC, or install tzdata", c.Timezone))
	}
	if c.MaxLine != 0 && (c.MaxLine < leastMaxLine || c.MaxLine > mostMaxLine) {
		report("max_line", fmt.Sprintf("%d is out of bounds: from %d to %d bytes", c.MaxLine, leastMaxLine, mostMaxLine))
	}
	if c.Start != "" && c.Start != "end" && c.Start != "beginning" {
		report("start", fmt.Sprintf("%q is neither end nor beginning", c.Start))
	}
}

// Zone is the zone of timestamps that name none.
func (c *Config) Zone() (*time.Location, error) {
	if c.Timezone == "" {
		return time.Local, nil
	}
	return time.LoadLocation(c.Timezone)
}

// MostTrust returns the trust of every line.
func (c *Config) MostTrust() event.Trust {
	if c.Trust == event.TrustCount.String() {
		return event.TrustCount
	}
	return event.TrustReport
}

// isPattern reports whether the path has a character that is special to filepath.Match.
func (c *Config) isPattern() bool { return strings.ContainsAny(c.Path, `*?[\`) }
