package daemon

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"tattled/event"
	"tattled/receiver"
	"tattled/receiver/syslog"
)

// rawLine begins what a peer may go on with in a line of its own.
const rawLine = `2026/11/22 10:00:00 [error] 7#7: *1 open() "/srv/x`

// handleAs passes one record for each host through p.
func handleAs(t *testing.T, p *pipeline, source, stream string, trust event.Trust, program, message string, hosts ...string) {
	t.Helper()
	b := &receiver.Batch{Source: source, Stream: stream, Received: time.Now()}
	for _, host := range hosts {
		r := record(program, message)
		r.Host, r.Trust = []byte(host), trust
		b.Records = append(b.Records, r)
	}
	if err := p.Handle(t.Context(), b); err != nil {
		t.Fatal(err)
	}
}

func madeUpHosts(n int) []string {
	hosts := make([]string, n)
	for i := range hosts {
		hosts[i] = fmt.Sprintf("host-%d", i)
	}
	return hosts
}

const (
	sshdLine   = "Failed password for root from 203.0.113.5 port 40022 ssh2"
	accessLine = `203.0.113.5 - - [22/Nov/2026:10:00:00 +0000] "GET /.env HTTP/1.1" 404 5 "-" "x"`
)

// Strangers who send what they like to a listener whose records may not lead to a report change nothing for any other source.
func TestUntrustedSendersEndNoReports(t *testing.T) {
	var out taken
	p := testPipeline(t, "192.0.2.0/24", &out)
	handleAs(t, p, "udp", "", event.TrustCount, "nginx", rawLine, madeUpHosts(5000)...)
	handleAs(t, p, "journal", "j", event.TrustReport, "sshd", sshdLine, "web1")
	handleAs(t, p, "files", "/var/log/nginx/access.log", event.TrustReport, "nginx", accessLine, "web1")
	if len(out.events) != 2 {
		t.Fatalf("%d events, want 2", len(out.events))
	}
	for _, e := range out.events {
		if !e.Handshake {
			t.Errorf("the %s event of source %s proves no handshake any more", e.Service, e.Source)
		}
	}
}

// A trusted stream with too many raw hosts of one program loses that program's proofs in that stream, and nothing else's.
func TestRawOverflowIsLocal(t *testing.T) {
	var out taken
	p := testPipeline(t, "192.0.2.0/24", &out)
	type call struct{ source, program string }
	var told []call
	p.raw.overflow = func(source, program string) { told = append(told, call{source, program}) }
	hosts := madeUpHosts(maxRawHosts + 1)
	handleAs(t, p, "relay", "tcp", event.TrustReport, "nginx", rawLine, hosts[:maxRawHosts]...)
	if c := p.raw.count("relay"); c.logs != maxRawHosts || c.overflows != 0 || len(p.raw.problems()) != 0 || told != nil {
		t.Fatalf("at the bound: %+v, problems %q, told %v", c, p.raw.problems(), told)
	}
	handleAs(t, p, "relay", "tcp", event.TrustReport, "nginx", accessLine, "sound")
	handleAs(t, p, "relay", "tcp", event.TrustReport, "nginx", rawLine, hosts...)
	handleAs(t, p, "relay", "tcp", event.TrustReport, "nginx", accessLine, "sound")
	handleAs(t, p, "relay", "tcp", event.TrustReport, "sshd", sshdLine, "sound")
	handleAs(t, p, "relay", "other", event.TrustReport, "nginx", accessLine, "sound")
	handleAs(t, p, "files", "tcp", event.TrustReport, "nginx", accessLine, "sound")
	for i, want := range []bool{true, false, true, true, true} {
		if i >= len(out.events) || out.events[i].Handshake != want {
			t.Errorf("event %d of %d: its handshake should be %v", i, len(out.events), want)
		}
	}
	problems := p.raw.problems()
	if len(problems) != 1 || !strings.HasPrefix(problems[0].What, "relay: ") || !strings.Contains(problems[0].Cause, `"nginx"`) {
		t.Errorf("problems %q", problems)
	}
	if c := p.raw.count("relay"); c.logs != 1 || c.overflows != 1 || !slices.Equal(told, []call{{"relay", "nginx"}}) {
		t.Errorf("%+v, told %v", c, told)
	}
}

// A whole source is raw beyond its bound, however its logs are spread, and no other source is; memory is bounded.
func TestRawSourceIsBounded(t *testing.T) {
	var l rawLogs
	now := time.Now()
	for i := range 2 * maxRawSource {
		l.add(rawLog{"many", fmt.Sprintf("stream-%d", i/3), "nginx", fmt.Sprint(i)}, now)
		if n := l.sources["many"].size; n > maxRawSource {
			t.Fatalf("%d entries", n)
		}
	}
	l.add(rawLog{"other", "s", "nginx", "web1"}, now)
	if !l.has(rawLog{"many", "new", "sshd", "new"}) || l.has(rawLog{"other", "s", "nginx", "web2"}) || !l.has(rawLog{"other", "s", "nginx", "web1"}) {
		t.Error("the bound of one source does not hold for all of it, or for others as well")
	}
	if c := l.count("many"); c.logs != 1 || c.overflows != 1 || len(l.problems()) != 1 {
		t.Errorf("%+v, problems %q", c, l.problems())
	}
	long := strings.Repeat("x", 4*maxRawText)
	l.add(rawLog{"other", "s", "nginx", long}, now)
	for _, p := range l.sources["other"].programs {
		for host := range p.hosts {
			if len(host) > maxRawText {
				t.Errorf("a host of %d bytes is kept", len(host))
			}
		}
	}
	if !l.has(rawLog{"other", "s", "nginx", long}) {
		t.Error("a long name is not found again")
	}
}

// What was known is known after a restart, at each scope, and is stored again once a day and not more often.
func TestRawLogsOutliveARestart(t *testing.T) {
	var kept []string
	l := rawLogs{keep: func(mark string) error { kept = append(kept, mark); return nil }}
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	one := rawLog{"files", "/var/log/nginx/error.log", "nginx", ""}
	hostile := rawLog{"files", "s\x00s", "ng\xffinx", "we\x00b\n1"}
	l.add(one, now)
	l.add(one, now.Add(rawKeptFor-1))
	l.add(hostile, now)
	if len(kept) != 2 {
		t.Fatalf("%d marks were stored, want 2", len(kept))
	}
	for _, host := range madeUpHosts(maxRawHosts + 1) {
		l.add(rawLog{"relay", "", "nginx", host}, now)
	}
	for i := range maxRawSource + 1 {
		l.add(rawLog{"many", fmt.Sprint(i), "nginx", "h"}, now)
	}
	var again rawLogs
	before := len(kept)
	again.restore(append(slices.Clone(kept), "", "raw/", "raw/h", "raw/h\xff\xff", "raw/x\x01a\x00\x00\x00", "other/h\x01a\x00\x00\x00"))
	for _, log := range []rawLog{one, hostile, {"relay", "", "nginx", "new"}, {"many", "new", "sshd", ""}} {
		if !again.has(log) {
			t.Errorf("%q is not known any more", log)
		}
	}
	if again.has(rawLog{"files", "/var/log/nginx/access.log", "nginx", ""}) || again.has(rawLog{"a", "", "", ""}) {
		t.Error("a log is raw that never was")
	}
	if len(again.problems()) != 2 || len(l.problems()) != 2 {
		t.Errorf("problems %q, before the restart %q", again.problems(), l.problems())
	}
	again.keep = l.keep
	again.add(one, now)
	again.add(one, now)
	l.add(one, now.Add(rawKeptFor))
	if n := len(kept) - before; n != 2 {
		t.Errorf("%d marks were renewed, want 2", n)
	}
}

// A listener's log is the same log with a ring and without one, so what was learnt of it before an upgrade still holds.
func TestRawLogOfARing(t *testing.T) {
	var out taken
	p := testPipeline(t, "192.0.2.0/24", &out)
	handleAs(t, p, "udp", "", event.TrustReport, "nginx", rawLine, "web1")
	handleAs(t, p, "udp", syslog.StreamPrefix+"udp", event.TrustReport, "nginx", accessLine, "web1")
	if len(out.events) != 1 || out.events[0].Handshake {
		t.Errorf("%d events; one that proves no handshake is wanted", len(out.events))
	}
	if out.stream != syslog.StreamPrefix+"udp" {
		t.Errorf("stream %q", out.stream)
	}
}
