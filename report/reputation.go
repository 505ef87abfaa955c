package report

import (
	"context"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"
)

// knownFor is how long a score is good.
const knownFor = 24 * time.Hour

// checker asks for an address's score, counting reports of at most maxAge. The outcome is Delivered when score holds,
// DryRun when there is nobody to ask, Rejected when the score of this address cannot be known, Later or Closed when it
// cannot be had at present. *abuseipdb.Client is one.
type checker interface {
	Check(ctx context.Context, addr netip.Addr, maxAge time.Duration) (score int, out Outcome)
}

// Reputation knows addresses' scores: from the store for a day, else by asking. It asks once for an address, however many
// want to know, and backs off when it gets no answer. It is safe for concurrent use.
//
// The store keeps one score an address. Where policies differ in their maximum age, the answer to the first that asked
// serves all of them for a day.
type Reputation struct {
	checker checker
	score   func(addr netip.Addr) (score int, at time.Time, ok bool)
	put     func(ctx context.Context, addr netip.Addr, score int, at time.Time) error
	flight  singleflight.Group

	mu       sync.Mutex
	failures int
	since    time.Time // of the first failure in a row
	resume   time.Time // nobody is asked before
	why      string
}

// NewReputation returns a Reputation that asks c and keeps scores by score and put: store.Store.Score and
// store.Committer.PutScore. Nil for both keeps nothing.
func NewReputation(c checker, score func(netip.Addr) (int, time.Time, bool), put func(context.Context, netip.Addr, int, time.Time) error) *Reputation {
	return &Reputation{checker: c, score: score, put: put}
}

// Unavailable is the error of a score that cannot be had at present.
type Unavailable struct {
	Until  time.Time // when to ask again
	Detail string    // why, harmless to show
}

func (u *Unavailable) Error() string { return u.Detail }

// Check returns addr's score, counting reports of at most maxAge. Not known and no error means that it cannot be known:
// there is no key, or the address has no score. An error is an *Unavailable.
func (r *Reputation) Check(ctx context.Context, addr netip.Addr, maxAge time.Duration) (score int, known bool, err error) {
	addr = addr.Unmap().WithZone("")
	now := time.Now()
	if r.score != nil {
		if score, at, ok := r.score(addr); ok && now.Sub(at) < knownFor && now.Sub(at) > -knownFor {
			return score, true, nil
		}
	}
	type answer struct {
		score int
		known bool
	}
	v, err, _ := r.flight.Do(fmt.Sprint(addr, maxAge), func() (any, error) {
		score, known, err := r.ask(ctx, addr, maxAge, now)
		return answer{score, known}, err
	})
	a := v.(answer)
	return a.score, a.known, err
}

// ask asks, unless it is too early after a failure.
func (r *Reputation) ask(ctx context.Context, addr netip.Addr, maxAge time.Duration, now time.Time) (score int, known bool, err error) {
	r.mu.Lock()
	resume, why := r.resume, r.why
	r.mu.Unlock()
	if now.Before(resume) {
		return 0, false, &Unavailable{Until: resume, Detail: why}
	}
	score, out := r.checker.Check(ctx, addr, maxAge)
	switch out.Result {
	case Delivered, DryRun, Rejected:
		r.mu.Lock()
		r.failures, r.resume, r.why = 0, time.Time{}, ""
		r.mu.Unlock()
		if out.Result != Delivered {
			return 0, false, nil
		}
		if r.put != nil {
			// A store that does not take it costs another question; the courier's next item shows that it fails.
			_ = r.put(ctx, addr, score, time.Now())
		}
		return score, true, nil
	default:
		return 0, false, r.fail(out, time.Now())
	}
}

// Problem says why scores cannot be had at present, "" if nothing is known against it. The text is harmless to show.
func (r *Reputation) Problem(now time.Time) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.failures == 0 {
		return ""
	}
	return fmt.Sprintf("scores of addresses cannot be had since %s, next try %s: %s. What waits for one goes out without it after %s",
		r.since.UTC().Format(time.RFC3339), later(r.resume, now).UTC().Format(time.RFC3339), r.why, hopeless)
}

// fail takes in a failure: nobody is asked until the time that out names, or the back-off is over.
func (r *Reputation) fail(out Outcome, now time.Time) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.failures == 0 {
		r.since = now
	}
	r.failures++
	r.why = out.Detail
	r.resume = now.Add(jitter(r.failures, maxBackOff))
	if out.Until.After(now) {
		r.resume = earlier(out.Until, now.Add(maxClosed))
	}
	return &Unavailable{Until: r.resume, Detail: r.why}
}
