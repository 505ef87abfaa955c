package daemon

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"tattled/event"
	"tattled/report"
	"tattled/setting"
)

// reloads is what became of the last reload.
type reloads struct {
	last      atomic.Pointer[reloaded]
	succeeded atomic.Int64 // when the configuration took effect last, nanoseconds since 1970; the start counts
}

// took says that a configuration took effect now.
func (r *reloads) took(now time.Time) { r.succeeded.Store(now.UnixNano()) }

// reloaded is what became of a reload.
type reloaded struct {
	at      time.Time
	failed  string   // why, harmless to show; "" if it did not
	waiting []string // settings that differ from what runs, and wait for a restart
}

// ok reports whether the last reload took effect. The start counts as one.
func (r *reloads) ok() bool {
	last := r.last.Load()
	return last == nil || last.failed == ""
}

// problems has one if the last reload failed.
func (r *reloads) problems() []event.Problem {
	last := r.last.Load()
	if last == nil || last.failed == "" {
		return nil
	}
	return []event.Problem{{
		What:   "the last reload failed, and what was in effect before it still is",
		Cause:  last.failed,
		Remedy: "correct that (`tattled check` says when it is right) and reload again",
		Since:  last.at,
	}}
}

// status is what systemctl status says of the last reload, with a separator before it; "" if there is nothing to say.
func (r *reloads) status() string {
	last := r.last.Load()
	switch {
	case last == nil:
		return ""
	case last.failed != "":
		return "; the last reload FAILED and changed nothing: " + last.failed
	case len(last.waiting) > 0:
		return "; reloaded, but changes wait for a restart: " + strings.Join(last.waiting, ", ")
	default:
		return ""
	}
}

// reload reads the configuration and the rules again and swaps what can be swapped, in one step. A fault anywhere changes nothing, and
// is a problem until a reload succeeds.
func (d *Daemon) reload() {
	waiting, err := d.tryReload()
	if err != nil {
		d.log.Error("reload failed: nothing was changed", "error", err)
		d.reloads.last.Store(&reloaded{at: time.Now(), failed: oneLine(err)})
		return
	}
	d.reloads.last.Store(&reloaded{at: time.Now(), waiting: waiting})
	d.reloads.took(time.Now())
	for _, name := range waiting {
		d.log.Warn("reload: a change needs a restart", "setting", name, "remedy", "systemctl restart tattled")
	}
	d.log.Info("reloaded", "dry_run", d.dryRun(), "waiting_for_restart", strings.Join(waiting, ", "))
}

// maxReason bounds why a reload failed, in bytes, where it is shown on one line.
const maxReason = 600

// oneLine makes one line of an error that may be a list of faults.
func oneLine(err error) string {
	text := setting.Redact(strings.ReplaceAll(err.Error(), "\n", "; "))
	return report.Harmless(text, maxReason)
}

// tryReload returns what of the new configuration waits for a restart.
func (d *Daemon) tryReload() (waiting []string, err error) {
	wanted, err := d.options.parts.read(d.options.Config)
	if err != nil {
		return nil, err
	}
	running := d.live.Load().config
	e, err := d.prepare(effective(running, wanted))
	if err != nil {
		return nil, err
	}
	if err := d.places.Follow(wanted.GeoIP); err != nil {
		return nil, fmt.Errorf("a GeoIP database cannot be used: %w", err)
	}
	d.live.Store(e)
	d.publishTrust()
	nudge(d.trust.wake)
	for _, o := range d.outlets { // which may wait by terms that are past
		o.courier.Wake()
	}
	return needRestart(running, wanted), nil
}

// effective returns the configuration that is in effect once wanted was loaded: what needs a restart stays as it is running, so that
// nothing works by a half of it, and the next reload still names it.
func effective(running, wanted *Config) *Config {
	e := *wanted
	e.Store, e.Web, e.Control = running.Store, running.Web, running.Control
	for _, section := range running.parts.restarts(running, wanted) {
		e.put(section, running.section(section))
	}
	return &e
}

// needRestart names the sections that differ and that only a restart brings into effect.
func needRestart(running, wanted *Config) []string {
	names := running.parts.restarts(running, wanted)
	if running.Store != wanted.Store {
		names = append(names, "store")
	}
	if !reflect.DeepEqual(running.Web, wanted.Web) {
		names = append(names, "web")
	}
	if running.Control.File() != wanted.Control.File() {
		names = append(names, "control")
	}
	slices.Sort(names)
	return names
}
