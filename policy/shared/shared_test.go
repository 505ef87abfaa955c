package shared

import (
	"crypto/sha256"
	"encoding/hex"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestLists holds the files to their form: who says so, since when, and that nobody changed a network by accident.
func TestLists(t *testing.T) {
	count := map[Kind]int{}
	for _, name := range Names() {
		l, err := Read(name)
		if err != nil {
			t.Fatal(err)
		}
		count[l.Kind]++
		if _, err := time.Parse(time.DateOnly, l.Date); err != nil || l.Operator == "" || l.Copy == "" || l.Licence == "" {
			t.Errorf("%s: its head lacks something: %+v", name, l)
		}
		if u, err := url.Parse(strings.Fields(l.Source)[0]); name != "bunny" && (err != nil || u.Scheme != "https") {
			t.Errorf("%s: source %q", name, l.Source)
		}
		var body strings.Builder
		for i, n := range l.Networks {
			body.WriteString(n.String() + "\n")
			if n != n.Masked() || n.Addr().Is4In6() || n.Bits() < 8 {
				t.Errorf("%s: %v", name, n)
			}
			if i > 0 && l.Networks[i-1].Compare(n) >= 0 {
				t.Errorf("%s: %v is not in order", name, n)
			}
		}
		if sum := sha256.Sum256([]byte(body.String())); hex.EncodeToString(sum[:]) != l.SHA256 {
			t.Errorf("%s: its sum is %x: if the networks were changed on purpose, change source, date and sha256 as well", name, sum)
		}
	}
	if count[CDN] < 5 || count[Resolver] < 5 || count[Crawler] < 5 || len(count) != 3 {
		t.Errorf("kinds: %v", count)
	}
}

func TestFind(t *testing.T) {
	s := NewSet()
	for addr, want := range map[string]string{
		"172.64.0.1": "cloudflare", "2606:4700::1": "cloudflare", "2606:4700:4700::1111": "cloudflare-dns", "1.1.1.1": "cloudflare-dns", "1.1.1.2": "",
		"151.101.1.1": "fastly", "13.224.0.1": "cloudfront", "2.16.0.1": "akamai", "35.191.3.4": "google-lb", "130.211.4.0": "",
		"8.8.8.8": "google-dns", "9.9.9.9": "quad9", "208.67.222.222": "opendns", "94.140.14.14": "adguard-dns",
		"66.249.66.1": "googlebot", "66.249.67.96": "", "157.55.39.1": "bingbot", "17.241.75.1": "applebot", "57.144.0.1": "facebook", "20.50.168.91": "duckduckbot", "20.50.168.92": "",
		"203.0.113.5": "", "45.9.20.7": "", "2a02:6b8::1": "",
	} {
		got := ""
		if l := s.Find(netip.MustParseAddr(addr)); l != nil {
			got = l.Name
		}
		if got != want {
			t.Errorf("%s is in %q, not %q", addr, got, want)
		}
	}
	if n := testing.AllocsPerRun(100, func() { s.Find(netip.MustParseAddr("172.64.0.1")) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestNetwork(t *testing.T) {
	for text, want := range map[string]string{
		"192.0.2.0/24": "192.0.2.0/24", "192.0.2.1": "192.0.2.1/32", "@cloudflare": "@cloudflare",
		"@cloudfare":   `there is no list "cloudfare": did you mean "@cloudflare"?`,
		"@nothing":     `there is no list "nothing": there are @` + strings.Join(Names(), ", @"),
		"@":            `there is no list "": there are @` + strings.Join(Names(), ", @"),
		"192.0.2.1/24": `"192.0.2.1/24" has bits after its mask: did you mean 192.0.2.0/24?`,
		"@../shared":   `there is no list "../shared": there are @` + strings.Join(Names(), ", @"),
	} {
		var n Network
		got := ""
		if err := n.UnmarshalText([]byte(text)); err != nil {
			got = err.Error()
		} else {
			b, _ := n.MarshalText()
			got = string(b)
		}
		if got != want {
			t.Errorf("%q is %s, not %s", text, got, want)
		}
	}
	var n Network
	if err := n.UnmarshalText([]byte("@cloudflare")); err != nil || !slices.Contains(n.Prefixes(), netip.MustParsePrefix("172.64.0.0/13")) {
		t.Errorf("%v, %v", n.Prefixes(), err)
	}
	if !regexp.MustCompile(`^[a-z0-9-]+( [a-z0-9-]+)*$`).MatchString(strings.Join(Names(), " ")) {
		t.Errorf("names: %v", Names())
	}
}
