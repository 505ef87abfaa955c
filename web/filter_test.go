package web

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"tattled/event"
)

// A search finds what a look at every event finds, forward and back, and goes on where it stopped.
func TestSearch(t *testing.T) {
	f := &fakeStore{}
	all := newWorld().events(5000, base)
	f.add(all[1500:]...) // the older ones were dropped
	r := start(t, f, nil, usualPace())
	r.Feed().Publish(all[4990:])
	for _, c := range []struct {
		query string
		fits  func(e *event.Event) bool
	}{
		{"kind=auth-failure&user=root", func(e *event.Event) bool { return e.Kind == event.AuthFailure && e.User == "root" }},
		{"kind=web-attack&kind=probe", func(e *event.Event) bool { return e.Kind == event.WebAttack || e.Kind == event.Probe }},
		{"service=netfilter&reporter=shop", func(e *event.Event) bool { return e.Service == "netfilter" && e.Reporter == "shop" }},
		{"country=nl&country=??", func(e *event.Event) bool { return e.Place.Country == "NL" || e.Place.Country == "" }},
		{"as=AS4134", func(e *event.Event) bool { return e.Place.ASN == 4134 }},
		{"address=203.0.113.5", func(e *event.Event) bool { return e.Addr.String() == "203.0.113.5" }},
		{"address=203.0.113.64/26", func(e *event.Event) bool { a := e.Addr.As4()[3]; return a >= 64 && a < 128 }},
		{"port=443", func(e *event.Event) bool { return e.LocalPort == 443 }},
		{"text=ETC/passwd&host=web1&program=", nil},
		{"text=ETC/passwd&host=web1", func(e *event.Event) bool { return strings.Contains(e.Line, "etc/passwd") }},
		{"range=30m", func(e *event.Event) bool { return !e.Time.Before(base.Add(-30 * time.Minute)) }},
		{"from=2026-11-22T14:00:00Z&to=2026-11-22T14:05:00Z", func(e *event.Event) bool {
			return !e.Time.Before(base.Add(-30*time.Minute)) && e.Time.Before(base.Add(-25*time.Minute))
		}},
		{"source=nowhere", func(*event.Event) bool { return false }},
	} {
		if c.fits == nil {
			if a, _ := r.get("/api/v1/events?" + c.query); a.StatusCode != http.StatusBadRequest {
				t.Errorf("%s: %s", c.query, a.Status)
			}
			continue
		}
		var want []uint64
		for i := range all[1500:] {
			if e := &all[1500+i]; c.fits(e) {
				want = append(want, e.Seq)
			}
		}
		newest := want[max(0, len(want)-40):]
		if got := r.seqs("/api/v1/events?limit=40&" + c.query); !slices.Equal(got, newest) {
			t.Errorf("%s: %v, want %v", c.query, got, newest)
		}
		var got []uint64
		for after := uint64(0); ; {
			var a EventsAnswer
			_, body := r.get(fmt.Sprintf("/api/v1/events?limit=70&after=%d&%s", after, c.query))
			if err := json.Unmarshal([]byte(body), &a); err != nil {
				t.Fatal(err)
			}
			for _, e := range a.Events {
				got = append(got, e.Seq)
			}
			if a.Next == after {
				break
			}
			after = a.Next
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s, page by page: %d events, want %d", c.query, len(got), len(want))
		}
	}
}

func (r *rig) seqs(path string) (all []uint64) {
	r.t.Helper()
	var a EventsAnswer
	_, body := r.get(path)
	if err := json.Unmarshal([]byte(body), &a); err != nil {
		r.t.Fatalf("%s: %v", body, err)
	}
	for _, e := range a.Events {
		all = append(all, e.Seq)
	}
	return all
}

// A parameter that cannot be read is an error, which holds nothing of what the client sent.
func TestFilterRefuses(t *testing.T) {
	r := start(t, peopled(3), nil, usualPace())
	for _, query := range []string{
		"kind=<b>", "address=<b>", "address=1.2.3.4/99", "port=0", "port=70000", "as=<b>", "range=<b>", "from=<b>", "to=24h<b>", "user=",
		"range=1h&range=2h", "user=" + strings.Repeat("x", 256), "nosuch=1", "user=" + strings.Repeat("x&user=", 70) + "x",
	} {
		for _, path := range []string{"/api/v1/events?", "/events?"} {
			if path == "/events?" && query == "nosuch=1" {
				continue
			}
			a, body := r.get(path + strings.ReplaceAll(query, "<b>", url.QueryEscape("<b>")))
			if a.StatusCode != http.StatusBadRequest || strings.Contains(body, "<b>") {
				t.Errorf("%s: %s %s", query, a.Status, body)
			}
		}
	}
}

// An event stream with a filter has those events alone that fit.
func TestStreamFilter(t *testing.T) {
	r := start(t, &fakeStore{}, nil, quick())
	stream := r.listen("/events?after=0&kind=web-attack", "")
	all := newWorld().events(200, base)
	r.publish(all...)
	for i := range all {
		if all[i].Kind != event.WebAttack {
			continue
		}
		var e Event
		if err := json.Unmarshal([]byte(stream.expect("event").data), &e); err != nil || e.Seq != all[i].Seq {
			t.Fatalf("event %d, want %d: %v", e.Seq, all[i].Seq, err)
		}
	}
}
