package daemon

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"tattled/event"
	"tattled/receiver"
	"tattled/receiver/syslog"
)

// A source of whose lines no rule knows the program is a problem: soon where none names one, after many lines and an hour where
// each names its own; and no more with the first line that one knows.
func TestStrangeSource(t *testing.T) {
	now := time.Now()
	handed := func(n int, strange, nameless uint64) *sourceTally {
		s := &sourceTally{}
		b := &receiver.Batch{Received: now, Records: make([]receiver.Record, n)}
		s.count(b, outcomes{ignored: uint64(n), strange: strange, nameless: nameless})
		return s
	}
	for _, c := range []struct {
		what  string
		tally *sourceTally
		after time.Duration
		says  string // "": no problem
	}{
		{"no headers", handed(298, 298, 298), 0, "none of 298 lines has a known header"},
		{"no headers, a few lines", handed(99, 99, 99), time.Hour, ""},
		{"one header in many lines", handed(298, 298, 297), time.Hour, ""},
		{"nothing was read", &sourceTally{}, time.Hour, ""},
		{"known programs", handed(2000, 0, 0), 2 * time.Hour, ""},
		{"a quiet machine", handed(999, 999, 0), 200 * time.Hour, ""},
		{"a burst", handed(5000, 5000, 0), 59 * time.Minute, ""},
		{"many for an hour", handed(1000, 1000, 0), time.Hour, "of 1000 lines none is of a known program"},
		{"many for an hour, and one that is known", handed(1000, 999, 999), time.Hour, ""},
	} {
		got := strangeProblems("s", c.tally, now.Add(c.after))
		if (c.says == "") != (len(got) == 0) || len(got) > 0 && (!strings.Contains(got[0].String(), c.says) || got[0].Remedy == "" || !got[0].Since.Equal(now)) {
			t.Errorf("%s: %v", c.what, got)
		}
	}
}

// A refused sender is a problem as long as it tries, and a line an hour in the log; a flood of made-up ones is a few lines.
func TestRefusedSenders(t *testing.T) {
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	refused := func(n int, last time.Time) (all []syslog.Refused) {
		for i := range n {
			addr := syslog.Refused{Addr: netip.AddrFrom4([4]byte{203, 0, 113, byte(i)}), Count: 3, First: last.Add(-time.Minute), Last: last}
			all = append(all, addr)
		}
		return all
	}
	if p := refusedProblems("udp://:514", refused(1, now), now.Add(59*time.Minute)); len(p) != 1 ||
		!strings.Contains(p[0].Cause, "203.0.113.0 (3 times") || !strings.Contains(p[0].Remedy, "allow") || !p[0].Since.Equal(now.Add(-time.Minute)) {
		t.Errorf("%v", p)
	}
	if p := refusedProblems("udp://:514", refused(9, now), now); len(p) != 1 || !strings.HasSuffix(p[0].Cause, "and 6 more") {
		t.Errorf("%v", p)
	}
	if p := refusedProblems("udp://:514", refused(1, now), now.Add(time.Hour)); len(p) != 0 {
		t.Errorf("an hour after the last try: %v", p)
	}
	var out bytes.Buffer
	log := slog.New(slog.NewTextHandler(&out, nil))
	var l refusedLog
	for minute := range 61 {
		at := now.Add(time.Duration(minute) * time.Minute)
		l.log(log, "udp://:514", refused(1, at), at)
	}
	if n := strings.Count(out.String(), "203.0.113.0"); n != 2 || !strings.Contains(out.String(), "remedy=") {
		t.Errorf("%d lines in an hour and a minute:\n%s", n, &out)
	}
	out.Reset()
	l.log(log, "tcp://:514", refused(200, now), now)
	if n := strings.Count(out.String(), "\n"); n != refusedLogged {
		t.Errorf("%d lines for a flood", n)
	}
}

// Since a problem was seen first it has its date, however its cause changes, and another time it has another.
func TestDates(t *testing.T) {
	var d dates
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	at := func(minutes int, causes ...string) []event.Problem {
		var all []event.Problem
		for _, c := range causes {
			all = append(all, event.Problem{What: "x", Cause: c})
		}
		d.fill(all, now.Add(time.Duration(minutes)*time.Minute))
		return all
	}
	at(0, "1 line")
	if p := at(5, "2 lines"); !p[0].Since.Equal(now) {
		t.Errorf("%v", p[0].Since)
	}
	at(6)
	if p := at(7, "1 line"); !p[0].Since.Equal(now.Add(7 * time.Minute)) {
		t.Errorf("%v", p[0].Since)
	}
}

// A blind daemon does not say that it is healthy: a file that is missing, one whose lines name no program, and a sender that is
// refused are problems on the page, in /healthz and in the metrics, and each is once in the log.
func TestBlindDaemon(t *testing.T) {
	dir := t.TempDir()
	log := filepath.Join(dir, "access.log")
	line := `203.0.113.5 - - [22/Nov/2026:10:00:00 +0000] "GET /wp-login.php HTTP/1.1" 404 10 "-" "x"` + "\n"
	if err := os.WriteFile(log, []byte(strings.Repeat(line, 298)), 0o600); err != nil {
		t.Fatal(err)
	}
	d, out := daemonOf(t, fmt.Sprintf(`
sources:
  files:
    - {path: %[1]s/access.log, start: beginning, reporter: shop}
    - {path: %[1]s/missing.log}
  syslog:
    - {listen: "udp://127.0.0.1:0", allow: [192.0.2.0/24]}
store: {path: %[1]s/state.db}
web: {listen: "127.0.0.1:0"}
`, dir))
	page := "http://" + d.page.Addr().String()
	sender, err := net.Dial("udp", opened(d.receivers[2]).(interface{ Addr() net.Addr }).Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer sender.Close()
	if _, err := sender.Write([]byte("<38>Nov 22 10:00:00 h sshd[1]: x")); err != nil {
		t.Fatal(err)
	}
	var body string
	want := []string{
		`"what":"file:` + dir + `/missing.log is missing"`, `none of 298 lines has a known header`, `"what":"udp://127.0.0.1:0: a sender is refused that allow does not name"`,
		`127.0.0.1 (1 times`, `"remedy":"`, `"since":"20`,
	}
	waitFor(t, "the problems", func() bool {
		body = get(t, page+"/healthz")
		for _, w := range want {
			if !strings.Contains(body, w) {
				return false
			}
		}
		return true
	}, func() string { return body })
	metrics := get(t, page+"/metrics")
	for _, w := range []string{
		"tattled_problems 3", `tattled_source_up{source="file:` + dir + `/missing.log"} 0`, `tattled_source_up{source="file:` + log + `"} 1`,
		`tattled_source_last_record_timestamp_seconds{source="udp://127.0.0.1:0"} 0`,
		`tattled_receiver_dropped_total{reason="not-allowed",source="udp://127.0.0.1:0"} 1`,
	} {
		if !strings.Contains(metrics, w) {
			t.Errorf("the metrics lack %s", w)
		}
	}
	summary := get(t, page+"/api/v1/summary")
	if !strings.Contains(summary, `"name":"file:`+log+`","reporter":"shop","up":true,"records":298`) || strings.Count(summary, `"last_record"`) != 1 {
		t.Errorf("the sources are %s", summary)
	}
	if shown := get(t, page+"/"); !strings.Contains(shown, "missing.log is missing") || !strings.Contains(shown, "none yet") || strings.Contains(shown, "Healthy") {
		t.Error("the page does not show them")
	}
	for _, once := range []string{"there is no log file", "no rule knows the program of its lines", "a sender is refused"} {
		waitFor(t, once+" in the log", func() bool { return strings.Count(out.String(), once) == 1 }, out.String)
	}
}

// daemonOf runs a daemon with a configuration until the test ends. out is its log.
func daemonOf(t *testing.T, config string) (d *Daemon, out *sharedText) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "tattled.yaml")
	if err := os.WriteFile(path, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	out = &sharedText{}
	d, err := New(Options{Config: path, Log: slog.New(slog.NewTextHandler(out, nil))})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- d.Run(ctx, nil) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return d, out
}

// sharedText is a buffer that several goroutines use.
type sharedText struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *sharedText) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *sharedText) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

func get(t *testing.T, url string) string {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := (&http.Client{Timeout: 10 * time.Second}).Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

// waitFor waits half a minute for a condition, and shows what there is instead if it does not come true.
func waitFor(t testing.TB, what string, is func() bool, instead func() string) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(30 * time.Second); !is(); <-tick.C {
		if time.Now().After(deadline) {
			t.Fatalf("waited half a minute for %s:\n%s", what, instead())
		}
	}
}

// tattled's own lines are skipped. Of what is dropped, empty lines and those of strangers are no loss; what is broken or beyond a limit is.
func TestSkippedIsNotLost(t *testing.T) {
	d := &Daemon{tally: newTally(), reporters: map[string]string{"s": "web1"}}
	l := &late{opener: opener{source: "s"}}
	for i, r := range receiver.Reasons() {
		l.meter.Drop(r, 1<<(10*i/3))
	}
	l.meter.Skipped.Store(7)
	var dropped, lost uint64
	for _, r := range receiver.Reasons() {
		switch r {
		case receiver.Empty, receiver.NotAllowed, receiver.WrongProtocol:
		default:
			lost += l.meter.Dropped(r)
		}
		dropped += l.meter.Dropped(r)
	}
	if s := d.sourceHealth(l, time.Now()); s.Skipped != 7 || s.Dropped != dropped || s.Lost != lost || s.Reporter != "web1" || s.Up {
		t.Errorf("%+v, want 7 skipped, %d dropped and %d of these lost", s, dropped, lost)
	}
}
