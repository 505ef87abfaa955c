package trusted

import (
	"fmt"
	"net/netip"
	"reflect"
	"testing"
	"time"
)

var noon = time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)

func seen(i int, after time.Duration) Seen {
	return Seen{Network: netip.PrefixFrom(netip.AddrFrom4([4]byte{45, 9, byte(i >> 8), byte(i)}), 32), Last: noon.Add(after)}
}

// The set has a bound: where it evicts, the one that was seen last the longest ago makes room, and nobody for what is older; else nobody does.
func TestLearnedIsBounded(t *testing.T) {
	for _, evicts := range []bool{true, false} {
		l := NewLearned(10, evicts)
		for i := range 100 {
			if changed := l.Note(seen(i, time.Duration(i)*time.Second)); changed != (evicts || i < 10) {
				t.Errorf("%d: changed: %v", i, changed)
			}
			l.Note(seen(0, time.Duration(i)*time.Second)) // which is always there
		}
		if l.Note(seen(200, -time.Hour)) {
			t.Error("an old one took the place of a newer one")
		}
		all := l.List()
		last := 99
		if !evicts {
			last = 9
		}
		if len(all) != 10 || all[0].Network != seen(0, 0).Network || all[9].Network != seen(last, 0).Network || !l.Full().Equal(noon.Add(99*time.Second)) {
			t.Errorf("evicts: %v: %v, full at %v", evicts, all, l.Full())
		}
	}
}

func TestLearnedExpires(t *testing.T) {
	l := NewLearned(10, true)
	l.Note(seen(1, 0))
	l.Note(seen(2, time.Hour))
	l.Note(seen(3, 100*time.Hour)) // by a clock that is at 1970 now
	if l.Note(Seen{}) {
		t.Error("no network is one")
	}
	if !l.Expire(noon.Add(time.Minute)) || fmt.Sprint(l.Networks(nil)) != "[45.9.0.2/32 45.9.0.3/32]" {
		t.Errorf("%v", l.List())
	}
	if l.Expire(noon.Add(time.Minute)) {
		t.Error("it changed although nothing did")
	}
}

// What is stored is stored again when a network comes or goes, and when one was seen a day later.
func TestLearnedIsStored(t *testing.T) {
	l := NewLearned(10, true)
	for _, step := range []struct {
		do    func()
		dirty bool
	}{
		{func() {}, false},
		{func() { l.Note(seen(1, 0)) }, true},
		{func() { l.Note(seen(1, time.Hour)) }, false},
		{func() { l.Note(seen(1, 24*time.Hour)) }, true},
		{func() { l.Note(Seen{seen(1, 0).Network, "alice", noon.Add(25 * time.Hour)}) }, true},
		{func() { l.Expire(noon.Add(48 * time.Hour)) }, true},
	} {
		step.do()
		if l.Dirty() != step.dirty {
			t.Errorf("dirty: %v, want %v", l.Dirty(), step.dirty)
		}
		if step.dirty {
			l.Stored(l.List())
		}
	}
	l.Note(seen(1, 0))
	all := l.List()
	l.Note(seen(2, 0))
	l.Stored(all)
	if !l.Dirty() {
		t.Error("what came while it was stored is taken for stored")
	}
}

func TestMemory(t *testing.T) {
	n := NewNames(zone{"ip4 vpn.example.org.": "203.0.113.5", "ip6 vpn.example.org.": "2001:db8::5"}.lookup)
	n.Ask(t.Context(), []string{vpn, "gone.example.org"})
	m := Memory{Names: n.Store(), Peers: []Seen{seen(1, 0)}, Logins: []Seen{{seen(2, 0).Network, "alice", noon}}}
	pieces := m.Pack(50)
	if len(pieces) < 3 || len(m.Names) != 1 {
		t.Fatalf("%d pieces, %v", len(pieces), m.Names)
	}
	got := Unpack(pieces)
	if !reflect.DeepEqual(got.Peers, m.Peers) || !reflect.DeepEqual(got.Logins, m.Logins) {
		t.Errorf("%+v", got)
	}
	again := NewNames(nil)
	again.Restore(got.Names)
	if fmt.Sprint(again.Addrs([]string{vpn})) != "[203.0.113.5 2001:db8::5]" || !again.Known([]string{vpn}) || again.Known([]string{vpn, "x.example"}) {
		t.Errorf("%v", again.Addrs([]string{vpn}))
	}
	for _, bad := range [][][]byte{nil, pieces[1:], {[]byte("null")}, {[]byte(`{"names":{"":{}}}`)}, {[]byte(`{"peers":[{"network":"x"}]}`)}, {make([]byte, maxMemory+1)}} {
		m := Unpack(bad)
		NewNames(nil).Restore(m.Names)
		NewLearned(1, true).Restore(m.Peers)
		if len(m.Peers) != 0 {
			t.Errorf("%.50q: %+v", bad, m)
		}
	}
	far := NewNames(nil)
	far.Restore(map[string]answer{vpn: {V4: []netip.Addr{netip.MustParseAddr("127.0.0.1")}, At: noon}, "not a name": {V4: []netip.Addr{netip.MustParseAddr("203.0.113.5")}, At: noon}})
	if len(far.known) != 0 {
		t.Errorf("%v", far.known)
	}
	var all []Seen
	for i := range 1300 {
		s := seen(i, 0)
		s.Account = "somebody-with-a-long-name-of-64-bytes-as-linux-lets-nobody-have-it"
		all = append(all, s)
	}
	if pieces := (Memory{Peers: all}).Pack(4000); len(pieces) == 0 || len(pieces) > 64 {
		t.Errorf("%d pieces of 4000 bytes", len(pieces))
	}
}
