package store

import (
	"time"

	"tattled/event"
	"tattled/policy"
)

// restoredNote is the note that says when the store was restored.
const restoredNote = "restored"

// clockSlack is how much earlier than the restoration it may seem to be before the clock that dated it counts as wrong.
const clockSlack = 5 * time.Minute

// Restored says that the file was damaged or missing and something older took its place. Its zero value says that it never
// was.
type Restored struct {
	At   time.Time // when
	UpTo time.Time // events up to here may have been judged, and the judgement was lost
}

// Within reports whether now is within a time after the restoration. Where it is much earlier, the restoration was dated
// by a clock that was ahead: nothing may depend on it.
func (r Restored) Within(after time.Duration, now time.Time) bool {
	return !r.At.IsZero() && after > 0 && now.Before(r.At.Add(after)) && now.After(r.At.Add(-clockSlack))
}

// Restored returns the last restoration.
func (s *Store) Restored() Restored {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.restored
}

// loadRestored reads the mark that Salvage left.
func (s *Store) loadRestored(tx ReadTx) {
	key := noteKey(restoredNote)
	payload, ok := unseal(Notes, key, tx.Get(Notes, key))
	if !ok || len(payload) == 0 {
		return
	}
	d := decoder{b: payload[1:]}
	if r := (Restored{d.time(), d.time()}); d.done() {
		s.restored = r
	}
}

// holds reports whether the store was restored so short a time ago that a window of a destination may still be open that
// nobody knows of.
func (c *Committer) holds(now time.Time) bool {
	for _, window := range c.options.Hold {
		if c.store.restored.Within(window, now) {
			return true
		}
	}
	return false
}

// judgeHeld judges e while the store holds reports back. An event from before the restoration is read for the second time,
// or its effects are in what was salvaged: it is kept and shown, and nothing follows from it. Where an address was seen
// before and its state was lost, nobody knows whether it was reported: its reports open their windows and go nowhere.
func (w *work) judgeHeld(a *address, e *event.Event, p *policy.Policy) {
	upTo := w.s.restored.UpTo.UnixMilli()
	if min(milli(e.Time), milli(e.Received)) <= upTo {
		return
	}
	n := len(w.judgement.Reports)
	p.Judge(&a.state, e, &w.judgement)
	if a.kept || a.first > upTo {
		return
	}
	left := w.judgement.Reports[:n]
	for _, r := range w.judgement.Reports[n:] {
		if w.s.restored.Within(w.hold[r.Destination], w.now) {
			w.held++
			continue
		}
		left = append(left, r)
	}
	w.judgement.Reports = left
}
