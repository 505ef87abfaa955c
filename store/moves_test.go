package store_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"tattled/event"
	"tattled/store"
	"tattled/store/mem"
	"tattled/store/storetest"
)

// fullNow is a backend of which some transactions find no space, after all of them was done.
type fullNow struct {
	store.Backend
	fail func() bool
}

func (f *fullNow) Update(fn func(store.Tx) error) error {
	return f.Backend.Update(func(tx store.Tx) error {
		if err := fn(tx); err != nil {
			return err
		}
		if f.fail() {
			return fmt.Errorf("%w: for now", store.ErrFull)
		}
		return nil
	})
}

// Addresses come, come again, are folded, pruned and given up, many of them in one group, while transactions find no space and
// requests fail after they wrote. Of each that came every event is counted since it was given up last, and whoever opens the
// store again finds the same.
func TestAddressesThroughAllMoves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { throughAllMoves(t, rand.New(rand.NewPCG(1, 7))) })
}

func throughAllMoves(t *testing.T, random *rand.Rand) {
	const peers = 2200
	o := storetest.Options()
	o.Addresses, o.Events, o.Settled, o.Waiting = 1500, 100, 100, 100
	failing := false
	kept := mem.New(0)
	b := &fullNow{kept, func() bool { return failing && random.IntN(10) == 0 }}
	s, err := store.New(b, o)
	if err != nil {
		t.Fatal(err)
	}
	failing = true
	c := store.NewCommitter(s, storetest.Policy(), store.CommitterOptions{Linger: time.Millisecond, MaxGroup: 50000})
	ctx, cancel := context.WithCancel(t.Context())
	ran := make(chan error, 1)
	go func() { ran <- c.Run(ctx) }()
	stop := sync.OnceValue(func() error { cancel(); return <-ran })
	defer func() { _ = stop() }() // where the test failed
	synctest.Wait()               // before it runs, a request has a transaction of its own
	total := func(s *store.Store, n int) uint64 {
		a, ok, err := s.Address(visitor(n))
		if err != nil || ok && a.Total() == 0 {
			t.Fatalf("address %d: %v, %d events", n, err, a.Total())
		}
		return a.Total()
	}
	refused := errors.New("no")
	for round := range 2400 { // two laps of folding
		events, came := crowd(random, round, peers)
		before := map[int]uint64{}
		for n := range came {
			before[n] = total(s, n)
		}
		if err := c.Submit(ctx, events, "", nil); err != nil {
			t.Fatal(err)
		}
		err := c.Do(ctx, func(tx *store.WriteTx) error {
			if err := tx.PutNote("k", []byte("v")); err != nil || random.IntN(4) > 0 {
				return err
			}
			return refused
		})
		if err != nil && !errors.Is(err, refused) {
			t.Fatal(err)
		}
		for n, more := range came {
			if now := total(s, n); now != before[n]+more {
				t.Fatalf("round %d: address %d had %d events, then came %d, now it has %d", round, n, before[n], more, now)
			}
		}
		switch {
		case round%300 == 299:
			reopened(t, s, kept, o, peers)
		case round%1024 < 8 || round%50 == 49:
			if n := known(t, s, peers); n != s.Stats().Addresses {
				t.Fatalf("round %d: %d addresses are found, %d counted", round, n, s.Stats().Addresses)
			}
		}
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	if n := s.Stats().Evicted["addresses"]; n < 1000 {
		t.Errorf("%d addresses were given up", n)
	}
}

// crowd is what comes in a round, and how many events of each peer.
func crowd(random *rand.Rand, round, peers int) (events []event.Event, came map[int]uint64) {
	size := 1 + random.IntN(6)
	switch {
	case round%150 == 0:
		size = 1 + random.IntN(4000)
	case round%1024 < 8: // many are given up while folding begins
		size = 200
	}
	came = map[int]uint64{}
	for range size {
		n := random.IntN(peers)
		e := storetest.Event(round)
		e.Addr = visitor(n)
		events, came[n] = append(events, e), came[n]+1
	}
	return events, came
}

// known returns how many of the peers are found.
func known(t *testing.T, s *store.Store, peers int) (found uint64) {
	t.Helper()
	for n := range peers {
		_, ok, err := s.Address(visitor(n))
		if err != nil {
			t.Fatal(err)
		}
		if ok {
			found++
		}
	}
	return found
}

// reopened compares s with what somebody finds who opens the store now.
func reopened(t *testing.T, s *store.Store, kept store.Backend, o store.Options, peers int) {
	t.Helper()
	again, err := store.New(kept, o)
	if err != nil {
		t.Fatal(err)
	}
	for n := range peers {
		was, knew, err := s.Address(visitor(n))
		is, knows, failed := again.Address(visitor(n))
		if err != nil || failed != nil || knew != knows || !reflect.DeepEqual(was, is) {
			t.Fatalf("address %d was %v %+v, and is %v %+v when the store is opened again (%v, %v)", n, knew, was, knows, is, err, failed)
		}
	}
	found := known(t, s, peers)
	if x, y := s.Stats(), again.Stats(); x.Addresses != found || y.Addresses != found || x.Damaged+y.Damaged != 0 {
		t.Fatalf("%d addresses are found, %d and %d counted, %d and %d damaged", found, x.Addresses, y.Addresses, x.Damaged, y.Damaged)
	}
	parts := 0
	err = kept.View(func(tx store.ReadTx) error {
		tx.Scan(store.Recent, nil, nil, false, func(_, _ []byte) bool { parts++; return true })
		return nil
	})
	if err != nil || parts > 20000 {
		t.Fatalf("%d parts are left in Recent, %v", parts, err)
	}
}

// flipRecent damages what the newest commit left in Recent.
func flipRecent(t *testing.T, b store.Backend) {
	t.Helper()
	err := b.Update(func(tx store.Tx) error {
		var key, value []byte
		tx.Scan(store.Recent, nil, nil, true, func(k, v []byte) bool {
			key, value = slices.Clone(k), slices.Clone(v)
			return false
		})
		value[len(value)-1] ^= 1
		return tx.Put(store.Recent, key, value)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// Two addresses share a part of Recent that is damaged while the store is open. The first that comes again has it put aside. The
// other was reported in it: it is not reported a second time after a restart, though an older state of it is there.
func TestDamagedPartAndARestart(t *testing.T) {
	for _, restart := range []bool{false, true} {
		b := mem.New(0)
		s, _ := open(t, b, storetest.Options())
		now := storetest.Event(0).Time
		s.SetClock(func() time.Time { return now }, func() time.Duration { return time.Second })
		held := func(s *store.Store, events []event.Event) {
			t.Helper()
			c := store.NewCommitter(s, storetest.Policy(), store.CommitterOptions{Hold: map[string]time.Duration{"abuseipdb": 24 * time.Hour, "mail": 24 * time.Hour}})
			if err := c.Submit(t.Context(), events, "", nil); err != nil {
				t.Fatal(err)
			}
			ended, cancel := context.WithCancel(t.Context())
			cancel()
			if err := c.Run(ended); err != nil {
				t.Fatal(err)
			}
		}
		held(s, from("45.1.1.2", 1, now))                                      // an older state
		held(s, append(from("45.1.1.1", 1, now), from("45.1.1.2", 2, now)...)) // is reported
		flipRecent(t, b)
		now = now.Add(time.Minute)
		held(s, from("45.1.1.1", 1, now))
		if restart {
			s, _ = open(t, b, storetest.Options())
			s.SetClock(func() time.Time { return now }, func() time.Duration { return time.Second })
		}
		now = now.Add(time.Minute)
		held(s, from("45.1.1.2", 4, now))
		items, err := s.Items(100)
		if err != nil {
			t.Fatal(err)
		}
		reports := 0
		for _, i := range items {
			if i.Report.Destination == "abuseipdb" && i.Report.Addr.String() == "45.1.1.2" {
				reports++
			}
		}
		if reports != 1 || s.Stats().Addresses != 2 {
			t.Errorf("restart %v: %d reports of one address, %d addresses", restart, reports, s.Stats().Addresses)
		}
	}
}
