package storetest

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"tattled/store"
)

// many claims and settles many items at once, each once; what is claimed is so after a restart.
func (s Suite) many(t *testing.T) {
	b, reopen := s.Open(t)
	r := start(t, b, Options(), store.CommitterOptions{Linger: time.Microsecond})
	out := r.Outbox("abuseipdb")
	if all, err := out.ClaimUpTo(t.Context(), noon(), 10); len(all) != 0 || err != nil || out.Waiting() != 0 {
		t.Fatalf("an empty outbox: %v, %v", all, err)
	}
	const items = 2_500
	err := r.Do(t.Context(), func(tx *store.WriteTx) error {
		for n := range items {
			if _, err := tx.AddReport(report(n), noon().Add(time.Duration(n)*time.Second)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	at := noon().Add(time.Duration(items-101) * time.Second) // the last hundred are not due
	first, err := out.ClaimUpTo(t.Context(), at, 1_100)
	if err != nil || len(first) != 1_100 || out.Waiting() != items-1_100 {
		t.Fatalf("%d claimed, %d wait, %v", len(first), out.Waiting(), err)
	}
	second, err := out.ClaimUpTo(t.Context(), at, 10_000)
	if err != nil || len(second) != items-1_200 || out.Waiting() != 100 {
		t.Fatalf("%d claimed, %d wait, %v", len(second), out.Waiting(), err)
	}
	got := map[string]bool{}
	for _, item := range slices.Concat(first, second) {
		if item.ID != fmt.Sprintf("id-%04d", item.Report.Count-1) || item.ID >= "id-2400" || item.State != store.Claimed || item.Attempts != 1 || !item.Claimed.Equal(at) {
			t.Fatalf("claimed %+v", item)
		}
		got[item.ID] = true
	}
	if len(got) != items-100 {
		t.Errorf("%d different items were claimed", len(got))
	}
	var settled []store.Settled
	for n, item := range first {
		one := store.Settlement{State: store.Delivered, At: at, Detail: "by bulk file"}
		if n%2 == 1 {
			one = store.Settlement{State: store.Pending, At: at, RetryAt: at, UnansweredSince: at}
		}
		settled = append(settled, store.Settled{ID: item.ID, Settlement: one})
	}
	settled = append(settled, store.Settled{ID: "id-2499", Settlement: store.Settlement{State: store.Delivered}})
	missed, err := out.SettleAll(t.Context(), settled)
	if err != nil || !slices.Equal(missed, []string{"id-2499"}) {
		t.Errorf("not claimed: %v, %v", missed, err)
	}
	if _, err := out.SettleAll(t.Context(), []store.Settled{{ID: "id-1200", Settlement: store.Settlement{State: store.Claimed}}}); err == nil {
		t.Error("settled an item as claimed")
	}
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	r.s.Close()
	r = start(t, reopen(), Options(), store.CommitterOptions{Linger: time.Microsecond})
	defer r.s.Close()
	defer func() { _ = r.stop() }() // the test says what went wrong
	if got := r.s.Stats().Items["abuseipdb"]; got[store.Delivered] != 550 || got[store.Pending] != 650 || got[store.Claimed] != items-1_200 {
		t.Errorf("after a restart: %v", got)
	}
	out = r.Outbox("abuseipdb")
	if got, err := out.Recover(t.Context(), at.Add(time.Minute), store.Uncertainty{Window: 15 * time.Minute, After: store.Drop}); got.Again != items-1_200 || err != nil {
		t.Errorf("%+v, %v", got, err)
	}
	if out.Waiting() != items-550 {
		t.Errorf("%d wait", out.Waiting())
	}
}
