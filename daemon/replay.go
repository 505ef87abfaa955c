package daemon

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"tattled/event"
	"tattled/geoip"
	"tattled/policy"
	"tattled/receiver"
	"tattled/report"
	"tattled/report/mail"
	"tattled/store"
	"tattled/store/mem"
)

// replayGroup is how many events are judged together, at most; replayGroups how many such groups there are.
const (
	replayGroup  = 1024
	replayGroups = 4
)

// replayTouched is how many addresses are judged in memory at once: few, because each keeps the memory of the largest before it.
const replayTouched = 128

// Replay runs old records through the whole daemon but for its sources and destinations: what it detects, judges, keeps and would
// send is the daemon's own code, and the clock is that of the records (Batch.Received). Nothing of the daemon's state is read or
// written, no secret is read and nothing is sent. Its goroutines are the caller's, which detects, and one that judges.
type Replay struct {
	config   *Config
	bare     bool // there is no configuration
	engine   atomic.Pointer[engine]
	tally    *tally
	counters *policy.Counters
	pipeline *pipeline
	store    *store.Store
	group    []event.Event
	spare    chan []event.Event
	full     chan []event.Event
	judged   chan struct{}
	failed   atomic.Pointer[error]

	// For the goroutine that judges.
	committer  *store.Committer
	clock      time.Time
	couriers   []*replayCourier
	midnight   time.Time
	books      *replayBooks
	end, close sync.Once
}

// ReplayOptions say what a configuration does not.
type ReplayOptions struct {
	// Quota is how many reports the third party takes a day; 0 is no bound.
	Quota int
	// Folder is for the temporary file with what is known of addresses; "" is the system's.
	Folder string
}

// replayCourier carries the reports of one destination to nobody.
type replayCourier struct {
	*report.Courier
	sender *nullSender
	due    time.Time // when it is to look again; zero for when something is added
	closed bool      // the destination takes nothing: what is added changes nothing
}

// NewReplay reads the configuration at path; with "" the shipped defaults hold, and alerts go to a mail that nobody gets. Its error
// is Faults where the configuration is at fault.
func NewReplay(path string, o ReplayOptions) (*Replay, error) { return shippedParts().replay(path, o) }

func (t *table) replay(path string, o ReplayOptions) (*Replay, error) {
	cfg := t.config()
	if path != "" {
		var err error
		if cfg, err = t.read(path); err != nil {
			return nil, err
		}
	} else {
		section := &mail.Config{}
		cfg.put("alerts.mail", &section)
	}
	rules, faults := loadRules(cfg)
	if len(faults) > 0 {
		return nil, faults
	}
	r := &Replay{config: cfg, bare: path == "", tally: newTally(), counters: &policy.Counters{}, spare: make(chan []event.Event, replayGroups), full: make(chan []event.Event, replayGroups), judged: make(chan struct{})}
	gate := newGate(cfg, nil)
	if own, err := ownAddresses(); err == nil {
		gate.SetOwn(own)
	}
	e := newEngine(cfg, rules, gate, r.tally)
	e.policy = newPolicy(cfg, gate, r.counters, nil)
	r.engine.Store(e)
	if err := r.open(e, o); err != nil {
		return nil, err
	}
	for range replayGroups {
		r.spare <- make([]event.Event, 0, replayGroup)
	}
	r.group = <-r.spare
	go r.judge()
	return r, nil
}

// open makes the store, its committer and the couriers.
func (r *Replay) open(e *engine, o ReplayOptions) error {
	places := geoip.New(e.config.GeoIP)
	_ = places.Load() // a place that cannot be looked up is unknown, as it would be to the daemon
	r.pipeline = newPipeline(&r.engine, r.tally, places, r)
	options := e.config.Store.Options()
	options.Now = func() time.Time { return r.clock }
	options.Touched = replayTouched
	backend, err := mem.Mapped(o.Folder)
	if err != nil {
		return err
	}
	if r.store, err = store.New(backend, options); err != nil {
		return err
	}
	r.books = newReplayBooks(e.gate, o.Quota)
	r.committer = store.NewCommitter(r.store, e.policy, store.CommitterOptions{OnCommit: r.committed})
	for _, d := range e.config.destinations() {
		s := &nullSender{name: d.name, action: d.action, quota: o.Quota, replay: r}
		c := &replayCourier{sender: s}
		c.Courier = report.NewCourier(s, r.committer.Outbox(d.name), report.Options{
			Terms: func() report.Terms { return d.terms }, Allowed: e.mayTell, Now: options.Now, Logger: slog.New(slog.DiscardHandler),
		})
		r.couriers = append(r.couriers, c)
		r.books.destination(d.name, d.action)
	}
	return nil
}

// Handle implements receiver.Handler, for one goroutine: it detects what is in a batch. Received of a batch must not be before that of
// the one before it.
func (r *Replay) Handle(ctx context.Context, b *receiver.Batch) error {
	return r.pipeline.Handle(ctx, b)
}

// Submit takes what was detected. It is for the pipeline.
func (r *Replay) Submit(ctx context.Context, events []event.Event, _ string, _ receiver.Cursor) error {
	for len(events) > 0 {
		if len(r.group) == cap(r.group) {
			if err := r.pass(ctx); err != nil {
				return err
			}
		}
		n := min(cap(r.group)-len(r.group), len(events))
		r.group = append(r.group, events[:n]...)
		events = events[n:]
	}
	return r.err()
}

// pass hands the group on to be judged, and begins another one.
func (r *Replay) pass(ctx context.Context) error {
	r.full <- r.group
	r.group = nil
	select {
	case r.group = <-r.spare:
	case <-r.judged:
	case <-ctx.Done():
		return ctx.Err()
	}
	return r.err()
}

func (r *Replay) err() error {
	if err := r.failed.Load(); err != nil {
		return *err
	}
	return nil
}

// Finish judges what is left, lets the couriers carry what is due, and returns what came of it all. The Replay ends.
func (r *Replay) Finish() (*Replayed, error) {
	defer r.Close()
	r.finish()
	if err := r.err(); err != nil {
		return nil, err
	}
	return r.result(), nil
}

// Close ends the Replay.
func (r *Replay) Close() {
	r.finish()
	r.close.Do(func() {
		_ = r.store.Close() // nothing of it is wanted any more
	})
}

// finish has all that came judged.
func (r *Replay) finish() {
	r.end.Do(func() {
		if len(r.group) > 0 {
			r.full <- r.group
		}
		close(r.full)
		<-r.judged
	})
}

// judge judges groups until there are no more.
func (r *Replay) judge() {
	defer close(r.judged)
	ctx := context.Background()
	for events := range r.full {
		if r.err() == nil {
			if err := r.judgeAll(ctx, events); err != nil {
				err = fmt.Errorf("judge: %w", err)
				r.failed.Store(&err)
			}
		}
		clear(events)
		r.spare <- events[:0]
	}
	if r.err() == nil && !r.clock.IsZero() {
		end := r.clock.Add(afterLast)
		if !end.Before(r.midnight) { // the quota of a day that the records do not reach is not theirs
			end = r.midnight.Add(-1)
		}
		if err := r.carryUntil(ctx, end); err != nil {
			r.failed.Store(&err)
		}
		r.books.closeDay(end, r.store.Stats())
	}
}

// gathers is how long a daemon's committer gathers events before a report among them is in the outbox.
const gathers = 20 * time.Millisecond

// afterLast is for how long the couriers go on after the last record: as long as an alert waits for a score.
const afterLast = 5 * time.Minute

// judgeAll judges events in the order of their times, and lets the couriers carry whenever they would.
func (r *Replay) judgeAll(ctx context.Context, events []event.Event) error {
	for len(events) > 0 {
		if err := r.carryUntil(ctx, events[0].Received); err != nil {
			return err
		}
		next := r.next()
		n := 1
		for n < len(events) && (next.IsZero() || events[n].Received.Before(next)) {
			n++
		}
		r.clock = later(r.clock, events[0].Received)
		n, err := r.committer.Apply(events[:n])
		if err != nil {
			return err
		}
		r.clock = later(r.clock, events[n-1].Received)
		if err := r.carryUntil(ctx, r.clock); err != nil {
			return err
		}
		events = events[n:]
	}
	return nil
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// next returns when something is to be done that is no event: a courier is due, or a day is over. It is zero before the first event.
func (r *Replay) next() time.Time {
	next := r.midnight
	for _, c := range r.couriers {
		if !c.due.IsZero() && (next.IsZero() || c.due.Before(next)) {
			next = c.due
		}
	}
	return next
}

// carryUntil does what is due up to now, each at its time.
func (r *Replay) carryUntil(ctx context.Context, now time.Time) error {
	if r.midnight.IsZero() {
		r.midnight = dayOf(now).AddDate(0, 0, 1)
	}
	for {
		next := r.next()
		if next.After(now) {
			return nil
		}
		r.clock = later(r.clock, next)
		if next.Equal(r.midnight) {
			r.books.closeDay(next.Add(-time.Minute), r.store.Stats())
			r.midnight = next.AddDate(0, 0, 1)
		}
		for _, c := range r.couriers {
			if c.due.IsZero() || c.due.After(r.clock) {
				continue
			}
			if err := c.carry(ctx, r.clock); err != nil {
				return err
			}
			if c.closed {
				c.due = c.reopens(r.clock, r.store.Stats().Items[c.sender.name][store.Pending])
			}
		}
	}
}

// carry makes all attempts that can be made at now.
func (c *replayCourier) carry(ctx context.Context, now time.Time) error {
	for {
		until, idle, err := c.Step(ctx)
		if err != nil {
			return err
		}
		if !idle {
			continue
		}
		if c.due = until; !until.IsZero() && !until.After(now) {
			c.due = now.Add(time.Millisecond)
		}
		s := c.Standing()
		c.closed = !s.Open && s.Until.After(now)
		return nil
	}
}

// Reports that wait for a closed destination are brought up to date every ten minutes, as in a daemon; where more than calm wait, so much
// more seldom: a month in which each day brings more than its quota would take hours otherwise.
const (
	refreshes = 10 * time.Minute
	calm      = 100
)

// reopens returns when a closed courier is to look again, where so many reports wait.
func (c *replayCourier) reopens(now time.Time, waiting uint64) time.Time {
	next := now.Add(refreshes * time.Duration(max(waiting, calm)) / calm)
	if until := c.Standing().Until; until.After(now) && until.Before(next) {
		return until
	}
	return next
}

// dayOf returns when the day of a time began, in UTC, as quotas have it.
func dayOf(t time.Time) time.Time { return t.UTC().Truncate(24 * time.Hour) }

// committed takes what was judged into the books, and wakes the couriers whose outbox has something new.
func (r *Replay) committed(events []event.Event, due []event.Report) {
	r.books.note(events, due)
	for i := range due {
		for _, c := range r.couriers {
			if c.sender.name == due[i].Destination && !c.closed {
				if at := later(r.clock, due[i].Judged).Add(gathers); c.due.IsZero() || at.Before(c.due) {
					c.due = at
				}
			}
		}
	}
}
