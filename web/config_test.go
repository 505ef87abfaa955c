package web

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
)

// hash is bcrypt of "secret".
const hash = "$2a$04$P74av9Z5jPAtC8PJJYuvfe4w9QHNnXHLNaiCrgK6wI3V5ymE9GV2u"

func file(t testing.TB, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "web.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// Every fault is told at its setting, with a way out.
func TestCheck(t *testing.T) {
	users := file(t, "basic_auth_users: {admin: "+hash+"}\n")
	limits := file(t, "rate_limit: {interval: 1s, burst: 20}\n")
	broken := file(t, "basic_auth_users: {admin: plain}\n")
	for name, c := range map[string]struct {
		cfg  Config
		want map[string]string // setting -> part of the problem
	}{
		"default":         {Config{}, nil},
		"loopback":        {Config{Listen: "[::1]:9817"}, nil},
		"localhost":       {Config{Listen: "localhost:0"}, nil},
		"any":             {Config{Listen: ":9817"}, map[string]string{"listen": "allow_unauthenticated: true"}},
		"any v4":          {Config{Listen: "0.0.0.0:9817"}, map[string]string{"listen": "nobody is asked who they are"}},
		"mapped loopback": {Config{Listen: "[::ffff:127.0.0.1]:9817"}, nil},
		"lan":             {Config{Listen: "192.0.2.1:9817", ConfigFile: limits}, map[string]string{"listen": "basic_auth_users"}},
		"lan in writing":  {Config{Listen: "192.0.2.1:9817", AllowUnauthenticated: true}, nil},
		"lan with users":  {Config{Listen: "192.0.2.1:9817", ConfigFile: users}, nil},
		"bad file":        {Config{Listen: "192.0.2.1:9817", ConfigFile: broken}, map[string]string{"config_file": "fix it"}},
		"no file":         {Config{ConfigFile: "/nowhere/web.yaml"}, map[string]string{"config_file": "no such file"}},
		"no port":         {Config{Listen: "127.0.0.1"}, map[string]string{"listen": "write it like 127.0.0.1:9817"}},
		"port too large":  {Config{Listen: "127.0.0.1:70000"}, map[string]string{"listen": "is not a port"}},
		"a name":          {Config{Listen: "example.org:9817"}, map[string]string{"listen": "is not an IP address"}},
		"hosts": {Config{Hosts: []string{"monitor.example.org", "192.0.2.1", "https://x.org", "x.org:80", "*.x.org", ""}}, map[string]string{
			"hosts[2]": "not a host name", "hosts[3]": "not a host name", "hosts[4]": "not a host name", "hosts[5]": "not a host name",
		}},
		"all at once": {Config{Listen: "x", Hosts: []string{"a b"}}, map[string]string{"listen": "address:port", "hosts[0]": "not a host name"}},
	} {
		got := map[string]string{}
		c.cfg.Check(func(path, problem string) {
			if part, ok := c.want[path]; ok && strings.Contains(problem, part) {
				problem = part
			}
			got[path] = problem
		})
		if c.want == nil {
			c.want = map[string]string{}
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// An inherited socket beyond loopback is refused as a configured one is, and so is a client certificate that nobody checks.
func TestNewRefusesToBeOpen(t *testing.T) {
	deps := Deps{Store: peopled(0), Gatherer: prometheus.NewRegistry(), Health: fairHealth}
	unchecked := file(t, "tls_server_config: {cert_file: c, key_file: k, client_auth_type: RequireAnyClientCert}\n")
	checked := file(t, "tls_server_config: {cert_file: c, key_file: k, client_auth_type: RequireAndVerifyClientCert, client_ca_file: ca}\n")
	for _, c := range []struct {
		cfg Config
		ok  bool
	}{
		{Config{}, false},
		{Config{ConfigFile: unchecked}, false},
		{Config{ConfigFile: "/nowhere"}, false},
		{Config{ConfigFile: checked}, true},
		{Config{AllowUnauthenticated: true}, true},
	} {
		listener, err := net.Listen("tcp", "0.0.0.0:0")
		if err != nil {
			t.Fatal(err)
		}
		deps.Listener = listener
		s, err := New(c.cfg, deps)
		if (err == nil) != c.ok {
			t.Errorf("%+v: %v", c.cfg, err)
		}
		if s != nil {
			s.listener.Close()
		}
		if conn, err := net.Dial("tcp", listener.Addr().String()); err == nil {
			conn.Close()
			t.Errorf("%+v: the socket is left open", c.cfg)
		}
	}
}

func TestNewFails(t *testing.T) {
	f := peopled(1)
	f.fail = errBroken
	if _, err := New(Config{Listen: "127.0.0.1:0"}, Deps{Store: f}); err == nil {
		t.Error("a store that cannot be read was taken")
	}
}

// An address that is not there, or that somebody else has, is a problem and no error: the page comes when it can.
func TestListenLater(t *testing.T) {
	s, err := New(Config{Listen: "192.0.2.1:1", AllowUnauthenticated: true}, Deps{Store: peopled(0)})
	if err != nil || !strings.Contains(fmt.Sprint(s.Problems()), "192.0.2.1:1") {
		t.Errorf("an address that is not ours: %v", err)
	}
	squatter, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer squatter.Close()
	r := start(t, peopled(1), func(c *Config, _ *Deps) { c.Listen = squatter.Addr().String() }, usualPace())
	if len(r.Problems()) == 0 {
		t.Error("somebody else has the port, and that is not a problem")
	}
	squatter.Close()
	for deadline := time.Now().Add(20 * time.Second); len(r.Problems()) > 0; {
		if time.Now().After(deadline) {
			t.Fatal("the port is free and not taken")
		}
		runtime.Gosched()
	}
	if answer, _ := r.get("/healthz"); answer.StatusCode != http.StatusOK {
		t.Errorf("/healthz: %s", answer.Status)
	}
	r.stop()
	// One that never gets its port stops as well.
	squatter, err = net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer squatter.Close()
	start(t, peopled(1), func(c *Config, _ *Deps) { c.Listen = squatter.Addr().String() }, usualPace()).stop()
}

func TestAddress(t *testing.T) {
	for listen, want := range map[string]string{
		"": "127.0.0.1:9817", "localhost:80": "127.0.0.1:80", ":80": "[::]:80", "[::1]:80": "[::1]:80", "0.0.0.0:80": "0.0.0.0:80", "name:80": "invalid AddrPort",
	} {
		c := Config{Listen: listen}
		if got, _ := c.Address(); got.String() != want {
			t.Errorf("%q: %s, want %s", listen, got, want)
		}
	}
}

// An IPv4 literal opens IPv4 alone; no address opens both.
func TestListenFamily(t *testing.T) {
	deps := Deps{Store: peopled(0), Gatherer: prometheus.NewRegistry(), Health: fairHealth}
	for listen, want := range map[string]bool{"0.0.0.0:0": false, ":0": true} {
		s, err := New(Config{Listen: listen, AllowUnauthenticated: true}, deps)
		if err != nil {
			t.Fatal(err)
		}
		_, port, err := net.SplitHostPort(s.listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		c, err := net.Dial("tcp", net.JoinHostPort("::1", port))
		if (err == nil) != want {
			t.Errorf("%s by IPv6: %v", listen, err)
		}
		if c != nil {
			c.Close()
		}
		s.listener.Close()
	}
}

// The page's address is one that a browser takes.
func TestURL(t *testing.T) {
	encrypted := file(t, "tls_server_config: {cert_file: c, key_file: k, client_auth_type: RequireAndVerifyClientCert, client_ca_file: ca}\n")
	deps := Deps{Store: peopled(0), Gatherer: prometheus.NewRegistry(), Health: fairHealth}
	for _, c := range []struct {
		cfg  Config
		want string
	}{
		{Config{Listen: "127.0.0.1:0"}, "http://127.0.0.1:%s/"},
		{Config{Listen: "[::1]:0"}, "http://[::1]:%s/"},
		{Config{Listen: "0.0.0.0:0", AllowUnauthenticated: true}, "http://localhost:%s/"},
		{Config{Listen: ":0", ConfigFile: encrypted}, "https://localhost:%s/"},
	} {
		s, err := New(c.cfg, deps)
		if err != nil {
			t.Fatal(err)
		}
		_, port, err := net.SplitHostPort(s.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		if got := s.URL(); got != fmt.Sprintf(c.want, port) {
			t.Errorf("%+v is at %s", c.cfg, got)
		}
		s.listener.Close()
	}
}
