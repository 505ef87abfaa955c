package report_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"tattled/event"
	"tattled/report"
	"tattled/report/abuseipdb/double"
	"tattled/setting"
	"tattled/store"
)

// asked returns the requests to an endpoint.
func (p *place) asked(endpoint string) []double.Request {
	return slices.DeleteFunc(p.far.Requests(), func(q double.Request) bool { return q.Path != "/api/v2/"+endpoint })
}

func (p *place) reports() []double.Request { return p.asked("report") }

// taken counts the requests to an endpoint that were not refused for the quota.
func (p *place) taken(endpoint string) int {
	return len(slices.DeleteFunc(p.asked(endpoint), func(q double.Request) bool { return q.Status == 429 }))
}

// usedUp has the quota of single reports used up for as long as no other faults are set.
func usedUp(more ...double.Fault) []double.Fault {
	return append(more, double.Fault{Mode: double.Exhausted, Endpoint: "report"})
}

// A free plan's day: forty thousand attackers, a thousand reports and five bulk files. All of them reach the API within the day but
// those of its end, which do right after midnight; no quota is exceeded by a single request.
func TestBulkDay(t *testing.T) {
	for name, every := range map[string]time.Duration{"through the day": 3 * time.Minute, "at once": 0} {
		t.Run(name, func(t *testing.T) {
			scene(t, double.Options{Plan: "standard"}, func(t *testing.T, p *place) {
				stop := run(t, p.courier())
				for batch := range 400 { // 20 hours
					for n := range 100 {
						p.add(item(batch*100 + n))
					}
					sleep(every)
				}
				sleep(24*time.Hour - 400*every - time.Minute)
				if got := p.states(); got[store.Delivered] != 40_000 || len(p.accepted()) != 40_000 || len(p.far.Reports()) != 40_000 {
					t.Errorf("%v, %d accepted", got, len(p.far.Reports()))
				}
				if single, bulk := p.taken("report"), p.taken("bulk-report"); single > 1_000 || bulk > 5 || len(p.reports()) != single || len(p.asked("bulk-report")) != bulk {
					t.Errorf("%d of %d reports and %d of %d bulk files were taken", single, len(p.reports()), bulk, len(p.asked("bulk-report")))
				}
				t.Logf("figure: row 4: 40,000 addresses on a free plan, %s: %d by single reports, the rest by %d bulk files", name, p.taken("report"), p.taken("bulk-report"))
				stop()
			})
		})
	}
}

// What waits for the quota goes by bulk files that are spread over the rest of the day, and waits no longer than their distance.
func TestBulkIsSpread(t *testing.T) {
	scene(t, double.Options{}, func(t *testing.T, p *place) {
		sleep(8 * time.Hour)
		p.far.SetFaults(usedUp()...)
		stop := run(t, p.courier())
		for n := range 15 * 60 { // one a minute
			p.add(item(n))
			sleep(time.Minute)
		}
		sleep(50 * time.Minute)
		var at []time.Time
		for _, q := range p.asked("bulk-report") {
			at = append(at, q.At)
		}
		if len(at) != 5 {
			t.Fatalf("%d bulk files, at %v", len(at), at)
		}
		for i := 1; i < len(at); i++ {
			if gap := at[i].Sub(at[i-1]); gap < 3*time.Hour || gap > 3*time.Hour+20*time.Minute {
				t.Errorf("bulk file %d comes %v after the one before", i, gap)
			}
		}
		if got := p.states(); got[store.Delivered] != 15*60 {
			t.Errorf("%v", got)
		}
		if n := len(p.reports()); n != 1 {
			t.Errorf("%d requests with a used-up quota", n)
		}
		stop()
	})
}

// While single reports go, no bulk file is made for what they can carry.
func TestNoBulkWithoutNeed(t *testing.T) {
	scene(t, double.Options{}, func(t *testing.T, p *place) {
		stop := run(t, p.courier())
		for n := range 1_900 {
			p.add(item(n))
		}
		sleep(5 * time.Minute)
		if single, bulk := p.taken("report"), len(p.asked("bulk-report")); single != 1_000 || bulk != 0 {
			t.Errorf("%d reports, %d bulk files", single, bulk)
		}
		stop()
	})
}

// Each answer to a bulk file: what becomes of its reports, when the next file goes, and that each report is accepted once in the end. A
// file that is refused as a whole is no report's fault: they go singly when the quota is there again.
func TestBulkAnswers(t *testing.T) {
	for _, test := range []struct {
		fault  double.Fault
		state  store.State   // of the first report after the answer
		next   time.Duration // to the next file, at least
		detail string
		files  int // files in all until the next morning

		uncertain bool // nobody knows whether it arrived
	}{
		{double.Fault{Mode: double.Pass}, store.Delivered, 0, "by bulk file", 1, false},
		{double.Fault{Mode: double.DropAfter}, store.Pending, time.Minute, "no answer", 2, true},
		{double.Fault{Mode: double.HalfSaved}, store.Pending, time.Minute, "no answer", 2, true},
		{double.Fault{Mode: double.Hold, Delay: setting.Duration(2 * time.Minute)}, store.Pending, time.Minute, "no answer", 2, true},
		{double.Fault{Mode: double.Truncated}, store.Pending, time.Minute, "could not be read", 2, true},
		{double.Fault{Mode: double.Drop}, store.Pending, time.Minute, "no answer", 2, true},
		{double.Fault{Mode: double.Internal}, store.Pending, time.Minute, "status 500", 2, false},
		{double.Fault{Mode: double.BadGateway}, store.Pending, time.Minute, "status 502", 2, true},
		{double.Fault{Mode: double.Portal}, store.Pending, time.Minute, "not JSON", 2, false},
		{double.Fault{Mode: double.TooFast}, store.Pending, 30 * time.Second, "status 429", 2, false},
		{double.Fault{Mode: double.TooLarge}, store.Pending, 12 * time.Hour, "status 413", 1, false},
		{double.Fault{Mode: double.Invalid}, store.Pending, 12 * time.Hour, "status 422", 1, false},
		{double.Fault{Mode: double.Exhausted}, store.Pending, 12 * time.Hour, "status 429: Daily rate limit of 5 requests", 1, false},
		{double.Fault{Mode: double.Answer, Status: 200, Header: map[string]string{"Content-Type": "application/json"},
			Body: `{"data":{"savedReports":19,"invalidReports":[{"error":"Invalid IP","input":"198.18.0.0","rowNumber":2}]}}`}, store.Rejected, 0, "bulk file: Invalid IP", 1, false},
		{double.Fault{Mode: double.Answer, Status: 200, Header: map[string]string{"Content-Type": "application/json"},
			Body: `{"data":{"savedReports":19,"invalidReports":[{"error":"Duplicate IP","input":"198.18.0.0","rowNumber":2}]}}`}, store.Duplicate, 0, "bulk file: Duplicate IP", 1, false},
	} {
		t.Run(fmt.Sprint(test.fault.Mode, test.state), func(t *testing.T) {
			scene(t, double.Options{}, func(t *testing.T, p *place) {
				sleep(13 * time.Hour)
				test.fault.Endpoint, test.fault.Times = "bulk-report", 1
				p.far.SetFaults(usedUp(test.fault)...)
				for n := range 20 {
					p.add(item(n))
				}
				c := p.courier()
				stop := run(t, c)
				for (p.get(id(0)).Attempts < 2 || p.get(id(0)).State == store.Claimed) && time.Now().Hour() < 20 { // the first attempt was a single one
					sleep(time.Second)
				}
				if got := p.get(id(0)); got.State != test.state || !strings.Contains(got.Detail, test.detail) || got.UnansweredSince.IsZero() == test.uncertain {
					t.Errorf("%v %q, unanswered since %v", got.State, got.Detail, got.UnansweredSince)
				}
				sleep(time.Until(time.Date(2000, 1, 2, 0, 0, 0, 0, time.UTC)))
				p.far.SetFaults()
				sleep(time.Hour)
				files := p.asked("bulk-report")
				if len(files) != test.files || len(files) > 1 && files[1].At.Sub(files[0].At) < test.next {
					t.Errorf("%d files", len(files))
				}
				got := p.states()
				if got[store.Delivered]+got[store.Duplicate]+got[store.Rejected] != 20 || got[store.Rejected] != 0 && test.state != store.Rejected {
					t.Errorf("in the end: %v", got)
				}
				if test.fault.Mode != double.Answer && len(p.accepted()) != 20 {
					t.Errorf("%d of 20 addresses were accepted", len(p.accepted()))
				}
				stop()
			})
		})
	}
}

// An upload that is cut off before its end has not arrived: nothing of it is in doubt.
func TestBulkCutUpload(t *testing.T) {
	scene(t, double.Options{}, func(t *testing.T, p *place) {
		p.far.SetFaults(double.Fault{Mode: double.DropEarly})
		var all []*event.Report
		for n := range 4_000 { // more than Go's server reads of a request that it has done with
			all = append(all, item(n))
		}
		each, request := p.client.SendBulk(t.Context(), all)
		for _, out := range append(each, request) {
			if out.Result != report.Later || out.Unanswered {
				t.Fatalf("%+v", out)
			}
		}
	})
}

// A report of which nobody knows whether it arrived by a bulk file goes by another one only where that may be: with drop, it is asked about
// singly while that tells, and given up after.
func TestBulkUncertain(t *testing.T) {
	for _, after := range []store.Uncertain{store.Resend, store.Drop} {
		for _, again := range []bool{false, true} { // whether the quota is there again within 15 minutes
			t.Run(fmt.Sprint(after, again), func(t *testing.T) {
				scene(t, double.Options{Plan: "premium"}, func(t *testing.T, p *place) { // so the next file may go soon
					sleep(13 * time.Hour)
					p.far.SetFaults(usedUp(double.Fault{Mode: double.HalfSaved, Endpoint: "bulk-report", Times: 1})...)
					for n := range 20 {
						p.add(item(n))
					}
					o := options(p.box)
					o.Terms = func() report.Terms { return report.Terms{Uncertain: after} }
					stop := run(t, report.NewCourier(p.client, p.box, o))
					sleep(2 * time.Minute)
					for p.get(id(0)).UnansweredSince.IsZero() && time.Now().Hour() < 20 {
						sleep(time.Second)
					}
					if again { // as with a larger plan: another key in the place of the old one
						stop()
						p.far.SetFaults()
						p.notes = map[string][]byte{}
						stop = run(t, report.NewCourier(p.client, p.box, o))
					}
					sleep(3 * time.Hour)
					got, want := p.states(), map[store.State]int{store.Delivered: 10, store.Duplicate: 10}
					if after == store.Drop && !again {
						want = map[store.State]int{store.Expired: 20}
					}
					for state, n := range want {
						if got[state] != n {
							t.Errorf("%v, want %v", got, want)
						}
					}
					if accepted := len(p.far.Reports()); accepted != 20 && (after != store.Drop || again || accepted != 10) {
						t.Errorf("%d were accepted", accepted)
					}
					stop()
				})
			})
		}
	}
}

// What the gate forbids is not in the file, whatever was judged before.
func TestBulkAsksTheGate(t *testing.T) {
	scene(t, double.Options{}, func(t *testing.T, p *place) {
		sleep(13 * time.Hour)
		p.far.SetFaults(usedUp()...)
		for n := range 20 {
			p.add(item(n))
		}
		o := options(p.box)
		o.Allowed = func(r *event.Report) string {
			if r.ID == id(7) {
				return "it is trusted by now"
			}
			return ""
		}
		stop := run(t, report.NewCourier(p.client, p.box, o))
		sleep(10 * time.Hour)
		if got := p.states(); got[store.Delivered] != 19 || p.get(id(7)).State != store.Dismissed || p.get(id(7)).Detail != "it is trusted by now" {
			t.Errorf("%v", got)
		}
		for _, f := range p.far.Files() {
			if strings.Contains(f.Text, item(7).Addr.String()+",") {
				t.Error("the file has the address")
			}
		}
		stop()
	})
}

// A key that is revoked while the quota is used up is found out by the next bulk file, is the destination's problem at once, and loses
// nothing: the next key sends all of it.
func TestBulkRevokedKey(t *testing.T) {
	scene(t, double.Options{}, func(t *testing.T, p *place) {
		sleep(13 * time.Hour)
		p.far.SetFaults(usedUp()...)
		for n := range 20 {
			p.add(item(n))
		}
		c := p.courier()
		stop := run(t, c)
		sleep(time.Minute)
		p.far.SetFaults(double.Fault{Mode: double.Revoked})
		for len(p.asked("bulk-report")) == 0 && time.Now().Hour() < 23 {
			sleep(time.Minute)
		}
		sleep(time.Minute)
		if s := c.Standing(); s.Open || !s.Paused || !strings.Contains(s.Detail, "status 401") || !strings.Contains(s.Remedy, "report.abuseipdb.key_file") {
			t.Errorf("standing %+v", s)
		}
		if got := p.states(); got[store.Pending] != 20 {
			t.Errorf("%v", got)
		}
		p.far.SetFaults()
		p.client.SetKey(setting.NewSecret(key)) // the same one, which holds again
		sleep(time.Minute)
		if got := p.states(); got[store.Delivered] != 20 || len(p.far.Reports()) != 20 {
			t.Errorf("%v, %d accepted", got, len(p.far.Reports()))
		}
		stop()
	})
}

// Killed at any write of a bulk request, before or after it took effect, and started again: nothing is lost, nothing stays claimed, and
// within 15 minutes nothing is accepted twice.
func TestBulkKilledAtEveryWrite(t *testing.T) {
	for at := 1; at <= 16; at++ { // a recover, a claim of one and its settlement, a claim of all and three settlements, and a note, twice each
		scene(t, double.Options{Plan: "premium"}, func(t *testing.T, p *place) {
			sleep(13 * time.Hour)
			p.far.SetFaults(usedUp()...)
			for n := range 25 {
				p.add(item(n))
			}
			p.killAt, p.chunk = at, 10
			ctx, cancel := context.WithTimeout(t.Context(), 3*time.Hour)
			err := p.courier().Run(ctx)
			cancel()
			if err == nil || errors.Is(err, context.DeadlineExceeded) {
				t.Fatalf("killed at %d: %v, %v", at, err, p.states())
			}
			p.dead, p.killAt = false, 0
			stop := run(t, p.courier())
			sleep(10 * time.Hour)
			if got := p.states(); got[store.Delivered]+got[store.Duplicate] != 25 || len(p.accepted()) != 25 || len(p.far.Reports()) != 25 {
				t.Errorf("killed at %d: %v, %d accepted", at, got, len(p.far.Reports()))
			}
			stop()
		})
	}
}

// Hundreds of kills at any write or in any request while reports go by bulk files, with an API that fails in all its ways meanwhile. With
// drop, nothing is accepted twice; with resend, nothing is lost.
func TestBulkKilledAnywhere(t *testing.T) {
	const rounds = 400
	modes := []double.Mode{double.Internal, double.BadGateway, double.Drop, double.DropEarly, double.DropAfter, double.HalfSaved, double.Truncated, double.Hold, double.Garbage, double.Invalid}
	for _, after := range []store.Uncertain{store.Resend, store.Drop} {
		scene(t, double.Options{Plan: "premium", Keep: 1 << 20}, func(t *testing.T, p *place) {
			random := rand.New(rand.NewPCG(3, 4))
			o := options(p.box)
			o.Terms = func() report.Terms { return report.Terms{Uncertain: after} }
			items := 0
			for range rounds {
				for range random.IntN(30) {
					p.add(item(items))
					items++
				}
				var faults []double.Fault
				if random.IntN(2) == 0 {
					faults = []double.Fault{{Mode: modes[random.IntN(len(modes))], Endpoint: "bulk-report", Times: 1, Delay: setting.Duration(5 * time.Minute)}}
				}
				if random.IntN(5) != 0 {
					faults = usedUp(faults...)
				}
				p.far.SetFaults(faults...)
				p.killAt = 1 + random.IntN(30)
				ctx, cancel := context.WithTimeout(t.Context(), time.Duration(random.IntN(40))*time.Minute)
				_ = report.NewCourier(p.client, p.box, o).Run(ctx) // ends by a kill, or with the time
				cancel()
				p.dead, p.killAt = false, 0
				sleep(time.Duration(random.IntN(20)) * time.Minute)
			}
			p.far.SetFaults()
			stop := run(t, report.NewCourier(p.client, p.box, o))
			sleep(48 * time.Hour)
			stop()
			got, accepted, twice := p.states(), p.accepted(), 0
			for _, n := range accepted {
				twice += n - 1
			}
			t.Logf("figure: row 1: %d kills while bulk files go (virtual), uncertain: %s: %d reports: %v, %d addresses accepted, %d of them again", rounds, after, items, got, len(accepted), twice)
			if done := got[store.Delivered] + got[store.Duplicate]; after == store.Resend && (done != items || len(accepted) != items) ||
				after == store.Drop && (done+got[store.Expired] != items || twice != 0) {
				t.Errorf("%s: %d reports: %v, %d addresses accepted, %d again", after, items, got, len(accepted), twice)
			}
			if len(p.asked("bulk-report")) < rounds/20 {
				t.Errorf("only %d bulk files", len(p.asked("bulk-report")))
			}
		})
	}
}

// fullOnce is an outbox without room for the second settlement of many.
type fullOnce struct {
	*box
	calls int
}

func (f *fullOnce) SettleAll(ctx context.Context, all []store.Settled) ([]string, error) {
	if f.calls++; f.calls == 2 {
		return nil, store.ErrFull
	}
	return f.box.SettleAll(ctx, all)
}

// Where there is no room for what became of a bulk file, it is written as soon as there is, and before anything else is sent.
func TestBulkWithoutRoom(t *testing.T) {
	scene(t, double.Options{}, func(t *testing.T, p *place) {
		sleep(13 * time.Hour)
		p.far.SetFaults(usedUp()...)
		for n := range 2_500 {
			p.add(item(n))
		}
		var log strings.Builder
		o := options(p.box)
		o.Logger = slog.New(slog.NewTextHandler(&log, nil))
		stop := run(t, report.NewCourier(p.client, &fullOnce{box: p.box}, o))
		sleep(10 * time.Second)
		stop()
		if got := p.states(); got[store.Delivered] != 2_500 || len(p.far.Reports()) != 2_500 || strings.Contains(log.String(), "without its courier") {
			t.Errorf("%v\n%.1000s", got, log.String())
		}
	})
}
