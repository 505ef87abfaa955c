package storetest

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"tattled/event"
	"tattled/policy"
	"tattled/receiver"
	"tattled/setting"
	"tattled/store"
)

// noon is when the log begins.
func noon() time.Time { return time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC) }

// Options keep everything that a test writes.
func Options() store.Options {
	return store.Options{Events: 1 << 20, Addresses: 1 << 20, Waiting: 1 << 20, Settled: 1 << 20, Scores: 100, Streams: 100}
}

// Policy reports at three failures and alerts at five.
func Policy() *policy.Policy {
	rules := []policy.Config{
		{Name: "three", When: policy.When{Kind: []event.Kind{event.AuthFailure}}, Threshold: 3, Within: setting.Duration(time.Hour), Do: []string{"report"}},
		{Name: "five", When: policy.When{Kind: []event.Kind{event.AuthFailure}}, Threshold: 5, Within: setting.Duration(time.Hour), Do: []string{"alert"}},
	}
	policy.CheckAll(rules, func(path, problem string) { panic(path + ": " + problem) })
	return policy.New(rules, policy.NewGate(policy.GateConfig{}), []policy.Destination{
		{Name: "abuseipdb", Action: policy.Report, Window: 24 * time.Hour}, {Name: "mail", Action: policy.Alert, Window: 24 * time.Hour},
	}, nil)
}

// Event is the n-th event of a log: it says its number, and each address has several.
func Event(n int) event.Event {
	at := noon().Add(time.Duration(n) * time.Second)
	return event.Event{
		Time: at, Received: at, Kind: event.AuthFailure, Service: "sshd", Rule: "failed-password", Categories: []int{18, 22},
		Addr: netip.AddrFrom4([4]byte{45, 9, byte(n / 20), byte(n % 4)}), Proto: event.TCP, Handshake: true,
		User: "u" + strconv.Itoa(n%5), Trust: event.TrustReport, Source: "journal", Host: "web1", Line: "line " + strconv.Itoa(n),
	}
}

// running is a committer at work.
type running struct {
	*store.Committer
	s    *store.Store
	stop func() error // ends Run and returns what it returned
}

// start opens a store on b and lets its committer run. Nothing stops it if the test does not.
func start(t *testing.T, b store.Backend, o store.Options, co store.CommitterOptions) *running {
	t.Helper()
	s, err := store.New(b, o)
	if err != nil {
		t.Fatal(err)
	}
	c := store.NewCommitter(s, Policy(), co)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	return &running{Committer: c, s: s, stop: sync.OnceValue(func() error { cancel(); return <-done })}
}

// feed submits the numbered events that are missing, in batches with a cursor each, until the log has n or the committer
// has failed. It goes on where the store's cursor says, as a receiver does.
func (r *running) feed(t *testing.T, n int) {
	t.Helper()
	at := 0
	if cursor := r.s.Position("log"); cursor != nil {
		at, _ = strconv.Atoi(string(cursor))
	}
	for batch := 1; at < n; batch = batch%5 + 1 {
		var events []event.Event
		for ; at < n && len(events) < batch; at++ {
			events = append(events, Event(at))
		}
		if err := r.Submit(t.Context(), events, "log", receiver.Cursor(strconv.Itoa(at))); err != nil {
			return
		}
	}
}

// Same reads everything out of two stores and compares it.
func Same(t *testing.T, got, want *store.Store) {
	t.Helper()
	a, err := got.Events(0, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	b, err := want.Events(0, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	if len(a) != len(b) {
		t.Fatalf("%d events, want %d", len(a), len(b))
	}
	for i := range a {
		if a[i].Line != b[i].Line || a[i].Seq != b[i].Seq || !a[i].Time.Equal(b[i].Time) || a[i].Addr != b[i].Addr {
			t.Fatalf("event %d is %+v\nwant %+v", i, a[i], b[i])
		}
		x, _, err := got.Address(a[i].Addr)
		if err != nil {
			t.Fatal(err)
		}
		y, _, _ := want.Address(a[i].Addr)
		if x.Total() != y.Total() || !slices.Equal(x.Events, y.Events) || len(x.Windows) != len(y.Windows) || !x.Last.Equal(y.Last) {
			t.Fatalf("address %s is %+v\nwant %+v", a[i].Addr, x, y)
		}
	}
	ids := func(s *store.Store) (all []string) {
		items, err := s.Items(1 << 20)
		if err != nil {
			t.Fatal(err)
		}
		for _, i := range items {
			all = append(all, fmt.Sprint(i.ID, i.Report.Destination, i.Report.Count, i.State))
		}
		slices.Sort(all)
		return all
	}
	if x, y := ids(got), ids(want); !slices.Equal(x, y) {
		t.Fatalf("outbox %q\nwant %q", x, y)
	}
	if x, y := got.Stats(), want.Stats(); x.Events != y.Events || x.Addresses != y.Addresses || x.LastSeq != y.LastSeq ||
		fmt.Sprint(x.Items) != fmt.Sprint(y.Items) {
		t.Fatalf("stats %+v\nwant %+v", x, y)
	}
}

// undisturbed is what the log of n events leads to if nothing goes wrong, on the same sort of backend.
func (s Suite) undisturbed(t *testing.T, n int) *store.Store {
	t.Helper()
	b, _ := s.Open(t)
	r := start(t, b, Options(), store.CommitterOptions{Linger: time.Microsecond})
	r.feed(t, n)
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.s.Close() })
	return r.s
}

func (s Suite) committer(t *testing.T) {
	t.Run("what is submitted is there, numbered, and said", s.submitted)
	t.Run("stopping commits what is left", s.stopping)
	t.Run("a request that fails leaves no trace", s.failingRequest)
	t.Run("a group that is full blocks", s.backPressure)
	t.Run("retention", s.retention)
}

func (s Suite) submitted(t *testing.T) {
	b, reopen := s.Open(t)
	var mu sync.Mutex
	var said []event.Event
	var due []event.Report
	commits := make(chan struct{}, 1000)
	r := start(t, b, Options(), store.CommitterOptions{OnCommit: func(events []event.Event, d []event.Report) {
		mu.Lock()
		said, due = append(said, events...), append(due, d...)
		mu.Unlock()
		commits <- struct{}{}
	}})
	began := time.Now()
	if err := r.Submit(t.Context(), []event.Event{Event(0)}, "log", receiver.Cursor("1")); err != nil {
		t.Fatal(err)
	}
	<-commits
	t.Logf("a single event was durable after %s", time.Since(began))
	r.feed(t, 500)
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	if len(said) != 500 {
		t.Fatalf("%d events were said to be durable, want 500", len(said))
	}
	for i, e := range said {
		if e.Seq != uint64(i+1) || e.Line != fmt.Sprint("line ", i) {
			t.Fatalf("event %d was said as %d, %q", i, e.Seq, e.Line)
		}
	}
	if stats := r.s.Stats(); len(due) == 0 || stats.Items["abuseipdb"][store.Pending]+stats.Items["mail"][store.Pending] != uint64(len(due)) {
		t.Errorf("%d reports were said to be due, and the outbox has %v", len(due), stats.Items)
	}
	latest, err := r.s.Latest(3)
	if err != nil || len(latest) != 3 || latest[2].Seq != 500 {
		t.Errorf("latest: %+v, %v", latest, err)
	}
	if after, _ := r.s.Events(498, 10); len(after) != 2 || after[0].Seq != 499 || after[0].User != "u3" || after[0].Categories[1] != 22 {
		t.Errorf("events after 498: %+v", after)
	}
	if err := r.s.Close(); err != nil {
		t.Fatal(err)
	}
	again, err := store.New(reopen(), Options())
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	Same(t, again, s.undisturbed(t, 500))
}

func (s Suite) stopping(t *testing.T) {
	b, _ := s.Open(t)
	r := start(t, b, Options(), store.CommitterOptions{Linger: time.Hour})
	defer r.s.Close()
	r.feed(t, 10)
	if err := r.Submit(t.Context(), nil, "other", receiver.Cursor("x")); err != nil {
		t.Fatal(err)
	}
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	if n := r.s.Stats().Events; n != 10 {
		t.Errorf("%d events after the stop, want 10", n)
	}
	if p, q := r.s.Position("log"), r.s.Position("other"); string(p) != "10" || string(q) != "x" {
		t.Errorf("cursors %q and %q, want 10 and x", p, q)
	}
	if p := r.s.Position("never seen"); p != nil {
		t.Errorf("cursor %q of a stream that was never seen", p)
	}
	if err := r.Submit(t.Context(), nil, "log", nil); !errors.Is(err, store.ErrStopped) {
		t.Errorf("submit after the stop: %v", err)
	}
	if err := r.PutNote(t.Context(), "k", []byte("v")); err != nil || string(r.s.Note("k")) != "v" {
		t.Errorf("what a courier settles after the stop is lost: %v", err)
	}
}

func (s Suite) failingRequest(t *testing.T) {
	b, _ := s.Open(t)
	r := start(t, b, Options(), store.CommitterOptions{})
	defer r.s.Close()
	defer func() { _ = r.stop() }() // the test says what went wrong
	var all sync.WaitGroup
	for i := range 50 {
		all.Go(func() {
			err := r.Do(t.Context(), func(tx *store.WriteTx) error {
				if err := tx.PutNote(fmt.Sprint("note", i), []byte("v")); err != nil {
					return err
				}
				if i%3 == 0 {
					return errOurs
				}
				return nil
			})
			if (i%3 == 0) != errors.Is(err, errOurs) {
				t.Errorf("request %d: %v", i, err)
			}
		})
	}
	r.feed(t, 100)
	all.Wait()
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	for i := range 50 {
		if there := r.s.Note(fmt.Sprint("note", i)) != nil; there == (i%3 == 0) {
			t.Errorf("note %d is there: %v", i, there)
		}
	}
	if n := r.s.Stats().Events; n != 100 {
		t.Errorf("%d events, want 100: a request that failed took events with it, or counted them twice", n)
	}
	put := store.Score{Value: 77, MaxAge: 90 * 24 * time.Hour, At: noon().Add(time.Hour)}
	if err := r.PutScore(t.Context(), Event(1).Addr, put); err != nil {
		t.Fatal(err)
	}
	other := store.Score{Value: 12, MaxAge: 24 * time.Hour, At: noon()}
	if err := r.PutScore(t.Context(), Event(1).Addr, other); err != nil {
		t.Fatal(err)
	}
	for _, want := range []store.Score{put, other} { // of the same address, each for the reports of its own time
		if score, ok := r.s.Score(Event(1).Addr, want.MaxAge); !ok || score != want {
			t.Errorf("score %+v, %v, want %+v", score, ok, want)
		}
	}
	if score, ok := r.s.Score(Event(1).Addr, 30*24*time.Hour); ok {
		t.Errorf("score %+v of a time that nobody asked for", score)
	}
}

func (s Suite) backPressure(t *testing.T) {
	b, _ := s.Open(t)
	gate := &faulty{Backend: b}
	r := start(t, gate, Options(), store.CommitterOptions{Linger: time.Microsecond, MaxGroup: 10})
	defer r.s.Close()
	gate.hold.Lock()
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	n := 0
	for ; ; n++ {
		if err := r.Submit(ctx, []event.Event{Event(n)}, "log", receiver.Cursor(strconv.Itoa(n+1))); err != nil {
			break
		}
		if n > 100 {
			t.Fatal("nothing holds up a source while nothing is committed")
		}
	}
	gate.hold.Unlock()
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	if p := r.s.Position("log"); n < 10 || string(p) != strconv.Itoa(n) {
		t.Errorf("%d events were taken, and the cursor is %q", n, p)
	}
}

func (s Suite) retention(t *testing.T) {
	b, _ := s.Open(t)
	o := store.Options{Events: 100, Addresses: 50, Waiting: 20, Settled: 10, Scores: 5, Streams: 10}
	r := start(t, b, o, store.CommitterOptions{Linger: time.Microsecond, MaxGroup: 20})
	defer r.s.Close()
	r.feed(t, 3000)
	for i := range 100 {
		if err := r.PutScore(t.Context(), netip.AddrFrom4([4]byte{45, 1, 1, byte(i)}), store.Score{Value: i, At: noon()}); err != nil {
			t.Fatal(err)
		}
		if err := r.Submit(t.Context(), nil, fmt.Sprint("stream", i), receiver.Cursor("x")); err != nil {
			t.Fatal(err)
		}
	}
	out := r.Outbox("abuseipdb")
	for {
		item, ok, _, err := out.Claim(t.Context(), noon().Add(time.Hour))
		if err != nil {
			t.Fatal(err)
		}
		if !ok {
			break
		}
		if err := out.Settle(t.Context(), item.ID, store.Settlement{State: store.Delivered}); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	stats := r.s.Stats()
	if stats.Events > 100 || stats.LastSeq != 3000 || stats.Evicted["events"] != 2900 {
		t.Errorf("events: %+v", stats)
	}
	var items uint64
	for _, n := range stats.Items["abuseipdb"] {
		items += n
	}
	if items > 11 || stats.Evicted["items"] == 0 || stats.Items["mail"][store.Pending] > 20 {
		t.Errorf("items: %+v", stats.Items)
	}
	if gone := stats.Expired["abuseipdb"].Reports + stats.Expired["mail"].Reports; gone == 0 || gone != stats.Evicted["waiting"] || stats.Expired["mail"].Last.IsZero() {
		t.Errorf("reports given up unsent: %+v, evicted %+v", stats.Expired, stats.Evicted)
	}
	if stats.Evicted["scores"] < 90 || stats.Evicted["streams"] < 80 {
		t.Errorf("evicted: %+v", stats.Evicted)
	}
	if latest, _ := r.s.Latest(1000); len(latest) != int(stats.Events) || latest[len(latest)-1].Line != "line 2999" {
		t.Errorf("%d events are left, and %d are counted", len(latest), stats.Events)
	}
}
