package setting

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tattled/machine"
)

func TestDuration(t *testing.T) {
	day := 24 * time.Hour
	for text, want := range map[string]time.Duration{
		"90s": 90 * time.Second, "10m": 10 * time.Minute, "1h30m": 90 * time.Minute, "90d": 90 * day,
		"2w": 14 * day, "1d12h": 36 * time.Hour, "1w1d": 8 * day, "0s": 0, "15m30s": 930 * time.Second,
	} {
		var d Duration
		if err := d.UnmarshalText([]byte(text)); err != nil || d.D() != want {
			t.Errorf("%q: %v, %v; want %v", text, d.D(), err, want)
		}
	}
	for _, text := range []string{"", "10", "-5m", "1d-2h", "d", "1.5d", "ten minutes", "99999d", "1h1d", "9223372036854775807h"} {
		var d Duration
		if err := d.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q was taken as %v", text, d.D())
		}
	}
}

func TestDurationText(t *testing.T) {
	for span, want := range map[time.Duration]string{
		0: "0s", 5 * time.Minute: "5m", time.Hour: "1h", 90 * time.Minute: "1h30m", 15*time.Minute + 30*time.Second: "15m30s",
		48 * time.Hour: "2d", 36 * time.Hour: "36h", 10 * time.Second: "10s", time.Hour + time.Second: "1h0m1s",
	} {
		if got := Duration(span).String(); got != want {
			t.Errorf("%v is written %q, want %q", span, got, want)
		}
	}
}

func TestDurationRoundTrip(t *testing.T) {
	for _, want := range []Duration{0, Duration(time.Second), Duration(36 * time.Hour), Duration(90 * 24 * time.Hour)} {
		var got Duration
		if err := got.UnmarshalText([]byte(want.String())); err != nil || got != want {
			t.Errorf("%v came back as %v, %v", want, got, err)
		}
	}
}

func TestNetwork(t *testing.T) {
	for text, want := range map[string]string{
		"192.0.2.0/24": "192.0.2.0/24", "192.0.2.7": "192.0.2.7/32", "2001:db8::/32": "2001:db8::/32",
		"2001:db8::1": "2001:db8::1/128", "::ffff:192.0.2.7": "192.0.2.7/32", "0.0.0.0/0": "0.0.0.0/0",
	} {
		var n Network
		if err := n.UnmarshalText([]byte(text)); err != nil || n.String() != want {
			t.Errorf("%q: %v, %v; want %v", text, n, err, want)
		}
	}
	for _, text := range []string{"", "192.0.2.7/24", "192.0.2.0/33", "fe80::1%eth0", "::ffff:192.0.2.0/120", "example.org", "010.0.0.1"} {
		var n Network
		if err := n.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q was taken as %v", text, n)
		}
	}
}

func TestSecretNeverShows(t *testing.T) {
	s := struct{ Key, hidden Secret }{NewSecret("hunter2"), NewSecret("hunter2")}
	encoded, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	for _, shown := range []string{
		fmt.Sprint(s), fmt.Sprintf("%v %+v %#v %s %q", s, s, s, s.Key, s.Key), string(encoded),
		fmt.Sprintf("%v", &s), fmt.Errorf("send with %v", s.Key).Error(),
	} {
		if strings.Contains(shown, "hunter2") {
			t.Errorf("the secret shows in %q", shown)
		}
	}
}

func TestLookUpSecretOrder(t *testing.T) {
	credentials, dir := t.TempDir(), t.TempDir()
	file := filepath.Join(dir, "key")
	write := func(path, text string, mode os.FileMode) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
	}
	want := func(text string) {
		t.Helper()
		s, err := LookUpSecret("api.key", SecretFile(file), "SETTING_TEST_KEY")
		if err != nil || s.Reveal() != text {
			t.Errorf("found %q, %v; want %q", s.Reveal(), err, text)
		}
	}
	t.Setenv("CREDENTIALS_DIRECTORY", credentials)
	want("")
	t.Setenv("SETTING_TEST_KEY", " from-env\n")
	want("from-env")
	write(file, "from-file\n", 0o600)
	want("from-file")
	write(filepath.Join(credentials, "api.key"), "from-credential", 0o440)
	want("from-credential")
}

func TestLookUpSecretRefuses(t *testing.T) {
	dir := t.TempDir()
	for name, prepare := range map[string]func(path string) error{
		"others can read":    func(p string) error { return os.WriteFile(p, []byte("x"), 0o644) },
		"is empty":           func(p string) error { return os.WriteFile(p, []byte(" \n"), 0o600) },
		"not a regular file": func(p string) error { return os.Mkdir(p, 0o700) },
		"larger than":        func(p string) error { return os.WriteFile(p, make([]byte, maxSecret+1), 0o600) },
	} {
		path := filepath.Join(dir, strings.ReplaceAll(name, " ", "-"))
		if err := prepare(path); err != nil {
			t.Fatal(err)
		}
		if _, err := LookUpSecret("none", SecretFile(path), "SETTING_TEST_NONE"); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: err = %v", name, err)
		}
	}
}

// What is said of a secret that the service cannot read, or that others can, leaves it readable to the service alone.
func TestRemedyLetsTheServiceRead(t *testing.T) {
	if os.Getuid() != 0 {
		machine.Lacks(t, "only root has files that are somebody else's")
	}
	file := filepath.Join(t.TempDir(), "the.key")
	if err := os.WriteFile(file, []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	_, err := LookUpSecret("none", SecretFile(file), "SETTING_TEST_NONE")
	want := fmt.Sprintf("others can read it: chown root:tattled %s && chmod 640 %[1]s", SecretFile(file))
	if err == nil || !strings.HasSuffix(err.Error(), want) {
		t.Errorf("%v, want %s", err, want)
	}
}

func TestNearest(t *testing.T) {
	known := []string{"sshd", "nginx", "vsftpd", "a"}
	for name, want := range map[string]string{"shd": "sshd", "ngnix": "nginx", "apache": "", "b": "", "xx": ""} {
		if got := Nearest(name, known); got != want {
			t.Errorf("%s is near %q, want %q", name, got, want)
		}
	}
}
