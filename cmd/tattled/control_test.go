package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"tattled/machine"
	"tattled/web"
)

// update writes the golden files of the commands again: go test ./cmd/tattled -run Golden -update.
var update = flag.Bool("update", false, "write the golden files again")

// fakeDaemon answers on a control socket with what a path of the API has.
type fakeDaemon struct {
	path  string
	asked []string
}

// hostile is text that a daemon would never send: even so it must not reach a terminal.
const hostile = "a\x1b[31m\u202eb\u009b31m\r\nc"

func playDaemon(t *testing.T, answers map[string]any) *fakeDaemon {
	t.Helper()
	d := &fakeDaemon{path: filepath.Join(t.TempDir(), "control.sock")}
	l, err := net.Listen("unix", d.path)
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		query, _ := url.QueryUnescape(r.URL.RawQuery)
		d.asked = append(d.asked, r.Method+" "+r.URL.Path+"?"+query)
		answer, ok := answers[r.URL.Path]
		if !ok {
			w.WriteHeader(http.StatusNotFound)
			fmt.Fprint(w, `{"detail":"There is nothing. \u001b[31m"}`)
			return
		}
		if text, is := answer.(string); is {
			fmt.Fprint(w, text)
			return
		}
		if err := json.NewEncoder(w).Encode(answer); err != nil {
			t.Error(err)
		}
	})}
	go func() { _ = s.Serve(l) }()
	t.Cleanup(func() { s.Close() })
	return d
}

// ask runs a command against the daemon.
func (d *fakeDaemon) ask(t *testing.T, args ...string) (code int, out, errOut string) {
	t.Helper()
	var o, e bytes.Buffer
	code = run(t.Context(), append(args, "--control", d.path), strings.NewReader(""), &o, &e)
	return code, o.String(), e.String()
}

var goldenTime = time.Date(2026, 11, 22, 14, 30, 0, 0, time.UTC)

func goldenSummary(problems, sources, destinations int) web.SummaryAnswer {
	at := goldenTime.Add(-3 * time.Second)
	s := web.SummaryAnswer{Version: "1.2.3", Time: goldenTime, Live: true, Ready: true, DryRun: problems > 0, Events: 102331, LastSeq: 2000000, Addresses: 18240, Bytes: 21 << 20}
	for i := range problems {
		s.Problems = append(s.Problems, web.ProblemAnswer{
			What: fmt.Sprintf("problem %d with udp://0.0.0.0:514 %s", i, hostile), Cause: "senders that are not in allow: are refused, 203.0.113.9 the last of them, and many more of these words to fill two lines",
			Remedy: "add 203.0.113.9 to allow: of the listener if it is yours, or see that it is not sent from there", Since: goldenTime,
		})
	}
	for i := range sources {
		name := []string{"journal", "file:/var/log/nginx/a/very/long/path/of/an/access.log", "tcp://127.0.0.1:5514"}[i%3]
		s.Sources = append(s.Sources, web.SourceAnswer{Name: name, Up: i%3 != 1, Records: uint64(1842213 * i), Dropped: uint64(2 * i), Lost: uint64(i), LastRecord: &at})
	}
	for i := range destinations {
		name := []string{"abuseipdb", "mail", "webhook"}[i%3] + strings.Repeat("x", i/3)
		s.Outbox = append(s.Outbox, web.OutboxCount{Destination: name, State: "pending", Items: 3}, web.OutboxCount{Destination: name, State: "delivered", Items: 1204},
			web.OutboxCount{Destination: name, State: "dry-run", Items: 7}, web.OutboxCount{Destination: name, State: "rejected", Items: 1})
	}
	return s
}

func goldenTop() web.Top {
	top := web.Top{Window: web.TopWindow{Events: 4096}}
	for i := range 8 {
		top.Addresses = append(top.Addresses, web.TopAddress{Address: fmt.Sprintf("203.0.113.%d", i), Events: 900 - i, Country: "NL", Org: "Example Networks " + hostile})
	}
	return top
}

func goldenEvent(seq uint64) web.Event {
	return web.Event{
		Seq: seq, Time: goldenTime, Received: goldenTime, Kind: "auth-failure", Service: "sshd", Rule: "failed-password", Address: "203.0.113.5", Port: 40022, LocalPort: 22,
		Proto: "tcp", Handshake: true, User: "root " + hostile, Host: "web1", Source: "journal", Reporter: "web1", Trust: "report", Country: "NL",
		Line: "Failed password for root " + hostile + " from 203.0.113.5 port 40022 ssh2",
	}
}

func goldenStory() web.StoryAnswer {
	next := goldenTime.Add(4 * time.Minute)
	s := web.StoryAnswer{
		AddressAnswer: web.AddressAnswer{
			Network: "203.0.113.5", First: goldenTime.Add(-50 * time.Hour), Last: goldenTime, Events: 142, Kinds: map[string]uint64{"auth-failure": 140, "firewall-block": 2},
			Country: "NL", CountryName: "Netherlands", ASN: 64500, Org: "Example " + hostile,
			Reported: []web.ReportedAnswer{{Destination: "abuseipdb", Time: goldenTime}, {Destination: "mail", Policy: "success-after-failures", Time: goldenTime, Unproven: true}},
		},
		Refused: "trusted", Because: "the address is in a trusted network",
		Score: &web.ScoreAnswer{Score: 42, MaxAgeDays: 90, Asked: goldenTime},
		Items: []web.Item{
			{ID: "b", Destination: "abuseipdb", Policy: "ssh-bruteforce", State: "pending", Service: "sshd", Rule: "failed-password", Events: 40, Created: goldenTime, Attempts: 2, NextAttempt: &next,
				Detail: "HTTP 503 " + hostile, UnansweredSince: &goldenTime},
			{ID: "a", Destination: "mail", Policy: "success-after-failures", State: "delivered", Service: "sshd", Rule: "accepted", Events: 1, Created: goldenTime, Attempts: 1, Settled: &next},
		},
	}
	one, two := web.StoryEvent{Event: goldenEvent(7)}, web.StoryEvent{Event: goldenEvent(8), Refused: "udp", Because: "a sender address is easily forged with udp"}
	s.Events = []web.StoryEvent{one, two}
	return s
}

// What the commands print, for people and as JSON; nothing of it does anything to a terminal.
func TestControlGolden(t *testing.T) {
	events := web.EventsAnswer{Events: []web.Event{goldenEvent(7), goldenEvent(8)}, Next: 8, LastSeq: 8}
	d := playDaemon(t, map[string]any{
		"/api/v1/summary": goldenSummary(1, 3, 2), "/api/v1/top": goldenTop(), "/api/v1/events": events, "/api/v1/addresses/203.0.113.5": goldenStory(),
		"/api/v1/feed": "203.0.113.5\n", "/api/v1/report": web.HandReceipt{Address: "203.0.113.5", ID: "0190", Destination: "abuseipdb", Categories: []int{18, 22}},
		"/api/v1/retract": web.Retraction{Address: "203.0.113.5", Deleted: 1234, Withdrawn: 1, HeldUntil: goldenTime},
	})
	for _, c := range []struct {
		golden string
		code   int
		args   []string
	}{
		{"status.txt", 1, []string{"status"}},
		{"status.json", 1, []string{"status", "--json"}},
		{"events.txt", 0, []string{"events", "--lines"}},
		{"events.json", 0, []string{"events", "--json"}},
		{"show.txt", 0, []string{"show", "203.0.113.5"}},
		{"show.json", 0, []string{"show", "--json", "203.0.113.5"}},
		{"feed.txt", 0, []string{"feed"}},
		{"report.txt", 0, []string{"report", "203.0.113.5", "--category", "ssh"}},
		{"report.json", 0, []string{"report", "203.0.113.5", "--category", "ssh", "--json"}},
		{"retract.txt", 0, []string{"retract", "203.0.113.5"}},
		{"retract.json", 0, []string{"retract", "203.0.113.5", "--json"}},
	} {
		code, out, errOut := d.ask(t, c.args...)
		if code != c.code || errOut != "" {
			t.Errorf("%v: exit %d, %s", c.args, code, errOut)
		}
		harmless(t, out)
		path := filepath.Join("testdata", "control", c.golden)
		if *update {
			if err := os.WriteFile(path, []byte(out), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if want, err := os.ReadFile(path); err != nil || out != string(want) {
			t.Errorf("%v: %v\n got %s\nwant %s", c.args, err, out, want)
		}
	}
}

// harmless fails if text has anything in it that a terminal obeys or hides.
func harmless(t *testing.T, text string) {
	t.Helper()
	for _, r := range text {
		if r != '\n' && !unicode.IsPrint(r) {
			t.Errorf("%q is in the output:\n%q", r, text)
			return
		}
	}
}

// However much there is to say, a screen of 80x24 has room for it and for the prompt.
func TestStatusFitsAScreen(t *testing.T) {
	for _, n := range [][3]int{{0, 0, 0}, {0, 1, 1}, {1, 3, 2}, {3, 6, 4}, {40, 40, 40}, {40, 0, 0}, {0, 40, 0}} {
		d := playDaemon(t, map[string]any{"/api/v1/summary": goldenSummary(n[0], n[1], n[2]), "/api/v1/top": goldenTop()})
		code, out, _ := d.ask(t, "status")
		if want := min(n[0], 1); code != want {
			t.Errorf("%v: exit %d, want %d", n, code, want)
		}
		lines := strings.Split(strings.TrimSuffix(out, "\n"), "\n")
		if len(lines) > 23 || slices.ContainsFunc(lines, func(l string) bool { return utf8.RuneCountInString(l) > 80 }) {
			t.Errorf("%v: %d lines:\n%s", n, len(lines), out)
		}
		if n[0] > 3 && !strings.Contains(out, "more: tattled status --json") {
			t.Errorf("%v: that there are more problems is not said:\n%s", n, out)
		}
	}
}

// A script knows by the exit code whether there is a daemon, and a person what to do.
func TestNoDaemon(t *testing.T) {
	dir := t.TempDir()
	stale := filepath.Join(dir, "stale.sock")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: stale})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	l.Close()
	for _, path := range []string{filepath.Join(dir, "missing.sock"), stale} {
		for _, args := range [][]string{{"status"}, {"status", "--json"}, {"events"}, {"show", "203.0.113.5"}, {"feed"}, {"backup", filepath.Join(dir, "b.db")}} {
			var out, errOut bytes.Buffer
			code := run(t.Context(), append(args, "--control", path), strings.NewReader(""), &out, &errOut)
			if code != exitNoDaemon || out.Len() > 0 || !strings.Contains(errOut.String(), "systemctl status tattled") || strings.Count(errOut.String(), "\n") != 1 {
				t.Errorf("%v: exit %d, %q, %q", args, code, &out, &errOut)
			}
		}
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "*.db*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// Who may not connect is told which group may.
func TestNoPermission(t *testing.T) {
	if os.Geteuid() != 0 {
		machine.Lacks(t, "not root: it cannot be another user")
	}
	d := playDaemon(t, nil)
	for dir := filepath.Dir(d.path); dir != "/"; dir = filepath.Dir(dir) {
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if dir == os.TempDir() {
			break
		}
	}
	if err := os.Chown(d.path, 0, 4); err != nil { // adm
		t.Fatal(err)
	}
	if err := os.Chmod(d.path, 0o660); err != nil {
		t.Fatal(err)
	}
	out, code := asNobody(t, "status", "--control", d.path)
	if code != exitNoDaemon || !strings.Contains(out, "member of group adm (`usermod -aG adm ") {
		t.Errorf("exit %d: %s", code, out)
	}
}

// What is asked for in a wrong way is a matter of usage, and nothing of the daemon's answer does anything to a terminal.
func TestControlUsage(t *testing.T) {
	d := playDaemon(t, nil)
	for _, args := range [][]string{
		{"show"}, {"show", "x\x1b"}, {"show", "192.0.2.1", "192.0.2.2"}, {"events", "--limit", "-1"}, {"events", "--limit", "1001"}, {"events", "x"}, {"status", "x"},
		{"feed", "--json", "--format", "ipset"}, {"backup"},
	} {
		if code, out, errOut := d.ask(t, args...); code != exitUsage || out != "" || !strings.Contains(errOut, "--help") {
			t.Errorf("%v: exit %d, %q, %q", args, code, out, errOut)
		} else {
			harmless(t, errOut)
		}
	}
	code, _, errOut := d.ask(t, "show", "192.0.2.1")
	if code != exitFailure || !strings.Contains(errOut, "nothing is known of 192.0.2.1") {
		t.Errorf("exit %d, %q", code, errOut)
	}
	code, _, errOut = d.ask(t, "status")
	if code != exitFailure || !strings.Contains(errOut, "There is nothing.") {
		t.Errorf("exit %d, %q", code, errOut)
	}
	harmless(t, errOut)
}

// The filters are asked of the daemon by the names of its API.
func TestEventsAsks(t *testing.T) {
	d := playDaemon(t, map[string]any{"/api/v1/events": web.EventsAnswer{Events: []web.Event{}}})
	d.ask(t, "events", "--kind", "ban", "--kind", "probe", "--address", "192.0.2.0/24", "--country", "nl", "--since", "24h", "--until", "2026-11-22T14:30:00Z", "--text", "a b", "--limit", "7")
	want := "GET /api/v1/events?address=192.0.2.0/24&country=nl&from=24h&kind=ban&kind=probe&limit=7&text=a b&to=2026-11-22T14:30:00Z"
	if len(d.asked) != 1 || d.asked[0] != want {
		t.Errorf("asked %q, want %q", d.asked, want)
	}
}

// Addresses, services and sources are completed with what the daemon has, kinds and formats without it; and no daemon is no error.
func TestControlCompletion(t *testing.T) {
	other := goldenEvent(9)
	other.Address, other.Service = "2001:db8::1", "dovecot"
	d := playDaemon(t, map[string]any{
		"/api/v1/events":  web.EventsAnswer{Events: []web.Event{goldenEvent(7), other, goldenEvent(8)}},
		"/api/v1/sources": web.SourcesAnswer{Sources: []web.SourceAnswer{{Name: "journal"}, {Name: "tcp://127.0.0.1:5514"}}},
	})
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"show", "--control", d.path, ""}, "2001:db8::1\n203.0.113.5\n"},
		{[]string{"show", "--control", d.path, "203.0.113.5", ""}, ""},
		{[]string{"events", "--control", d.path, "--address", ""}, "2001:db8::1\n203.0.113.5\n"},
		{[]string{"events", "--control", d.path, "--service", ""}, "dovecot\nsshd\n"},
		{[]string{"events", "--control", d.path, "--source", ""}, "journal\ntcp://127.0.0.1:5514\n"},
		{[]string{"events", "--control", d.path, "--kind", ""}, "auth-failure\nauth-success\nfirewall-block\nfirewall-accept\nban\nprobe\nweb-attack\nmail-abuse\n"},
		{[]string{"feed", "--control", d.path, "--format", ""}, "ipset\njson\nmikrotik\nnftables\npfsense\nplain\n"},
		{[]string{"show", "--control", d.path + "no", ""}, ""},
		{[]string{"events", "--control", d.path + "no", "--source", ""}, ""},
	} {
		var out, errOut bytes.Buffer
		began := time.Now()
		code := run(t.Context(), append([]string{"__complete"}, c.args...), strings.NewReader(""), &out, &errOut)
		text, _, _ := strings.Cut(out.String(), ":")
		if lines := strings.Split(out.String(), "\n"); len(lines) > 1 {
			text = strings.Join(lines[:len(lines)-2], "\n")
			if text != "" {
				text += "\n"
			}
		}
		if code != 0 || text != c.want || time.Since(began) > 5*time.Second {
			t.Errorf("%v: exit %d, %q, want %q", c.args, code, text, c.want)
		}
	}
}

// asNobody runs a command as a user without any right.
func asNobody(t *testing.T, args ...string) (out string, code int) {
	t.Helper()
	self, err := os.ReadFile(os.Args[0])
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "tattled")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	program := filepath.Join(dir, "tattled")
	if err := errors.Join(os.WriteFile(program, self, 0o755), os.Chmod(dir, 0o755)); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), program, args...)
	cmd.Env, cmd.Dir = []string{childMark + "=1"}, "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	text, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return string(text), cmd.ProcessState.ExitCode()
}
