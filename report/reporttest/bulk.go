package reporttest

import (
	"context"
	"reflect"
	"testing"
	"time"

	"tattled/event"
	"tattled/report"
)

// runBulk runs what holds of a report.BulkSender besides.
func runBulk(t *testing.T, open func(t *testing.T) *Rig) {
	tests := []struct {
		name string
		test func(t *testing.T, rig *Rig, s report.BulkSender)
	}{
		{"all arrive, and are left as they were", testBulkOnce},
		{"none are nothing to send", testBulkNone},
		{"a context that is over sends nothing", testBulkOver},
		{"a context that ends ends the request, and leaves open what arrived", testBulkHang},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			rig := open(t)
			test.test(t, rig, rig.Sender.(report.BulkSender))
		})
	}
}

// reports returns n reports about as many addresses.
func reports(n int, now time.Time) []*event.Report {
	var all []*event.Report
	for i := range n {
		all = append(all, Report(i, now))
	}
	return all
}

// sendBulk sends n reports and checks that all come out as result.
func sendBulk(ctx context.Context, t *testing.T, rig *Rig, s report.BulkSender, n int, result report.Result) report.Outcome {
	t.Helper()
	all := reports(n, rig.Now)
	each, request := s.SendBulk(ctx, all)
	if len(each) != n || !reflect.DeepEqual(all, reports(n, rig.Now)) {
		t.Fatalf("%d outcomes of %d reports, or they were changed", len(each), n)
	}
	for _, out := range each {
		if out.Result != result {
			t.Errorf("came out as %v (%s), want %v", out.Result, out.Detail, result)
		}
		checkOutcome(t, rig, out)
	}
	return request
}

func testBulkOnce(t *testing.T, rig *Rig, s report.BulkSender) {
	if b := s.Bulk(); b.Reports < 1 {
		t.Errorf("%+v", b)
	}
	request := sendBulk(t.Context(), t, rig, s, 20, report.Delivered)
	if got := rig.Arrived(); got != 20 || request.Result != report.Delivered {
		t.Errorf("%d arrived: %+v", got, request)
	}
}

func testBulkNone(t *testing.T, rig *Rig, s report.BulkSender) {
	if each, request := s.SendBulk(t.Context(), nil); len(each) != 0 || request.Result != 0 {
		t.Errorf("%v %+v", each, request)
	}
}

func testBulkOver(t *testing.T, rig *Rig, s report.BulkSender) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	request := sendBulk(ctx, t, rig, s, 5, report.Later)
	if got := rig.Arrived(); got != 0 || request.Result != report.Later || request.Unanswered {
		t.Errorf("%d arrived: %+v", got, request)
	}
}

func testBulkHang(t *testing.T, rig *Rig, s report.BulkSender) {
	rig.Hang(t)
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	began := time.Now()
	if request := sendBulk(ctx, t, rig, s, 5, report.Later); !request.Unanswered {
		t.Errorf("%+v", request)
	}
	if took := time.Since(began); took > 200*time.Millisecond+Deadline {
		t.Errorf("it goes on for %v after its context ended", took)
	}
}
