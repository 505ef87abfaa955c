package detect

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"tattled/detect/weblog"
)

// webRules is a rule file for parser access.
const webRules = `service: web
programs: [web]
parser: access
rules:
  - name: secrets
    kind: web-attack
    handshake: true
    categories: [21]
    where: {path: ['/.env', '/.env.*', '*/.git/config', '/x*y*z']}
    samples: [{line: '203.0.113.5 - - [22/Nov/2026:10:00:00 +0000] "GET /.env HTTP/1.1" 404 5', ip: 203.0.113.5}]
  - name: injection
    kind: web-attack
    categories: [21]
    where: {query: ['*union select*', "*'*"], method: [GET, POST]}
    not: {path: '/search', status: [5xx]}
    samples: [{line: '203.0.113.5 - - [22/Nov/2026:10:00:00 +0000] "GET /a?b=%27 HTTP/1.1" 404 5', ip: 203.0.113.5}]
  - name: login
    kind: auth-failure
    categories: [18]
    where: {status: 401, user: '?*'}
    not: {user: '-'}
    samples: [{line: '203.0.113.5 - ? [22/Nov/2026:10:00:00 +0000] "GET /a HTTP/1.1" 401 5', ip: 203.0.113.5, user: '?'}]
  - name: scanner
    kind: probe
    categories: [21]
    where: {agent: ['*zgrab*', 'sqlmap/*'], status: [4xx, 200]}
    samples: [{line: '203.0.113.5 - - [22/Nov/2026:10:00:00 +0000] "GET /a HTTP/1.1" 401 5 "-" "Mozilla/5.0 zgrab/0.x"', ip: 203.0.113.5}]
  - name: binary
    kind: probe
    categories: [21]
    where: {target: ['\x16\x03*', '\x03*', 'http://*']}
    samples: [{line: '203.0.113.5 - - [22/Nov/2026:10:00:00 +0000] "\x16\x03\x01" 400 5 "-" "-"', ip: 203.0.113.5}]
  - name: referrer
    kind: probe
    categories: [21]
    where: {referer: ['*spam*'], vhost: ['www.*']}
    samples: [{line: 'www.example.org:443 203.0.113.5 - - [22/Nov/2026:10:00:00 +0000] "GET / HTTP/1.1" 200 5 "http://spam.example/" "-"', ip: 203.0.113.5, local_port: 443}]
  - name: put
    kind: probe
    categories: [21]
    where: {method: [PUT, PROPFIND]}
    samples: [{line: '203.0.113.5 - - [22/Nov/2026:10:00:00 +0000] "PUT / HTTP/1.1" 200 5', ip: 203.0.113.5}]
`

// loadWeb loads a rule file beside the built-in ones.
func loadWeb(t testing.TB, content string, proxies ...string) *Rules {
	t.Helper()
	o := Options{Directory: userRules(t, "web.yaml", content)}
	for _, p := range proxies {
		o.TrustedProxies = append(o.TrustedProxies, netip.MustParsePrefix(p))
	}
	return load(t, o)
}

// TestAccess says what is read of a line, and which rule it is by.
func TestAccess(t *testing.T) {
	r := loadWeb(t, webRules)
	if _, faults := r.Run(); len(faults) > 0 {
		t.Error(faults)
	}
	const at = ` [22/Nov/2026:10:00:00 +0100] `
	for line, want := range map[string]string{
		`203.0.113.5 - -` + at + `"GET /.ENV HTTP/1.1" 200 5`:                                     "secrets",
		`203.0.113.5 - -` + at + `"GET /.env?x=1 HTTP/1.1" 404 5 "-" "-" "x" 0.001`:               "secrets",
		`203.0.113.5 - -` + at + `"GET /%2eenv HTTP/2.0" 404 -`:                                   "secrets",
		`203.0.113.5 - -` + at + `"GET //.env.bak" 404 -`:                                         "secrets",
		`203.0.113.5 - -` + at + `"GET /a/b/.git/config HTTP/1.1" 404 1`:                          "secrets",
		`203.0.113.5 - -` + at + `"GET http://x.example/a/.git/config HTTP/1.1" 404 1`:            "secrets",
		`203.0.113.5 - -` + at + `"GET /.git/configs HTTP/1.1" 404 1`:                             "",
		`203.0.113.5 - -` + at + `"GET /xyz HTTP/1.1" 404 1`:                                      "secrets",
		`203.0.113.5 - -` + at + `"GET /x.y.z HTTP/1.1" 404 1`:                                    "secrets",
		`203.0.113.5 - -` + at + `"GET /xzy HTTP/1.1" 404 1`:                                      "",
		`203.0.113.5 - -` + at + `"GET /.envx HTTP/1.1" 404 1`:                                    "",
		`203.0.113.5 - -` + at + `"GET /a?b=%2527 HTTP/1.1" 200 1`:                                "",
		`203.0.113.5 - -` + at + `"GET /a?b=1+UNION%20select+2 HTTP/1.1" 200 1`:                   "injection",
		`203.0.113.5 - -` + at + `"GET /a?b=1+UNION%20select+2 HTTP/1.1" 500 1`:                   "",
		`203.0.113.5 - -` + at + `"GET /search?b=1+UNION%20select+2 HTTP/1.1" 200 1`:              "",
		`203.0.113.5 - -` + at + `"HEAD /a?b=1+UNION%20select+2 HTTP/1.1" 200 1`:                  "",
		`203.0.113.5 - ?a b` + at + `"GET /a HTTP/1.1" 401 1`:                                     "login ?a b",
		`203.0.113.5 - -` + at + `"GET /a HTTP/1.1" 401 1`:                                        "",
		`203.0.113.5 - ?[22/Nov/2026:10:00:00 +0100] \"GET` + at + `"GET /a HTTP/1.1" 401 1`:      `login ?[22/Nov/2026:10:00:00 +0100] \"GET`,
		`203.0.113.5 - ""` + at + `"PUT /a HTTP/1.1" 401 1`:                                       "put",
		`203.0.113.5 - -` + at + `"GET /a HTTP/1.1" 200 1 "-" "SQLmap/1.0 \"x\" \\"`:              "scanner",
		`203.0.113.5 - -` + at + `"GET /a HTTP/1.1" 301 1 "-" "sqlmap/1.0"`:                       "",
		`203.0.113.5 - -` + at + `"GET /a HTTP/1.1" 200 1 "sqlmap/1.0" "-"`:                       "",
		`203.0.113.5 - -` + at + `"\x16\x03\x01\"\\" 400 1`:                                       "binary",
		`203.0.113.5 - -` + at + `"" 400 1`:                                                       "",
		`203.0.113.5 - -` + at + `"-" 408 1`:                                                      "",
		`www.example.org:8443 203.0.113.5 - -` + at + `"GET / HTTP/1.1" 200 1 "http://SPAM" "-"`:  "referrer",
		`mail.example.org:8443 203.0.113.5 - -` + at + `"GET / HTTP/1.1" 200 1 "http://SPAM" "-"`: "",
		`203.0.113.5 - -` + at + `"PROPFIND / HTTP/1.1" 200 1`:                                    "put",
		`203.0.113.5 - -` + at + `"propfind / HTTP/1.1" 200 1`:                                    "",
		`203.0.113.5 - - [22/Nov/2026:10:00:00 +0000 ] "GET /.env HTTP/1.1" 200 5`:                "",
		`203.0.113.5 - - [32/Nov/2026:10:00:00 +0000] "GET /.env HTTP/1.1" 200 5`:                 "",
		`203.0.113.5 - - "GET /.env HTTP/1.1" 200 5`:                                              "",
		`203.0.113.5 x -` + at + `"GET /.env HTTP/1.1" 200 5`:                                     "",
		`203.0.113.5 - -` + at + `"GET /.env HTTP/1.1" 200`:                                       "",
		`203.0.113.5 - -` + at + `"GET /.env HTTP/1.1 200 5`:                                      "",
		`203.0.113.5 - -` + at + `"GET /.env HTTP/1.1\" 200 5`:                                    "",
		`198.51.100.66 203.0.113.5 - -` + at + `"GET /.env HTTP/1.1" 200 5`:                       "secrets", // and proves nothing
		`host.example 198.51.100.66.x - -` + at + `"GET /.env HTTP/1.1" 200 5`:                    "",
		`host.example - -` + at + `"GET /.env HTTP/1.1" 200 5`:                                    "host-name",
		`unix: - -` + at + `"GET /.env HTTP/1.1" 200 5`:                                           "bad-address",
		`198.51.100.66 - 203.0.113.5 - -` + at + `"GET /.env HTTP/1.1" 200 5`:                     "ambiguous",
		`198.51.100.66 - :443 host.example - -` + at + `"GET /.env HTTP/1.1" 200 5`:               "ambiguous",
		`198.51.100.66:80 203.0.113.5 - -` + at + `"GET /.env HTTP/1.1" 200 5`:                    "secrets",
		`203.0.113.5 - -` + at + `"GET /.env HTTP/1.1" 200 5 "-" "x" "198.51.100.66"`:             "secrets",
		`203.0.113.5 - -` + at + `"GET /.env` + strings.Repeat("/", 9000) + ` HTTP/1.1" 200 5`:    "",
		`203.0.113.5 - -` + at + `"GET ` + strings.Repeat("/", 2000) + `.env HTTP/1.1" 200 5`:     "secrets",
		`203.0.113.5 - -` + at + `"GET /a?` + strings.Repeat("%27", 9000) + ` HTTP/1.1" 200 5`:    "injection",
		"": "", " ": "", `"`: "", `203.0.113.5 - `: "", `203.0.113.5 - "`: "",
	} {
		var f Finding
		got := ""
		switch r.Detect([]byte("web"), []byte(line), &f) {
		case Matched:
			got = strings.TrimSpace(f.Rule.Name + " " + string(f.User))
			if f.Addr != netip.MustParseAddr(truePeer) {
				t.Errorf("%s blames %v", line, f.Addr)
			}
			if s, ok := f.Stamp.Time(time.Local, time.Now()); !ok || s.UTC().Format(time.RFC3339) != "2026-11-22T09:00:00Z" {
				t.Errorf("%s was at %v, %v", line, s, ok)
			}
		case Refused:
			got = f.Refusal.String()
		}
		if got != want {
			t.Errorf("%s is %q, not %q", line, got, want)
		}
	}
}

// TestForwarded says whom a line is about that a proxy sent.
func TestForwarded(t *testing.T) {
	for _, proxies := range [][]string{nil, {"192.0.2.0/28", "2001:db8:ffff::/48"}} {
		r := loadWeb(t, webRules, proxies...)
		for line, want := range map[string]string{
			`203.0.113.5 "198.51.100.66"`:                            "203.0.113.5",
			`192.0.2.1 "203.0.113.5"`:                                "203.0.113.5",
			`2001:db8:ffff::1 "203.0.113.5"`:                         "203.0.113.5",
			`192.0.2.1 "198.51.100.66, 203.0.113.5"`:                 "203.0.113.5",
			`192.0.2.1 "198.51.100.66,  203.0.113.5 , 192.0.2.2"`:    "203.0.113.5",
			`192.0.2.1 "198.51.100.66, [2001:db8::5]:40, 192.0.2.2"`: "2001:db8::5",
			`192.0.2.1 "198.51.100.66, 203.0.113.5:40"`:              "203.0.113.5",
			`192.0.2.1 "198.51.100.66, unknown"`:                     "proxy",
			`192.0.2.1 "198.51.100.66, unknown, 192.0.2.2"`:          "proxy",
			`192.0.2.1 "192.0.2.3, 192.0.2.2"`:                       "proxy",
			`192.0.2.1 "2001:db8::5:40022"`:                          "proxy", // where does its port begin?
			`192.0.2.1 "-"`:                                          "proxy",
			`192.0.2.1 ""`:                                           "proxy",
			`192.0.2.1 "198.51.100.66,"`:                             "proxy",
			`192.0.2.1`:                                              "proxy",
			`192.0.2.1 "198.51.100.66" "203.0.113.5"`:                "proxy", // the first may be the end of an agent
			`192.0.2.1 "198.51.100.66`:                               "proxy",
		} {
			peer, forwarded, found := strings.Cut(line, " ")
			message := peer + ` - - [22/Nov/2026:10:00:00 +0000] "GET /.env HTTP/1.1" 404 5 "-" "Mozilla"`
			if found {
				message += " " + forwarded
			}
			if proxies == nil {
				want = peer
			}
			var f Finding
			verdict := r.Detect([]byte("web"), []byte(message), &f)
			got := f.Refusal.String()
			if verdict == Matched {
				got = f.Addr.String()
			}
			if got != want {
				t.Errorf("%s with proxies %v is %s, not %s", message, proxies, got, want)
			}
		}
	}
}

// accessTexts are what clients have tried for a user, a path, an agent, to have somebody else blamed.
func accessTexts(g *rand.Rand) func() string {
	fixed := []string{
		"", "-", " ", "a", "/x", "x y", framed1, "2001:db8::bad", framed1 + " - - ", " - - [22/Nov/2026:10:00:00 +0000] \"GET /.env HTTP/1.1\" 404 5", `" 404 5 "-" "-" "` + framed1,
		"\n" + framed1 + ` - - [22/Nov/2026:10:00:00 +0000] "GET /.env HTTP/1.1" 404 5`, `"`, `\"`, `\`, `\\"`, "\x00", "\xff", "[22/Nov/2026:10:00:00 +0000]",
		"] \"", `", "` + framed1, framed1 + ", ", "x, " + framed1, "[2001:db8::bad]:80", "%22", "%5c%22", strings.Repeat("A", 400), "é\u2028",
		`{"ip":"` + framed1 + `"}`, `","remote_ip":"` + framed1 + `","x":"`, `\u0022,"remote_ip":"` + framed1 + `"`, "\n{\"remote_ip\":\"" + framed1 + "\"}",
	}
	var text func(depth int) string
	text = func(depth int) string {
		if depth < 3 && g.IntN(3) == 0 {
			return text(depth+1) + text(depth+1)
		}
		return fixed[g.IntN(len(fixed))]
	}
	return func() string { return text(0) }
}

// TestAccessAdversary writes lines as Apache and nginx would, with hostile texts in all that a client can fill: the true
// peer is found, or nobody; behind a trusted proxy the one that the proxy names.
func TestAccessAdversary(t *testing.T) {
	framesNobody(t, webRules, 8, 10_000, 3_500, func(p parser, i int, peer, forwarded string, text func() string) string {
		return p.(*weblog.Access).Line(i%7, peer, forwarded, i%2 == 0, text)
	})
}

// framesNobody loads rules of a service "web" with a parser, and demands of so many lines that whoever they blame is their
// true peer, and that at least so many blame him: without a proxy, and behind one that is trusted.
func framesNobody(t *testing.T, rules string, seed uint64, lines, least int, write func(p parser, i int, peer, forwarded string, text func() string) string) {
	t.Helper()
	text := accessTexts(rand.New(rand.NewPCG(seed, seed)))
	for _, proxies := range [][]string{nil, {"192.0.2.0/28"}} {
		r := loadWeb(t, rules, proxies...)
		s := r.services[slices.IndexFunc(r.services, func(s *Service) bool { return s.Name == "web" })]
		found := 0
		var f Finding
		for i := range lines {
			peer, forwarded := truePeer, text()
			if proxies != nil {
				peer, forwarded = "192.0.2.7", forwarded+", "+truePeer
			}
			line := write(s.parser, i, peer, forwarded, text)
			if r.Detect([]byte("web"), []byte(line), &f) != Matched {
				continue
			}
			found++
			if f.Addr != netip.MustParseAddr(truePeer) {
				t.Fatalf("%v is blamed for\n%s", f.Addr, line)
			}
		}
		if found < least {
			t.Errorf("only %d of %d lines matched, with proxies %v", found, lines, proxies)
		}
	}
}

// FuzzAccess feeds lines whose first column is an address: it is the peer, or nobody is.
func FuzzAccess(f *testing.F) {
	r := loadWeb(f, webRules)
	for _, rule := range r.rules {
		for _, s := range rule.samples {
			if _, behind, found := strings.Cut(s.Form.Line.Value, truePeer); found {
				f.Add(behind)
			}
		}
	}
	f.Add(` - a [22/Nov/2026:10:00:00 +0000] "GET http://x//%2f\x22?a+b HTTP/2" 401 - "x" "y\"" "z`)
	f.Fuzz(func(t *testing.T, behind string) {
		var found Finding
		if r.Detect([]byte("web"), []byte(truePeer+" "+behind), &found) == Matched && found.Addr != netip.MustParseAddr(truePeer) {
			t.Fatalf("%q blames %v", behind, found.Addr)
		}
	})
}

// manyGlobs is a rule file of twenty rules with fifteen paths each, as a long list of known holes would be.
func manyGlobs(parser string) string {
	var b strings.Builder
	b.WriteString("service: many\nprograms: [many]\nparser: " + parser + "\nrules:\n")
	for i := range 20 {
		fmt.Fprintf(&b, "  - name: r%d\n    kind: web-attack\n    categories: [21]\n    where:\n      path: [", i)
		for k := range 15 {
			form := []string{"'/wp-content/plugins/hole-%d-%d*'", "'*/shell-%d-%d.php'", "'/admin-%d-%d/setup.cgi'", "'*/.secret-%d-%d/*'", "'/cgi-bin/%d-%d.sh'"}[k%5]
			fmt.Fprintf(&b, form+", ", i, k)
		}
		fmt.Fprintf(&b, "]\n    samples: [{line: x, ip: 192.0.2.1}]\n")
	}
	return b.String()
}

// BenchmarkAccess has lines of a web server: what visitors do, an attack, and what is no line of an access log.
func BenchmarkAccess(b *testing.B) {
	r := loadWeb(b, manyGlobs("access"))
	for name, line := range map[string]string{
		"benign":  `203.0.113.5 - - [22/Nov/2026:10:00:00 +0000] "GET /api/v1/items/4711 HTTP/1.1" 200 512 "-" "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36"`,
		"short":   `203.0.113.5 - - [22/Nov/2026:10:00:00 +0000] "GET /x HTTP/1.1" 200 512 "-" "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36"`,
		"plugin":  `203.0.113.5 - - [22/Nov/2026:10:00:00 +0000] "GET /wp-content/plugins/good/style.css?ver=6.1 HTTP/1.1" 200 512 "-" "Mozilla/5.0"`,
		"encoded": `203.0.113.5 - - [22/Nov/2026:10:00:00 +0000] "GET /a%20b/c.png HTTP/1.1" 200 512 "-" "Mozilla/5.0 (X11; Linux x86_64)"`,
		"attack":  `203.0.113.5 - - [22/Nov/2026:10:00:00 +0000] "GET /x/shell-3-6.php HTTP/1.1" 404 512 "-" "Mozilla/5.0"`,
		"undated": `192.168.0.10 - - "GET /api/v1/items/4711 HTTP/1.1" 200 512 "-" "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36"`,
		"long":    `203.0.113.5 - - [22/Nov/2026:10:00:00 +0000] "GET /` + strings.Repeat("%41/.secret-3-", 600) + ` HTTP/1.1" 404 512 "-" "Mozilla/5.0"`,
	} {
		b.Run(name, func(b *testing.B) {
			program, message := []byte("many"), []byte(line)
			var f Finding
			b.ReportAllocs()
			start := cpuTime(b)
			for b.Loop() {
				r.Detect(program, message, &f)
			}
			b.ReportMetric(float64(cpuTime(b)-start)/float64(b.N), "cpu-ns/op")
		})
	}
}

// TestAccessAllocates says that no line of a web server costs an allocation.
func TestAccessAllocates(t *testing.T) {
	r := loadWeb(t, webRules, "192.0.2.0/28")
	s := r.services[slices.IndexFunc(r.services, func(s *Service) bool { return s.Name == "web" })]
	text := accessTexts(rand.New(rand.NewPCG(9, 9)))
	var messages [][]byte
	for i := range 200 {
		messages = append(messages, []byte(s.parser.(*weblog.Access).Line(i%7, []string{truePeer, "192.0.2.7"}[i%2], text(), i%3 == 0, text)))
	}
	var f Finding
	program := []byte("web")
	if n := testing.AllocsPerRun(20, func() {
		for _, m := range messages {
			r.Detect(program, m, &f)
		}
	}); n != 0 {
		t.Errorf("%v allocations for %d lines", n, len(messages))
	}
}
