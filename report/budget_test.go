package report_test

import (
	"context"
	"encoding/binary"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"tattled/event"
	"tattled/report"
	"tattled/report/abuseipdb/double"
	"tattled/store"
)

// noteBook keeps notes as the store does.
type noteBook map[string][]byte

func (n noteBook) note(key string) []byte { return n[key] }

func (n noteBook) put(_ context.Context, key string, value []byte) error {
	n[key] = value
	return nil
}

func budgetOf(limit *int, notes noteBook) *report.Budget {
	return &report.Budget{Limit: func() int { return *limit }, Note: notes.note, PutNote: notes.put}
}

// No more scores are asked for in a day of UTC than the budget has, over a restart as well; the next day there are as many again, and a
// budget that was raised is in effect at once. What is used up is a problem, and not before more was wanted.
func TestBudgetOfChecks(t *testing.T) {
	scene(t, double.Options{}, func(t *testing.T, p *place) {
		limit, notes := 3, noteBook{}
		reputation := report.NewReputation(p.client, nil, nil)
		reputation.Budget = budgetOf(&limit, notes)
		check := func(n int) error {
			_, err := reputation.Check(t.Context(), item(n).Addr, time.Hour)
			return err
		}
		for n := range 3 {
			if err := check(n); err != nil {
				t.Fatal(err)
			}
		}
		if problems := reputation.Problems(time.Now()); len(problems) != 0 {
			t.Errorf("before more is wanted: %v", problems)
		}
		var busy *report.Unavailable
		midnight := time.Now().UTC().Truncate(24 * time.Hour).Add(24 * time.Hour)
		if err := check(3); !errors.As(err, &busy) || !busy.Until.Equal(midnight) {
			t.Errorf("the fourth: %v, until %v", err, busy)
		}
		reputation = report.NewReputation(p.client, nil, nil) // after a restart
		reputation.Budget = budgetOf(&limit, notes)
		if err := check(4); err == nil {
			t.Error("a restart gave it more")
		}
		problems := reputation.Problems(time.Now())
		if len(problems) != 1 || problems[0].Since.IsZero() || !strings.Contains(problems[0].Remedy, "report.abuseipdb.checks") {
			t.Errorf("%v", problems)
		}
		if n := len(p.far.Requests()); n != 3 || reputation.Count(report.LookupBudget) != 1 {
			t.Errorf("%d requests, %d over the budget", n, reputation.Count(report.LookupBudget))
		}
		limit = 4
		if err := check(5); err != nil || len(reputation.Problems(time.Now())) != 0 || len(p.far.Requests()) != 4 {
			t.Errorf("with one more: %v", err)
		}
		sleep(time.Until(midnight))
		for n := range 4 {
			if err := check(10 + n); err != nil {
				t.Errorf("the day after: %v", err)
			}
		}
		if problems := reputation.Problems(time.Now()); len(problems) != 0 {
			t.Errorf("the day after: %v", problems)
		}
	})
}

// refuser lets nobody ask.
type refuser struct{ result report.Result }

func (r refuser) Check(context.Context, netip.Addr, time.Duration) (int, report.Outcome) {
	return 0, report.Outcome{Result: r.result}
}

func (refuser) Scope() string { return "" }

// What makes no request costs nothing, and a note that nobody wrote so is none.
func TestBudgetIsOfRequests(t *testing.T) {
	for _, result := range []report.Result{report.Dismissed, report.DryRun} {
		limit := 1
		reputation := report.NewReputation(refuser{result}, nil, nil)
		reputation.Budget = budgetOf(&limit, noteBook{"checks": []byte{0xff}})
		for range 3 {
			if score, err := reputation.Check(t.Context(), item(1).Addr, time.Hour); err != nil || score.Known {
				t.Errorf("%v: %+v, %v", result, score, err)
			}
		}
	}
	limit, today := 1, time.Now().Unix()/86400
	for ahead, asks := range map[int64]bool{0: false, 1: false, 2: true, 4000: true, -1: true} { // the day of the note, from today
		reputation := report.NewReputation(refuser{report.Rejected}, nil, nil)
		reputation.Budget = budgetOf(&limit, noteBook{"checks": binary.AppendVarint(binary.AppendVarint(nil, today+ahead), 1)})
		if _, err := reputation.Check(t.Context(), item(1).Addr, time.Hour); (err == nil) != asks {
			t.Errorf("used up %d days ahead: %v", ahead, err)
		}
	}
	reputation := report.NewReputation(refuser{report.Rejected}, nil, nil)
	reputation.Budget = budgetOf(&limit, noteBook{"checks": binary.AppendVarint(binary.AppendVarint(nil, today), -5)})
	_, _ = reputation.Check(t.Context(), item(1).Addr, time.Hour)
	if _, err := reputation.Check(t.Context(), item(2).Addr, time.Hour); err == nil {
		t.Error("a note below zero made the budget larger")
	}
	reputation.Budget = budgetOf(&limit, nil)
	reputation.Budget.PutNote = func(context.Context, string, []byte) error { return errors.New("disk full") }
	if _, err := reputation.Check(t.Context(), item(3).Addr, time.Hour); err == nil {
		t.Error("it asks although that is not kept")
	}
}

// An alert that needs a score when the day's budget is used up waits for five minutes, and goes out with the reason why there is none.
func TestAlertWithoutBudget(t *testing.T) {
	scene(t, double.Options{}, func(t *testing.T, p *place) {
		sleep(time.Hour) // away from midnight
		limit := 1
		s, o := &script{}, options(p.box)
		o.Reputation = report.NewReputation(p.client, nil, nil)
		o.Reputation.Budget = budgetOf(&limit, noteBook{})
		for n := range 3 {
			r := item(n)
			r.Reputation = &event.Reputation{MaxScore: 100, MaxAge: 24 * time.Hour, DropUnknown: n == 2}
			p.add(r)
		}
		stop := run(t, report.NewCourier(s, p.box, o))
		sleep(5*time.Minute - 2*time.Second)
		if n := s.sent(); n != 1 {
			t.Errorf("%d sent within five minutes", n)
		}
		sleep(5 * time.Second)
		if n := s.sent(); n != 2 || !strings.Contains(s.missing[1], "the budget of 1 lookups a day is used up") {
			t.Errorf("%d sent, %q", n, s.missing)
		}
		if got := p.states(); got[store.Delivered] != 2 || got[store.Dismissed] != 1 || len(p.far.Requests()) != 1 {
			t.Errorf("%v, %d requests", got, len(p.far.Requests()))
		}
		stop()
	})
}
