package store

import "time"

// SetClock makes s go by another clock: now, and what passed since the last commit.
func (s *Store) SetClock(now func() time.Time, passed func() time.Duration) {
	s.now, s.elapsed = now, func(time.Time, time.Time) time.Duration { return passed() }
}
