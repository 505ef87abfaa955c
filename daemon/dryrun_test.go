package daemon

import (
	"context"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"tattled/report"
	"tattled/report/abuseipdb/double"
)

// until polls for what must come true soon.
func until(t *testing.T, what string, is func() bool) {
	t.Helper()
	ticker := time.NewTicker(10 * time.Millisecond)
	defer ticker.Stop()
	for deadline := time.Now().Add(20 * time.Second); !is(); <-ticker.C {
		if time.Now().After(deadline) {
			t.Fatalf("no %s within 20 s", what)
		}
	}
}

// runs is a daemon at work, on one log of sshd and a double of AbuseIPDB.
type runs struct {
	t      *testing.T
	dir    string
	double *double.Double
	url    string
	d      *Daemon
	hangup chan os.Signal
	lines  int
}

func (r *runs) configure(key bool) {
	r.t.Helper()
	text := fmt.Sprintf("sources: {files: [{path: %q}]}\nstore: {path: %q}\nweb: {listen: \"127.0.0.1:0\"}\nreport: {abuseipdb: {url: %q", r.file("auth.log"), r.file("state.db"), r.url)
	if key {
		text += fmt.Sprintf(", key_file: %q", r.file("key"))
	}
	r.write("tattled.yaml", text+"}}\n")
}

func (r *runs) file(name string) string { return filepath.Join(r.dir, name) }

func (r *runs) write(name, text string) {
	r.t.Helper()
	if err := os.WriteFile(r.file(name), []byte(text), 0o600); err != nil {
		r.t.Fatal(err)
	}
}

// reload changes whether there is a key, and waits until that has taken effect.
func (r *runs) reload(key bool) {
	r.t.Helper()
	r.configure(key)
	r.hangup <- syscall.SIGHUP
	until(r.t, "reload", func() bool { return r.d.dryRun() != key })
	r.hangup <- syscall.SIGHUP // taken only once the first one is done
}

// attack logs five failures of addr.
func (r *runs) attack(addr string) {
	r.t.Helper()
	f, err := os.OpenFile(r.file("auth.log"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		r.t.Fatal(err)
	}
	defer f.Close()
	for range 5 {
		r.lines++
		fmt.Fprintf(f, "%s web1 sshd[%d]: Failed password for root from %s port %d ssh2\n", time.Now().Format(time.RFC3339Nano), r.lines, addr, 1024+r.lines)
	}
}

func (r *runs) settled(result report.Result) uint64 { return r.d.outlets[0].courier.Count(result) }

func startRuns(t *testing.T) *runs {
	t.Helper()
	t.Setenv(abuseIPDBKey().variable, "")
	db, err := double.New(double.Options{Plan: "standard"})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(db)
	t.Cleanup(server.Close)
	r := &runs{t: t, dir: t.TempDir(), double: db, url: server.URL + "/api/v2/", hangup: make(chan os.Signal)}
	r.write("auth.log", "")
	r.write("key", strings.Repeat("0123456789abcdef", 5))
	r.configure(false)
	if r.d, err = New(Options{Config: r.file("tattled.yaml"), Log: slog.New(slog.DiscardHandler)}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.d.Run(ctx, r.hangup) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	until(t, "open log", func() bool { return r.d.receivers[0].Meter().Open.Load() == 1 })
	return r
}

// What a dry run judged mutes nothing once there is a key; and what was reported before a dry run is not reported again after
// it.
func TestADryRunMutesNoReport(t *testing.T) {
	const first, second = "45.148.10.1", "45.148.10.2"
	r := startRuns(t)
	r.attack(first)
	until(t, "dry run", func() bool { return r.settled(report.DryRun) == 1 })
	r.reload(true)
	r.attack(first)
	until(t, "report", func() bool { return r.settled(report.Delivered) == 1 })

	r.reload(false)
	r.attack(first) // within its window, which is that of a report
	r.attack(second)
	until(t, "second dry run", func() bool { return r.settled(report.DryRun) == 2 })
	r.reload(true)
	r.attack(first)
	r.attack(second)
	until(t, "second report", func() bool { return r.settled(report.Delivered) == 2 })
	var got []string
	for _, one := range r.double.Reports() {
		got = append(got, one.IP)
	}
	if fmt.Sprint(got) != fmt.Sprint([]string{first, second}) {
		t.Errorf("reported: %v", got)
	}
	a, ok, err := r.d.store.Address(netip.MustParseAddr(second))
	if err != nil || !ok || len(a.Windows) != 2 || a.Windows[0].DryRun == a.Windows[1].DryRun {
		t.Errorf("windows %+v, %v", a.Windows, err)
	}
}
