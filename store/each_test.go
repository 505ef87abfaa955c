package store_test

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"tattled/event"
	"tattled/store"
	"tattled/store/mem"
	"tattled/store/storetest"
)

// The items of one address are found among those of others, whatever form its address has; of IPv6 those of its /64.
func TestItemsOf(t *testing.T) {
	s, c := open(t, mem.New(0), storetest.Options())
	ended := make(chan error, 1)
	ctx, cancel := context.WithCancel(t.Context())
	go func() { ended <- c.Run(ctx) }()
	defer func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}()
	at := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	for i, addr := range []string{"203.0.113.9", "203.0.113.10", "2001:db8:1:2::3", "2001:db8:1:2:ffff::4", "2001:db8:1:3::3", "64:ff9b::203.0.113.9", "203.0.113.9"} {
		r := &event.Report{
			ID: fmt.Sprint("r", i), Destination: "abuseipdb", Policy: "p", Addr: netip.MustParseAddr(addr), Kind: event.AuthFailure, Service: "sshd",
			Rule: "failed-password", Judged: at, First: at, Last: at, Count: 5,
		}
		if err := c.Do(t.Context(), func(tx *store.WriteTx) error { _, err := tx.AddReport(r, at); return err }); err != nil {
			t.Fatal(err)
		}
	}
	for addr, want := range map[string][]string{
		"203.0.113.9": {"r6", "r5", "r0"}, "64:ff9b::cb00:7109": {"r6", "r5", "r0"}, "203.0.113.10": {"r1"}, "2001:db8:1:2::99": {"r3", "r2"}, "198.51.100.1": nil,
	} {
		items, err := s.ItemsOf(netip.MustParseAddr(addr), 10)
		var got []string
		for _, i := range items {
			got = append(got, i.ID)
		}
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v (%v)", addr, got, want, err)
		}
	}
	if items, _ := s.ItemsOf(netip.MustParseAddr("203.0.113.9"), 1); len(items) != 1 || items[0].ID != "r6" {
		t.Errorf("one at most: %v", items)
	}
	addr := netip.MustParseAddr("203.0.113.9")
	for days, value := range map[int]int{30: 10, 90: 20, 7: 30} {
		score := store.Score{Value: value, At: at.Add(time.Duration(value) * time.Hour), MaxAge: time.Duration(days) * 24 * time.Hour}
		if err := c.PutScore(t.Context(), addr, score); err != nil {
			t.Fatal(err)
		}
	}
	if score, ok := s.NewestScore(addr); !ok || score.Value != 30 || score.MaxAge != 7*24*time.Hour {
		t.Errorf("the newest score is %+v, %v", score, ok)
	}
	if score, ok := s.NewestScore(addr.Next()); ok {
		t.Errorf("a score of nobody: %+v", score)
	}
	n := 0
	if err := s.EachItem(func(*store.Item) bool { n++; return n < 4 }); err != nil || n != 4 {
		t.Errorf("%d items, %v", n, err)
	}
}
