package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"tattled/web"
)

// The commands against a running daemon: what came is seen by each of them, and followed while it comes; a backup that is made while lines
// come in is a state file that a daemon runs on.
func TestCommandsAskTheDaemon(t *testing.T) {
	dir := t.TempDir()
	socket := filepath.Join(dir, "control.sock")
	config := quick(t, "control: {path: "+socket+"}\n")
	p := start(t, "run", "--config", config).ready()
	if p.addr["control"] != socket {
		t.Errorf("it says that the control socket is %q", p.addr["control"])
	}
	ask := func(want int, args ...string) string {
		t.Helper()
		var out, errOut bytes.Buffer
		if code := run(t.Context(), append(args, "--control", socket), strings.NewReader(""), &out, &errOut); code != want {
			t.Fatalf("%v: exit %d, want %d: %s%s", args, code, want, &out, &errOut)
		}
		return out.String()
	}
	if out := ask(0, "status"); !strings.Contains(out, "healthy") {
		t.Error(out)
	}
	follow, ended := followEvents(t, socket)
	conn := p.dial()
	attack := func(addr string, n int) {
		t.Helper()
		for i := range n {
			if _, err := fmt.Fprintf(conn, "<38>%s web1 sshd[%d]: Failed password for invalid user u%d from %s port %d ssh2\n", time.Now().Format(time.Stamp), i, i, addr, 40000+i); err != nil {
				t.Fatal(err)
			}
		}
	}
	attack("45.148.10.7", 6)
	attack("2a02:c207:3000:1::7", 6)
	for want := range 12 {
		if !follow.Scan() {
			t.Fatalf("only %d events were followed", want)
		}
	}
	go func() { // what comes later is read too, or the follower could not end
		for follow.Scan() {
		}
	}()
	eventually(t, 10*time.Second, "two dry-run reports", func() bool { return p.metric(`tattled_reports_total{destination="abuseipdb",result="dry-run"}`) == 2 })
	if out := ask(0, "feed"); out != "45.148.10.7\n2a02:c207:3000:1::/64\n" {
		t.Errorf("feed: %q", out)
	}
	_, page := p.get("/api/v1/feed")
	if page != ask(0, "feed") {
		t.Errorf("the page's feed: %q", page)
	}
	if out := ask(0, "show", "45.148.10.7"); !strings.Contains(out, "6 auth-failure") || !strings.Contains(out, "abuseipdb: dry-run by ssh-bruteforce") {
		t.Error(out)
	}
	if out := ask(0, "events", "--user", "u3"); strings.Count(out, "\n") != 2 {
		t.Error(out)
	}
	if out := ask(0, "events", "--limit", "0", "--json", "--address", "2a02:c207::/32"); strings.Count(out, "\n") != 6 {
		t.Error(out)
	}
	ask(exitUsage, "events", "--kind", "nosuch")
	backup := filepath.Join(dir, "backup.db")
	ask(0, "backup", backup)
	ask(exitFailure, "backup", backup)
	attack("45.148.10.8", 6)
	trust(t, p, config, "45.148.10.7")
	if out := ask(0, "feed"); strings.Contains(out, "45.148.10.7") || !strings.Contains(out, "2a02:c207:3000:1::/64") {
		t.Errorf("the feed of one who is trusted now: %q", out)
	}
	if out := ask(0, "show", "45.148.10.7"); !strings.Contains(out, "because the address is in a trusted network") {
		t.Error(out)
	}
	p.stop()
	if err := <-ended; err != nil {
		t.Errorf("events --follow: %v", err)
	}
	if _, err := os.Lstat(socket); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the socket's file is left: %v", err)
	}
	ask(exitNoDaemon, "status")
	if info, err := os.Stat(backup); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	runsOn(t, backup, socket)
}

// trust has a daemon trust an address by a reload.
func trust(t *testing.T, p *process, config, addr string) {
	t.Helper()
	f, err := os.OpenFile(config, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = fmt.Fprintf(f, "trusted: [%s]\n", addr)
	if err := errors.Join(err, f.Close(), p.cmd.Process.Signal(syscall.SIGHUP)); err != nil {
		t.Fatal(err)
	}
	eventually(t, 10*time.Second, "the reload", func() bool { return strings.Contains(p.text(), "msg=reloaded") })
}

// runsOn shows that a daemon goes on from a backup.
func runsOn(t *testing.T, backup, socket string) {
	t.Helper()
	config := quick(t, "control: {path: "+socket+"}\n")
	content, err := os.ReadFile(backup)
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Dir(config), "state.db", string(content))
	p := start(t, "run", "--config", config).ready()
	var out bytes.Buffer
	if code := run(t.Context(), []string{"status", "--json", "--control", socket}, strings.NewReader(""), &out, &out); code != 0 {
		t.Errorf("exit %d: %s", code, &out)
	}
	var s web.SummaryAnswer
	if err := json.Unmarshal(out.Bytes(), &s); err != nil || s.Events != 12 {
		t.Errorf("%d events after the restore, want 12 (%v)", s.Events, err)
	}
	p.stop()
}

// followEvents runs events --follow until the test's end or the daemon's.
func followEvents(t *testing.T, socket string) (*bufio.Scanner, <-chan error) {
	t.Helper()
	r, w := io.Pipe()
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	ended := make(chan error, 1)
	var errOut bytes.Buffer
	go func() {
		code := run(ctx, []string{"events", "--follow", "--limit", "1000", "--service", "sshd", "--control", socket}, strings.NewReader(""), w, lostNotice{&errOut, cancel})
		w.Close()
		if code != 0 || !strings.Contains(errOut.String(), "it is tried again") {
			ended <- fmt.Errorf("exit %d: %s", code, &errOut)
			return
		}
		ended <- nil
	}()
	return bufio.NewScanner(r), ended
}

// lostNotice ends the following when it says that the daemon is gone.
type lostNotice struct {
	w      io.Writer
	cancel func()
}

func (n lostNotice) Write(b []byte) (int, error) {
	n.cancel()
	return n.w.Write(b)
}
