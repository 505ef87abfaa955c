package detect

import (
	"net/netip"
	"strings"
	"testing"

	"tattled/detect/packet"
)

// lastIsPeer are services that write an account's name or the like right before the peer's address, so that a list there is
// no list: its last address is what the program wrote, and the rest of it is a part of the name.
var lastIsPeer = map[string]bool{"sshd": true, "dovecot": true, "mariadb-audit": true, "postgresql": true}

// TestAddressLists writes a list of addresses into the peer's place of every sample, as programs do that log what
// X-Forwarded-For said: all but the last address of such a list is the client's word, and so is the last one as soon as
// somebody asks without the proxy. Nobody is blamed.
func TestAddressLists(t *testing.T) {
	r := load(t, Options{})
	samples, faults := r.Samples()
	for _, f := range faults {
		t.Error(f)
	}
	lists := []string{
		framed1 + ", 192.0.2.77", framed1 + ",192.0.2.77", framed1 + ", 192.0.2.77, 192.0.2.78", framed1 + ", 192.0.2.77:80",
		"unknown, " + framed1, "unknown," + framed1, "2001:db8::bad, 192.0.2.77", "-, " + framed1, `\", ` + framed1,
	}
	tried := 0
	for _, rule := range r.All() {
		if _, packets := rule.Service.parser.(*packet.Parser); rule.Kind == 0 || packets { // a packet has one source
			continue
		}
		for _, s := range samples[rule] {
			if !s.Addr.IsValid() {
				continue
			}
			program := rule.Service.Programs[0]
			if s.Form.Program.Line > 0 {
				program = s.Form.Program.Value
			}
			parts := strings.Split(s.Form.Line.Value, s.Form.IP.Value)
			for at := 1; at < len(parts); at++ {
				for _, list := range lists {
					m := strings.Join(parts[:at], s.Form.IP.Value) + list + strings.Join(parts[at:], s.Form.IP.Value)
					tried++
					var f Finding
					if r.Detect([]byte(program), []byte(m), &f) != Matched || !strings.Contains(list, f.Addr.String()) {
						continue
					}
					if !lastIsPeer[f.Rule.Service.Name] || !strings.HasSuffix(list, f.Addr.String()) {
						t.Errorf("%s: %v is blamed for\n%s", f.Rule, f.Addr, m)
					}
				}
			}
		}
	}
	if tried < 5000 {
		t.Errorf("only %d lines were tried", tried)
	}
}

// TestAddressListInAccess says what becomes of a list in the peer's place of a web server's log: it names nobody, is counted,
// and is taken apart from the right where the operator names proxies.
func TestAddressListInAccess(t *testing.T) {
	const rest = ` - - [22/Nov/2026:10:00:00 +0000] "GET /.env HTTP/1.1" 404 5 "-" "Mozilla"`
	for _, c := range []struct{ list, without, with string }{
		{"198.51.100.66, 203.0.113.5", "address-list", "203.0.113.5"},
		{"198.51.100.66,203.0.113.5", "address-list", "203.0.113.5"},
		{"198.51.100.66, 203.0.113.5, 192.0.2.7", "address-list", "203.0.113.5"},
		{"unknown, 203.0.113.5", "address-list", "203.0.113.5"},
		{"203.0.113.5, unknown", "address-list", "proxy"},
		{"192.0.2.7, 192.0.2.8", "address-list", "proxy"},
		{"www.example.org:80 198.51.100.66, 203.0.113.5", "address-list", "203.0.113.5"},
		{"198.51.100.66, 203.0.113.5 192.0.2.66", "192.0.2.66", "192.0.2.66"}, // which proves nothing: see TestFramedByColumn,
	} {
		for proxies, want := range map[string]string{"": c.without, "192.0.2.0/28": c.with} {
			r := loadWeb(t, webRules, strings.Fields(proxies)...)
			var f Finding
			got := "ignored"
			switch r.Detect([]byte("web"), []byte(c.list+rest), &f) {
			case Matched:
				got = f.Addr.String()
			case Refused:
				got = f.Refusal.String()
			}
			if got != want {
				t.Errorf("%q with proxies %q is %s, not %s", c.list, proxies, got, want)
			}
		}
	}
}

// TestAddressListInJSON says the same of objects, where the peer's value may be an array as well.
func TestAddressListInJSON(t *testing.T) {
	for _, proxies := range [][]netip.Prefix{nil, {netip.MustParsePrefix("192.0.2.0/28")}} {
		r := load(t, Options{TrustedProxies: proxies})
		for value, want := range map[string]string{
			`"198.51.100.66, 203.0.113.5"`:     "203.0.113.5",
			`"unknown, 203.0.113.5:40022"`:     "203.0.113.5",
			`["198.51.100.66", "203.0.113.5"]`: "address-list",
			`["203.0.113.5"]`:                  "address-list",
			`"203.0.113.5"`:                    "203.0.113.5",
		} {
			if proxies == nil && value != `"203.0.113.5"` {
				want = "address-list"
			}
			var f Finding
			verdict := r.Detect([]byte("nginx"), []byte(`{"remote_addr":`+value+`,"request_method":"GET","request_uri":"/.env","status":404}`), &f)
			got := f.Refusal.String()
			if verdict == Matched {
				got = f.Addr.String()
			}
			if got != want {
				t.Errorf("%s with proxies %v is %s, not %s", value, proxies, got, want)
			}
		}
	}
}

// TestFirstForwardedHeader says that Traefik's ClientHost, which is the first X-Forwarded-For of several, names nobody.
func TestFirstForwardedHeader(t *testing.T) {
	r := load(t, Options{TrustedProxies: []netip.Prefix{netip.MustParsePrefix("10.0.0.2/32")}})
	const line = `{"ClientAddr":"10.0.0.2:4000","ClientHost":"198.51.100.66","ClientPort":"4000","DownstreamStatus":404,"RequestMethod":"GET","RequestPath":"/.env","time":"2026-11-22T10:00:00Z"}`
	var f Finding
	if v := r.Detect([]byte("traefik"), []byte(line), &f); v != Refused || f.Refusal != Proxy {
		t.Errorf("it is %v, %v, %v", v, f.Refusal, f.Addr)
	}
}
