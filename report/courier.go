package report

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"tattled/event"
	"tattled/store"
)

// connections is how many attempts are under way at the same time at most. With fewer than scarce left of a quota they are made one
// after the other, because each answer says how many are left.
const (
	connections = 2
	scarce      = 20
)

// DefaultRate is how many attempts a second a Courier makes at most, if Options say nothing.
const DefaultRate = 10

const (
	// shutdownGrace is how long an attempt under way may go on after the Courier was asked to stop.
	shutdownGrace = 5 * time.Second
	// maxScoreWait is how long an item waits for a score that cannot be obtained at present.
	maxScoreWait = 5 * time.Minute
	// refreshEvery is how often reports that wait for a closed destination are brought up to date and ranked anew.
	refreshEvery = 10 * time.Minute
	// maxWait bounds a wait that ends at a time of the clock, so that a clock that was set is noticed.
	maxWait = time.Minute
	// shortest keeps an answer that something was due already from becoming a busy loop.
	shortest = 10 * time.Millisecond
)

// outbox is what a Courier needs of *store.Outbox: see there for what each method promises.
type outbox interface {
	Recover(ctx context.Context, now time.Time, u store.Uncertainty) (store.Recovered, error)
	Claim(ctx context.Context, now time.Time) (item store.Item, ok bool, next time.Time, err error)
	Settle(ctx context.Context, id string, s store.Settlement) error
	Refresh(ctx context.Context) error
	Changed() <-chan struct{}
}

// Terms are what the operator says about a destination, and may change while a Courier runs.
type Terms struct {
	// Rate is how many attempts a second are made at most; a second's worth may be made at once. Default: DefaultRate
	Rate float64
	// Uncertain says what becomes of an item of which nobody knows whether it arrived, once the destination no longer recognizes
	// a duplicate.
	Uncertain store.Uncertain
}

// Options are a Courier's settings. The zero value of each is good, but for Logger.
type Options struct {
	// Terms is asked before every attempt; nil stands for the zero Terms.
	Terms func() Terms
	// Reputation is asked before an item with a condition is sent; nil sends it as if the score were unknown.
	Reputation *Reputation
	// Allowed is asked before every attempt, because the gate may judge otherwise than when the report was judged. It returns why
	// the report must not be sent, "" if it may; nil allows all.
	Allowed func(r *event.Report) string
	// Note and PutNote keep, over a restart, until when the destination is closed (store.Store.Note,
	// store.Committer.PutNote). Nil keeps nothing.
	Note    func(key string) []byte
	PutNote func(ctx context.Context, key string, value []byte) error
	// OnSettled is told what became of each attempt, after that was made durable; of a bulk request, what became of those items that do
	// not wait on. It must not block.
	OnSettled func(item store.Item, out Outcome)
	// Observe is told how long a report took from its judgement to the destination's yes. It must not block.
	Observe func(latency time.Duration)
	// Draw draws the random part of a wait: 0 or more, and less than n. Nil draws it by math/rand/v2; a test that has to come out the same
	// again passes its own.
	Draw func(n time.Duration) time.Duration
	// Logger is told when the destination fails, works again, closes, and what it rejects.
	Logger *slog.Logger
	// Now is the clock: that of the records, for a replay, which calls Step in place of Run. Nil stands for the machine's.
	Now func() time.Time
}

// Courier brings the items of one destination to its Sender: one at a time, and where that is a BulkSender two at a time, or many in one
// request where the quota wants that.
type Courier struct {
	sender  Sender
	outbox  outbox
	o       Options
	limiter *rate.Limiter
	health  health
	bulk    bulk
	fresh   time.Time     // when the reports that wait were brought up to date
	wake    chan struct{} // of Wake

	counts   [resultEnd]atomic.Uint64
	standing atomic.Pointer[Standing]
}

// NewCourier returns a courier from o, the outbox of s.Destination(), to s. It starts nothing.
func NewCourier(s Sender, o outbox, options Options) *Courier {
	c := &Courier{sender: s, outbox: o, o: options, bulk: newBulk(s, o), wake: make(chan struct{}, 1)}
	if c.o.Now == nil {
		c.o.Now = time.Now
	}
	if c.health.draw = options.Draw; c.health.draw == nil {
		c.health.draw = rand.N[time.Duration]
	}
	terms := c.terms()
	c.limiter = rate.NewLimiter(rate.Limit(terms.Rate), burst(terms.Rate))
	c.standing.Store(&Standing{Open: true})
	return c
}

// terms returns those that hold now.
func (c *Courier) terms() Terms {
	var t Terms
	if c.o.Terms != nil {
		t = c.o.Terms()
	}
	if !(t.Rate > 0) {
		t.Rate = DefaultRate
	}
	return t
}

// burst is how many attempts may be made at once.
func burst(perSecond float64) int { return max(1, int(perSecond)) }

// pace has the limiter follow a rate that changed.
func (c *Courier) pace(now time.Time) {
	if perSecond := c.terms().Rate; c.limiter.Limit() != rate.Limit(perSecond) {
		c.limiter.SetLimitAt(now, rate.Limit(perSecond))
		c.limiter.SetBurstAt(now, burst(perSecond))
	}
}

// uncertainty says how to deal with what may have arrived.
func (c *Courier) uncertainty() store.Uncertainty {
	return store.Uncertainty{Window: c.duplicateWindow(), After: c.terms().Uncertain}
}

// duplicateWindow is for how long the destination recognizes a duplicate, 0 if the sender does not say.
func (c *Courier) duplicateWindow() time.Duration {
	if s, ok := c.sender.(DuplicateWindow); ok {
		return s.DuplicateWindow()
	}
	return 0
}

// Wake has a courier that waits look again at once: its terms or its sender's scope have changed.
func (c *Courier) Wake() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// Destination returns the sender's.
func (c *Courier) Destination() string { return c.sender.Destination() }

// Count returns how many attempts came out as r.
func (c *Courier) Count(r Result) uint64 {
	if r >= resultEnd {
		return 0
	}
	return c.counts[r].Load()
}

// Run carries until ctx ends. An attempt that is then under way may go on for five seconds; if its answer has not come
// by then its item stays claimed, and the next Run finds it so. What is settled until then is written down, so the store
// must live longer than the Courier. Run returns nil when ctx ended and an error when the store does not take what it must keep.
func (c *Courier) Run(ctx context.Context) error {
	c.restore(c.o.Now())
	recovered, err := c.outbox.Recover(ctx, c.o.Now(), c.uncertainty())
	if err != nil {
		return c.ended(ctx, fmt.Errorf("recover the outbox of %s: %w", c.Destination(), err))
	}
	if recovered.Again+recovered.Dropped > 0 {
		c.o.Logger.Warn("reports were under way when tattled ended", "destination", c.Destination(),
			"sent_again", recovered.Again, "dropped", recovered.Dropped)
	}
	for ctx.Err() == nil {
		until, idle, err := c.Step(ctx)
		if err != nil {
			return c.ended(ctx, err)
		}
		if idle {
			c.wait(ctx, until)
		}
	}
	return nil
}

// ended hides an error that only says that everything is stopping.
func (c *Courier) ended(ctx context.Context, err error) error {
	if ctx.Err() != nil && (errors.Is(err, context.Canceled) || errors.Is(err, store.ErrStopped)) {
		return nil
	}
	return err
}

// wait waits until a time (zero: no time), a new item, a Wake, or the end.
func (c *Courier) wait(ctx context.Context, until time.Time) {
	var due <-chan time.Time
	if !until.IsZero() {
		timer := time.NewTimer(min(max(time.Until(until), shortest), maxWait))
		defer timer.Stop()
		due = timer.C
	}
	select {
	case <-ctx.Done():
	case <-c.outbox.Changed():
	case <-c.wake:
	case <-due:
	}
}

// Step is one turn of Run, for whoever has a clock of their own (Options.Now): it makes at most one attempt, or some at the same time. idle
// says that there was none to make; then until is when to look again, zero for when something is added.
func (c *Courier) Step(ctx context.Context) (until time.Time, idle bool, err error) {
	now := c.o.Now()
	c.health.resumeIfScopeChanged(c.scope())
	n, bulkAt := c.bulk.due(now, &c.health, c.scope())
	if n > 0 {
		return now, false, c.sendBulk(ctx, now, n)
	}
	if until := c.health.resume; now.Before(until) {
		if !bulkAt.IsZero() {
			until = earlier(until, bulkAt)
		}
		err := c.refresh(ctx, now)
		return earlier(until, c.fresh.Add(refreshEvery)), true, err
	}
	c.pace(now)
	tokens := c.limiter.TokensAt(now)
	if tokens < 1 {
		return now.Add(time.Duration((1 - tokens) / float64(c.limiter.Limit()) * float64(time.Second))), true, nil
	}
	return c.round(ctx, now, c.atOnce(tokens))
}

// atOnce returns how many attempts may be under way at once: several where the destination takes them, works, and has so many left that
// none can be one too many.
func (c *Courier) atOnce(tokens float64) int {
	if c.bulk.sender == nil || !c.health.works || c.bulk.sender.Bulk().Singles < scarce {
		return 1
	}
	return min(connections, int(tokens))
}

// round claims up to n items, and makes an attempt with each at the same time.
func (c *Courier) round(ctx context.Context, now time.Time, n int) (until time.Time, idle bool, err error) {
	going, cancel := withGrace(ctx)
	defer cancel()
	var ready []store.Item
	for i := range n {
		item, ok, next, err := c.outbox.Claim(going, now)
		switch {
		case errors.Is(err, store.ErrFull):
			next, err = now.Add(time.Second), nil
		case err != nil:
			return now, true, fmt.Errorf("claim an item for %s: %w", c.Destination(), err)
		case ok && ctx.Err() != nil: // not begun: give it back as it was
			ok, next, err = false, now, c.outbox.Settle(going, item.ID, store.Settlement{
				State: store.Pending, At: now, RetryAt: now, Detail: item.Detail, UnansweredSince: item.UnansweredSince,
			})
		}
		if err != nil || !ok && i == 0 {
			return next, true, err
		}
		if !ok {
			break
		}
		if ok, err = c.prepare(going, &item, now); err != nil {
			return now, false, err
		}
		if ok {
			ready = append(ready, item)
		}
	}
	return now, false, c.attempt(going, ready)
}

// refresh brings the reports that wait up to date, if that is due.
func (c *Courier) refresh(ctx context.Context, now time.Time) error {
	if since := now.Sub(c.fresh); since >= 0 && since < refreshEvery {
		return nil
	}
	c.fresh = now
	if err := c.outbox.Refresh(ctx); err != nil && !errors.Is(err, store.ErrFull) {
		return err
	}
	return nil
}

// withGrace returns a context that ends shutdownGrace after ctx.
func withGrace(ctx context.Context) (context.Context, context.CancelFunc) {
	out, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		timer := time.NewTimer(shutdownGrace)
		defer timer.Stop()
		select {
		case <-timer.C:
			cancel()
		case <-out.Done():
		}
	})
	return out, func() {
		stop()
		cancel()
	}
}

// prepare reports whether a claimed item is to be sent. One that is not it settles.
func (c *Courier) prepare(ctx context.Context, item *store.Item, now time.Time) (bool, error) {
	out := c.veto(item, now)
	if out.Result == 0 {
		out = c.checkReputation(ctx, item, now)
	}
	if out.Result == 0 {
		out = c.veto(item, now) // the score took its time
	}
	if out.Result != 0 {
		return false, c.settle(ctx, *item, out)
	}
	c.limiter.AllowN(now, 1) // the rate is for what is sent, not for what is found not to be
	return true, nil
}

// attempt sends items at the same time, and settles them in their order.
func (c *Courier) attempt(ctx context.Context, items []store.Item) error {
	outs := make([]Outcome, len(items))
	var under sync.WaitGroup
	for i := 1; i < len(items); i++ {
		under.Go(func() { outs[i] = c.sender.Send(ctx, &items[i].Report) })
	}
	if len(items) > 0 {
		outs[0] = c.sender.Send(ctx, &items[0].Report)
	}
	under.Wait()
	for i, item := range items {
		if ctx.Err() != nil && outs[i].Result == Later {
			return ctx.Err() // cut off by the end: the item stays claimed, which says that it may have arrived
		}
		if err := c.settle(ctx, item, c.health.note(outs[i], c.scope(), c.o.Now())); err != nil {
			return err
		}
	}
	return nil
}

// veto says whether an item must not be sent any more; the zero Outcome if it may.
func (c *Courier) veto(item *store.Item, now time.Time) Outcome {
	if item.Report.DryRun { // the address may be reported again since there is a key: not twice, then
		return Outcome{Result: DryRun, Detail: "judged in dry-run mode"}
	}
	if c.o.Allowed != nil {
		if reason := c.o.Allowed(&item.Report); reason != "" {
			return Outcome{Result: Dismissed, Detail: Harmless(reason, MaxDetail)}
		}
	}
	if since := item.UnansweredSince; !since.IsZero() && !c.uncertainty().Resend(since, now) {
		return Outcome{Result: Expired, Detail: Harmless("nobody knows whether it arrived: "+item.Detail, MaxDetail)}
	}
	return Outcome{}
}

// checkReputation asks for the address's score where the policy wants it. The zero Outcome says that the item is to be sent;
// what was found is then in its Score or ScoreMissing.
func (c *Courier) checkReputation(ctx context.Context, item *store.Item, now time.Time) Outcome {
	wanted := item.Report.Reputation
	if wanted == nil {
		return Outcome{}
	}
	score, err := Score{Missing: "nobody is asked for scores"}, error(nil)
	if c.o.Reputation != nil {
		score, err = c.o.Reputation.Check(ctx, item.Report.Addr, wanted.MaxAge)
	}
	if waited := now.Sub(item.Report.Judged); err != nil && waited >= 0 && waited < maxScoreWait {
		out := Outcome{Result: Later, Until: now.Add(maxPause), Detail: Harmless("the score is not known yet: "+err.Error(), MaxDetail)}
		if busy, ok := errors.AsType[*Unavailable](err); ok {
			out.Until = busy.Until
		}
		out.Until = earlier(out.Until, item.Report.Judged.Add(maxScoreWait))
		return out
	}
	if err != nil {
		score.Missing = "it could not be obtained:  " + err.Error()
	}
	switch {
	case score.Known && !wanted.Holds(score.Value):
		return Outcome{Result: Dismissed, Detail: fmt.Sprintf("the score is %d, the policy wants %d to %d", score.Value, wanted.MinScore, wanted.MaxScore)}
	case score.Known:
		item.Report.Score = &score.Value
	case wanted.DropUnknown:
		return Outcome{Result: Dismissed, Detail: Harmless("the policy drops what has no score: "+score.Missing, MaxDetail)}
	default:
		item.Report.ScoreMissing = Harmless(score.Missing, MaxDetail)
	}
	return Outcome{}
}

// settle writes down what became of an attempt, and tells.
func (c *Courier) settle(ctx context.Context, item store.Item, out Outcome) error {
	now := c.o.Now()
	s := store.Settlement{State: state(out.Result), At: now, Detail: out.Detail}
	switch s.State {
	case store.Pending:
		if s.UnansweredSince = item.UnansweredSince; s.UnansweredSince.IsZero() && out.Unanswered {
			s.UnansweredSince = now
		}
		s.RetryAt = c.health.retryAt(item, out, s.UnansweredSince, c.duplicateWindow(), now)
	case store.Expired:
		s.UnansweredSince = item.UnansweredSince
	}
	err := c.untilRoom(ctx, func() error { return c.outbox.Settle(ctx, item.ID, s) })
	if errors.Is(err, store.ErrNotClaimed) { // let go of meanwhile, for want of room
		c.o.Logger.Warn("an item was settled without its courier", "destination", c.Destination(), "id", item.ID, "result", out.Result.String())
	} else if err != nil {
		return fmt.Errorf("settle %s for %s: %w", item.ID, c.Destination(), err)
	}
	c.publish(ctx)
	c.tell(item, out, now)
	return nil
}

// untilRoom writes until there is room for it: it was sent, and that must be written down before anything else is.
func (c *Courier) untilRoom(ctx context.Context, write func() error) error {
	for {
		err := write()
		if !errors.Is(err, store.ErrFull) {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(time.Second):
		}
	}
}

// tell counts what became of an item, and tells who wants to know.
func (c *Courier) tell(item store.Item, out Outcome, now time.Time) {
	c.counts[out.Result].Add(1)
	if latency := now.Sub(item.Report.Judged); c.o.Observe != nil && latency >= 0 && (out.Result == Delivered || out.Result == Duplicate) {
		c.o.Observe(latency)
	}
	if out.Result == Rejected {
		c.o.Logger.Warn("a report was rejected", "destination", c.Destination(), "id", item.ID, "address", item.Report.Addr, "detail", out.Detail)
	}
	if c.o.OnSettled != nil {
		c.o.OnSettled(item, out)
	}
}

// state returns the state in which a result leaves an item.
func state(r Result) store.State {
	switch r {
	case Delivered:
		return store.Delivered
	case DryRun:
		return store.DryRun
	case Duplicate:
		return store.Duplicate
	case Rejected:
		return store.Rejected
	case Dismissed:
		return store.Dismissed
	case Expired:
		return store.Expired
	default:
		return store.Pending
	}
}
