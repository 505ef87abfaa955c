//go:build cgo

package main

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"testing"

	"tattled/detect"
)

// What the helper does with a journal is tested where it is used, in receiver/journal.

func TestExitStatus(t *testing.T) {
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	for _, c := range []struct {
		args   []string
		status int
	}{
		{[]string{"--help"}, 0},
		{[]string{"--no-such-flag"}, wrongUsage},
		{[]string{"argument"}, wrongUsage},
		{[]string{"--cursor-every=0"}, wrongUsage},
		{[]string{"--cursor-every=100000"}, wrongUsage},
		{[]string{"--since=yesterday"}, wrongUsage},
		{[]string{"--since=@"}, wrongUsage},
		{[]string{"--since=@1.0000001"}, wrongUsage},
		{[]string{"--directory=/x", "--namespace=y"}, wrongUsage},
		{[]string{"--directory=" + filepath.Join(t.TempDir(), "missing")}, mayPass},
		{[]string{"--directory=" + t.TempDir()}, mayPass}, // no file in it: nothing is there, or nothing may be read
		{[]string{"--namespace=there-is-none"}, mayPass},
	} {
		var messages bytes.Buffer
		if got := run(c.args, null, &messages); got != c.status {
			t.Errorf("%q: status %d, want %d", c.args, got, c.status)
		}
		if messages.Len() == 0 {
			t.Errorf("%q: not a word", c.args)
		}
	}
}

func TestSeconds(t *testing.T) {
	for text, want := range map[string]uint64{"@0": 0, "@1795219200": 1795219200000000, "@1.5": 1500000, "@1.000001": 1000001} {
		if got, err := parseSeconds(text); err != nil || got != want {
			t.Errorf("%s: %d, %v, want %d", text, got, err, want)
		}
	}
	for _, text := range []string{"", "1", "@", "@-1", "@1.-5", "@x", "@99999999999999999999"} {
		if got, err := parseSeconds(text); err == nil {
			t.Errorf("%s: %d", text, got)
		}
	}
}

func TestCursors(t *testing.T) {
	cursor := func(s, i, x string) string { return "s=" + s + ";i=" + i + ";b=b0;m=1;t=2;x=" + x }
	for _, c := range []struct {
		here, before  string
		same, follows bool
	}{
		{cursor("aa", "ff", "1"), cursor("aa", "ff", "1"), true, false},
		{cursor("bb", "1", "1"), cursor("aa", "ff", "1"), true, false}, // journald moved it from /run to /var
		{cursor("aa", "100", "2"), cursor("aa", "ff", "1"), false, true},
		{cursor("aa", "101", "2"), cursor("aa", "ff", "1"), false, false},
		{cursor("bb", "100", "2"), cursor("aa", "ff", "1"), false, false},
		{"", cursor("aa", "ff", "1"), false, false},
		{"", "", false, false},
		{"s=aa;i=zz", "s=aa;i=zz", false, false},
	} {
		if got := sameEntry(c.here, c.before); got != c.same {
			t.Errorf("%s and %s: the same: %v", c.here, c.before, got)
		}
		if got := follows(c.here, c.before); got != c.follows {
			t.Errorf("%s follows %s: %v", c.here, c.before, got)
		}
	}
}

// What can hold an address must not be taken for what cannot, whatever stands around it.
func TestMayMatter(t *testing.T) {
	addresses := []string{"192.0.2.1", "0.0.0.0", "255.255.255.255", "2001:db8::1", "::", "::1", "1::", "1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7::", "::ffff:192.0.2.1", "ABCD::EF"}
	random := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		var a [16]byte
		for i := range a {
			if random.IntN(3) == 0 {
				a[i] = byte(random.Uint32())
			}
		}
		addr := netip.AddrFrom16(a)
		addresses = append(addresses, addr.String(), addr.StringExpanded(), netip.AddrFrom4([4]byte(a[:4])).String())
	}
	for _, address := range addresses {
		for _, message := range []string{"%s", "from %s port 22", "rip=%s,", "[%s]:22", "v1.2.%s.", ":%s:", "a: %s", "%s: a", "http://%s/"} {
			if m := fmt.Sprintf(message, address); !mayMatter([]byte(m)) {
				t.Errorf("%q does not matter", m)
			}
		}
	}
	for _, m := range []string{"", ".", ":", "...", "session opened for user root(uid=0) by carol(uid=1001)", "Started a: b.", "version 1.2.3", "1.2.3.", ".1.2.3", "pam_unix(sshd:session): session closed", "a:12345:b", "a:12 34:b"} {
		if mayMatter([]byte(m)) {
			t.Errorf("%q matters", m)
		}
	}
}

// No rule can find an address in what does not matter: only its message, identifier and time are written.
func FuzzMayMatter(f *testing.F) {
	rules, faults := detect.Load(detect.Options{})
	if len(faults) > 0 {
		f.Fatal(faults)
	}
	for _, line := range []string{
		"Failed password for root from :: port 22 ssh2", "Failed password for invalid user a:b from 1::2 port 22 ssh2",
		"Failed password for root from UNKNOWN port 65535 ssh2", "Failed none for a from host.example.org port 22 ssh2",
		"Connection closed by authenticating user root fe80::1 port 22 [preauth]", "[UFW BLOCK] IN=eth0 OUT= MAC= SRC=192.0.2.1 DST=192.0.2.2 PROTO=TCP SPT=1 DPT=22 SYN",
	} {
		f.Add([]byte(line))
	}
	f.Fuzz(func(t *testing.T, message []byte) {
		if mayMatter(message) {
			return
		}
		var found detect.Finding
		for _, service := range rules.Services() {
			if rules.Detect([]byte(service.Programs[0]), message, &found) == detect.Matched {
				t.Errorf("%q: %v finds %v in it", message, found.Rule, found.Addr)
			}
		}
		for i := range min(len(message), 200) {
			for n := i + 2; n <= min(len(message), i+45); n++ {
				if addr, err := netip.ParseAddr(string(message[i:n])); err == nil {
					t.Errorf("%q has %v in it", message, addr)
				}
			}
		}
	})
}
