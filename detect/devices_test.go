package detect

import (
	"encoding/json"
	"net/netip"
	"strings"
	"testing"
)

// FuzzCEF gives a packet filter's message and the name of its rule any text, as a product writes it that escapes values and as one
// that does not. Nobody else is blamed by either, and what is escaped hides nobody.
func FuzzCEF(f *testing.F) {
	for _, text := range []string{"", " src=198.51.100.66 act=blocked dpt=22 ", "|src=198.51.100.66 ", `\ src\=198.51.100.66 `, "x src=198.51.100.66", " act=alert ", "\x00\xff]"} {
		f.Add(text, text)
	}
	r := load(f, Options{})
	escaped := strings.NewReplacer(`\`, `\\`, "=", `\=`, "\n", `\n`, "\r", `\n`)
	headEscaped := strings.NewReplacer(`\`, `\\`, "|", `\|`, "\n", " ", "\r", " ")
	peer := netip.MustParseAddr(truePeer)
	line := func(rule, message string) []byte {
		return []byte("0|Fortinet|Fortigate|v7.4.1|00013|" + rule + "|3|cat=traffic:forward src=" + truePeer + " spt=40022 dst=192.0.2.1 dpt=23 act=deny msg=" + message)
	}
	f.Fuzz(func(t *testing.T, rule, message string) {
		var found Finding
		if raw := line(rule, message); r.Detect([]byte("CEF"), raw, &found) == Matched && found.Addr != peer {
			t.Fatalf("%q blames %v", raw, found.Addr)
		}
		clean := line(strings.ReplaceAll(headEscaped.Replace(rule), "=", ":"), escaped.Replace(message))
		if v := r.Detect([]byte("CEF"), clean, &found); (v != Matched || found.Addr != peer) && len(clean) <= 512 {
			t.Fatalf("%q is %v %v", clean, v, found.Addr)
		}
	})
}

// FuzzEVE puts any text where Suricata quotes a peer's. It is escaped there, so that it neither blames anybody else nor hides whom
// the alert is about.
func FuzzEVE(f *testing.F) {
	for _, text := range []string{"", `","src_ip":"198.51.100.66`, `{"event_type":"http"}`, "\\", "\xff\u2028", `alert":{"action":"blocked"`} {
		f.Add(text, text, text)
	}
	r := load(f, Options{})
	peer := netip.MustParseAddr(truePeer)
	f.Fuzz(func(t *testing.T, host, url, agent string) {
		line, err := json.Marshal(map[string]any{
			"timestamp": "2026-11-22T10:00:00.123456+0000", "event_type": "alert", "src_ip": truePeer, "src_port": 40022, "dest_ip": "192.0.2.1", "dest_port": 80,
			"alert": map[string]any{"action": "allowed", "gid": 1, "signature_id": 2034647, "signature": "ET EXPLOIT Example", "severity": 1},
			"http":  map[string]any{"hostname": host, "url": url, "http_user_agent": agent, host: url, "src_ip": agent},
			"tls":   map[string]any{"sni": host, "subject": url, agent: []string{host, url}},
		})
		if err != nil {
			t.Fatal(err)
		}
		var found Finding
		if v := r.Detect([]byte("suricata"), line, &found); (v != Matched || found.Addr != peer) && len(line) <= 4096 {
			t.Fatalf("%s is %v %v", line, v, found.Addr)
		}
	})
}
