package detect

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"

	"tattled/detect/weblog"
)

// TestDeclaredForm says that a declared form is believed exactly.
func TestDeclaredForm(t *testing.T) {
	r := load(t, Options{})
	const at, get = `[22/Nov/2026:10:00:00 +0000]`, `"GET /.env HTTP/1.1" 404 9`
	const combined, hosted = "combined", `$host - $remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent`
	const bare = `$host - $remote_addr [$time_local] "$request" $status $body_bytes_sent`
	const forwarded = `$http_x_forwarded_for $remote_addr - $remote_user [$time_local] "$request" $status`
	const secrets = "secrets 203.0.113.5"
	for _, c := range []struct{ form, line, want string }{
		{combined, `203.0.113.5 - - ` + at + ` ` + get + ` "-" "-"`, secrets},
		{combined, `2001:db8::5 - "" ` + at + ` ` + get + ` "-" "-"`, "secrets 2001:db8::5"},
		{combined, `203.0.113.5 - 198.51.100.66 ` + at + ` ` + get + ` "-" "-"`, secrets},
		{combined, `203.0.113.5 - 198.51.100.66 - x ` + at + ` ` + get + ` "-" "-"`, secrets},
		{combined, `203.0.113.5 - x ` + at + ` y ` + at + ` ` + get + ` "-" "-"`, secrets},
		{combined, `203.0.113.5 - a\" \"b ` + at + ` ` + get + ` "-" "-"`, secrets},
		{combined, `203.0.113.5 - - ` + at + ` ` + get + ` "198.51.100.66 - - \"" "\x22 198.51.100.66"`, secrets},
		{combined, `crawler.example.org - - ` + at + ` ` + get + ` "-" "-"`, "host-name raw"},
		{combined, `203.0.113.5 - - ` + at + ` ` + get, "other-form"},
		{combined, `203.0.113.5 - - ` + at + ` ` + get + ` "-" "-" "x"`, "other-form"},
		{combined, `203.0.113.5, 198.51.100.66 - - ` + at + ` ` + get + ` "-" "-"`, "address-list"},
		{combined, ``, "other-form"}, {combined, `"`, "other-form"}, {combined, `203.0.113.5 - - `, "other-form"},
		{"vhost_combined", `www.example.org:443 203.0.113.5 - - ` + at + ` ` + get + ` "-" "-"`, secrets},
		{"vhost_combined", `198.51.100.66:443 203.0.113.5 - - ` + at + ` ` + get + ` "-" "-"`, secrets},
		{"%a %l %u %t \"%r\" %>s %b", `crawler.example.org - - ` + at + ` ` + get, "host-name"},
		{bare, `198.51.100.66 - 203.0.113.5 ` + at + ` ` + get, secrets},
		{bare, `198.51.100.66 - 198.51.100.67 - 203.0.113.5 ` + at + ` ` + get, secrets},
		{hosted, `198.51.100.66 - 203.0.113.5 - - ` + at + ` ` + get, secrets},
		{hosted, `www.example.org - 203.0.113.5 - dan smith ` + at + ` ` + get, secrets},
		{hosted, `198.51.100.66 - 203.0.113.5 - 198.51.100.67 ` + at + ` ` + get, secrets},
		{hosted, `198.51.100.66 - 203.0.113.5 - 198.51.100.67 - x ` + at + ` ` + get, "ambiguous"},
		{hosted, `x - 198.51.100.66 - y - 203.0.113.5 - - ` + at + ` ` + get, "ambiguous"},
		{hosted, `x - y - 203.0.113.5 - - ` + at + ` ` + get, secrets},
		{forwarded, `198.51.100.66 203.0.113.5 - - ` + at + ` "GET /.env HTTP/1.1" 404`, secrets},
		{forwarded, `198.51.100.66, 198.51.100.67 203.0.113.5 - - ` + at + ` "GET /.env HTTP/1.1" 404`, secrets},
		{forwarded, `a 198.51.100.66 - b 203.0.113.5 - - ` + at + ` "GET /.env HTTP/1.1" 404`, "ambiguous"},
		{`$time_iso8601 $remote_addr $request_method "$request_uri" $status`, `2026-11-22T10:00:00+00:00 203.0.113.5 GET "/a/../.env?x" 404`, secrets},
		{`%h %m "%U%q" %s`, `203.0.113.5 GET "/.env?x" 200`, secrets},
		{`"$remote_addr" "$request" $status`, `"203.0.113.5" "GET /.env HTTP/1.1" 404`, secrets},
		// As they are written in files of configuration
		{"logformat\t'%h %l %u %t \"%r\" %>s %b' x", `203.0.113.5 - - ` + at + ` ` + get, secrets},
		{`LogFormat "%h %l %u %t \"%r\" %>s %b"`, `203.0.113.5 - - ` + at + ` ` + get, secrets},
		{`"%h %l %u %t \"%r\" %>s %b"`, `203.0.113.5 - - ` + at + ` ` + get, secrets},
		{`%h\t%u\t%t\t%r\t%>s\t%{User-Agent}i`, "203.0.113.5\tx 198.51.100.66\t" + at + "\tGET /.env HTTP/1.1\t404\ta b", secrets},
		{`%h\t%u\t%t\t%r\t%>s\t%{User-Agent}i`, "203.0.113.5\tx\t198.51.100.66\t" + at + "\tGET /.env HTTP/1.1\t404\ta b", "other-form"},
		{`%h %u [%{%d/%b/%Y:%T}t.%{msec_frac}t %{%z}t] "%r" %>s`, `203.0.113.5 a b [22/Nov/2026:10:00:00.123 +0000] "GET /.env HTTP/1.1" 404`, secrets},
		{"log_format main '$remote_addr - $remote_user [$time_local] \"$request\" ' # a comment\n    '$status';", `203.0.113.5 - x ` + at + ` "GET /.env HTTP/1.1" 404`, secrets},
		{`log_format "main" escape=default "$remote_addr [$time_local] \"$request\" $status";`, `203.0.113.5 ` + at + ` "GET /.env HTTP/1.1" 404`, secrets},
		{`log_format ltsv 'time:$time_local\thost:$remote_addr\tforwardedfor:$http_x_forwarded_for\treq:$request\tstatus:$status\tua:$http_user_agent';`,
			"time:22/Nov/2026:10:00:00 +0000\thost:203.0.113.5\tforwardedfor:198.51.100.66\treq:GET /.env HTTP/1.1\tstatus:404\tua:host:198.51.100.66", secrets},
	} {
		form, err := ParseForm(c.form)
		if err != nil {
			t.Fatal(err)
		}
		var f Finding
		got := ""
		switch r.DetectKnown([]byte("nginx"), []byte(c.line), Known{Form: form}, &f) {
		case Matched:
			if got = f.Rule.Name + " " + f.Addr.String(); !f.Handshake() {
				got = "?" + got
			}
		case Refused:
			got = f.Refusal.String()
		}
		if f.Raw {
			got += " raw"
		}
		if got != c.want {
			t.Errorf("%s\n%s\nis %q, not %q", c.form, c.line, got, c.want)
		}
	}
}

// TestDeclaredProxy says that the forwarded column is known wherever it is.
func TestDeclaredProxy(t *testing.T) {
	r := load(t, Options{TrustedProxies: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}})
	form, err := ParseForm(`$remote_addr "$http_x_forwarded_for" "$request" $status`)
	if err != nil {
		t.Fatal(err)
	}
	for line, want := range map[string]string{
		`192.0.2.1 "198.51.100.66, 203.0.113.5" "GET /.env HTTP/1.1" 404`:            "203.0.113.5",
		`192.0.2.1 "198.51.100.66, 203.0.113.5, 192.0.2.7" "GET /.env HTTP/1.1" 404`: "203.0.113.5",
		`203.0.113.5 "198.51.100.66" "GET /.env HTTP/1.1" 404`:                       "203.0.113.5",
		`192.0.2.1 "-" "GET /.env HTTP/1.1" 404`:                                     "proxy",
	} {
		var f Finding
		got := f.Refusal.String()
		switch r.DetectKnown([]byte("nginx"), []byte(line), Known{Form: form}, &f) {
		case Matched:
			got = f.Addr.String()
		case Refused:
			got = f.Refusal.String()
		}
		if got != want {
			t.Errorf("%s: %s, not %s", line, got, want)
		}
	}
}

// TestDeclaredFormsHostile writes lines as servers do, with hostile texts in what a client chooses, and wants nobody blamed but
// the peer.
func TestDeclaredFormsHostile(t *testing.T) {
	r := load(t, Options{})
	rng := rand.New(rand.NewPCG(1, 2))
	pieces := []string{" - ", " ", `"`, `\`, framed1, "[22/Nov/2026:10:00:00 +0000]", `"GET /.env HTTP/1.1" 404 9`, "-", ", ", ":443 ", "203.0.113.9", "x", `\"`, " [", "] "}
	text := func() string {
		var b strings.Builder
		for range rng.IntN(7) {
			b.WriteString(pieces[rng.IntN(len(pieces))])
		}
		return b.String()
	}
	const peer = "203.0.113.5"
	matched := 0
	for declared, line := range map[string]func(escape func(string) string) string{
		"combined": func(e func(string) string) string {
			return fmt.Sprintf(`%s - %s [22/Nov/2026:10:00:00 +0000] "GET /.env?%s HTTP/1.1" 404 9 "%s" "%s"`, peer, e(text()), e(text()), e(text()), e(text()))
		},
		`$host - $remote_addr - $remote_user [$time_local] "$request" $status`: func(e func(string) string) string {
			return fmt.Sprintf(`%s - %s - %s [22/Nov/2026:10:00:00 +0000] "GET /.env?%s HTTP/1.1" 404`, e(text()), peer, e(text()), e(text()))
		},
		`$http_x_forwarded_for $remote_addr [$time_local] "$request" $status`: func(e func(string) string) string {
			return fmt.Sprintf(`%s %s [22/Nov/2026:10:00:00 +0000] "GET /.env?%s HTTP/1.1" 404`, e(text()), peer, e(text()))
		},
	} {
		form, err := ParseForm(declared)
		if err != nil {
			t.Fatal(err)
		}
		for i := range 20_000 {
			escape := weblog.AsApache
			if i%2 == 0 {
				escape = weblog.AsNginx
			}
			one := line(escape)
			for _, cut := range []int{len(one), rng.IntN(len(one) + 1)} {
				var f Finding
				known := Known{Form: form, Cut: cut < len(one)}
				if r.DetectKnown([]byte("nginx"), []byte(one[:cut]), known, &f) != Matched {
					continue
				}
				if matched++; f.Addr.String() != peer {
					t.Fatalf("%s\n%s\nblames %v", declared, one[:cut], f.Addr)
				}
			}
		}
	}
	if matched < 10_000 {
		t.Errorf("only %d lines matched", matched)
	}
}

// TestCutAccess says that a line which is cut after its status is whole enough, and one that is cut before is not.
func TestCutAccess(t *testing.T) {
	r := load(t, Options{TrustedProxies: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}})
	const whole = `203.0.113.5 - - [22/Nov/2026:10:00:00 +0000] "GET /.env HTTP/1.1" 200 9 "-" "`
	least := len(`203.0.113.5 - - [22/Nov/2026:10:00:00 +0000] "GET /.env HTTP/1.1" 200 9`)
	var f Finding
	for n := range len(whole) {
		v := r.DetectKnown([]byte("nginx"), []byte(whole[:n]), Known{Cut: true}, &f)
		if want := n >= least; want != (v == Matched) {
			t.Errorf("%s: %v", whole[:n], v)
		}
	}
	for line, want := range map[string]Verdict{
		`203.0.113.5 - - [22/Nov/2026:10:00:00 +0000] "GET /.env HTTP/1.1" 200 9 "-" "` + strings.Repeat(`\x22`, 4200):                   Matched,
		`192.0.2.1 - - [22/Nov/2026:10:00:00 +0000] "GET /.env HTTP/1.1" 200 9 "-" "-" "198.51.100.66"`:                                  Refused, // more may have followed
		`203.0.113.5:40022 [22/Nov/2026:10:00:00.123] fe be/s 0/0/1/2/3 200 196 - - ---- 1/1/0/0/0 0/0 "GET /.env HTTP/1.1" 0/000000000`: Matched,
		// The path is whole, and a client must not hide it by what follows.
		`203.0.113.5 - - [22/Nov/2026:10:00:00 +0000] "GET /.env?` + strings.Repeat(`\x22`, 4200):                      Matched,
		`203.0.113.5 - - [22/Nov/2026:10:00:00 +0000] "GET /.env` + strings.Repeat(`\x22`, 4200):                       Ignored,
		`203.0.113.5 - - [22/Nov/2026:10:00:00 +0000] "GET /phpmyadmin/?` + strings.Repeat(`a`, 4200):                  Ignored, // it takes a status
		`203.0.113.5:40022 [22/Nov/2026:10:00:00.123] fe be/s 0/0/1/2/3 200 196 - - ---- 1/1/0/0/0 0/0 "GET /.env?aaa`: Matched,
		// Of an object all that is asked for is before the cut; the peer's name may be after it once more.
		`{"remote_addr":"203.0.113.5","request_method":"GET","request_uri":"/.env","status":"404","ua":"` + strings.Repeat(`\"`, 8200) + `\`: Matched,
		`{"remote_addr":"203.0.113.5","request_method":"GET","request_uri":"/.e`:                                                             Ignored,
		`{"remote_addr":"203.0.113.5","request_method":"GET","request_uri":"/.env","remote_addr":"198.51.100.66","ua":"`:                     Refused,
		`{"remote_addr":"203.0.113.5","request_method":"GET","request_uri":"/.env",]`:                                                        Ignored,
	} {
		program := "nginx"
		if strings.Contains(line, "fe be") {
			program = "haproxy"
		}
		v := r.DetectKnown([]byte(program), []byte(line), Known{Cut: true}, &f)
		if v != want {
			t.Errorf("%.100s: %v, not %v", line, v, want)
		}
		if v == Matched && (f.Addr.String() != "203.0.113.5" || f.Handshake() == strings.HasPrefix(line, "{")) {
			t.Errorf("%.100s: %v, handshake %v", line, f.Addr, f.Handshake())
		}
	}
	if v := r.DetectKnown([]byte("sshd"), []byte("Failed password for root from 203.0.113.5 port 22 ssh2"), Known{Cut: true}, &f); v != Ignored {
		t.Errorf("a line of sshd that was cut is %v", v)
	}
}
