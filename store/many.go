package store

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Settled is a settlement with the ID of its item.
type Settled struct {
	ID string
	Settlement
}

// Waiting returns how many items wait, due or not. It is cheap: nothing is read.
func (o *Outbox) Waiting() int {
	s := o.c.store
	s.mu.Lock()
	defer s.mu.Unlock()
	return int(s.counts.items[itemsKey{o.destination, Pending}])
}

// ClaimUpTo claims at most n items that are due at now, in the order of Claim and with its promise for each: in one transaction, so of
// some thousand at most, because others want to write as well.
func (o *Outbox) ClaimUpTo(ctx context.Context, now time.Time, n int) ([]Item, error) {
	if next, err := o.next(now); err != nil || next.IsZero() || next.After(now) {
		return nil, err
	}
	var all []Item
	err := o.c.Do(ctx, func(tx *WriteTx) error {
		all = all[:0]
		for len(all) < n {
			item, ok, err := o.take(tx, now)
			if err != nil || !ok {
				return err
			}
			all = append(all, item)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("claim many for %s: %w", o.destination, err)
	}
	return all, nil
}

// SettleAll says what became of many claimed items, in one transaction, like ClaimUpTo. It is durable on return. Items that are not claimed are left as they are, and their IDs returned.
func (o *Outbox) SettleAll(ctx context.Context, all []Settled) (notClaimed []string, err error) {
	for _, s := range all {
		if s.State != Pending && !s.State.Final() {
			return nil, fmt.Errorf("settle %s: %s is not a final state", s.ID, s.State)
		}
	}
	err = o.c.Do(ctx, func(tx *WriteTx) error {
		notClaimed = notClaimed[:0]
		for _, s := range all {
			if err := o.settle(tx, s.ID, s.Settlement); errors.Is(err, ErrNotClaimed) {
				notClaimed = append(notClaimed, s.ID)
			} else if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("settle %d items of %s: %w", len(all), o.destination, err)
	}
	return notClaimed, nil
}
