package daemon

import (
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"time"

	"tattled/event"
	"tattled/policy"
	"tattled/receiver"
	"tattled/receiver/syslog"
	"tattled/receiver/tail"
	"tattled/report"
)

// table is what a daemon is put together from (shippedParts). Whatever must be done for each source or destination goes through it:
// reading and checking the configuration, opening, explaining, reloading.
type table struct {
	sources      []part[source]
	destinations []part[destination]
}

// part is a kind of source or of destination, which is T.
type part[T any] struct {
	section string                // of the configuration: "sources.files"
	secrets []secretName          // that it may need
	empty   func() any            // makes a pointer to the section as it is when the configuration leaves it out
	list    func(section any) []T // lists what such a section asks for
}

// source is one source that the configuration asks for: all that the daemon knows of it before it is open. A change of it needs a
// restart.
type source struct {
	at        string          // its path in the configuration: "sources.files[0]"
	name      string          // as its receiver's Source is
	alias     string          // by which the operator may name it as well; "" for none
	reporter  string          // as configured
	program   string          // of records that name none; "" where each has to
	form      string          // of an access log, as configured
	trust     event.Trust     // of its records, or of those of the peers that it trusts most
	condition string          // which peers those are, as the end of a sentence that begins with "if"; "" if it trusts all alike
	named     bool            // only those may send whom the configuration names
	network   string          // "udp" or "tcp" for one that listens on a port, else ""
	listen    netip.AddrPort  // where
	opens     opens           // what it has open while it runs, as far as it is worth a metric
	files     func() []string // the log files that it reads now, or would if they were there; nil if it reads none
	open      func(env *environment) (receiver.Receiver, error)
}

// opens says what a source has open while it runs.
type opens uint8

// What that may be. A socket for datagrams is none of it: there is one, or the source is not up.
const (
	openNothing opens = iota
	openConnections
	openFiles
	openHelpers
)

// environment is what sources may need beside their own section.
type environment struct {
	sockets *syslog.Passed // from systemd
	files   *tail.Shared
	log     *slog.Logger
	known   func(program []byte) bool // reports whether a rule reads a program's messages; not before Run
}

// destination is one destination that the configuration asks for. It takes effect at a reload; that there is one more or one less
// needs a restart.
type destination struct {
	at     string        // its path in the configuration: "alerts.mail"
	name   string        // as its sender's Destination is
	action policy.Action // what it is for
	window time.Duration // for how long an address is not told to it again
	terms  report.Terms
	remedy string // for one that takes nothing

	// open makes its sender, and reads its secrets by cfg. What trying again does not mend is an error that begins with the setting.
	open func(cfg *Config, version string) (report.Sender, error)
}

// secretName is under which names a secret is looked for, beside the file that the configuration names.
type secretName struct{ credential, variable string }

// always is a part of which there is one whatever the configuration says.
func always[C, T any](section string, describe func(at string, c *C) T, secrets ...secretName) part[T] {
	return part[T]{section, secrets, func() any { return new(C) }, func(v any) []T { return []T{describe(section, v.(*C))} }}
}

// optional is a part of which there is one if the configuration has its section.
func optional[C, T any](section string, describe func(at string, c *C) T, secrets ...secretName) part[T] {
	return part[T]{section, secrets, func() any { return new(*C) }, func(v any) []T {
		if c := *v.(**C); c != nil {
			return []T{describe(section, c)}
		}
		return nil
	}}
}

// each is a part of which there is one for each entry of its section, a list.
func each[S ~[]C, C, T any](section string, describe func(at string, c *C) T, secrets ...secretName) part[T] {
	return part[T]{section, secrets, func() any { return new(S) }, func(v any) []T {
		var all []T
		for i := range *v.(*S) {
			all = append(all, describe(fmt.Sprintf("%s[%d]", section, i), &(*v.(*S))[i]))
		}
		return all
	}}
}

// config returns a configuration in which everything is left out.
func (t *table) config() *Config {
	cfg := &Config{parts: t}
	for _, p := range t.sources {
		cfg.put(p.section, p.empty())
	}
	for _, p := range t.destinations {
		cfg.put(p.section, p.empty())
	}
	return cfg
}

// group is a mapping of the configuration whose settings are the sections of parts. document.Decode fills it.
type group struct {
	names    []string       // in the order of the table
	sections map[string]any // by name: a pointer to its value
}

// Names names the sections.
func (g *group) Names() []string { return g.names }

// Section returns a pointer to a section's value, nil if there is none of that name.
func (g *group) Section(name string) any { return g.sections[name] }

// group returns the mapping that has a section, and its name there.
func (c *Config) group(section string) (g *group, name string) {
	of, name, _ := strings.Cut(section, ".")
	return map[string]*group{"sources": &c.Sources, "report": &c.Report, "alerts": &c.Alerts}[of], name
}

// put sets a section to what value points to. Copies of c keep what they have.
func (c *Config) put(section string, value any) {
	g, name := c.group(section)
	if !slices.Contains(g.names, name) {
		g.names = append(slices.Clip(g.names), name)
	}
	g.sections = maps.Clone(g.sections)
	if g.sections == nil {
		g.sections = map[string]any{}
	}
	g.sections[name] = value
}

func (c *Config) section(section string) any {
	g, name := c.group(section)
	return g.sections[name]
}

// sectionOf returns a section as what it is: empty if the table has no such part.
func sectionOf[C any](c *Config, section string) *C {
	if v, is := c.section(section).(*C); is {
		return v
	}
	return new(C)
}

// listed returns what the configuration asks for of some parts.
func listed[T any](c *Config, parts []part[T]) []T {
	var all []T
	for _, p := range parts {
		all = append(all, p.list(c.section(p.section))...)
	}
	return all
}

// sources returns every source that the configuration asks for.
func (c *Config) sources() []source { return listed(c, c.parts.sources) }

// destinations returns every destination that the configuration asks for.
func (c *Config) destinations() []destination { return listed(c, c.parts.destinations) }

// restarts names the sections of parts that differ in a way that only a restart brings into effect.
func (t *table) restarts(running, wanted *Config) []string {
	var all []string
	for _, p := range t.sources {
		if !reflect.DeepEqual(running.section(p.section), wanted.section(p.section)) {
			all = append(all, p.section)
		}
	}
	for _, p := range t.destinations {
		names := func(c *Config) (names []string) {
			for _, d := range p.list(c.section(p.section)) {
				names = append(names, d.name)
			}
			return names
		}
		if !slices.Equal(names(running), names(wanted)) {
			all = append(all, p.section)
		}
	}
	return all
}
