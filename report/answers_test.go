package report_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"tattled/report"
	"tattled/report/abuseipdb/double"
	"tattled/setting"
	"tattled/store"
)

// Every answer that the API is known to give, and every way in which none comes, through client and courier: in which state the report
// is after it, as what it is counted, when it is tried again, what is said about it, and what the destination's problem is.
func TestEveryAnswer(t *testing.T) {
	const soon = 25 * time.Second // the longest pause of a destination that named no time, and the item's turn after it
	for _, test := range []struct {
		fault  double.Fault
		state  store.State   // after the first attempt
		result report.Result // of the first attempt
		paused bool          // the destination says that it accepts nothing
		least  time.Duration // to the second attempt; 0 for none at all
		most   time.Duration
		detail string // of the item
		remedy string // of the destination
		end    store.State
	}{
		{double.Fault{Mode: double.RecentlyOf429}, store.Duplicate, report.Duplicate, false, 0, 0, "once in 15 minutes", "", store.Duplicate},
		{double.Fault{Mode: double.RecentlyOf422}, store.Duplicate, report.Duplicate, false, 0, 0, "once in 15 minutes", "", store.Duplicate},
		{double.Fault{Mode: double.Recently}, store.Duplicate, report.Duplicate, false, 0, 0, "once in 15 minutes", "", store.Duplicate},
		{double.Fault{Mode: double.Exhausted}, store.Pending, report.Paused, true, 12 * time.Hour, 12*time.Hour + soon, "status 429: Daily rate limit of 1000 requests", "nothing is lost", store.Delivered},
		{double.Fault{Mode: double.LateReset}, store.Pending, report.Paused, true, 10 * time.Second, 11 * time.Second, "status 429: Daily rate limit", "nothing is lost", store.Delivered},
		{double.Fault{Mode: double.TooFast}, store.Pending, report.Paused, true, 30 * time.Second, 31 * time.Second, "status 429: Too Many Attempts.", "", store.Delivered},
		{double.Fault{Mode: double.Revoked}, store.Pending, report.Paused, true, time.Second, soon, "status 401: Authentication failed.", "report.abuseipdb.key_file", store.Delivered},
		{double.Fault{Mode: double.Payment}, store.Pending, report.Paused, true, time.Second, soon, "status 402: Your plan", "plan", store.Delivered},
		{double.Fault{Mode: double.Suspended}, store.Pending, report.Paused, true, time.Second, soon, "status 403: Reporting is suspended", "https://www.abuseipdb.com/account", store.Delivered},
		{double.Fault{Mode: double.Redirected}, store.Pending, report.Paused, true, time.Second, soon, "status 302", "report.abuseipdb.url", store.Delivered},
		{double.Fault{Mode: double.Answer, Status: 404}, store.Pending, report.Paused, true, time.Second, soon, "status 404", "report.abuseipdb.url", store.Delivered},
		{double.Fault{Mode: double.Invalid}, store.Rejected, report.Rejected, false, 0, 0, "status 422: The given data was invalid.", "", store.Rejected},
		{double.Fault{Mode: double.TooLarge}, store.Rejected, report.Rejected, false, 0, 0, "status 413", "", store.Rejected},
		{double.Fault{Mode: double.Portal}, store.Pending, report.Later, false, time.Second, soon, "status 200, but not JSON", "report.abuseipdb.url", store.Delivered},
		{double.Fault{Mode: double.Garbage}, store.Pending, report.Later, false, time.Second, soon, "status 200, but not JSON", "report.abuseipdb.url", store.Delivered},
		{double.Fault{Mode: double.Internal}, store.Pending, report.Later, false, time.Second, soon, "status 500", "", store.Delivered},
		{double.Fault{Mode: double.BadGateway}, store.Pending, report.Later, false, time.Second, soon, "status 502", "", store.Delivered},
		{double.Fault{Mode: double.Maintenance}, store.Pending, report.Paused, true, 2 * time.Minute, 2*time.Minute + soon, "status 503", "", store.Delivered},
		{double.Fault{Mode: double.Answer, Status: 520}, store.Pending, report.Later, false, time.Second, soon, "status 520", "", store.Delivered},
		{double.Fault{Mode: double.Delay, Delay: setting.Duration(time.Hour)}, store.Pending, report.Later, false, 11 * time.Second, 10*time.Second + soon, "no answer: ", "", store.Delivered},
		{double.Fault{Mode: double.Hold, Times: 1, Delay: setting.Duration(time.Hour)}, store.Pending, report.Later, false, 11 * time.Second, 10*time.Second + soon, "no answer: ", "", store.Duplicate},
		{double.Fault{Mode: double.Drop}, store.Pending, report.Later, false, time.Second, soon, "no answer: EOF", "", store.Delivered},
		{double.Fault{Mode: double.DropAfter, Times: 1}, store.Pending, report.Later, false, time.Second, soon, "no answer: EOF", "", store.Duplicate},
		{double.Fault{Mode: double.Truncated}, store.Delivered, report.Delivered, false, 0, 0, "", "", store.Delivered},
		{double.Fault{Mode: double.WrongLength}, store.Delivered, report.Delivered, false, 0, 0, "", "", store.Delivered},
		{double.Fault{Mode: double.Slow, Delay: setting.Duration(time.Millisecond)}, store.Delivered, report.Delivered, false, 0, 0, "the score is now 0", "", store.Delivered},
	} {
		t.Run(strings.TrimSuffix(fmt.Sprint(test.fault.Mode, test.fault.Status), " 0"), func(t *testing.T) {
			scene(t, double.Options{}, func(t *testing.T, p *place) {
				sleep(12 * time.Hour) // away from midnight, where the quota is reset
				p.far.SetFaults(test.fault)
				p.add(item(1))
				c := p.courier()
				stop := run(t, c)
				began := time.Now()
				for c.Count(test.result) == 0 && time.Since(began) < time.Minute {
					sleep(100 * time.Millisecond)
				}
				if n := len(p.far.Requests()); n != 1 || c.Count(test.result) != 1 {
					t.Errorf("%d requests, %d came out as %v", n, c.Count(test.result), test.result)
				}
				got, standing := p.get(id(1)), c.Standing()
				if got.State != test.state || !strings.Contains(got.Detail, test.detail) {
					t.Errorf("%v %q, want %v %q", got.State, got.Detail, test.state, test.detail)
				}
				if standing.Open != test.state.Final() || standing.Paused != test.paused || !strings.Contains(standing.Remedy, test.remedy) ||
					!standing.Open && standing.Detail != got.Detail {
					t.Errorf("standing %+v", standing)
				}
				sleep(13 * time.Hour)
				requests := p.reports()
				if test.most == 0 && len(requests) != 1 {
					t.Errorf("%d requests", len(requests))
				}
				if test.most != 0 {
					if gap := requests[1].At.Sub(requests[0].At); gap < test.least || gap > test.most {
						t.Errorf("tried again after %v", gap)
					}
				}
				p.far.SetFaults()
				sleep(25 * time.Hour)
				if got := p.get(id(1)); got.State != test.end || len(p.far.Reports()) > 1 {
					t.Errorf("in the end: %v %q, %d reports", got.State, got.Detail, len(p.far.Reports()))
				}
				stop()
			})
		})
	}
}

// The last request of a day's quota is the last one that is made until the reset, which is at midnight, or when in the day the API said it is
// when it refused a request: one on the first day.
func TestNothingBeyondTheQuota(t *testing.T) {
	for eastern, refused := range map[bool]int{false: 0, true: 1} {
		scene(t, double.Options{Eastern: eastern}, func(t *testing.T, p *place) {
			sleep(6 * time.Hour)
			stop := run(t, report.NewCourier(single{p.client}, p.box, options(p.box)))
			for n := range 4_000 {
				p.add(item(n))
			}
			sleep(10 * time.Minute)
			if n := len(p.reports()); n != 1_000 {
				t.Errorf("%d requests on the first day", n)
			}
			if got := p.get(id(1_000)); got.State != store.Pending || got.Detail != "the day's quota of 1000 requests (report) is used up" {
				t.Errorf("%v %q", got.State, got.Detail)
			}
			sleep(72 * time.Hour)
			bad := 0
			for _, q := range p.reports() {
				if q.Status == 429 {
					bad++
				}
			}
			if got := p.states(); got[store.Delivered] != 4_000 || bad != refused {
				t.Errorf("eastern %v: %v, %d refused, want %d", eastern, got, bad, refused)
			}
			stop()
		})
	}
}

// The same for scores; and another key has a quota of its own.
func TestNoCheckBeyondTheQuota(t *testing.T) {
	scene(t, double.Options{}, func(t *testing.T, p *place) {
		sleep(6 * time.Hour)
		check := func() report.Outcome {
			_, out := p.client.Check(t.Context(), item(1).Addr, time.Hour)
			return out
		}
		for range 1_000 {
			check()
		}
		if out := check(); out.Result != report.Paused || !out.Until.Equal(time.Date(2000, 1, 2, 0, 0, 1, 0, time.UTC)) || len(p.asked("check")) != 1_000 {
			t.Errorf("%+v, %d requests", out, len(p.asked("check")))
		}
		p.client.SetKey(setting.NewSecret("another"))
		if out := check(); out.Result != report.Paused || !strings.Contains(out.Detail, "status 401") {
			t.Errorf("another key: %+v", out)
		}
		p.client.SetKey(setting.NewSecret(key))
		sleep(18*time.Hour + time.Second)
		if out := check(); out.Result != report.Delivered {
			t.Errorf("after the reset: %+v", out)
		}
	})
}
