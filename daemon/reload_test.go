package daemon

import (
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"tattled/daemon/trusted"
	"tattled/event"
	"tattled/policy"
	"tattled/receiver/journal"
	"tattled/report"
	"tattled/report/abuseipdb"
	"tattled/report/mail"
	"tattled/setting"
	"tattled/store"
	"tattled/web"
)

// idle makes a daemon that does not run, on a configuration with more at its end.
func idle(t *testing.T, more string) (d *Daemon, configure func(more string)) {
	t.Helper()
	t.Setenv(abuseIPDBKey().variable, "")
	dir := t.TempDir()
	config := filepath.Join(dir, "t.yaml")
	configure = func(more string) {
		t.Helper()
		text := "sources: {syslog: [{listen: \"udp://127.0.0.1:0\"}]}\nstore: {path: " + filepath.Join(dir, "state.db") + "}\nweb: {listen: \"127.0.0.1:0\"}\n" + more
		if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	configure(more)
	d, err := New(Options{Config: config, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.close)
	return d, configure
}

// A reload that fails changes nothing, and is a metric, a problem and what systemctl status says, until one succeeds. What only a
// restart brings into effect is said.
func TestFailedReload(t *testing.T) {
	d, configure := idle(t, "")
	before := d.live.Load()
	problem := func() string {
		var all []string
		for _, p := range d.health().Problems {
			if strings.Contains(p.What, "reload") {
				all = append(all, p.Cause+" Remedy: "+p.Remedy)
			}
		}
		return strings.Join(all, "\n")
	}
	if !d.reloads.ok() || problem() != "" {
		t.Errorf("before any reload: %q", problem())
	}
	for more, want := range map[string]string{
		"trusted: [192.0.2.0/33]\n":                   "t.yaml:4: trusted[0]: ",
		"report: {abuseipdb: {key_file: /usr/lib}}\n": "t.yaml:4: report.abuseipdb.key_file: ",
		"rules: {disable: [nosuchservice]}\n":         "t.yaml:4: rules.disable",
		"{\n":                                         "not YAML",
	} {
		configure(more)
		d.reload()
		if d.reloads.ok() || !strings.Contains(problem(), want) || !strings.Contains(problem(), "Remedy: ") || !strings.Contains(d.status(), want) || strings.Contains(problem(), "\n") {
			t.Errorf("%q: %v, the problem is %q, the status %q", more, d.reloads.ok(), problem(), d.status())
		}
		if d.live.Load() != before {
			t.Errorf("%q changed something", more)
		}
	}
	configure("alerts: {mail: {from: a@example.org, to: [b@example.org]}}\ntrusted: [192.0.2.0/24]\n")
	d.reload()
	if !d.reloads.ok() || problem() != "" || !strings.Contains(d.status(), "wait for a restart: alerts.mail") {
		t.Errorf("%q, %q", problem(), d.status())
	}
	if e := d.live.Load(); !e.gate.Trusts(netip.MustParseAddr("192.0.2.7")) || mailOf(e.config) != nil {
		t.Errorf("%+v", e.config)
	}
	configure("")
	d.reload()
	if d.status() != "dry-run (no AbuseIPDB key), 1 sources" {
		t.Error(d.status())
	}
}

// Whatever changes in a configuration takes effect at a reload, or is named as what waits for a restart.
func TestReloadTakesEverythingOrSaysSo(t *testing.T) {
	zero := 0
	mailTo := func(change func(c *mail.Config)) func(c *Config) {
		return func(c *Config) {
			m := *mailOf(c)
			change(&m)
			p := &m
			c.put("alerts.mail", &p)
		}
	}
	running := shippedParts().config()
	m := &mail.Config{Rate: 1}
	running.put("alerts.mail", &m)
	covered := map[string]bool{}
	for _, c := range []struct {
		section string
		waits   bool
		change  func(c *Config)
	}{
		{"Sources", true, func(c *Config) { j := &journal.Config{}; c.put("sources.journal", &j) }},
		{"Rules", false, func(c *Config) { c.Rules = Rules{Disable: []string{"sshd"}, Drift: 500} }},
		{"Trusted", false, func(c *Config) { c.Trusted = make([]trusted.Entry, 1) }},
		{"Own", false, func(c *Config) { c.Own = make([]trusted.Entry, 1) }},
		{"TrustedAccounts", false, func(c *Config) { c.TrustedAccounts = []string{"alice"} }},
		{"TrustedLoginAge", false, func(c *Config) { c.TrustedLoginAge = setting.Duration(time.Hour) }},
		{"Policy", false, func(c *Config) { c.Policy = policy.List{{Name: "x", Reputation: &policy.Reputation{MaxScore: &zero}}} }},
		{"Report", false, func(c *Config) {
			c.put("report.abuseipdb", &abuseipdb.Config{Rate: 3, Uncertain: store.Drop, Window: setting.Duration(time.Hour)})
		}},
		{"Alerts", true, func(c *Config) { var none *mail.Config; c.put("alerts.mail", &none) }},
		{"Alerts", false, mailTo(func(c *mail.Config) { c.Rate = 7 })},
		{"Alerts", false, mailTo(func(c *mail.Config) { c.Mute = setting.Duration(time.Hour) })},
		{"GeoIP", false, func(c *Config) { c.GeoIP.City = "/x.mmdb" }},
		{"Store", true, func(c *Config) { c.Store.Path = "/x.db" }},
		{"Web", true, func(c *Config) { c.Web = web.Config{Listen: "127.0.0.1:1"} }},
		{"Control", true, func(c *Config) { c.Control = web.ControlConfig{Path: "/x.sock"} }},
		{"PolicyDefaults", false, func(c *Config) { c.PolicyDefaults = new(bool) }},
		{"RegularPorts", false, func(c *Config) { c.RegularPorts = []uint16{1} }},
		{"RegularAcceptPorts", false, func(c *Config) { c.RegularAcceptPorts = []uint16{1} }},
	} {
		covered[c.section] = true
		wanted := *running
		c.change(&wanted)
		takes := reflect.DeepEqual(effective(running, &wanted), &wanted)
		if names := needRestart(running, &wanted); takes == c.waits || (len(names) > 0) != c.waits {
			t.Errorf("%s: takes effect: %v, waits for a restart: %v", c.section, takes, names)
		}
	}
	for i := range reflect.TypeFor[Config]().NumField() {
		if f := reflect.TypeFor[Config]().Field(i); f.IsExported() && !covered[f.Name] {
			t.Errorf("nobody says whether %s takes effect at a reload", f.Name)
		}
	}
}

// The rate of a destination is the one of the last reload, also for what waits already.
func TestReloadTakesTheRate(t *testing.T) {
	r := startRuns(t)
	slow := func(rate string) {
		r.write("tattled.yaml", fmt.Sprintf("sources: {files: [{path: %q}]}\nstore: {path: %q}\nweb: {listen: \"127.0.0.1:0\"}\nreport: {abuseipdb: {url: %q, key_file: %q, rate: %s}}\n",
			r.file("auth.log"), r.file("state.db"), r.url, r.file("key"), rate))
		r.hangup <- syscall.SIGHUP
		r.hangup <- syscall.SIGHUP // taken only once the first one is done
	}
	slow("0.001")
	until(t, "key", func() bool { return !r.d.dryRun() })
	r.attack("45.148.10.1")
	until(t, "first report", func() bool { return r.settled(report.Delivered) == 1 })
	r.attack("45.148.10.2")
	until(t, "second report in the outbox", func() bool { return r.d.store.Stats().Items["abuseipdb"][store.Pending] == 1 })
	slow("10")
	until(t, "second report", func() bool { return r.settled(report.Delivered) == 2 })
}

// Whoever loads the engine while reloads go on has one configuration: its policy judges by its gate, and is a dry run just where its
// sender is.
func TestEngineIsOne(t *testing.T) {
	d, configure := idle(t, "")
	key := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(key, []byte(strings.Repeat("0123456789abcdef", 5)), 0o600); err != nil {
		t.Fatal(err)
	}
	stop := make(chan struct{})
	var looking sync.WaitGroup
	looking.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			e := d.live.Load()
			if e.policy.Gate() != e.gate || (e.config.abuseIPDB().KeyFile == "") != e.abuseIPDB().DryRun() {
				t.Error("parts of two configurations")
				return
			}
		}
	})
	for n := range 6 {
		more := ""
		if n%2 == 0 {
			more = fmt.Sprintf("report: {abuseipdb: {key_file: %q}}\n", key)
		}
		configure(more)
		if d.reload(); !d.reloads.ok() {
			t.Error(d.reloads.problems())
		}
	}
	close(stop)
	looking.Wait()
}

// What is due is judged again before it is sent: by the networks that are trusted now, by this machine's addresses of now, and by
// the policies of now.
func TestGateAtSendTime(t *testing.T) {
	d, configure := idle(t, "")
	configure(`trusted: [45.12.0.0/16]
alerts: {mail: {from: a@example.org, to: [b@example.org]}}
policy: [{name: open, do: [alert]}, {name: private, private: true, do: [alert]}]
`)
	wanted, err := shippedParts().read(d.options.Config)
	if err != nil {
		t.Fatal(err)
	}
	e, err := d.prepare(wanted)
	if err != nil {
		t.Fatal(err)
	}
	e.gate.SetOwn([]netip.Addr{netip.MustParseAddr("45.11.0.1")})
	for _, c := range []struct {
		destination, policy, addr, want string
	}{
		{"mail", "open", "45.9.20.7", ""},
		{"mail", "open", "10.0.0.7", "not sent, because the address is not a public one (private)"},
		{"mail", "open", "45.11.0.1", "not sent, because it is an address of this machine"},
		{"mail", "open", "45.12.0.1", "not sent, because the address is in a trusted network"},
		{"mail", "open", "172.64.1.1", ""},
		{"mail", "gone", "10.0.0.7", "not sent, because the address is not a public one (private)"},
		{"mail", "private", "10.0.0.7", ""},
		{"mail", "private", "45.11.0.1", ""},
		{"mail", "private", "45.12.0.1", "not sent, because the address is in a trusted network"},
		{"abuseipdb", "open", "45.9.20.7", ""},
		{"abuseipdb", "private", "10.0.0.7", "not sent, because the address is not a public one (private)"},
		{"abuseipdb", "private", "172.64.1.1", "not sent, because the address is a network of Cloudflare"},
	} {
		r := event.Report{Destination: c.destination, Policy: c.policy, Addr: netip.MustParseAddr(c.addr)}
		if got := e.mayTell(&r); got != c.want && (c.want == "" || !strings.HasPrefix(got, c.want)) {
			t.Errorf("%+v: %q", c, got)
		}
	}
	d.live.Store(e)
	for addr, want := range map[string]report.Result{"45.9.20.7": report.DryRun, "10.0.0.7": report.Dismissed, "45.11.0.1": report.Dismissed, "45.12.0.1": report.Dismissed} {
		if _, out := (scores{&d.live}).Check(t.Context(), netip.MustParseAddr(addr), time.Hour); out.Result != want {
			t.Errorf("asked about %s: %s, want %s", addr, out.Result, want)
		}
	}
}
