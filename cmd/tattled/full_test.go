package main

import (
	"fmt"
	"net"
	"strings"
	"testing"
	"time"
)

// More reports than may wait are given up, the oldest first: that is counted, and health says so with what to change.
func TestFullOutboxIsAProblem(t *testing.T) {
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := closed.Close(); err != nil { // nobody answers there
		t.Fatal(err)
	}
	dir := t.TempDir()
	config := write(t, dir, "tattled.yaml", fmt.Sprintf(`
sources: {files: [{path: %s/auth.log, start: beginning}]}
policy_defaults: false
policy: [{name: any, when: {kind: [auth-failure]}, threshold: 1, do: [report]}]
report: {abuseipdb: {url: "http://%s/api/v2/"}}
store: {path: %s/state.db, waiting: 100}
web: {listen: "127.0.0.1:0"}
`, dir, closed.Addr(), dir))
	var log strings.Builder
	for i := range 300 {
		fmt.Fprintf(&log, "%s web1 sshd[%d]: Failed password for root from 45.148.%d.%d port 1 ssh2\n", time.Now().Format(time.Stamp), i, i/200, 1+i%200)
	}
	write(t, dir, "auth.log", log.String())
	p := startReporting(t, "run", "--config", config).ready()
	eventually(t, 20*time.Second, "reports to be given up", func() bool {
		return p.metric(`tattled_store_evicted_total{what="waiting"}`) >= 200
	})
	if _, body := p.get("/healthz"); !strings.Contains(body, "given up unsent") || !strings.Contains(body, "store.waiting") {
		t.Errorf("health does not say it: %s", body)
	}
	p.stop()
}
