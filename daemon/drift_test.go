package daemon

import (
	"slices"
	"strings"
	"testing"
	"time"
)

func TestDrift(t *testing.T) {
	start := time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)
	var d drift
	watched := map[string]bool{"sshd": true}
	step := func(minutes int, matched, missed map[string]uint64) (began, ended []string) {
		return d.look(start.Add(time.Duration(minutes)*time.Minute), matched, missed, watched, 1000)
	}
	count := func(sshd, netfilter uint64) map[string]uint64 {
		return map[string]uint64{"sshd": sshd, "netfilter": netfilter}
	}
	expect := func(when string, began, ended []string, wantBegan, wantEnded string) {
		t.Helper()
		if strings.Join(began, " ") != wantBegan || strings.Join(ended, " ") != wantEnded {
			t.Errorf("%s: began %v, ended %v", when, began, ended)
		}
	}
	began, ended := step(0, count(5, 0), count(90_000, 90_000))
	expect("what was there before the first look is not held against it", began, ended, "", "")
	began, ended = step(30, count(5, 0), count(95_000, 95_000))
	expect("a burst", began, ended, "", "")
	began, ended = step(60, count(5, 0), count(95_001, 99_000))
	expect("many lines in an hour; those of the kernel are of other things", began, ended, "sshd", "")
	began, ended = step(61, count(5, 0), count(95_002, 99_000))
	expect("told once", began, ended, "", "")
	if p := d.problems(); len(p) != 1 || !strings.HasPrefix(p[0].What, "sshd: ") || !strings.Contains(p[0].Cause, "none of 5002 lines since 2026-11-22 10:00") {
		t.Errorf("problems: %q", p)
	}
	var drifting []string
	d.each(func(value float64, labels ...string) {
		if value == 1 {
			drifting = append(drifting, labels...)
		}
	})
	if !slices.Equal(drifting, []string{"sshd"}) {
		t.Errorf("the metric says that %v drift", drifting)
	}
	began, ended = step(62, count(6, 0), count(95_003, 99_000))
	expect("one match ends it", began, ended, "", "sshd")
	began, ended = step(180, count(6, 0), count(96_002, 99_000))
	expect("too few lines, for however long", began, ended, "", "")
	began, ended = step(181, count(6, 0), count(96_003, 99_000))
	expect("and again", began, ended, "sshd", "")
	began, ended = d.look(start.Add(4*time.Hour), count(6, 0), count(99_000, 99_000), watched, 0)
	expect("switched off", began, ended, "", "")
	if p := d.problems(); len(p) != 0 {
		t.Errorf("problems: %q", p)
	}
	step(250, count(6, 0), count(99_000, 99_000))
	began, ended = step(320, count(6, 0), count(100_000, 99_000))
	expect("on again", began, ended, "sshd", "")
	watched = nil
	began, ended = step(321, count(6, 0), count(100_000, 99_000))
	expect("the service is disabled", began, ended, "", "")
	if p := d.problems(); len(p) != 0 {
		t.Errorf("problems of a service that is disabled: %q", p)
	}
}
