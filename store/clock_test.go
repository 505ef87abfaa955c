package store_test

import (
	"fmt"
	"testing"
	"time"

	"tattled/event"
	"tattled/store"
	"tattled/store/mem"
	"tattled/store/storetest"
)

// items returns the reports in the outbox of AbuseIPDB.
func items(t *testing.T, s *store.Store) []store.Item {
	t.Helper()
	all, err := s.Items(1000)
	if err != nil {
		t.Fatal(err)
	}
	var reports []store.Item
	for _, i := range all {
		if i.Report.Destination == "abuseipdb" {
			reports = append(reports, i)
		}
	}
	return reports
}

// A device whose clock stands still logs every attack with the same time. The attack of the next window is a report of its
// own; the same judgement, made again after a crash, is not.
func TestAFrozenClockInTheLog(t *testing.T) {
	frozen := storetest.Event(0).Time
	attack := func(received time.Time) []event.Event {
		all := from("45.9.20.7", 4, frozen)
		for i := range all {
			all[i].Received = received
		}
		return all
	}
	s, _ := open(t, mem.New(0), storetest.Options())
	ids := map[string]bool{}
	for day := range 3 {
		commit(t, s, attack(frozen.Add(time.Duration(day)*25*time.Hour))...)
		all := items(t, s)
		if len(all) != day+1 {
			t.Fatalf("day %d: %d reports in the outbox", day, len(all))
		}
		for _, i := range all {
			ids[i.ID] = true
		}
	}
	again, _ := open(t, mem.New(0), storetest.Options())
	for day, late := range []time.Duration{0, 0, time.Minute} { // the last day's is read again, a little later
		commit(t, again, attack(frozen.Add(time.Duration(day)*25*time.Hour+late))...)
	}
	for _, i := range items(t, again) {
		if !ids[i.ID] {
			t.Errorf("the log read again gives another ID: %s, not one of %v", i.ID, fmt.Sprint(ids))
		}
	}
}

// world is a store that goes by a clock which can be set, under an attack that never ends.
type world struct {
	t      *testing.T
	b      store.Backend
	s      *store.Store
	real   time.Time     // what time it is
	offset time.Duration // by how much the clock is ahead
	last   time.Time     // of the last commit, in real time
	seen   int
	at     []time.Time // when reports were judged, in real time
}

const window = 24 * time.Hour // of storetest.Policy

func newWorld(t *testing.T) *world {
	w := &world{t: t, b: mem.New(0), real: storetest.Event(0).Time}
	w.open()
	var others []event.Event // which must not expire
	for i := range 1000 {
		others = append(others, from(fmt.Sprintf("45.10.%d.%d", i/250, i%250), 1, w.real)...)
	}
	commit(t, w.s, others...)
	return w
}

func (w *world) open() {
	o := storetest.Options()
	o.AddressAge, o.EventAge, o.SettledAge = 60*24*time.Hour, 60*24*time.Hour, 60*24*time.Hour
	w.s, _ = open(w.t, w.b, o)
	w.s.SetClock(
		func() time.Time { return w.real.Add(w.offset) },
		func() time.Duration { return w.real.Sub(w.last) },
	)
}

// run lets the attack go on for a time: five failures every ten minutes.
func (w *world) run(d time.Duration) {
	w.t.Helper()
	for end := w.real.Add(d); w.real.Before(end); w.real = w.real.Add(10 * time.Minute) {
		commit(w.t, w.s, from("45.9.20.7", 5, w.real.Add(w.offset))...)
		w.last = w.real
		all := items(w.t, w.s)
		for ; w.seen < len(all); w.seen++ {
			w.at = append(w.at, w.real)
		}
	}
}

// Whatever the clock does while tattled runs: nobody is reported twice within a window of real time, or missed for longer than
// one, and what is kept stays.
func TestTheClockJumps(t *testing.T) {
	const hour, day, year = time.Hour, 24 * time.Hour, 365 * 24 * time.Hour
	runs, least, most := 0, 99*day, time.Duration(0)
	for _, c := range []struct {
		name    string
		offsets []time.Duration // each for five hours and ten minutes, the last for four days
	}{
		{"no jump", nil},
		{"+3 h", []time.Duration{3 * hour}},
		{"-3 h", []time.Duration{-3 * hour}},
		{"+3 h and back", []time.Duration{3 * hour, 0}},
		{"-3 h and back", []time.Duration{-3 * hour, 0}},
		{"+30 h", []time.Duration{30 * hour}},
		{"+30 h and back, twice", []time.Duration{30 * hour, 0, 30 * hour, 0}},
		{"+30 h and 10 h back", []time.Duration{30 * hour, 20 * hour}},
		{"+30 h and 40 h back", []time.Duration{30 * hour, -10 * hour}},
		{"+10 y and back", []time.Duration{10 * year, 0}},
		{"+10 y and back, twice", []time.Duration{10 * year, 0, 10 * year, 0}},
		{"-10 y and back", []time.Duration{-10 * year, 0}},
		{"from 1970", []time.Duration{-56 * year, 0}},
		{"a step within the window, four times", []time.Duration{5 * time.Minute, -5 * time.Minute, 90 * time.Minute, 7 * hour}},
		{"+25 h twelve times", []time.Duration{25 * hour, 50 * hour, 75 * hour, 100 * hour, 125 * hour, 150 * hour, 175 * hour, 200 * hour, 225 * hour, 250 * hour, 275 * hour, 300 * hour}},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, restart := range []bool{false, true} {
				w := newWorld(t)
				w.run(5*hour + 10*time.Minute)
				for _, offset := range c.offsets {
					w.offset = offset
					w.run(2 * hour)
					if restart {
						w.open() // what is known of the clock is kept
					}
					w.run(3*hour + 10*time.Minute)
				}
				w.run(4 * day)
				shortest, longest := 99*day, time.Duration(0)
				for i, at := range append(w.at[:len(w.at):len(w.at)], w.real) {
					if i > 0 {
						longest = max(longest, at.Sub(w.at[i-1]))
						if i < len(w.at) {
							shortest = min(shortest, at.Sub(w.at[i-1]))
						}
					}
				}
				stats := w.s.Stats()
				t.Logf("restarts %v: %d reports in %s; shortest pause %s, longest %s; %d addresses kept, %v evicted",
					restart, len(w.at), w.real.Sub(storetest.Event(0).Time), shortest, longest, stats.Addresses, stats.Evicted)
				runs, least, most = runs+1, min(least, shortest), max(most, longest)
				if shortest < window || longest > 2*window+10*time.Minute || stats.Addresses != 1001 {
					t.Error("reported twice, missed, or forgotten")
				}
			}
		})
	}
	t.Logf("figure: row 16: %d runs with clocks that jump, half of them with restarts: pauses between two reports %s to %s, windows of %s; nothing was forgotten",
		runs, least, most, window)
}
