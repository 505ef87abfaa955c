package report

import (
	"context"
	"encoding/binary"
	"fmt"
	"sync"
	"time"

	"tattled/event"
)

// Budget is how many scores may be asked for in a day of UTC, which is AbuseIPDB's. It is spent before the request, and durably, so
// that no crash makes it larger. The zero value has no bound.
type Budget struct {
	Limit   func() int // requests a day; nil or 0 has no bound
	Note    func(key string) []byte
	PutNote func(ctx context.Context, key string, value []byte) error

	mu     sync.Mutex
	loaded bool
	day    int64 // since 1970
	spent  int
	denied time.Time // when more than it has was wanted first; zero: never on that day
}

// budgetNote is the note of a Budget: the day and what was spent, as two varints.
const budgetNote = "checks"

const daySeconds = 24 * 60 * 60

// limit returns the bound of now, 0 for none.
func (b *Budget) limit() int {
	if b == nil || b.Limit == nil {
		return 0
	}
	return b.Limit()
}

// turn begins another day. b.mu is held.
func (b *Budget) turn(now time.Time) {
	if !b.loaded && b.Note != nil {
		note := b.Note(budgetNote)
		if day, n := binary.Varint(note); n > 0 {
			if spent, m := binary.Varint(note[n:]); m > 0 && spent >= 0 {
				b.day, b.spent = day, int(spent)
			}
		}
	}
	b.loaded = true
	// A clock that is put back over midnight brings no second budget; one that was far ahead does not withhold one for years.
	if day := now.Unix() / daySeconds; day > b.day || b.day-day > 1 {
		b.day, b.spent, b.denied = day, 0, time.Time{}
	}
}

// spend takes one request, or says until when there is none.
func (b *Budget) spend(ctx context.Context, now time.Time) error {
	limit := b.limit()
	if limit == 0 {
		return nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.turn(now)
	if b.spent >= limit {
		if b.denied.IsZero() {
			b.denied = now
		}
		return &Unavailable{Until: time.Unix((b.day+1)*daySeconds, 0), Detail: fmt.Sprintf("the budget of %d lookups a day is used up", limit)}
	}
	b.spent++
	b.denied = time.Time{}
	if b.PutNote == nil {
		return nil
	}
	if err := b.PutNote(ctx, budgetNote, binary.AppendVarint(binary.AppendVarint(nil, b.day), int64(b.spent))); err != nil {
		return &Unavailable{Until: now.Add(maxPause), Detail: "the state file does not accept what was asked: " + Harmless(err.Error(), MaxDetail)}
	}
	return nil
}

// refund gives back a request that was not made.
func (b *Budget) refund() {
	if b.limit() == 0 {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.spent = max(b.spent-1, 0)
}

// problems says that the budget was used up and more was wanted.
func (b *Budget) problems(now time.Time) []event.Problem {
	limit := b.limit()
	if limit == 0 {
		return nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.turn(now)
	if b.denied.IsZero() || b.spent < limit {
		return nil
	}
	return []event.Problem{{
		What: "no more scores of addresses are looked up today",
		Cause: fmt.Sprintf("%d were, which is all that report.abuseipdb.checks allows in a day of UTC; what needs one goes out without it after %d minutes, or is dropped where the policy has reputation.unknown: drop",
			b.spent, int(maxScoreWait.Minutes())),
		Remedy: "raise report.abuseipdb.checks if the plan has more checks a day, or let fewer policies ask for a score (reputation)",
		Since:  b.denied,
	}}
}
