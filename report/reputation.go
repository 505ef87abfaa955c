package report

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/singleflight"

	"tattled/event"
	"tattled/store"
)

// knownFor is how long a score is good.
const knownFor = 24 * time.Hour

// checker asks for an address's score, counting reports of at most maxAge, which is whole days. The outcome is Delivered when score
// holds, DryRun when there is nobody to ask, Rejected when the score of this address cannot be known, Dismissed when nobody may be
// asked about this address, Later or Paused when it cannot be obtained at present. Scope says whose answers these are: what was paused for
// one is not for another. *abuseipdb.Client is one.
type checker interface {
	Check(ctx context.Context, addr netip.Addr, maxAge time.Duration) (score int, out Outcome)
	Scope() string
}

// Reputation knows addresses' scores: from the store for a day, else by asking. It asks once for an address, however many
// want to know, and backs off when it gets no answer. It is safe for concurrent use.
//
// The store keeps one score for each address and maximum age: a score of the reports of 30 days says nothing about those of 90.
type Reputation struct {
	Budget *Budget // how many it may ask for; nil has no bound. Set it before the first Check

	checker checker
	score   func(addr netip.Addr, maxAge time.Duration) (store.Score, bool)
	put     func(ctx context.Context, addr netip.Addr, s store.Score) error
	flight  singleflight.Group
	counts  [lookupEnd]atomic.Uint64

	mu       sync.Mutex
	scope    string // whom failures are of
	failures int
	since    time.Time // of the first failure in a row
	resume   time.Time // nobody is asked before
	why      string
}

// Lookup is how a lookup of a score ended. Its text form is a metric's label.
type Lookup uint8

// The lookups.
const (
	LookupCached  Lookup = iota // the store had the score
	LookupKnown                 // it was asked for
	LookupUnknown               // it was asked for, and cannot be known
	LookupNoKey                 // nobody was asked: there is no key
	LookupRefused               // nobody was asked: the gate does not let the address out
	LookupFailed                // there was no answer, or no score in it
	LookupBudget                // nobody was asked: the day's budget is used up
	lookupEnd
)

// Lookups lists every one, in order.
func Lookups() []Lookup {
	var all []Lookup
	for l := range lookupEnd {
		all = append(all, l)
	}
	return all
}

func (l Lookup) String() string {
	return [...]string{"cached", "known", "unknown", "no-key", "refused", "failed", "over-budget"}[l]
}

// NewReputation returns a Reputation that asks c and keeps scores by score and put: store.Store.Score and
// store.Committer.PutScore. Nil for both keeps nothing.
func NewReputation(c checker, score func(netip.Addr, time.Duration) (store.Score, bool), put func(context.Context, netip.Addr, store.Score) error) *Reputation {
	return &Reputation{checker: c, score: score, put: put}
}

// Count returns how many lookups ended as l.
func (r *Reputation) Count(l Lookup) uint64 { return r.counts[l].Load() }

// Unavailable is the error of a score that cannot be had at present.
type Unavailable struct {
	Until  time.Time // when to ask again
	Detail string    // why, harmless to show
}

func (u *Unavailable) Error() string { return u.Detail }

// Score is what is known of an address's score.
type Score struct {
	Value   int // 0 to 100
	Known   bool
	Missing string // why it is not known, harmless to show
}

// Check returns addr's score, counting reports of at most maxAge, rounded up to days. A score that is not Known cannot be known, now
// or later: there is no key, the address has no score, or it is one that nobody may be asked about. An error is an *Unavailable.
func (r *Reputation) Check(ctx context.Context, addr netip.Addr, maxAge time.Duration) (Score, error) {
	addr = addr.Unmap().WithZone("")
	const day = 24 * time.Hour
	maxAge = (maxAge + day - 1) / day * day
	v, err, _ := r.flight.Do(fmt.Sprint(addr, maxAge), func() (any, error) { return r.find(ctx, addr, maxAge, time.Now()) })
	return v.(Score), err
}

// find looks into the store, and asks if that does not know. It is called for one who wants to know at a time: whoever comes after the
// answer finds it in the store.
func (r *Reputation) find(ctx context.Context, addr netip.Addr, maxAge time.Duration, now time.Time) (Score, error) {
	if r.score != nil {
		if s, ok := r.score(addr, maxAge); ok && s.MaxAge == maxAge && now.Sub(s.At) < knownFor && now.Sub(s.At) > -knownFor {
			r.counts[LookupCached].Add(1)
			return Score{Value: s.Value, Known: true}, nil
		}
	}
	return r.ask(ctx, addr, maxAge, now)
}

// ask asks, unless it is too early after a failure or the budget is used up.
func (r *Reputation) ask(ctx context.Context, addr netip.Addr, maxAge time.Duration, now time.Time) (Score, error) {
	if err := r.paused(now); err != nil {
		return Score{}, err
	}
	if err := r.Budget.spend(ctx, now); err != nil {
		r.counts[LookupBudget].Add(1)
		return Score{}, err
	}
	value, out := r.checker.Check(ctx, addr, maxAge)
	if out.Result == DryRun || out.Result == Dismissed {
		r.Budget.refund() // there was no request
	}
	switch out.Result {
	case Delivered:
		r.succeed()
		r.counts[LookupKnown].Add(1)
		if r.put != nil {
			// A store that does not take it costs another question; the courier's next item shows that it fails.
			_ = r.put(ctx, addr, store.Score{Value: value, MaxAge: maxAge, At: time.Now()})
		}
		return Score{Value: value, Known: true}, nil
	case DryRun:
		r.succeed()
		r.counts[LookupNoKey].Add(1)
	case Rejected:
		r.succeed()
		r.counts[LookupUnknown].Add(1)
	case Dismissed: // which says nothing about who answers
		r.counts[LookupRefused].Add(1)
	default:
		r.counts[LookupFailed].Add(1)
		return Score{}, r.fail(out, time.Now())
	}
	return Score{Missing: out.Detail}, nil
}

// paused returns an error while it is too early to ask again. With another key or server, it is not.
func (r *Reputation) paused(now time.Time) error {
	scope := r.checker.Scope()
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.scope != scope {
		r.scope, r.failures, r.resume, r.why = scope, 0, time.Time{}, ""
	}
	if now.Before(r.resume) {
		return &Unavailable{Until: r.resume, Detail: r.why}
	}
	return nil
}

func (r *Reputation) succeed() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.failures, r.resume, r.why = 0, time.Time{}, ""
}

// Problems says why scores cannot be had at present; there is none if nothing is known against it. The texts are harmless to show.
func (r *Reputation) Problems(now time.Time) []event.Problem {
	scope, spent := r.checker.Scope(), r.Budget.problems(now)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.failures == 0 || r.scope != scope {
		return spent
	}
	return append(spent, event.Problem{
		What: "scores of addresses cannot be obtained",
		Cause: fmt.Sprintf("%s; next try %s. What waits for one goes out without it after %d minutes, or is dropped where the policy has reputation.unknown: drop",
			strings.TrimRight(r.why, ". "), later(r.resume, now).UTC().Format(time.RFC3339), int(maxScoreWait.Minutes())),
		Remedy: "check whether report.abuseipdb.key_file has a valid key, how many checks a day its plan allows, and whether report.abuseipdb.url answers from this machine",
		Since:  r.since,
	})
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
	r.resume = now.Add(jitter(r.failures, maxBackOff, rand.N[time.Duration]))
	if out.Until.After(now) {
		r.resume = earlier(out.Until, now.Add(maxNamedPause))
	}
	return &Unavailable{Until: r.resume, Detail: r.why}
}
