package daemon

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"tattled/detect"
	"tattled/event"
	"tattled/policy"
	"tattled/receiver"
)

// The attackers of docs/evasion.md: each writes what he can so that nobody counts what he does.

// evader is an attacker with a trick, and what becomes of him.
type evader struct {
	what    string
	form    string // of the access log, as declared; "" where its form is guessed
	lines   []said
	framing receiver.Framing
	outcome string // as evaderOutcome writes it
}

// planted is an address that evaders write into what is theirs to choose. Nobody may ever be told that it did anything.
const planted = "45.148.99.9"

// maxEvadedLine is where a file's line is cut (receiver/tail, max_line).
const maxEvadedLine = 16384

// secretPaths are paths that a search for secrets asks for.
var secretPaths = []string{".env", ".git/config", ".aws/credentials", ".ssh/id_rsa", ".env.bak", ".git/HEAD", ".svn/entries", ".env.local", "wp-config.php.bak", ".env.production", ".htpasswd", ".DS_Store"}

// asking is a request each second for twelve paths that hold secrets. In form, {P} is the path without its first slash, and {V} the
// planted address.
func asking(form string) []said {
	var all []said
	for i, path := range secretPaths {
		all = append(all, shifted(time.Duration(i)*time.Second, repeat(1, 0, strings.NewReplacer("{P}", path, "{V}", planted).Replace(form)))...)
	}
	return all
}

// trying is what somebody logs n times, a second apart.
func trying(n int, form string) []said {
	return repeat(n, time.Second, strings.ReplaceAll(form, "{V}", planted))
}

func evaders() []evader {
	const (
		at   = ` [22/Nov/2026:08:00:00 +0000] `
		get  = `"GET /{P} HTTP/1.1" 404 9 "-" "-"`
		file = receiver.FileLine

		probing  = "reported by web-probing, at line 10"
		unproven = "no completed handshake proves the address (of a TCP packet, report_unverified_tcp would accept that)"
		problem  = "a problem on the page and in the log, at line 20"
	)
	access := func(request string) []said { return asking(`nginx {A} - -` + at + request) }
	quotes := strings.Repeat(`\x22`, 4200)
	host := strings.Repeat("a", 310)
	return []evader{
		{"the Host header is an address, and the log begins with `$host - $remote_addr`", "", trying(20, `nginx {V} - {A}`+at+`"GET /.env HTTP/1.1" 404 9`), file, problem},
		{"the same, where the form is declared", `$host - $remote_addr [$time_local] "$request" $status $body_bytes_sent`, asking(`nginx {V} - {A}` + at + `"GET /{P} HTTP/1.1" 404 9`), file, probing},
		{"`Authorization: Basic` with the account `a - b`", "", asking(`nginx {A} - a - b` + at + get), file, probing},
		{"the same with an address in it", "", trying(20, `nginx {A} - {V} - b`+at+`"GET /.env HTTP/1.1" 404 9 "-" "-"`), file, problem},
		{"the same, where the form is declared", "combined", asking(`nginx {A} - {V} - b` + at + get), file, probing},
		{"`/blob/../PATH`", "", access(`"GET /blob/../{P} HTTP/1.1" 404 9 "-" "-"`), file, probing},
		{"`/./PATH`", "", access(`"GET /./{P} HTTP/1.1" 404 9 "-" "-"`), file, probing},
		{"`//PATH`", "", access(`"GET //{P} HTTP/1.1" 404 9 "-" "-"`), file, probing},
		{"`/%2eenv`: the dots are written as `%2e`", "", encoded(access(get)), file, probing},
		{"a User-Agent of 4,200 quotes: the line is cut after its status", "", access(`"GET /{P} HTTP/1.1" 404 9 "-" "` + quotes + `"`), file, probing},
		{"a query of 4,200 quotes: the line is cut before its status", "", access(`"GET /{P}?` + quotes + ` HTTP/1.1" 404 9 "-" "-"`), file, "reported by web-probing, at line 11"},
		{"the same, where the form is declared", "combined", access(`"GET /{P}?` + quotes + ` HTTP/1.1" 404 9 "-" "-"`), file, "reported by web-probing, at line 11"},
		{"a method that nobody knows", "", access(`"get /{P} HTTP/1.1" 404 9 "-" "-"`), file, probing},
		{"an account for what asks for none", "", asking(`nginx {A} - x` + at + `"GET /old/{P}.php HTTP/1.1" 404 9 "-" "-"`), file, "counted: 12 of 12 lines"},
		{"`Authorization: Basic` with an address at its end, and the peer may be after it", "", trying(20, `nginx {V} - x {A}`+at+`"GET /.env HTTP/1.1" 404 9 "-" "-"`), file, problem},
		{"the same, where the form is declared", `$host - $remote_user $remote_addr [$time_local] "$request" $status $body_bytes_sent "$http_referer" "$http_user_agent"`, asking(`nginx {V} - x {A}` + at + get), file, probing},
		{"OpenLiteSpeed: an account, which it writes as it came", "", asking(`openlitespeed {A} - "dan"` + at + get), file, "counted: 12 of 12 lines. Not reported: " + unproven},
		{"the vhost form, and the Host header is an address", "", asking(`nginx {V} {A} - -` + at + get), file, "counted: 12 of 12 lines. Not reported: " + unproven},
		{"the same, where the form is declared", `$host $remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent "$http_referer" "$http_user_agent"`, asking(`nginx {V} {A} - -` + at + get), file, probing},
		{"the vhost form, and the Host header has 310 bytes", "", asking(`nginx ` + host + ` {A} - -` + at + get), file, probing},
		{"JSON without `remote_user`", "", asking(`nginx {"remote_addr":"{A}","request_method":"GET","request_uri":"/{P}","status":"404","http_user_agent":"x"}`), file, probing},
		{"JSON with escape=default, a quote in the User-Agent", "", asking(`nginx {"remote_addr":"{A}","request_method":"GET","request_uri":"/{P}","status":"404","http_user_agent":"a\x22b"}`), file, probing},
		{"JSON without `request_method`", "", asking(`nginx {"remote_addr":"{A}","request_uri":"/{P}","status":"404"}`), file, probing},
		{"JSON with `$request` alone, and an upstream that was not asked", "", asking(`nginx {"remote_addr":"{A}","request":"GET /{P} HTTP/1.1","upstream_status":-,"status":"404"}`), file, probing},
		{"JSON, and a User-Agent of 8,200 quotes: the line is cut", "", asking(`nginx {"remote_addr":"{A}","request_method":"GET","request_uri":"/{P}","status":"404","ua":"` + strings.Repeat(`\"`, 8200) + `"}`), file, "counted: 12 of 12 lines. Not reported: " + unproven},
		{"WordPress: `/wp-login.php?action=x`, which logs in as well", "", repeat(50, time.Second, `nginx {A} - -`+at+`"POST /wp-login.php?action=x HTTP/1.1" 200 9 "-" "-"`), file, "reported by web-login-bruteforce, at line 50"},
		{"WordPress: `Host: example.org:443`, which is in the tag", "", trying(10, `wordpress(example.org:443) Authentication failure for u{i} from {A}`), receiver.Whole, "counted: 10 of 10 lines. Not reported: " + unproven},
		{"Samba: a workstation with an address and the words around it", "", trying(20, `smbd Auth: [SMB2,(null)] user [WORKGROUP]\[root] at [Sun, 22 Nov 2026 08:00:00.123456 UTC] with [NTLMv2] status [NT_STATUS_NO_SUCH_USER] workstation [x] remote host [ipv4:{V}:1] mapped to [a] remote host [ipv4:{A}:40022] mapped to [WORKGROUP]\[root]. local host [ipv4:192.0.2.10:445] `), file, problem},
		{"Home Assistant: the same in the User-Agent", "", trying(20, `homeassistant 2026-11-22 08:00:00.123 WARNING (MainThread) [homeassistant.components.http.ban] Login attempt or request with invalid authentication from {A} ({A}). Requested URL: '/auth/x'. (y ({V}). Requested URL: 'z'. (curl/8))`), file, problem},
		{"Dovecot with elements of its own, and the same in the account", "", trying(20, `dovecot imap-login: Info: Disconnected: Connection closed (auth failed, 1 attempts in 0 secs): user=<x>, method=PLAIN, rip={V}, lip=192.0.2.1, TLS: y>, method=PLAIN, rip={A}, rport=60196, lip=192.0.2.1, lport=993, secured, session=<68VufHNhJOt/AAAB>`), receiver.Whole, problem},
		{"Dovecot with another name for the peer, and the same", "", trying(20, `dovecot imap-login: Info: Disconnected: Connection closed (auth failed, 1 attempts in 0 secs): user=<x>, method=PLAIN, rip={V}, lip=192.0.2.1, TLS: y>, method=PLAIN, remote={A}, session=<68VufHNhJOt/AAAB>`), receiver.Whole, problem},
		{"Dovecot: an authorisation identity with an address in it", "", trying(20, `dovecot auth: Info: plain(bob,{A},<Y5mbdnNh5sZ/AAAB>): login user: Username character disallowed by auth_username_chars: 0x28 (username: x(y,{V}): unknown user)`), receiver.Whole, problem},
		{"sshd: an account with an address and the words around it", "", trying(20, `sshd Disconnecting authenticating user root {A} port 44004: Too many authentication failures {V} port 22: Too many authentication failures [preauth]`), receiver.Whole, problem},
		{"Exim: the same in the account", "", trying(20, `exim4 login authenticator failed for (x) [{A}]: 535 Incorrect authentication data (set_id=y) [{V}]: 535 Incorrect authentication data (set_id=z)`), receiver.Whole, problem},
	}
}

// encoded writes dots of requests as %2e.
func encoded(lines []said) []said {
	for i := range lines {
		front, rest, _ := strings.Cut(lines[i].message, "GET /")
		path, end, _ := strings.Cut(rest, " ")
		lines[i].message = front + "GET /" + strings.ReplaceAll(path, ".", "%2e") + " " + end
	}
	return lines
}

// evaderOutcome feeds an evader's lines, and says what becomes of them; "" for nothing at all.
func evaderOutcome(t *testing.T, one evader) string {
	var told []string
	n := 0
	h := newHonest(t, func(r event.Report) {
		if r.Addr.String() != peer {
			t.Errorf("%s: %v is reported", one.what, r.Addr)
		}
		if line := "reported by " + r.Policy; !slices.ContainsFunc(told, func(s string) bool { return strings.HasPrefix(s, line+",") }) {
			told = append(told, fmt.Sprintf("%s, at line %d", line, n))
		}
	})
	h.pipeline.attacked = func(string, netip.Addr) {
		told = append(told, fmt.Sprintf("a problem on the page and in the log, at line %d", n))
	}
	const source = "file:/var/log/x.log"
	if one.form != "" {
		form, err := detect.ParseForm(one.form)
		if err != nil {
			t.Fatal(err)
		}
		h.pipeline.engine.Load().forms = map[string]*detect.Form{source: form}
	}
	addresses := map[string]bool{}
	for i, line := range one.lines {
		n = i + 1
		r := record(line.program, line.message)
		if r.Framing = one.framing; len(r.Message) > maxEvadedLine {
			r.Message, r.Cut = r.Message[:maxEvadedLine], true
		}
		at := h.begin.Add(line.after)
		b := &receiver.Batch{Source: source, Received: at, Records: []receiver.Record{r}}
		if err := h.pipeline.Handle(t.Context(), b); err != nil {
			t.Fatal(err)
		}
		if h.last != nil {
			addresses[h.last.Addr.String()] = true
		}
	}
	if len(told) > 0 {
		return strings.Join(told, "; ")
	}
	if delete(addresses, peer); len(addresses) > 0 {
		t.Errorf("%s: counted against %v", one.what, slices.Collect(maps.Keys(addresses)))
	}
	for _, r := range policy.Refusals() {
		if h.policy.Counters().Refused(r) > 0 {
			return fmt.Sprintf("counted: %d of %d lines. Not reported: %s", h.events, len(one.lines), h.pipeline.engine.Load().gate.Because(r, h.last.Addr))
		}
	}
	if h.events > 0 {
		return fmt.Sprintf("counted: %d of %d lines", h.events, len(one.lines))
	}
	return ""
}

// TestEvaders says that nobody gets by unseen who writes something odd.
func TestEvaders(t *testing.T) {
	for _, one := range evaders() {
		got := evaderOutcome(t, one)
		if got != one.outcome || got == "" {
			t.Errorf("%s:\n%q, not\n%q", one.what, got, one.outcome)
		}
	}
}

// TestEvadersAreDocumented compares docs/evasion.md with them.
func TestEvadersAreDocumented(t *testing.T) {
	var b strings.Builder
	b.WriteString("\n| what the attacker does | form of the log | lines | what becomes of it |\n|---|---|---|---|\n")
	for _, one := range evaders() {
		form := one.form
		switch {
		case form != "":
			form = "`" + form + "`"
		case one.lines[0].program == "nginx" && !strings.HasPrefix(one.lines[0].message, "{"):
			form = "guessed"
		}
		fmt.Fprintf(&b, "| %s | %s | %d | %s |\n", one.what, form, len(one.lines), one.outcome)
	}
	documented(t, "../docs/evasion.md", "<!-- The table is written by: go test ./daemon -run Evaders -update -->\n", b.String())
}
