package store_test

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"tattled/event"
	"tattled/setting"
	"tattled/store"
	"tattled/store/mem"
	"tattled/store/storetest"
)

// open opens what lies in b.
func open(t *testing.T, b store.Backend, o store.Options) (*store.Store, *store.Committer) {
	t.Helper()
	s, err := store.New(b, o)
	if err != nil {
		t.Fatal(err)
	}
	return s, store.NewCommitter(s, storetest.Policy(), store.CommitterOptions{Linger: time.Microsecond, MaxGroup: 1 << 20})
}

// commit makes events durable in one transaction.
func commit(t *testing.T, s *store.Store, events ...event.Event) {
	t.Helper()
	c := store.NewCommitter(s, storetest.Policy(), store.CommitterOptions{MaxGroup: 1 << 20})
	if err := c.Submit(t.Context(), events, "", nil); err != nil {
		t.Fatal(err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := c.Run(ended); err != nil {
		t.Fatal(err)
	}
}

func from(addr string, n int, at time.Time) []event.Event {
	var all []event.Event
	for range n {
		e := storetest.Event(0)
		e.Addr, e.Time, e.Received = netip.MustParseAddr(addr), at, at
		all = append(all, e)
	}
	return all
}

// Damage that comes while the store is open: what is met is counted and put aside, the rest goes on.
func TestDamagedRecords(t *testing.T) {
	b := mem.New(0)
	s, _ := open(t, b, storetest.Options())
	for i := range 40 {
		commit(t, s, storetest.Event(i))
	}
	s, c := open(t, b, storetest.Options())
	if err := c.Submit(t.Context(), nil, "log", []byte("7")); err != nil {
		t.Fatal(err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := c.Run(ended); err != nil {
		t.Fatal(err)
	}
	flip := func(table store.Table) {
		t.Helper()
		err := b.Update(func(tx store.Tx) error {
			var key, value []byte
			tx.Scan(table, nil, nil, false, func(k, v []byte) bool {
				key, value = slices.Clone(k), slices.Clone(v)
				return false
			})
			value[len(value)-1] ^= 1
			return tx.Put(table, key, value)
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, table := range []store.Table{store.Events, store.Items, store.Streams} {
		flip(table)
	}
	events, err := s.Events(0, 100)
	if err != nil || len(events) != 39 {
		t.Errorf("%d events, %v, want all but the damaged one", len(events), err)
	}
	if p := s.Position("log"); p != nil {
		t.Errorf("a damaged cursor was trusted: %q", p)
	}
	before, err := s.Items(100)
	if err != nil {
		t.Fatal(err)
	}
	claimed := map[string]bool{}
	for {
		item, ok, _, err := c.Outbox("abuseipdb").Claim(t.Context(), storetest.Event(1<<20).Time)
		if err != nil {
			t.Fatal(err)
		}
		if !ok {
			break
		}
		claimed[item.ID] = true
	}
	if len(claimed) == 0 || len(claimed) > len(before) {
		t.Errorf("%d claimed of %d", len(claimed), len(before))
	}
	if n := s.Stats().Damaged; n < 3 {
		t.Errorf("%d damaged records were counted, want 3", n)
	}
	again, _ := open(t, b, storetest.Options())
	if n := again.Stats().Damaged; n == 0 {
		t.Error("nothing lies aside")
	}
}

// With too many addresses, those make way that are worth least: not the one that was told of, not the busy one.
func TestLeastValuableAddressesMakeWay(t *testing.T) {
	o := storetest.Options()
	o.Addresses = 6000
	s, _ := open(t, mem.New(0), o)
	at := storetest.Event(0).Time
	commit(t, s, from("45.1.1.1", 3, at)...) // reported
	busy := from("45.1.1.2", 2000, at)
	for i := range busy {
		busy[i].Kind = event.Probe // nothing is told of it
	}
	commit(t, s, busy...)
	for n := 0; n < 60000; n += 2000 {
		var flood []event.Event
		for i := range 2000 {
			e := storetest.Event(0)
			k := uint32(n+i) * 2654435761
			e.Addr = netip.AddrFrom4([4]byte{byte(k >> 24), byte(k >> 16), byte(k >> 8), byte(k)})
			e.Time = at.Add(time.Duration(n+i) * time.Second)
			e.Received = e.Time
			flood = append(flood, e)
		}
		commit(t, s, flood...)
	}
	stats := s.Stats()
	if stats.Addresses > 6000+4096+2000 || stats.Evicted["addresses"] == 0 {
		t.Errorf("%d addresses, %v", stats.Addresses, stats.Evicted)
	}
	for _, addr := range []string{"45.1.1.1", "45.1.1.2"} {
		if _, ok, err := s.Address(netip.MustParseAddr(addr)); !ok || err != nil {
			t.Errorf("%s made way: %v", addr, err)
		}
	}
}

// What is too old goes, but not all at once because a clock jumped ahead for a while.
func TestAge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := storetest.Options()
		o.EventAge, o.AddressAge, o.SettledAge = 30*24*time.Hour, 90*24*time.Hour, 90*24*time.Hour
		s, _ := open(t, mem.New(0), o)
		for range 20 {
			commit(t, s, from("45.1.1.1", 5, time.Now())...)
			<-time.After(time.Minute)
		}
		<-time.After(40 * 24 * time.Hour) // by the monotonic clock as well
		commit(t, s, from("45.1.1.2", 1, time.Now())...)
		if n := s.Stats().Events; n != 1 {
			t.Errorf("%d events, want only that of today", n)
		}
		if _, ok, _ := s.Address(netip.MustParseAddr("45.1.1.1")); !ok {
			t.Error("an address was forgotten after 40 days")
		}
	})
}

// An address is found in memory and, folded, in the file; and after a restart in either.
func TestAddressesAreFolded(t *testing.T) {
	b := mem.New(0)
	s, _ := open(t, b, storetest.Options())
	const n = 48000 // folding begins at 32768
	for from := 0; from < n; from += 500 {
		var events []event.Event
		for i := range 500 {
			e := storetest.Event(0)
			e.Addr = netip.AddrFrom4([4]byte{45, 9, byte((from + i) >> 8), byte(from + i)})
			events = append(events, e)
		}
		commit(t, s, events...)
	}
	folded := 0
	err := b.View(func(tx store.ReadTx) error {
		tx.Scan(store.Addresses, nil, nil, false, func(_, _ []byte) bool { folded++; return true })
		return nil
	})
	if err != nil || folded < 1000 || folded == n {
		t.Errorf("%d of %d addresses are folded, %v", folded, n, err)
	}
	again, _ := open(t, b, storetest.Options())
	for i := range n {
		for _, s := range []*store.Store{s, again} {
			if a, ok, err := s.Address(netip.AddrFrom4([4]byte{45, 9, byte(i >> 8), byte(i)})); !ok || err != nil || a.Total() != 1 {
				t.Fatalf("address %d: %+v, %v, %v", i, a, ok, err)
			}
		}
	}
	if x, y := s.Stats().Addresses, again.Stats().Addresses; x != n || y != n {
		t.Errorf("%d and %d addresses are counted, want %d", x, y, n)
	}
	// and without the record of counts
	err = b.Update(func(tx store.Tx) error { return tx.Delete(store.Meta, []byte(store.CountsKey)) })
	if err != nil {
		t.Fatal(err)
	}
	again, _ = open(t, b, storetest.Options())
	if x, y := s.Stats(), again.Stats(); x.Addresses != y.Addresses || x.Events != y.Events || x.LastSeq != y.LastSeq || fmt.Sprint(x.Items) != fmt.Sprint(y.Items) {
		t.Errorf("counted again: %+v, want %+v", y, x)
	}
}

func TestV6AddressIsItsNetwork(t *testing.T) {
	s, _ := open(t, mem.New(0), storetest.Options())
	commit(t, s, from("2a02:6b8::1", 2, storetest.Event(0).Time)...)
	a, ok, err := s.Address(netip.MustParseAddr("2a02:6b8::ffff"))
	if err != nil || !ok || a.Total() != 2 || a.Network != netip.MustParsePrefix("2a02:6b8::/64") || !slices.Equal(a.Events, []uint64{1, 2}) {
		t.Errorf("%+v, %v, %v", a, ok, err)
	}
	if _, ok, _ := s.Address(netip.Addr{}); ok {
		t.Error("no address is known")
	}
}

func TestConfig(t *testing.T) {
	var none store.Config
	none.Check(func(path, problem string) { t.Errorf("defaults: %s: %s", path, problem) })
	none.Defaults()
	none.Check(func(path, problem string) { t.Errorf("defaults: %s: %s", path, problem) })
	faulty := store.Config{
		Path: "a//state.db", MaxSize: 1, Events: -1, EventAge: setting.Duration(time.Second), Addresses: 1, AddressAge: 1, Waiting: 1, Settled: 1, SettledAge: 1,
	}
	var paths []string
	faulty.Check(func(path, _ string) { paths = append(paths, path) })
	if want := "path max_size events addresses waiting settled event_age address_age settled_age"; strings.Join(paths, " ") != want {
		t.Errorf("faults at %q, want %q", paths, want)
	}
}

// A single event is durable soon; a cursor alone may wait, but not for long.
func TestLinger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, err := store.New(mem.New(0), storetest.Options())
		if err != nil {
			t.Fatal(err)
		}
		c := store.NewCommitter(s, nil, store.CommitterOptions{})
		ctx, cancel := context.WithCancel(t.Context())
		ran := make(chan error, 1)
		go func() { ran <- c.Run(ctx) }()
		if err := c.Submit(ctx, nil, "log", []byte("1")); err != nil {
			t.Fatal(err)
		}
		<-time.After(900 * time.Millisecond)
		synctest.Wait()
		if s.Position("log") != nil {
			t.Error("a cursor alone cost a transaction at once")
		}
		<-time.After(101 * time.Millisecond)
		synctest.Wait()
		if s.Position("log") == nil {
			t.Error("a cursor alone is not durable after a second")
		}
		if err := c.Submit(ctx, from("45.1.1.1", 1, time.Now()), "log", []byte("2")); err != nil {
			t.Fatal(err)
		}
		<-time.After(21 * time.Millisecond)
		synctest.Wait()
		if string(s.Position("log")) != "2" || s.Stats().Events != 1 {
			t.Error("an event is not durable after 21 ms")
		}
		beat := c.Beat()
		<-time.After(5 * time.Second)
		if c.Beat() == beat {
			t.Error("an idle committer looks dead")
		}
		cancel()
		if err := <-ran; err != nil {
			t.Error(err)
		}
	})
}

// Couriers ask for their first transactions while the committer is about to run. Each gets it, whoever is first.
func TestRequestsWhileItStarts(t *testing.T) {
	for range 4000 { // the order is the scheduler's choice
		_, c := open(t, mem.New(0), storetest.Options())
		ctx, cancel := context.WithCancel(t.Context())
		var couriers, run sync.WaitGroup
		for _, name := range []string{"abuseipdb", "mail"} {
			couriers.Go(func() {
				if _, err := c.Outbox(name).Recover(ctx, time.Now(), store.Uncertainty{}); err != nil {
					t.Error(err)
				}
			})
		}
		run.Go(func() {
			if err := c.Run(ctx); err != nil {
				t.Error(err)
			}
		})
		served := make(chan struct{})
		go func() { couriers.Wait(); close(served) }()
		select {
		case <-served:
		case <-time.After(20 * time.Second):
			t.Error("a courier waits for as long as the committer runs")
		}
		cancel()
		run.Wait()
		<-served
		if t.Failed() {
			return
		}
	}
}
