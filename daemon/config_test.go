package daemon

import (
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"tattled/detect"
	"tattled/event"
	"tattled/report/mail"
)

// parseConfig is how a configuration is read, of a text.
func parseConfig(path string, text []byte) (*Config, error) {
	cfg, faults := shippedParts().parse(path, text)
	if len(faults) > 0 {
		return nil, faults
	}
	return cfg, nil
}

func TestConfigOfTheContract(t *testing.T) {
	cfg, err := parseConfig("t.yaml", []byte(`
sources:
  journal: {reporter: web1}
  files:
    - {path: /var/log/nginx/access.log, program: nginx, reporter: shop}
  syslog:
    - {listen: "udp://127.0.0.1:5514"}
    - {listen: "tcp://127.0.0.1:5514", allow: [127.0.0.0/8]}
trusted: [192.0.2.0/24]
policy:
  - {name: ssh-bruteforce, when: {kind: [auth-failure], service: [sshd]}, threshold: 5, within: 10m, do: [report]}
  - {name: accept-unexpected-country, when: {kind: [firewall-accept], country_not: [BE, NL]}, reputation: {max_score: 0, max_age: 90d}, do: [alert]}
report:
  abuseipdb: {url: "https://api.abuseipdb.com/api/v2/", key_file: /etc/tattled/abuseipdb.key, window: 24h}
alerts:
  mail: {server: "localhost:25", from: tattled@example.org, to: [admin@example.org], mute: 24h}
geoip: {city: /var/lib/GeoIP/GeoLite2-City.mmdb, asn: /var/lib/GeoIP/GeoLite2-ASN.mmdb}
store: {path: /var/lib/tattled/state.db}
web: {listen: "127.0.0.1:9817"}
`))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, s := range cfg.sources() {
		names = append(names, s.at+" "+s.name+" "+s.reporter)
	}
	if strings.Join(names, ", ") != "sources.journal journal web1, sources.files[0] file:/var/log/nginx/access.log shop, "+
		"sources.syslog[0] udp://127.0.0.1:5514 , sources.syslog[1] tcp://127.0.0.1:5514 " {
		t.Errorf("sources are %q", names)
	}
	if p := cfg.Policy[0]; p.Threshold != 5 || p.Within.D() != 10*time.Minute || p.When.Kind[0] != event.AuthFailure {
		t.Errorf("policy is %+v", p)
	}
	if r := cfg.Policy[1].Reputation; r.MaxScore == nil || *r.MaxScore != 0 || r.MaxAge.D() != 90*24*time.Hour {
		t.Errorf("reputation is %+v", r)
	}
	if cfg.Trusted[0].String() != "192.0.2.0/24" || mailOf(cfg).To[0] != "admin@example.org" {
		t.Errorf("trusted %v, mail %+v", cfg.Trusted, mailOf(cfg))
	}
}

// mailOf returns the section alerts.mail, nil if there is none.
func mailOf(cfg *Config) *mail.Config { return *sectionOf[*mail.Config](cfg, "alerts.mail") }

// A section that is named and empty has its defaults.
func TestEmptySections(t *testing.T) {
	cfg, err := parseConfig("t.yaml", []byte("sources:\n  journal:\npolicy:\nalerts: {}\nweb:\nstore: {path: /tmp/x.db}\n"))
	if err != nil {
		t.Fatal(err)
	}
	if len(cfg.sources()) != 1 || cfg.Policy != nil || mailOf(cfg) != nil {
		t.Errorf("%+v", cfg)
	}
}

func TestConfigFaults(t *testing.T) {
	for text, want := range map[string]string{
		"sources: {journal: {}}\nsources: {}\n":            "t.yaml:2: sources: appears twice, first in line 1",
		"sources: {journal: {reporter: [a]}}\n":            "t.yaml:1: sources.journal.reporter: a string belongs here",
		"sources:\n  jornal: {}\n":                         `t.yaml:2: sources.jornal: no such setting: did you mean "journal"?`,
		"sources: {files: {path: /x}}\n":                   `t.yaml:1: sources.files: a list belongs here`,
		"sources: {journal: {}}\nregular_ports: [70000]\n": `t.yaml:2: regular_ports[0]: "70000" is not a whole number from 0 to 65535`,
		"sources: {journal: {}}\nregular_ports: [-1]\n":    `t.yaml:2: regular_ports[0]`,
		"{}\n": "nothing to read",
		"sources: {journal: {}}\ntrusted: [10.0.0.0/33]\n":                                     "t.yaml:2: trusted[0]",
		"sources: {files: [{path: /var/log/a.log}, {path: /var/log/../log/a.log}]}":            "sources.files[1].path: /var/log/../log/a.log is already read by entry 0, /var/log/a.log: remove one",
		"sources: {files: [{path: /var/log/a.log, program: nginx}, {path: '/var/log/*.log'}]}": "sources.files[0].path: /var/log/a.log is already read by entry 1, /var/log/*.log: remove one",
		"sources: {syslog: [{listen: 'udp://[::1]:1'}, {listen: 'udp://[::1]:1'}]}":            "sources.syslog[1].listen: entry 0 listens on udp://[::1]:1 already: remove one",
		"x: &x\n  <<: *x\n": "t.yaml:",

		// lists as a whole
		"sources: {journal: {}}\npolicy: [" + strings.Repeat("{name: x, do: [count]},", 65) + "]": "t.yaml:2: policy: there are 82 policies, with those that come with tattled: at most 64 are possible",
		"sources: {journal: {}}\npolicy:\n- {name: x, do: [count]}\n- {name: x, do: [count]}":     `t.yaml:4: policy[1].name: "x" names policy [0] already`,
		"sources: {journal: {}}\npolicy_defaults: false\npolicy: [{name: a, threshold: 1000, within: 1h, do: [count]}, {name: b, threshold: 1000, within: 1h, do: [count]}, " +
			"{name: c, threshold: 1000, within: 1h, do: [count]}, {name: d, threshold: 1000, within: 1h, do: [count]}, {name: e, do: [count]}]": "t.yaml:3: policy: the thresholds of all policies, with those that come with tattled, add up to 4001",
		"sources: {files: [{path: /var/log/a}, {path: /var//log/a}]}": "t.yaml:1: sources.files[1].path: /var//log/a is already read by entry 0",
	} {
		_, err := parseConfig("t.yaml", []byte(text))
		var faults Faults
		if !errors.As(err, &faults) || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v; want %q in it", text, err, want)
		}
	}
}

func FuzzParseConfig(f *testing.F) {
	f.Add("sources: {journal: {}}\n")
	f.Add("a: &a [*a]\n")
	f.Add("policy: [{name: x, when: {kind: [auth-failure]}, threshold: -1, within: 1d}]\n")
	f.Fuzz(func(t *testing.T, text string) {
		cfg, err := parseConfig("f.yaml", []byte(text))
		if (cfg == nil) == (err == nil) {
			t.Errorf("configuration %v and error %v", cfg, err)
		}
	})
}

// A private network in which anybody may be is no good list of proxies.
func TestProxyWarnings(t *testing.T) {
	cfg, err := parseConfig("test.yaml", []byte("sources: {journal: {}}\nrules: {trusted_proxies: [10.0.0.2, 10.1.0.0/16, \"fd00::/8\", 127.0.0.1, 127.0.0.0/8, 203.0.113.0/24, \"@cloudflare\"]}\n"))
	if err != nil {
		t.Fatal(err)
	}
	all := strings.Join(proxyWarnings(cfg.Rules.TrustedProxies), "\n")
	if strings.Count(all, "\n") != 2 || !strings.Contains(all, "in 10.1.0.0/16 ") || !strings.Contains(all, "in fd00::/8 ") || !strings.Contains(all, "in 127.0.0.0/8 ") {
		t.Errorf("the warnings are:\n%s", all)
	}
}

// The proxies of the configuration are those that detection believes.
func TestTrustedProxiesReachDetection(t *testing.T) {
	cfg, err := parseConfig("test.yaml", []byte("sources: {files: [{path: /var/log/nginx/access.log, program: nginx}]}\nrules: {trusted_proxies: [192.0.2.0/24]}\n"))
	if err != nil {
		t.Fatal(err)
	}
	rules, faults := loadRules(cfg)
	if len(faults) > 0 {
		t.Fatal(faults)
	}
	if gate := newGate(cfg, nil); !gate.Trusts(netip.MustParseAddr("192.0.2.7")) || gate.Trusts(netip.MustParseAddr("192.0.3.7")) {
		t.Error("a proxy that an error log names can be reported, or somebody else cannot")
	}
	var f detect.Finding
	for line, want := range map[string]string{
		`192.0.2.7 - - [22/Nov/2026:10:00:00 +0000] "GET /.env HTTP/1.1" 404 5 "-" "x" "198.51.100.66, 203.0.113.5"`:   "matched 203.0.113.5",
		`203.0.113.9 - - [22/Nov/2026:10:00:00 +0000] "GET /.env HTTP/1.1" 404 5 "-" "x" "198.51.100.66, 203.0.113.5"`: "matched 203.0.113.9",
		`192.0.2.7 - - [22/Nov/2026:10:00:00 +0000] "GET /.env HTTP/1.1" 404 5 "-" "x"`:                                "refused",
	} {
		verdict := rules.Detect([]byte("nginx"), []byte(line), &f)
		got := verdict.String()
		if verdict == detect.Matched {
			got += " " + f.Addr.String()
		}
		if got != want {
			t.Errorf("%s: %s, want %s", line, got, want)
		}
	}
}
