package mail_test

import (
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	alert "tattled/report/mail"
	"tattled/setting"
)

func faults(c alert.Config) []string {
	var all []string
	c.Check(func(path, problem string) { all = append(all, path+": "+problem) })
	return all
}

func good() alert.Config {
	return alert.Config{From: "tattled@example.org", To: []string{"admin@example.org"}}
}

// What the design's example says is enough; the defaults protect the connection wherever there is somebody between.
func TestDefaults(t *testing.T) {
	if f := faults(good()); len(f) != 0 {
		t.Error(f)
	}
	for server, want := range map[string]string{
		"": "none", "localhost:25": "none", "127.0.0.1:2525": "none", "[::1]:25": "none", "localhost:465": "none",
		"mail.example.org:25": "mandatory", "mail.example.org:587": "mandatory", "mail.example.org:465": "implicit", "10.0.0.1:25": "mandatory",
		"localhost.example.org:25": "mandatory",
	} {
		if got := (alert.Config{Server: server}).WithDefaults().TLS; got != want {
			t.Errorf("%s: %s, want %s", server, got, want)
		}
	}
}

// Every fault is told, all at once, with its setting.
func TestCheck(t *testing.T) {
	for name, test := range map[string]struct {
		change func(c *alert.Config)
		want   []string // paths
	}{
		"no addresses":  {func(c *alert.Config) { c.From, c.To = "", nil }, []string{"from", "to"}},
		"bad addresses": {func(c *alert.Config) { c.From, c.To = "x", []string{"a@example.org", "b@", "c@d\r\nBcc: e@f"} }, []string{"from", "to[1]", "to[2]"}},
		"not ASCII":     {func(c *alert.Config) { c.To = []string{"rené@example.org"} }, []string{"to[0]"}},
		"too many":      {func(c *alert.Config) { c.To = strings.Fields(strings.Repeat("a@example.org ", 51)) }, []string{"to"}},
		"no port":       {func(c *alert.Config) { c.Server = "mail.example.org" }, []string{"server"}},
		"bad port":      {func(c *alert.Config) { c.Server = "mail.example.org:smtp" }, []string{"server"}},
		"port 0":        {func(c *alert.Config) { c.Server = "mail.example.org:0" }, []string{"server"}},
		"no host":       {func(c *alert.Config) { c.Server = ":25" }, []string{"server"}},
		"line in host":  {func(c *alert.Config) { c.Server = "a\nb:25" }, []string{"server"}},
		"bounds":        {func(c *alert.Config) { c.Mute, c.Rate, c.Timeout = 1, -1, 1 }, []string{"mute", "rate", "timeout"}},
		"not a number":  {func(c *alert.Config) { c.Rate = math.NaN() }, []string{"rate"}},
		"too long": {func(c *alert.Config) {
			c.Mute, c.Timeout = setting.Duration(91*24*time.Hour), setting.Duration(time.Hour)
		}, []string{"mute", "timeout"}},
		"bad tls":        {func(c *alert.Config) { c.TLS = "starttls" }, []string{"tls"}},
		"clear password": {func(c *alert.Config) { c.Server, c.TLS, c.Username = "mail.example.org:25", alert.None, "u" }, []string{"tls"}},
		"strippable":     {func(c *alert.Config) { c.Server, c.TLS, c.Username = "mail.example.org:25", alert.Opportunistic, "u" }, []string{"tls"}},
		"line in user":   {func(c *alert.Config) { c.Username = "a\r\nb" }, []string{"username"}},
		"lone password":  {func(c *alert.Config) { c.PasswordFile = "/x" }, []string{"password_file"}},
		"bad host":       {func(c *alert.Config) { c.Host = "web1 x" }, []string{"host"}},
		"fine":           {func(c *alert.Config) { c.Server, c.Username, c.PasswordFile = "mail.example.org:587", "u", "/x" }, nil},
	} {
		c := good()
		test.change(&c)
		got := faults(c)
		ok := len(got) == len(test.want)
		for i := range min(len(got), len(test.want)) {
			ok = ok && strings.HasPrefix(got[i], test.want[i]+": ")
		}
		if !ok {
			t.Errorf("%s: %q, want %q", name, got, test.want)
		}
		if _, err := alert.New(c, setting.Secret{}); (err != nil) != (len(test.want) > 0) {
			t.Errorf("%s: New says %v", name, err)
		}
	}
}

// A file of certificates that is not there, or is none, is refused at the start and not at the first alert.
func TestCAFile(t *testing.T) {
	empty := filepath.Join(t.TempDir(), "empty.pem")
	if err := os.WriteFile(empty, []byte("no certificate"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{empty, empty + ".not"} {
		c := good()
		c.CAFile = path
		if _, err := alert.New(c, setting.Secret{}); err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v", path, err)
		}
	}
}
