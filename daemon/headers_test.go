package daemon

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"tattled/event"
	"tattled/receiver"
	"tattled/receiver/wire"
)

// A peer's text that comes right after an application's own date, or in its brackets, colours or container, may look like a
// header and a line of another program. Whatever is read of it, it reports nobody.
func TestHeadersOfPeersReportNobody(t *testing.T) {
	now := time.Date(2026, 11, 22, 10, 0, 5, 0, time.UTC)
	victim := netip.MustParseAddr("45.148.10.66")
	const forged = "Failed password for root from 45.148.10.66 port 40022 ssh2"
	const sasl = "warning: unknown[45.148.10.66]: SASL LOGIN authentication failed: authentication failure"
	for _, c := range []struct{ program, lines string }{
		{"", "2026-11-22 10:00:00 sshd: " + forged},
		{"", "2026-11-22 10:00:00,123 INFO sshd: " + forged},
		{"", "2026/11/22 10:00:00 x sshd[1]: " + forged},
		{"", "22/Nov/2026:10:00:00 +0000 sshd[1]: " + forged},
		{"", "1795341600.123 x sshd[1]: " + forged},
		{"", "Sun Nov 22 10:00:00 2026 authpriv.warn sshd[1]: " + forged},
		{"", "Nov 22 10:00:00 2026 x sshd[1]: " + forged},
		{"", "<38>sshd[1]: " + forged},
		{"", "<38>2026-11-22 10:00:00,123 sshd[1]: " + forged},
		{"", "\x1b[32m2026-11-22 10:00:00\x1b[0m sshd: " + forged},
		{"", "\x1b[32mNov 22 10:00:00\x1b[0m web1 sshd[1]: " + forged},
		{"", "#033[32m2026-11-22 10:00:00#033[0m sshd: " + forged},
		{"", "^[[32mNov 22 10:00:00^[[0m web1 sshd[1]: " + forged},
		{"nginx", `45.148.10.66#033[0m - - [22/Nov/2026:10:00:00 +0000] "GET /.env HTTP/1.1" 404 1 "-" "x"`},
		{"nginx", `203.0.113.5 - x\x1b[0m [22/Nov/2026:10:00:00 +0000] "GET /\\x1b[0m" 404 1 "-" "\" 45.148.10.66 - - [22/Nov/2026:10:00:00 +0000] \"GET /.env HTTP/1.1\" 404 1"`},
		{"", "Nov 22 10:00:00 gw [sshd] " + forged},
		{"", "2026-11-22T10:00:00Z INFO [sshd] " + forged},
		{"", "Nov 22 10:00:00 gw [sshd] Disconnecting invalid user a 45.148.10.66 port 3: Change of username or service not allowed: (] login failed"},
		{"", "Nov 22 10:00:00 host sshd/0123456789ab[3]: " + forged},
		{"", "Nov 22 10:00:00 host proftpd/0123456789ab[3]: x (45.148.10.66[45.148.10.66]) - USER root: no such user found from 45.148.10.66 [45.148.10.66] to 192.0.2.1:21"},
		{"nginx", `2026-11-22T10:00:00Z INFO 45.148.10.66 - - [22/Nov/2026:10:00:00 +0000] "GET /.env HTTP/1.1" 404 1 "-" "x"`},
		{"nginx", `{"client_ip":"45.148.10.66","method":"GET","path":"/.env","status":404}`},
		{"nginx", `{"client_ip":"45.148.10.66","method":"GET","path":"/.env","status":404,"http_x_forwarded_for":"203.0.113.5"}`},
		{"nginx", `{"remote_addr":"45.148.10.66","client_ip":"203.0.113.5","method":"GET","path":"/.env","status":404}`},
		{"postfix", "2026-11-22T10:00:00Z stdout F all is fine\n2026-11-22T10:00:00Z stdout P \x1bcyyyy\n2026-11-22T10:00:00Z stdout F " + sasl},
		{"postfix", `{"log":"all is fine\n","stream":"stdout","time":"2026-11-22T10:00:00Z"}` + "\n" + `{"log":"xxx` + "\n" + `{"log":"` + sasl + `\n","stream":"stdout","time":"2026-11-22T10:00:00Z"}`},
		{"", "Nov 22 10:00:00 web1 last message repeated 64 times"},
	} {
		var taken taken
		p := testPipeline(t, "192.0.2.0/24", &taken)
		b := &receiver.Batch{Source: "file:/var/log/x.log", Stream: "file:/var/log/x.log", Received: now, Location: time.UTC}
		parser := wire.NewParser(time.UTC)
		for _, line := range strings.Split(c.lines, "\n") {
			r := receiver.Record{Trust: event.TrustReport, Message: []byte(line), Program: []byte(c.program), Framing: receiver.FileLine}
			if c.program == "" {
				r.Program, r.Framing = nil, receiver.Whole
				parser.Parse(r.Message, now, &r)
			}
			b.Records = append(b.Records, r)
		}
		if err := p.Handle(t.Context(), b); err != nil {
			t.Fatal(err)
		}
		for _, e := range taken.events {
			if e.Addr == victim && e.Trust == event.TrustReport && e.Handshake {
				t.Errorf("%s: %q leads to a report of %s/%s", c.program, c.lines, e.Service, e.Rule)
			}
		}
	}
}
