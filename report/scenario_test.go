package report_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"tattled/event"
	"tattled/report"
	"tattled/report/abuseipdb"
	"tattled/report/abuseipdb/double"
	"tattled/report/reporttest"
	"tattled/setting"
	"tattled/store"
)

const key = "5ec2e75ec2e75ec2e75ec2e75ec2e75ec2e75ec2e75ec2e75ec2e75ec2e75ec2e75ec2e75ec2e7aa"

// place is an outbox, a double behind real HTTP, and the client between them, in virtual time.
type place struct {
	*box
	far    *double.Double
	client *abuseipdb.Client
}

// scene runs a test in virtual time with a place.
func scene(t *testing.T, o double.Options, test func(t *testing.T, p *place)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		o.Key = key
		far, transport, end := serve(o)
		defer end()
		client, err := abuseipdb.New(abuseipdb.Config{URL: "http://127.0.0.1/api/v2/"}, setting.NewSecret(key), "tattled/test", transport)
		if err != nil {
			t.Fatal(err)
		}
		test(t, &place{newBox(), far, client})
		transport.CloseIdleConnections()
	})
}

func (p *place) courier() *report.Courier { return report.NewCourier(p.client, p.box, options(p.box)) }

// accepted counts the reports of each address that the far end took.
func (p *place) accepted() map[string]int {
	all := map[string]int{}
	for _, r := range p.far.Reports() {
		all[r.IP]++
	}
	return all
}

// Each way in which the API can fail, for four hours (with TATTLED_FULL=1 for a day): everything is delivered within a minute after it, nothing is accepted twice,
// and meanwhile there is never more than one request a second. A used-up quota names its end, midnight, which is when the
// day ends here as well.
func TestAPIFails(t *testing.T) {
	outage := 4 * time.Hour
	if os.Getenv("TATTLED_FULL") == "1" {
		outage = 24*time.Hour - time.Second
	}
	modes, most, slowest := 0, 0, time.Duration(0)
	for _, fault := range []double.Fault{
		{Mode: double.Internal},
		{Mode: double.BadGateway},
		{Mode: double.Revoked},
		{Mode: double.Exhausted},
		{Mode: double.Drop},
		{Mode: double.Garbage},
		{Mode: double.Delay, Delay: setting.Duration(48 * time.Hour)},       // it hangs
		{Mode: double.Slow, Delay: setting.Duration(20 * time.Millisecond)}, // its answers take seconds, and come
	} {
		t.Run(string(fault.Mode), func(t *testing.T) {
			scene(t, double.Options{}, func(t *testing.T, p *place) {
				sleep(24*time.Hour - time.Second - outage) // it begins at midnight
				p.far.SetFaults(fault)
				for n := range 100 {
					p.add(item(n))
				}
				stop := run(t, p.courier())
				sleep(outage)
				requests := p.far.Requests()
				for i := 1; i < len(requests); i++ {
					if gap := requests[i].At.Sub(requests[i-1].At); gap < time.Second {
						t.Fatalf("request %d comes %v after the one before", i, gap)
					}
				}
				if fault.Mode == double.Exhausted {
					requests = slices.DeleteFunc(requests, func(q double.Request) bool { return q.Path != "/api/v2/report" })
				}
				if fault.Mode == double.Exhausted && len(requests) > 2 { // right after midnight a reset a day away may be the last one's
					t.Errorf("%d requests against a used-up quota", len(requests))
				} else if fault.Mode != double.Exhausted && len(requests) < 100 {
					t.Errorf("only %d requests", len(requests))
				}
				p.far.SetFaults()
				over := time.Now()
				sleep(time.Minute)
				modes, most = modes+1, max(most, len(requests))
				for _, r := range p.far.Reports() {
					slowest = max(slowest, r.ReceivedAt.Sub(over))
				}
				if got := p.states(); got[store.Delivered] != 100 {
					t.Errorf("a minute after: %v", got)
				}
				if accepted := p.accepted(); len(accepted) != 100 || len(p.far.Reports()) != 100 {
					t.Errorf("%d addresses, %d reports", len(accepted), len(p.far.Reports()))
				}
				stop()
			})
		})
	}
	t.Logf("figure: row 3: %d kinds of outage of %v: all of 100 reports each accepted once, the last %.0f s after the end; at most %d requests meanwhile, never two in a second",
		modes, outage, slowest.Seconds(), most)
}

// The connection is cut after the API took the report, or its answer is cut short or comes too late: the API refuses the
// second one, and that counts as delivered.
func TestAnswerLost(t *testing.T) {
	for _, fault := range []double.Fault{
		{Mode: double.DropAfter},
		{Mode: double.Truncated},
		{Mode: double.Hold, Delay: setting.Duration(time.Minute)},
	} {
		scene(t, double.Options{}, func(t *testing.T, p *place) {
			fault.Times = 5
			p.far.SetFaults(fault)
			for n := range 10 {
				p.add(item(n))
			}
			stop := run(t, p.courier())
			sleep(10 * time.Minute)
			if got := p.states(); got[store.Delivered]+got[store.Duplicate] != 10 {
				t.Errorf("%s: %v", fault.Mode, got)
			}
			if accepted := p.accepted(); len(accepted) != 10 || len(p.far.Reports()) != 10 {
				t.Errorf("%s: %d addresses, %d reports", fault.Mode, len(accepted), len(p.far.Reports()))
			}
			stop()
		})
	}
}

// Five thousand addresses and a quota of a thousand a day, by single reports alone: never more than the quota is asked for, nothing is asked
// between the last one and the reset, a restart changes nothing of that, and on the sixth day all have been reported.
func TestQuota(t *testing.T) {
	scene(t, double.Options{Plan: "standard"}, func(t *testing.T, p *place) {
		for n := range 5000 {
			p.add(item(n))
		}
		for day := range 6 {
			stop := run(t, report.NewCourier(single{p.client}, p.box, options(p.box)))
			sleep(7 * time.Hour)
			stop()
			stop = run(t, report.NewCourier(single{p.client}, p.box, options(p.box))) // restarted in the middle of the closing
			sleep(24*time.Hour - 7*time.Hour)
			stop()
			if n := len(p.far.Reports()); n > (day+1)*1000 && day < 5 {
				t.Errorf("day %d: %d reports", day, n)
			}
			if got := p.states(); got[store.Delivered]+got[store.Pending] != 5000 {
				t.Errorf("day %d: %v: what was not sent is not counted as waiting", day, got)
			}
		}
		byDay, refused, most := map[string]int{}, map[string]int{}, 0
		for _, r := range p.far.Requests() {
			day := r.At.UTC().Format(time.DateOnly)
			if byDay[day]++; r.Status == 429 {
				refused[day]++
			}
		}
		for day, n := range byDay {
			most = max(most, n-refused[day])
			if n > 1000 || refused[day] > 0 {
				t.Errorf("%s: %d requests, %d refused", day, n, refused[day])
			}
		}
		if got := p.states(); got[store.Delivered] != 5000 || len(p.accepted()) != 5000 || len(p.far.Reports()) != 5000 {
			t.Errorf("%v, %d reports", got, len(p.far.Reports()))
		}
		t.Logf("figure: row 4: 5,000 addresses, quota 1,000: at most %d accepted and none refused a day, none between the last and the reset, the rest waited and was counted; in the order of judgement, not by weight", most)
		if q := p.client.Quota(); len(q) != 1 || q[0].Limit != 1000 {
			t.Errorf("quota %v", q)
		}
	})
}

// A wrong key stops the sending and keeps everything; the right one sets it going without a restart.
func TestWrongKey(t *testing.T) {
	scene(t, double.Options{}, func(t *testing.T, p *place) {
		p.client.SetKey(setting.NewSecret("wrong"))
		for n := range 20 {
			p.add(item(n))
		}
		c := p.courier()
		stop := run(t, c)
		sleep(time.Hour)
		if got := p.states(); got[store.Pending] != 20 || len(p.far.Reports()) != 0 {
			t.Errorf("%v", got)
		}
		if standing := c.Standing(); standing.Open || !standing.Paused || standing.Detail == "" {
			t.Errorf("standing %+v", standing)
		}
		p.client.SetKey(setting.NewSecret(key))
		sleep(time.Minute)
		if got := p.states(); got[store.Delivered] != 20 || !c.Standing().Open {
			t.Errorf("%v %+v", got, c.Standing())
		}
		stop()
	})
}

// A thousand times killed at any write or in any request, with an API that fails in all its ways meanwhile, and started
// again within minutes: every report arrives once, and every item ends as delivered.
func TestKilledAnywhere(t *testing.T) {
	const rounds = 1000
	modes := []double.Mode{double.Internal, double.BadGateway, double.Drop, double.DropAfter, double.Truncated, double.Hold, double.Garbage}
	scene(t, double.Options{Plan: "premium"}, func(t *testing.T, p *place) {
		random := rand.New(rand.NewPCG(1, 2))
		items := 0
		for round := range rounds {
			for range random.IntN(3) {
				p.add(item(items))
				items++
			}
			if random.IntN(3) == 0 {
				p.far.SetFaults(double.Fault{Mode: modes[random.IntN(len(modes))], Times: 1 + random.IntN(3), Delay: setting.Duration(time.Minute)})
			}
			p.killAt = 1 + random.IntN(30)
			ctx, cancel := context.WithTimeout(t.Context(), time.Duration(1+random.IntN(20))*time.Second)
			_ = p.courier().Run(ctx) // ends by a kill, or with the time
			cancel()
			p.dead, p.killAt = false, 0
			if round%10 == 0 {
				sleep(time.Duration(random.IntN(60)) * time.Second)
			}
		}
		p.far.SetFaults()
		stop := run(t, p.courier())
		sleep(30 * time.Minute)
		stop()
		if got := p.states(); got[store.Delivered]+got[store.Duplicate] != items {
			t.Errorf("%d items: %v", items, got)
		}
		t.Logf("figure: row 1: %d kills at a claim, in a request and at a settlement (virtual): %d reports, %d lost, %d accepted twice",
			rounds, items, items-len(p.accepted()), len(p.far.Reports())-len(p.accepted()))
		for ip, n := range p.accepted() {
			if n != 1 {
				t.Errorf("%s was accepted %d times", ip, n)
			}
		}
		if n := len(p.accepted()); n != items {
			t.Errorf("%d of %d addresses were reported", n, items)
		}
	})
}

// The score decides where the policy wants it to: outside, nothing is sent; inside, it is passed on; for a day it is
// asked once.
func TestReputation(t *testing.T) {
	scene(t, double.Options{}, func(t *testing.T, p *place) {
		type question struct {
			addr   netip.Addr
			maxAge time.Duration
		}
		cache := map[question]store.Score{}
		reputation := report.NewReputation(p.client,
			func(addr netip.Addr, maxAge time.Duration) (store.Score, bool) {
				s, ok := cache[question{addr, maxAge}]
				return s, ok
			},
			func(_ context.Context, addr netip.Addr, s store.Score) error {
				if s.Value == 80 {
					cache[question{addr, s.MaxAge}] = s
				}
				return nil
			})
		known, unknown := item(0).Addr, item(1).Addr
		p.far.SetScore(known, 80)
		s := &script{}
		o := options(p.box)
		o.Reputation = reputation
		c := report.NewCourier(s, p.box, o)
		stop := run(t, c)
		for n, test := range []struct {
			addr     netip.Addr
			min, max int
			want     store.State
			score    int
		}{
			{known, 0, 0, store.Dismissed, 0},
			{known, 50, 100, store.Delivered, 80},
			{known, 80, 80, store.Delivered, 80},
			{unknown, 0, 0, store.Delivered, 0},
			{unknown, 1, 100, store.Dismissed, 0},
		} {
			r := item(n + 10)
			r.Addr = test.addr
			r.Reputation = &event.Reputation{MinScore: test.min, MaxScore: test.max, MaxAge: 90 * 24 * time.Hour}
			p.add(r)
			sleep(time.Second)
			got := p.get(r.ID)
			if got.State != test.want {
				t.Errorf("%d: %v %q, want %v", n, got.State, got.Detail, test.want)
			}
			if test.want == store.Delivered && *s.scores[len(s.scores)-1] != test.score {
				t.Errorf("%d: the score passed on is %d", n, *s.scores[len(s.scores)-1])
			}
		}
		if n := len(p.far.Requests()); n != 3 { // once for known, which is cached here, twice for unknown, which is not
			t.Errorf("%d checks", n)
		}
		for n, maxAge := range []time.Duration{90 * 24 * time.Hour, 90*24*time.Hour - time.Minute, time.Hour, 24 * time.Hour} {
			r := item(n + 50)
			r.Addr, r.Reputation = known, &event.Reputation{MaxScore: 100, MaxAge: maxAge}
			p.add(r)
			sleep(time.Second)
		}
		if n := len(p.far.Requests()); n != 4 { // once more for both that are for the reports of one day
			t.Errorf("%d checks: a score serves those who count the reports of the same time", n)
		}
		sleep(24 * time.Hour)
		r := item(99)
		r.Addr, r.Reputation = known, &event.Reputation{MaxScore: 100, MaxAge: 24 * time.Hour}
		p.add(r)
		sleep(time.Second)
		if n := len(p.far.Requests()); n != 5 {
			t.Errorf("%d checks after a day", n)
		}
		for lookup, want := range map[report.Lookup]uint64{report.LookupCached: 5, report.LookupKnown: 5, report.LookupUnknown: 0, report.LookupFailed: 0} {
			if got := reputation.Count(lookup); got != want {
				t.Errorf("%d lookups %s, want %d", got, lookup, want)
			}
		}
		stop()
	})
}

// While scores cannot be had, what needs one waits for up to five minutes. Then it is sent without and says why, or is dropped where
// the policy wants that. Checks are not repeated more than once a second, nor at all while the quota is used up. Without a key
// nothing waits.
func TestReputationUnavailable(t *testing.T) {
	for _, mode := range []double.Mode{double.Internal, double.Exhausted, double.Revoked, double.Drop, "no key"} {
		scene(t, double.Options{}, func(t *testing.T, p *place) {
			p.far.SetFaults(double.Fault{Mode: mode})
			if mode == "no key" {
				p.client.SetKey(setting.Secret{})
			}
			sleep(time.Hour) // away from the reset of the quota
			s := &script{}
			o := options(p.box)
			o.Reputation = report.NewReputation(p.client, nil, nil)
			for n := range 30 {
				r := item(n)
				r.Reputation = &event.Reputation{MaxScore: 0, MaxAge: 24 * time.Hour, DropUnknown: n%2 == 1}
				p.add(r)
			}
			stop := run(t, report.NewCourier(s, p.box, o))
			sleep(5*time.Minute - 2*time.Second)
			if mode == "no key" {
				if n := s.sent(); n != 15 || s.scores[0] != nil || s.missing[0] != "no API key is configured" {
					t.Errorf("%s: %d sent, %q", mode, n, s.missing)
				}
			} else if n := s.sent(); n != 0 {
				t.Errorf("%s: %d sent within five minutes", mode, n)
			}
			problems := o.Reputation.Problems(time.Now())
			if (len(problems) == 0) != (mode == "no key") {
				t.Errorf("%s: the problems are %q", mode, problems)
			}
			for _, one := range problems { // a sentence of the remedy in the cause was shown twice
				if text := one.String(); one.Since.IsZero() || strings.Contains(text, "..") || strings.Contains(text, "Remedy") ||
					strings.Count(text, one.What) != 1 || !strings.Contains(one.Remedy, "report.abuseipdb.key_file") {
					t.Errorf("%s: the problem is %q since %v", mode, text, one.Since)
				}
			}
			requests := p.far.Requests()
			for i := 1; i < len(requests); i++ {
				if gap := requests[i].At.Sub(requests[i-1].At); gap < time.Second && mode != double.Drop { // there, the transport asks twice
					t.Fatalf("%s: check %d comes %v after the one before", mode, i, gap)
				}
			}
			if mode == double.Exhausted && len(requests) != 1 {
				t.Errorf("%d checks against a used-up quota", len(requests))
			}
			sleep(5 * time.Second)
			if got := p.states(); got[store.Delivered] != 15 || got[store.Dismissed] != 15 {
				t.Errorf("%s: after five minutes: %v", mode, got)
			}
			if mode != "no key" && !strings.HasPrefix(s.missing[14], "it could not be obtained:  ") {
				t.Errorf("%s: it says %q", mode, s.missing[14])
			}
			stop()
		})
	}
}

// What keeps one key from being answered is nothing to another one: scores are asked for at once.
func TestReputationOfAnotherKey(t *testing.T) {
	scene(t, double.Options{}, func(t *testing.T, p *place) {
		p.client.SetKey(setting.NewSecret("revoked"))
		reputation := report.NewReputation(p.client, nil, nil)
		for range 2 {
			if _, err := reputation.Check(t.Context(), item(1).Addr, time.Hour); err == nil || len(reputation.Problems(time.Now())) == 0 {
				t.Fatalf("%v", err)
			}
		}
		if n := len(p.far.Requests()); n != 1 {
			t.Errorf("%d checks: asked again at once with the same key", n)
		}
		p.client.SetKey(setting.NewSecret(key))
		if problems := reputation.Problems(time.Now()); len(problems) != 0 {
			t.Error(problems)
		}
		if score, err := reputation.Check(t.Context(), item(1).Addr, time.Hour); err != nil || !score.Known {
			t.Errorf("%+v, %v", score, err)
		}
	})
}

// The rate is for what is sent: what the score speaks against does not hold up what it does not, however slow the rate is.
func TestRateIsForWhatIsSent(t *testing.T) {
	scene(t, double.Options{}, func(t *testing.T, p *place) {
		s := &script{}
		o := options(p.box)
		o.Terms = func() report.Terms { return report.Terms{Rate: 1} }
		o.Reputation = report.NewReputation(p.client, nil, nil)
		for n := range 21 {
			r := item(n)
			r.Reputation = &event.Reputation{MaxScore: 0, MaxAge: 24 * time.Hour}
			if n < 20 {
				p.far.SetScore(r.Addr, 80)
			}
			p.add(r)
		}
		stop := run(t, report.NewCourier(s, p.box, o))
		sleep(time.Second)
		if at, ids := s.took(); len(ids) != 1 || ids[0] != id(20) {
			t.Errorf("sent %v at %v: %v", ids, at, p.states())
		}
		stop()
	})
}

// What the gate forbids by the time that the score is there is not sent.
func TestGateIsAskedAfterTheScore(t *testing.T) {
	scene(t, double.Options{}, func(t *testing.T, p *place) {
		p.far.SetFaults(double.Fault{Mode: double.Hold, Delay: setting.Duration(2 * time.Second)})
		s := &script{}
		began := time.Now()
		o := options(p.box)
		o.Reputation = report.NewReputation(p.client, nil, nil)
		o.Allowed = func(*event.Report) string {
			if time.Since(began) > time.Second {
				return "it is trusted by now"
			}
			return ""
		}
		r := item(1)
		r.Reputation = &event.Reputation{MaxScore: 0, MaxAge: 24 * time.Hour}
		p.add(r)
		stop := run(t, report.NewCourier(s, p.box, o))
		sleep(time.Minute)
		if got := p.get(r.ID); got.State != store.Dismissed || got.Detail != "it is trusted by now" || s.sent() != 0 {
			t.Errorf("%v %q, %d sent", got.State, got.Detail, s.sent())
		}
		stop()
	})
}

// A rate that changes while the courier runs holds from the next attempt on.
func TestTermsChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, s := newBox(), &script{}
		var perSecond atomic.Uint64
		var slow atomic.Bool
		perSecond.Store(1)
		o := options(b)
		o.Terms = func() report.Terms {
			if slow.Load() {
				return report.Terms{Rate: 1. / 3600}
			}
			return report.Terms{Rate: float64(perSecond.Load())}
		}
		c := report.NewCourier(s, b, o)
		stop := run(t, c)
		for n := range 100 {
			b.add(item(n))
		}
		sleep(9500 * time.Millisecond)
		if n := s.sent(); n != 10 {
			t.Errorf("%d sent in 9.5 s at 1 a second", n)
		}
		perSecond.Store(20)
		sleep(5 * time.Second)
		if n := s.sent(); n != 100 {
			t.Errorf("%d sent 5 s after the rate was 20 a second", n)
		}
		slow.Store(true)
		b.add(item(100))
		b.add(item(101))
		sleep(time.Second)
		if n := s.sent(); n != 101 {
			t.Errorf("%d sent at one in an hour", n-100)
		}
		slow.Store(false)
		c.Wake()
		sleep(100 * time.Millisecond)
		if n := s.sent(); n != 102 {
			t.Errorf("%d sent: it waits by a rate that is past", n-100)
		}
		stop()
	})
}

// However many want one address's score at once, it is asked once.
func TestReputationSingleFlight(t *testing.T) {
	scene(t, double.Options{}, func(t *testing.T, p *place) {
		p.far.SetFaults(double.Fault{Mode: double.Hold, Delay: setting.Duration(2 * time.Second)})
		reputation := report.NewReputation(p.client, nil, nil)
		results := make(chan string, 50)
		for range 50 {
			go func() {
				score, err := reputation.Check(t.Context(), item(1).Addr, time.Hour)
				results <- fmt.Sprint(score.Value, score.Known, err)
			}()
		}
		for range 50 {
			if got := <-results; got != "0 true <nil>" {
				t.Errorf("got %s", got)
			}
		}
		if n := len(p.far.Requests()); n != 1 {
			t.Errorf("%d requests", n)
		}
	})
}

// Two couriers, one of them for a destination that hangs: the other does not notice.
func TestHangHoldsUpNobodyElse(t *testing.T) {
	scene(t, double.Options{}, func(t *testing.T, p *place) {
		hanging := newBox()
		for n := range 20 {
			hanging.add(item(n))
			p.add(item(n))
		}
		stopHanging := run(t, report.NewCourier(&script{hang: true}, hanging, options(hanging)))
		stop := run(t, p.courier())
		sleep(2 * time.Second)
		if got := p.states(); got[store.Delivered] != 20 {
			t.Errorf("%v", got)
		}
		stop()
		stopHanging()
	})
}

// The reports arrive as they were judged, oldest first; of two that are under way at the same time either may be the first.
func TestOrder(t *testing.T) {
	scene(t, double.Options{}, func(t *testing.T, p *place) {
		var want []string
		for n := range 50 {
			r := reporttest.Report(n, time.Now())
			p.add(r)
			want = append(want, r.Addr.String())
			<-time.After(time.Millisecond)
		}
		stop := run(t, p.courier())
		sleep(time.Minute)
		stop()
		var got []string
		for _, r := range p.far.Reports() {
			got = append(got, r.IP)
		}
		for i := range want {
			if at := slices.Index(got, want[i]); at < i-1 || at > i+1 || len(got) != len(want) {
				t.Fatalf("%s is at place %d, not %d, in %v", want[i], at, i, got)
			}
		}
	})
}
