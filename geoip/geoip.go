// Package geoip says where an address is: country, city and autonomous system, from MaxMind DB files (GeoLite2, GeoIP2,
// DB-IP) that an updater may replace at any moment. It downloads nothing, asks no network and writes nothing. The pipeline
// calls Place once an event; the daemon calls Load at start and on reload, and keeps Run alive.
//
// A database is read into memory whole and never mapped: an updater that overwrites or cuts a mapped file kills the
// process that reads it (SIGBUS). It is used only after it proved good, and the one before it serves until then.
package geoip

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/netip"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"tattled/event"
	"tattled/setting"
)

// pollEvery is how often Run looks whether a file changed. A change is noticed at one look and loaded at the next, if the
// file has rested meanwhile.
const pollEvery = 10 * time.Second

// Config names the databases. Each is optional; without any, no event has a place and rules on country or asn match
// nothing.
type Config struct {
	// City is the path of a city database (GeoLite2-City, GeoIP2-City, GeoIP2-Enterprise, DB-IP City Lite). It gives country,
	// city and coordinates.
	City string `yaml:"city"`
	// Country is the path of a country database (GeoLite2-Country, GeoIP2-Country, DB-IP Country Lite). It gives the country
	// where the city database gives none; a tenth of the memory of a city database.
	Country string `yaml:"country"`
	// ASN is the path of an ASN database (GeoLite2-ASN, GeoIP2-ISP, DB-IP ASN Lite). It gives the autonomous system.
	ASN string `yaml:"asn"`

	// Logger is told what Run loaded and what it refused, which nobody else sees. Nil means nobody is told.
	Logger *slog.Logger `yaml:"-"`
}

// Databases are the open databases. All methods are safe for concurrent use; on a nil *Databases, Place, Builds, Credits
// and Err answer as if no database were configured.
type Databases struct {
	logger *slog.Logger
	open   atomic.Pointer[set]

	mu      sync.Mutex // serialises loading, and guards what follows
	paths   [roles]string
	seen    [roles]stamp // of the file when it was last tried, good or bad
	resting [roles]stamp // of the file at the latest poll
	faults  [roles]error
}

// set is what Place reads: it never changes once it is published. What it replaces is left to the garbage collector and
// never closed, because a lookup may still be reading it.
type set [roles]*database

// New returns Databases that have opened nothing yet: call Load.
func New(cfg Config) *Databases {
	d := &Databases{logger: cfg.Logger, paths: cfg.paths()}
	if d.logger == nil {
		d.logger = slog.New(slog.DiscardHandler)
	}
	d.open.Store(&set{})
	return d
}

// Place returns where addr lies, as far as the databases know. It never fails: what is unknown is left zero.
func (d *Databases) Place(addr netip.Addr) event.Place {
	if d == nil || !addr.IsValid() {
		return event.Place{}
	}
	addr = addr.Unmap().WithZone("")
	open := d.open.Load()
	var place event.Place
	if db := open[city]; db != nil {
		db.city(addr, &place)
	}
	if db := open[country]; db != nil && place.Country == "" {
		db.country(addr, &place)
	}
	if db := open[asn]; db != nil {
		db.asn(addr, &place)
	}
	return place
}

// Load reads every configured database anew. Each one that proves good takes the place of its predecessor, all at once;
// for each that does not, the predecessor stays and the error tells why. While
// it lasts, both are in memory.
func (d *Databases) Load() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.load(func(role) bool { return true })
}

// Follow turns to the databases that cfg names. Those that it names anew must prove good, or nothing changes and the error
// tells why. What Load goes on without is no reason, or a reload would be refused where a start is not: a file that is not
// there yet, and a file that is followed already, whose last good database stays in use. Err tells of both. Run goes on with
// the new files. The logger stays as it is.
func (d *Databases) Follow(cfg Config) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	paths := cfg.paths()
	var next set
	var seen [roles]stamp
	var faults [roles]error
	var errs []error
	open := d.open.Load()
	for r := range roles {
		if paths[r] == "" {
			continue
		}
		db, at, err := read(r, paths[r])
		next[r], seen[r], faults[r] = db, at, err
		switch {
		case err != nil && paths[r] == d.paths[r]:
			next[r] = open[r]
		case errors.Is(err, fs.ErrNotExist):
		default:
			errs = append(errs, err)
		}
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	d.open.Store(&next)
	d.paths, d.seen, d.resting, d.faults = paths, seen, seen, faults
	return nil
}

// load reads the databases that wanted picks and publishes those that are good. d.mu is held.
func (d *Databases) load(wanted func(role) bool) error {
	next := *d.open.Load()
	var errs []error
	for r := range roles {
		if d.paths[r] == "" || !wanted(r) {
			continue
		}
		db, at, err := read(r, d.paths[r])
		d.seen[r], d.resting[r], d.faults[r] = at, at, err
		if err == nil {
			next[r] = db
		}
		errs = append(errs, err)
	}
	d.open.Store(&next)
	return errors.Join(errs...)
}

// Run looks every 10 seconds whether a file changed (size, times, inode) and loads it when it has rested for one look, so
// that one which is still being written is left alone. A file that is gone or bad changes nothing but Err. Run returns nil
// when ctx ends.
func (d *Databases) Run(ctx context.Context) error {
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			d.poll()
		}
	}
}

func (d *Databases) poll() {
	d.mu.Lock()
	defer d.mu.Unlock()
	var due [roles]bool
	changed := false
	for r := range roles {
		if d.paths[r] == "" {
			continue
		}
		now := stampOf(d.paths[r])
		due[r] = now != d.seen[r] && now == d.resting[r]
		d.resting[r] = now
		changed = changed || due[r]
	}
	if !changed {
		return
	}
	if err := d.load(func(r role) bool { return due[r] }); err != nil {
		d.logger.Warn("a changed GeoIP database was refused: the one before it stays in use", "error", err)
	}
	for r := range roles {
		if due[r] && d.faults[r] == nil {
			d.logger.Info("loaded a changed GeoIP database", "path", d.paths[r], "built", d.open.Load()[r].built)
		}
	}
}

// Builds returns when each database in use was built by its maker, by role: "city", "country", "asn". One that is not in
// use is absent.
func (d *Databases) Builds() map[string]time.Time {
	builds := make(map[string]time.Time)
	if d == nil {
		return builds
	}
	for r, db := range d.open.Load() {
		if db != nil {
			builds[role(r).String()] = db.built
		}
	}
	return builds
}

// Err returns what is wrong with the configured files as they are now, nil if nothing is. What was loaded before goes on
// serving.
func (d *Databases) Err() error {
	if d == nil {
		return nil
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	return errors.Join(d.faults[:]...)
}

// Check reports what no file could mend. Whether the files are good is for Load to say: they come and go, and a daemon
// without them works.
func (c *Config) Check(report setting.FaultFunc) {
	for r, path := range c.paths() {
		switch filepath.Ext(path) {
		case ".gz", ".tar", ".tgz", ".zip", ".xz", ".zst", ".csv", ".dat":
			report(role(r).String(), fmt.Sprintf("%q is not a MaxMind DB file: unpack the download and name the file inside, like %s", path, role(r).example()))
		}
		if strings.HasSuffix(path, "/") {
			report(role(r).String(), fmt.Sprintf("%q is a directory: name the file in it, like %s%s", path, path, role(r).example()))
		}
	}
}

func (c *Config) paths() [roles]string {
	return [roles]string{city: c.City, country: c.Country, asn: c.ASN}
}
