package daemon

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"tattled/receiver"
)

// A sender out of step is a problem for an hour after it was last seen.
func TestMissteps(t *testing.T) {
	var m missteps
	var meter receiver.Meter
	now := time.Now()
	if got := m.problems("tcp://:514", &meter, true, now); len(got) > 0 {
		t.Errorf("a problem before any: %s", got)
	}
	meter.Drop(receiver.OutOfStep, 2)
	for _, c := range []struct {
		after time.Duration
		more  uint64
		says  string
	}{{0, 0, "2 connections"}, {59 * time.Minute, 0, "2 connections"}, {time.Hour, 0, ""}, {2 * time.Hour, 1, "3 connections"}, {3 * time.Hour, 0, ""}} {
		meter.Drop(receiver.OutOfStep, c.more)
		got := strings.Trim(fmt.Sprint(m.problems("tcp://:514", &meter, false, now.Add(c.after))), "[]")
		if (c.says == "") != (got == "") || !strings.Contains(got, c.says) {
			t.Errorf("after %v: %q, want %q", c.after, got, c.says)
		}
	}
	meter.CarriageReturns.Add(3)
	if got := m.problems("tcp://:514", &meter, false, now.Add(4*time.Hour)); len(got) != 1 || !strings.Contains(got[0].What, "carriage returns") || !strings.Contains(got[0].Cause, "3 connections") {
		t.Errorf("a sender of lines without line feeds: %q", got)
	}
	meter.Drop(receiver.WrongProtocol, 4)
	if got := m.problems("tcp://:514", &meter, false, now.Add(5*time.Hour)); len(got) > 0 {
		t.Errorf("strangers who speak another protocol are a problem: %q", got)
	}
	if got := m.problems("tcp://:514", &meter, true, now.Add(5*time.Hour)); len(got) != 1 || !strings.Contains(got[0].Cause, "4 connections of senders in allow") {
		t.Errorf("a sender in allow that speaks another protocol: %q", got)
	}
}
