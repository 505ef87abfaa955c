package main

import (
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// The main job: an sshd log of 500 attackers comes in by one way, and the double gets exactly those over the threshold,
// each once.
func TestEveryAttackerIsReportedOnce(t *testing.T) {
	log := newAttackLog(20_000, 500, 42)
	ways := map[string]struct {
		source string // the configuration of the source
		feed   func(t *testing.T, p *process)
	}{}
	add := func(name, source string, feed func(*testing.T, *process)) {
		ways[name] = struct {
			source string
			feed   func(*testing.T, *process)
		}{source, feed}
	}

	add("tcp", `syslog: [{listen: "tcp://127.0.0.1:0", trust: report}]`, func(t *testing.T, p *process) {
		conn, err := net.Dial("tcp", p.addr["tcp"])
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		for i, line := range log.lines {
			if _, err := fmt.Fprintf(conn, "<38>%s web1 sshd[%d]: %s\n", time.Now().Format(time.Stamp), 1000+i, line); err != nil {
				t.Fatal(err)
			}
		}
	})
	path := t.TempDir() + "/auth.log"
	add("file", fmt.Sprintf("files: [{path: %s}]", path), func(t *testing.T, _ *process) {
		for i, chunk := range slices.Collect(slices.Chunk(log.lines, 1000)) {
			appendLines(t, path, chunk, 1000+1000*i)
		}
	})
	journal := newJournal(t)
	helper := buildHelper(t)
	add("journal", fmt.Sprintf("journal: {directory: %s, helper: %s, since: 1h}", journal.dir, helper), func(*testing.T, *process) {
		for i, line := range log.lines {
			journal.sshd(1000+i, time.Now(), line)
		}
		journal.flush()
	})

	for name, way := range ways {
		t.Run(name, func(t *testing.T) {
			d, url := newDouble(t)
			p := startReporting(t, "run", "--config", write(t, t.TempDir(), "tattled.yaml", fmt.Sprintf(`
sources: {%s}
report: {abuseipdb: {url: %q, rate: 100}}
store: {path: %s/state.db}
web: {listen: "127.0.0.1:0"}
`, way.source, url, t.TempDir()))).ready()
			began := time.Now()
			way.feed(t, p)
			eventually(t, time.Minute, "the last report", func() bool { return len(d.Reports()) >= len(log.over) })
			p.settled()
			t.Logf("%d lines, %d reports in %v", len(log.lines), len(log.over), time.Since(began).Round(time.Millisecond))
			if diff := cmp.Diff(log.over, reported(d)); diff != "" {
				t.Errorf("addresses over the threshold and addresses reported differ (-want +got):\n%s", diff)
			}
			p.balanced()
			p.stop()
		})
	}
}

// settled waits until nothing is left to send.
func (p *process) settled() {
	p.t.Helper()
	waiting := func() float64 {
		return p.metric(`tattled_outbox_items{destination="abuseipdb",state="pending"}`) + p.metric(`tattled_outbox_items{destination="abuseipdb",state="claimed"}`)
	}
	for left := waiting(); left > 0; {
		eventually(p.t, 30*time.Second, fmt.Sprintf("less than %v items in the outbox", left), func() bool { return waiting() < left })
		left = waiting()
	}
}

// balanced checks the books: what was received is what was matched, ignored, refused, dropped and skipped.
func (p *process) balanced() {
	p.t.Helper()
	received := p.metric("tattled_receiver_records_total")
	var outcomes []string
	_, body := p.get("/metrics")
	for line := range strings.Lines(body) {
		if strings.HasPrefix(line, "tattled_receiver_outcomes_total") || strings.HasPrefix(line, "tattled_receiver_dropped_total") ||
			strings.HasPrefix(line, "tattled_receiver_skipped_total") {
			outcomes = append(outcomes, line)
		}
	}
	sum := p.metric("tattled_receiver_outcomes_total") + p.metric("tattled_receiver_dropped_total") + p.metric("tattled_receiver_skipped_total")
	if received == 0 || sum != received {
		p.t.Errorf("the books do not balance: %v received, %v accounted for\n%s", received, sum, strings.Join(outcomes, ""))
	}
}
