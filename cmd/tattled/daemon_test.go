package main

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// quick is a configuration with a TCP listener and nothing that leaves the house.
func quick(t *testing.T, more string) string {
	t.Helper()
	dir := t.TempDir()
	return write(t, dir, "tattled.yaml", fmt.Sprintf(`
sources: {syslog: [{listen: "tcp://127.0.0.1:0", trust: report}]}
store: {path: %s/state.db}
web: {listen: "127.0.0.1:0"}
%s`, dir, more))
}

// dial opens a connection to the TCP listener.
func (p *process) dial() net.Conn {
	p.t.Helper()
	conn, err := net.Dial("tcp", p.addr["tcp"])
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { conn.Close() })
	return conn
}

// The README's loop: what a real logger sends by TCP is a dry-run report in the log, on the page and in the metrics
// within two seconds of the last line.
func TestQuickStart(t *testing.T) {
	p := start(t, "run", "--config", quick(t, "")).ready()
	host, port, err := net.SplitHostPort(p.addr["tcp"])
	if err != nil {
		t.Fatal(err)
	}
	for i := range 6 {
		cmd := exec.CommandContext(t.Context(), "logger", "--tcp", "--server", host, "--port", port, "--tag", "sshd", fmt.Sprintf("--id=%d", 4000+i),
			fmt.Sprintf("Failed password for invalid user admin from 45.148.10.7 port 4000%d ssh2", i))
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("logger: %v\n%s", err, out)
		}
	}
	sent := time.Now()
	eventually(t, 10*time.Second, "the dry-run report", func() bool {
		_, page := p.get("/")
		return strings.Contains(p.text(), "result=dry-run ip=45.148.10.7") && strings.Contains(page, "45.148.10.7") &&
			p.metric(`tattled_reports_total{destination="abuseipdb",result="dry-run"}`) == 1
	})
	if took := time.Since(sent); took > 2*time.Second {
		t.Errorf("it took %v, want 2 s at most", took)
	}
	if code, body := p.get("/readyz"); code != 200 {
		t.Errorf("/readyz says %d: %s", code, body)
	}
	p.balanced()
	p.stop()
}

// A reload takes new trusted networks and rules; a bad file changes nothing.
func TestReload(t *testing.T) {
	config := quick(t, "policy_defaults: false\npolicy: [{name: first, when: {kind: [auth-failure]}, threshold: 1, do: [count]}]\n")
	p := start(t, "run", "--config", config).ready()
	conn := p.dial()
	send := func(addr string) {
		t.Helper()
		if _, err := fmt.Fprintf(conn, "<38>%s web1 sshd[1]: Failed password for root from %s port 1 ssh2\n", time.Now().Format(time.Stamp), addr); err != nil {
			t.Fatal(err)
		}
	}
	reload := func(edit func(string) string, says string) {
		t.Helper()
		text, err := os.ReadFile(config)
		if err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Dir(config), filepath.Base(config), edit(string(text)))
		if err := p.cmd.Process.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
		eventually(t, 10*time.Second, says, func() bool { return strings.Contains(p.text(), says) })
	}
	send("45.148.10.1")
	eventually(t, 10*time.Second, "the first decision", func() bool {
		return p.metric(`tattled_policy_decisions_total{action="count",policy="first"}`) == 1
	})

	reload(func(s string) string { return s + "polcy: []\n" }, `did you mean`)
	send("45.148.10.2")
	eventually(t, 10*time.Second, "the old policy to go on", func() bool {
		return p.metric(`tattled_policy_decisions_total{action="count",policy="first"}`) == 2
	})

	reload(func(s string) string {
		s = strings.ReplaceAll(s, "polcy: []\n", "trusted: [45.148.10.0/24]\n")
		return strings.ReplaceAll(strings.ReplaceAll(s, "name: first", "name: second"), "127.0.0.1:0\"", "127.0.0.1:1\"")
	}, "msg=reloaded")
	if text := p.text(); !strings.Contains(text, "needs a restart") || !strings.Contains(text, "setting=sources") {
		t.Errorf("the log does not name what needs a restart:\n%s", text)
	}
	send("45.148.10.3")
	send("45.148.11.1")
	eventually(t, 10*time.Second, "the new policy", func() bool {
		return p.metric(`tattled_policy_decisions_total{action="count",policy="second"}`) == 1 &&
			p.metric(`tattled_policy_gate_refused_total{reason="trusted"}`) == 1
	})
	if n := p.metric(`tattled_detect_matched_total{rule="failed-password",service="sshd"}`); n != 4 {
		t.Errorf("%v matches, want 4: a reload must not set counters back", n)
	}
	p.balanced()
	p.stop()
}

// A state file that was damaged while tattled was down is put aside, and everyone is told.
func TestDamagedStateFile(t *testing.T) {
	config := quick(t, "")
	p := start(t, "run", "--config", config).ready()
	if _, err := fmt.Fprintf(p.dial(), "<38>%s web1 sshd[1]: Failed password for root from 45.148.10.1 port 1 ssh2\n", time.Now().Format(time.Stamp)); err != nil {
		t.Fatal(err)
	}
	eventually(t, 10*time.Second, "the event", func() bool { return p.metric("tattled_store_events") == 1 })
	p.stop()
	dir := filepath.Dir(config)
	if err := os.Truncate(filepath.Join(dir, "state.db"), 5000); err != nil {
		t.Fatal(err)
	}
	p = start(t, "run", "--config", config).ready()
	bad, err := filepath.Glob(filepath.Join(dir, "state.db.bad-*"))
	if err != nil || len(bad) != 1 {
		t.Errorf("%d files were put aside, want 1 (%v)", len(bad), err)
	}
	if !strings.Contains(p.text(), "state.db.bad-") {
		t.Errorf("the log does not tell:\n%s", p.text())
	}
	if _, page := p.get("/"); !strings.Contains(page, "state.db.bad-") {
		t.Error("the page does not tell")
	}
	if n := p.metric("tattled_store_events"); n > 1 {
		t.Errorf("%v events, of one", n)
	}
	p.stop()
}

// Two daemons on one state file would report twice: the second one says what is in its way.
func TestSecondDaemonIsRefused(t *testing.T) {
	config := quick(t, "")
	p := start(t, "run", "--config", config).ready()
	second := start(t, "run", "--config", config)
	select {
	case <-second.gone:
	case <-time.After(15 * time.Second):
		t.Fatal("the second daemon runs")
	}
	if text := second.text(); second.cmd.ProcessState.ExitCode() != exitFailure || !strings.Contains(text, "state.db") {
		t.Errorf("exit %d, %s", second.cmd.ProcessState.ExitCode(), text)
	}
	p.stop()
}

// A faulty configuration ends the daemon with the code that systemd does not restart on.
func TestRunWithABadConfiguration(t *testing.T) {
	code, _, errOut := invoke(t, "", "run", "--config", write(t, t.TempDir(), "bad.yaml", "sources: {}\nnonsense: 1\n"))
	if code != exitConfig || !strings.Contains(errOut, "bad.yaml:2: nonsense") {
		t.Errorf("exit %d, %s", code, errOut)
	}
}
