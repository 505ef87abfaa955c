package daemon

import (
	"strings"
	"testing"
	"time"

	"tattled/event"
	"tattled/receiver"
)

// lineOf is a record of a log without headers.
func lineOf(program, line string) receiver.Record {
	return receiver.Record{Program: []byte(program), Message: []byte(line), Framing: receiver.FileLine, Trust: event.TrustReport}
}

const webLine = `203.0.113.5 - - [22/Nov/2026:05:40:00 +0000] "GET /.env HTTP/1.1" 404 146 "-" "curl/8"`

func docker(stream, text string) string {
	return `{"log":"` + strings.ReplaceAll(text, `"`, `\"`) + `","stream":"` + stream + `","time":"2026-11-22T05:40:00Z"}`
}

// What follows a part of a line may be a peer's text from its beginning, and is not believed, be it after a restart: only what stands
// right behind a whole line of the same output is.
func TestPartsOfLines(t *testing.T) {
	now := time.Date(2026, 11, 22, 5, 40, 0, 0, time.UTC)
	out, whole := docker("stdout", webLine+`\n`), docker("stdout", `x y z\n`)
	part, other := docker("stdout", webLine[:40]), docker("stderr", `x y z\n`)
	for name, c := range map[string]struct {
		lines []string
		want  string // of each event: r for one that may lead to a report
	}{
		"the first":             {[]string{out, out}, "cr"},
		"behind a part":         {[]string{whole, part, out, out}, "cr"},
		"the other stream":      {[]string{whole, part, other, out, out}, "cr"},
		"of the other stream":   {[]string{whole, other, docker("stderr", webLine[:40]), out}, "r"},
		"CRI":                   {[]string{"2026-11-22T05:40:00Z stdout F x", "2026-11-22T05:40:00Z stdout P x", "2026-11-22T05:40:00Z stdout F " + webLine, "2026-11-22T05:40:00Z stdout F " + webLine}, "cr"},
		"behind a foreign line": {[]string{whole, strings.Repeat("x", 100), out, out}, "cr"},
	} {
		for _, cut := range []bool{false, true} {
			var taken taken
			p := testPipeline(t, "198.51.100.0/24", &taken)
			b := &receiver.Batch{Source: "file:x", Stream: "file:x", Received: now}
			for _, line := range c.lines {
				b.Records = append(b.Records, lineOf("nginx", line))
			}
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
			got := ""
			for _, e := range taken.events {
				if e.Trust == event.TrustReport {
					got += "r"
				} else {
					got += "c"
				}
				if e.Handshake {
					t.Errorf("%s: a line of a web server's standard output proves a handshake", name)
				}
			}
			if got != c.want {
				t.Errorf("%s (one by one: %v): %s, want %s", name, cut, got, c.want)
			}
		}
	}
}

// A record that was cut may have been a part as well.
func TestCutRecordsBeforeContainersLines(t *testing.T) {
	var taken taken
	p := testPipeline(t, "198.51.100.0/24", &taken)
	b := &receiver.Batch{Source: "file:x", Stream: "file:x", Received: time.Date(2026, 11, 22, 5, 40, 0, 0, time.UTC)}
	cut := lineOf("nginx", docker("stdout", webLine))
	cut.Cut = true
	b.Records = []receiver.Record{lineOf("nginx", docker("stdout", `x y z\n`)), cut, lineOf("nginx", docker("stdout", webLine+`\n`))}
	if err := p.Handle(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	if len(taken.events) != 1 || taken.events[0].Trust != event.TrustCount {
		t.Errorf("%+v", taken.events)
	}
}

// Nothing that is within a message makes more of it than it was: who may write as a program that nobody trusts, or as none, is no other
// program by it, and what could lead to no report still cannot.
func TestLayersRaiseNoTrust(t *testing.T) {
	now := time.Date(2026, 11, 22, 5, 40, 0, 0, time.UTC)
	const at = "Nov 22 05:40:00 "
	for name, c := range map[string]struct {
		source string
		record receiver.Record
		want   string // "" for nothing found, c for an event that is only counted, r for one that may lead to a report
	}{
		"sshd in sshd":                  {"file:x", record("sshd", at+"sshd[58]: "+failed), "r"},
		"sshd in app":                   {"file:x", record("app", at+"sshd[58]: "+failed), ""},
		"sshd in dovecot":               {"file:x", record("dovecot", at+"sshd[58]: "+failed), ""},
		"sshd in the kernel's log":      {"file:x", record("kernel", "sshd[58]: "+failed), "c"},
		"sshd in a container":           {"file:x", record("docker/box", at+"sshd[58]: "+failed), "c"},
		"sshd behind a facility":        {"file:x", record("auth.info", "sshd[58]: "+failed), "r"},
		"the same in the journal":       {"journal", record("auth.info", "sshd[58]: "+failed), "c"},
		"an instance":                   {"file:x", record("sshd/2222", failed), "r"},
		"an instance in the journal":    {"journal", record("sshd/logger", failed), "c"},
		"a module in the journal's tag": {"journal", record("sshd(pam_unix)", "authentication failure; logname= uid=0 euid=0 tty=ssh ruser= rhost=203.0.113.5  user=root"), "c"},
		"a wrapper without a program":   {"file:x", record("", "box | "+at+"mail sshd[58]: "+failed), "c"},
		"sshd in nginx' own log":        {"file:x", lineOf("nginx", at+"web1 sshd[58]: "+failed), ""},
		"sshd in a container of nginx":  {"file:x", lineOf("nginx", docker("stdout", at+"web1 sshd[58]: "+failed+`\n`)), ""},
	} {
		for _, trust := range []event.Trust{event.TrustReport, event.TrustCount} {
			var taken taken
			p := testPipeline(t, "198.51.100.0/24", &taken)
			r := c.record
			r.Message = []byte(string(r.Message))
			r.Trust = trust
			if len(r.Program) == 0 {
				r.Program = nil
			}
			if err := p.Handle(t.Context(), &receiver.Batch{Source: c.source, Received: now, Records: []receiver.Record{r}}); err != nil {
				t.Fatal(err)
			}
			got := ""
			for _, e := range taken.events {
				if got += "c"; e.Trust == event.TrustReport {
					got = "r"
				}
				if e.Host != "web1" && e.Host != "" {
					t.Errorf("%s: host %q", name, e.Host)
				}
			}
			want := c.want
			if want == "r" && trust == event.TrustCount {
				want = "c"
			}
			if got != want {
				t.Errorf("%s, trust %v: %q, want %q", name, trust, got, want)
			}
		}
	}
}

// A log in which peers can write whole lines stays one, whatever header a line has: the host in a made-up header makes no other log of it,
// and what is said of it in a wrapper or by an instance's tag counts.
func TestLayersKeepRaw(t *testing.T) {
	now := time.Date(2026, 11, 22, 5, 40, 0, 0, time.UTC)
	const errorLine = `2026/11/22 05:40:00 [error] 1#1: *1 open() "/x" failed (2: No such file or directory), client: 203.0.113.7, server: x, request: "GET /x HTTP/1.1", host: "x"`
	for name, lines := range map[string][]receiver.Record{
		"a header of a made-up host": {lineOf("nginx", errorLine), lineOf("nginx", "Nov 22 05:40:00 other nginx: "+webLine)},
		"an instance's tag":          {record("nginx/shop", errorLine), record("nginx/shop", webLine)},
		"a wrapper":                  {lineOf("nginx", docker("stdout", errorLine+`\n`)), lineOf("nginx", docker("stdout", webLine+`\n`))},
	} {
		var taken taken
		p := testPipeline(t, "198.51.100.0/24", &taken)
		for _, r := range lines {
			if err := p.Handle(t.Context(), &receiver.Batch{Source: "file:x", Stream: "file:x", Received: now, Records: []receiver.Record{r}}); err != nil {
				t.Fatal(err)
			}
		}
		found := false
		for _, e := range taken.events {
			if e.Addr.String() == "203.0.113.5" {
				if found = true; e.Handshake {
					t.Errorf("%s: a line of a raw log proves an address", name)
				}
			}
		}
		if !found {
			t.Errorf("%s: %+v", name, taken.events)
		}
	}
}
