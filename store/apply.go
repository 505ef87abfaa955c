package store

import (
	"errors"

	"tattled/event"
)

// Apply commits events in a transaction of its own, up to the first one that has a report due, and returns how many that are. It
// is for a replay, which has the time of its records: whoever carries reports then does it at the time of that event, as in a
// daemon, and not after all that came later. There must be no Run, and one goroutine calls it at a time. OnCommit is told as always.
func (c *Committer) Apply(events []event.Event) (taken int, err error) {
	c.committing.Lock()
	defer c.committing.Unlock()
	c.mu.Lock()
	running, failed := c.running, c.err
	c.mu.Unlock()
	switch {
	case running:
		return 0, errors.New("the committer runs: events are submitted to it")
	case failed != nil:
		return 0, failed
	}
	g := &group{events: events, first: true}
	switch err := c.transact(g); {
	case errors.Is(err, ErrFull):
		return 0, err
	case err != nil:
		return 0, c.fail(g, err)
	}
	return len(g.events), nil
}
