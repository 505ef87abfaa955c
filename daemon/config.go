package daemon

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"tattled/daemon/trusted"
	"tattled/detect"
	"tattled/geoip"
	"tattled/policy"
	"tattled/policy/shared"
	"tattled/setting"
	"tattled/setting/document"
	"tattled/store"
	"tattled/web"
)

// maxConfig bounds the configuration file, in bytes.
const maxConfig = 1 << 20

// Config is the configuration file. Each part of tattled owns its section; what a setting means stands at its field there.
type Config struct {
	Sources group           `yaml:"sources"` // what to read: a section for each kind of source in parts.go
	Rules   Rules           `yaml:"rules"`   // what to detect beyond the rules that come with tattled
	Trusted []trusted.Entry `yaml:"trusted"` // whose addresses are never reported and never alerted on
	Policy  policy.List     `yaml:"policy"`  // what to do about it, beside the policies that come with tattled
	Report  group           `yaml:"report"`  // whom to report to: a section for each kind of third party in parts.go
	Alerts  group           `yaml:"alerts"`  // how to reach the operator: a section for each kind of channel in parts.go
	GeoIP   geoip.Config    `yaml:"geoip"`   // databases that tell where an address lies
	Store   store.Config    `yaml:"store"`   // the state file
	Web     web.Config      `yaml:"web"`     // the live page and the metrics

	Control web.ControlConfig `yaml:"control"` // the unix socket by which the other commands ask the daemon

	// PolicyDefaults says whether the policies that come with tattled are in effect, beside those of Policy. Default: true.
	PolicyDefaults *bool `yaml:"policy_defaults"`

	// RegularPorts are ports of ours where traffic from strangers is regular: packets to them that a firewall blocked are shown and
	// never held against anyone. Default: 80 and 443.
	RegularPorts []uint16 `yaml:"regular_ports"`

	// RegularAcceptPorts are the same for packets that a firewall accepted: what it let in to them is shown, and no policy looks
	// at it. Default: none, because what a router lets in is what its log is watched for.
	RegularAcceptPorts []uint16 `yaml:"regular_accept_ports"`

	// Own is addresses of this machine that its interfaces do not have, in the forms of Trusted: the public address where a router or a
	// provider translates. They are never reported. Default: none beyond those of the interfaces.
	Own []trusted.Entry `yaml:"own"`

	// TrustedAccounts are accounts of administrators. The address from which one of them logged in by SSH, provably, is not reported for
	// failed logins for TrustedLoginAge; the operator is alerted of it as of any other one. At most 64. Default: none.
	TrustedAccounts []string `yaml:"trusted_accounts"`

	// TrustedLoginAge is for how long after such a login. 1h to 90d. Default: 7d
	TrustedLoginAge setting.Duration `yaml:"trusted_login_age"`

	parts       *table
	origin      origin
	credentials map[string]credential // which systemd will hand to the service, where check knows of them
}

// policies returns the policies that are in effect.
func (c *Config) policies() []policy.Config {
	if c.PolicyDefaults != nil && !*c.PolicyDefaults {
		return c.Policy.With(nil)
	}
	return c.Policy.With(policy.Defaults())
}

// origin is where a configuration was read, for faults that are found later.
type origin struct {
	path string
	document.Document
}

// fault makes a fault of one setting, at its line.
func (o origin) fault(name, problem string) Fault {
	return Fault{File: o.path, Line: o.Line(name), Setting: name, Problem: setting.Redact(problem)}
}

// located makes a fault of a text that begins with a setting and a colon, or with neither.
func (o origin) located(text string) Fault {
	name, problem, found := strings.Cut(text, ": ")
	if !found || strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789_.[]") != "" {
		return Fault{File: o.path, Problem: setting.Redact(text)}
	}
	return o.fault(name, problem)
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
func (r *Rules) Check(report setting.FaultFunc) {
	if r.Drift != 0 && r.Drift != -1 && r.Drift < 100 {
		report("drift", fmt.Sprintf("%d lines are too few for an alarm: write 100 or more, or -1 for no alarm", r.Drift))
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

// read reads and checks the configuration at path. Its error is Faults.
func (t *table) read(path string) (*Config, error) {
	text, err := readBounded(path)
	if err != nil {
		return nil, Faults{{File: path, Problem: err.Error()}}
	}
	cfg, faults := t.parse(path, text)
	if len(faults) > 0 {
		return nil, faults
	}
	return cfg, nil
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

// parse reads and checks the text of a configuration. Of one that is at fault it returns what could be read; nil if it is not YAML.
func (t *table) parse(path string, text []byte) (*Config, Faults) {
	var faults Faults
	hide := setting.Redact // an operator may have put a secret anywhere
	cfg := t.config()
	read, ok := document.Decode(text, cfg, func(line int, setting, problem string) {
		faults = append(faults, Fault{path, line, hide(setting), hide(problem)})
	})
	if !ok {
		return nil, faults
	}
	cfg.origin = origin{path, read}
	faults = append(faults, cfg.faults()...)
	slices.SortStableFunc(faults, func(a, b Fault) int { return cmp.Compare(a.Line, b.Line) })
	return cfg, faults
}

// checker is a section that knows what its values may be.
type checker interface {
	Check(report setting.FaultFunc)
}

// faults asks every section of c, and puts the faults at their lines. A setting that could not be read is not faulted again
// for being empty.
func (c *Config) faults() Faults {
	var all Faults
	seen := map[[2]string]bool{} // a list may find what its entries find
	report := func(path, problem string) {
		if one := [2]string{path, problem}; !c.origin.Faulty(path) && !seen[one] {
			seen[one] = true
			fault := c.origin.fault(path, problem)
			fault.Setting = setting.Redact(path)
			all = append(all, fault)
		}
	}
	visit(reflect.ValueOf(c).Elem(), "", func(path string, one checker) {
		one.Check(func(setting, problem string) {
			at := path
			if setting != "" {
				at = document.Join(path, setting)
			}
			report(at, problem)
		})
	})
	c.check(report)
	for at, first := range c.doubles() {
		if !slices.ContainsFunc(all, func(f Fault) bool { return strings.HasPrefix(f.Setting, at+".") }) { // else the section said so itself
			report(at, "is the same source as "+first+": remove one of them")
		}
	}
	return all
}

// doubles returns the sources whose name an earlier one has, as paths in the configuration: positions and metrics go by the name.
func (c *Config) doubles() map[string]string {
	first, again := map[string]string{}, map[string]string{}
	for _, s := range c.sources() {
		if at, twice := first[s.name]; twice {
			again[s.at] = at
		} else {
			first[s.name] = s.at
		}
	}
	return again
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
	}
	for _, f := range document.Fields(v) {
		visit(f.Value, document.Join(path, f.Name), found)
	}
}

// check finds what no single section can see.
func (c *Config) check(report setting.FaultFunc) {
	if len(c.sources()) == 0 {
		report("sources", "nothing to read: add one of "+strings.Join(c.Sources.names, ", "))
	}
	c.checkForms(report)
	c.checkTrust(report)
	c.checkSourceNames(report)
	policy.CheckSize(c.policies(), func(_, problem string) { report("policy", problem) })
}
