package policy

import (
	"fmt"
	"net/netip"
	"slices"
	"sync/atomic"
	"time"

	"github.com/gaissmai/bart"

	"tattled/event"
	"tattled/policy/shared"
)

// What AbuseIPDB's reporting policy and good sense bound in time.
const (
	// MaxAge is how old an event may be to be reported: AbuseIPDB refuses more than 60 days.
	MaxAge = 59 * 24 * time.Hour
	// maxAhead is how far a record's clock may be ahead of ours.
	maxAhead = 10 * time.Minute
	// MinWindow is the shortest window between two reports about one address: AbuseIPDB refuses a second one within 15
	// minutes of its own clock.
	MinWindow = 15*time.Minute + 30*time.Second
)

// Refusal is why an event must not lead to a report to a third party. Its text form is a metric's label.
type Refusal uint8

// The refusals, in the order in which they are looked for; None lets the event pass.
const (
	None           Refusal = iota
	Invalid                // the event has no usable address
	Trusted                // the operator trusts the network
	Own                    // it is an address of this machine
	Loopback               // 127.0.0.0/8, ::1
	Private                // it belongs to no public network
	LinkLocal              // 169.254.0.0/16, fe80::/10
	Multicast              // many, not one
	Documentation          // an example from a manual
	Special                // in IANA's special-purpose registries for another reason, or no global unicast at all
	Forwarder              // it sends this machine the logs of others
	Administrator          // an account that the operator trusts logged in from there a short time ago: not for failed logins
	Untrusted              // the record came by a way on which anybody could have forged it
	UDP                    // the peer's address can be forged
	ICMP                   // the peer's address can be forged
	Unproven               // nothing proves that the peer holds the address: no completed handshake
	TooOld                 // more than MaxAge ago
	Future                 // dated after it was read
	Infrastructure         // a network that many share: a content delivery network, a public resolver, a crawler
	refusalEnd
)

// Refusals lists every reason, without None.
func Refusals() []Refusal {
	var all []Refusal
	for r := Invalid; r < refusalEnd; r++ {
		all = append(all, r)
	}
	return all
}

func (r Refusal) String() string {
	switch r {
	case None:
		return ""
	case Invalid:
		return "invalid"
	case Trusted:
		return "trusted"
	case Own:
		return "own"
	case Loopback:
		return "loopback"
	case Private:
		return "private"
	case LinkLocal:
		return "link-local"
	case Multicast:
		return "multicast"
	case Documentation:
		return "documentation"
	case Special:
		return "special"
	case Forwarder:
		return "forwarder"
	case Administrator:
		return "administrator"
	case Untrusted:
		return "untrusted"
	case UDP:
		return "udp"
	case ICMP:
		return "icmp"
	case Unproven:
		return "unproven"
	case TooOld:
		return "too-old"
	case Future:
		return "future"
	case Infrastructure:
		return "infrastructure"
	default:
		return fmt.Sprintf("refusal(%d)", uint8(r))
	}
}

// Internal reports whether r is about an address of which no third party is told and none is asked: the machine's own, a trusted
// one, or one that nobody holds on the public Internet. The operator is not alerted of it either, unless a policy has private: true
// (and of a trusted one never).
func (r Refusal) Internal() bool { return Invalid <= r && r <= Special }

// Confidential reports whether r is about an address of which no third party is told and none is asked, whether or not the operator
// is alerted of it: an Internal one, a Forwarder, or an Administrator.
func (r Refusal) Confidential() bool { return r.Internal() || r == Forwarder || r == Administrator }

// Because says the reason to a person, as the end of the sentence "it is not reported, because ...".
func (r Refusal) Because() string {
	switch r {
	case Invalid:
		return "there is no usable address"
	case Trusted:
		return "the address is in a trusted network"
	case Own:
		return "it is an address of this machine"
	case Loopback, Private, LinkLocal, Multicast, Documentation, Special:
		return "the address is not a public one (" + r.String() + ")"
	case Forwarder:
		return "the address sends this machine the logs of others"
	case Administrator:
		return "an account in trusted_accounts logged in from there a short time ago"
	case Untrusted:
		return "anybody could have forged the record on its way here (trust: report for the source would accept that)"
	case UDP, ICMP:
		return "a sender address is easily forged with " + r.String()
	case Unproven:
		return "no completed handshake proves the address (of a TCP packet, report_unverified_tcp would accept that)"
	case TooOld:
		return "it is older than 59 days"
	case Future:
		return "it is dated in the future"
	case Infrastructure:
		return "the address belongs to a network that many share (report_infrastructure would accept that)"
	default:
		return ""
	}
}

// GateConfig is what the gate goes by besides what is fixed in it.
type GateConfig struct {
	// Trusted networks are never reported and never alerted on.
	Trusted []shared.Network
	// ReportUnverifiedTCP lets TCP packets without a proven handshake (firewall blocks) be reported. AbuseIPDB's reporting
	// policy forbids it.
	ReportUnverifiedTCP bool
	// RegularPorts are ports of ours to which traffic is expected: records of packets to them (TCP and UDP) that the firewall
	// blocked count against nobody. nil stands for 80 and 443.
	RegularPorts []uint16
	// RegularAcceptPorts are the same for packets that the firewall accepted. nil stands for none: a connection that a router lets
	// in is what its log is watched for, whatever the port.
	RegularAcceptPorts []uint16
	// ReportInfrastructure lets addresses be reported that many share: package shared has their lists.
	ReportInfrastructure bool
	// OnHit, if there is one, is called with the first address of each of these lists about which a report would have been
	// made. It must not block.
	OnHit func(Hit)
}

// Gate decides what may be reported to third parties, and about whom anybody is asked or told at all. It may be used by several goroutines at once.
type Gate struct {
	trusted    bart.Lite
	own        atomic.Pointer[bart.Lite]
	moving     moving
	registry   *registry
	blocks     []uint16 // RegularPorts
	accepts    []uint16 // RegularAcceptPorts
	unverified bool
	shared     *infrastructure // nil where shared networks are reported
}

// NewGate makes a gate. It knows no own address before SetOwn.
func NewGate(c GateConfig) *Gate {
	g := &Gate{
		registry: newRegistry(), unverified: c.ReportUnverifiedTCP,
		blocks: slices.Clone(c.RegularPorts), accepts: slices.Clone(c.RegularAcceptPorts),
	}
	if c.RegularPorts == nil {
		g.blocks = []uint16{80, 443}
	}
	for _, n := range c.Trusted {
		for _, p := range n.Prefixes() {
			g.trusted.Insert(p)
		}
	}
	if !c.ReportInfrastructure {
		g.shared = &infrastructure{set: shared.NewSet(), onHit: c.OnHit, hits: map[string]Hit{}}
	}
	g.own.Store(new(bart.Lite))
	return g
}

// SetOwn replaces the addresses of this machine. Zones are dropped.
func (g *Gate) SetOwn(own []netip.Addr) {
	set := new(bart.Lite)
	for _, addr := range own {
		if addr = addr.Unmap().WithZone(""); addr.IsValid() {
			set.Insert(netip.PrefixFrom(addr, addr.BitLen()))
		}
	}
	g.own.Store(set)
}

// Trusts reports whether addr lies in a trusted network, as it is written or as Peer has it: the operator may have written
// down either.
func (g *Gate) Trusts(addr netip.Addr) bool {
	addr = addr.Unmap().WithZone("")
	if !addr.IsValid() {
		return false
	}
	peer := Peer(addr)
	return g.trusted.Contains(addr) || has(&g.moving.trusted, addr) || peer != addr && (g.trusted.Contains(peer) || has(&g.moving.trusted, peer))
}

// Refuse says why e must not lead to a report; None if it may.
func (g *Gate) Refuse(e *event.Event) Refusal {
	r := g.RefuseReport(e.Addr, e.Kind)
	if r != None && r != Infrastructure {
		return r
	}
	switch {
	case e.Trust != event.TrustReport:
		return Untrusted
	case e.Proto == event.UDP:
		return UDP
	case e.Proto == event.ICMP:
		return ICMP
	case !e.Handshake && (e.Proto != event.TCP || !g.unverified):
		return Unproven
	case e.Received.Sub(e.Time) > MaxAge:
		return TooOld
	case e.Time.Sub(e.Received) > maxAhead:
		return Future
	}
	return r
}

// RefuseAddr is the part of Refuse that looks at the address alone: what must hold of it before any request to a third party, for
// a score as well as for a report, and, where it is Internal, before an alert.
func (g *Gate) RefuseAddr(addr netip.Addr) Refusal {
	if !addr.IsValid() || addr.Zone() != "" || addr.Is4In6() {
		return Invalid
	}
	if g.Trusts(addr) {
		return Trusted
	}
	addr = Peer(addr)
	if g.own.Load().Contains(addr) || has(&g.moving.own, addr) {
		return Own
	}
	if r := g.registry.refuse(addr); r != None {
		return r
	}
	if has(&g.moving.forwarders, addr) {
		return Forwarder
	}
	if g.shared != nil && g.shared.set.Find(addr) != nil {
		return Infrastructure
	}
	return None
}

// Ordinary reports whether e is a firewall record that counts against nobody: regular traffic, or a packet that opens no
// connection.
func (g *Gate) Ordinary(e *event.Event) bool {
	switch e.Kind {
	case event.FirewallBlock:
		return e.Stray || slices.Contains(g.blocks, e.LocalPort)
	case event.FirewallAccept:
		return e.Stray || slices.Contains(g.accepts, e.LocalPort)
	default:
		return false
	}
}
