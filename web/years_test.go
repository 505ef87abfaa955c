package web

import (
	"encoding/json"
	"net/netip"
	"testing"
	"time"

	"tattled/event"
	"tattled/store"
)

// Whatever year an event or a report was stamped with, it can be written as JSON: one that cannot would take the whole
// answer with it, and be missing in the stream.
func TestEveryYearIsShown(t *testing.T) {
	for _, year := range []int{-1, 0, 1, 2026, 9999, 10000, 200000} {
		for _, zone := range []*time.Location{time.UTC, time.FixedZone("east", 50000), time.FixedZone("west", -50000)} {
			for _, at := range []time.Time{time.Date(year, 1, 1, 0, 0, 0, 0, zone), time.Date(year, 12, 31, 23, 59, 59, 0, zone)} {
				e := event.Event{Addr: netip.MustParseAddr("203.0.113.5"), Time: at, Received: at}
				if _, err := json.Marshal(viewEvent(&e)); err != nil {
					t.Errorf("event of %v: %v", at, err)
				}
				item := store.Item{Report: event.Report{Addr: e.Addr, First: at, Last: at}, Created: at, Settled: at, NextAttempt: at, State: store.Pending}
				if _, err := json.Marshal(viewItem(&item)); err != nil {
					t.Errorf("report of %v: %v", at, err)
				}
			}
		}
	}
}
