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
// and its attackers are no longer seen. It takes both many lines and some time, since a burst of one kind says nothing. The
// rules of attacks are judged by themselves as well, so that an administrator's login does not hide that all failures look
// different now; there it also takes a silence that is beyond what is usual, for attackers come and go.
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

// driftState is what was counted of a service.
type driftState struct {
	all, attacks driftGroup
	habit        habit // of looks at which more attacks had matched
}

// driftGroup is what was counted when a rule of a group matched last, or when the service was first seen.
type driftGroup struct {
	matched, missed uint64
	since           time.Time
	lines           uint64 // that matched no rule of any group since
	drifting        bool
}

// drifted is a service of which a group of rules began or ceased to drift.
type drifted struct {
	service string
	attacks bool // the rules of attacks alone
}

// rules says which rules do not match.
func (d drifted) rules() string {
	if d.attacks {
		return "attacks"
	}
	return "all"
}

// look takes the counts of all services at now and returns those that began to drift and those that match again, in order.
// lines is how many in a row it takes. Only services that are watched drift: one that was disabled has counts, too.
func (d *drift) look(now time.Time, matched map[string]matches, missed map[string]uint64, watched map[string]bool, lines uint64) (began, ended []drifted) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.services == nil {
		d.services = map[string]*driftState{}
	}
	for _, name := range slices.Sorted(maps.Keys(missed)) {
		m := matched[name]
		s := d.services[name]
		if s == nil || !watched[name] || lines == 0 {
			d.services[name] = &driftState{all: driftGroup{m.all, missed[name], now, 0, false}, attacks: driftGroup{m.attacks, missed[name], now, 0, false}}
			continue
		}
		if s.attacks.matched != m.attacks {
			s.habit.note(now)
		}
		_, _, quiet := s.habit.beyond(now)
		for _, group := range []struct {
			*driftGroup
			matched uint64
			ripe    bool
			told    drifted
		}{
			{&s.all, m.all, true, drifted{name, false}},
			{&s.attacks, m.attacks, quiet, drifted{name, true}},
		} {
			switch before := group.drifting; group.take(now, group.matched, missed[name], lines, group.ripe) {
			case before:
			case true:
				began = append(began, group.told)
			default:
				ended = append(ended, group.told)
			}
		}
	}
	return began, ended
}

// take takes the counts at now and reports whether the group drifts. ripe says that nothing but lines and time is missing for that.
func (g *driftGroup) take(now time.Time, matched, missed, lines uint64, ripe bool) bool {
	if g.matched != matched {
		*g = driftGroup{matched: matched, missed: missed, since: now}
		return false
	}
	g.lines = missed - g.missed
	g.drifting = g.drifting || ripe && g.lines >= lines && now.Sub(g.since) >= driftTime
	return g.drifting
}

// problems says which services drift.
func (d *drift) problems() []event.Problem {
	d.mu.Lock()
	defer d.mu.Unlock()
	var all []event.Problem
	for _, name := range slices.Sorted(maps.Keys(d.services)) {
		switch s := d.services[name]; {
		case s.all.drifting:
			all = append(all, s.all.problem(name+": no rule matches what it logs", "none of %d lines since %s matched a rule; if it was attacked in that time, its log format changed"))
		case s.attacks.drifting:
			all = append(all, s.attacks.problem(name+": no rule of an attack matches any more", "%d lines since %s matched no rule, and others matched only rules that are not about attacks; there was never such a pause before: either nobody attacks any more, or the format of these lines changed"))
		}
	}
	return all
}

// problem makes a problem of a group that drifts; the cause has a place for the number of lines and one for the time.
func (g *driftGroup) problem(what, cause string) event.Problem {
	return event.Problem{
		What:   what,
		Cause:  fmt.Sprintf(cause, g.lines, g.since.UTC().Format("2006-01-02 15:04")),
		Remedy: "check what `tattled explain` says of one of its lines",
		Since:  g.since,
	}
}

// each calls emit for every service, with 1 for one that drifts.
func (d *drift) each(emit emitter) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for name, s := range d.services {
		emit(oneIf(s.all.drifting || s.attacks.drifting), name)
	}
}

// watchDrift looks at the counts of all services each minute, and tells of a drift once when it begins and once when it
// ends.
func (d *Daemon) watchDrift(ctx context.Context) error {
	every(ctx, driftLook, func() {
		e := d.live.Load()
		began, ended := d.drift.look(time.Now(), d.tally.matchedByService(e.rules), d.tally.missedCounts(), driftWatched(e.rules), e.driftLines)
		for _, one := range began {
			d.log.Warn("rules match no longer what a known program logs: did its format change?", "service", one.service, "rules", one.rules(), "remedy", "tattled explain 'one of its lines'")
		}
		for _, one := range ended {
			d.log.Info("rules match again what a known program logs", "service", one.service, "rules", one.rules())
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
