package daemon

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"tattled/detect"
	"tattled/event"
)

// The drift alarm: a program that logs and logs while none of its rules matches anything probably changed what it writes,
// and its attackers are no longer seen. It takes both many lines and some time, since a burst of one kind says nothing.
const (
	driftLook         = time.Minute
	driftTime         = time.Hour
	defaultDriftLines = 10_000
)

// drift watches the counts of every service. It is looked at by the page and by scrapes while a chore feeds it.
type drift struct {
	mu       sync.Mutex
	services map[string]*driftState
}

// driftState is what was counted of a service when it matched last, or when it was first seen.
type driftState struct {
	matched, missed uint64
	since           time.Time
	lines           uint64 // that matched nothing since
	drifting        bool
}

// look takes the counts of all services at now and returns those that began to drift and those that match again, in order.
// lines is how many in a row it takes. Only services that are watched drift: one that was disabled has counts, too.
func (d *drift) look(now time.Time, matched, missed map[string]uint64, watched map[string]bool, lines uint64) (began, ended []string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.services == nil {
		d.services = map[string]*driftState{}
	}
	for _, name := range slices.Sorted(maps.Keys(missed)) {
		s := d.services[name]
		if s == nil || s.matched != matched[name] || !watched[name] || lines == 0 {
			if s != nil && s.drifting && s.matched != matched[name] {
				ended = append(ended, name)
			}
			d.services[name] = &driftState{matched: matched[name], missed: missed[name], since: now}
			continue
		}
		s.lines = missed[name] - s.missed
		if !s.drifting && s.lines >= lines && now.Sub(s.since) >= driftTime {
			s.drifting = true
			began = append(began, name)
		}
	}
	return began, ended
}

// problems says which services drift.
func (d *drift) problems() []event.Problem {
	d.mu.Lock()
	defer d.mu.Unlock()
	var all []event.Problem
	for _, name := range slices.Sorted(maps.Keys(d.services)) {
		if s := d.services[name]; s.drifting {
			all = append(all, event.Problem{
				What:   name + ": no rule matches what it logs",
				Cause:  fmt.Sprintf("none of %d lines since %s matched a rule; if it was attacked in that time, its log format changed", s.lines, s.since.UTC().Format("2006-01-02 15:04")),
				Remedy: "check what `tattled explain` says of one of its lines",
				Since:  s.since,
			})
		}
	}
	return all
}

// each calls emit for every service, with 1 for one that drifts.
func (d *drift) each(emit emitter) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for name, s := range d.services {
		emit(oneIf(s.drifting), name)
	}
}

// watchDrift looks at the counts of all services each minute, and tells of a drift once when it begins and once when it
// ends.
func (d *Daemon) watchDrift(ctx context.Context) error {
	every(ctx, driftLook, func() {
		e := d.live.Load()
		began, ended := d.drift.look(time.Now(), d.tally.matchedByService(), d.tally.missedCounts(), driftWatched(e.rules), e.driftLines)
		for _, name := range began {
			d.log.Warn("no rule matches what a known program logs: did its format change?", "service", name, "remedy", "tattled explain 'one of its lines'")
		}
		for _, name := range ended {
			d.log.Info("rules match again what a known program logs", "service", name)
		}
	})
	return nil
}

// driftWatched names the services of rules but those whose programs log mostly of other things.
func driftWatched(rules *detect.Rules) map[string]bool {
	watched := map[string]bool{}
	for _, s := range rules.Services() {
		watched[s.Name] = s.Drift
	}
	return watched
}
