package detect

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
)

// TestForwardedHops has lists that somebody may have written who is no proxy, though his address is in trusted_proxies: one who
// asks a proxy from itself, and one in a network that is trusted as a whole. What such a hop names proves nothing.
func TestForwardedHops(t *testing.T) {
	var proxies []netip.Prefix
	for _, p := range []string{"10.0.0.2/32", "10.0.0.3/32", "2001:db8:ffff::2/128", "192.0.2.0/24", "2001:db8:aaaa::/48"} {
		proxies = append(proxies, netip.MustParsePrefix(p))
	}
	r := load(t, Options{TrustedProxies: proxies})
	const client, victim = "203.0.113.5", "198.51.100.66"
	many := strings.Repeat(", 10.0.0.3, 10.0.0.2", 200)
	for _, c := range []struct{ peer, forwarded, want string }{
		{"10.0.0.2", client, client},
		{"10.0.0.2", victim + ", " + client, client},
		{"192.0.2.7", victim + ", " + client, client},                     // as a CDN's edge
		{"10.0.0.2", victim + ", " + client + ", 10.0.0.3", client},       // two proxies, each by its address
		{"192.0.2.7", client + ", 10.0.0.2", client},                      // the same
		{"2001:db8:ffff::2", "2001:db8::5, 10.0.0.3:4000", "2001:db8::5"}, // the same
		{"10.0.0.2", victim + ", 192.0.2.9", "?" + victim},                // who is 192.0.2.9?
		{"192.0.2.7", victim + ", 192.0.2.7", "?" + victim},               // asked by itself
		{"192.0.2.7", victim + ", 192.0.2.9, 10.0.0.2", "?" + victim},     // a proxy was asked by 192.0.2.9
		{"10.0.0.2", victim + ", 2001:db8:aaaa::9", "?" + victim},         // the same
		{"10.0.0.2", victim + ", 10.0.0.2", "?" + victim},                 // a local user of the proxy asks it
		{"10.0.0.2", victim + ", 10.0.0.2, 10.0.0.3", "?" + victim},       // the same, by way of another
		{"10.0.0.2", victim + ", 10.0.0.3, 10.0.0.3", "?" + victim},       // the same on the other
		{"10.0.0.2", victim + ", [::ffff:10.0.0.2]:80", "?" + victim},     // the same, written otherwise
		{"10.0.0.2", victim + many, "?" + victim},                         // longer than any chain
		{"10.0.0.2", "10.0.0.3", "proxy"},                                 // a proxy of its own accord
		{"10.0.0.2", victim + ", unknown", "proxy"},                       // nobody
		{"10.0.0.2", victim + ", x 10.0.0.3", "proxy"},                    // the same
		{"10.0.0.2", "-", "proxy"},                                        // the same
		{"198.51.100.1", victim, "198.51.100.1"},                          // no proxy: nobody asks what it says
		{"198.51.100.1", victim + ", 10.0.0.2", "198.51.100.1"},           // the same
		{"10.0.0.22", victim, "10.0.0.22"},                                // nearly one
		{victim + ", " + client, "-", client},                             // the header is in the peer's column
		{victim + ", " + client + ", 10.0.0.2", "-", client},              // the same with a proxy more
		{victim + ", 192.0.2.9", "-", "?" + victim},                       // the same with a hop of a network
		{victim + ", 10.0.0.2, 10.0.0.2", "-", "?" + victim},              // named twice
	} {
		for program, line := range map[string]string{
			"nginx": fmt.Sprintf(`%s - - [22/Nov/2026:10:00:00 +0000] "GET /.env HTTP/1.1" 404 5 "-" "x" "%s"`, c.peer, c.forwarded),
			"caddy": fmt.Sprintf(`{"request":{"remote_ip":%q,"method":"GET","uri":"/.env","headers":{"X-Forwarded-For":[%q]}},"user_id":"","status":404}`, c.peer, c.forwarded),
		} {
			var f Finding
			got := ""
			switch r.Detect([]byte(program), []byte(line), &f) {
			case Matched:
				if got = f.Addr.String(); !f.Handshake() {
					got = "?" + got
				}
			case Refused:
				got = f.Refusal.String()
			}
			if got != c.want {
				t.Errorf("%.120s, forwarded %.60q is %q, not %q", program+" "+c.peer, c.forwarded, got, c.want)
			}
		}
	}
}
