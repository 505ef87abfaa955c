package report

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"tattled/event"
	"tattled/store"
)

const (
	// bulkWorth is how many reports must wait for the first bulk request to go right when single ones are out of quota.
	bulkWorth = 1000
	// bulkAssumed is how many bulk requests are taken to be left before the destination has said: so many has the smallest plan.
	bulkAssumed = 5
	// bulkLull is the least time between two bulk requests that are not full.
	bulkLull = time.Minute
	// quotaPause is from when on a pause whose end was named is one for a used-up quota, which bulk requests are for: others pass soon.
	quotaPause = 15 * time.Minute
	// chunk is how many items are claimed or settled in one transaction: others want to write as well.
	chunk = 1000
	// maxBulkPause bounds the pause after a bulk request failed. It may have counted, and there are few.
	maxBulkPause = time.Hour
)

// bulkOutbox is an outbox that many items can be taken from at once: *store.Outbox.
type bulkOutbox interface {
	Waiting() int
	ClaimUpTo(ctx context.Context, now time.Time, n int) ([]store.Item, error)
	SettleAll(ctx context.Context, all []store.Settled) (notClaimed []string, err error)
}

// bulk is how a Courier uses bulk requests; sender is nil if it cannot.
type bulk struct {
	sender   BulkSender
	outbox   bulkOutbox
	last     time.Time // the last request, or since when single ones have been out of quota; zero while they are not
	begun    bool      // last is a request
	resume   time.Time // no request before: the destination said so, or the last ones failed
	failures int
	scope    string // what resume is about
}

func newBulk(s Sender, o outbox) bulk {
	sender, sends := s.(BulkSender)
	box, claims := o.(bulkOutbox)
	if !sends || !claims {
		return bulk{}
	}
	return bulk{sender: sender, outbox: box}
}

// due returns how many reports are to go by a bulk request now, 0 if none is to be made; then at is when to look again, zero for when
// something else changes.
//
// There are two cases. While single reports are out of quota, what waits goes by the bulk requests that are left, evenly spread over
// the time to the reset, and at once when a request is full or when it is the first and many wait. And while single ones go, which count
// at once, a bulk request is made where it is full of what is too much for them.
func (b *bulk) due(now time.Time, h *health, scope string) (n int, at time.Time) {
	if b.sender == nil {
		return 0, time.Time{}
	}
	if b.scope != scope { // another key has quotas of its own
		*b = bulk{sender: b.sender, outbox: b.outbox, scope: scope}
	}
	bounds, waiting := b.sender.Bulk(), b.outbox.Waiting()
	out := h.paused && h.named && h.resume.Sub(now) > 0 && (!b.last.IsZero() || h.resume.Sub(now) > quotaPause)
	if !out {
		b.last, b.begun = time.Time{}, false
	} else if b.last.IsZero() {
		b.last = now
	}
	switch {
	case bounds.Reports == 0 || bounds.Requests == 0 || waiting == 0:
		return 0, time.Time{}
	case now.Before(b.resume):
		return 0, b.resume
	case out:
		return b.spread(now, h.resume, waiting, bounds)
	case h.resume.After(now): // it fails, or is closed for a moment
		return 0, time.Time{}
	case bounds.Singles >= 0 && int64(waiting)-bounds.Singles >= int64(bounds.Reports):
		return bounds.Reports, time.Time{}
	}
	return 0, time.Time{}
}

// spread spreads bulk requests over the time until the quota is reset. The last one goes shortly before that: what comes later need not
// wait long for single reports to go again.
func (b *bulk) spread(now, reset time.Time, waiting int, bounds BulkBounds) (n int, at time.Time) {
	if reset.Sub(now) < quotaPause/2 {
		return 0, reset
	}
	if waiting >= bounds.Reports || waiting >= bulkWorth && !b.begun || b.failures == 1 {
		return bounds.Reports, time.Time{}
	}
	left := bounds.Requests
	if left < 0 {
		left = bulkAssumed
	}
	at = b.last.Add(max(reset.Add(-quotaPause).Sub(b.last)/time.Duration(left), bulkLull))
	if now.Before(at) {
		return 0, at
	}
	return bounds.Reports, time.Time{}
}

// note takes in what became of a request. After the first one that failed another goes soon, because within the duplicate window it
// shows which reports arrived; then there must be time between them, as they may count.
func (b *bulk) note(out Outcome, now time.Time) {
	if !b.last.IsZero() {
		b.last, b.begun = now, true
	}
	if out.Result == Delivered {
		b.failures, b.resume = 0, time.Time{}
		return
	}
	b.failures++
	b.resume = now.Add(min(time.Minute<<min(b.failures-1, 10), maxBulkPause))
	if out.Until.After(now) {
		b.resume = earlier(out.Until, now.Add(maxNamedPause))
	}
}

// sendBulk claims up to n items, and sends those of them in one request that may be sent.
func (c *Courier) sendBulk(ctx context.Context, now time.Time, n int) error {
	going, cancel := withGrace(ctx)
	defer cancel()
	items, err := c.claimUpTo(going, now, n)
	if err != nil {
		return fmt.Errorf("claim items for %s: %w", c.Destination(), err)
	}
	if ctx.Err() != nil { // not begun: give them back as they were
		return c.settleAll(going, items, make([]Outcome, len(items)), now)
	}
	send, err := c.sift(going, items, now)
	if err != nil {
		return err
	}
	if len(send) == 0 {
		c.bulk.resume = now.Add(bulkLull) // what is left is not for bulk requests
		return nil
	}
	var reports []*event.Report
	for i := range send {
		reports = append(reports, &send[i].Report)
	}
	each, request := c.bulk.sender.SendBulk(going, reports)
	if going.Err() != nil && request.Result == Later {
		return going.Err() // cut off by the end: the items stay claimed, which says that they may have arrived
	}
	after := c.o.Now()
	if request.Result != 0 {
		c.bulk.note(request, after)
		level := slog.LevelWarn
		if request.Result == Delivered {
			level = slog.LevelInfo
		}
		c.o.Logger.Log(ctx, level, "sent reports by bulk request", "destination", c.Destination(), "reports", len(reports), "result", request.Result.String(), "detail", request.Detail)
	}
	if request.Result == Paused && request.Until.IsZero() { // the key or the account: single reports fare no better
		c.health.note(request, c.scope(), after)
	}
	return c.settleAll(going, send, each, after)
}

// claimUpTo claims up to n items; fewer where no more are due, or where there is no room to write that down.
func (c *Courier) claimUpTo(ctx context.Context, now time.Time, n int) (all []store.Item, err error) {
	for len(all) < n {
		part, err := c.bulk.outbox.ClaimUpTo(ctx, now, min(n-len(all), chunk))
		if errors.Is(err, store.ErrFull) {
			return all, nil
		}
		if err != nil {
			return nil, err
		}
		if all = append(all, part...); len(part) < chunk {
			break
		}
	}
	return all, nil
}

// sift settles those items that must not be sent, or not by bulk request, and returns the others.
func (c *Courier) sift(ctx context.Context, items []store.Item, now time.Time) ([]store.Item, error) {
	var send, rest []store.Item
	var outs []Outcome
	for _, item := range items {
		out := c.veto(&item, now)
		if out.Result == 0 {
			out = c.checkReputation(ctx, &item, now)
		}
		if out.Result == 0 && !item.UnansweredSince.IsZero() && c.uncertainty().After == store.Drop {
			// It must not be told of twice, and nobody knows whether the destination recognizes by bulk what it got before.
			out = Outcome{Result: Later, Until: item.UnansweredSince.Add(c.duplicateWindow()), Detail: item.Detail}
		}
		if out.Result == 0 {
			send = append(send, item)
			continue
		}
		rest, outs = append(rest, item), append(outs, out)
	}
	return send, c.settleAll(ctx, rest, outs, now)
}

// settleAll writes down what became of items. Those that wait on keep their place in the queue.
func (c *Courier) settleAll(ctx context.Context, items []store.Item, outs []Outcome, now time.Time) error {
	if len(items) == 0 {
		return nil
	}
	var all []store.Settled
	for i, item := range items {
		s := store.Settlement{State: state(outs[i].Result), At: now, Detail: outs[i].Detail, UnansweredSince: item.UnansweredSince}
		switch s.State {
		case store.Pending:
			if s.UnansweredSince.IsZero() && outs[i].Unanswered {
				s.UnansweredSince = now
			}
			if s.Detail == "" {
				s.Detail = item.Detail
			}
			s.RetryAt = later(item.NextAttempt, earlier(outs[i].Until, now.Add(maxNamedPause)))
			if outs[i].Result == Paused { // the destination is closed, the item is not at fault
				s.RetryAt = item.NextAttempt
			}
		case store.Expired:
		default:
			s.UnansweredSince = time.Time{}
		}
		all = append(all, store.Settled{ID: item.ID, Settlement: s})
	}
	for part := range slices.Chunk(all, chunk) {
		if err := c.untilRoom(ctx, func() error { return c.writeAll(ctx, part) }); err != nil {
			return fmt.Errorf("settle %d items for %s: %w", len(all), c.Destination(), err)
		}
	}
	c.publish(ctx)
	for i, item := range items {
		if all[i].State.Final() {
			c.tell(item, outs[i], now)
		} else { // the request is in the log: ten thousand lines would say the same
			c.counts[outs[i].Result].Add(1)
		}
	}
	return nil
}

func (c *Courier) writeAll(ctx context.Context, all []store.Settled) error {
	missed, err := c.bulk.outbox.SettleAll(ctx, all)
	for _, id := range missed { // let go of meanwhile, for want of room
		c.o.Logger.Warn("an item was settled without its courier", "destination", c.Destination(), "id", id)
	}
	return err
}
