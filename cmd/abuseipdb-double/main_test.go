package main

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"tattled/report/abuseipdb/double"
)

// running is the program, and where it serves.
type running struct {
	base, redirect string
	stop           func() error
}

// launch runs the program with args and waits until it says where it listens.
func launch(t *testing.T, args ...string) running {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	r, w := io.Pipe()
	cmd := command()
	cmd.SetArgs(append([]string{"--listen", "127.0.0.1:0"}, args...))
	cmd.SetOut(w)
	ended := make(chan error, 1)
	go func() {
		err := cmd.ExecuteContext(ctx)
		w.CloseWithError(err)
		ended <- err
	}()
	stop := sync.OnceValue(func() error {
		cancel()
		return <-ended
	})
	t.Cleanup(func() { _ = stop() }) // who cares has stopped it
	lines := bufio.NewReader(r)
	next := func(prefix string) string {
		line, err := lines.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		_, rest, _ := strings.Cut(line, prefix)
		base, _, _ := strings.Cut(strings.TrimSpace(rest), " ")
		if !strings.HasPrefix(base, "http://127.0.0.1:") || !strings.HasSuffix(base, "/api/v2/") {
			t.Fatalf("said %q", line)
		}
		return base
	}
	out := running{base: next("listening: "), stop: stop}
	if slices.Contains(args, "--redirect") {
		out.redirect = next("redirecting: ")
	}
	return out
}

// send reports an address and returns the status and where it was redirected to.
func send(t *testing.T, base, ip string) (int, string) {
	t.Helper()
	client := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := client.PostForm(base+"report?key=k", map[string][]string{"ip": {ip}, "categories": {"18"}})
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	return resp.StatusCode, resp.Header.Get("Location")
}

// The program says where it listens, serves there, and ends when it is told to.
func TestServe(t *testing.T) {
	p := launch(t, "--key", "k", "--redirect", "127.0.0.1:0")
	if status, _ := send(t, p.base, "192.0.2.1"); status != http.StatusOK {
		t.Errorf("status %d", status)
	}
	if status, to := send(t, p.redirect, "192.0.2.2"); status != http.StatusFound || to != p.base+"report?key=k" {
		t.Errorf("status %d to %s", status, to)
	}
	if err := p.stop(); err != nil {
		t.Error(err)
	}
}

// A script of faults and the clock are set by flags; the state file keeps what was reported, and what is left of the script.
func TestStateFile(t *testing.T) {
	dir := t.TempDir()
	faults, state := dir+"/faults.json", dir+"/state.json"
	if err := os.WriteFile(faults, []byte(`[{"mode": "pass", "times": 1}, {"mode": "401", "times": 2}]`), 0o600); err != nil {
		t.Fatal(err)
	}
	p := launch(t, "--faults", faults, "--state", state, "--clock", "2026-01-02T03:04:05Z")
	for n, want := range []int{200, 401} {
		if status, _ := send(t, p.base, "192.0.2.1"); status != want {
			t.Errorf("request %d: status %d", n, status)
		}
	}
	if err := p.stop(); err != nil {
		t.Fatal(err)
	}
	p = launch(t, "--state", state)
	for n, want := range []int{401, 429} {
		if status, _ := send(t, p.base, "192.0.2.1"); status != want {
			t.Errorf("request %d after the restart: status %d", n, status)
		}
	}
	resp, err := new(http.Client).Get(strings.TrimSuffix(p.base, "api/v2/") + "double/reports")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if text, _ := io.ReadAll(resp.Body); !strings.Contains(string(text), `"received_at":"2026-01-02T03:04:0`) {
		t.Errorf("%s", text)
	}
}

// The help has every mode and every behaviour with its mark.
func TestHelp(t *testing.T) {
	help := command().Long
	for _, m := range double.Modes() {
		if !strings.Contains(help, "    "+string(m)+" ") {
			t.Errorf("the mode %s is not in it", m)
		}
	}
	for _, b := range double.Behaviours() {
		if !strings.Contains(help, string(b.Mark)) || !strings.Contains(help, b.Name+": "+b.What) {
			t.Errorf("%s is not in it", b.Name)
		}
	}
}

// Wrong arguments are refused with a word about them.
func TestArguments(t *testing.T) {
	for _, args := range [][]string{{"--plan", "gold"}, {"--listen", "256.0.0.1:x"}, {"extra"}, {"--no-such-flag"}, {"--clock", "noon"}, {"--faults", "/nonexistent"},
		{"--state", "/dev/null/x"}, {"--state", "main.go"}} {
		cmd := command()
		cmd.SetArgs(args)
		cmd.SetOut(io.Discard)
		if err := cmd.ExecuteContext(t.Context()); err == nil {
			t.Errorf("%q is taken", args)
		}
	}
}
