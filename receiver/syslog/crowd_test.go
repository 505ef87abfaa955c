package syslog

import (
	"fmt"
	"net"
	"net/netip"
	"testing"
	"time"

	"pgregory.net/rapid"

	"tattled/receiver"
)

// Sixteen addresses that hold every connection a listener has, with a record on each, keep nobody out: a newcomer gets in,
// and who had one connection keeps it, however long it is silent and however often they come again.
func TestTCPFull(t *testing.T) {
	const addresses, each = 16, 8
	r := listen(t, Config{Listen: "tcp://127.0.0.1:0", MaxConnections: addresses * each, MaxPerPeer: each})
	w := newWatch()
	run(t, r, w)
	old := from(t, r, 100)
	send(t, old, header+"old\n")
	w.wait(t, 1)
	n := 1
	hold := func() {
		for i := range addresses * each {
			send(t, from(t, r, i%addresses), header+"held\n")
			n++
			w.wait(t, n)
		}
	}
	hold()
	honest := from(t, r, 101)
	send(t, honest, header+"honest\n")
	n++
	w.wait(t, n)
	hold()
	send(t, old, header+"old again\n")
	send(t, honest, header+"honest again\n")
	n += 2
	w.wait(t, n)
	if open := r.Meter().Open.Load(); open != addresses*each {
		t.Errorf("%d open", open)
	}
	if many := r.Meter().Dropped(receiver.TooMany); many != addresses*each+2 {
		t.Errorf("%d too many", many)
	}
}

// An address that has as many as it may gives its longest silent one for a new one, and nobody else's.
func TestTCPPerPeer(t *testing.T) {
	r := listen(t, Config{Listen: "tcp://127.0.0.1:0", MaxPerPeer: 2})
	w := newWatch()
	run(t, r, w)
	other, a, b := from(t, r, 1), from(t, r, 0), from(t, r, 0)
	send(t, other, header+"other\n")
	w.wait(t, 1)
	send(t, b, header+"b\n")
	w.wait(t, 2)
	send(t, a, header+"a\n")
	w.wait(t, 3)
	c := from(t, r, 0)
	closed(t, b)
	for i, still := range []net.Conn{other, a, c} {
		send(t, still, header+"still there\n")
		w.wait(t, 4+i)
	}
	if many := r.Meter().Dropped(receiver.TooMany); many != 1 {
		t.Errorf("%d too many", many)
	}
}

// Who goes first is who a search through all would find.
func TestCrowd(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w, all, now := newCrowd(), []*conn{}, time.Unix(1e9, 0)
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			now = now.Add(time.Duration(rapid.IntRange(1, 700).Draw(t, "ms")) * time.Millisecond)
			switch what := rapid.IntRange(0, 3).Draw(t, "what"); {
			case what == 0 || len(all) == 0:
				c := &conn{key: netip.AddrFrom4([4]byte{192, 0, 2, byte(rapid.IntRange(0, 5).Draw(t, "peer"))}), proven: rapid.Bool().Draw(t, "proven")}
				w.add(c, now)
				all = append(all, c)
			case what == 1:
				w.heard(rapid.SampledFrom(all).Draw(t, "heard"), now)
			case what == 2:
				i := rapid.IntRange(0, len(all)-1).Draw(t, "gone")
				if !w.remove(all[i]) || w.remove(all[i]) {
					t.Fatal("is not removed once")
				}
				w.heard(all[i], now) // too late, and harmless
				all = append(all[:i], all[i+1:]...)
			case what == 3:
				key := netip.Addr{}
				if rapid.Bool().Draw(t, "of one") {
					key = rapid.SampledFrom(all).Draw(t, "key").key
				}
				if got, want := w.first(key, now), search(&w, all, key, now); got != want {
					t.Fatalf("%v goes, want %v", got.seat, want.seat)
				}
			}
			if w.n != len(all) {
				t.Fatalf("%d, want %d", w.n, len(all))
			}
		}
		for _, c := range all {
			w.remove(c)
		}
		if w.n+len(w.peers)+len(w.order)+w.newcomers.Len() != 0 {
			t.Fatalf("something is left: %+v", w)
		}
	})
}

// search is crowd.first, by looking at all.
func search(w *crowd, all []*conn, key netip.Addr, now time.Time) *conn {
	most, fresh := 0, 0
	for _, c := range all {
		if !key.IsValid() || c.key == key {
			most = max(most, w.of(c.key))
		}
		if c.seat.newcomer != nil {
			fresh++
		}
	}
	var oldest, silent *conn
	for _, c := range all {
		if c.seat.newcomer != nil && (oldest == nil || c.seat.heard.Before(oldest.seat.heard)) {
			oldest = c
		}
		if key.IsValid() && c.key != key || w.of(c.key) != most {
			continue
		}
		if silent == nil || c.seat.heard.Before(silent.seat.heard) {
			silent = c
		}
	}
	if oldest != nil && (!key.IsValid() || oldest.key == key) && w.of(oldest.key) == most && (now.Sub(oldest.seat.heard) >= grace || 4*fresh > len(all)) {
		return oldest
	}
	return silent
}

func BenchmarkCrowd(b *testing.B) {
	const n = 65536
	for _, addresses := range []int{1, 1024, n} {
		b.Run(fmt.Sprint(addresses), func(b *testing.B) {
			w, all, now := newCrowd(), make([]*conn, n), time.Unix(1e9, 0)
			for i := range all {
				k := i % addresses
				all[i] = &conn{key: netip.AddrFrom4([4]byte{10, byte(k >> 16), byte(k >> 8), byte(k)}), proven: true}
				w.add(all[i], now)
			}
			for i := 0; b.Loop(); i++ {
				now = now.Add(time.Microsecond)
				gone := w.first(netip.Addr{}, now)
				w.remove(gone)
				w.add(gone, now)
				w.heard(all[i%n], now)
			}
		})
	}
}
