package event

import "time"

// InYear gives the month, the day and the time of day of u, which a clock in loc showed, the year that makes it the latest
// instant which is not more than a day after received. It is the one rule for time stamps without a year, in headers and in
// messages: logs are read when they are written or later, and a clock may be ahead. u's own year does not count, but it must be
// a leap year. ok is false if there was no such day in the eight years before received: a 29th of February may be as old as
// that (1896 to 1904).
func InYear(u time.Time, loc *time.Location, received time.Time) (t time.Time, ok bool) {
	limit := received.Add(24 * time.Hour)
	for year, last := received.In(loc).Year()+1, received.In(loc).Year()-8; year >= last; year-- {
		t = time.Date(year, u.Month(), u.Day(), u.Hour(), u.Minute(), u.Second(), u.Nanosecond(), loc)
		if t.Month() == u.Month() && !t.After(limit) {
			return t, true
		}
	}
	return time.Time{}, false
}
