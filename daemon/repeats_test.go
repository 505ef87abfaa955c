package daemon

import (
	"fmt"
	"testing"
	"time"

	"tattled/event"
	"tattled/receiver"
)

// batchOf makes records of one host and program, at one second after another, of which "host: text" is another host's.
func batchOf(source string, now time.Time, lines ...[3]string) *receiver.Batch {
	b := &receiver.Batch{Source: source, Received: now.Add(time.Hour)}
	for i, l := range lines {
		r := receiver.Record{Host: []byte(l[0]), Program: []byte(l[1]), PID: []byte("7"), Message: []byte(l[2]), Trust: event.TrustReport, Time: now.Add(time.Duration(i) * time.Second)}
		if l[1] == "" {
			r.Program = nil
		}
		b.Records = append(b.Records, r)
	}
	return b
}

func TestRepeats(t *testing.T) {
	now := time.Date(2026, 11, 22, 5, 40, 0, 0, time.UTC)
	const other = "Server listening on 0.0.0.0 port 22."
	line, again := [3]string{"web1", "sshd", failed}, [3]string{"web1", "", "last message repeated 5 times"}
	many := [3]string{"web1", "", "last message repeated 60 times"}
	of := func(n int) [3]string {
		return [3]string{"web1", "sshd", fmt.Sprintf("message repeated %d times: [ %s]", n, failed)}
	}
	for name, c := range map[string]struct {
		lines [][3]string
		want  int
	}{
		"once and five times":            {[][3]string{line, of(5)}, 6},
		"five times alone":               {[][3]string{of(5)}, 5},
		"once":                           {[][3]string{of(1)}, 1},
		"no times":                       {[][3]string{of(0)}, 1},
		"more than the rate allows":      {[][3]string{line, of(100000)}, 1 + 2*repeatsASecond},
		"more than can be":               {[][3]string{of(999999)}, repeatsASecond},
		"a number that is none":          {[][3]string{{"web1", "sshd", "message repeated 9999999 times: [ " + failed + "]"}}, 1},
		"the one before":                 {[][3]string{line, again}, 6},
		"the one before, with its tag":   {[][3]string{line, {"web1", "sshd", "last message repeated 5 times"}}, 6},
		"the one before, macOS":          {[][3]string{line, {"web1", "", "--- last message repeated 1 time ---"}}, 2},
		"twice the one before":           {[][3]string{line, again, again}, 11},
		"no more than the rate, again":   {[][3]string{line, many, many, many}, 1 + 3*2*repeatsASecond},
		"another host between":           {[][3]string{line, {"web2", "sshd", other}, again}, 6},
		"another host's":                 {[][3]string{{"web2", "sshd", failed}, again}, 1},
		"another program's, with a tag":  {[][3]string{line, {"web1", "cron", "last message repeated 5 times"}}, 1},
		"another program between, tag":   {[][3]string{line, {"web1", "cron", "x"}, {"web1", "sshd", "last message repeated 5 times"}}, 6},
		"another line between":           {[][3]string{line, {"web1", "sshd", other}, again}, 1},
		"another program's line between": {[][3]string{line, {"web1", "cron", "x"}, again}, 1},
		"nothing before":                 {[][3]string{again}, 0},
		"a peer's text":                  {[][3]string{line, {"web1", "app", "user last message repeated 50 times"}}, 1},
		"words behind":                   {[][3]string{line, {"web1", "", "last message repeated 5 times x"}}, 1},
	} {
		for _, cut := range []bool{false, true} { // in one batch, and each in its own
			var out taken
			p := testPipeline(t, "198.51.100.0/24", &out)
			b := batchOf("file:/var/log/auth.log", now, c.lines...)
			all := b.Records
			for i := range all {
				if b.Records = all[i : i+1]; !cut {
					b.Records = all
				}
				if err := p.Handle(t.Context(), b); err != nil {
					t.Fatal(err)
				}
				if !cut {
					break
				}
			}
			want := c.want
			if cut && (name == "another host between" || name == "another program between, tag") {
				want = 1 // what was before is not remembered beyond the last line
			}
			if cut && name == "more than the rate allows" {
				want = 1 + repeatsASecond
			}
			if len(out.events) != want {
				t.Errorf("%s (one by one: %v): %d events, want %d", name, cut, len(out.events), want)
			}
			for _, e := range out.events {
				if e.Addr.String() != truePeerOf(failed) {
					t.Errorf("%s: %v", name, e.Addr)
				}
			}
		}
	}
}

// However many lines of a batch say that others came again, it makes a bounded number of events: in memory, and in one commit.
func TestRepeatsAreBounded(t *testing.T) {
	now := time.Date(2026, 11, 22, 5, 40, 0, 0, time.UTC)
	for _, again := range [][3]string{{"web1", "", "last message repeated 64 times"}, {"web1", "sshd", "message repeated 64 times: [ " + failed + "]"}} {
		lines := [][3]string{{"web1", "sshd", failed}}
		for range 4000 {
			lines = append(lines, again)
		}
		var out taken
		p := testPipeline(t, "198.51.100.0/24", &out)
		b := batchOf("file:/var/log/auth.log", now, lines...)
		for i := range b.Records { // far enough apart for all
			b.Records[i].Time = now.Add(time.Duration(i) * time.Minute)
		}
		if err := p.Handle(t.Context(), b); err != nil {
			t.Fatal(err)
		}
		matched := 1
		if again[1] != "" {
			matched = len(lines)
		}
		if want := matched + maxRepeatsABatch; len(out.events) != want {
			t.Errorf("%q: %d events, want %d", again[2], len(out.events), want)
		}
	}
}

func truePeerOf(string) string { return "203.0.113.5" }

// An untrusted line makes no event of a trusted one, and the journal, to which every user can write, has no such lines.
func TestRepeatsTrust(t *testing.T) {
	now := time.Date(2026, 11, 22, 5, 40, 0, 0, time.UTC)
	lines := [][3]string{{"web1", "sshd", failed}, {"web1", "", "last message repeated 5 times"}}
	for source, want := range map[string]int{"unix:///run/log": 6, "journal": 1} {
		var out taken
		p := testPipeline(t, "198.51.100.0/24", &out)
		b := batchOf(source, now, lines...)
		b.Records[1].Trust = event.TrustCount
		if err := p.Handle(t.Context(), b); err != nil {
			t.Fatal(err)
		}
		if len(out.events) != want {
			t.Errorf("%s: %d events", source, len(out.events))
		}
		for i, e := range out.events {
			if (e.Trust == event.TrustReport) != (i == 0) {
				t.Errorf("%s: event %d has trust %v", source, i, e.Trust)
			}
		}
	}
}
