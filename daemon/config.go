package daemon

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"tattled/detect"
	"tattled/geoip"
	"tattled/policy"
	"tattled/policy/shared"
	"tattled/receiver/journal"
	"tattled/receiver/syslog"
	"tattled/receiver/tail"
	"tattled/report/abuseipdb"
	"tattled/report/mail"
	"tattled/setting"
	"tattled/store"
	"tattled/web"
)

// maxConfig bounds the configuration file, in bytes.
const maxConfig = 1 << 20

// Config is the configuration file. Each part of tattled owns its section; what a setting means stands at its field there.
type Config struct {
	Sources Sources          `yaml:"sources"` // what to read
	Rules   Rules            `yaml:"rules"`   // what to detect beyond the rules that come with tattled
	Trusted []shared.Network `yaml:"trusted"` // networks and addresses never reported and never alerted on
	Policy  policy.List      `yaml:"policy"`  // what to do about it; absent: the shipped defaults
	Report  Report           `yaml:"report"`  // whom to report to
	Alerts  Alerts           `yaml:"alerts"`  // how to reach the operator
	GeoIP   geoip.Config     `yaml:"geoip"`   // databases that tell where an address lies
	Store   store.Config     `yaml:"store"`   // the state file
	Web     web.Config       `yaml:"web"`     // the live page and the metrics

	// RegularPorts are ports of ours where traffic from strangers is regular: packets to them are shown and never held
	// against anyone. Default: 80 and 443.
	RegularPorts []uint16 `yaml:"regular_ports"`

	origin origin
}

// origin is where a configuration was read, for faults that are found later.
type origin struct {
	path  string
	lines map[string]int // by setting
}

// fault makes a fault of one setting, at its line.
func (o origin) fault(setting, problem string) Fault {
	d := decoder{lines: o.lines}
	return Fault{File: o.path, Line: d.line(setting), Setting: setting, Problem: problem}
}

// Sources lists what is read.
type Sources struct {
	Journal *journal.Config `yaml:"journal"` // the systemd journal; leave it out not to read it
	Files   []tail.Config   `yaml:"files"`   // log files, followed
	Syslog  []syslog.Config `yaml:"syslog"`  // listeners for remote syslog
}

// Rules chooses the detection rules.
type Rules struct {
	Directory string           `yaml:"directory"` // rule files of your own; a missing directory has none
	Disable   []string         `yaml:"disable"`   // "service" or "service/rule"
	Netfilter detect.Netfilter `yaml:"netfilter"` // more verdict words of log prefixes

	// TrustedProxies are networks of reverse proxies of yours. Where one of them is the peer in a web server's log, the peer is
	// whom its X-Forwarded-For names last that is no such proxy; a line without that is refused. A line of access.log has the
	// header in its last column, which must be that and no other header; where a server writes the header in the peer's own
	// column, the list is taken apart in the same way, so that nobody but the proxies may reach such a server. Without proxies
	// a list names nobody. The proxies themselves are trusted, as by trusted:. Whom a chain of several proxies names is proven
	// only if those between are here by their addresses, each of them once in the chain: anybody may have another address of a
	// network.
	// Default: none, and the header is never looked at.
	TrustedProxies []shared.Network `yaml:"trusted_proxies"`

	// Drift is how many lines of a known program in a row, none of which matches a rule, raise an alarm after an hour: the
	// program's format may have changed. From 100; -1 is never. Default: 10000.
	Drift int `yaml:"drift"`
}

// Check implements checker.
func (r *Rules) Check(report setting.Report) {
	if r.Drift != 0 && r.Drift != -1 && r.Drift < 100 {
		report("drift", fmt.Sprintf("%d is too few lines to tell: write 100 or more, or -1 for no alarm", r.Drift))
	}
}

// driftLines returns how many lines raise the alarm, 0 for never.
func (r *Rules) driftLines() uint64 {
	switch r.Drift {
	case -1:
		return 0
	case 0:
		return defaultDriftLines
	default:
		return uint64(r.Drift)
	}
}

// Report lists the third parties to report to.
type Report struct {
	AbuseIPDB abuseipdb.Config `yaml:"abuseipdb"`
}

// Alerts lists the ways to the operator.
type Alerts struct {
	Mail *mail.Config `yaml:"mail"` // leave it out to send no mail
}

// Fault is one thing that is wrong with a configuration or a rule file.
type Fault struct {
	File    string
	Line    int    // 0 where there is none
	Setting string // dotted path, "" where there is none
	Problem string // what is wrong, and what to write instead
}

func (f Fault) String() string {
	var b strings.Builder
	b.WriteString(f.File)
	if f.Line > 0 {
		b.WriteString(":" + strconv.Itoa(f.Line))
	}
	b.WriteString(": ")
	if f.Setting != "" {
		b.WriteString(f.Setting + ": ")
	}
	b.WriteString(f.Problem)
	return b.String()
}

// Faults is an error that holds every fault of a configuration; there is at least one.
type Faults []Fault

func (f Faults) Error() string {
	lines := make([]string, len(f))
	for i, fault := range f {
		lines[i] = fault.String()
	}
	return strings.Join(lines, "\n")
}

// ReadConfig reads and checks the file at path. Its error is Faults where the text is at fault.
func ReadConfig(path string) (*Config, error) {
	text, err := readBounded(path)
	if err != nil {
		return nil, Faults{{File: path, Problem: err.Error()}}
	}
	return parseConfig(path, text)
}

func readBounded(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, errors.Unwrap(err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxConfig+1))
	if err == nil && len(text) > maxConfig {
		err = fmt.Errorf("larger than %d bytes", maxConfig)
	}
	return text, err
}

func parseConfig(path string, text []byte) (*Config, error) {
	var faults Faults
	d := decoder{lines: map[string]int{}, faulty: map[string]bool{}, budget: maxNodes}
	hide := setting.Redact // an operator may have put a secret anywhere
	d.fault = func(line int, setting, problem string) {
		faults = append(faults, Fault{path, line, hide(setting), hide(problem)})
	}
	cfg := &Config{}
	reader := yaml.NewDecoder(bytes.NewReader(text))
	var root, second yaml.Node
	switch err := reader.Decode(&root); {
	case errors.Is(err, io.EOF): // an empty file: all defaults, and no source, which checkConfig tells
	case err != nil:
		return nil, Faults{yamlFault(path, err)}
	default:
		d.value(root.Content[0], "", reflect.ValueOf(cfg).Elem())
		if err := reader.Decode(&second); !errors.Is(err, io.EOF) {
			d.fault(second.Line, "", `a second document begins here ("---"): only one is read`)
		}
	}
	d.check(cfg)
	cfg.origin = origin{path, d.lines}
	if len(faults) > 0 {
		slices.SortStableFunc(faults, func(a, b Fault) int { return cmp.Compare(a.Line, b.Line) })
		return nil, faults
	}
	return cfg, nil
}

func yamlFault(path string, err error) Fault {
	text := setting.Redact(err.Error())
	f := Fault{File: path, Problem: text}
	if m := regexp.MustCompile(`^yaml: (?:line (\d+): )?(.*)$`).FindStringSubmatch(text); m != nil {
		f.Line, _ = strconv.Atoi(m[1])
		f.Problem = "not YAML: " + m[2]
	}
	return f
}

// checker is a section that knows what its values may be.
type checker interface{ Check(report setting.Report) }

// check asks every section of cfg, and puts the faults at their lines. A setting that could not be read is not faulted
// again for being empty.
func (d *decoder) check(cfg *Config) {
	seen := map[[2]string]bool{} // a list may find what its entries find
	report := func(path, problem string) {
		if one := [2]string{path, problem}; !d.faulty[path] && !seen[one] {
			seen[one] = true
			d.fault(d.line(path), path, problem)
		}
	}
	visit(reflect.ValueOf(cfg).Elem(), "", func(path string, c checker) {
		c.Check(func(setting, problem string) {
			at := path
			if setting != "" {
				at = join(path, setting)
			}
			report(at, problem)
		})
	})
	cfg.check(report)
}

// visit finds every checker in v: sections, lists, and what is in them.
func visit(v reflect.Value, path string, found func(path string, c checker)) {
	if v.Kind() != reflect.Pointer && v.CanAddr() {
		if c, ok := v.Addr().Interface().(checker); ok {
			found(path, c)
		}
	}
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			visit(v.Elem(), path, found)
		}
		return
	case reflect.Slice:
		for i := range v.Len() {
			visit(v.Index(i), path+"["+strconv.Itoa(i)+"]", found)
		}
		return
	case reflect.Struct:
	default:
		return
	}
	for i := range v.NumField() {
		if name, _ := tagOf(v.Type().Field(i)); name != "" {
			visit(v.Field(i), join(path, name), found)
		}
	}
}

// line returns where the setting stands, or the nearest setting around it.
func (d *decoder) line(path string) int {
	for path != "" {
		if n, ok := d.lines[path]; ok {
			return n
		}
		path = path[:max(strings.LastIndexAny(path, ".["), 0)]
	}
	return 0
}

// check finds what no single section can see.
func (c *Config) check(report setting.Report) {
	s := c.Sources
	if s.Journal == nil && len(s.Files) == 0 && len(s.Syslog) == 0 {
		report("sources", "nothing to read: add journal, files or syslog")
	}
	listeners := map[string]int{}
	for i, l := range s.Syslog {
		if first, twice := listeners[l.Listen]; twice {
			report(fmt.Sprintf("sources.syslog[%d].listen", i), fmt.Sprintf("%s is sources.syslog[%d] already", l.Listen, first))
		}
		listeners[l.Listen] = i
	}
	s.checkForms(report)
	tail.Check(s.Files, func(path, problem string) { report("sources.files"+path, problem) })
}
