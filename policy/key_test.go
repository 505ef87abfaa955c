package policy

import (
	"net/netip"
	"testing"
	"time"
)

func TestNetwork(t *testing.T) {
	for addr, want := range map[string]string{
		"45.9.20.7":                       "45.9.20.7/32",
		"::ffff:45.9.20.7":                "45.9.20.7/32",
		"64:ff9b::45.9.20.7":              "45.9.20.7/32",
		"64:ff9b::45.9.20.8":              "45.9.20.8/32",
		"64:ff9b::192.168.1.1":            "192.168.1.1/32",
		"64:ff9b:0:0:0:1:2d09:1407":       "64:ff9b::1:2d09:1407/128", // beyond the /96
		"64:ff9b:1::45.9.20.7":            "64:ff9b:1::2d09:1407/128",
		"64:ff9b:1:ffff:1::45.9.20.7":     "64:ff9b:1:ffff:1:0:2d09:1407/128",
		"64:ff9b:2::45.9.20.7":            "64:ff9b:2::2d09:1407/128",
		"2001:0:102:304:8000:0:d2f6:ebf8": "2001:0:102:304:8000:0:d2f6:ebf8/128", // Teredo
		"2001:1::1":                       "2001:1::/64",
		"2002:2d09:1407::1":               "2002:2d09:1407::/64", // 6to4
		"2a02:6b8:1:2:aaaa::1":            "2a02:6b8:1:2::/64",
		"fe80::1%eth0":                    "fe80::/64",
	} {
		got := Network(netip.MustParseAddr(addr))
		if got != netip.MustParsePrefix(want) || Key(netip.MustParseAddr(addr)) != got.Addr() || Key(got.Addr()) != got.Addr() {
			t.Errorf("%s is counted as %s, want %s", addr, got, want)
		}
	}
}

// Clients behind NAT64's well-known prefix are judged as the IPv4 addresses that they are. Local-use space and what other
// tunnels write is reported never.
func TestAddressesWithinAddresses(t *testing.T) {
	p := newPolicy(t, GateConfig{}, bruteforce("report", "alert"))
	p.gate.SetOwn([]netip.Addr{netip.MustParseAddr("45.9.20.99")})
	for addr, want := range map[string]Refusal{
		"64:ff9b::45.9.20.7": None, "64:ff9b::10.1.2.3": Private, "64:ff9b::127.0.0.1": Loopback, "64:ff9b::203.0.113.5": Documentation,
		"64:ff9b::45.9.20.99": Own, "64:ff9b:1::45.9.20.7": Private, "2002:2d09:1407::1": Special, "2001:0:102:304:8000:0:d2f6:ebf8": Special,
	} {
		var s State
		reports := 0
		for i := range 5 {
			e := failure(noon.Add(time.Duration(i) * time.Second))
			e.Addr = netip.MustParseAddr(addr)
			if got := p.gate.Refuse(e); got != want {
				t.Errorf("%s: %q, want %q", addr, got, want)
			}
			for _, r := range to(judgeInto(p, &s, e), "abuseipdb") {
				if reports++; r.Addr != attacker {
					t.Errorf("%s: %s is reported", addr, r.Addr)
				}
			}
		}
		if (reports == 1) != (want == None) {
			t.Errorf("%s: %d reports", addr, reports)
		}
	}
}
