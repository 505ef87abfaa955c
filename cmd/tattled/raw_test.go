package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
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
	appendTo(t, dir+"/nginx.log", `2026/11/22 10:00:00 [error] 7#7: *1 open() "/srv/x`+"\n")
	raw := fmt.Sprintf(`tattled_detect_raw_logs{source="file:%s/nginx.log"}`, dir)
	p := startReporting(t, "run", "--config", config).ready()
	eventually(t, 10*time.Second, "the log to be known", func() bool { return p.metric(raw) == 1 })
	p.stop()
	appendTo(t, dir+"/nginx.log", `45.148.10.7 - - [`+time.Now().Format("02/Jan/2006:15:04:05 -0700")+`] "GET /.env HTTP/1.1" 404 5 "-" "x"`+"\n")
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

// Lines that peers have written are believed by no run, wherever in the flood of them it begins: whether it was killed and goes
// on, or begins anew at the end of the file, in the middle of a record.
func TestFloodOfRawLines(t *testing.T) {
	for name, state := range map[string]string{"goes on": "state", "begins anew": "state-%d"} {
		t.Run(name, func(t *testing.T) { floodRuns(t, state) })
	}
}

// floodRuns kills a dozen runs under a flood. The name of their state file may have the number of the run.
func floodRuns(t *testing.T, state string) {
	d, url := newDouble(t)
	dir := t.TempDir()
	flood := startFlood(t, dir+"/nginx.log")
	anew := strings.Contains(state, "%d")
	const kills = 12
	for run := range kills + 1 {
		if anew {
			state = fmt.Sprintf("state-%d", run)
		}
		config := write(t, dir, "tattled.yaml", fmt.Sprintf(`
sources: {files: [{path: %[1]s/nginx.log, program: nginx}, {path: %[1]s/sound.log, program: nginx, form: common}]}
policy_defaults: false
policy: [{name: probe, when: {service: [web-access]}, threshold: 1, do: [report]}]
report: {abuseipdb: {url: %[2]q}}
store: {path: %[1]s/%[3]s.db}
web: {listen: "127.0.0.1:0"}
`, dir, url, state))
		p := startReporting(t, "run", "--config", config).ready()
		known := p.metric("tattled_store_events")
		eventually(t, 20*time.Second, "events of the flood", func() bool { return p.metric("tattled_store_events") > known+1000 })
		if run < kills {
			p.kill()
			<-p.gone
			continue
		}
		flood()
		appendTo(t, dir+"/sound.log", "45.148.10.8 - - ["+time.Now().Format("02/Jan/2006:15:04:05 -0700")+"] \"GET /.env HTTP/1.1\" 404 5\n")
		eventually(t, 10*time.Second, "the report of a sound log", func() bool { return len(reported(d)) > 0 })
		p.settled()
		p.stop()
	}
	if got := reported(d); len(got) != 1 || got[0] != "45.148.10.8" {
		t.Errorf("%d were reported, want 45.148.10.8 alone: %v", len(got), got)
	}
}

// startFlood has a server write what a peer asked for with line ends: each record is a stamped line and fifteen that look like
// requests of others. What it returns ends that.
func startFlood(t *testing.T, path string) (stop func()) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		defer f.Close()
		for n := 0; ctx.Err() == nil; n++ {
			now := time.Now()
			record := fmt.Sprintf("%s [error] 7#7: *%d open() \"/srv/x", now.Format("2006/01/02 15:04:05"), n)
			for i := range 15 {
				record += fmt.Sprintf("\n45.149.%d.%d - - [%s] \"GET /.env HTTP/1.1\" 404 5", n%250+1, i+1, now.Format("02/Jan/2006:15:04:05 -0700"))
			}
			for _, part := range []string{record[:len(record)/3], record[len(record)/3:] + "\n"} {
				if _, err := f.WriteString(part); err != nil {
					ended <- err
					return
				}
				<-time.After(time.Millisecond)
			}
		}
		ended <- nil
	}()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(stop)
	return stop
}

func appendTo(t *testing.T, path, text string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString(text); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}
