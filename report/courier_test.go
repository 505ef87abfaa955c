package report_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"tattled/event"
	"tattled/report"
	"tattled/report/reporttest"
	"tattled/store"
)

// script is a Sender that answers as it is told, and keeps when it was asked what.
type script struct {
	mu      sync.Mutex
	answer  func(r *event.Report, n int) report.Outcome
	hang    bool // until the context ends
	at      []time.Time
	ids     []string
	scores  []*int
	missing []string
	scope   string
}

func (s *script) Destination() string { return "abuseipdb" }

// DuplicateWindow implements report.DuplicateWindow.
func (s *script) DuplicateWindow() time.Duration { return 15 * time.Minute }

func (s *script) Scope() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.scope
}

func (s *script) Send(ctx context.Context, r *event.Report) report.Outcome {
	s.mu.Lock()
	s.at = append(s.at, time.Now())
	s.ids = append(s.ids, r.ID)
	s.scores = append(s.scores, r.Score)
	s.missing = append(s.missing, r.ScoreMissing)
	n, hang, answer := len(s.at), s.hang, s.answer
	s.mu.Unlock()
	if hang {
		<-ctx.Done()
		return report.Outcome{Result: report.Later, Unanswered: true, Detail: "no answer"}
	}
	if answer == nil {
		return report.Outcome{Result: report.Delivered}
	}
	return answer(r, n)
}

// change changes what the script does while a courier runs.
func (s *script) change(what func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	what()
}

// took returns when it was asked, and what.
func (s *script) took() ([]time.Time, []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.at), slices.Clone(s.ids)
}

func (s *script) sent() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.at)
}

func options(b *box) report.Options {
	return report.Options{Note: b.Note, PutNote: b.PutNote, Logger: slog.New(slog.DiscardHandler)}
}

// run runs a courier; stop stops it and waits for its end.
func run(t *testing.T, c *report.Courier) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- c.Run(ctx) }()
	return func() {
		t.Helper()
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
	}
}

// item returns the n-th report, judged now.
func item(n int) *event.Report {
	r := reporttest.Report(n, time.Now())
	r.Addr = netip.AddrFrom4([4]byte{198, 18, byte(n >> 8), byte(n)})
	return r
}

func id(n int) string { return item(n).ID }

// A burst goes out at once, the rest at the rate, all of it once; an item that comes later goes at once.
func TestPace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, s := newBox(), &script{}
		var latencies []time.Duration
		o := options(b)
		o.Observe = func(d time.Duration) { latencies = append(latencies, d) }
		c := report.NewCourier(s, b, o)
		for n := range 100 {
			b.add(item(n))
		}
		start := time.Now()
		stop := run(t, c)
		synctest.Wait()
		if n := s.sent(); n != 10 {
			t.Errorf("%d were sent at once, want 10", n)
		}
		sleep(20 * time.Second)
		if n := s.sent(); n != 100 || b.states()[store.Delivered] != 100 || c.Count(report.Delivered) != 100 {
			t.Errorf("%d sent, %v", n, b.states())
		}
		if last := s.at[99].Sub(start); last < 8900*time.Millisecond || last > 9100*time.Millisecond {
			t.Errorf("the last went after %v", last)
		}
		sleep(time.Hour)
		b.add(item(200))
		synctest.Wait()
		if n := s.sent(); n != 101 || len(latencies) != 101 || latencies[100] != 0 || latencies[99] != s.at[99].Sub(start) {
			t.Errorf("%d sent, latencies %v", n, latencies[99:])
		}
		stop()
	})
}

// sleep passes virtual time and lets everything settle.
func sleep(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

// While the destination fails it is asked at most once a second, ever more seldom, for a day; all that waited is through
// within a minute after it works again, whatever sort of failure it was.
func TestOutage(t *testing.T) {
	for name, failure := range map[string]report.Outcome{
		"later":             {Result: report.Later, Detail: "502"},
		"closed, no time":   {Result: report.Paused, Detail: "401"},
		"later, unanswered": {Result: report.Later, Unanswered: true, Detail: "cut"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b, s := newBox(), &script{}
				over := time.Now().Add(24 * time.Hour)
				s.answer = func(*event.Report, int) report.Outcome {
					if time.Now().Before(over) {
						return failure
					}
					return report.Outcome{Result: report.Delivered}
				}
				c := report.NewCourier(s, b, options(b))
				for n := range 100 {
					b.add(item(n))
				}
				stop := run(t, c)
				sleep(time.Until(over) - time.Second)
				if standing := c.Standing(); standing.Open || standing.Paused != (failure.Result == report.Paused) || standing.Detail != failure.Detail {
					t.Errorf("standing %+v", standing)
				}
				at, ids := s.took()
				for i := 1; i < len(at); i++ {
					if gap := at[i].Sub(at[i-1]); gap < time.Second {
						t.Fatalf("attempt %d comes %v after the one before", i, gap)
					}
				}
				if n := s.sent(); n < 24*60*2 || n > 24*60*10 {
					t.Errorf("%d attempts in a day", n)
				}
				different := map[string]bool{}
				for _, id := range ids {
					different[id] = true
				}
				if len(different) != 100 {
					t.Errorf("only %d items got their turn", len(different))
				}
				sleep(time.Minute + time.Second)
				if got := b.states(); got[store.Delivered] != 100 {
					t.Errorf("a minute after the outage: %v", got)
				}
				if !c.Standing().Open {
					t.Errorf("standing %+v", c.Standing())
				}
				stop()
			})
		})
	}
}

// One item that the destination always fails on holds up no other, and is put off ever longer.
func TestPoison(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, s := newBox(), &script{}
		s.answer = func(r *event.Report, _ int) report.Outcome {
			if r.ID == id(0) {
				return report.Outcome{Result: report.Later, Detail: "500"}
			}
			return report.Outcome{Result: report.Delivered}
		}
		c := report.NewCourier(s, b, options(b))
		stop := run(t, c)
		for n := range 600 { // an item a second
			b.add(item(n))
			sleep(time.Second)
		}
		sleep(time.Minute)
		if got := b.states(); got[store.Delivered] != 599 || got[store.Pending] != 1 {
			t.Errorf("%v", got)
		}
		if n := b.get(id(0)).Attempts; n < 4 || n > 40 {
			t.Errorf("the poison was tried %d times in eleven minutes", n)
		}
		stop()
	})
}

// A destination that closes until a time is left alone until then, and so it is after a restart; with another key it
// is not.
func TestClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, s := newBox(), &script{scope: "key 1"}
		start := time.Now()
		s.answer = func(*event.Report, int) report.Outcome {
			return report.Outcome{Result: report.Paused, Until: start.Add(9 * time.Hour), Detail: "quota"}
		}
		for n := range 10 {
			b.add(item(n))
		}
		c := report.NewCourier(s, b, options(b))
		stop := run(t, c)
		sleep(4 * time.Hour)
		if n := s.sent(); n != 1 {
			t.Errorf("%d attempts at a closed destination", n)
		}
		stop()

		c = report.NewCourier(s, b, options(b)) // restarted
		stop = run(t, c)
		sleep(5*time.Hour - time.Second)
		if n := s.sent(); n != 1 {
			t.Errorf("%d attempts after the restart", n)
		}
		if standing := c.Standing(); standing.Open || !standing.Paused || !standing.Until.Equal(start.Add(9*time.Hour)) || standing.Detail != "quota" ||
			!standing.Since.Equal(start) {
			t.Errorf("standing %+v", standing)
		}
		s.change(func() { s.answer = nil })
		sleep(2 * time.Second)
		if got := b.states(); got[store.Delivered] != 10 || !c.Standing().Open {
			t.Errorf("after the reset: %v %+v", got, c.Standing())
		}
		stop()
		if c = report.NewCourier(s, b, options(b)); true { // nothing of it is left
			stop = run(t, c)
			synctest.Wait()
			if !c.Standing().Open {
				t.Errorf("standing %+v", c.Standing())
			}
			stop()
		}

		until := time.Now().Add(20 * time.Hour)
		s.answer = func(*event.Report, int) report.Outcome { return report.Outcome{Result: report.Paused, Until: until} }
		b.add(item(11))
		c = report.NewCourier(s, b, options(b))
		stop = run(t, c)
		sleep(time.Hour)
		s.change(func() { s.scope, s.answer = "key 2", nil })
		sleep(2 * time.Minute) // a reload
		if b.get(id(11)).State != store.Delivered {
			t.Error("a new key does not open what the old one's quota closed")
		}
		stop()

		b.notes["closed/abuseipdb"] = []byte(`{"until":"2999-01-01T00:00:00Z","scope":"key 2","detail":"\u001b"}`)
		b.add(item(12))
		c = report.NewCourier(s, b, options(b))
		stop = run(t, c)
		sleep(26 * time.Hour)
		if b.get(id(12)).State != store.Delivered {
			t.Error("a closing of centuries is believed")
		}
		stop()
	})
}

// What waits for a closed destination is brought up to date every ten minutes, so that the worst go first when it opens. A store
// that is full puts that off, one that stops ends the courier.
func TestRefreshWhileClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, s := newBox(), new(script)
		start := time.Now()
		s.answer = func(*event.Report, int) report.Outcome {
			if time.Since(start) < 2*time.Hour {
				return report.Outcome{Result: report.Paused, Until: start.Add(2 * time.Hour)}
			}
			return report.Outcome{Result: report.Delivered}
		}
		b.add(item(1))
		stop := run(t, report.NewCourier(s, b, options(b)))
		sleep(3 * time.Hour)
		stop()
		b.mu.Lock()
		defer b.mu.Unlock()
		if n := len(b.fresh); n < 11 || n > 13 || b.fresh[n-1].Sub(start) > 2*time.Hour {
			t.Errorf("refreshed %d times in two closed hours, the last time after %v", n, b.fresh[n-1].Sub(start))
		}
	})
}

// Killed at any write, before or after it took effect, and started again: nothing is lost, nothing stays claimed, and
// what is sent again is only what nobody had seen the answer of.
func TestKilledAtEveryWrite(t *testing.T) {
	for at := 1; at <= 22; at++ { // a recover, five claims, five settlements, twice each
		synctest.Test(t, func(t *testing.T) {
			b, s := newBox(), &script{}
			for n := range 5 {
				b.add(item(n))
			}
			b.killAt = at
			c := report.NewCourier(s, b, options(b))
			err := c.Run(t.Context())
			if err == nil {
				t.Fatalf("killed at %d: Run returned nil", at)
			}
			first := s.sent()
			b.dead, b.killAt = false, 0
			stop := run(t, report.NewCourier(s, b, options(b)))
			sleep(10 * time.Second)
			if got := b.states(); got[store.Delivered] != 5 {
				t.Errorf("killed at %d: %v", at, got)
			}
			if again := s.sent() - 5; again > 1 {
				t.Errorf("killed at %d: %d sent, then %d", at, first, s.sent()-first)
			}
			stop()
		})
	}
}

// Told to stop, it gives the attempt under way five seconds. An answer that comes in them is kept; without one the item
// stays claimed, and is sent again after the restart.
func TestStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, s := newBox(), &script{hang: true}
		b.add(item(1))
		stop := run(t, report.NewCourier(s, b, options(b)))
		sleep(3 * time.Second)
		start := time.Now()
		stop()
		if d := time.Since(start); d != 5*time.Second {
			t.Errorf("it stopped after %v, want 5s", d)
		}
		if got := b.get(id(1)).State; got != store.Claimed {
			t.Errorf("the item is %v", got)
		}
		s.hang = false
		stop = run(t, report.NewCourier(s, b, options(b)))
		synctest.Wait()
		if got := b.get(id(1)); got.State != store.Delivered || s.sent() != 2 {
			t.Errorf("after the restart: %+v", got)
		}

		s.change(func() {
			s.answer = func(*event.Report, int) report.Outcome {
				<-time.After(2 * time.Second)
				return report.Outcome{Result: report.Delivered}
			}
		})
		b.add(item(2))
		b.add(item(3))
		sleep(time.Second)
		start = time.Now()
		stop()
		if d := time.Since(start); d != time.Second {
			t.Errorf("it stopped after %v, want 1s", d)
		}
		if got := b.states(); got[store.Delivered] != 2 || got[store.Pending] != 1 {
			t.Errorf("%v", got)
		}

		start = time.Now()
		stop = run(t, report.NewCourier(&script{}, newBox(), options(b)))
		synctest.Wait()
		if stop(); time.Since(start) != 0 {
			t.Error("an idle courier takes its time to stop")
		}
	})
}

// After a crash that is more than 15 minutes ago, the configuration decides; and so it does for an attempt without an
// answer that could not be repeated in time because the destination failed.
func TestUncertain(t *testing.T) {
	for _, uncertain := range []store.Uncertain{store.Resend, store.Drop} {
		synctest.Test(t, func(t *testing.T) {
			b, s := newBox(), &script{hang: true}
			o := options(b)
			o.Terms = func() report.Terms { return report.Terms{Uncertain: uncertain} }
			b.add(item(1))
			stop := run(t, report.NewCourier(s, b, o))
			sleep(time.Second)
			stop()
			sleep(time.Hour)
			s.hang = false
			c := report.NewCourier(s, b, o)
			stop = run(t, c)
			sleep(time.Minute)
			want, sent := store.Delivered, 2
			if uncertain == store.Drop {
				want, sent = store.Expired, 1
			}
			if got := b.get(id(1)).State; got != want || s.sent() != sent {
				t.Errorf("%v: crashed an hour ago: %v after %d attempts, want %v", uncertain, got, s.sent(), want)
			}

			over := time.Now().Add(time.Hour)
			answer := func(_ *event.Report, n int) report.Outcome {
				switch {
				case n == sent+1:
					return report.Outcome{Result: report.Later, Unanswered: true, Detail: "cut"}
				case time.Now().Before(over):
					return report.Outcome{Result: report.Later, Detail: "502"}
				}
				return report.Outcome{Result: report.Delivered}
			}
			s.change(func() { s.answer = answer })
			b.add(item(2))
			sleep(14 * time.Minute)
			if got := b.get(id(2)); got.State != store.Pending || got.UnansweredSince.IsZero() || strings.Contains(got.Detail, "unanswered") {
				t.Errorf("%v: within the 15 minutes: %v %q", uncertain, got.State, got.Detail)
			}
			sleep(2 * time.Hour)
			if got := b.get(id(2)).State; got != want {
				t.Errorf("%v: unanswered an hour ago: %v, want %v", uncertain, got, want)
			}
			stop()
		})
	}
}

// What was trusted since the judgement is not sent, and costs nothing of the rate.
func TestAllowed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, s := newBox(), &script{}
		o := options(b)
		o.Allowed = func(r *event.Report) string {
			if r.Addr == item(0).Addr {
				return ""
			}
			return "trusted\x1b network"
		}
		for n := range 200 {
			b.add(item(199 - n))
		}
		c := report.NewCourier(s, b, o)
		stop := run(t, c)
		synctest.Wait()
		if got := b.states(); got[store.Dismissed] != 199 || got[store.Delivered] != 1 || s.sent() != 1 || c.Count(report.Dismissed) != 199 {
			t.Errorf("%v, %d sent", got, s.sent())
		}
		if got := b.get(id(7)).Detail; got != `trusted\x1b network` {
			t.Errorf("detail %q", got)
		}
		stop()
	})
}

// What was judged in a dry run is not sent, although there is a key now: its address may be reported anew.
func TestDryRunIsNotSentLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, s := newBox(), &script{}
		dry := item(1)
		dry.DryRun = true
		b.add(dry)
		b.add(item(0))
		c := report.NewCourier(s, b, options(b))
		stop := run(t, c)
		synctest.Wait()
		if got := b.states(); got[store.DryRun] != 1 || got[store.Delivered] != 1 || s.sent() != 1 || c.Count(report.DryRun) != 1 {
			t.Errorf("%v, %d sent", got, s.sent())
		}
		stop()
	})
}

// Each result leaves its item in its state, is counted and told; a rejected one is logged with what it needs.
func TestResults(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for result, want := range map[report.Result]store.State{
			report.Delivered: store.Delivered, report.DryRun: store.DryRun, report.Duplicate: store.Duplicate, report.Rejected: store.Rejected,
			report.Later: store.Pending, report.Paused: store.Pending,
		} {
			b, s := newBox(), &script{}
			s.answer = func(*event.Report, int) report.Outcome { return report.Outcome{Result: result, Detail: "why"} }
			var told []string
			var log bytes.Buffer
			o := options(b)
			o.Logger = slog.New(slog.NewTextHandler(&log, nil))
			o.OnSettled = func(item store.Item, out report.Outcome) { told = append(told, fmt.Sprint(item.ID, out)) }
			b.add(item(1))
			c := report.NewCourier(s, b, o)
			stop := run(t, c)
			synctest.Wait()
			if got := b.get(id(1)); got.State != want || got.Detail != "why" {
				t.Errorf("%v: %v %q", result, got.State, got.Detail)
			}
			if c.Count(result) != 1 || len(told) != 1 {
				t.Errorf("%v: counted %d, told %v", result, c.Count(result), told)
			}
			for _, r := range report.Results() {
				if r != result && c.Count(r) != 0 {
					t.Errorf("%v: counted as %v as well", result, r)
				}
			}
			logged := result == report.Rejected || result == report.Later || result == report.Paused
			if got := strings.Contains(log.String(), "detail=why"); got != logged {
				t.Errorf("%v: log %q", result, log.String())
			}
			stop()
		}
	})
}

// A store that stops while nobody asked the courier to is an error of Run.
func TestStoreFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for at := 1; at < 6; at++ {
			b := newBox()
			b.add(item(1))
			b.killAt = at
			if err := report.NewCourier(&script{}, b, options(b)).Run(t.Context()); err == nil {
				t.Errorf("killed at %d: nil", at)
			}
		}
	})
}

// A destination that cannot be reached is a problem from the first failure on, and after an hour an error in the log, once.
func TestLongOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, s := newBox(), &script{answer: func(*event.Report, int) report.Outcome {
			return report.Outcome{Result: report.Later, Detail: "no answer: no such host"}
		}}
		var log record
		o := options(b)
		o.Logger = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelError}))
		c := report.NewCourier(s, b, o)
		b.add(item(1))
		stop := run(t, c)
		sleep(time.Minute)
		if now := c.Standing(); now.Open || now.Long || log.String() != "" {
			t.Errorf("after a minute: %+v, %s", now, &log)
		}
		sleep(2 * time.Hour)
		if now := c.Standing(); !now.Long || strings.Count(log.String(), "no such host") != 1 {
			t.Errorf("after two hours: %+v, %s", now, &log)
		}
		s.change(func() { s.answer = nil })
		sleep(time.Minute)
		if now := c.Standing(); !now.Open || now.Long {
			t.Errorf("it is over: %+v", now)
		}
		stop()
	})
}

// record is what was logged.
type record struct {
	mu   sync.Mutex
	text strings.Builder
}

func (r *record) Write(b []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.text.Write(b)
}

func (r *record) String() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.text.String()
}
