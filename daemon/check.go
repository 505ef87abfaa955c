package daemon

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"tattled/daemon/trusted"
	"tattled/detect"
	"tattled/detect/attack"
	"tattled/receiver/tail"
)

// Checked is what Check found where there is no fault.
type Checked struct {
	Rules    int
	Samples  int
	Attacks  int    // lines that were made to blame somebody, none of which did
	Seed     uint64 // of what was written there
	Services []CheckedService
	Names    []string // what the DNS names of who is trusted are at present, a line for each
	Warnings []string // settings without effect, and what else is not a fault and yet worth a look; also where there are faults
}

// CheckedService is one service's part of it.
type CheckedService struct {
	Name           string
	Rules, Samples int
	Attack         attack.Tally
	Lines          detect.Lines // where peers can write whole lines of its log
}

// Of the attack on rules. The tests try many more lines.
const (
	attackSeed  = 1
	attackLines = 1500 // for each service
)

// configFolder is where the service has its configuration.
const configFolder = "/etc/tattled"

// Check reads the configuration at path and all that it names but the state file and the sockets, runs the rules' samples and
// attacks the rules: those of the user's files, or all. What makes a start fail is a fault here as well. Root judges as the user
// that the service runs as. Its error is Faults, with everything that is wrong.
func Check(path string, attackAll bool) (Checked, error) {
	c := checking{path: path, attackAll: attackAll, parts: shippedParts()}
	return c.run()
}

// checking is a Check under way.
type checking struct {
	path      string
	attackAll bool
	parts     *table
	units     unitFiles

	lookup trusted.Lookup // nil means this machine's name servers
	books  books

	cfg      *Config
	faults   Faults
	warnings []string
	result   Checked
}

func (c *checking) run() (Checked, error) {
	text, err := readBounded(c.path)
	if err != nil {
		return Checked{}, Faults{{File: c.path, Problem: err.Error()}}
	}
	held := c.parts.credentials(c.units) // with the rights of who asks, as systemd reads them
	judge := func() {
		if c.cfg, c.faults = c.parts.parse(c.path, text); c.cfg != nil {
			c.cfg.credentials = held
			c.files()
		}
	}
	if service, found := serviceAccount(c.units); !found {
		judge()
	} else if as(service, judge) && slices.ContainsFunc(c.faults, func(f Fault) bool { return strings.Contains(f.Problem, fs.ErrPermission.Error()) }) {
		c.warnings = append(c.warnings, fmt.Sprintf("files were read as user %s, which the service runs as", service.name))
	}
	if c.cfg == nil {
		return Checked{}, c.faults
	}
	if len(c.faults) == 0 {
		c.names()
	}
	for i, w := range c.warnings {
		c.warnings[i] = c.cfg.origin.located(w).String()
	}
	c.result.Warnings = c.warnings
	if len(c.faults) > 0 {
		slices.SortStableFunc(c.faults, func(a, b Fault) int { return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line)) })
		return Checked{Warnings: c.warnings}, slices.Compact(c.faults)
	}
	return c.result, nil
}

// files is the part of run that reads what the configuration names.
func (c *checking) files() {
	if err := access(c.path, unix.R_OK); err != nil { // who asks could
		problem := fmt.Sprintf("the service may not read it, and would not start with it: %v: chmod 644 %s", err, c.path)
		if filepath.Dir(c.path) == configFolder {
			c.faults = append(c.faults, Fault{File: c.path, Problem: problem})
		} else { // a draft, perhaps
			c.warnings = append(c.warnings, problem)
		}
	}
	rules, faults := loadRules(c.cfg)
	c.faults = append(c.faults, faults...)
	c.books, faults = openBooks(c.cfg)
	c.faults = append(c.faults, faults...)
	c.surroundings()
	if rules != nil {
		c.warnings = slices.Concat(c.warnings, formWarnings(c.cfg, rules), namedWarnings(c.cfg, rules), lookupWarnings(c.cfg, rules, "/"),
			proxyWarnings(c.cfg.Rules.TrustedProxies))
		if len(c.faults) == 0 || ruleOptions(c.cfg).Directory != "" { // our own samples alone say nothing about a configuration
			c.samples(rules)
		}
	}
}

// surroundings is the part of files that is about what is beside the configuration and the rules.
func (c *checking) surroundings() {
	_, faults := openDestinations(c.cfg, "check")
	for _, f := range faults {
		if !slices.ContainsFunc(c.faults, func(known Fault) bool { return strings.HasPrefix(known.Setting+".", f.Setting+".") }) {
			c.faults = append(c.faults, f) // else what is wrong with it is known already, of a section in detail
		}
	}
	c.places()
	c.store()
	c.ports()
	c.control()
	c.warnings = append(c.warnings, warnings(c.cfg)...)
}

// checkNamesFor is how long check waits for name servers.
const checkNamesFor = 5 * time.Second

// names says what the DNS names are at present. That one cannot be looked up here and now is a warning: there may be no network yet.
func (c *checking) names() {
	all := c.books.names()
	known := newTrust(c.lookup).names
	ctx, cancel := context.WithTimeout(context.Background(), checkNamesFor)
	defer cancel()
	known.Ask(ctx, all)
	for _, name := range all {
		addrs := known.Addrs([]string{name})
		if len(addrs) > 0 {
			c.result.Names = append(c.result.Names, fmt.Sprintf("%s is %s at present", name, strings.Trim(fmt.Sprint(addrs), "[]")))
			continue
		}
		setting := "own"
		if slices.Contains(c.books.trusted.Names(), name) {
			setting = "trusted"
		}
		c.warnings = append(c.warnings, fmt.Sprintf("%s: %s does not resolve at present, so that it names no address: %s", setting, name, known.Failure(name)))
	}
}

// samples runs and attacks the rules.
func (c *checking) samples(rules *detect.Rules) {
	tally, problems := rules.Run()
	c.faults = append(c.faults, RuleFaults(problems)...)
	attacks, problems := attack.Run(rules, attack.Options{Seed: attackSeed, Lines: attackLines, User: !c.attackAll})
	c.faults = append(c.faults, RuleFaults(problems)...)
	if len(c.faults) > 0 {
		return
	}
	c.result.Seed = attackSeed
	for i, s := range tally.Services {
		c.result.Services = append(c.result.Services, CheckedService{s.Service.Name, s.Rules, s.Samples, attacks[i], s.Service.Lines})
		c.result.Rules += s.Rules
		c.result.Samples += s.Samples
		c.result.Attacks += attacks[i].Lines
	}
}

// warnings says, in words that begin with the setting, what of a configuration is not a fault and yet worth a look.
func warnings(cfg *Config) []string {
	all := deadSettings(cfg)
	if w := keyWarning(cfg); w != "" {
		all = append(all, w)
	}
	all = append(all, doubleSources(cfg)...)
	all = append(all, tail.Doubles(*sectionOf[tail.Files](cfg, "sources.files"))...)
	for _, s := range cfg.sources() {
		if s.files != nil {
			all = append(all, fileWarnings(&s)...)
		}
	}
	if dir := cfg.Rules.Directory; dir != "" {
		if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
			all = append(all, fmt.Sprintf("rules.directory: %s does not exist, so that there are no rules of your own", dir))
		}
	}
	return all
}
