// Package packet reads what packet filters log: the kernel's (iptables, nftables, UFW, firewalld), that of pfSense and OPNsense
// (filterlog), and RouterOS'. Their lines say where everything is, so each form has a reader in place of patterns, and one
// Parser makes of a packet what its two rules say: refused or allowed. The source is taken from where the filter writes it; nothing
// that a peer, or who names a device, can write is taken for it. Only packets that came in are of interest. No packet proves a
// handshake.
package packet

import (
	"net/netip"

	"tattled/detect/parse"
	"tattled/detect/rulefile"
	"tattled/event"
)

// packet is what a line of a packet filter says. Its program said it of a packet that came in, and not of one that went
// out or through.
type packet struct {
	meaning meaning
	source  []byte  // as it is written
	four    [4]byte // the same, if isFour
	isFour  bool
	proto   event.Proto
	port    uint16
	local   uint16
	stray   bool
	forward bool // it came in and went on: netfilter alone says so
}

// meaning is a set of what a packet filter says that it did with a packet.
type meaning uint8

const (
	meansBlock meaning = 1 << iota
	meansAccept
	meansAudit // looked at, not judged
)

// Parser is the parser for a packet filter's lines. It has two rules: for packets that were blocked, and for those
// that were accepted.
type Parser struct {
	reader
	block, accept int32 // numbers of rules, negative where the operator disabled one
}

// reader knows the form of one packet filter's lines.
type reader interface {
	// read is false for a line that tells of no packet that came in.
	read(message []byte) (p packet, ok bool)
	explain(message []byte) parse.Parsed // what is read of it, for people
}

// newParser checks the form of a packet filter's file and makes its parser.
func newParser(form *rulefile.File, reader reader, f *rulefile.Faults) *Parser {
	count := map[event.Kind]int{}
	for i := range form.Rules {
		r := &form.Rules[i]
		count[kindOf(r)]++
		r.NoConditions(f)
		if r.Handshake {
			f.Add(r.Line(), "rule %q: no packet proves a handshake: leave handshake out", r.Name.Value)
		}
	}
	if len(form.Rules) != 2 || count[event.FirewallBlock] != 1 || count[event.FirewallAccept] != 1 {
		f.Add(form.Parser.Line, "parser: %s needs two rules, of the kinds firewall-block and firewall-accept", form.Parser.Value)
	}
	if len(form.Fields.All) > 0 {
		f.Add(form.Fields.Line, "fields: they are for parser: json")
	}
	return &Parser{reader: reader, block: -1, accept: -1}
}

// kindOf is the kind of a rule, 0 if it has none that is known.
func kindOf(r *rulefile.Rule) (k event.Kind) {
	if err := k.UnmarshalText([]byte(r.Kind.Value)); err != nil {
		return 0
	}
	return k
}

// Bind takes the two rules, of which the operator may have disabled either.
func (n *Parser) Bind(rules []parse.Rule) {
	for _, r := range rules {
		if r.Kind == event.FirewallBlock {
			n.block = int32(r.Index)
		} else {
			n.accept = int32(r.Index)
		}
	}
}

// Judge turns a packet into a reading by the rule for its verdict.
func (n *Parser) Judge(m []byte) (r parse.Result) {
	p, ok := n.read(m)
	if !ok || p.meaning&meansAudit != 0 {
		return r
	}
	switch p.meaning {
	case meansBlock:
		r.Rule = n.block
	case meansAccept:
		r.Rule = n.accept
	default:
		r.Rule, r.Ambiguous = n.block, true
	}
	if p.isFour {
		r.Addr = netip.AddrFrom4(p.four)
	} else if addr, ok := parse.Addr(p.source); ok {
		r.Addr = addr
	} else {
		r.Refusal = parse.BadAddress
	}
	r.Found, r.Port, r.Local, r.Proto, r.Stray, r.Forward = r.Rule >= 0, p.port, p.local, p.proto, p.stray, p.forward
	return r
}

// Explain says what is read of a line, and why no more.
func (n *Parser) Explain(m []byte) parse.Parsed { return n.explain(m) }
