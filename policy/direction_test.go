package policy

import (
	"testing"

	"tattled/event"
)

// A policy is about packets to this machine unless it says that it is about those that go on, and a default never is.
func TestDirection(t *testing.T) {
	for _, c := range []struct {
		direction string
		forward   bool
		want      string
	}{{"", false, ""}, {"in", false, ""}, {"forward", true, ""}, {"", true, "direction"}, {"in", true, "direction"}, {"forward", false, "direction"}} {
		r := rule{when: When{Direction: c.direction}}
		if got := r.mismatch(&event.Event{Kind: event.FirewallBlock, Forward: c.forward}); got != c.want {
			t.Errorf("direction: %q of a packet with forward %v: %q, want %q", c.direction, c.forward, got, c.want)
		}
	}
	var said string
	c := Config{Name: "x", When: When{Direction: "out"}, Threshold: 1, Do: []string{"count"}}
	c.Check(func(path, problem string) { said += path + ": " + problem + "\n" })
	if said != "when.direction: \"out\" is not a direction: write in or forward, or leave it out for in\n" {
		t.Errorf("%q", said)
	}
}
