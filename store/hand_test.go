package store_test

import (
	"context"
	"net/netip"
	"testing"
	"time"

	"tattled/event"
	"tattled/policy"
	"tattled/store"
	"tattled/store/mem"
	"tattled/store/storetest"
)

// handStore is a store whose committer runs.
type handStore struct {
	*store.Store
	c *store.Committer
	t *testing.T
}

func openHand(t *testing.T, b store.Backend) (*handStore, func()) {
	t.Helper()
	s, c := open(t, b, storetest.Options())
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- c.Run(ctx) }()
	return &handStore{s, c, t}, func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
}

func (h *handStore) report(addr string, at time.Time) (r event.Report, until time.Time) {
	h.t.Helper()
	r = event.Report{Destination: "abuseipdb", Addr: netip.MustParseAddr(addr), Kind: event.Probe, Count: 1, First: at, Last: at, Categories: []int{14}, Comment: "c"}
	err := h.c.Do(h.t.Context(), func(tx *store.WriteTx) (err error) {
		until, err = tx.ReportByHand(&r, at)
		return err
	})
	if err != nil {
		h.t.Fatal(err)
	}
	return r, until
}

func (h *handStore) retract(addr string, at time.Time) (withdrawn int, until time.Time) {
	h.t.Helper()
	err := h.c.Do(h.t.Context(), func(tx *store.WriteTx) (err error) {
		withdrawn, until, err = tx.Retract("abuseipdb", netip.MustParseAddr(addr), "retracted by hand", at)
		return err
	})
	if err != nil {
		h.t.Fatal(err)
	}
	return withdrawn, until
}

// submit submits events that would be reported, and returns how many items for AbuseIPDB there are after it.
func (h *handStore) submit(addr string, at time.Time) (items int) {
	h.t.Helper()
	want := h.Stats().Events + 3
	if err := h.c.Submit(h.t.Context(), from(addr, 3, at), "", nil); err != nil {
		h.t.Fatal(err)
	}
	for limit := time.After(20 * time.Second); h.Stats().Events < want; {
		select {
		case <-limit:
			h.t.Fatal("the events were not committed")
		case <-time.After(time.Millisecond):
		}
	}
	all, err := h.ItemsOf(netip.MustParseAddr(addr), 100)
	if err != nil {
		h.t.Fatal(err)
	}
	for _, i := range all {
		if i.Report.Destination == "abuseipdb" {
			items++
		}
	}
	return items
}

// What is reported by hand keeps to the window, which it opens for everybody: for another one by hand, and for the policies. All of that is
// there after a restart.
func TestReportByHand(t *testing.T) {
	b := mem.New(0)
	h, stop := openHand(t, b)
	at := time.Now().Truncate(time.Second)
	const addr = "45.10.1.1"
	r, until := h.report(addr, at)
	if !until.IsZero() || r.ID == "" || r.Policy != policy.ByHand {
		t.Errorf("%+v, %v", r, until)
	}
	items, _ := h.ItemsOf(r.Addr, 10)
	if len(items) != 1 || items[0].State != store.Pending || items[0].Report.Comment != "c" || items[0].ID != r.ID {
		t.Errorf("%+v", items)
	}
	stop()
	h, stop = openHand(t, b)
	defer stop()
	if _, until = h.report(addr, at.Add(time.Hour)); !until.Equal(at.Add(24 * time.Hour)) {
		t.Errorf("a second one in the window: %v", until)
	}
	if n := h.submit(addr, at.Add(2*time.Hour)); n != 1 {
		t.Errorf("%d reports in a window", n)
	}
	if n := h.submit("45.10.1.2", at); n != 1 {
		t.Errorf("%d reports of another address, want the policy's", n)
	}
	if _, until = h.report("45.10.1.2", at.Add(time.Hour)); until.IsZero() {
		t.Error("it was reported by hand in the window that a policy had opened")
	}
	if _, until = h.report(addr, at.Add(25*time.Hour)); !until.IsZero() {
		t.Errorf("not after the window either: %v", until)
	}
}

// What was retracted is not sent if it waits, is held back for a window, and everybody sees why.
func TestRetract(t *testing.T) {
	h, stop := openHand(t, mem.New(0))
	defer stop()
	at := time.Now().Truncate(time.Second)
	const addr = "2a02:c207:1:1::7"
	if n := h.submit("2a02:c207:1:1::8", at); n != 1 { // in the same /64
		t.Fatalf("%d reports", n)
	}
	withdrawn, until := h.retract(addr, at.Add(time.Hour))
	if withdrawn != 1 || !until.Equal(at.Add(25*time.Hour)) {
		t.Errorf("%d withdrawn, held back until %v", withdrawn, until)
	}
	items, _ := h.ItemsOf(netip.MustParseAddr(addr), 10)
	for _, i := range items {
		if i.Report.Destination == "abuseipdb" && (i.State != store.Dismissed || i.Detail == "" || i.Settled.IsZero()) {
			t.Errorf("%+v", i)
		}
	}
	if items[0].Report.Policy != policy.Retracted {
		t.Errorf("the newest is %+v", items[0])
	}
	if n := h.submit(addr, at.Add(20*time.Hour)); n != 2 {
		t.Errorf("%d items, want no third one in the time that it is held back", n)
	}
	if _, until := h.report(addr, at.Add(20*time.Hour)); until.IsZero() {
		t.Error("it was reported by hand in the time that it is held back")
	}
	if _, ok, next, err := h.c.Outbox("abuseipdb").Claim(t.Context(), at.Add(48*time.Hour)); ok || err != nil || !next.IsZero() {
		t.Errorf("something waits: %v, %v, %v", ok, next, err)
	}
	if counts := h.Stats().Items["abuseipdb"]; counts[store.Dismissed] != 2 || counts[store.Pending] != 0 {
		t.Errorf("%v", counts)
	}
}
