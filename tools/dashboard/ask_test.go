package main

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// fake is a Prometheus that gives every query the same answer, and those with a word in them another.
func fake(t *testing.T, word, other string) *asker {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		query := r.FormValue("query")
		value := "1"
		if word != "" && strings.Contains(query, word) {
			value = other
		}
		switch {
		case strings.HasPrefix(r.URL.Path, "/api/v1/label/"):
			fmt.Fprint(w, `{"status": "success", "data": ["a"]}`)
		case value == "":
			fmt.Fprint(w, `{"status": "success", "data": {"result": []}}`)
		case value == "error":
			fmt.Fprint(w, `{"status": "error", "error": "it is too much"}`)
		case r.URL.Path == "/api/v1/query":
			fmt.Fprintf(w, `{"status": "success", "data": {"result": [{"metric": {"instance": "a"}, "value": [1, %q]}]}}`, value)
		default:
			fmt.Fprintf(w, `{"status": "success", "data": {"result": [{"metric": {"instance": "a"}, "values": [[1, %q], [2, %q]]}]}}`, value, value)
		}
	}))
	t.Cleanup(s.Close)
	to := time.Unix(1_800_000_000, 0)
	return &asker{s.URL, view{from: to.Add(-time.Hour), to: to, scrape: time.Second, points: 100}}
}

// A panel that stays empty, or has values that are none, fails; one that has an answer does not.
func TestAsk(t *testing.T) {
	for other, fault := range map[string]string{"1": "", "": "there is no answer", "NaN": "there is no answer", "+Inf": "there is no answer", "error": "it is too much"} {
		all, err := fake(t, "tattled_attackers", other).dashboard(context.Background(), tattled())
		if len(all) < 80 {
			t.Errorf("%q: %d answers", other, len(all))
		}
		switch {
		case fault == "" && err != nil:
			t.Errorf("%q: %v", other, err)
		case fault != "" && (err == nil || !strings.Contains(err.Error(), "Attackers now, A: "+fault) || strings.Count(err.Error(), "tattled, ") != 1):
			t.Errorf("%q: %v", other, err)
		}
	}
}

// Today is since midnight, and of a day that has just begun it is the half day before.
func TestToday(t *testing.T) {
	at := func(clock string) time.Time {
		day, err := time.Parse(time.DateTime, "2026-03-01 "+clock)
		if err != nil {
			t.Fatal(err)
		}
		return day
	}
	for clock, want := range map[string]time.Duration{"00:00:01": 12*time.Hour + time.Second, "00:59:59": 12*time.Hour + 59*time.Minute + 59*time.Second, "13:00:00": 13 * time.Hour} {
		if v := (view{from: at(clock).Add(-time.Minute), to: at(clock)}).within("now/d"); v.to.Sub(v.from) != want {
			t.Errorf("%s: %v, want %v", clock, v.to.Sub(v.from), want)
		}
	}
}

// Pictures write values as Grafana does.
func TestShow(t *testing.T) {
	two := 2
	f := field{Decimals: &two, Thresholds: thresholds{Steps: steps(calm, 10, look)}}
	for unit, want := range map[string]string{"percentunit": "123456.70%", "s": "20.58 min", "bytes": "1.21 KiB", "short": "1.23 K", "locale": "1,234.57", "none": "1234.57"} {
		f.Unit = unit
		if got, color := f.show(1234.567); got != want || color != look {
			t.Errorf("%s: %s, %s; want %s, %s", unit, got, color, want, look)
		}
	}
	f.Mappings = mapped("down", lost, "up", calm)
	if got, color := f.show(0); got != "down" || color != lost {
		t.Errorf("%s, %s", got, color)
	}
}
