package policy

import (
	"net/netip"

	"github.com/gaissmai/bart"
)

// special is every network that belongs to nobody who could be reported: the IANA IPv4 and IPv6 Special-Purpose Address
// Registries (RFC 6890, as of 2025-10) whole, including the blocks that are globally reachable, because none of them has
// a holder who attacks; multicast (RFC 5771, RFC 4291 2.7); and what RFC 4291 and RFC 3879 withdrew. The longest prefix
// decides.
var special = []struct {
	network string
	refusal Refusal
}{
	{"0.0.0.0/8", Special},             // "this network", RFC 791
	{"10.0.0.0/8", Private},            // RFC 1918
	{"100.64.0.0/10", Private},         // shared address space of carriers, RFC 6598
	{"127.0.0.0/8", Loopback},          // RFC 1122
	{"169.254.0.0/16", LinkLocal},      // RFC 3927
	{"172.16.0.0/12", Private},         // RFC 1918
	{"192.0.0.0/24", Special},          // IETF protocol assignments with all below them, RFC 6890
	{"192.0.2.0/24", Documentation},    // TEST-NET-1, RFC 5737
	{"192.31.196.0/24", Special},       // AS112, RFC 7535
	{"192.52.193.0/24", Special},       // AMT, RFC 7450
	{"192.88.99.0/24", Special},        // 6to4 relay anycast, withdrawn by RFC 7526
	{"192.168.0.0/16", Private},        // RFC 1918
	{"192.175.48.0/24", Special},       // AS112, RFC 7534
	{"198.18.0.0/15", Special},         // benchmarking, RFC 2544
	{"198.51.100.0/24", Documentation}, // TEST-NET-2, RFC 5737
	{"203.0.113.0/24", Documentation},  // TEST-NET-3, RFC 5737
	{"224.0.0.0/4", Multicast},         // RFC 5771
	{"240.0.0.0/4", Special},           // reserved, RFC 1112
	{"255.255.255.255/32", Special},    // limited broadcast, RFC 8190
	{"::/0", Special},                  // what is not global unicast (2000::/3 below), RFC 4291 2.4
	{"2000::/3", None},                 // global unicast
	{"::1/128", Loopback},              // RFC 4291
	{"64:ff9b::/96", Special},          // IPv4/IPv6 translation, RFC 6052
	{"64:ff9b:1::/48", Private},        // local translation, RFC 8215
	{"100::/64", Special},              // discard only, RFC 6666
	{"100:0:0:1::/64", Special},        // dummy prefix, RFC 9780
	{"2001::/23", Special},             // IETF protocol assignments with all below them (Teredo, ORCHID), RFC 2928
	{"2001:db8::/32", Documentation},   // RFC 3849
	{"2002::/16", Special},             // 6to4, RFC 3056
	{"2620:4f:8000::/48", Special},     // AS112, RFC 7534
	{"3fff::/20", Documentation},       // RFC 9637
	{"5f00::/16", Special},             // segment routing SIDs, RFC 9602
	{"fc00::/7", Private},              // unique local, RFC 4193
	{"fe80::/10", LinkLocal},           // RFC 4291
	{"fec0::/10", Private},             // site local, withdrawn by RFC 3879
	{"ff00::/8", Multicast},            // RFC 4291 2.7
}

// registry answers what kind of network an address lies in.
type registry struct{ table bart.Table[Refusal] }

func newRegistry() *registry {
	r := new(registry)
	for _, s := range special {
		r.table.Insert(netip.MustParsePrefix(s.network), s.refusal)
	}
	return r
}

// refuse returns None for an address that has an ordinary holder. addr is valid and not IPv4-mapped.
func (r *registry) refuse(addr netip.Addr) Refusal {
	refusal, _ := r.table.Lookup(addr)
	return refusal
}
