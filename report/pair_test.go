package report_test

import (
	"testing"
	"time"

	"tattled/report"
	"tattled/report/abuseipdb/double"
	"tattled/setting"
	"tattled/store"
)

// Where the quota allows it, a thousand reports leave in a minute although each answer takes its time, by two connections at most.
func TestThousandInAMinute(t *testing.T) {
	scene(t, double.Options{Plan: "premium"}, func(t *testing.T, p *place) {
		p.far.SetFaults(double.Fault{Mode: double.Delay, Delay: setting.Duration(90 * time.Millisecond)})
		for n := range 1000 {
			p.add(item(n))
		}
		terms := options(p.box)
		terms.Terms = func() report.Terms { return report.Terms{Rate: 20} }
		start := time.Now()
		c := report.NewCourier(p.client, p.box, terms)
		stop := run(t, c)
		for p.states()[store.Delivered] < 1000 && time.Since(start) < time.Hour {
			sleep(100 * time.Millisecond)
		}
		if took := time.Since(start); took >= time.Minute || len(p.accepted()) != 1000 || len(p.far.Reports()) != 1000 {
			t.Errorf("%d reports of %d addresses after %v", len(p.far.Reports()), len(p.accepted()), took)
		} else {
			t.Logf("figure: row 4: 1,000 reports with answers after 90 ms: %v", took)
		}
		most, requests := 0, p.reports()
		for i := range requests {
			under := 0
			for j := range requests {
				if d := requests[i].At.Sub(requests[j].At); d >= 0 && d < 90*time.Millisecond {
					under++
				}
			}
			most = max(most, under)
		}
		if most != 2 {
			t.Errorf("%d requests at the same time, want 2", most)
		}
		stop()
	})
}

// Two at a time never are one too many: of a quota that ends, the last are sent one by one, and of two that come out differently each
// has its own fate.
func TestTwoAtATime(t *testing.T) {
	scene(t, double.Options{Plan: "standard"}, func(t *testing.T, p *place) {
		p.far.SetFaults(double.Fault{Mode: double.Delay, Delay: setting.Duration(90 * time.Millisecond)})
		for n := range 999 + 100 {
			p.add(item(n))
		}
		stop := run(t, p.courier())
		sleep(10 * time.Minute)
		if n := len(p.reports()); n > 1000 {
			t.Errorf("%d requests of 1000", n)
		}
		stop()
	})
	scene(t, double.Options{Plan: "premium"}, func(t *testing.T, p *place) {
		bad := item(7)
		p.far.SetFaults(
			double.Fault{Mode: double.Invalid, Address: bad.Addr.String()},
			double.Fault{Mode: double.Delay, Delay: setting.Duration(90 * time.Millisecond)},
		)
		for n := range 20 {
			p.add(item(n))
		}
		stop := run(t, p.courier())
		sleep(time.Minute)
		for n := range 20 {
			want := store.Delivered
			if n == 7 {
				want = store.Rejected
			}
			if got := p.get(id(n)); got.State != want {
				t.Errorf("%d is %v (%s), want %v", n, got.State, got.Detail, want)
			}
		}
		stop()
	})
}
