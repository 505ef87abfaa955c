package store_test

import (
	"context"
	"math/rand/v2"
	"net/netip"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"tattled/event"
	"tattled/store"
	"tattled/store/bolt"
	"tattled/store/mem"
	"tattled/store/storetest"
)

// foldsAbove is more addresses than are left unfolded.
const foldsAbove = 34_000

// visitor is the n-th of many addresses.
func visitor(n int) netip.Addr { return netip.AddrFrom4([4]byte{45, 9, byte(n >> 8), byte(n)}) }

// visits has each of n addresses come once, a thousand in a commit, and then so many commits of one address that all of them
// are folded and what was written of them before is pruned.
func visits(n int, submit func([]event.Event)) {
	for from := 0; from < n; from += 1000 {
		var events []event.Event
		for i := from; i < min(from+1000, n); i++ {
			e := storetest.Event(0)
			e.Addr = visitor(i)
			events = append(events, e)
		}
		submit(events)
	}
	for range 200 {
		submit(from("45.1.1.1", 1, storetest.Event(0).Time))
	}
}

// Memory has only where Recent has an address. What is damaged there is put aside, known as lost and counted, and costs nobody
// else anything.
func TestDamagedPlaces(t *testing.T) {
	b := mem.New(0)
	s, _ := open(t, b, storetest.Options())
	commits := 0
	damaged := func() uint64 { return s.Stats().Damaged }
	visits(foldsAbove, func(events []event.Event) {
		commit(t, s, events...)
		if commits++; commits != 1 {
			return
		}
		err := b.Update(func(tx store.Tx) error {
			var keys, values [][]byte
			tx.Scan(store.Recent, nil, nil, false, func(k, v []byte) bool {
				keys, values = append(keys, slices.Clone(k)), append(values, slices.Clone(v))
				return len(keys) < 2
			})
			for i, v := range values {
				v[len(v)-1] ^= 1
				if err := tx.Put(store.Recent, keys[i], v); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if _, ok, err := s.Address(visitor(0)); ok || err != nil || damaged() != 1 {
			t.Errorf("a reader found what is damaged: %v, %v, %d counted", ok, err, damaged())
		}
		again := storetest.Event(0)
		again.Addr = visitor(0)
		commit(t, s, again)
	})
	lost := 0
	for i := range foldsAbove {
		a, ok, err := s.Address(visitor(i))
		if !ok || err != nil {
			t.Fatalf("address %d: %v, %v", i, ok, err)
		}
		if a.Total() == 0 {
			lost++
		}
	}
	if lost == 0 || lost > 30 || damaged() < 2 {
		t.Errorf("of two damaged parts %d addresses are known as lost, %d records are counted", lost, damaged())
	}
	if n := s.Stats().Addresses; n != foldsAbove+1 {
		t.Errorf("%d addresses, want %d", n, foldsAbove+1)
	}
}

// Who reads an address while it is folded, and while what was written of it before is pruned, finds it.
func TestAddressesAreFoundWhileTheyMove(t *testing.T) {
	b, _, err := bolt.Open(filepath.Join(t.TempDir(), "state.db"), bolt.Options{})
	if err != nil {
		t.Fatal(err)
	}
	s, err := store.New(b, storetest.Options())
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	var known atomic.Int64
	c := store.NewCommitter(s, nil, store.CommitterOptions{Linger: time.Microsecond, OnCommit: func(events []event.Event, _ []event.Report) {
		if len(events) == 1000 {
			known.Add(1000)
		}
	}})
	ctx, cancel := context.WithCancel(t.Context())
	ran := make(chan error, 1)
	go func() { ran <- c.Run(ctx) }()
	var reading sync.WaitGroup
	over := make(chan struct{})
	for range 2 {
		reading.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-over:
					t.Logf("%d looks", n)
					return
				default:
				}
				if k := int(known.Load()); k > 0 {
					addr := visitor(rand.IntN(k))
					if a, ok, err := s.Address(addr); !ok || err != nil || a.Total() != 1 {
						t.Errorf("%s: %v, %v, %d events", addr, ok, err, a.Total())
						return
					}
				}
			}
		})
	}
	visits(foldsAbove, func(events []event.Event) {
		if err := c.Submit(ctx, events, "", nil); err != nil {
			t.Error(err)
		}
		if err := c.Do(ctx, func(*store.WriteTx) error { return nil }); err != nil { // a commit for each
			t.Error(err)
		}
	})
	close(over)
	reading.Wait()
	cancel()
	if err := <-ran; err != nil {
		t.Fatal(err)
	}
	left := 0
	err = b.View(func(tx store.ReadTx) error {
		tx.Scan(store.Recent, nil, nil, false, func(_, _ []byte) bool { left++; return true })
		return nil
	})
	if err != nil || left > 1000 {
		t.Errorf("%d records are left in Recent, %v", left, err)
	}
}
