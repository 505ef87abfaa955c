package main

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode"
)

const explainHeader = "Nov 22 05:40:00 web1 sshd[123]: "

// explainConfig is a configuration that disables a rule and trusts a network and a proxy.
const explainConfig = `sources:
  files: [{path: /var/log/shared.log, trust: count}, {path: /var/log/auth.log}, {path: /var/log/form.log, program: nginx, form: '$host - $remote_addr [$time_local] "$request" $status $body_bytes_sent'}]
  syslog: [{listen: "udp://0.0.0.0:514", allow: [192.0.2.0/24]}, {listen: "udp://0.0.0.0:515", allow: [192.0.2.0/24], trust: report}, {listen: "tcp://0.0.0.0:514", allow: [192.0.2.0/24]}, {listen: "unix:///run/x/log"}]
rules: {disable: [sshd/invalid-user], trusted_proxies: [192.0.2.1]}
trusted: [8.8.4.0/24]
policy_defaults: false
policy:
  - {name: one, when: {kind: [auth-failure], source: ["file:/var/log/shared.log"]}, threshold: 3, within: 10m, do: [report]}
  - {name: ban, when: {kind: [firewall-block]}, reputation: {min_score: 20, max_age: 30d}, do: [alert]}
  - {name: clean, when: {kind: [firewall-block]}, reputation: {max_score: 0}, do: [alert]}
`

// hostFirst is a line of a log whose form is declared for one source.
const hostFirst = `198.51.100.66 - 45.148.10.1 [22/Nov/2026:10:00:00 +0000] "GET /.env HTTP/1.1" 404 5`

// TestExplain says what is told first for each sort of verdict, and what must stand below it.
func TestExplain(t *testing.T) {
	config := write(t, t.TempDir(), "tattled.yaml", explainConfig)
	for _, c := range []struct {
		line  string
		args  []string
		first string
		below []string
	}{
		{explainHeader + "Failed password for root from 45.148.10.1 port 40022 ssh2", nil, "MATCHED: sshd/failed-password, auth-failure by 45.148.10.1; it counts for ssh-bruteforce,",
			[]string{"rfc3164, ", "host web1, program sshd, pid 123", "sshd.yaml:", `user "root"`, "it may lead to a report", "5 events within 10m, then report", "5 different users within 1h", "port-scan (kind)"}},
		{explainHeader + "Failed password for root from 10.1.2.3 port 40022 ssh2", nil, "MATCHED: ", []string{"but is not reported, because the address is not a public one (private)"}},
		{explainHeader + "Accepted password for root from 10.1.2.3 port 40022 ssh2", nil, "MATCHED: sshd/accepted", []string{
			"but nobody is alerted, because the address is not a public one (private), and success-after-failures has no private: true",
			"no report and no lookup of a score, and no alert but by policies with private: true, because the address is not a public one (private)",
		}},
		{explainHeader + "Failed password for root from 66.249.66.1 port 40022 ssh2", nil, "MATCHED: ", []string{"but is not reported, because the address is Googlebot, which asks for what others link to (list googlebot of 20"}},
		{explainHeader + "Failed password for root from 172.64.1.1 port 40022 ssh2", nil, "MATCHED: ", []string{"but is not reported, because the address is a network of Cloudflare that many share (list cloudflare of 20"}},
		{`198.51.100.66, 203.0.113.5 - - [22/Nov/2026:10:00:00 +0000] "GET /.env HTTP/1.1" 404 5`, []string{"--program", "nginx"}, `REFUSED: web-access/secrets describes it, but several addresses are where the peer should be ("198.51.100.66, 203.0.113.5")`, nil},
		{explainHeader + "Failed password for root from host.example port 40022 ssh2", nil, `REFUSED: sshd/failed-password describes it, but it has the name "host.example"`, []string{`peer "host.example"`}},
		{explainHeader + "Failed password for root from 203.0.113.05 port 40022 ssh2", nil, `REFUSED: sshd/failed-password describes it, but "203.0.113.05", in place of the address`, nil},
		{explainHeader + `Failed hostbased for dan from 203.0.113.5 port 45785 ssh2: RSA SHA256:AAAA, client user "x from 198.51.100.9 port 22 ssh2: RSA SHA256:BBBB, client user "y", client host "h"`, nil,
			"REFUSED: sshd/offered describes it, but it can be read in more than one way", []string{`"203.0.113.5" and "198.51.100.9"`, "reading 2", "Failed hostbased for <user>"}},
		{explainHeader + "Failed password for root from 203.0.113.5 port 40022 ssh3", nil, "IGNORED: no rule of sshd describes it",
			[]string{"40022 ssh3\n" + strings.Repeat(" ", 12+len("Failed password for root from 203.0.113.5 port 40022 ssh")) + `^ here it expects "2"`}},
		{"Nov 22 05:40:00 web1 ssdh[123]: Invalid user x from 203.0.113.5 port 1", nil, `IGNORED: no rule file knows the program "ssdh"; did you mean sshd?`, []string{"as a line of the program sshd it would be matched by sshd/invalid-user"}},
		{"Invalid user x from 203.0.113.5 port 1", nil, "IGNORED: it has no known header", []string{"--program", "as a line of the program sshd"}},
		{"Invalid user x from 45.148.10.1 port 1", []string{"--program", "sshd"}, "MATCHED: sshd/invalid-user", []string{"none expected; program sshd"}},
		{"[UFW BLOCK] IN=eth0 OUT=eth1 SRC=45.148.10.1 DST=192.0.2.1 LEN=40 PROTO=TCP SPT=1 DPT=23 SYN URGP=0 ", []string{"--program", "kernel"}, "MATCHED: netfilter/block", []string{`OUT "eth1"`, "port-scan (direction)", "tcp, direction forward"}},
		{"[UFW BLOCK] IN= OUT=eth1 SRC=45.148.10.1 DST=192.0.2.1 LEN=40 PROTO=TCP SPT=1 DPT=23 SYN URGP=0 ", []string{"--program", "kernel"}, "IGNORED: no rule of netfilter", []string{"describes it: the packet did not come in"}},
		{explainHeader + "Failed password for root from 45.148.10.1 port 40022 ssh2", nil, "MATCHED", []string{"takes it back within 10m (so many at once: ssh-bruteforce (5), ssh-slow-bruteforce (5)"}},
		{explainHeader + "Accepted password for dan from 45.148.10.1 port 40022 ssh2", nil, "MATCHED", []string{"ssh-bruteforce: it takes back up to 5 failures of the account"}},
		{explainHeader + "Received disconnect from 45.148.10.1 port 40022:11: Bye Bye [preauth]", nil, "MATCHED: sshd/disconnect", []string{"flood: it is counted", "ssh-bruteforce (strength)"}},
		{"LOGIN FAILED, user=info, ip=[::ffff:45.148.10.1]", []string{"--program", "imapd"}, "MATCHED: courier/", []string{"10 events within 10m with at least 3 different users"}},
		{"[UFW BLOCK] IN=eth0 OUT= SRC=45.148.10.1 DST=192.0.2.1 LEN=40 PROTO=TCP SPT=1 DPT=443 WINDOW=1 SYN URGP=0 ", []string{"--program", "kernel"}, "MATCHED: netfilter/block, firewall-block by 45.148.10.1; it counts against nobody", nil},
		{"[UFW BLOCK] IN=eth0 OUT= SRC=45.148.10.1 DST=192.0.2.1 LEN=40 PROTO=UDP SPT=1 DPT=53 LEN=9 ", []string{"--program", "kernel"}, "MATCHED: netfilter/block, firewall-block by 45.148.10.1; it counts for port-scan, but is not reported, because a sender address is easily forged with udp", nil},
		{explainHeader + "Invalid user x from 45.148.10.1 port 1", []string{"--config", config}, "IGNORED: the configuration disables sshd/invalid-user", []string{config}},
		{explainHeader + "Failed none for root from 8.8.4.4 port 1 ssh2", []string{"--config", config}, "MATCHED: sshd/offered, probe by 8.8.4.4; nothing follows, because the address is in a trusted network", nil},
		{explainHeader + "Failed password for root from 45.148.10.1 port 1 ssh2", []string{"--config", config}, "MATCHED: sshd/failed-password, auth-failure by 45.148.10.1; no policy counts it", []string{"one (source)"}},
		{explainHeader + "Failed password for root from 45.148.10.1 port 1 ssh2", []string{"--config", config, "--source", "file:/var/log/shared.log"},
			"MATCHED: sshd/failed-password, auth-failure by 45.148.10.1; it counts for one, but is not reported, because anybody could have forged", nil},
		{explainHeader + "Failed password for root from 45.148.10.1 port 1 ssh2", []string{"--config", config, "--source", "udp://0.0.0.0:514"},
			"MATCHED: ", []string{"no report, because anybody could have forged the record on its way here"}},
		{explainHeader + "Failed password for root from 45.148.10.1 port 1 ssh2", []string{"--config", config, "--source", "udp://0.0.0.0:515"},
			"MATCHED: ", []string{"it may lead to a report, as a record of a source with trust: report"}},
		{explainHeader + "Failed password for root from 45.148.10.1 port 1 ssh2", []string{"--config", config, "--source", "tcp://0.0.0.0:514"},
			"MATCHED: ", []string{"it may lead to a report if its sender is one that allow names and is not this machine\n"}},
		{explainHeader + "Failed password for root from 45.148.10.1 port 1 ssh2", []string{"--config", config, "--source", "unix:///run/x/log"},
			"MATCHED: ", []string{"it may lead to a report if root or the system user syslog wrote it to the socket\n"}},
		{"[UFW BLOCK] IN=eth0 OUT= SRC=45.148.10.1 DST=192.0.2.1 LEN=40 PROTO=UDP SPT=1 DPT=53 LEN=9 ", []string{"--config", config, "--program", "kernel"},
			"MATCHED: netfilter/block", []string{"ban: it is counted; 1 event, then alert if its score at AbuseIPDB is 20 to 100\n", "then alert if its score at AbuseIPDB is 0\n"}},
		{`192.0.2.1 - - [22/Nov/2026:10:00:00 +0000] "GET /.env HTTP/1.1" 404 5 "-" "x" "unknown"`, []string{"--config", config, "--program", "nginx"},
			`REFUSED: web-access/secrets describes it, but it is from the trusted proxy "192.0.2.1", and its X-Forwarded-For`, nil},
		{hostFirst, []string{"--config", config, "--program", "nginx"}, "REFUSED: web-access/secrets describes it, but it can be read in more than one way", nil},
		{hostFirst, []string{"--config", config, "--program", "nginx", "--source", "/var/log/form.log"}, "MATCHED: web-access/secrets, web-attack by 45.148.10.1", []string{`peer "45.148.10.1"`, `vhost "198.51.100.66"`}},
		{hostFirst, []string{"--config", config, "--program", "nginx", "--source", "file:/var/log/form.log"}, "MATCHED: web-access/secrets, web-attack by 45.148.10.1", nil},
		{hostFirst + ` "-"`, []string{"--config", config, "--program", "nginx", "--source", "/var/log/form.log"}, "REFUSED: it is not of the form that the configuration declares for its source (form:)",
			[]string{"web-access: it is not of the form that is declared for its log: $host - $remote_addr ["}},
		{explainHeader + "Failed password for root from 45.148.10.1 port 1 ssh2", []string{"--config", config, "--source", "/var/log/form.log"}, "MATCHED: sshd/failed-password", nil},
		{"Failed password for root from 45.148.10.1 port 1 ssh2", []string{"--program", "sshd"}, "MATCHED: sshd/failed-password", []string{"no completed handshake proves the address"}},
		{"Failed password for root from 45.148.10.1 port 1 ssh2", []string{"--program", "sshd", "--source", "journal"}, "MATCHED: sshd/failed-password", []string{"it may lead to a report"}},
		{"", nil, "IGNORED: it has no known header", nil},
	} {
		args := append([]string{"explain", c.line}, c.args...)
		code, out, errOut := invoke(t, "", args...)
		if code != exitOK || errOut != "" || !strings.HasPrefix(out, c.first) {
			t.Errorf("%q: exit %d, %s\n%s\nwant %s", c.line, code, errOut, out, c.first)
		}
		for _, want := range c.below {
			if !strings.Contains(out, want) {
				t.Errorf("%q: no %q in\n%s", c.line, want, out)
			}
		}
	}
}

// TestExplainJSON says that each line of standard input is explained, in one object a line.
func TestExplainJSON(t *testing.T) {
	in := explainHeader + "Failed password for root from 203.0.113.5 port 40022 ssh2\n\n" + explainHeader + "Failed password for root"
	code, out, errOut := invoke(t, in, "explain", "--json", "-")
	lines := strings.Split(strings.TrimSpace(out), "\n")
	if code != exitOK || errOut != "" || len(lines) != 3 {
		t.Fatalf("exit %d, %s\n%s", code, errOut, out)
	}
	var all [3]answer
	for i, line := range lines {
		if err := json.Unmarshal([]byte(line), &all[i]); err != nil {
			t.Fatal(err)
		}
	}
	first, last := all[0], all[2]
	if first.LineNo != 1 || first.Verdict != "matched" || first.IP != "203.0.113.5" || first.Rule != "sshd/failed-password" || first.User != "root" ||
		first.Gate == nil || first.Gate.Report || first.Gate.Refusal != "documentation" || len(first.Policies) == 0 || first.Policies[0].Within != "10m" {
		t.Errorf("%+v", first)
	}
	if all[1].Verdict != "ignored" || last.LineNo != 3 || last.Nearest == nil || last.Nearest.Expected != `" from "` || last.Nearest.At != len("Failed password for root") {
		t.Errorf("%+v", last)
	}
}

// TestExplainCut says that a line of an access log which is cut after its status, or within its query, is explained as the daemon judges it.
func TestExplainCut(t *testing.T) {
	const front = `45.148.10.1 - - [22/Nov/2026:10:00:00 +0000] "GET /.env`
	long := strings.Repeat(`\x22`, 5000)
	for line, want := range map[string]string{
		front + ` HTTP/1.1" 404 5 "-" "` + long:             "MATCHED: web-access/secrets, web-attack by 45.148.10.1",
		front + "?" + long + ` HTTP/1.1" 404 5 "-" "-"`:     "MATCHED: web-access/secrets, web-attack by 45.148.10.1", // the path is whole
		front + long + ` HTTP/1.1" 404 5 "-" "-"`:           "REFUSED: it is longer than tattled takes",
		"Invalid user " + long + " from 45.148.10.1 port 1": "REFUSED: it is longer than tattled takes",
	} {
		code, out, errOut := invoke(t, line+"\n", "explain", "--program", "nginx", "-")
		if code != exitOK || errOut != "" || !strings.HasPrefix(out, want) {
			t.Errorf("%.80s: exit %d, %s\n%.300s\nwant %s", line, code, errOut, out, want)
		}
	}
}

// TestExplainIsHarmless says that no text of a log reaches a terminal as anything but text.
func TestExplainIsHarmless(t *testing.T) {
	line := "Nov 22 05:40:00 we\x1bb1 s\x1b]0;shd: Failed \u202epass\u009bword for \x1b[31mroot\xff\x07 from 203.0.113.5 port 40022 ssh3\x1b"
	for _, args := range [][]string{{"explain", line}, {"explain", "--program", "sshd", line}, {"explain", "--json", line}, {"explain", "--program", "s\x1bhd", "x"}} {
		_, out, _ := invoke(t, "", args...)
		for _, c := range out {
			if c != '\n' && unicode.IsControl(c) || c == '\u202e' || c == unicode.ReplacementChar && args[1] != "--json" {
				t.Errorf("%q writes %q:\n%q", args, c, out)
			}
		}
	}
	code, out, _ := invoke(t, strings.Repeat("A", 1<<20)+"\n"+explainHeader+"x\n", "explain", "--json", "-")
	if code != exitOK || strings.Count(out, "\n") != 2 || !strings.Contains(out, "longer than") {
		t.Errorf("a long line: exit %d, %d bytes", code, len(out))
	}
}

// What cannot be seen is shown as an escape by every command that shows a line: zero-width and bidirectional characters, fillers
// and tags.
func TestNothingIsHidden(t *testing.T) {
	const hidden = "a\u200bb\u200ec\u2066d\u3164e\u2800f\uffa0g\u00adh\ufe0fi\u034fj\U000e0041k\u202el"
	line := explainHeader + "Failed password for invalid user " + hidden + " from 45.148.10.1 port 40022 ssh2"
	for _, args := range [][]string{{"explain", line}, {"explain", "--json", line}, {"match", "-"}, {"match", "--json", "-"}} {
		code, out, errOut := invoke(t, line+"\n", args...)
		if code != exitOK || errOut != "" {
			t.Fatalf("%q: exit %d, %s", args[:2], code, errOut)
		}
		for _, c := range out {
			if c > '~' {
				t.Errorf("%q shows %U as itself", args[:len(args)-1], c)
			}
		}
		if !strings.Contains(out, `a\u200bb\u200ec\u2066d\u3164e\u2800f\uffa0g\u00adh\ufe0fi\u034fj`) {
			t.Errorf("%q: no escapes in\n%s", args[:len(args)-1], out)
		}
	}
}

func TestExplainUsage(t *testing.T) {
	if code, _, _ := invoke(t, "", "explain"); code != exitUsage {
		t.Errorf("without a line: exit %d", code)
	}
	if code, _, errOut := invoke(t, "", "explain", "--config", "/nonexistent.yaml", "x"); code != exitConfig || !strings.Contains(errOut, "/nonexistent.yaml") {
		t.Errorf("without its configuration: exit %d, %s", code, errOut)
	}
	config := write(t, t.TempDir(), "tattled.yaml", explainConfig)
	for _, args := range [][]string{{"--config", config}, nil} {
		code, out, errOut := invoke(t, "", append([]string{"explain", "--source", "bogus", explainHeader + "x"}, args...)...)
		if code != exitUsage || out != "" || !strings.Contains(errOut, `"bogus"`) || args != nil && !strings.Contains(errOut, "it has file:/var/log/shared.log, file:/var/log/auth.log") {
			t.Errorf("of a source that is not there: exit %d, %s%s", code, out, errOut)
		}
	}
	if code, _, _ := invoke(t, "", "explain", "--timezone", "Mars/North", "x"); code != exitUsage {
		t.Errorf("without a zone: exit %d", code)
	}
}
