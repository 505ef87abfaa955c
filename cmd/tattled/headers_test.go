package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"testing"
	"time"
)

// Every header of the field, by UDP and by TCP in both framings, gives host, program, pid and what the message says; and
// what kills other receivers is taken, counted, and followed by the next line.
func TestHeadersOverTheWire(t *testing.T) {
	dir := t.TempDir()
	p := start(t, "run", "--config", write(t, dir, "tattled.yaml", fmt.Sprintf(`
sources: {syslog: [{listen: "tcp://127.0.0.1:0", trust: report}, {listen: "udp://127.0.0.1:0", trust: report}]}
store: {path: %s/state.db}
web: {listen: "127.0.0.1:0"}
`, dir))).ready()
	now := time.Now()
	iso := now.Format("2006-01-02T15:04:05.000000Z07:00")
	headers := []string{
		"<38>" + now.Format(time.Stamp) + " web1 sshd[123]: ",                       // RFC 3164
		"<38>1 " + iso + " web1 sshd 123 - - ",                                      // RFC 5424
		"<38>1 " + iso + ` web1 sshd 123 - [timeQuality tzKnown="1" isSynced="0"] `, // util-linux logger
		"<38>" + iso + " web1 sshd[123]: ",                                          // RSYSLOG_ForwardFormat
		"<38>1 " + iso + " web1 sshd 123 - -  ",                                     // RSYSLOG_SyslogProtocol23Format
	}
	// What crashes go-syslog's parsers and splitters.
	hostile := []string{"<13>", "<13>May  1 20:51:40 myhostname", "<3>", "<0>MAY 01 00:00:000", "-1 x", "-5 x", "9223372036854775807 x"}

	udp, err := net.Dial("udp", p.addr["udp"])
	if err != nil {
		t.Fatal(err)
	}
	defer udp.Close()
	ways := []struct {
		to    io.Writer
		frame string
	}{{p.dial(), "%[2]s\n"}, {p.dial(), "%[1]d %[2]s"}, {udp, "%[2]s"}}
	want := map[string]int{}
	for _, way := range ways {
		for _, header := range headers {
			addr := attacker(len(want))
			want[addr] = 1
			line := header + sshLine(addr, len(want))
			if _, err := fmt.Fprintf(way.to, way.frame, len(line), line); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, bad := range hostile {
		for _, way := range ways {
			if way.frame == "%[1]d %[2]s" {
				continue // a count before it would make it harmless
			}
			last := headers[0] + sshLine(attacker(len(want)), len(want))
			want[attacker(len(want))] = 1
			for _, line := range []string{bad, last} {
				if _, err := fmt.Fprintf(way.to, way.frame, len(line), line); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	eventually(t, 20*time.Second, "all events", func() bool { return p.metric("tattled_store_events") == float64(len(want)) })
	var answer struct {
		Events []struct{ Address, Host, Program, PID, Rule, User string }
	}
	_, body := p.get("/api/v1/events?limit=1000")
	if err := json.Unmarshal([]byte(body), &answer); err != nil {
		t.Fatal(err)
	}
	for _, e := range answer.Events {
		if e.Host != "web1" || e.Program != "sshd" || e.PID != "123" || e.Rule != "failed-password" || e.User == "" {
			t.Errorf("%+v", e)
		}
		want[e.Address]--
	}
	for addr, left := range want {
		if left != 0 {
			t.Errorf("%s: %d events are missing", addr, left)
		}
	}
	p.balanced()
	p.stop()
}
