package daemon

import (
	"strings"
	"testing"
	"time"

	"tattled/receiver"
)

const failed = "Failed password for root from 203.0.113.5 port 40022 ssh2"

// A router whose clock was never set is believed to tell of now, by every way that is live, and its operator is told. A log file may be
// old.
func TestUnsetClock(t *testing.T) {
	now := time.Date(2026, 11, 22, 5, 40, 0, 0, time.UTC)
	for source, want := range map[string]bool{"udp://127.0.0.1:5514": true, "tcp://127.0.0.1:5514": true, "unix:///run/log": true, "file:/var/log/auth.log": false, "journal": false} {
		for _, at := range []time.Time{now.AddDate(0, -10, -21), now.Add(-maxAge - time.Second), now.AddDate(-6, 0, 0)} {
			var out taken
			p := testPipeline(t, "198.51.100.0/24", &out)
			r := record("sshd", failed)
			r.Time = at
			if err := p.Handle(t.Context(), &receiver.Batch{Source: source, Received: now, Records: []receiver.Record{r}}); err != nil {
				t.Fatal(err)
			}
			if len(out.events) != 1 || out.events[0].Time.Equal(now) != want {
				t.Errorf("%s: %v, received %v", source, out.events, now)
			}
			problems := p.clocks.problems(now)
			if told := len(problems) == 1 && strings.Contains(problems[0].What, `the clock of "web1" is not set`); told != want {
				t.Errorf("%s: %v", source, problems)
			}
			if len(p.clocks.problems(now.Add(clockFor))) > 0 {
				t.Errorf("%s: it is a problem for ever", source)
			}
		}
	}
}

// What a relay has kept for some days is as old as it says.
func TestLateLinesKeepTheirTime(t *testing.T) {
	now := time.Date(2026, 11, 22, 5, 40, 0, 0, time.UTC)
	var out taken
	p := testPipeline(t, "198.51.100.0/24", &out)
	r := record("sshd", failed)
	r.Time = now.Add(-maxAge + time.Minute)
	if err := p.Handle(t.Context(), &receiver.Batch{Source: "udp://127.0.0.1:5514", Received: now, Records: []receiver.Record{r}}); err != nil {
		t.Fatal(err)
	}
	if len(out.events) != 1 || !out.events[0].Time.Equal(r.Time) {
		t.Errorf("%v", out.events)
	}
	if all := p.clocks.problems(now); len(all) > 0 {
		t.Errorf("%v", all)
	}
}

// A sender whose lines are off by the same whole hours again and again is named with its zone; one line, minutes, and a sender that is
// right again are not.
func TestSenderInAnotherZone(t *testing.T) {
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	for name, c := range map[string]struct {
		ahead []time.Duration
		want  string
	}{
		"at once":                       {[]time.Duration{-5 * time.Hour, -5*time.Hour - time.Second, -5 * time.Hour, -5 * time.Hour, -5 * time.Hour}, "Etc/GMT+5"},
		"kept by a relay, sent at once": {[]time.Duration{-5*time.Hour - 10*time.Second, -5*time.Hour - 9*time.Second, -5*time.Hour - 4*time.Second, -5 * time.Hour, -5*time.Hour + time.Second}, ""},
		"behind":                        {[]time.Duration{-5 * time.Hour, -5*time.Hour - time.Second, -5 * time.Hour, -5*time.Hour + time.Second, -5 * time.Hour, -5 * time.Hour}, "Etc/GMT+5"},
		"ahead":                         {[]time.Duration{time.Hour, time.Hour, time.Hour, time.Hour, time.Hour, time.Hour}, "Etc/GMT-1"},
		"few lines":                     {[]time.Duration{time.Hour, time.Hour}, ""},
		"minutes":                       {[]time.Duration{-20 * time.Minute, -20 * time.Minute, -20 * time.Minute, -20 * time.Minute, -20 * time.Minute, -20 * time.Minute}, ""},
		"on time":                       {make([]time.Duration, 10), ""},
		"right again":                   {[]time.Duration{time.Hour, time.Hour, time.Hour, time.Hour, time.Hour, time.Hour, 0}, ""},
		"a queue":                       {[]time.Duration{-3 * time.Hour, -150 * time.Minute, -2 * time.Hour, -90 * time.Minute, -time.Hour, -30 * time.Minute}, ""},
	} {
		var out taken
		p := testPipeline(t, "198.51.100.0/24", &out)
		at := now
		for _, ahead := range c.ahead {
			if !strings.HasSuffix(name, "at once") {
				at = at.Add(20 * time.Second)
			}
			r := record("sshd", failed)
			r.Time = at.Add(ahead)
			if err := p.Handle(t.Context(), &receiver.Batch{Source: "udp://127.0.0.1:5514", Received: at, Records: []receiver.Record{r}}); err != nil {
				t.Fatal(err)
			}
		}
		all := p.clocks.problems(at)
		if (len(all) > 0) != (c.want != "") || len(all) > 0 && !strings.Contains(all[0].Remedy, c.want) {
			t.Errorf("%s: %v", name, all)
		}
	}
}

// Made-up hosts do not make it grow.
func TestClocksAreBounded(t *testing.T) {
	var c clocks
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	r := record("sshd", failed)
	r.Time = now.AddDate(-1, 0, 0)
	for i := range 3 * maxClocks {
		c.note(&r, &receiver.Batch{Source: "udp://x", Received: now}, strings.Repeat("h", i%500)+string(rune('a'+i/500)))
	}
	if len(c.last) > maxClocks {
		t.Errorf("%d", len(c.last))
	}
}
