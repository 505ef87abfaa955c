package packet

import (
	"bytes"
	"fmt"

	"tattled/detect/parse"
	"tattled/detect/rulefile"
	"tattled/event"
)

// mikrotik reads the lines that RouterOS writes for a packet, by a rule with action=log or log=yes:
//
//	prefix input: in:ether1 out:(unknown 0), connection-state:new src-mac 52:54:00:12:34:56, proto TCP (SYN), 203.0.113.5:40022->192.0.2.10:23, len 40
//
// behind "firewall,info ", its topics, where it sends or writes them. RouterOS tells the chain, and not what it did, so
// that the words of the log-prefix decide as they do for netfilter. A peer that has a tunnel may have named the interface
// (<pppoe-user>); nothing behind "out:" is a peer's text.
type mikrotik struct{ words *verdictWords }

// NewMikrotik makes the parser for RouterOS. The words are rules.netfilter's, and what is wrong with them is told
// by that parser.
func NewMikrotik(form *rulefile.File, c Netfilter, f *rulefile.Faults) *Parser {
	words, _ := newVerdictWords(c)
	return newParser(form, mikrotik{words}, f)
}

func (k mikrotik) read(m []byte) (p packet, ok bool) {
	prefix, rest := routerosHeader(m)
	if rest == nil {
		return p, false
	}
	if p.meaning = k.words.meaning(prefix); p.meaning == 0 {
		return p, false
	}
	const proto = "proto "
	i := bytes.Index(rest, []byte(proto))
	if i < 0 || i > 0 && rest[i-1] != ' ' {
		return p, false
	}
	ok = p.flow(rest[i+len(proto):])
	return p, ok
}

// hardwareColons are those of a hardware address.
const hardwareColons = 5

// routerosHeader returns what stands before the chain's name, and what follows the interfaces; nil for a line of another
// chain than input, about a packet that goes on, or so long that it may have been cut in what a peer chose.
func routerosHeader(m []byte) (prefix, rest []byte) {
	const chain, out = "input", " out:("
	if len(m) > parse.LongestBehind {
		return nil, nil
	}
	at := bytes.Index(m[:min(len(m), maxPrefix)], []byte(": in:"))
	if at < 0 || !parse.HasSuffix(m[:at], chain) {
		return nil, nil
	}
	prefix = m[:at-len(chain)]
	if len(prefix) > 0 && prefix[len(prefix)-1] != ' ' {
		return nil, nil // a chain whose name ends alike
	}
	if bytes.Count(prefix, []byte(":")) >= hardwareColons {
		return nil, nil // "dhcp1 assigned 192.168.88.5 for 52:54:00:12:34:56 ..", and the client's name for itself
	}
	i := bytes.LastIndex(m[at:], []byte(out))
	if i < 0 {
		return nil, nil
	}
	rest = m[at+i+len(out):]
	for _, nowhere := range []string{"unknown 0), ", "none), "} { // 6.40 on, 7; before
		if parse.HasPrefix(rest, nowhere) {
			return prefix, rest[len(nowhere):]
		}
	}
	return nil, nil
}

// flow reads from the protocol on: "TCP (SYN), source:port->destination:port, ".
func (p *packet) flow(m []byte) bool {
	end := bytes.IndexAny(m, " ,")
	if end <= 0 {
		return false
	}
	name, rest := m[:end], m[end:]
	var detail []byte
	if parse.HasPrefix(rest, " (") {
		closing := bytes.IndexByte(rest, ')')
		if closing < 0 {
			return false
		}
		detail, rest = rest[len(" ("):closing], rest[closing+1:]
	}
	arrow := bytes.Index(rest, []byte("->"))
	if !parse.HasPrefix(rest, ", ") || arrow < 0 {
		return false
	}
	from, to := rest[len(", "):arrow], rest[arrow+len("->"):]
	// ", NAT (..)" may follow. Where ", len 40" does not end the line, it was cut off, or another one has this in a name:
	// "<l2tp-0>: user .. authentication failed".
	const length = ", len "
	end = bytes.IndexByte(to, ',')
	if last := bytes.LastIndex(to, []byte(length)); last < 0 || !isDecimal(bytes.TrimRight(to[last+len(length):], " ")) {
		return false
	}
	p.proto = event.ProtoOther
	switch {
	case string(name) == "TCP":
		p.proto, p.stray = event.TCP, !opensFlags(detail)
	case string(name) == "UDP":
		p.proto = event.UDP
	case parse.HasPrefix(name, "ICMP"): // and ICMPv6
		p.proto = event.ICMP
	}
	if p.proto == event.TCP || p.proto == event.UDP {
		p.source, p.port = hostPort(from)
		_, p.local = hostPort(to[:end])
	} else {
		p.source = from
	}
	return true
}

// hostPort takes "203.0.113.5:40022" and "[2001:db8::5]:40022" apart, and takes a fragment's "203.0.113.5". The host is
// nil for an IPv6 address without brackets: where its port begins is anybody's guess.
func hostPort(b []byte) (host []byte, port uint16) {
	colon := bytes.LastIndexByte(b, ':')
	if len(b) > 0 && b[0] == '[' {
		closing := bytes.IndexByte(b, ']')
		switch {
		case closing < 0:
			return nil, 0
		case closing == len(b)-1:
			return b[1:closing], 0
		case closing != colon-1:
			return nil, 0
		}
		host = b[1:closing]
	} else {
		if colon < 0 {
			return b, 0
		}
		if host = b[:colon]; bytes.IndexByte(host, ':') >= 0 {
			return nil, 0
		}
	}
	port, ok := parse.Port(b[colon+1:])
	if !ok {
		return nil, 0
	}
	return host, port
}

// opensFlags reports whether TCP flags, "SYN,ECE,CWR", open a connection: SYN without ACK.
func opensFlags(flags []byte) bool {
	syn := false
	c := columns(flags)
	for c != nil {
		switch flag := c.next(); string(flag) {
		case "SYN":
			syn = true
		case "ACK":
			return false
		}
	}
	return syn
}

func (k mikrotik) explain(m []byte) (p parse.Parsed) {
	prefix, rest := routerosHeader(m)
	if rest == nil {
		p.Failed = "it is not a line about a packet to the router itself: there is no \"input: in:name out:(unknown 0), \""
		return p
	}
	p.Fields = append(p.Fields, parse.Field{Name: "prefix", Value: string(prefix)})
	found, ok := k.read(m)
	switch {
	case found.meaning == 0:
		p.Failed = fmt.Sprintf("no word of the prefix %q says whether the packet was refused or allowed: set a log-prefix like DROP in RouterOS, or name a word of it in rules.netfilter.block or rules.netfilter.accept", prefix)
	case !ok:
		p.Failed = "the parts of the line are not in the order in which RouterOS writes them"
	case found.meaning&meansAudit != 0:
		p.Failed = "the prefix says that the packet was looked at, not what became of it"
	case found.meaning == meansBlock|meansAccept:
		p.Failed = "the prefix has words that mean a refused packet and words that mean an allowed one"
	}
	if ok {
		p.Peer = string(found.source)
		p.Fields = append(p.Fields, found.fields()...)
	}
	return p
}
