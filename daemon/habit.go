package daemon

import (
	"fmt"
	"sync"
	"time"

	"tattled/event"
)

// A source is silent beyond its habit when nothing has come from it for several times the longest silence before that. Who
// is watched for less than a day may have nights that nobody saw yet, and so gets more; and an hour is nothing anywhere.
const (
	habitAfter  = 6 * time.Hour // between the first and the last record, before anything is taken for a habit
	habitDay    = 24 * time.Hour
	habitWeek   = 7 * habitDay // the longest silence is that of this week and of the one before, so that one outage is forgotten
	leastSilent = time.Hour
	timesYoung  = 100 // the longest silence, in the first day
	timesGrown  = 8   // after that: nights and weekends
)

// habit is how long a source is silent between two batches. Safe for concurrent use.
type habit struct {
	mu              sync.Mutex
	first, last     time.Time
	longest, before time.Duration // of this week, of the week before
	turned          time.Time     // when this week began
}

// note takes in a batch with records that was read at now.
func (h *habit) note(now time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.first.IsZero() {
		h.first, h.last, h.turned = now, now, now
		return
	}
	h.longest = max(h.longest, now.Sub(h.last))
	if now.Sub(h.turned) >= habitWeek {
		h.before, h.longest, h.turned = h.longest, 0, now
	}
	h.last = now
}

// firstRecord returns when the first record was read, zero if none was.
func (h *habit) firstRecord() time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.first
}

// lastRecord returns when the last record was read, zero if none was.
func (h *habit) lastRecord() time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.last
}

// beyond reports whether the silence since the last one is beyond the habit; usual is the longest before it.
func (h *habit) beyond(now time.Time) (last time.Time, usual time.Duration, beyond bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	usual = max(h.longest, h.before)
	allowed := usual
	switch watched := h.last.Sub(h.first); {
	case watched >= habitDay:
		allowed *= timesGrown
	case watched >= habitAfter:
		allowed *= timesYoung
	default:
		return h.last, usual, false
	}
	return h.last, usual, now.Sub(h.last) > max(allowed, leastSilent)
}

// problems says that source is silent beyond its habit, if it is.
func (h *habit) problems(source string, now time.Time) []event.Problem {
	last, usual, beyond := h.beyond(now)
	if !beyond {
		return nil
	}
	return []event.Problem{{
		What:   source + " is silent",
		Cause:  fmt.Sprintf("nothing has come from it since %s; before that it was never silent for longer than %s", last.UTC().Format(time.RFC3339), usual.Round(time.Second)),
		Remedy: "check whether the program that logs there still runs, and whether its lines still arrive here",
		Since:  last,
	}}
}
