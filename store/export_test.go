package store

import (
	"time"

	"tattled/event"
)

// SetClock makes s go by another clock: now, and what passed since the last commit.
func (s *Store) SetClock(now func() time.Time, passed func() time.Duration) {
	s.now, s.elapsed = now, func(time.Time, time.Time) time.Duration { return passed() }
}

// SealOldEvent is the record of an event in a store of schema 1.
func SealOldEvent(key []byte, line string) []byte {
	return seal(nil, Events, key, appendEvent(nil, &event.Event{Received: time.Now(), Line: line}))
}
