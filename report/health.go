package report

import (
	"context"
	"encoding/json"
	"time"

	"tattled/store"
)

// The bounds of waiting.
const (
	minPause = time.Second
	// maxPause bounds the pause after the destination failed. It is short, because all that waits is to be through within
	// a minute after an outage; with it, an outage costs some six requests a minute.
	maxPause = 20 * time.Second
	// maxBackOff bounds how long one item is put off that fails while others do not.
	maxBackOff = 5 * time.Minute
	// maxNamedPause bounds a pause whose end the destination named: quotas are daily.
	maxNamedPause = 25 * time.Hour
)

// health is what a Courier knows about its destination. It keeps two things apart: a destination that fails is asked
// again soon, with any item, and seldom; an item that fails while the destination works is put off alone.
type health struct {
	works    bool      // the last answer proved that the destination works
	worked   bool      // so it was before the last answer
	failures int       // attempts in a row without such an answer
	since    time.Time // the first of them
	resume   time.Time // no attempt before
	paused   bool      // the destination said so
	named    bool      // it said until when: resume is kept over a restart
	scope    string    // what the pause is about, see Courier.scope
	detail   string
	remedy   string
	draw     func(n time.Duration) time.Duration // Options.Draw
}

// note takes in what an attempt came out as, and returns it.
func (h *health) note(out Outcome, scope string, now time.Time) Outcome {
	h.worked = h.works
	switch {
	case out.Result.proves() || out.Result == DryRun:
		*h = health{works: out.Result != DryRun, draw: h.draw}
	case out.Result == Later || out.Result == Paused:
		if h.failures == 0 {
			h.since = now
		}
		h.works = false
		h.failures++
		h.paused, h.named, h.scope, h.detail, h.remedy = out.Result == Paused, false, scope, out.Detail, out.Remedy
		h.resume = now.Add(jitter(h.failures, maxPause, h.draw))
		if h.paused && out.Until.After(now) {
			h.named, h.resume = true, earlier(out.Until, now.Add(maxNamedPause))
		}
	}
	return out
}

// resumeIfScopeChanged ends a pause that was for another scope: a new key has a quota of its own.
func (h *health) resumeIfScopeChanged(scope string) {
	if h.paused && h.scope != scope {
		*h = health{draw: h.draw}
	}
}

// retryAt returns when an item that came out as out is to be tried again. While the destination fails, an item waits
// little longer than the pause, the more often tried the longer, so that others get their turn.
//
// An item that may have arrived, since a time in doubt, keeps its place in the queue for a while: it must be asked about
// again while the destination recognizes a duplicate, which it does for a window, however many wait after it.
func (h *health) retryAt(item store.Item, out Outcome, doubt time.Time, window time.Duration, now time.Time) time.Time {
	attempts := item.Attempts
	switch {
	case !doubt.IsZero() && now.Sub(doubt) < window && attempts <= 10:
		return earlier(item.Created, now)
	case out.Result == Paused:
		return now // the destination is closed, the item is not at fault
	case out.Until.After(now):
		return earlier(out.Until, now.Add(maxNamedPause))
	case h.worked:
		return now.Add(jitter(attempts, maxBackOff, h.draw))
	default:
		turn := time.Duration(min(attempts, int(maxPause/time.Second))) * time.Second
		return later(h.resume, now).Add(turn)
	}
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// jitter returns a random span up to 2^n seconds and limit, at least minPause: exponential back-off with full jitter.
func jitter(n int, limit time.Duration, draw func(n time.Duration) time.Duration) time.Duration {
	most := min(time.Second<<min(max(n, 1), 20), limit)
	return minPause + draw(most-minPause+1)
}

// longOutage is after how much time a destination that fails is worth an error in the log: it is no passing outage.
const longOutage = time.Hour

// Standing is the state of a Courier's destination, for health, page and metrics.
type Standing struct {
	Open   bool      // the last attempt gave no cause to wait
	Paused bool      // the destination accepts nothing until somebody or something changes (key, quota, URL); else it merely fails
	Since  time.Time // since when it has not been open
	Until  time.Time // when it will be tried again
	Detail string    // why, harmless to show
	Remedy string    // what the operator can do, "" if nobody knows
	Long   bool      // it has failed for an hour without having said that it is paused
}

// Standing returns how the destination stands.
func (c *Courier) Standing() Standing { return *c.standing.Load() }

// publish makes the destination's standing known if it changed: in Standing, in the log, and, so that it holds over a
// restart, in the store.
func (c *Courier) publish(ctx context.Context) {
	was, h := c.Standing(), &c.health
	now := Standing{Open: h.resume.IsZero(), Paused: h.paused, Since: h.since, Until: h.resume, Detail: h.detail, Remedy: h.remedy}
	now.Long = !now.Open && !h.paused && c.o.Now().Sub(h.since) >= longOutage
	if was == now {
		return
	}
	c.standing.Store(&now)
	switch {
	case now.Open:
		c.o.Logger.Info("the destination accepts reports again", "destination", c.Destination())
	case now.Long && !was.Long:
		c.o.Logger.Error("nothing has reached the destination for an hour; what is due waits", "destination", c.Destination(), "since", now.Since,
			"detail", now.Detail, "remedy", "check whether its name resolves and its port answers from this machine")
	case was.Open || was.Paused != now.Paused || was.Detail != now.Detail && now.Paused:
		c.o.Logger.Warn("the destination accepts no reports", "destination", c.Destination(), "closed", now.Paused, "detail", now.Detail, "until", now.Until, "remedy", now.Remedy)
	}
	if h.named || now.Open && was.Paused {
		c.keep(ctx)
	}
}

// pauseNote is the note about a pause, as it is kept in the store.
type pauseNote struct {
	Until  time.Time `json:"until"`
	Since  time.Time `json:"since"`
	Scope  string    `json:"scope,omitempty"`
	Detail string    `json:"detail"`
	Remedy string    `json:"remedy,omitempty"`
}

func (c *Courier) noteKey() string { return "closed/" + c.Destination() }

// keep writes the pause down, or that there is none. If that fails, a restart costs one attempt that is refused; and a
// store that fails will show it at the next item.
func (c *Courier) keep(ctx context.Context) {
	if c.o.PutNote == nil {
		return
	}
	var value []byte
	if h := &c.health; h.named {
		value, _ = json.Marshal(pauseNote{Until: h.resume.Round(0), Since: h.since.Round(0), Scope: h.scope, Detail: h.detail, Remedy: h.remedy})
	}
	if err := c.o.PutNote(ctx, c.noteKey(), value); err != nil {
		c.o.Logger.Warn("could not store until when the destination is paused", "destination", c.Destination(), "error", err)
	}
}

// restore resumes a pause that was kept.
func (c *Courier) restore(now time.Time) {
	if c.o.Note == nil {
		return
	}
	var was pauseNote
	if json.Unmarshal(c.o.Note(c.noteKey()), &was) != nil || !was.Until.After(now) || was.Scope != c.scope() {
		return
	}
	c.health = health{
		failures: 1, since: was.Since, resume: earlier(was.Until, now.Add(maxNamedPause)),
		paused: true, named: true, scope: was.Scope, detail: Harmless(was.Detail, MaxDetail), remedy: Harmless(was.Remedy, MaxDetail),
		draw: c.health.draw,
	}
	c.standing.Store(&Standing{Paused: true, Since: was.Since, Until: c.health.resume, Detail: c.health.detail, Remedy: c.health.remedy})
}

// scope says what a pause is about, if the sender says so: with another key or server it is void.
func (c *Courier) scope() string {
	if s, ok := c.sender.(interface{ Scope() string }); ok {
		return s.Scope()
	}
	return ""
}
