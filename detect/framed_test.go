package detect

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
)

// Whom a line is from, and whom its sender would like to be blamed instead.
const (
	truePeer = "203.0.113.5"
	framed1  = "198.51.100.66"
)

// framedCase is a line with which somebody tried to have another one blamed, or not to be counted.
type framedCase struct {
	program, line string
	want          string // "rule address" of a match, with a ? before it where nothing proves the address; else the refusal, or ""
}

// judgeFramed says what the built-in rules make of the cases.
func judgeFramed(t *testing.T, cases []framedCase) {
	t.Helper()
	r := load(t, Options{})
	for _, c := range cases {
		var f Finding
		got := ""
		switch r.Detect([]byte(c.program), []byte(c.line), &f) {
		case Matched:
			got = f.Rule.Name + " " + f.Addr.String()
			if !f.Handshake() {
				got = "?" + got
			}
		case Refused:
			got = f.Refusal.String()
		}
		if got != c.want {
			t.Errorf("%s: %s\nis %q, not %q", c.program, c.line, got, c.want)
		}
		if f.Addr == netip.MustParseAddr(framed1) && c.want == got && got != "" && got[0] != '?' && f.Refusal == NotRefused && f.Rule != nil {
			t.Errorf("the case itself blames %s", framed1)
		}
	}
}

// TestFramedByColumn has logs whose first columns are not what the common form has there. Nobody is blamed whom a client named.
func TestFramedByColumn(t *testing.T) {
	const at, get = ` [22/Nov/2026:10:00:00 +0000] `, `"GET /.env HTTP/1.1" 404 9 "-" "-"`
	judgeFramed(t, []framedCase{
		// nginx: log_format '$host - $remote_addr [$time_local] ..', and the Host header is an address
		{"nginx", "198.51.100.66 - 203.0.113.5" + at + get, "ambiguous"},
		{"nginx", "198.51.100.66 - 203.0.113.5 - -" + at + get, "ambiguous"},
		{"nginx", "198.51.100.66 - 2001:db8::5" + at + get, "ambiguous"},
		// '$host - $remote_user $remote_addr', '$host - - $remote_addr', and others of which the peer ends the user's column
		{"nginx", "198.51.100.66 - x 203.0.113.5" + at + get, "ambiguous"},
		{"nginx", "198.51.100.66 - - 203.0.113.5" + at + get, "ambiguous"},
		{"nginx", "198.51.100.66 - - - 203.0.113.5:40022" + at + get, "ambiguous"},
		{"nginx", "198.51.100.66 - (203.0.113.5)" + at + get, "ambiguous"},
		{"nginx", "198.51.100.66 - a b=2001:db8::5" + at + get, "ambiguous"},
		// '$remote_addr:$remote_port $host - ': the peer is the first
		{"nginx", "203.0.113.5:40022 198.51.100.66 - -" + at + get, "?secrets 198.51.100.66"},
		{"nginx", "[2001:db8::5] 198.51.100.66 - -" + at + get, "?secrets 198.51.100.66"},
		{"nginx", "198.51.100.66 - [2001:db8::5]:40022" + at + get, "ambiguous"},
		{"nginx", "198.51.100.66 - 203.0.113.5:40022 dan" + at + get, "ambiguous"},
		{"nginx", "198.51.100.66 - 203.0.113.5, 192.0.2.7" + at + get, "ambiguous"},
		{"nginx", "198.51.100.66 - crawler.example.org - -" + at + get, "ambiguous"},
		{"nginx", "www.example.org - 203.0.113.5" + at + get, "ambiguous"},
		// A user that cannot be a peer moves nothing
		{"nginx", "203.0.113.5 - a - b" + at + get, "secrets 203.0.113.5"},
		{"nginx", "203.0.113.5 - - - -" + at + get, "secrets 203.0.113.5"},
		{"nginx", "203.0.113.5 - dan.smith" + at + get, "secrets 203.0.113.5"},
		{"nginx", "203.0.113.5 - 203.0" + at + get, "secrets 203.0.113.5"},
		{"nginx", "203.0.113.5 - 1:2" + at + get, "secrets 203.0.113.5"},
		{"nginx", "203.0.113.5 - dan@example.org" + at + get, "secrets 203.0.113.5"},
		// log_format '$host $remote_addr - $remote_user ..': a request to the bare address. But Apache's '%h %{X-Forwarded-For}i %l %u'
		// looks alike, and there a client wrote the second column: it is counted and proves nothing.
		{"nginx", "192.0.2.10 203.0.113.5 - -" + at + get, "?secrets 203.0.113.5"},
		{"nginx", "192.0.2.10 2001:db8::5 - -" + at + get, "?secrets 2001:db8::5"},
		{"nginx", "192.0.2.10:443 203.0.113.5 - -" + at + get, "secrets 203.0.113.5"},
		{"apache2", "198.51.100.66, 192.0.2.7 203.0.113.5 - -" + at + get, "?secrets 203.0.113.5"},
		{"lighttpd", "203.0.113.5 198.51.100.66 -" + at + get, ""},
		{"lighttpd", "203.0.113.5 198.51.100.66 dan" + at + get, ""},
	})
}

// TestFramedBySibling has lines of a sort that no rule describes, each with all of a line that one does in what its peer wrote.
func TestFramedBySibling(t *testing.T) {
	judgeFramed(t, []framedCase{
		// Dovecot 2.3: an authorisation identity, with a master passdb; 2.4: the algorithm that a token names
		{"dovecot", "auth: Info: plain(ann,203.0.113.5,<Y5mbdnNh5sZ/AAAB>): login user: Username character disallowed by auth_username_chars: 0x28 (username: a(b,198.51.100.66): unknown user)", "ambiguous"},
		{"dovecot", "auth(ann,203.0.113.5,sasl:oauthbearer)<Y5mbdnNh5sZ/AAAB>: oauth2 failed: Local validation failed: unsupported algorithm 'a,198.51.100.66,sasl:plain): sql: unknown user'", "ambiguous"},
		// login_log_format_elements with more in it, in another order, and without what is last by default
		{"dovecot", "imap-login: Info: Disconnected: Connection closed (auth failed, 1 attempts in 0 secs): user=<a>, method=PLAIN, rip=198.51.100.66, lip=192.0.2.10, TLS: b>, method=PLAIN, rip=203.0.113.5, rport=60196, lip=127.0.0.1, lport=993, secured, session=<Y5mbdnNh5sZ/AAAB>", "ambiguous"},
		{"dovecot", "imap-login: Disconnected (auth failed, 1 attempts in 2 secs): rip=203.0.113.5, lip=192.0.2.10, user=<: user=<a>, method=PLAIN, rip=198.51.100.66, lip=192.0.2.10, session=<b>", "ambiguous"},
		{"dovecot", "imap-login: Login: user=<a>, method=PLAIN, rip=198.51.100.66, lip=192.0.2.10, TLS, b with cipher c>, method=PLAIN, rip=203.0.113.5", "ambiguous"},
		{"smbd", "  Auth: [DCE/RPC,(null)] user [a] at [Sun, 22 Nov 2026 10:00:00.123456 UTC] with [NTLMv2] status [NT_STATUS_WRONG_PASSWORD] workstation [b] remote host [ipv4:198.51.100.66:1] mapped to [c]\\[] at [Sun, 22 Nov 2026 10:00:00.123456 UTC] with [NTLMv2] status [NT_STATUS_OK] workstation [DESK] remote host [ipv4:203.0.113.5:45321] became [NT AUTHORITY]\\[ANONYMOUS LOGON] [S-1-5-7]. local host [ipv4:192.0.2.1:49152] ", "ambiguous"},
		{"sshd", "Disconnecting authenticating user root 203.0.113.5 port 44004: a reason of tomorrow 198.51.100.66 port 22: Too many authentication failures [preauth]", "ambiguous"},
		// The same without
		{"dovecot", "imap-login: Disconnected: Connection closed (auth failed, 1 attempts in 2 secs): user=<ann>, method=PLAIN, rip=203.0.113.5, lip=192.0.2.10, TLS: Connection closed, session=<Y5mbdnNh5sZ/AAAB>", "auth-failed 203.0.113.5"},
		// A worker may leave the mechanism out, so that "master" may be the peer's name, and the rest the account
		{"dovecot", "auth-worker(ann,203.0.113.5,sasl:plain,master)<4711><Y5mbdnNh5sZ/AAAB>: request [7]: sql: Password mismatch", "ambiguous"},
		{"dovecot", "auth-worker(x??auth(info,198.51.100.66,sasl:plain)<x3ahowoi9up/aaab>: passwd...,203.0.113.5)<31><QnJFc4FhDZRbyAxC>: request [15]: pam: pam_authenticate() failed: Authentication failure (Password mismatch?)", "ambiguous"},
	})
}

// TestNamesInAccessLog says that a web server's log with a name in its first column is told of, whatever the line says: names
// are looked up there, so that what looks like an address may be the name that a peer gave itself, or the first column is
// a header.
func TestNamesInAccessLog(t *testing.T) {
	r := load(t, Options{})
	for line, want := range map[string]bool{
		`crawler.example.org - - [22/Nov/2026:10:00:00 +0000] "GET / HTTP/1.1" 200 9 "-" "-"`:       true,
		`crawler.example.org - - [22/Nov/2026:10:00:00 +0000] "GET /.env HTTP/1.1" 404 9 "-" "-"`:   true,
		`unknown - - [22/Nov/2026:10:00:00 +0000] "GET / HTTP/1.1" 200 9 "-" "-"`:                   true,
		`www.example.org - 203.0.113.5 [22/Nov/2026:10:00:00 +0000] "GET / HTTP/1.1" 200 9`:         true,
		`203.0.113.5 - - [22/Nov/2026:10:00:00 +0000] "GET / HTTP/1.1" 200 9 "-" "-"`:               false,
		`2001:db8::beef - - [22/Nov/2026:10:00:00 +0000] "GET / HTTP/1.1" 200 9 "-" "-"`:            false,
		`unix: - - [22/Nov/2026:10:00:00 +0000] "GET / HTTP/1.1" 200 9 "-" "-"`:                     false,
		`- - - [22/Nov/2026:10:00:00 +0000] "GET / HTTP/1.1" 200 9 "-" "-"`:                         false,
		`www.example.org:443 203.0.113.5 - - [22/Nov/2026:10:00:00 +0000] "GET / HTTP/1.1" 200 9`:   false,
		`www.example.org 203.0.113.5 - - [22/Nov/2026:10:00:00 +0000] "GET /.env HTTP/1.1" 404 9`:   false,
		`crawler.example.org - - "GET / HTTP/1.1" 200 9 "-" "-"`:                                    false,
		`www.example.org crawler.example.org - - [22/Nov/2026:10:00:00 +0000] "GET / HTTP/1.1" 200`: false,
	} {
		var f Finding
		r.Detect([]byte("apache2"), []byte(line), &f)
		if f.Raw != want {
			t.Errorf("%s: raw is %v", line, f.Raw)
		}
	}
}

// TestEvasion has what attackers write so that a request is not counted.
func TestEvasion(t *testing.T) {
	const peer, end = `203.0.113.5 - - [22/Nov/2026:10:00:00 +0000] "GET `, ` HTTP/1.1" 404 9 "-" "-"`
	const secrets = "secrets 203.0.113.5"
	judgeFramed(t, []framedCase{
		{"nginx", peer + "/blob/../.env" + end, secrets},
		{"nginx", peer + "/./.env" + end, secrets},
		{"nginx", peer + "/a/b/../../.env" + end, secrets},
		{"nginx", peer + "//.env" + end, secrets},
		{"nginx", peer + "/%2eenv" + end, secrets},
		{"nginx", peer + "/tree/%2e%2e/%2eenv" + end, secrets},
		{"nginx", peer + "/tree/..%2f.env" + end, secrets},
		{"nginx", peer + "/tree%2f..%2f.env" + end, secrets},
		{"nginx", peer + "/tree/../vendor/phpunit/phpunit/src/Util/PHP/eval-stdin.php" + end, "exploit 203.0.113.5"},
		{"nginx", peer + "/../.env" + end, secrets},
		{"nginx", peer + "/blob/.env" + end, "not-found 203.0.113.5"},
		{"nginx", peer + "/x/../blob/.env" + end, "not-found 203.0.113.5"},
		{"nginx", `203.0.113.5 - x [22/Nov/2026:10:00:00 +0000] "GET /phpmyadmin/` + end, "application-probe 203.0.113.5"},
		{"nginx", `{"remote_addr":"203.0.113.5","request_method":"GET","request_uri":"/blob/../.env","status":"404","http_user_agent":"x"}`, secrets},
		{"nginx", `{"remote_addr":"203.0.113.5","request_method":"GET","request_uri":"/.env","status":"200","http_user_agent":"a\x22b"}`, secrets},
		{"nginx", `{"remote_addr":"203.0.113.5","request_method":"GET","request_uri":"/phpmyadmin/","status":"404","http_user_agent":"x"}`, "application-probe 203.0.113.5"},
		{"nginx", `{"remote_addr":"203.0.113.5","http_user_agent":"a\x22,\x22remote_addr\x22:\x22198.51.100.66","request_method":"GET","request_uri":"/.env","status":"404"}`, secrets},
		{"nginx", `{"remote_addr":"203.0.113.5","request_method":"GET","request_uri":"/.env","status":"404","http_user_agent":"a\xZZ"}`, ""},
		{"haproxy", `203.0.113.5:40022 [22/Nov/2026:10:00:00.123] fe be/s 0/0/1/2/3 200 196 - - ---- 1/1/0/0/0 0/0 "GET /%2eenv HTTP/1.1"`, secrets},
		{"haproxy", `203.0.113.5:40022 [22/Nov/2026:10:00:00.123] fe be/s 0/0/1/2/3 200 196 - - ---- 1/1/0/0/0 0/0 "GET /a/../.env HTTP/1.1"`, secrets},
		{"haproxy", `[2001:db8::5]:40022 [22/Nov/2026:10:00:00.123] fe be/s 0/0/1/2/3 200 196 - - ---- 1/1/0/0/0 0/0 {198.51.100.66:1 [22/Nov/2026:10:00:00.123] #22GET /} "GET //.env HTTP/1.1"`, "secrets 2001:db8::5"},
	})
}

// TestFramedByShadow has objects of which a client wrote a part, as nginx lets it with escape=none.
func TestFramedByShadow(t *testing.T) {
	judgeFramed(t, []framedCase{
		{"nginx", `{"ua":"a","remote_addr":"198.51.100.66","request_uri":"/.env","request_method":"GET","status":404,"y":{"z":"b","remote_addr":"203.0.113.5","request_method":"GET","request_uri":"/x","status":404,"ref":"c"},"w":"d"}`, "ambiguous"},
		{"nginx", `{"ua":"a","remote_addr":"198.51.100.66","request_uri":"/.env","request_method":"GET","status":404,"y":[{"z":[{"remote_addr":"203.0.113.5"}]}]}`, "ambiguous"},
		{"nginx", `{"x":{"remote_addr":"203.0.113.5","ua":"a"},"remote_addr":"198.51.100.66","request_uri":"/.env","request_method":"GET","status":404}`, "ambiguous"},
		{"nginx", `{"ua":"a","remote_addr":"198.51.100.66","request_uri":"/.env","request_method":"GET","status":404,"ua":"b","remote_addr":"203.0.113.5"}`, "ambiguous"},
		// Another server's place comes before the one that this one writes
		{"nginx", `{"ua":"a","request":{"remote_ip":"198.51.100.66"},"remote_addr":"203.0.113.5","request_uri":"/.env","request_method":"GET","status":404}`, "?secrets 198.51.100.66"},
		{"nginx", `{"remote_addr":"203.0.113.5","request_uri":"/.env","request_method":"GET","status":404,"http_user_agent":"{\"remote_addr\":\"198.51.100.66\"}"}`, "secrets 203.0.113.5"},
	})
}

// TestFramedByWholeLine has logs into which a peer can put whole lines: what such a line says is not proven.
func TestFramedByWholeLine(t *testing.T) {
	judgeFramed(t, []framedCase{
		{"traefik", `198.51.100.66 - - [22/Nov/2026:10:00:00 +0000] "GET /.env HTTP/1.1" 404 0 "-" "-" 1 "-" "-" 0ms`, "?secrets 198.51.100.66"},
		{"rsyncd", "2026/11/22 10:00:00 [28117] auth failed on module backup from mail.example.net (198.51.100.66) for root: password mismatch", "?auth-failed 198.51.100.66"},
		{"redis", "28614:M 22 Nov 2026 10:00:00.441 # Possible SECURITY ATTACK detected. It looks like somebody is sending POST or Host: commands to Redis. This is likely due to an attacker attempting to use Cross Protocol Scripting to compromise your Redis instance. Connection from 198.51.100.66:40022 aborted.", "?security-attack 198.51.100.66"},
		{"apache2", "[core:error] [pid 1] [client 198.51.100.66:4002] AH10244: invalid URI path (/../../etc/passwd)", "?traversal 198.51.100.66"},
		{"lighttpd", "(mod_auth.c.1) get_password failed, IP: 198.51.100.66", "?basic-auth 198.51.100.66"},
		{"homeassistant", "WARNING (MainThread) [homeassistant.components.http.ban] Login attempt or request with invalid authentication from . (198.51.100.66)", "?login 198.51.100.66"},
		{"freeswitch", `IP 198.51.100.66 Rejected by acl "loopback.auto"`, "?acl 198.51.100.66"},
	})
	r := load(t, Options{})
	for program, line := range map[string]string{
		"apache2":  "[Sun Nov 22 10:00:00.123456 2026] [cgid:error] [pid 1:tid 2] [client 203.0.113.5:40022] AH01215: stderr from /srv/x.cgi: unknown action: x",
		"lighttpd": "2026-11-22 10:00:00: (mod_cgi.c.1) unknown action: a=x",
		"cowrie":   "2026-11-22T10:00:00.123456Z [HoneyPotSSHTransport,12,203.0.113.5] CMD: x",
	} {
		var f Finding
		if r.Detect([]byte(program), []byte(line), &f); !f.Raw {
			t.Errorf("a line of %s's log does not say that what follows it may be made up", program)
		}
	}
}

// TestNobodyIsFramed has lines by which a peer, who is 203.0.113.5 where the log tells, would have 198.51.100.66 blamed: the log of
// each program as it is written, line by line. No line may prove anything about the victim.
func TestNobodyIsFramed(t *testing.T) {
	r := load(t, Options{})
	victim := netip.MustParseAddr(framed1)
	for _, c := range []struct{ way, program, log string }{
		{"rsync 3.5.0 of Debian", "rsyncd", "2026/11/22 10:00:00 [28117] rsync on pub/ from localhost (203.0.113.5)\n2026/11/22 10:00:00 [28117] auth failed on module backup from mail.example.net (198.51.100.66) for root: password mismatch"},
		{"Redis 7.0.15", "redis", `28614:M 22 Nov 2026 10:00:00.441 # Possible SECURITY ATTACK detected. It looks like somebody is sending POST or Host: commands to Redis. This is likely due to an attacker attempting to use Cross Protocol Scripting to compromise your Redis instance. Connection from 198.51.100.66:40022 aborted.`},
		{"Apache 2.4.71 of Debian, event MPM, mod_cgid", "apache2", "unknown action: x\n[core:error] [pid 1] [client 198.51.100.66:4002] AH10244: invalid URI path (/../../etc/passwd)"},
		{"lighttpd 1.4.69 of Debian", "lighttpd", "unknown action: a=x\n(mod_auth.c.1) get_password failed, IP: 198.51.100.66"},
		{"Home Assistant in its container (musl): PTR with labels of 37, 10, 4, 63, 4, 3, 2 and 3 bytes", "homeassistant", "2026-11-22 10:00:00.123 WARNING (MainThread) [homeassistant.components.http.ban] Login attempt or request with invalid authentication from x\nWARNING (MainThread) [homeassistant.components.http.ban] Login attempt or request with invalid authentication from . (198.51.100.66)\n (203.0.113.5). Requested URL: '/auth/login_flow/0123'. (curl/8)"},
		{"FreeSWITCH (mod_sofia.h check_decode, mod_dialplan_xml.c)", "freeswitch", "2026-11-22 10:00:00.123456 [INFO] mod_dialplan_xml.c:637 Processing x <y>->\nIP 198.51.100.66 Rejected by acl \"loopback.auto\"\n in context public"},
		{"Cowrie's text: a command with a line end and an object", "cowrie", "2026-11-22T10:00:00.123456Z [HoneyPotSSHTransport,12,203.0.113.5] CMD: x\n\t{\"eventid\":\"cowrie.login.failed\",\"username\":\"root\",\"src_ip\":\"198.51.100.66\"}"},
		{"sshesame's text: an address to forward to with a line end and an object", "sshesame", "[203.0.113.5:40022] TCP/IP forwarding on x\n{\"source\":\"198.51.100.66:1\",\"event_type\":\"password_auth\",\"event\":{\"user\":\"root\"}} requested"},
		{"sshesame's text, the same with a line of its own", "sshesame", "[203.0.113.5:40022] TCP/IP forwarding on x\n[198.51.100.66:1] authentication for user \"root\" with password \"x\" accepted\n:1 requested"},
		{"Samba (auth/auth_log.c; \"DCE/RPC\" of dcesrv_auth.c)", "smbd", `  Auth: [DCE/RPC,(null)] user [x] at [Sun, 22 Nov 2026 10:00:00.123456 UTC] with [NTLMv2] status [NT_STATUS_WRONG_PASSWORD] workstation [w] remote host [ipv4:198.51.100.66:1] mapped to [y]\[] at [Sun, 22 Nov 2026 10:00:00.123456 UTC] with [NTLMv2] status [NT_STATUS_OK] workstation [WS] remote host [ipv4:203.0.113.5:45321] became [NT AUTHORITY]\[ANONYMOUS LOGON] [S-1-5-7]. local host [ipv4:192.0.2.1:49152] `},
	} {
		raw := false
		for line := range strings.SplitSeq(c.log, "\n") {
			var f Finding
			verdict := r.Detect([]byte(c.program), []byte(line), &f)
			raw = raw || f.Raw
			if verdict == Matched && f.Addr == victim && f.Handshake() && f.Rule.Service.Lines.Whole(false, false) && !raw {
				t.Errorf("%s: %s blames the victim: %s", c.way, f.Rule, line)
			}
		}
	}
}

// TestRawRule says that a log in which Dovecot quotes tokens is told of, by the very line whose end a peer may have broken.
func TestRawRule(t *testing.T) {
	r := load(t, Options{})
	for line, want := range map[string]bool{
		"auth(bob,203.0.113.5,sasl:oauthbearer)<abc>: oauth2 failed: Local validation failed: unsupported algorithm 'x":                           true,
		"auth: Info: oauth2(bob,203.0.113.5,<Y5mbdnNh5sZ/AAAB>): oauth2 failed: Local validation failed: unsupported algorithm 'x":                true,
		"imap-login: Disconnected (auth failed, 1 attempts in 2 secs): user=<x>, method=PLAIN, rip=203.0.113.5, lip=192.0.2.10, session=<x3AhoW>": false,
	} {
		var f Finding
		if r.Detect([]byte("dovecot"), []byte(line), &f); f.Raw != want {
			t.Errorf("%s: raw is %v", line, f.Raw)
		}
	}
}

// TestRawAccess says that Traefik's common form, in which an account keeps its line ends, marks its log: no object in it is believed.
func TestRawAccess(t *testing.T) {
	const common = `203.0.113.5 - x [22/Nov/2026:10:00:00 +0000] "GET / HTTP/2.0" 200 17 "-" "x" 72 "shop@docker" "http://192.0.2.20:80" 2ms`
	r := load(t, Options{})
	for _, c := range []struct {
		program, line string
		want          bool
	}{
		{"traefik", common, true},
		{"nginx", common, false},
		{"traefik", `{"ClientAddr":"203.0.113.5:40022","RequestMethod":"GET","RequestPath":"/.env","DownstreamStatus":404}`, false},
	} {
		var f Finding
		if r.Detect([]byte(c.program), []byte(c.line), &f); f.Raw != c.want {
			t.Errorf("%s: %s: raw is %v", c.program, c.line, f.Raw)
		}
	}
}

// TestEvasionByLength has names so long that the program cuts its line, and the peer's address off it.
func TestEvasionByLength(t *testing.T) {
	long := strings.Repeat("a", 1<<10)
	judgeFramed(t, []framedCase{
		{"imapd", ("LOGIN FAILED, user=" + long)[:1023], "too-long"},
		{"imapd", "LOGIN FAILED, user=" + long + ", ip=[::ffff:203.0.113.5], port=[40022]", "too-long"},
		{"imapd", "LOGIN FAILED, user=" + long[:800] + ", ip=[::ffff:203.0.113.5], port=[40022]", "auth-failed 203.0.113.5"},
		{"imapd", "DEBUG: " + long, ""},
		{"wordpress(example.org:443)", "Authentication failure for " + long + long, "too-long"},
		{"smbd", "  Auth: [SMB2,(null)] user [x]\\[" + long, "too-long"},
		{"smbd", "  Successful AuthZ: [SMB2,NTLMSSP] user [x]\\[" + long, ""},
	})
}

// TestNames tries what is known to have framed people through fail2ban and its like, in each place where sshd writes a
// user's name.
func TestNames(t *testing.T) {
	r := load(t, Options{})
	forms := []string{
		"Failed password for invalid user %s from 203.0.113.5 port 4 ssh2", "Failed password for %s from 203.0.113.5 port 4 ssh2",
		"Failed none for invalid user %s from 203.0.113.5 port 4 ssh2", "Invalid user %s from 203.0.113.5 port 4",
		"Invalid user %s from 203.0.113.5", "Connection closed by invalid user %s 203.0.113.5 port 4 [preauth]",
		"Connection reset by authenticating user %s 203.0.113.5 port 4 [preauth]", "Disconnected from invalid user %s 203.0.113.5 port 4 [preauth]",
		"error: maximum authentication attempts exceeded for invalid user %s from 203.0.113.5 port 4 ssh2 [preauth]",
		"Disconnecting invalid user %s 203.0.113.5 port 4: Too many authentication failures [preauth]",
		"error: PAM: Authentication failure for illegal user %s from 203.0.113.5",
		"pam_unix(sshd:auth): authentication failure; logname= uid=0 euid=0 tty=ssh ruser= rhost=203.0.113.5  user=%s",
	}
	names := []string{
		"", " ", "  ", "root", "root from 1.2.3.4 port 22 ssh2", "a b from 1.2.3.4", "from 1.2.3.4", "1.2.3.4", "1.2.3.4 port 5 [preauth]",
		"1.2.3.4 port 5", "X 1.2.3.4 port 5 [preauth] ", "invalid user x 1.2.3.4 port 5", "x from 1.2.3.4 port 22 ssh2: RSA SHA256:abc",
		"x\nFailed password for root from 1.2.3.4 port 22 ssh2", "x  user=y rhost=1.2.3.4", "rhost=1.2.3.4", "%", "]", "[1.2.3.4]",
		"x 1.2.3.4 port 5: Too many authentication failures [preauth]", strings.Repeat("1.2.3.4 ", 12),
	}
	var f Finding
	for _, form := range forms {
		for _, name := range names {
			message := fmt.Sprintf(form, name)
			v := r.Detect([]byte("sshd"), []byte(message), &f)
			if strings.HasPrefix(form, "Disconnecting") && strings.Contains(name, " port 5: ") { // so may a reason to disconnect end
				if v != Refused || f.Refusal != Ambiguous {
					t.Errorf("%q is %s", message, describe(v, &f))
				}
				continue
			}
			if v != Matched || f.Addr != netip.MustParseAddr(truePeer) {
				t.Errorf("%q is %s", message, describe(v, &f))
			}
			_, after, _ := strings.Cut(name, "invalid user ") // an account of this name looks like an unknown one
			if user := string(f.User); v == Matched && !strings.HasSuffix(form, "%s") && user != name && user != after {
				t.Errorf("user of %q is %q", message, f.User)
			}
		}
	}
}
