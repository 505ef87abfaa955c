package main

import (
	"fmt"
	"os"
	"testing"
	"time"
)

// A peer's line that begins before a restart and goes on after it proves nothing.
func TestRawLogsOutliveARestart(t *testing.T) {
	d, url := newDouble(t)
	dir := t.TempDir()
	config := write(t, dir, "tattled.yaml", fmt.Sprintf(`
sources: {files: [{path: %s/nginx.log, program: nginx, start: beginning}]}
policy_defaults: false
policy: [{name: probe, when: {service: [web-access]}, threshold: 1, do: [report]}]
report: {abuseipdb: {url: %q}}
store: {path: %s/state.db}
web: {listen: "127.0.0.1:0"}
`, dir, url, dir))
	appendLine := func(line string) {
		t.Helper()
		f, err := os.OpenFile(dir+"/nginx.log", os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteString(line + "\n"); err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
	appendLine(`2026/11/22 10:00:00 [error] 7#7: *1 open() "/srv/x`)
	raw := fmt.Sprintf(`tattled_detect_raw_logs{source="file:%s/nginx.log"}`, dir)
	p := startReporting(t, "run", "--config", config).ready()
	eventually(t, 10*time.Second, "the log to be known", func() bool { return p.metric(raw) == 1 })
	p.stop()
	appendLine(`45.148.10.7 - - [` + time.Now().Format("02/Jan/2006:15:04:05 -0700") + `] "GET /.env HTTP/1.1" 404 5 "-" "x"`)
	p = startReporting(t, "run", "--config", config).ready()
	eventually(t, 10*time.Second, "the event", func() bool { return p.metric("tattled_store_events") == 1 })
	if n := p.metric(raw); n != 1 {
		t.Errorf("%v logs are known after the restart, want 1", n)
	}
	p.settled()
	p.stop()
	if got := reported(d); len(got) != 0 {
		t.Errorf("%v was reported by a line that a peer may have written", got)
	}
}
