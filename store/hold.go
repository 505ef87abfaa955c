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

// holds returns the restoration if it was so short a time ago that a window of a destination may still be open that nobody
// knows of, the zero value otherwise.
func (c *Committer) holds(now time.Time) Restored {
	for _, window := range c.options.Hold {
		if c.store.restored.Within(window, now) {
			return c.store.restored
		}
	}
	return Restored{}
}

// judgeHeld judges e where a state may have been lost. An event from before a restoration is read for the second time, or
// its effects are in what was salvaged: it is kept and shown, and nothing follows from it. Where an address was seen before
// and its state was lost, nobody knows whether it was reported: its reports open their windows and go nowhere.
func (w *work) judgeHeld(a *address, e *event.Event, p *policy.Policy) {
	upTo := w.since.UpTo.UnixMilli()
	if !w.since.At.IsZero() && min(milli(e.Time), milli(e.Received)) <= upTo {
		return
	}
	n := len(w.judgement.Reports)
	p.Judge(&a.state, e, &w.judgement)
	lost := Restored{At: w.since.At}
	if a.kept || a.first > upTo {
		lost.At = time.Time{}
	}
	if a.lost > 0 {
		lost.At = plainMilli(a.lost)
	}
	left := w.judgement.Reports[:n]
	for _, r := range w.judgement.Reports[n:] {
		if lost.Within(w.hold[r.Destination], w.now) {
			w.held++
			continue
		}
		left = append(left, r)
	}
	w.judgement.Reports = left
}
