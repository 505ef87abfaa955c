package report

import (
	"fmt"
	"net"
	"net/netip"
	"syscall"
)

// DialControl is the Control of every net.Dialer that connects to where a URL of the configuration, or a redirect, says. It
// sees the address after names were resolved, so that no name leads around it, and refuses addresses that are no third
// party's: link-local ones, where clouds have the service that gives a machine its credentials, the services of that kind
// elsewhere, multicast and the unspecified address. Loopback and private addresses are allowed: a proxy, a relay or a test
// double is there because the operator wrote so. It does not concern the resolver, whose address is the system's.
func DialControl(_, address string, _ syscall.RawConn) error {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return fmt.Errorf("connect to %q: %w", address, err)
	}
	addr, err := netip.ParseAddr(host)
	if err != nil {
		return fmt.Errorf("connect to %q: %w", address, err)
	}
	if what := refused(addr); what != "" {
		return fmt.Errorf("connect to %s: it is %s, where tattled sends nothing: fix the URL, or what its name resolves to", addr, what)
	}
	return nil
}

// refused says what addr is if nothing may be sent there, "" otherwise.
func refused(addr netip.Addr) string {
	addr = addr.WithZone("").Unmap()
	if nat64 := netip.MustParsePrefix("64:ff9b::/96"); nat64.Contains(addr) { // an IPv4 address, spelt in IPv6
		b := addr.As16()
		addr = netip.AddrFrom4([4]byte(b[12:]))
	}
	switch {
	case addr.IsLinkLocalUnicast():
		return "a link-local address"
	case addr.IsMulticast():
		return "a multicast address"
	case addr.IsUnspecified():
		return "the unspecified address"
	}
	switch addr.String() {
	case "fd00:ec2::254", // Amazon
		"fd20:ce::254",    // Google
		"168.63.129.16",   // Azure
		"100.100.100.200", // Alibaba
		"192.0.0.192":     // Oracle
		return "a cloud's metadata service"
	}
	return ""
}
