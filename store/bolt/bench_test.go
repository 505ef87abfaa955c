package bolt

import (
	"context"
	"encoding/binary"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"tattled/event"
	"tattled/policy"
	"tattled/setting"
	"tattled/store"
	"tattled/store/storetest"
)

const tracked = 1_000_000

// random is the n-th of many addresses, far from the one before.
func random(n uint32) netip.Addr {
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], n*2654435761)
	return netip.AddrFrom4(b)
}

func failure(n uint32, at time.Time) event.Event {
	e := storetest.Event(0)
	e.Addr, e.Time, e.Received, e.Session, e.PID = random(n), at, at, true, "4711"
	e.Line = "Failed password for root from 203.0.113.200 port 40022 ssh2"
	return e
}

// claims judges by a policy that an event reaches at threshold events.
func claims(threshold int) *policy.Policy {
	rules := []policy.Config{{
		Name: "ssh-bruteforce", When: policy.When{Kind: []event.Kind{event.AuthFailure}}, Threshold: threshold,
		Within: setting.Duration(10 * time.Minute), Do: []string{"report"},
	}}
	to := []policy.Destination{{Name: "abuseipdb", Action: policy.Report, Window: 24 * time.Hour}}
	return policy.New(rules, policy.NewGate(policy.GateConfig{}), to, nil)
}

// filled makes a file with a million addresses.
func filled(b *testing.B) string {
	b.Helper()
	if path := os.Getenv("TATTLED_BENCH_FILE"); path != "" {
		if _, err := os.Stat(path); err == nil {
			return path
		}
	}
	path := or(os.Getenv("TATTLED_BENCH_FILE"), filepath.Join(b.TempDir(), "state.db"))
	backend, _, err := Open(path, Options{})
	if err != nil {
		b.Fatal(err)
	}
	backend.db.NoSync = true
	s, err := store.New(backend, store.Config{}.Options())
	if err != nil {
		b.Fatal(err)
	}
	began := time.Now()
	c := store.NewCommitter(s, claims(5), store.CommitterOptions{MaxGroup: 50000, Linger: time.Second})
	ctx, cancel := context.WithCancel(b.Context())
	ran := make(chan error, 1)
	go func() { ran <- c.Run(ctx) }()
	for n := 0; n < tracked; n += 1000 {
		var events []event.Event
		for i := range 1000 {
			events = append(events, failure(uint32(n+i), now))
		}
		if err := c.Submit(ctx, events, "log", nil); err != nil {
			b.Fatal(err)
		}
	}
	cancel()
	if err := <-ran; err != nil {
		b.Fatal(err)
	}
	if err := backend.db.Sync(); err != nil {
		b.Fatal(err)
	}
	b.Logf("filled in %s: %+v", time.Since(began), s.Stats())
	if err := s.Close(); err != nil {
		b.Fatal(err)
	}
	return path
}

func or(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// BenchmarkStart measures how long it takes until a store with a million addresses can be used, checked whole.
func BenchmarkStart(b *testing.B) {
	path := filled(b)
	for b.Loop() {
		began := time.Now()
		f, err := os.Open(path)
		if err != nil {
			b.Fatal(err)
		}
		info, _ := f.Stat()
		if _, err := checkFile(f, info.Size()); err != nil {
			b.Fatal(err)
		}
		f.Close()
		checked := time.Since(began)
		backend, _, err := Open(path, Options{})
		if err != nil {
			b.Fatal(err)
		}
		opened := time.Since(began)
		s, err := store.New(backend, store.Config{}.Options())
		if err != nil {
			b.Fatal(err)
		}
		b.Logf("file %d MB, check %s, with it bbolt's own and all else %s, store %s", info.Size()>>20, checked, opened-checked, time.Since(began)-opened)
		if n := s.Stats().Addresses; n != tracked {
			b.Fatalf("%d addresses", n)
		}
		s.Close()
	}
}

func BenchmarkClaims(b *testing.B) {
	path := filled(b)
	for _, c := range []struct {
		name      string
		threshold int
		spread    uint32 // over how many addresses
		every     time.Duration
	}{
		{"any of a million", 5, tracked, 0},
		{"any of a million, each with a report", 1, tracked, 0},
		{"any of a thousand", 5, 1000, 0},
		{"any of a million, 20000 a second", 5, tracked, 5 * time.Millisecond},
	} {
		b.Run(c.name, func(b *testing.B) { benchmarkClaims(b, path, c.threshold, c.spread, c.every) })
	}
}

// benchmarkClaims submits a hundred events at a time: as fast as it goes, or at every tick.
func benchmarkClaims(b *testing.B, path string, threshold int, spread uint32, every time.Duration) {
	backend, _, err := Open(path, Options{})
	if err != nil {
		b.Fatal(err)
	}
	s, err := store.New(backend, store.Config{}.Options())
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	var took []time.Duration
	c := store.NewCommitter(s, claims(threshold), store.CommitterOptions{ObserveCommit: func(d time.Duration) { took = append(took, d) }})
	ctx, cancel := context.WithCancel(b.Context())
	ran := make(chan error, 1)
	go func() { ran <- c.Run(ctx) }()
	n, at, began := uint32(7), now.Add(time.Hour), time.Now()
	events := make([]event.Event, 100)
	tick := time.NewTicker(max(every, 1))
	defer tick.Stop()
	b.ReportAllocs()
	for b.Loop() {
		if every > 0 {
			<-tick.C
		}
		for i := range events {
			n = n*1664525 + 1013904223
			events[i] = failure(n>>8%spread, at)
		}
		if err := c.Submit(ctx, events, "log", nil); err != nil {
			b.Fatal(err)
		}
	}
	cancel()
	if err := <-ran; err != nil {
		b.Fatal(err)
	}
	slices.Sort(took)
	claims := float64(b.N * len(events))
	b.ReportMetric(claims/time.Since(began).Seconds(), "claims/s")
	b.ReportMetric(claims/float64(len(took)), "claims/commit")
	b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "p50-ms")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "p99-ms")
}
