package web

import (
	"strconv"
	"strings"
	"time"

	"tattled/event"
	"tattled/store"
)

// Event is an event as clients get it. Its names are stable. Every text went through visible.
type Event struct {
	Seq         uint64    `json:"seq"`
	Time        time.Time `json:"time"`
	Received    time.Time `json:"received"`
	Kind        string    `json:"kind"`
	Service     string    `json:"service"`
	Rule        string    `json:"rule"`
	Categories  []int     `json:"categories,omitempty"`
	Address     string    `json:"address"`
	Port        uint16    `json:"port,omitempty"`
	LocalPort   uint16    `json:"local_port,omitempty"`
	Proto       string    `json:"proto,omitempty"`
	Handshake   bool      `json:"handshake,omitempty"`
	Stray       bool      `json:"stray,omitempty"`
	Forward     bool      `json:"forward,omitempty"`
	User        string    `json:"user,omitempty"`
	Program     string    `json:"program,omitempty"`
	PID         string    `json:"pid,omitempty"`
	Host        string    `json:"host,omitempty"`
	Source      string    `json:"source,omitempty"`
	Reporter    string    `json:"reporter,omitempty"`
	Trust       string    `json:"trust"`
	Country     string    `json:"country,omitempty"`
	CountryName string    `json:"country_name,omitempty"`
	City        string    `json:"city,omitempty"`
	ASN         uint32    `json:"asn,omitempty"`
	Org         string    `json:"org,omitempty"`
	Line        string    `json:"line,omitempty"`
}

// viewEvent is the one gate through which events leave: nothing of e reaches a client in another way.
func viewEvent(e *event.Event) Event {
	return Event{
		Seq: e.Seq, Time: plain(e.Time), Received: plain(e.Received),
		Kind: e.Kind.String(), Service: event.Visible(e.Service), Rule: event.Visible(e.Rule), Categories: e.Categories,
		Address: e.Addr.String(), Port: e.Port, LocalPort: e.LocalPort, Proto: e.Proto.String(), Handshake: e.Handshake, Stray: e.Stray, Forward: e.Forward,
		User: event.Visible(e.User), Program: event.Visible(e.Program), PID: event.Visible(e.PID), Host: event.Visible(e.Host),
		Source: event.Visible(e.Source), Reporter: event.Visible(e.Reporter), Trust: e.Trust.String(),
		Country: event.Visible(e.Place.Country), CountryName: event.Visible(e.Place.CountryName), City: event.Visible(e.Place.City),
		ASN: e.Place.ASN, Org: event.Visible(e.Place.Org), Line: event.Visible(e.Line),
	}
}

func viewEvents(events []event.Event) []Event {
	views := make([]Event, len(events))
	for i := range events {
		views[i] = viewEvent(&events[i])
	}
	return views
}

// Item is a report in the outbox as clients get it. Its names are stable.
type Item struct {
	ID          string     `json:"id"`
	Destination string     `json:"destination"`
	Policy      string     `json:"policy"`
	State       string     `json:"state"`
	Address     string     `json:"address"`
	Country     string     `json:"country,omitempty"`
	CountryName string     `json:"country_name,omitempty"`
	Kind        string     `json:"kind"`
	Service     string     `json:"service"`
	Rule        string     `json:"rule"`
	Categories  []int      `json:"categories,omitempty"`
	Events      int        `json:"events"`
	First       time.Time  `json:"first"`
	Last        time.Time  `json:"last"`
	Created     time.Time  `json:"created"`
	Attempts    int        `json:"attempts"`
	NextAttempt *time.Time `json:"next_attempt,omitempty"`
	Settled     *time.Time `json:"settled,omitempty"`
	Detail      string     `json:"detail,omitempty"`
	// UnansweredSince is since when nobody knows whether the report arrived; absent where that is known.
	UnansweredSince *time.Time `json:"unanswered_since,omitempty"`
}

func viewItem(i *store.Item) Item {
	r := &i.Report
	view := Item{
		ID: event.Visible(i.ID), Destination: event.Visible(r.Destination), Policy: event.Visible(r.Policy), State: i.State.String(),
		Address: r.Addr.String(), Country: event.Visible(r.Place.Country), CountryName: event.Visible(r.Place.CountryName),
		Kind: r.Kind.String(), Service: event.Visible(r.Service), Rule: event.Visible(r.Rule), Categories: r.Categories,
		Events: r.Count, First: plain(r.First), Last: plain(r.Last),
		Created: plain(i.Created), Attempts: i.Attempts, Settled: unlessZero(i.Settled), Detail: event.Visible(i.Detail),
	}
	view.UnansweredSince = unlessZero(i.UnansweredSince)
	if i.State == store.Pending {
		view.NextAttempt = unlessZero(i.NextAttempt)
	}
	return view
}

func viewItems(items []store.Item) []Item {
	views := make([]Item, len(items))
	for i := range items {
		views[i] = viewItem(&items[i])
	}
	return views
}

// plain is t in UTC, within the years that JSON can write: one event with another must not spoil the answer that it is in.
func plain(t time.Time) time.Time {
	t = t.UTC()
	switch year := t.Year(); {
	case year < 1:
		return time.Time{}
	case year > 9999:
		return time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC)
	default:
		return t
	}
}

func unlessZero(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = plain(t)
	return &t
}

// formatCount writes a number with commas between thousands.
func formatCount[N int | int64 | uint64](n N) string {
	digits := strconv.FormatInt(int64(n), 10)
	sign := ""
	if digits[0] == '-' {
		sign, digits = "-", digits[1:]
	}
	var b strings.Builder
	b.WriteString(sign)
	for i, d := range digits {
		if i > 0 && (len(digits)-i)%3 == 0 {
			b.WriteByte(',')
		}
		b.WriteRune(d)
	}
	return b.String()
}

// clock writes a time as the page shows it; the page says that it is UTC.
func clock(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("02 Jan 15:04:05")
}

// date writes a time whose year matters.
func date(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05") }

// span writes a duration roughly, in one unit.
func span(d time.Duration) string {
	switch {
	case d < 0:
		return "0 s"
	case d < 10*time.Second:
		return strconv.FormatFloat(d.Seconds(), 'f', 1, 64) + " s"
	case d < 2*time.Minute:
		return strconv.Itoa(int(d.Seconds())) + " s"
	case d < 2*time.Hour:
		return strconv.Itoa(int(d.Minutes())) + " min"
	case d < 48*time.Hour:
		return strconv.Itoa(int(d.Hours())) + " h"
	default:
		return strconv.Itoa(int(d.Hours()/24)) + " d"
	}
}

// size writes a number of bytes roughly.
func size(n int64) string {
	for _, unit := range []struct {
		bytes int64
		name  string
	}{{1 << 30, "GiB"}, {1 << 20, "MiB"}, {1 << 10, "KiB"}} {
		if n >= unit.bytes {
			return strconv.FormatFloat(float64(n)/float64(unit.bytes), 'f', 1, 64) + " " + unit.name
		}
	}
	return strconv.FormatInt(n, 10) + " B"
}
