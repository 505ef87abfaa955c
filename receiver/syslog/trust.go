package syslog

import (
	"fmt"
	"net"
	"net/netip"
	"os/user"
	"slices"
	"strconv"
	"sync"
	"time"

	"tattled/event"
	"tattled/setting"
)

// MostTrust returns the trust of what comes in by the listener from the peers that it trusts most, and where it decides by the peer,
// which those are: the end of a sentence that begins with "if"; "" where all have that trust.
func (c *Config) MostTrust() (trust event.Trust, condition string) {
	at, err := parseListen(c.Listen)
	trust, fixed := c.fixedTrust()
	switch {
	case err != nil:
		return event.TrustCount, ""
	case fixed:
		return trust, ""
	case at.network == "unix" && len(c.Peers) == 0:
		return event.TrustReport, "root or the system user syslog wrote it to the socket"
	case at.network == "unix":
		return event.TrustReport, "one of the users in peers wrote it to the socket"
	case at.network == "tcp" && c.beyond(at):
		return event.TrustReport, "its sender is one that allow names and is not this machine"
	default:
		return event.TrustCount, ""
	}
}

// beyond reports whether peers beyond this machine may send to a TCP listener at at, and are named in allow.
func (c *Config) beyond(at endpoint) bool {
	if at.addr.Addr().Unmap().IsLoopback() {
		return false
	}
	return slices.ContainsFunc(c.Allow, func(n setting.Network) bool { return names(n) && !n.Prefix().Addr().IsLoopback() })
}

// names reports whether an entry of allow names somebody: 0.0.0.0/0 and ::/0 are everybody, as if there were no entry.
func names(n setting.Network) bool { return n.Prefix().Bits() > 0 }

// named reports whether an entry of allow names peer.
func (c *Config) named(peer netip.Addr) bool {
	peer = peer.Unmap().WithZone("")
	return slices.ContainsFunc(c.Allow, func(n setting.Network) bool { return names(n) && n.Prefix().Contains(peer) })
}

// fixedTrust is the trust that all records have, whoever sent them. fixed is false if it depends on who did.
func (c *Config) fixedTrust() (trust event.Trust, fixed bool) {
	switch {
	case c.Trust == "count", c.Datagrams == datagramsLines:
		return event.TrustCount, true
	case c.Trust == "report":
		return event.TrustReport, true
	default:
		return event.TrustCount, false
	}
}

// trustUDP is the trust of every datagram: its sender may be forged.
func (c *Config) trustUDP() event.Trust {
	trust, _ := c.fixedTrust()
	return trust
}

// trustTCP is the trust of a connection from peer, which may send, to the address local. This machine's own users can
// connect to any address of it, from any address of it.
func (c *Config) trustTCP(peer, local netip.Addr, own *ownAddresses) event.Trust {
	trust, fixed := c.fixedTrust()
	if fixed || !c.named(peer) || peer.IsLoopback() || peer.WithZone("") == local.WithZone("") || own.has(peer, time.Now()) {
		return trust
	}
	return event.TrustReport
}

// trustUnix is the trust of a datagram that came by a unix socket from a process of uid. known is false where the kernel
// did not say. uids are the users who may have an address reported.
func (c *Config) trustUnix(uid uint32, known bool, uids map[uint32]bool) event.Trust {
	trust, fixed := c.fixedTrust()
	if fixed || !known || !uids[uid] {
		return trust
	}
	return event.TrustReport
}

// firstPerson is the least number that Debian gives to a person; those below are of the system.
const firstPerson = 1000

// overflowUID is the number that Linux gives to each user who has none in the user namespace of the one who asks.
const overflowUID = 65534

// uids returns the numbers of the users in peers.
func (c *Config) uids() (map[uint32]bool, error) {
	all := map[uint32]bool{}
	if len(c.Peers) == 0 {
		all[0] = true
		if u, err := user.Lookup("syslog"); err == nil { // rsyslog runs as this user on Ubuntu
			if uid, err := strconv.ParseUint(u.Uid, 10, 32); err == nil && uid < firstPerson {
				all[uint32(uid)] = true
			}
		}
		return all, nil
	}
	for _, name := range c.Peers {
		number := name
		if _, err := strconv.ParseUint(name, 10, 32); err != nil {
			u, err := user.Lookup(name)
			if err != nil {
				return nil, fmt.Errorf("%q is not a user of this machine: write a name or a number of a user, or leave peers out", name)
			}
			number = u.Uid
		}
		uid, err := strconv.ParseUint(number, 10, 32)
		if err != nil {
			return nil, fmt.Errorf("%q has no user number: %w", name, err)
		}
		if uid == overflowUID {
			return nil, fmt.Errorf("%q stands for every user whom the service cannot see, which in the sandbox of tattled.service are nearly all: name others, or write trust: report and let mode decide", name)
		}
		all[uint32(uid)] = true
	}
	return all, nil
}

// ownAddresses knows the addresses of this machine. It looks them up again when they are a second old. Safe for
// concurrent use.
type ownAddresses struct {
	mu    sync.Mutex
	when  time.Time
	addrs map[netip.Addr]bool
	err   error
}

// has reports whether a is one of them, and true if they cannot be known.
func (o *ownAddresses) has(a netip.Addr, now time.Time) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if age := now.Sub(o.when); o.addrs == nil || age < 0 || age >= time.Second {
		o.look()
		o.when = now
	}
	return o.err != nil || o.addrs[a.WithZone("")]
}

func (o *ownAddresses) look() {
	var all []net.Addr
	all, o.err = net.InterfaceAddrs()
	o.addrs = map[netip.Addr]bool{}
	for _, one := range all {
		if n, ok := one.(*net.IPNet); ok {
			if a, ok := netip.AddrFromSlice(n.IP); ok {
				o.addrs[a.Unmap()] = true
			}
		}
	}
}
