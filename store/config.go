package store

import (
	"fmt"
	"path/filepath"
	"time"

	"tattled/setting"
)

// Config is where the store is and how much it keeps. Everything in it is bounded: what is oldest or least valuable makes
// way, and each kind of it is counted.
type Config struct {
	// Path is the file; a relative path starts at the working directory. Beside it lie its lock (.lock), its backups
	// (.backup-<number>-<time>) and what was damaged (.bad-<time>): docs/state-file.md has them, and the space they take. By default /var/lib/tattled/state.db. A change needs a restart.
	Path string `yaml:"path"`

	// MaxSize is what the file may grow to, in MiB: 16 to 65536, by default 1024. Above 80 % of it history makes way. With its
	// backups it takes four times as much of the disk, after damage six times. A change needs a restart.
	MaxSize int `yaml:"max_size"`

	// Events is how many events are kept for the page and the command line: 1000 to 10000000, by default 100000.
	Events int `yaml:"events"`
	// EventAge is for how long: 1h to 3650d, by default 30d.
	EventAge setting.Duration `yaml:"event_age"`

	// Addresses is how many addresses (of IPv6: /64s) are remembered, with their counts and windows: 1000 to 10000000, by
	// default 1000000.
	Addresses int `yaml:"addresses"`
	// AddressAge is for how long an address is remembered after its last event: 1d to 3650d, by default 90d.
	AddressAge setting.Duration `yaml:"address_age"`

	// Waiting is how many reports may wait for one destination: 100 to 1000000, by default 50000. Beyond it the oldest
	// expires.
	Waiting int `yaml:"waiting"`
	// Settled is how many reports are kept after they were settled: 100 to 1000000, by default 50000.
	Settled int `yaml:"settled"`
	// SettledAge is for how long: 1h to 3650d, by default 90d.
	SettledAge setting.Duration `yaml:"settled_age"`
}

const day = setting.Duration(24 * time.Hour)

// Defaults fills in what is not set.
func (c *Config) Defaults() {
	c.Path = or(c.Path, "/var/lib/tattled/state.db")
	c.MaxSize = or(c.MaxSize, 1024)
	c.Events, c.EventAge = or(c.Events, 100_000), or(c.EventAge, 30*day)
	c.Addresses, c.AddressAge = or(c.Addresses, 1_000_000), or(c.AddressAge, 90*day)
	c.Waiting = or(c.Waiting, 50_000)
	c.Settled, c.SettledAge = or(c.Settled, 50_000), or(c.SettledAge, 90*day)
}

func or[T comparable](value, otherwise T) T {
	var zero T
	if value == zero {
		return otherwise
	}
	return value
}

// Check reports every fault. Zero stands for the default everywhere.
func (c *Config) Check(report setting.FaultFunc) {
	if c.Path != "" && filepath.Clean(c.Path) != c.Path {
		report("path", fmt.Sprintf("%q is not a plain file path: write it like /var/lib/tattled/state.db", c.Path))
	}
	for _, n := range []struct {
		path            string
		value, from, to int
		unit            string
	}{
		{"max_size", c.MaxSize, 16, 65536, " (MiB)"},
		{"events", c.Events, 1000, 10_000_000, ""},
		{"addresses", c.Addresses, 1000, 10_000_000, ""},
		{"waiting", c.Waiting, 100, 1_000_000, ""},
		{"settled", c.Settled, 100, 1_000_000, ""},
	} {
		if n.value != 0 && (n.value < n.from || n.value > n.to) {
			report(n.path, fmt.Sprintf("%d is out of range: write %d to %d%s", n.value, n.from, n.to, n.unit))
		}
	}
	const hour = setting.Duration(time.Hour)
	for _, a := range []struct {
		path        string
		value, from setting.Duration
	}{{"event_age", c.EventAge, hour}, {"address_age", c.AddressAge, day}, {"settled_age", c.SettledAge, hour}} {
		if a.value != 0 && (a.value < a.from || a.value > 3650*day) {
			report(a.path, fmt.Sprintf("%s is out of range: write %s to 3650d", a.value, a.from))
		}
	}
}

// Options returns how much is kept, defaults filled in.
func (c Config) Options() Options {
	c.Defaults()
	return Options{
		Events: c.Events, EventAge: c.EventAge.D(), Addresses: c.Addresses, AddressAge: c.AddressAge.D(),
		Waiting: c.Waiting, Settled: c.Settled, SettledAge: c.SettledAge.D(), Scores: 10_000, Streams: 10_000,
		Marks: 20_000, MarkAge: 30 * day.D(),
	}
}

// Options is how much a Store keeps. The zero value of a field is no bound, but for tests there is no reason for one.
type Options struct {
	Events     int
	EventAge   time.Duration
	Addresses  int
	AddressAge time.Duration
	Waiting    int // items that are not settled, for each destination
	Settled    int
	SettledAge time.Duration
	Scores     int
	Streams    int
	Marks      int
	MarkAge    time.Duration // since a mark was put last

	// Touched is how many addresses that were here before a transaction has in memory at once; 0 is 1,024.
	Touched int

	// Now, if not nil, is the clock: that of the records, for a replay. It must not go back.
	Now func() time.Time
}
