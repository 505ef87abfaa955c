package store

import (
	"math/rand/v2"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"tattled/event"
)

func packed(events []event.Event) []byte {
	var p pack
	p.begin()
	for i := range events {
		p.add(&events[i])
	}
	return p.b
}

// Every field of every event comes back, whichever fields it shares with the one before.
func TestPackKeepsEveryField(t *testing.T) {
	full := fullEvent()
	full.Received = time.Date(2026, 11, 22, 12, 0, 1, 5, time.UTC)
	mustBeFull(t, reflect.ValueOf(full), "Seq", "Path")
	r := rand.New(rand.NewPCG(5, 1))
	for range 300 {
		all := make([]event.Event, 1+r.IntN(packMost))
		for i := range all {
			from := reflect.ValueOf([]event.Event{full, {}, all[max(0, i-1)]}[r.IntN(3)])
			to := reflect.ValueOf(&all[i]).Elem()
			for f := range to.NumField() { // each field of one, or as it was in the event before
				if r.IntN(2) == 0 {
					to.Field(f).Set(from.Field(f))
				} else if i > 0 {
					to.Field(f).Set(reflect.ValueOf(all[i-1]).Field(f))
				}
			}
		}
		got, ok := decodeEvents(packed(all))
		if diff := cmp.Diff(all, got, cmpopts.EquateComparable(netip.Addr{})); !ok || diff != "" {
			t.Fatalf("%v\n%s", ok, diff)
		}
	}
}

// A record of one page has ten events of a flood, and none has more than a reader should go through for one.
func TestPackIsSmall(t *testing.T) {
	var p pack
	p.begin()
	n := 0
	for ; !p.full(); n++ {
		e := event.Event{
			Time: time.Unix(1_800_000_000+int64(n), 0), Received: time.Unix(1_800_000_000, int64(n/8)), Kind: event.AuthFailure, Service: "sshd",
			Rule: "failed-password", Addr: netip.AddrFrom4([4]byte{203, 0, 113, byte(n)}), User: "admin", Program: "sshd", PID: "12345", Host: "web1",
			Source: "syslog-udp", Line: "Failed password for invalid user admin from 203.0.113.100 port 40022 ssh2",
		}
		p.add(&e)
	}
	if n < 9 {
		t.Errorf("%d events fill a record", n)
	}
	p.begin()
	for n = 0; !p.full(); n++ {
		p.add(&event.Event{})
	}
	if n != packMost {
		t.Errorf("%d empty events fill a record", n)
	}
	for _, b := range [][]byte{{packForm}, {packForm, 0}, {packForm, packMost + 1}, append(packed(make([]event.Event, 2)), 0), packed(make([]event.Event, 2))[:9]} {
		if _, ok := decodeEvents(b); ok {
			t.Errorf("%x is read", b)
		}
	}
}

// Of a record that is cut, what remains has the numbers that it had.
func TestPackIsNumberedFromItsEnd(t *testing.T) {
	all := make([]event.Event, 5)
	for i := range all {
		all[i].Line = strings.Repeat("x", i)
	}
	key := key64(100)
	for from := range all {
		got, ok := openEvents(key, seal(nil, Events, key, packed(all[from:])))
		if !ok || got[0].Seq != uint64(96+from) || got[len(got)-1].Seq != 100 || len(got[0].Line) != from {
			t.Errorf("from %d on: %v %+v", from, ok, got)
		}
	}
	if _, ok := openEvents(key64(3), seal(nil, Events, key64(3), packed(all))); ok {
		t.Error("events before the first one are read")
	}
}

// Of a store of schema 1 the number of events is that of their records.
func TestCountsOfAnOlderRelease(t *testing.T) {
	want := counts{commit: 7, lastSeq: 1000, itemSeq: 9, addresses: 80, clock: 1_800_000_000_000, items: map[itemsKey]uint64{}}
	want.records[Events], want.records[Addresses], want.sweepCursor[3] = 400, 70, 1
	got, ok := decodeCounts(appendOldCounts(nil, &want))
	if want.events = 400; !ok || !reflect.DeepEqual(got, want) {
		t.Errorf("%v %+v, want %+v", ok, got, want)
	}
	want.events = 390
	if got, ok = decodeCounts(want.append(nil)); !ok || !reflect.DeepEqual(got, want) {
		t.Errorf("of this release: %v %+v, want %+v", ok, got, want)
	}
}
