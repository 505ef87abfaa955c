package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"tattled/daemon"
)

// replayStart is when the log of the tests begins.
func replayStart() time.Time { return time.Date(2026, 11, 20, 5, 0, 0, 0, time.UTC) }

// replayLog writes the logs of three days of web1 into a folder, the first day packed and each after the other rotated: 40 attackers,
// one of which gets in, neighbours that are refused, and what else such a log has.
func replayLog(t *testing.T, dir string) (names []string) {
	t.Helper()
	for day, name := range []string{"auth.log.2.gz", "auth.log.1", "auth.log"} {
		var b strings.Builder
		at := replayStart().AddDate(0, 0, day)
		line := func(pid int, format string, args ...any) {
			at = at.Add(3 * time.Second)
			fmt.Fprintf(&b, "%s web1 sshd[%d]: %s\n", at.Format(time.RFC3339), pid, fmt.Sprintf(format, args...))
		}
		for i := range 40 {
			if i%3 == day {
				for n := range 8 {
					line(1000+100*i+n, "Failed password for invalid user u%d from %s port 40022 ssh2", n%5, attacker(i))
				}
			}
			line(9000+i, "Failed password for backup from 192.168.1.%d port 40022 ssh2", 1+i%3)
			line(9100+i, "Accepted publickey for deploy from 192.168.1.1 port 40022 ssh2: ED25519 SHA256:x")
		}
		if day == 1 {
			line(99, "Accepted password for admin from %s port 40022 ssh2", attacker(1))
			for n := range 60 {
				line(5000+n, "Failed password for root from %s port 40022 ssh2", attacker(1))
			}
		}
		text := b.String()
		if strings.HasSuffix(name, ".gz") {
			text = pack(t, "gzip", text)
		}
		path := write(t, dir, name, text)
		end := at.Add(time.Minute)
		if err := os.Chtimes(path, end, end); err != nil {
			t.Fatal(err)
		}
		names = append(names, path)
	}
	return names
}

// replayConfigs writes the configuration of the daemon, whose state and key nobody may touch, and one that reports less.
func replayConfigs(t *testing.T, dir string) (config, other string) {
	t.Helper()
	common := fmt.Sprintf(`sources: {files: [{path: %[1]s/auth.log, reporter: web1}]}
store: {path: %[1]s/none/state.db}
report: {abuseipdb: {key_file: %[1]s/none/key}}
alerts: {mail: {from: tattled@example.org, to: [admin@example.org], username: x, password_file: %[1]s/none/password}}
web: {listen: "127.0.0.1:0"}
`, dir)
	config = write(t, dir, "tattled.yaml", common)
	other = write(t, dir, "other.yaml", common+"policy:\n"+
		"  - {name: ssh-bruteforce, when: {kind: [auth-failure], service: [sshd]}, threshold: 50, within: 1h, do: [report]}\n"+
		"  - {name: ssh-slow-bruteforce, enabled: false}\n  - {name: ssh-user-enumeration, enabled: false}\n")
	return config, other
}

// The whole: rotated and packed logs in any order, a table within 80 columns, JSON that says the same, and nothing of the daemon's touched.
func TestReplay(t *testing.T) {
	t.Setenv("TZ", "UTC")
	dir := t.TempDir()
	logs := replayLog(t, dir)
	config, other := replayConfigs(t, dir)
	slices.Reverse(logs)
	code, out, errOut := invoke(t, "", append([]string{"replay", "--config", config, "--compare", other, "--quota", "10"}, logs...)...)
	if code != exitOK || errOut != "" {
		t.Fatalf("exit %d: %s", code, errOut)
	}
	for line := range strings.Lines(out) {
		if line = strings.TrimSuffix(line, "\n"); utf8.RuneCountInString(line) > 80 || strings.TrimRight(line, " ") != line {
			t.Errorf("a line has %d columns: %q", utf8.RuneCountInString(line), line)
		}
	}
	for _, want := range []string{
		"2026-11-20        14        10        10         4         0         0\n", "2026-11-21        13        10        10         7         0         1\n",
		"addresses reported     40\n", "private ", "success-after-failures", "only by this one                             39            0\n",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("there is no %q in\n%s", want, out)
		}
	}
	code, out, _ = invoke(t, "", append([]string{"replay", "--json", "--config", config}, logs...)...)
	var got struct {
		daemon.Replayed
		Config string `json:"config"`
	}
	if err := json.Unmarshal([]byte(out), &got); err != nil || code != exitOK {
		t.Fatal(code, err)
	}
	worst := got.Addresses[0]
	if got.Reported != 40 || len(got.Addresses) != 40 || worst.Addr.String() != attacker(1) || worst.After < 60 || worst.LoginsAfter != 1 || len(got.Alerts) != 1 || got.Config != config {
		t.Errorf("%+v", got)
	}
	var total uint64
	for _, a := range got.Addresses {
		total += a.After
	}
	if got.Blocked.Attempts != total || got.Blocked.Of != got.Events {
		t.Errorf("%+v, of the addresses together %d", got.Blocked, total)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 5 {
		t.Errorf("the folder has %v, %v", left, err)
	}
}

// What is wrong is said with file and line, and by the exit code.
func TestReplayWrong(t *testing.T) {
	dir := t.TempDir()
	logs := replayLog(t, dir)
	config, _ := replayConfigs(t, dir)
	packed, err := os.ReadFile(logs[0])
	if err != nil {
		t.Fatal(err)
	}
	damaged := write(t, dir, "cut.gz", string(packed[:len(packed)-30]))
	bad := write(t, dir, "bad.yaml", "sources:\n  files: [{path: /var/log/auth.log}]\npolcy: []\n")
	for _, c := range []struct {
		code int
		want string
		args []string
	}{
		{exitFailure, "cut.gz: after line ", []string{"--config", config, damaged}},
		{exitFailure, "no such file", []string{"--config", config, dir + "/absent"}},
		{exitFailure, "is a directory", []string{"--config", config, dir}},
		{exitConfig, "bad.yaml:3: polcy: no such setting", []string{"--config", bad, logs[1]}},
		{exitConfig, "bad.yaml:3: polcy: no such setting", []string{"--config", config, "--compare", bad, logs[1]}},
		{exitConfig, "none.yaml: no such file", []string{"--config", dir + "/none.yaml", logs[1]}},
		{exitUsage, "is missing", nil},
		{exitUsage, "exclude each other", []string{"--journal", logs[1]}},
		{exitUsage, "--since is for --journal", []string{"--since", "1h", logs[1]}},
		{exitUsage, "is not a time", []string{"--journal", "--since", "yesterday"}},
		{exitUsage, "--quota", []string{"--quota", "-1", logs[1]}},
		{exitUsage, "not a time zone", []string{"--timezone", "Nowhere", logs[1]}},
	} {
		code, out, errOut := invoke(t, "", append([]string{"replay"}, c.args...)...)
		if code != c.code || out != "" || !strings.Contains(errOut, c.want) {
			t.Errorf("%v: exit %d, %q, %s", c.args, code, out, errOut)
		}
	}
}

// Any bytes have an end, and show no control character.
func TestReplayHostile(t *testing.T) {
	config, _ := replayConfigs(t, t.TempDir())
	var in bytes.Buffer
	in.WriteString("\x00\x00\xff\xfe\n\n" + strings.Repeat("A", 1<<20) + "\n<999>x\n{\"time\":\n[] \"\n")
	for i := range 8 {
		fmt.Fprintf(&in, "2026-11-22T05:40:0%dZ web1 sshd[%d]: Failed password for \x1b[31m<b>%d from 45.148.10.7 port 40022 ssh2\n", i, i, i)
	}
	in.WriteString("2026-11-22T05:41:00Z web1 sshd[9]: Accepted password for \x1b[31m\xff<script> from 45.148.10.7 port 40022 ssh2\n")
	in.WriteString("9999-12-31T23:59:59Z web1 sshd[9]: Failed password for x from 45.148.10.8 port 40022 ssh2")
	for _, format := range []string{"--json", "--quota=1000"} {
		code, out, errOut := invoke(t, in.String(), "replay", format, "--config", config, "-")
		if code != exitOK || strings.ContainsAny(out, "\x1b\x00") || !strings.Contains(out, "45.148.10.7") || errOut != "" {
			t.Errorf("%s: exit %d, %s%s", format, code, out, errOut)
		}
	}
	if code, out, errOut := invoke(t, "", "replay", "--config", config, "-"); code != exitOK || !strings.Contains(out, "addresses reported     0") || errOut != "" {
		t.Errorf("an empty log: exit %d, %q, %s", code, out, errOut)
	}
}

// The page needs nothing else, asks nobody, and shows the text of a log as text, in light and in dark.
func TestReplayPage(t *testing.T) {
	dir := t.TempDir()
	config, other := replayConfigs(t, dir)
	var in bytes.Buffer
	for i := range 8 {
		fmt.Fprintf(&in, "2026-11-22T05:40:0%dZ web1 sshd[%d]: Failed password for u%d from 45.148.10.7 port 40022 ssh2\n", i, i, i)
	}
	const account = `"><img src=http://203.0.113.9/x onerror=document.title=1><script>document.title=2</script>`
	fmt.Fprintf(&in, "2026-11-22T05:41:00Z <b>host sshd[9]: Accepted password for %s from 45.148.10.7 port 40022 ssh2\n", account)
	page := filepath.Join(dir, "page.html")
	if code, _, errOut := invoke(t, in.String(), "replay", "--html", page, "--config", config, "--compare", other, "-"); code != exitOK {
		t.Fatalf("exit %d: %s", code, errOut)
	}
	c := newChromium(t, 900, 1400)
	colours := map[string]bool{}
	for _, scheme := range []string{"light", "dark"} {
		c.call("Emulation.setEmulatedMedia", map[string]any{"features": []map[string]string{{"name": "prefers-color-scheme", "value": scheme}}}, nil)
		c.open("file://"+page, `document.title == "tattled replay" && document.readyState == "complete"`)
		colours[c.eval("getComputedStyle(document.body).backgroundColor")] = true
		if *screenshot != "" {
			c.screenshot(strings.TrimSuffix(*screenshot, ".png") + "-replay-" + scheme + ".png")
		}
	}
	if text := c.eval("document.body.innerText"); !strings.Contains(text, "45.148.10.7") || !strings.Contains(text, "onerror=document.title=1") {
		t.Errorf("the page is %s", text)
	}
	if n := c.eval("document.querySelectorAll('script, img, b b').length"); n != "0" || len(colours) != 2 {
		t.Errorf("%s elements of the log's, colours %v", n, colours)
	}
	for _, url := range c.asked() {
		if !strings.HasPrefix(url, "file://"+page) {
			t.Errorf("the page asks for %s", url)
		}
	}
	if faults := c.complaints(); len(faults) > 0 {
		t.Errorf("the page complains: %v", faults)
	}
	if wide := c.eval("document.documentElement.scrollWidth <= innerWidth"); wide != "true" {
		t.Error("the page is wider than the window")
	}
}

// The real daemon that follows the log, and a replay of it, report the same addresses, alert as often, and refuse for the same reasons.
func TestReplayAsTheRunningDaemon(t *testing.T) {
	t.Setenv("TZ", "UTC")
	d, url := newDouble(t)
	dir := t.TempDir()
	log := newAttackLog(6000, 200, 7)
	var b strings.Builder
	began := time.Now().UTC().Add(-time.Duration(len(log.lines)+2000) * 50 * time.Millisecond)
	for i, message := range log.lines {
		at := began.Add(time.Duration(i) * 50 * time.Millisecond)
		fmt.Fprintf(&b, "%s web1 sshd[%d]: %s\n", at.Format("2006-01-02T15:04:05.000000Z07:00"), 1000+i, message)
		switch i % 50 {
		case 7:
			fmt.Fprintf(&b, "%s web1 sshd[%d]: Failed password for root from 192.168.1.%d port 40022 ssh2\n", at.Format(time.RFC3339Nano), 10000+i, i%4)
		case 9:
			fmt.Fprintf(&b, "%s fw1 kernel: [UFW BLOCK] IN=eth0 OUT= MAC= SRC=45.9.20.%d DST=192.0.2.10 LEN=40 TOS=0x00 PREC=0x00 TTL=244 ID=1 PROTO=TCP SPT=40022 DPT=%d WINDOW=1024 RES=0x00 SYN URGP=0 \n", at.Format(time.RFC3339Nano), i%3, 1000+i)
		case 11:
			if i != 3011 && i != 4011 { // where many that got in fail, nobody is reported
				continue
			}
			fmt.Fprintf(&b, "%s web1 sshd[%d]: Accepted password for root from %s port 40022 ssh2\n", at.Format(time.RFC3339Nano), 20000+i, attacker(110+i/1000))
		}
	}
	write(t, dir, "auth.log", b.String())
	config := write(t, dir, "tattled.yaml", fmt.Sprintf(`
sources: {files: [{path: %[1]s/auth.log, start: beginning}]}
trusted: [45.9.20.1]
report: {abuseipdb: {url: %[2]q, rate: 100}}
alerts: {mail: {server: "127.0.0.1:9", from: tattled@example.org, to: [admin@example.org]}}
store: {path: %[1]s/state.db}
web: {listen: "127.0.0.1:0"}
`, dir, url))
	p := startReporting(t, "run", "--config", config).ready()
	eventually(t, time.Minute, "all to be read", func() bool {
		return int(p.metric("tattled_receiver_records_total")) == strings.Count(b.String(), "\n")
	})
	eventually(t, time.Minute, "the reports", func() bool { return len(d.Reports()) >= len(log.over) })
	p.settled()
	code, out, errOut := invoke(t, "", "replay", "--json", "--config", config, dir+"/auth.log")
	var got daemon.Replayed
	if err := json.Unmarshal([]byte(out), &got); err != nil || code != exitOK {
		t.Fatalf("exit %d, %v: %s", code, err, errOut)
	}
	var reports []string
	for _, a := range got.Addresses {
		reports = append(reports, a.Addr.String())
	}
	slices.Sort(reports)
	if diff := cmp.Diff(reported(d), reports); diff != "" {
		t.Errorf("the daemon (-) and the replay (+) report:\n%s", diff)
	}
	same := func(what, metric string, replayed uint64) {
		t.Helper()
		if live := uint64(p.metric(metric)); live != replayed {
			t.Errorf("%s: %d by the daemon, %d by the replay", what, live, replayed)
		}
	}
	refused := map[string]uint64{}
	for _, g := range got.Gate {
		refused[g.Reason] = g.Decisions
	}
	for _, reason := range []string{"private", "unproven", "trusted", "own"} {
		same("refused as "+reason, fmt.Sprintf("tattled_policy_gate_refused_total{reason=%q}", reason), refused[reason])
	}
	for _, policy := range got.Policies {
		same("alerts of "+policy.Name, fmt.Sprintf(`tattled_policy_decisions_total{action="alert",policy=%q}`, policy.Name), policy.Alert)
	}
	if refused["unproven"] == 0 || refused["private"] == 0 || got.Destinations[1].Judged == 0 || got.Trusted == 0 {
		t.Errorf("the log shows too little: %v, %+v", refused, got.Destinations)
	}
	p.stop()
}

// A journal gives what its lines give in a file.
func TestReplayJournal(t *testing.T) {
	journal := newJournal(t)
	helper := buildHelper(t)
	began := time.Now().Add(-72 * time.Hour)
	for i := range 60 {
		journal.sshd(1000+i, began.Add(time.Duration(i)*time.Hour), sshLine(attacker(i%2), i))
		journal.sshd(3000+i, began.Add(time.Duration(i)*time.Hour+time.Second), sshLine(attacker(9), i))
	}
	journal.flush()
	journal.close()
	dir := t.TempDir()
	config := write(t, dir, "tattled.yaml", fmt.Sprintf("sources: {journal: {directory: %s, helper: %s}}\npolicy: [{name: own, when: {kind: [auth-failure]}, threshold: 20, within: 1d, do: [report]}]\n", journal.dir, helper))
	for since, records := range map[string]uint64{"": 120, "35h30m": 46} {
		args := []string{"replay", "--json", "--config", config, "--journal"}
		if since != "" {
			args = append(args, "--since", since)
		}
		code, out, errOut := invoke(t, "", args...)
		var got daemon.Replayed
		if err := json.Unmarshal([]byte(out), &got); err != nil || code != exitOK {
			t.Fatalf("exit %d, %v: %s", code, err, errOut)
		}
		if got.Records != records || got.Reported == 0 || got.Addresses[0].Addr.String() != attacker(9) {
			t.Errorf("%s: %d records, %d reported: %+v", since, got.Records, got.Reported, got.Addresses)
		}
	}
}
