package policy

import "net/netip"

// The networks whose addresses hold another one, or of which a /64 is not one customer.

// wellKnown is where NAT64 shows the whole of IPv4 (RFC 6052 2.1): the last four bytes are the peer.
func wellKnown() netip.Prefix {
	return netip.PrefixFrom(netip.AddrFrom16([16]byte{0x00, 0x64, 0xff, 0x9b}), 96)
}

// translated is the space around it; most of it is for translators of one's own (64:ff9b:1::/48, RFC 8215). Where in such an
// address the IPv4 address is, nobody can tell, and one /64 may hold all of IPv4.
func translated() netip.Prefix { return netip.PrefixFrom(wellKnown().Addr(), 32) }

// teredo has the server in the first 64 bits (RFC 4380): all its clients share the /64.
func teredo() netip.Prefix {
	return netip.PrefixFrom(netip.AddrFrom16([16]byte{0x20, 0x01}), 32)
}

// Peer returns whose address addr is: of an IPv4-mapped one and of one behind NAT64's well-known prefix the IPv4 address in
// it, else addr itself, without a zone. A server that speaks IPv6 only sees its IPv4 clients as 64:ff9b::a.b.c.d, and who
// completed a handshake from there is that IPv4 address.
//
// Of 6to4 and Teredo the embedded address is not taken: any relay or peer can write one into its packets, and the gate
// refuses both (they are special) whatever they hold.
func Peer(addr netip.Addr) netip.Addr {
	if addr = addr.Unmap().WithZone(""); addr.Is4() {
		return addr
	}
	if !wellKnown().Contains(addr) {
		return addr
	}
	raw := addr.As16()
	return netip.AddrFrom4([4]byte(raw[12:]))
}

// Network returns what is counted as one with addr: the address itself, or of IPv6 its /64, because one customer usually
// holds all of it. Where one /64 holds strangers (NAT64 in local-use space, Teredo) it is the address.
func Network(addr netip.Addr) netip.Prefix {
	addr = Peer(addr)
	bits := addr.BitLen()
	if addr.Is6() && !translated().Contains(addr) && !teredo().Contains(addr) {
		bits = 64
	}
	return netip.PrefixFrom(addr, bits).Masked()
}

// Key returns the address under which addr is counted: the first of Network(addr).
func Key(addr netip.Addr) netip.Addr {
	if addr.Is4() {
		return addr
	}
	return Network(addr).Addr()
}
