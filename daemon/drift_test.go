package daemon

import (
	"slices"
	"strings"
	"testing"
	"time"
)

// driftNames are the services of those that began or ceased to drift, with the rules where they are not all.
func driftNames(all []drifted) string {
	var text []string
	for _, one := range all {
		if one.attacks {
			one.service += "/attacks"
		}
		text = append(text, one.service)
	}
	return strings.Join(text, " ")
}

func TestDrift(t *testing.T) {
	start := time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)
	var d drift
	watched := map[string]bool{"sshd": true}
	all := func(counts map[string]uint64) map[string]matches {
		m := map[string]matches{}
		for name, n := range counts {
			m[name] = matches{all: n}
		}
		return m
	}
	step := func(minutes int, matched, missed map[string]uint64) (began, ended []drifted) {
		return d.look(start.Add(time.Duration(minutes)*time.Minute), all(matched), missed, watched, 1000)
	}
	count := func(sshd, netfilter uint64) map[string]uint64 {
		return map[string]uint64{"sshd": sshd, "netfilter": netfilter}
	}
	expect := func(when string, began, ended []drifted, wantBegan, wantEnded string) {
		t.Helper()
		if driftNames(began) != wantBegan || driftNames(ended) != wantEnded {
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
	began, ended = d.look(start.Add(4*time.Hour), all(count(6, 0)), count(99_000, 99_000), watched, 0)
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

// Logins that go on do not hide that the failures are no longer read. Who is attacked now and then raises no alarm.
func TestDriftOfAttacks(t *testing.T) {
	start := time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC)
	watched := map[string]bool{"sshd": true}
	for _, c := range []struct {
		what    string
		every   int // minutes between two attacks at first
		from    int // hours for which they come
		still   int // hours after that, with logins and with lines that nothing matches
		lines   uint64
		drifts  bool
		problem string
	}{
		{"attacked all the time for two days, then never", 1, 48, 3, 100, true, "sshd: no rule of an attack matches any more"},
		{"the same, and few lines", 1, 48, 3, 1, false, ""},
		{"the same, for less than an hour", 1, 48, 0, 5000, false, ""},
		{"attacked every two hours, and a night without", 120, 48, 10, 100, false, ""},
		{"attacked every two hours, and a day without", 120, 48, 24, 100, true, "sshd: no rule of an attack matches any more"},
		{"watched for too short a time", 1, 3, 30, 100, false, ""},
		{"never attacked", 1, 0, 48, 100, false, ""},
	} {
		var d drift
		var m matches
		var missed uint64
		var began, ended []drifted
		now := start
		minute := func(attack bool, lines uint64) {
			now = now.Add(time.Minute)
			if missed += lines; attack {
				m.all, m.attacks = m.all+1, m.attacks+1
			}
			if now.Minute()%10 == 0 {
				m.all++ // the administrator
			}
			b, e := d.look(now, map[string]matches{"sshd": m}, map[string]uint64{"sshd": missed}, watched, 1000)
			began, ended = append(began, b...), append(ended, e...)
		}
		for i := range c.from * 60 {
			minute(i%c.every == 0, 1)
		}
		for range c.still*60 + 30 {
			minute(false, c.lines)
		}
		want := ""
		if c.drifts {
			want = "sshd/attacks"
		}
		if driftNames(began) != want || len(ended) > 0 {
			t.Errorf("%s: began %v, ended %v", c.what, began, ended)
		}
		if p := d.problems(); c.drifts != (len(p) == 1) || c.drifts && (p[0].What != c.problem || p[0].Remedy == "") {
			t.Errorf("%s: problems %q", c.what, p)
		}
		minute(true, 0)
		if driftNames(ended) != want {
			t.Errorf("%s: after one more attack: ended %v", c.what, ended)
		}
		if p := d.problems(); len(p) != 0 {
			t.Errorf("%s: after one more attack: problems %q", c.what, p)
		}
	}
}
