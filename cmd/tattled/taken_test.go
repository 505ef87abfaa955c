package main

import (
	"fmt"
	"net"
	"strings"
	"testing"
	"time"
)

// Who holds the page's port, or that of one listener, keeps nothing else down, and what was held comes up when it is free.
func TestTakenPorts(t *testing.T) {
	squat := func(network string) (string, func() error) {
		switch network {
		case "tcp":
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			return l.Addr().String(), l.Close
		default:
			c, err := net.ListenPacket("udp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			return c.LocalAddr().String(), c.Close
		}
	}
	page, leavePage := squat("tcp")
	tcp, leaveTCP := squat("tcp")
	udp, leaveUDP := squat("udp")
	dir := t.TempDir()
	p := start(t, "run", "--config", write(t, dir, "tattled.yaml", fmt.Sprintf(`
sources:
  syslog:
    - {listen: "tcp://%s", trust: report}
    - {listen: "udp://%s", trust: report}
    - {listen: "udp://127.0.0.1:0", trust: report}
store: {path: %s/state.db}
web: {listen: "%s"}
`, tcp, udp, dir, page)))
	p.ready()
	if err := leavePage(); err != nil {
		t.Fatal(err)
	}
	eventually(t, 20*time.Second, "the page", func() bool { return strings.Contains(p.text(), "the page is served now") })
	if _, body := p.get("/healthz"); !strings.Contains(body, tcp) || !strings.Contains(body, udp) {
		t.Errorf("the problems do not name the two listeners: %s", body)
	}
	if code, _ := p.get("/readyz"); code != 200 {
		t.Errorf("/readyz: %d, although one source is open", code)
	}
	attack := func(network, address, from string) {
		c, err := net.Dial(network, address)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		fmt.Fprintf(c, "<38>Nov 22 05:40:00 web1 sshd[7]: Failed password for root from %s port 4711 ssh2\n", from)
	}
	attack("udp", p.addr["udp"], "203.0.113.7")
	eventually(t, 10*time.Second, "the event", func() bool { return p.metric("tattled_detect_matched_total") == 1 })
	if up := p.metric("tattled_source_up"); up != 1 {
		t.Errorf("%v sources are up", up)
	}
	if err := leaveTCP(); err != nil {
		t.Fatal(err)
	}
	if err := leaveUDP(); err != nil {
		t.Fatal(err)
	}
	eventually(t, 60*time.Second, "all sources", func() bool { return p.metric("tattled_source_up") == 3 })
	attack("tcp", tcp, "203.0.113.8")
	attack("udp", udp, "203.0.113.9")
	eventually(t, 10*time.Second, "the events", func() bool { return p.metric("tattled_detect_matched_total") == 3 })
	if _, body := p.get("/healthz"); strings.Contains(body, "is not read") {
		t.Errorf("problems that are over: %s", body)
	}
	p.stop()
}
