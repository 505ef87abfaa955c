package main

import (
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A site behind a content delivery network whose web server logs the network's edge for the visitor: no edge is reported,
// whatever comes through it; page and log say what to set; and with that set, the visitor is.
func TestContentDeliveryNetwork(t *testing.T) {
	dir := t.TempDir()
	access := dir + "/access.log"
	d, url := newDouble(t)
	config := write(t, dir, "tattled.yaml", fmt.Sprintf(`
sources: {files: [{path: %s, program: nginx, start: beginning}]}
store: {path: %s/state.db}
web: {listen: "127.0.0.1:0"}
report: {abuseipdb: {url: %s}}
policy_defaults: false
policy: [{name: any, when: {kind: [web-attack, auth-failure]}, do: [report]}]
`, access, dir, url))
	var lines strings.Builder
	line := func(peer, request, forwarded string) {
		fmt.Fprintf(&lines, "%s - - [%s] %q 404 9 \"-\" \"Mozilla/5.0\" %q\n", peer, time.Now().Format("02/Jan/2006:15:04:05 -0700"), request, forwarded)
	}
	add := func() {
		t.Helper()
		f, err := os.OpenFile(access, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteString(lines.String()); err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		lines.Reset()
	}
	for i := range 3 {
		line("172.64.10.7", "GET /.env?"+fmt.Sprint(i)+" HTTP/1.1", "45.148.10.8")
	}
	for i := range 100 {
		line("172.64.10.7", fmt.Sprintf("GET /page/%d HTTP/1.1", i), "45.148.11.8")
	}
	line("66.249.66.1", "GET /.env HTTP/1.1", "-")
	add()

	p := startReporting(t, "run", "--config", config).ready()
	eventually(t, 10*time.Second, "the refusals", func() bool {
		return p.metric(`tattled_policy_gate_refused_total{reason="infrastructure"}`) >= 4
	})
	eventually(t, 10*time.Second, "the problem", func() bool {
		_, health := p.get("/healthz")
		return strings.Contains(health, "Cloudflare") && strings.Contains(health, "rules.trusted_proxies") && strings.Contains(health, "Googlebot")
	})
	if text := p.text(); strings.Count(text, "operator=Cloudflare") != 1 || !strings.Contains(text, "rules.trusted_proxies") || strings.Count(text, "operator=Googlebot") != 1 {
		t.Error("the log does not say once what happened, and what to set")
	}
	if got := reported(d); len(got) != 0 {
		t.Fatalf("%v were reported", got)
	}

	text, err := os.ReadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	write(t, dir, "tattled.yaml", string(text)+"rules: {trusted_proxies: [\"@cloudflare\"]}\n")
	if err := p.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	eventually(t, 10*time.Second, "the reload", func() bool { return strings.Contains(p.text(), "msg=reloaded") })
	line("172.64.10.7", "GET /.env HTTP/1.1", "198.51.100.66, 45.148.10.8")
	add()
	eventually(t, 10*time.Second, "the visitor's report", func() bool { return len(reported(d)) > 0 })
	if got := reported(d); len(got) != 1 || got[0] != "45.148.10.8" {
		t.Errorf("%v were reported", got)
	}
	if _, health := p.get("/healthz"); strings.Contains(health, "Cloudflare") {
		t.Errorf("the problem outlives its remedy: %s", health)
	}
	p.stop()
}
