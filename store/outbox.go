package store

import (
	"context"
	"fmt"
	"time"
)

// longWait is the longest that an item is ever put off. One that seems to wait for longer was put off by a clock that was ahead.
const longWait = 48 * time.Hour

// patience is how many claims in a row go by rank: after that one goes to the item that waits for longest, so that none starves.
const patience = 7

// Outbox is the reports for one destination. An item is claimed before it is sent, and settled after; both are durable
// when the call returns. While it is claimed nobody else gets it. After a crash Recover decides about what was claimed.
// It may be used by several goroutines at once.
type Outbox struct {
	c           *Committer
	destination string
	changed     chan struct{}
	claims      int // since one went to the item that waits for longest; for the committer alone
}

// Outbox returns the outbox of a destination, always the same one.
func (c *Committer) Outbox(destination string) *Outbox {
	c.mu.Lock()
	defer c.mu.Unlock()
	o := c.outboxes[destination]
	if o == nil {
		o = &Outbox{c: c, destination: destination, changed: make(chan struct{}, 1)}
		c.outboxes[destination] = o
	}
	return o
}

// Changed gives a hint that something may have become due: it was added, or put off. Hints that nobody takes become one.
func (o *Outbox) Changed() <-chan struct{} { return o.changed }

// Claim takes an item that is due at now: of the most urgent rank the one that is due for longest, and every eighth time the one
// that is due for longest of all. What its address did since it was judged joins it. The intent to send it is durable on
// return. Where nothing is due, ok is false and next says when to look again; zero means that nothing waits.
func (o *Outbox) Claim(ctx context.Context, now time.Time) (item Item, ok bool, next time.Time, err error) {
	if next, err = o.next(now); err != nil || next.IsZero() || next.After(now) {
		return Item{}, false, next, err
	}
	err = o.c.Do(ctx, func(tx *WriteTx) error {
		item, ok, err = o.take(tx, now)
		return err
	})
	if err != nil {
		return Item{}, false, time.Time{}, fmt.Errorf("claim for %s: %w", o.destination, err)
	}
	if !ok {
		next, err = o.next(now)
		return Item{}, false, next, err
	}
	return item, true, time.Time{}, nil
}

// take claims one item that is due; ok is false if none is.
func (o *Outbox) take(tx *WriteTx, now time.Time) (item Item, ok bool, err error) {
	tx.wrote = true // also where only what leads nowhere is cleaned up
	first, seq, err := o.choose(tx.w, now)
	if err != nil || first == nil {
		return Item{}, false, err
	}
	if err = tx.w.join(first, claimNewest); err != nil {
		return Item{}, false, err
	}
	err = tx.w.change(first, seq, func(i *Item) {
		i.State, i.Claimed, i.Attempts = Claimed, now, i.Attempts+1
		tx.w.rank(i)
	})
	return *first, err == nil, err
}

// choose returns the item that is to be claimed next, nil if none is due.
func (o *Outbox) choose(w *work, now time.Time) (first *Item, seq []byte, err error) {
	byAge := o.claims >= patience
	for rank := range ranks(w.tx, o.destination) {
		item, at, err := w.firstDue(o.destination, Pending, rank)
		switch {
		case err != nil:
			return nil, nil, err
		case item == nil || !due(item.NextAttempt, now):
			continue
		case !byAge:
			o.claims++
			return item, at, nil
		case first == nil || item.NextAttempt.Before(first.NextAttempt):
			first, seq = item, at
		}
	}
	if first != nil {
		o.claims = 0
	}
	return first, seq, nil
}

// due reports whether an item that waits until at is due at now.
func due(at, now time.Time) bool { return !at.After(now) || at.Sub(now) > longWait }

// next returns when the first item is due, zero if there is none.
func (o *Outbox) next(now time.Time) (time.Time, error) {
	var next time.Time
	err := o.c.store.backend.View(func(tx ReadTx) error {
		for rank := range ranks(tx, o.destination) {
			tx.Scan(Due, dueFrom(o.destination, Pending, rank), dueUpTo(o.destination, Pending, rank), false, func(k, _ []byte) bool {
				place, _, ok := splitDue(k)
				at := time.Unix(0, int64(place)).UTC()
				if !ok || due(at, now) {
					at = now
				}
				if next.IsZero() || at.Before(next) {
					next = at
				}
				return false
			})
		}
		return nil
	})
	if err != nil {
		return time.Time{}, fmt.Errorf("look into the outbox of %s: %w", o.destination, err)
	}
	return next, nil
}

// Settle says what became of a claimed item. It is durable on return. For an item that is not claimed the error is
// ErrNotClaimed.
func (o *Outbox) Settle(ctx context.Context, id string, s Settlement) error {
	if s.State != Pending && !s.State.Final() {
		return fmt.Errorf("settle %s: %s is not a final state", id, s.State)
	}
	err := o.c.Do(ctx, func(tx *WriteTx) error { return o.settle(tx, id, s) })
	if err != nil {
		return fmt.Errorf("settle %s: %w", id, err)
	}
	return nil
}

// settle settles one item.
func (o *Outbox) settle(tx *WriteTx, id string, s Settlement) error {
	item, seq := tx.w.find(id)
	if item == nil || item.State != Claimed || item.Report.Destination != o.destination {
		return ErrNotClaimed
	}
	tx.wrote = true
	return tx.w.change(item, seq, func(i *Item) {
		i.State, i.Detail, i.Settled, i.UnansweredSince = s.State, s.Detail, or(s.At, i.Claimed), s.UnansweredSince
		if s.State == Pending {
			i.NextAttempt = s.RetryAt
		}
		tx.w.rank(i)
	})
}

// Recover decides about the items that are claimed, before anybody claims one: nobody knows whether they were sent. It goes by u
// whether they are sent again.
func (o *Outbox) Recover(ctx context.Context, now time.Time, u Uncertainty) (Recovered, error) {
	var r Recovered
	err := o.c.Do(ctx, func(tx *WriteTx) error {
		r = Recovered{}
		for {
			item, seq, err := tx.w.firstDue(o.destination, Claimed, 0)
			if err != nil || item == nil {
				return err
			}
			tx.wrote = true
			again := u.Resend(item.Claimed, now)
			err = tx.w.change(item, seq, func(i *Item) {
				i.State = Pending // due since it was claimed, so it goes out before what came later
				i.Detail = "the sending was cut off"
				if i.UnansweredSince.IsZero() {
					i.UnansweredSince = i.Claimed
				}
				tx.w.rank(i)
				if !again {
					i.State, i.Settled = Expired, now
					i.Detail = "the sending was cut off, and nobody knows whether it arrived: dropped"
				}
			})
			if err != nil {
				return err
			}
			if again {
				r.Again++
			} else {
				r.Dropped++
			}
		}
	})
	if err != nil {
		return Recovered{}, fmt.Errorf("recover the outbox of %s: %w", o.destination, err)
	}
	return r, nil
}

// notify wakes who waits for Changed.
func (o *Outbox) notify() {
	select {
	case o.changed <- struct{}{}:
	default:
	}
}
