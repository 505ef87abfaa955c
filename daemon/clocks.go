package daemon

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"tattled/event"
	"tattled/receiver"
)

// maxAge is how old a record may be that a syslog listener has just received: a relay may have kept it while a network was down, but
// not for so long. What is older was stamped by a clock that was never set, such as that of a router that knows no time server yet
// and writes "Jan  1 00:00". A log file may be of any age: it is not judged by this.
const maxAge = 7 * 24 * time.Hour

// The bounds of what is remembered of clocks.
const (
	maxClocks = 1024
	clockFor  = 24 * time.Hour // after the last such line it is a problem
	// steadyLines is how many lines in a row are to be off by the same number of hours, over steadyFor at least or by exactly that: a
	// relay that sends at once what it has kept is seldom off by a full hour.
	steadyLines = 5
	steadyFor   = time.Minute
	// hourSlack is how far from the full hour the rest may be.
	hourSlack = 2 * time.Minute
	// exactSlack is the same of a clock that is right but for its zone.
	exactSlack = 3 * time.Second
)

// clocks remembers the senders of syslog whose clocks are wrong, of lines that tell of an event. Nothing follows from it but a word to
// the operator: a sender can write any time, and may be made up.
type clocks struct {
	any  atomic.Bool // last has had something
	mu   sync.Mutex
	last map[clockOf]clockState
}

type clockOf struct{ source, host string }

type clockState struct {
	unset       time.Time // when the last line came that is older than maxAge
	hours       int       // by how many the lines are ahead
	lines       int       // in a row
	exact       int       // of these how many in a row are off by no more than full hours
	first, last time.Time // when those came
}

// live reports whether what comes by a source was written just now.
func live(source string) bool {
	return strings.HasPrefix(source, "udp://") || strings.HasPrefix(source, "tcp://") || strings.HasPrefix(source, "unix://")
}

// note compares the time of a record with its receipt.
func (c *clocks) note(r *receiver.Record, b *receiver.Batch, host string) {
	if r.Time.IsZero() || !live(b.Source) {
		return
	}
	ahead := r.Time.Sub(b.Received)
	hours := ahead.Round(time.Hour)
	if off := ahead - hours; ahead > -maxAge && (hours == 0 || off.Abs() > hourSlack || hours.Abs() > 14*time.Hour) {
		hours = 0
	}
	if hours == 0 && !c.any.Load() {
		return
	}
	key := clockOf{b.Source, host}
	c.mu.Lock()
	defer c.mu.Unlock()
	s, known := c.last[key]
	if hours == 0 && !known {
		return
	}
	if !known && (c.last == nil || len(c.last) >= maxClocks) {
		c.last = map[clockOf]clockState{}
	}
	switch n := int(hours / time.Hour); {
	case ahead <= -maxAge:
		s = clockState{unset: b.Received}
	case n == 0:
		s = clockState{}
	default:
		if n != s.hours {
			s = clockState{hours: n, first: b.Received}
		}
		s.lines, s.exact, s.last = s.lines+1, s.exact+1, b.Received
		if (ahead - hours).Abs() > exactSlack {
			s.exact = 0
		}
	}
	c.last[key] = s
	c.any.Store(true)
}

// problems says whose clocks are wrong.
func (c *clocks) problems(now time.Time) []event.Problem {
	c.mu.Lock()
	defer c.mu.Unlock()
	var all []event.Problem
	for key, s := range c.last {
		host := key.host
		if host == "" {
			host = "a sender without a name"
		}
		switch {
		case !s.unset.IsZero() && now.Sub(s.unset) < clockFor:
			all = append(all, event.Problem{
				What:   fmt.Sprintf("%s: the clock of %q is not set", key.source, host),
				Cause:  fmt.Sprintf("its lines are stamped more than %d days before they come: they are taken for as old as their receipt", int(maxAge.Hours()/24)),
				Remedy: "give it a time server (NTP)",
			})
		case s.steady() && now.Sub(s.last) < clockFor:
			all = append(all, event.Problem{
				What:   fmt.Sprintf("%s: the clock of %q is off by %+d hours", key.source, host, s.hours),
				Cause:  "its stamps name no zone, or a wrong one: " + zoneWords(hoursAhead(now), s.hours),
				Remedy: fmt.Sprintf("set timezone: for the listener to the sender's zone (such as %s, or the name of its place), or set the sender's clock", etcZone(hoursAhead(now)+s.hours)),
			})
		}
	}
	slices.SortFunc(all, func(a, b event.Problem) int { return cmp.Compare(a.What, b.What) })
	return all
}

// steady reports whether a sender's lines are off by the same full hours.
func (s *clockState) steady() bool {
	return s.hours != 0 && (s.lines >= steadyLines && s.last.Sub(s.first) >= steadyFor || s.exact >= steadyLines)
}

// hoursAhead is how many hours this machine's zone is ahead of UTC.
func hoursAhead(now time.Time) int {
	_, seconds := now.Zone()
	return seconds / 3600
}

func zoneWords(ours, ahead int) string {
	return fmt.Sprintf("read in the zone of this machine (UTC%+d), they would be right in UTC%+d", ours, ours+ahead)
}

// etcZone is the name of the zone that is so many hours ahead of UTC, as the zone database has it: with the sign turned round.
func etcZone(ahead int) string {
	if ahead == 0 {
		return "UTC"
	}
	return fmt.Sprintf("Etc/GMT%+d", -ahead)
}
