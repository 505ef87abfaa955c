package daemon

import (
	"testing"
	"time"
)

// Who is quiet by habit raises no alarm; who falls silent beyond it does, and says since when.
func TestHabit(t *testing.T) {
	start := time.Date(2026, 11, 23, 8, 0, 0, 0, time.UTC) // a Monday
	busy := func(h *habit, from time.Time, length, gap time.Duration) time.Time {
		for at := from; ; at = at.Add(gap) {
			if at.Sub(from) > length {
				return at.Add(-gap)
			}
			h.note(at)
		}
	}
	for _, c := range []struct {
		what   string
		fill   func(h *habit) (last time.Time)
		silent time.Duration
		want   bool
	}{
		{"nothing was ever read", func(*habit) time.Time { return start }, 1000 * time.Hour, false},
		{"a burst at the start and then nothing", func(h *habit) time.Time { return busy(h, start, time.Minute, time.Second) }, 1000 * time.Hour, false},
		{"two records an hour apart", func(h *habit) time.Time { return busy(h, start, time.Hour, time.Hour) }, 1000 * time.Hour, false},
		{"busy for a day, then an hour", func(h *habit) time.Time { return busy(h, start, 25*time.Hour, 10*time.Second) }, time.Hour, false},
		{"busy for a day, then more", func(h *habit) time.Time { return busy(h, start, 25*time.Hour, 10*time.Second) }, time.Hour + time.Second, true},
		{"busy for ten hours, then a night", func(h *habit) time.Time { return busy(h, start, 10*time.Hour, 10*time.Minute) }, 14 * time.Hour, false},
		{"very busy for ten hours", func(h *habit) time.Time { return busy(h, start, 10*time.Hour, time.Second) }, 2 * time.Hour, true},
		{"an office at the weekend", func(h *habit) time.Time {
			last := start
			for day := range 5 {
				last = busy(h, start.AddDate(0, 0, day), 10*time.Hour, time.Minute)
			}
			return last
		}, 62 * time.Hour, false},
		{"an office after two weeks away", func(h *habit) time.Time {
			last := start
			for day := range 5 {
				last = busy(h, start.AddDate(0, 0, day), 10*time.Hour, time.Minute)
			}
			return last
		}, 14 * 24 * time.Hour, true},
		{"one long outage is forgotten", func(h *habit) time.Time {
			busy(h, start, 25*time.Hour, 10*time.Minute)
			return busy(h, start.AddDate(0, 0, 5), 16*24*time.Hour, 10*time.Minute)
		}, 3 * time.Hour, true},
	} {
		var h habit
		last := c.fill(&h)
		problems := h.problems("s", last.Add(c.silent))
		if (len(problems) > 0) != c.want {
			t.Errorf("%s: silent for %s: %v", c.what, c.silent, problems)
		}
		if len(problems) > 0 && (!problems[0].Since.Equal(last) || problems[0].Remedy == "") {
			t.Errorf("%s: %+v", c.what, problems[0])
		}
	}
}
