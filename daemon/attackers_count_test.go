package daemon

import (
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"tattled/event"
)

func attackBy(addr string, at time.Time) event.Event {
	return event.Event{Kind: event.AuthFailure, Addr: netip.MustParseAddr(addr), Time: at}
}

// floodOf are n attacks by as many addresses, of which from is the first.
func floodOf(from, n int, at time.Time) []event.Event {
	all := make([]event.Event, n)
	for i := range all {
		var raw [4]byte
		binary.BigEndian.PutUint32(raw[:], 0x2d000000+uint32(from+i))
		all[i] = event.Event{Kind: event.WebAttack, Addr: netip.AddrFrom4(raw), Time: at}
	}
	return all
}

// Who counts, and for how long.
func TestAttackersOfFiveMinutes(t *testing.T) {
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	refused := attackBy("45.148.10.9", now)
	refused.Kind = event.FirewallBlock
	for name, c := range map[string]struct {
		events []event.Event
		after  time.Duration
		want   int
	}{
		"one, twice":               {[]event.Event{attackBy("45.148.10.1", now), attackBy("45.148.10.1", now)}, 0, 1},
		"two":                      {[]event.Event{attackBy("45.148.10.1", now), attackBy("45.148.10.2", now)}, 0, 2},
		"one /64":                  {[]event.Event{attackBy("2a02:6b8:1:2::1", now), attackBy("2a02:6b8:1:2:9::1", now), attackBy("2a02:6b8:1:3::1", now)}, 0, 2},
		"one, mapped":              {[]event.Event{attackBy("45.148.10.1", now), attackBy("::ffff:45.148.10.1", now)}, 0, 1},
		"a refused packet":         {[]event.Event{refused}, 0, 0},
		"nobody":                   {[]event.Event{{Kind: event.AuthFailure, Time: now}}, 0, 0},
		"four minutes later":       {[]event.Event{attackBy("45.148.10.1", now)}, 4 * time.Minute, 1},
		"five minutes later":       {[]event.Event{attackBy("45.148.10.1", now)}, 5 * time.Minute, 0},
		"an old one that was read": {[]event.Event{attackBy("45.148.10.1", now.Add(-time.Hour))}, 0, 0},
		"one of three minutes ago": {[]event.Event{attackBy("45.148.10.1", now.Add(-3*time.Minute))}, 0, 1},
		"and three minutes later":  {[]event.Event{attackBy("45.148.10.1", now.Add(-3*time.Minute))}, 3 * time.Minute, 0},
		"the older one comes last": {[]event.Event{attackBy("45.148.10.1", now), attackBy("45.148.10.1", now.Add(-3*time.Minute))}, 3 * time.Minute, 1},
		"a clock that is ahead":    {[]event.Event{attackBy("45.148.10.1", now.Add(time.Hour))}, 5 * time.Minute, 0},
	} {
		var a attackers
		a.note(c.events, now)
		if got := a.count(now.Add(c.after)); got != c.want {
			t.Errorf("%s: %d attackers, want %d", name, got, c.want)
		}
	}
}

// A clock that was set back makes nobody an attacker for longer, and hides nobody who attacks again.
func TestAttackersOfAClockSetBack(t *testing.T) {
	var a attackers
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	a.note([]event.Event{attackBy("45.148.10.1", now), attackBy("45.148.10.2", now)}, now)
	now = now.Add(-time.Hour)
	a.note([]event.Event{attackBy("45.148.10.1", now)}, now)
	if got := a.count(now); got > 2 || got < 1 {
		t.Errorf("%d attackers after the clock was set back, want one or two", got)
	}
	if got := a.count(now.Add(6 * time.Minute)); got != 0 {
		t.Errorf("%d attackers six minutes later", got)
	}
}

// Whoever comes, goes and comes again: the count is that of a plain set.
func TestAttackersAsASet(t *testing.T) {
	var a attackers
	random := rand.New(rand.NewPCG(3, 4))
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	last := map[netip.Addr]int64{}
	for step := range 400 {
		now = now.Add(time.Duration(random.IntN(20)) * time.Second)
		var events []event.Event
		for range random.IntN(4000) {
			events = append(events, floodOf(random.IntN(30_000), 1, now)...)
		}
		a.note(events, now)
		for i := range events {
			last[events[i].Addr] = now.UnixNano() / int64(attackTick)
		}
		want := 0
		for _, at := range last {
			if at+attackSpan > now.UnixNano()/int64(attackTick) {
				want++
			}
		}
		if got := a.count(now); got != want {
			t.Fatalf("step %d: %d attackers, want %d", step, got, want)
		}
	}
}

// A flood of millions of addresses takes 4 MiB and no more, and is forgotten as others are.
func TestAttackersAreBounded(t *testing.T) {
	var a attackers
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	for n := range 1000 {
		a.note(floodOf(n*4096, 4096, now), now)
		now = now.Add(27 * time.Millisecond)
	}
	if got := a.count(now); got != maxAttackers || len(a.slots) > mostSlots {
		t.Errorf("%d attackers in %d slots, want %d in %d", got, len(a.slots), maxAttackers, mostSlots)
	}
	now = now.Add(10 * time.Minute)
	a.note(floodOf(0, 1000, now), now)
	a.count(now)
	if got := a.count(now); got != 1000 || len(a.slots) > leastSlots*4 {
		t.Errorf("%d attackers in %d slots after the flood, want 1000 in few", got, len(a.slots))
	}
}

// BenchmarkCount is what the metrics cost for each event that is stored, by an address that is new or one of a few thousand.
func BenchmarkCount(b *testing.B) {
	now := time.Now()
	for name, groups := range map[string]int{"all-new": 256, "known": 2} {
		b.Run(name, func(b *testing.B) {
			var d Daemon
			d.metrics = newMetrics(nil)
			var all [][]event.Event
			for n := range groups {
				all = append(all, floodOf(n*4096, 4096, now))
			}
			n := 0
			for b.Loop() {
				d.metrics.count(all[n%groups], nil)
				d.attackers.note(all[n%groups], now)
				n++
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(n*4096), "ns/event")
		})
	}
}
