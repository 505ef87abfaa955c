package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Every header that is known on the wire, in files and from journalctl gives the same finding.
func TestMatchHeaders(t *testing.T) {
	const message = "Failed password for root from 203.0.113.5 port 40022 ssh2"
	for name, line := range map[string]string{
		"RFC 3164":              "<38>Nov 22 05:40:00 web1 sshd[123]: " + message,
		"RFC 5424":              `<38>1 2026-11-22T05:40:00.123456+01:00 web1 sshd 123 - [timeQuality tzKnown="1" isSynced="0"] ` + message,
		"RSYSLOG_ForwardFormat": "<38>2026-11-22T05:40:00.123456+01:00 web1 sshd[123]: " + message,
		"traditional file":      "Nov 22 05:40:00 web1 sshd[123]: " + message,
		"RSYSLOG_FileFormat":    "2026-11-22T05:40:00.123456+01:00 web1 sshd[123]: " + message,
		"journalctl short-iso":  "2026-11-22T05:40:00+0100 web1 sshd[123]: " + message,
		"sshd-session":          "Nov 22 05:40:00 web1 sshd-session[123]: " + message,
	} {
		code, out, errOut := invoke(t, line+"\n", "match", "--json", "-")
		if code != exitOK || errOut != "" {
			t.Errorf("%s: exit %d, %s", name, code, errOut)
			continue
		}
		var got map[string]any
		if err := json.Unmarshal([]byte(out), &got); err != nil {
			t.Errorf("%s: %v in %q", name, err, out)
			continue
		}
		if got["time"] == nil {
			t.Errorf("%s: no time", name)
		}
		delete(got, "time")
		program := "sshd"
		if name == "sshd-session" {
			program = name
		}
		want := map[string]any{
			"line_no": 1.0, "host": "web1", "program": program, "pid": "123", "service": "sshd", "rule": "failed-password",
			"kind": "auth-failure", "ip": "203.0.113.5", "port": 40022.0, "proto": "tcp", "user": "root", "handshake": true, "weak": false,
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// TestMatchJSONIsForPeople says that an account with characters that HTML escapes is written as it is.
func TestMatchJSONIsForPeople(t *testing.T) {
	code, out, _ := invoke(t, "Invalid user a<b>&c from 203.0.113.5 port 22\n", "match", "--json", "--program", "sshd", "-")
	if code != exitOK || strings.Count(out, "\n") != 1 || !strings.Contains(out, `"user":"a<b>&c"`) {
		t.Errorf("exit %d: %s", code, out)
	}
}

// What firewalls send is read with the headers that they send it with.
func TestMatchFirewalls(t *testing.T) {
	const (
		pf     = "5,,,1000000103,em0,match,block,in,4,0x0,,244,54321,0,none,6,tcp,40,203.0.113.5,192.0.2.10,40022,23,0,S,1,,1024,,"
		router = "DROP input: in:ether1 out:(unknown 0), connection-state:new src-mac 52:54:00:12:34:56, proto TCP (SYN), 203.0.113.5:40022->192.0.2.10:23, len 40"
		packet = "IN=eth0 OUT= MAC=52:54:00:12:34:56:52:54:00:65:43:21:08:00 SRC=203.0.113.5 DST=192.0.2.10 LEN=40 TOS=0x00 PREC=0x00 TTL=244 ID=54321 PROTO=TCP SPT=40022 DPT=23 WINDOW=1024 RES=0x00 SYN URGP=0 "
	)
	for line, service := range map[string]string{
		"<134>Nov 22 05:40:00 filterlog[1234]: " + pf:                                                           "filterlog", // pfSense names no host
		"Nov 22 05:40:00 gw filterlog[1234]: " + pf:                                                             "filterlog",
		"<134>1 2026-11-22T05:40:00.123456+01:00 gw.example.org filterlog 1234 - - " + pf:                       "filterlog",
		`<134>1 2026-11-22T05:40:00+01:00 OPNsense.example.org filterlog 1234 - [meta sequenceId="4711"] ` + pf: "filterlog",
		"firewall,info " + router:                                                                              "mikrotik", // remote-log-format=default
		"Nov 22 05:40:00 192.0.2.1 firewall,info " + router:                                                    "mikrotik", // the same through rsyslog
		"2026-11-22T05:40:00+01:00 gw firewall,info " + router:                                                 "mikrotik",
		"<30>Nov 22 05:40:00 gw mikrotik: " + router:                                                           "mikrotik", // BSD format, prefix=mikrotik
		"<4>Nov 22 05:40:00 ubnt kernel: [WAN_LOCAL-default-D]" + packet:                                       "netfilter",
		`<13>Nov 22 05:40:00 UDM UDM kernel: [WAN_LOCAL-D-2147483647] DESCR="Block all but Allowed" ` + packet: "netfilter",
		"<4>Nov 22 05:40:00 gw kernel: [10051.313745] DROP(src wan)" + packet:                                  "netfilter",
	} {
		code, out, errOut := invoke(t, line+"\n", "match", "--json", "-")
		var got struct {
			Service, Rule, IP string
			Port              int
		}
		if code != exitOK || errOut != "" || json.Unmarshal([]byte(out), &got) != nil {
			t.Errorf("%s: exit %d, %s%s", line, code, out, errOut)
		} else if got.Service != service || got.Rule != "block" || got.IP != "203.0.113.5" || got.Port != 40022 {
			t.Errorf("%s is %s", line, out)
		}
	}
}

func TestMatchProgram(t *testing.T) {
	code, out, _ := invoke(t, "nothing\nInvalid user x from 203.0.113.5 port 22\n", "match", "--json", "--program", "sshd", "-")
	if code != exitOK || !strings.Contains(out, `"line_no":2`) || !strings.Contains(out, `"ip":"203.0.113.5"`) || strings.Contains(out, `"host"`) {
		t.Errorf("exit %d, %q", code, out)
	}
}

// TestMatchHandshake says that a finding is proven as the daemon would have it that reads the same log: a line without a header may
// be the rest of a message. Whether it is weak is always said.
func TestMatchHandshake(t *testing.T) {
	const sshd, access = "Failed password for root from 203.0.113.5 port 40022 ssh2", `203.0.113.5 - - [22/Nov/2026:10:00:00 +0000] "GET /.env HTTP/1.1" 404 9 "-" "-"`
	for _, c := range []struct {
		in, program string
		handshake   bool
		weak        bool
	}{
		{explainHeader + sshd, "", true, false},
		{sshd, "sshd", false, false},
		{access, "nginx", true, false},
		{"<30>Nov 22 05:40:00 web1 nginx: " + access, "", true, false},
		{explainHeader + "Connection closed by authenticating user dan 203.0.113.5 port 40022 [preauth]", "", true, true},
		{"2026/11/22 10:00:00 [28117] auth failed on module backup from mail.example.net (203.0.113.5) for root: password mismatch", "rsyncd", false, false},
		{"Authentication failure for x from 203.0.113.5", "wordpress", false, false},
	} {
		args := []string{"match", "--json", "-"}
		if c.program != "" {
			args = append(args, "--program", c.program)
		}
		_, out, _ := invoke(t, c.in+"\n", args...)
		for name, want := range map[string]bool{"handshake": c.handshake, "weak": c.weak} {
			if text := fmt.Sprintf("%q:%t", name, want); !strings.Contains(out, text) {
				t.Errorf("%s: no %s in %q", c.in, text, out)
			}
		}
	}
}

// Of a program that no rule knows nothing can be found, and that is said.
func TestMatchUnknownProgram(t *testing.T) {
	for program, says := range map[string]string{
		"ngnix": `note: no rule knows the program "ngnix", so nothing is found in its lines: did you mean nginx?`, "zzzzzz": `knows the program "zzzzzz", so nothing is found in its lines` + "\n",
		"sshd": "", "postfix/smtpd": "",
	} {
		code, out, errOut := invoke(t, "x\n", "match", "--json", "--program", program, "-")
		if code != exitOK || out != "" || (says == "") != (errOut == "") || !strings.Contains(errOut, says) {
			t.Errorf("%s: exit %d, %q, %q", program, code, out, errOut)
		}
	}
}

func TestMatchSummary(t *testing.T) {
	line := "Nov 22 05:40:00 web1 sshd[123]: Failed password for root from 203.0.113.%s port 40022 ssh2\n"
	input := strings.ReplaceAll(line, "%s", "5") + strings.ReplaceAll(line, "%s", "6") + strings.ReplaceAll(line, "%s", "5") +
		"Nov 22 05:40:00 web1 cron[1]: nothing of interest\n"
	code, out, errOut := invoke(t, input, "match", "--summary", "-")
	fields := map[string]string{}
	for l := range strings.Lines(out) {
		if f := strings.Fields(l); len(f) >= 2 {
			fields[f[0]] = f[1]
		}
	}
	want := map[string]string{"lines": "4", "matched": "3", "addresses": "2", "sshd/failed-password": "3"}
	for name, value := range want {
		if fields[name] != value {
			t.Errorf("%s is %q, want %s", name, fields[name], value)
		}
	}
	if code != exitOK || fields["seconds"] == "" || errOut != "" {
		t.Errorf("exit %d, %q\n%s", code, errOut, out)
	}
}

// Whatever the bytes are, there is a clear result, and the line behind them is still seen.
func TestMatchHostileInput(t *testing.T) {
	good := "Nov 22 05:40:00 web1 sshd[123]: Invalid user x from 203.0.113.5 port 40022\n"
	for name, input := range map[string]string{
		"empty":          "",
		"no UTF-8":       "\xff\xfe\x80\x81\n",
		"NULs":           "\x00\x00\x00\n\x00",
		"1 MB line":      strings.Repeat("A", 1<<20) + "\n",
		"1 MB user":      "Nov 22 05:40:00 web1 sshd[1]: Invalid user " + strings.Repeat("x", 1<<20) + " from 192.0.2.1 port 1\n",
		"no end of line": "Nov 22 05:40:00 web1 sshd[1]: nothing",
		"only newlines":  strings.Repeat("\n", 1000),
		"only header":    "<13>\n<13>Nov  1 00:00:00 h\n<999>x\n-1 x\n",
		"CR LF":          "x\r\ny\r\n",
	} {
		lines := strings.Count(input, "\n") + 1
		if input == "" || strings.HasSuffix(input, "\n") {
			lines--
		}
		if !strings.HasSuffix(input, "\n") && input != "" {
			input += "\n"
		}
		var first struct {
			LineNo int `json:"line_no"`
		}
		code, out, errOut := invoke(t, input+good, "match", "--json", "-")
		if err := json.Unmarshal([]byte(out), &first); err != nil || code != exitOK || errOut != "" {
			t.Errorf("%s: exit %d, %v, %q, %.200q", name, code, err, errOut, out)
		} else if first.LineNo != lines+1 {
			t.Errorf("%s: the line behind it is line %d, want %d", name, first.LineNo, lines+1)
		}
	}
	if code, out, errOut := invoke(t, "", "match", "--json", "-"); code != exitOK || out != "" || errOut != "" {
		t.Errorf("empty input: exit %d, %q, %q; want 0 and nothing", code, out, errOut)
	}
	if code, _, errOut := invoke(t, "", "match", "--json", "/nonexistent"); code != exitFailure || !strings.Contains(errOut, "/nonexistent") {
		t.Errorf("missing file: exit %d, %q", code, errOut)
	}
	if code, _, errOut := invoke(t, "", "match", t.TempDir()); code != exitFailure || !strings.Contains(errOut, "directory") {
		t.Errorf("a directory: exit %d, %q", code, errOut)
	}
}

// Text that a peer chose comes out as data: valid JSON, one object a line, no control byte.
func TestMatchJSONIsSafe(t *testing.T) {
	input := "Nov 22 05:40:00 web1 sshd[123]: Invalid user \x1b[31m\"\\\xff\u2028<b>\x07 from 203.0.113.5 port 40022\n"
	_, out, _ := invoke(t, input, "match", "--json", "-")
	if !json.Valid([]byte(out)) || strings.Count(out, "\n") != 1 {
		t.Errorf("not one line of JSON: %q", out)
	}
	if i := bytes.IndexFunc([]byte(out), func(r rune) bool { return r < ' ' && r != '\n' || r == 0x7f }); i >= 0 {
		t.Errorf("a control byte at %d in %q", i, out)
	}
	if !strings.Contains(out, `"ip":"203.0.113.5"`) {
		t.Errorf("no finding in %q", out)
	}
}
