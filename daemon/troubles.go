package daemon

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"tattled/event"
	"tattled/receiver/syslog"
)

// sourceLook is how often the sources are looked at for the log, and for when a problem began that nobody looks at.
const sourceLook = 5 * time.Second

// watchSources logs each trouble of a source once when it begins, and once when it is over.
func (d *Daemon) watchSources(ctx context.Context) error {
	var known map[string]bool
	var refused refusedLog
	every(ctx, sourceLook, func() {
		now := time.Now()
		d.health()
		known = d.logTroubles(known, d.sourceTroubles(now))
		for _, r := range d.receivers {
			if l, ok := opened(r).(refuser); ok {
				refused.log(d.log, r.Source(), l.Refused(), now)
			}
		}
	})
	return nil
}

// logTroubles logs those of troubles that are not known yet, and those known that are over. It returns what is known now.
func (d *Daemon) logTroubles(known map[string]bool, troubles []event.Problem) map[string]bool {
	now := map[string]bool{}
	for _, p := range troubles {
		now[p.What] = true
		if !known[p.What] {
			d.log.Warn("a source has a problem", "what", p.What, "cause", p.Cause, "remedy", p.Remedy)
		}
	}
	for what := range known {
		if !now[what] {
			d.log.Info("the problem of a source is over", "what", what)
		}
	}
	return now
}

// sourceTroubles says what is wrong with sources that are read: nobody but the daemon sees that, and logs it.
func (d *Daemon) sourceTroubles(now time.Time) []event.Problem {
	var all []event.Problem
	for _, r := range d.receivers {
		name := r.Source()
		t := d.tally.source(name)
		all = append(all, strangeProblems(name, t, now)...)
		all = append(all, t.habit.problems(name, now)...)
		all = append(all, d.missteps.problems(name, r.Meter(), d.named[name], now)...)
	}
	return all
}

// How many lines make a source strange: if none has a header that names a program, because then nothing can be found there; and in how
// long, if all name one that no rule knows, because a quiet machine logs nothing but its timers and sessions for hours.
// docs/ARCHITECTURE.md says so too.
const (
	namelessLines = 100
	strangeLines  = 1000
	strangeTime   = time.Hour
)

// strangeProblems says that no rule knows the program of any line of a source. A program that the configuration misspells is
// an error of it, and does not get here.
func strangeProblems(source string, t *sourceTally, now time.Time) []event.Problem {
	lines, strange, nameless := t.records()
	if strange < lines {
		return nil
	}
	p := event.Problem{What: source + ": no rule knows the program of its lines", Since: t.habit.firstRecord()}
	switch {
	case nameless == lines && lines >= namelessLines:
		p.Cause = fmt.Sprintf("none of %d lines has a known header, so their programs are unknown", lines)
		p.Remedy = "name the program that logs there with program: of this source; `tattled explain` shows what becomes of a line then"
	case lines >= strangeLines && now.Sub(p.Since) >= strangeTime:
		p.Cause = fmt.Sprintf("of %d lines none is of a known program", lines)
		p.Remedy = "check what `tattled explain` says of one of its lines; write rules for it (rules.directory), or take the source out"
	default:
		return nil
	}
	return []event.Problem{p}
}

// refuser is a source that refuses senders which allow does not name.
type refuser interface{ Refused() []syslog.Refused }

const (
	// refusedFor is how long a refused sender remains a problem after its last try.
	refusedFor = time.Hour
	// refusedNamed is how many senders a problem names.
	refusedNamed = 3
	// refusedEvery is how often the log has one sender, and refusedLogged of how many senders of a source it has a line in
	// that time: addresses may be made up.
	refusedEvery  = time.Hour
	refusedLogged = 8
)

// refusedRemedy is for a sender that allow does not name.
const refusedRemedy = "add its address to allow of this listener if it is yours, else let a firewall keep it away"

// refusedSenders says which listeners refuse senders that try now.
func (d *Daemon) refusedSenders(now time.Time) []event.Problem {
	var all []event.Problem
	for _, r := range d.receivers {
		if l, ok := opened(r).(refuser); ok {
			all = append(all, refusedProblems(r.Source(), l.Refused(), now)...)
		}
	}
	return all
}

// refusedProblems says that a source refuses senders, of which the last to try is the first of refused.
func refusedProblems(source string, refused []syslog.Refused, now time.Time) []event.Problem {
	var names []string
	recent := 0
	since := now
	for _, s := range refused {
		if now.Sub(s.Last) >= refusedFor {
			continue
		}
		if recent++; recent <= refusedNamed {
			names = append(names, fmt.Sprintf("%s (%d times, last at %s)", s.Addr, s.Count, s.Last.UTC().Format(time.RFC3339)))
		}
		if s.First.Before(since) {
			since = s.First
		}
	}
	if recent == 0 {
		return nil
	}
	if recent > refusedNamed {
		names = append(names, fmt.Sprintf("and %d more", recent-refusedNamed))
	}
	return []event.Problem{{
		What: source + ": a sender is refused that allow does not name", Cause: strings.Join(names, ", "), Remedy: refusedRemedy, Since: since,
	}}
}

// refusedLog is when which sender was logged last.
type refusedLog struct {
	at map[refusedSender]time.Time
}

type refusedSender struct {
	source, addr string
}

// log has a line an hour for each sender that tried since its last one, as far as there are not too many.
func (l *refusedLog) log(log *slog.Logger, source string, refused []syslog.Refused, now time.Time) {
	if l.at == nil {
		l.at = map[refusedSender]time.Time{}
	}
	logged := 0
	for s, at := range l.at {
		switch {
		case now.Sub(at) >= refusedEvery:
			delete(l.at, s)
		case s.source == source:
			logged++
		}
	}
	for _, s := range refused {
		key := refusedSender{source, s.Addr.String()}
		if _, there := l.at[key]; there || logged >= refusedLogged || now.Sub(s.Last) >= refusedEvery {
			continue
		}
		logged++
		l.at[key] = now
		log.Warn("a sender is refused that allow does not name", "source", source, "sender", key.addr, "count", s.Count, "remedy", refusedRemedy)
	}
}

// dates knows since when problems are there that do not know it themselves. Safe for concurrent use.
type dates struct {
	mu    sync.Mutex
	since map[string]time.Time // by what is wrong
}

// fill completes all problems that there are at now, and forgets those that there are no more.
func (d *dates) fill(all []event.Problem, now time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	seen := make(map[string]time.Time, len(all))
	for i := range all {
		p := &all[i]
		if p.Since.IsZero() {
			p.Since = now
			if before, there := d.since[p.What]; there {
				p.Since = before
			}
		}
		seen[p.What] = p.Since
	}
	d.since = seen
}
