package store

import (
	"encoding/json"
	"net/netip"
	"strings"
	"testing"
	"time"

	"tattled/event"
)

// A time that JSON can not write may lie on disk already, from a version that took it from a log. It must not reach anybody
// who reads: one such event would make every answer that has it an error.
func TestTimesThatJSONCannotWrite(t *testing.T) {
	east := time.FixedZone("east", 14*3600)
	for _, odd := range []time.Time{
		time.Date(0, 1, 1, 0, 0, 0, 0, east), // of the year -1 in UTC
		time.Date(-5000, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC),
		time.Date(9999, 12, 31, 23, 59, 59, 0, time.FixedZone("west", -12*3600)),
		time.Unix(1<<62, 0), time.Unix(-1<<62, 0), time.Unix(-1<<63, 0), time.Unix(1<<63-1, 999999999),
	} {
		e := event.Event{Time: odd, Received: odd, Addr: netip.MustParseAddr("203.0.113.1")}
		back, ok := decodeEvent(appendEvent(nil, &e))
		several, _ := decodeEvents(packed([]event.Event{{}, e, {Time: back.Time}, e}))
		if len(several) != 4 || !several[1].Time.Equal(back.Time) || !several[3].Received.Equal(back.Received) {
			t.Fatalf("%d: among others it comes back as %+v", odd.Unix(), several)
		}
		item := Item{ID: "x", State: Pending, Created: odd, NextAttempt: odd, Report: event.Report{ID: "x", First: odd, Last: odd, Judged: odd}}
		thing, sound := decodeItem(appendItem(nil, &item))
		a := address{first: odd.UnixMilli(), last: -1 << 62}
		known := a.summary(e.Addr)
		if !ok || !sound {
			t.Errorf("%d: it can not be read", odd.Unix())
		}
		for _, at := range []time.Time{back.Time, back.Received, thing.Created, thing.NextAttempt, thing.Report.Last, known.First, known.Last} {
			for _, zone := range []*time.Location{time.UTC, east, time.FixedZone("west", -12*3600)} {
				if _, err := json.Marshal(at.In(zone)); err != nil {
					t.Errorf("%d: %v", odd.Unix(), err)
				}
			}
		}
	}
	for _, plain := range []time.Time{{}, time.Date(2026, 11, 22, 12, 0, 0, 5, time.UTC), time.Date(9999, 12, 30, 0, 0, 0, 0, time.UTC)} {
		e := event.Event{Time: plain}
		if back, ok := decodeEvent(appendEvent(nil, &e)); !ok || !back.Time.Equal(plain) {
			t.Errorf("%s came back as %s", plain, back.Time)
		}
	}
}

// What a peer wrote is bounded when it is kept, whatever it went through before.
func TestTextsAreBoundedWhenTheyAreKept(t *testing.T) {
	long := strings.Repeat("x", 64<<10)
	e := event.Event{
		Addr: netip.MustParseAddr("203.0.113.1"), Service: long, Rule: long, User: long, Program: long, PID: long, Host: long,
		Source: long, Reporter: long, Line: long, Place: event.Place{Country: long, CountryName: long, City: long, Org: long},
		Categories: make([]int, 1000),
	}
	record := packed([]event.Event{e})
	all, ok := decodeEvents(record)
	if !ok || len(all) != 1 {
		t.Fatal("it can not be read")
	}
	back := all[0]
	for _, s := range []string{back.Service, back.Rule, back.User, back.Program, back.PID, back.Host, back.Source, back.Reporter} {
		if len(s) != maxText {
			t.Errorf("a text of %d bytes was kept", len(s))
		}
	}
	if len(back.Line) != event.MaxLine || len(record) > event.MaxLine+13*(maxText+2)+200 {
		t.Errorf("the line has %d bytes, the record %d", len(back.Line), len(record))
	}
	r := event.Report{ID: "x", Policy: long, User: long, Host: long, Reporter: long, Line: long, Ports: make([]uint16, 1000)}
	if record := appendReport(nil, &r); len(record) > event.MaxLine+13*(maxText+2)+200 {
		t.Errorf("a report is kept in %d bytes", len(record))
	}
}
