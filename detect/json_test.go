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

// caddyRules is a rule file for parser json.
const caddyRules = `service: web
programs: [web]
parser: json
fields: {ip: [request.client_ip, request.remote_ip], port: request.remote_port, local_port: port, target: request.uri, method: request.method, status: status, user: user_id,
  time: ts, agent: 'request.headers.User-Agent[0]', forwarded: request.headers.X-Forwarded-For, logger: [logger, a\.b.0], msg: msg}
rules:
  - name: secrets
    kind: web-attack
    handshake: true
    categories: [21]
    where: {path: ['/.env', '/a/*'], logger: 'http.*'}
    not: {status: 5xx}
    samples: [{line: '{"ts":1795300000.5,"logger":"http.log","request":{"remote_ip":"203.0.113.5","remote_port":"40022","method":"GET","uri":"/.env?x"},"user_id":"","status":404}', ip: 203.0.113.5, port: 40022}]
  - name: login
    kind: auth-failure
    categories: [18]
    where: {status: 401, method: POST, query: '*=x y*'}
    samples: [{line: '{"request":{"client_ip":"[2001:db8::5]:4022","method":"POST","uri":"/?q=x+y%20"},"user_id":"bob","status":"401"}', ip: "2001:db8::5", port: 4022, user: bob}]
  - name: agent
    kind: probe
    categories: [21]
    where: {agent: '*zgrab*'}
    samples: [{line: '{"request":{"remote_ip":"203.0.113.5","headers":{"User-Agent":["zGrab/1"]}}}', ip: 203.0.113.5}]
  - name: text
    kind: probe
    categories: [21]
    where: {msg: ["failed: \"é\"\n", '*/x"']}
    samples: [{line: '{"msg":"failed: \"\u00e9\"\n","request":{"remote_ip":"203.0.113.5"}}', ip: 203.0.113.5}]
`

// TestJSON says what is read of a line, and which rule it is by.
func TestJSON(t *testing.T) {
	r := loadWeb(t, caddyRules)
	if _, faults := r.Run(); len(faults) > 0 {
		t.Error(faults)
	}
	const logger = `"logger":"http.log",`
	for line, want := range map[string]string{
		`{` + logger + `"request":{"remote_ip":"203.0.113.5","uri":"/.env"}}`:                                       "secrets",
		`{` + logger + `"request":{"remote_ip":"203.0.113.5:99","uri":"/.env"}}`:                                    "secrets 99",
		`{` + logger + `"request":{"remote_ip":"203.0.113.5","remote_port":77,"uri":"/.env"}}`:                      "secrets 77",
		`{` + logger + `"request":{"client_ip":"203.0.113.5","remote_ip":"198.51.100.66","uri":"/.env"}}`:           "secrets",
		`{` + logger + `"request":{"client_ip":null,"remote_ip":"203.0.113.5","uri":"/.env"}}`:                      "secrets",
		` {"a.b":["http.x"],"request":{"remote_ip":"203.0.113.5","uri":"\/\/%2e\u0065nv"},"status":404} `:           "secrets",
		`{"a.b":{"0":"http.x"},"request":{"remote_ip":"203.0.113.5","uri":"http://x.example/a/b"},"status":404}`:    "secrets",
		`{` + logger + `"request":{"remote_ip":"203.0.113.5","uri":"/.env"},"status":502}`:                          "",
		`{` + logger + `"request":{"remote_ip":"203.0.113.5","uri":"/.env"},"status":404`:                           "",
		`{` + logger + `"request":{"remote_ip":"203.0.113.5","uri":"/.env"},"status":404}x`:                         "",
		`{` + logger + `"request":{"remote_ip":"203.0.113.5","uri":"/.env"},"status":404,}`:                         "",
		`{` + logger + `"request":{"uri":"/.env"},"status":404}`:                                                    "",
		`{` + logger + `"request":{"remote_ip":{},"uri":"/.env"},"status":404}`:                                     "",
		`{` + logger + `"request":{"remote_ip":"a.example","uri":"/.env"}}`:                                         "host-name",
		`{` + logger + `"request":{"remote_ip":"","uri":"/.env"}}`:                                                  "bad-address",
		`{` + logger + `"request":{"remote_ip":"@","uri":"/.env"}}`:                                                 "bad-address",
		`{` + logger + `"request":{"remote_ip":3405803781,"uri":"/.env"}}`:                                          "bad-address",
		`{` + logger + `"request":{"remote_ip":"203.0.113.5","uri":"/.env"},"request":{"remote_ip":"203.0.113.5"}}`: "ambiguous",
		`{` + logger + `"request":{"remote_ip":"203.0.113.5","uri":"/.env","r\u0065mote_ip":"198.51.100.66"}}`:      "ambiguous",
		`{` + logger + `"request":{"remote_ip":"203.0.113.5","uri":"/","uri":"/.env"}}`:                             "ambiguous",
		`{` + logger + `"request":{"remote_ip":"203.0.113.5","uri":"/.env","uri":"/"}}`:                             "ambiguous",
		`{` + logger + `"request":{"remote_ip":"203.0.113.5","uri":"/","uri":"/x"}}`:                                "",
		`{` + logger + `"x":1,"x":2,"request":{"remote_ip":"203.0.113.5","uri":"/.env","y":1,"y":2}}`:               "secrets",
		`{"request":{"remote_ip":"203.0.113.5","method":"POST","uri":"/?a=x+y"},"status":401}`:                      "login",
		`{"request":{"remote_ip":"203.0.113.5","method":"POST","uri":"/?a=x+y"},"user_id":"a\"b","status":401}`:     `login a\"b`,
		`{"request":{"remote_ip":"203.0.113.5","method":"GET","uri":"/?a=x+y"},"status":401}`:                       "",
		`{"request":{"remote_ip":"203.0.113.5","method":"POST","uri":"/?a=x+y"},"status":4010}`:                     "",
		`{"request":{"remote_ip":"203.0.113.5","headers":{"User-Agent":["x","zgrab"]}}}`:                            "",
		`{"request":{"remote_ip":"203.0.113.5","headers":{"User-Agent":"zgrab"}}}`:                                  "",
		`{"msg":"\ud83d\u0001 \/X\u0022","request":{"remote_ip":"203.0.113.5"}}`:                                    "text",
		`[{"msg":"a/x\""}]`: "", `"x"`: "", ``: "", `{}`: "", `{`: "", ` `: "", `{"request":{"remote_ip":"203.0.113.5"}}`: "",
		`{"a":` + strings.Repeat("[", 60) + strings.Repeat("]", 60) + `,"msg":"a/x\"","request":{"remote_ip":"203.0.113.5"}}`: "text",
		`{"a":` + strings.Repeat("[", 64) + strings.Repeat("]", 64) + `,"msg":"a/x\"","request":{"remote_ip":"203.0.113.5"}}`: "",
	} {
		var f Finding
		got := ""
		switch r.Detect([]byte("web"), []byte(line), &f) {
		case Matched:
			got = strings.TrimSpace(f.Rule.Name + " " + string(f.User))
			if f.Port > 0 {
				got += fmt.Sprint(f.Port)
				got = strings.Replace(got, "s", "s", 1)
			}
			if f.Addr != netip.MustParseAddr(truePeer) {
				t.Errorf("%s blames %v", line, f.Addr)
			}
		case Refused:
			got = f.Refusal.String()
		}
		if got != strings.ReplaceAll(want, "secrets ", "secrets") {
			t.Errorf("%s is %q, not %q", line, got, want)
		}
	}
	var f Finding
	if r.Detect([]byte("web"), []byte(`{"port":65537,"msg":"a/x\"","request":{"remote_ip":"203.0.113.5"}}`), &f); f.LocalPort != 0 {
		t.Errorf("port 65537 is %d", f.LocalPort)
	}
	r.Detect([]byte("web"), []byte(`{"ts":1795300000.5,"msg":"a/x\"","request":{"remote_ip":"203.0.113.5"}}`), &f)
	if at, ok := f.Stamp.Time(time.Local, time.Now()); !ok || at.UnixMilli() != 1795300000500 {
		t.Errorf("it was at %v, %v", at, ok)
	}
}

// TestJSONForwarded says whom a line is about that a proxy sent.
func TestJSONForwarded(t *testing.T) {
	r := loadWeb(t, caddyRules, "192.0.2.0/28")
	for value, want := range map[string]string{
		`["198.51.100.66, 203.0.113.5"]`: truePeer, `"198.51.100.66, 203.0.113.5, 192.0.2.9"`: truePeer, `[ "203.0.113.5" ]`: truePeer,
		`["198.51.100.66","203.0.113.5"]`: "proxy", `["198.51.100.66\", 203.0.113.5"]`: "proxy", `[]`: "proxy", `[7]`: "proxy", `{}`: "proxy",
		`null`: "proxy", `["\u0032"]`: "proxy", `[["203.0.113.5"]]`: "proxy", `[""]`: "proxy", `"203.0.113.5"`: truePeer,
	} {
		line := `{"msg":"a/x\"","request":{"remote_ip":"192.0.2.7:80","headers":{"X-Forwarded-For":` + value + `}}}`
		var f Finding
		verdict := r.Detect([]byte("web"), []byte(line), &f)
		got := f.Refusal.String()
		if verdict == Matched {
			got = f.Addr.String()
		}
		if got != want {
			t.Errorf("%s is %s, not %s", line, got, want)
		}
	}
}

func FuzzJSON(f *testing.F) {
	for _, line := range []string{`{"a":1,"b":{"a":"x","c":[{"a":"\u00e9\ud83d\ude00"}]},"x.y":true}`, `{"b":[1,-2.5e3],"c":[{"b":null}]}`, `{"\u0061":"\\\"\/"}`, `{"a":"0123456789\n"}`} {
		f.Add([]byte(line))
	}
	r := loadWeb(f, caddyRules)
	for _, rule := range r.rules {
		for _, s := range rule.samples {
			f.Add([]byte(s.Form.Line.Value))
		}
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		var found Finding
		r.Detect([]byte("web"), line, &found)
	})
}

// TestJSONAdversary writes lines with hostile texts in all that a client can fill: the true peer is found, or nobody;
// behind a trusted proxy the one that the proxy names.
func TestJSONAdversary(t *testing.T) {
	framesNobody(t, caddyRules, 11, 6_000, 2_500, func(p parser, i int, peer, forwarded string, text func() string) string {
		return p.(*weblog.JSON).Line(i%4, peer, forwarded, text)
	})
}

// TestJSONFaults says what is wrong with fields.
func TestJSONFaults(t *testing.T) {
	for change, want := range map[string]string{
		"ip: [request.client_ip, request.remote_ip]=>peer: x": "web.yaml:4: fields: parser json needs ip:",
		"msg: msg=>msg: 'a[0'":                                "a bracket of the path",
		"msg: msg=>msg: a..b":                                 "has a name that is empty or too long",
		"msg: msg=>path: p":                                   "leave path out",
		"target: request.uri=>request: p":                     "leave method out",
		"where: {agent: '*zgrab*'}=>where: {agnt: x}":         "web.yaml:22: no such field: agnt (there are target, user, agent, logger, msg, path, query, method, status)",
		"where: {agent: '*zgrab*'}=>where: {status: 4x}":      `web.yaml:22: status: "4x" is neither`,
		"where: {agent: '*zgrab*'}=>where: {method: 'G*'}":    `web.yaml:22: method: "G*" is not a method`,
		"where: {agent: '*zgrab*'}=>where: {}":                `rule "agent" matches nothing: write where:`,
		"where: {agent: '*zgrab*'}=>match: ['x <ip>']":        "a rule of the json parser has no patterns",
		"parser: json=>before: [x]\nparser: json":             "before and after are for patterns",
	} {
		old, new, _ := strings.Cut(change, "=>")
		_, faults := Load(Options{Directory: userRules(t, "web.yaml", strings.Replace(caddyRules, old, new, 1))})
		if all := fmt.Sprint(faults); !strings.Contains(all, want) {
			t.Errorf("%s gives %s", change, all)
		}
	}
}

func BenchmarkJSON(b *testing.B) {
	content := strings.Replace(manyGlobs("json"), "rules:", "fields: {ip: [request.client_ip, request.remote_ip], target: request.uri, method: request.method, status: status, user: user_id, time: ts, forwarded: request.headers.X-Forwarded-For, agent: 'request.headers.User-Agent[0]'}\nrules:", 1)
	r := loadWeb(b, content)
	const caddy = `{"level":"info","ts":1646861401.5241024,"logger":"http.log.access","msg":"handled request","request":{"remote_ip":"203.0.113.5","remote_port":"41342","client_ip":"203.0.113.5","proto":"HTTP/2.0","method":"GET","host":"localhost","uri":"%s","headers":{"User-Agent":["curl/7.82.0"],"Accept":["*/*"],"Accept-Encoding":["gzip, deflate, br"]},"tls":{"resumed":false,"version":772,"cipher_suite":4865,"proto":"h2","server_name":"example.com"}},"bytes_read": 0,"user_id":"","duration":0.000929675,"size":10900,"status":200,"resp_headers":{"Server":["Caddy"],"Content-Encoding":["gzip"],"Content-Type":["text/html; charset=utf-8"],"Vary":["Accept-Encoding"]}}`
	for name, line := range map[string]string{
		"benign": fmt.Sprintf(caddy, "/api/v1/items/4711"), "attack": fmt.Sprintf(caddy, "/x/shell-3-6.php"), "other": "2026/11/22 10:00:00.123 INFO serving initial configuration",
		"short": `{"level":"info","ts":1795300000,"caller":"http/server.go:212","msg":"request done","path":"/v1/orders","dur_ms":12,"req_id":"0123456789abcdef0123456789abcdef"}`,
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
			b.ReportMetric(float64(len(line)), "bytes")
		})
	}
}

// TestJSONAllocates says that no line costs an allocation.
func TestJSONAllocates(t *testing.T) {
	r := loadWeb(t, caddyRules, "192.0.2.0/28")
	s := r.services[slices.IndexFunc(r.services, func(s *Service) bool { return s.Name == "web" })]
	text := accessTexts(rand.New(rand.NewPCG(12, 12)))
	var messages [][]byte
	for i := range 200 {
		messages = append(messages, []byte(s.parser.(*weblog.JSON).Line(i%4, []string{truePeer, "192.0.2.7"}[i%2], text(), text)))
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
