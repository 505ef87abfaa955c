package web

import (
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"tattled/event"
)

func seqs(events []event.Event) []uint64 {
	all := make([]uint64, len(events))
	for i := range events {
		all[i] = events[i].Seq
	}
	return all
}

// run returns the numbers from first to last.
func run(first, last uint64) []uint64 {
	all := []uint64{}
	for n := first; n <= last; n++ {
		all = append(all, n)
	}
	return all
}

// The ring has the newest events whatever the sizes in which they come, knows how far it reaches back, and takes nothing
// twice.
func TestRing(t *testing.T) {
	for _, group := range []int{1, 7, 1000, ringSize, ringSize + 1, 3 * ringSize} {
		t.Run(fmt.Sprint(group), func(t *testing.T) {
			f := newFeed()
			w := newWorld()
			for w.seq < ringSize+1234 {
				events := w.events(group, base)
				f.Publish(events)
				f.Publish(events[len(events)/2:])
			}
			last := w.seq
			if f.newest() != last || len(f.ring) != ringSize {
				t.Fatalf("newest %d of %d, %d kept", f.newest(), last, len(f.ring))
			}
			if diff := cmp.Diff(run(last-ringSize+1, last), seqs(f.latest(2*ringSize))); diff != "" {
				t.Errorf("latest (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(run(last-2, last), seqs(f.latest(3))); diff != "" {
				t.Errorf("latest 3 (-want +got):\n%s", diff)
			}
			for _, c := range []struct {
				after uint64
				whole bool
				want  []uint64
			}{
				{last, true, []uint64{}},
				{last - 3, true, run(last-2, last)},
				{last - 100, true, run(last-99, last-90)},
				{last - ringSize, true, run(last-ringSize+1, last-ringSize+10)},
				{last - ringSize - 1, false, run(last-ringSize+1, last-ringSize+10)},
			} {
				found, whole := f.after(c.after, 10)
				if whole != c.whole || !slices.Equal(seqs(found), c.want) {
					t.Errorf("after %d: %v, whole %v; want %v, %v", c.after, seqs(found), whole, c.want, c.whole)
				}
			}
		})
	}
}

func TestEmptyFeed(t *testing.T) {
	f := newFeed()
	f.Publish(nil)
	if found, whole := f.after(0, 10); len(found) != 0 || whole {
		t.Errorf("after: %v %v", found, whole)
	}
	if top := f.tops(base, 10); top.Window.Events != 0 || len(top.Addresses) != 0 || f.newest() != 0 || len(f.latest(5)) != 0 {
		t.Errorf("%+v", top)
	}
}

// Top lists count the ring: by events, equal ones in a fixed order, each address once in its country.
func TestTop(t *testing.T) {
	f := newFeed()
	at := func(seq uint64, addr, country string, kind event.Kind) event.Event {
		return event.Event{Seq: seq, Addr: netip.MustParseAddr(addr), Kind: kind, Time: base, Received: base, Place: event.Place{Country: country, CountryName: "Land " + country}}
	}
	f.Publish([]event.Event{
		at(1, "203.0.113.9", "NL", event.AuthFailure),
		at(2, "203.0.113.9", "NL", event.AuthFailure),
		at(3, "203.0.113.8", "NL", event.Probe),
		at(4, "2001:db8::1", "", event.AuthFailure),
		at(5, "203.0.113.7", "BE", event.Probe),
	})
	first := base
	address := func(addr, country string, n int) TopAddress {
		return TopAddress{Address: addr, Events: n, Country: country, CountryName: "Land " + country, Last: base}
	}
	want := Top{
		Window:    TopWindow{Events: 5, First: &first, Last: &first},
		Addresses: []TopAddress{address("203.0.113.9", "NL", 2), address("203.0.113.7", "BE", 1), address("203.0.113.8", "NL", 1), address("2001:db8::1", "", 1)},
		Countries: []TopCountry{{"NL", "Land NL", 3, 2}, {"", "Land ", 1, 1}, {"BE", "Land BE", 1, 1}},
		Kinds:     []TopKind{{"auth-failure", 3}, {"probe", 2}},
	}
	if diff := cmp.Diff(want, f.tops(base, 10)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	f.Publish([]event.Event{at(6, "203.0.113.7", "BE", event.Probe)})
	if got := f.tops(base.Add(topFor/2), 1); got.Window.Events != 5 || len(got.Addresses) != 1 {
		t.Errorf("half a second later: %+v", got)
	}
	if got := f.tops(base.Add(topFor), 1); got.Window.Events != 6 {
		t.Errorf("a second later: %+v", got)
	}
	if got := f.tops(base.Add(-time.Hour), 1); got.Window.Events != 6 {
		t.Errorf("after the clock jumped back: %+v", got)
	}
}

// A flood of distinct addresses makes the lists no longer.
func TestTopIsBounded(t *testing.T) {
	f := newFeed()
	for i := range uint64(3 * ringSize) {
		f.Publish([]event.Event{{Seq: i + 1, Addr: netip.AddrFrom4([4]byte{203, 0, byte(i >> 8), byte(i)}), Kind: event.Probe, Place: event.Place{Country: fmt.Sprint(i)}}})
	}
	if top := f.tops(base, 1<<20); len(top.Addresses) != maxTop || len(top.Countries) != maxTop || len(top.Kinds) != 1 {
		t.Errorf("%d addresses, %d countries, %d kinds", len(top.Addresses), len(top.Countries), len(top.Kinds))
	}
}

// The last hour is counted by the minute, through pauses of any length and clocks that jump.
func TestActivity(t *testing.T) {
	f := newFeed()
	var seq uint64
	at := func(ago time.Duration, n int) {
		for range n {
			seq++
			f.Publish([]event.Event{{Seq: seq, Received: base.Add(-ago)}})
		}
	}
	at(25*time.Hour, 4) // in the slot of an hour that is shown
	at(61*time.Minute, 9)
	at(59*time.Minute, 2)
	at(5*time.Minute, 3)
	at(59*time.Minute, 1) // the clock jumped back
	at(0, 5)
	var want [minutes]uint64
	want[0], want[54], want[59] = 3, 3, 5
	if diff := cmp.Diff(want, f.perMinute(base)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	at(24*time.Hour, 2)
	if got := f.perMinute(base.Add(-24 * time.Hour)); got[59] != 2 {
		t.Errorf("after the clock jumped back by a day: %v", got)
	}
	if got := f.perMinute(base.Add(3 * time.Hour)); got != [minutes]uint64{} {
		t.Errorf("three hours later: %v", got)
	}
}

// Publishing, reading and coming and going at once lose nothing and race on nothing.
func TestFeedInParallel(t *testing.T) {
	f := newFeed()
	var all sync.WaitGroup
	const groups, size = 200, 30
	for range 4 {
		all.Go(func() {
			c, ok := f.join()
			if !ok {
				t.Error("no place")
				return
			}
			defer f.leave(c, false)
			for last := uint64(0); last < groups*size; {
				<-c.wake
				for {
					found, _ := f.after(last, 50)
					for _, e := range found {
						if e.Seq <= last {
							t.Errorf("%d after %d", e.Seq, last)
						}
						last = e.Seq
					}
					if len(found) == 0 {
						break
					}
				}
				f.tops(base, 3)
				f.perMinute(base)
			}
		})
	}
	until(t, "all are in", func() bool { return f.Clients() == 4 })
	w := newWorld()
	for range groups {
		f.Publish(w.events(size, base))
	}
	all.Wait()
	if f.Clients() != 0 {
		t.Errorf("%d clients are left", f.Clients())
	}
}

// BenchmarkPublish is what a commit of 100 events costs while 64 clients hang.
func BenchmarkPublish(b *testing.B) {
	f := newFeed()
	for range maxClients {
		f.join()
	}
	w := newWorld()
	events := w.events(100, base)
	b.ReportAllocs()
	for b.Loop() {
		for i := range events {
			events[i].Seq += 100
		}
		f.Publish(events)
	}
}

func BenchmarkTop(b *testing.B) {
	f := newFeed()
	f.Publish(newWorld().events(ringSize, base))
	now := base
	b.ReportAllocs()
	for b.Loop() {
		now = now.Add(topFor)
		f.tops(now, 10)
	}
}
