package trusted

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestEntry(t *testing.T) {
	for text, want := range map[string]string{
		"192.0.2.0/24":                          "network 192.0.2.0/24",
		"2001:db8::1":                           "network 2001:db8::1/128",
		"@cloudflare":                           "network @cloudflare",
		"/etc/tattled/offices":                  "file /etc/tattled/offices",
		"file:/etc/tattled/offices":             "file /etc/tattled/offices",
		"file:///etc/tattled/offices":           "file /etc/tattled/offices",
		"vpn.example.org":                       "name vpn.example.org",
		"VPN.Example.org.":                      "name vpn.example.org",
		"xn--bcher-kva.example":                 "name xn--bcher-kva.example",
		"_x.a1.example":                         "name _x.a1.example",
		"file:offices":                          "whole path",
		"file:":                                 "whole path",
		"/":                                     "whole path",
		"/etc/../offices":                       "whole path",
		"":                                      "neither",
		"localhost":                             "whole DNS name",
		"192.0.2.300":                           "neither a network like",
		"192.0.2":                               "neither a network like",
		"192.0.2.0/33":                          "neither a network like",
		"192.0.2.1/24":                          "bits after its mask",
		"vpn.example.org/24":                    "neither a network like",
		"a..example":                            "whole DNS name",
		"-a.example":                            "whole DNS name",
		"a b.example":                           "whole DNS name",
		"bücher.example":                        "whole DNS name",
		"fe80::1%eth0":                          "zone",
		"@nothing":                              "there is no list",
		strings.Repeat("a", 64) + ".example":    "whole DNS name",
		strings.Repeat("abcdefg.", 32) + "abcd": "whole DNS name",
	} {
		var e Entry
		got := ""
		switch err := e.UnmarshalText([]byte(text)); {
		case err != nil:
			if got = err.Error(); strings.Contains(got, want) {
				got = want
			}
		case e.file != "":
			got = "file " + e.String()
		case e.name != "":
			got = "name " + e.String()
		default:
			got = "network " + e.String()
		}
		if got != want {
			t.Errorf("%q is %q, not %q", text, got, want)
		}
	}
}

func entries(t *testing.T, texts ...string) []Entry {
	t.Helper()
	var all []Entry
	for _, text := range texts {
		var e Entry
		if err := e.UnmarshalText([]byte(text)); err != nil {
			t.Fatal(err)
		}
		all = append(all, e)
	}
	return all
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// A file has one entry a line, and comments. What is wrong with it is said with its line, and then there is no Book.
func TestBook(t *testing.T) {
	path := filepath.Join(t.TempDir(), "offices")
	write(t, path, "\xef\xbb\xbf# ours\n192.0.2.0/24   # the office\r\n\n2001:db8::7\n@quad9\nvpn.example.org\n")
	b, faults := Open(entries(t, path, "198.51.100.0/24", "home.example.org", "vpn.example.org"))
	if len(faults) > 0 {
		t.Fatal(faults)
	}
	if got := b.Networks(); !slices.Contains(got, netip.MustParsePrefix("192.0.2.0/24")) || !slices.Contains(got, netip.MustParsePrefix("2001:db8::7/128")) ||
		!slices.Contains(got, netip.MustParsePrefix("9.9.9.9/32")) {
		t.Errorf("networks: %v", got)
	}
	if got := b.Names(); fmt.Sprint(got) != "[home.example.org vpn.example.org]" {
		t.Errorf("names: %v", got)
	}
	for text, want := range map[string]string{
		"192.0.2.0/24\n192.0.2.0/33\nnonsense\n":  "2 3",
		"/etc/passwd\n":                           "1",
		"file:/etc/passwd":                        "1",
		"192.0.2.1 192.0.2.2\n":                   "1",
		"<html><body>404</body></html>\n":         "1",
		strings.Repeat("x y\n", 100):              "1 2 3 4 5",
		strings.Repeat("192.0.2.1\n", 50_001):     "50001",
		strings.Repeat("# much\n", 1<<18):         "0",
		strings.Repeat("a", 1<<20):                "1",
		"\x00\xff\n":                              "1",
		"n%d.example.org\n" + manyNames(MaxNames): "1",
	} {
		write(t, path, text)
		var lines []string
		_, faults := Open(entries(t, path))
		for _, f := range faults {
			lines = append(lines, fmt.Sprint(f.Line))
		}
		if got := strings.Join(lines, " "); got != want {
			t.Errorf("%.40q: faults in %q, want %q (%+v)", text, got, want, faults)
		}
	}
	write(t, path, manyNames(MaxNames+1))
	if _, faults := Open(entries(t, path)); len(faults) != 1 || !strings.Contains(faults[0].Problem, "at most 64") {
		t.Errorf("too many names: %v", faults)
	}
	if err := syscall.Mkfifo(path+"-pipe", 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{path + "-missing", path + "-pipe", filepath.Dir(path)} {
		if _, faults := Open(entries(t, "192.0.2.1", path)); len(faults) != 1 || faults[0].Entry != 1 || !strings.Contains(faults[0].Problem, path) {
			t.Errorf("%s: %v", path, faults)
		}
	}
}

func manyNames(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "n%d.example.org\n", i)
	}
	return b.String()
}

// A file that changed is read once it rests. One that cannot be used, or is gone, is a problem, and leaves what was in effect.
func TestPoll(t *testing.T) {
	path := filepath.Join(t.TempDir(), "offices")
	write(t, path, "192.0.2.1\n")
	b, faults := Open(entries(t, path))
	if len(faults) > 0 {
		t.Fatal(faults)
	}
	now := time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
	for _, step := range []struct {
		do   func()
		want string
		bad  string
	}{
		{func() {}, "192.0.2.1/32", ""},
		{func() { write(t, path, "192.0.2.1\n192.0.2.2\n") }, "192.0.2.1/32 192.0.2.2/32", ""},
		{func() { write(t, path, "192.0.2.1\n\nnonsense!\n") }, "192.0.2.1/32 192.0.2.2/32", "line 3: "},
		{func() { os.Remove(path) }, "192.0.2.1/32 192.0.2.2/32", "no such file"},
		{func() { write(t, path, manyNames(65)) }, "192.0.2.1/32 192.0.2.2/32", "65 DNS names"},
		{func() { write(t, path, "2001:db8::/48\n") }, "2001:db8::/48", ""},
		{func() { write(t, path, "") }, "", ""},
	} {
		step.do()
		if at := stampOf(path); b.files[0].seen != at && b.Poll(now) {
			t.Errorf("%q: read before it rests", step.want)
		}
		b.Poll(now)
		var got []string
		for _, n := range b.Networks() {
			got = append(got, n.String())
		}
		if strings.Join(got, " ") != step.want {
			t.Errorf("%v, want %q", got, step.want)
		}
		problems := b.Problems()
		if (step.bad != "") != (len(problems) == 1) || step.bad != "" && (!strings.Contains(problems[0].Cause, step.bad) || !problems[0].Since.Equal(now)) {
			t.Errorf("%q: the problems are %v", step.want, problems)
		}
	}
}

// Whatever a file has, it is read or refused, and what was read is written as it was read.
func FuzzFile(f *testing.F) {
	for _, text := range []string{"192.0.2.0/24 # ours\n@quad9\n", "vpn.example.org.\r\n", "file:/x\n/x\n", "\xef\xbb\xbf::1\n#", "fe80::1%eth0\n0.0.0.0/0"} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		all, faults := parse("x", text)
		if len(faults) > maxProblems {
			t.Errorf("%d faults", len(faults))
		}
		for _, e := range all {
			var again Entry
			if err := again.UnmarshalText([]byte(e.String())); err != nil || again.String() != e.String() || e.file != "" {
				t.Errorf("%q is read as %q, %v", e, again, err)
			}
		}
	})
}
