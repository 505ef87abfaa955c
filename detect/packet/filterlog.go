package packet

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"

	"tattled/detect/parse"
	"tattled/detect/rulefile"
	"tattled/event"
)

// Filterlog's columns, as filterlog.c, print-ip.c and print-ip6.c of pfSense and OPNsense write them:
//
//	rule,subrule,anchor,label,interface,reason,action,direction,4,tos,ecn,ttl,id,offset,flags,number,name,length,source,destination,
//	rule,subrule,anchor,label,interface,reason,action,direction,6,class,flow,hoplimit,name,number,length,source,destination,
//
// and behind them "port,port,length" for UDP, and "port,port,length,flags,..." for TCP. Nothing in front of the addresses is
// a peer's text, and none of it has a comma.
const (
	filterlogAction = 6 // the number of the column
	filterlogSkip4  = 6 // columns between the version and the protocol's number
	filterlogSkip6  = 4
)

type filterlog struct{}

// NewFilterlog makes the parser for the packet filter log of pfSense and OPNsense.
func NewFilterlog(form *rulefile.File, f *rulefile.Faults) *Parser {
	return newParser(form, filterlog{}, f)
}

func (filterlog) read(m []byte) (p packet, ok bool) {
	c := columns(m)
	c.skip(filterlogAction)
	switch action := c.next(); string(action) {
	case "block", "reject":
		p.meaning = meansBlock
	case "pass":
		p.meaning = meansAccept
	default: // nat, rdr, scrub: what else was done with it
		return p, false
	}
	if direction := c.next(); string(direction) != "in" {
		return p, false
	}
	var number []byte
	switch version := c.next(); string(version) {
	case "4":
		c.skip(filterlogSkip4)
		number = c.next()
		c.skip(1)
	case "6":
		c.skip(filterlogSkip6)
		number = c.next()
	default:
		return p, false
	}
	length := c.next()
	if !isDecimal(number) || !isDecimal(length) { // columns that filterlog puts before them where a packet is malformed
		return p, false
	}
	p.source = c.next()
	// There is a comma behind the destination, or the line was cut off.
	if len(p.source) == 0 || len(c.next()) == 0 || c == nil {
		return p, false
	}
	p.proto = protoOf(number)
	if p.proto == event.TCP || p.proto == event.UDP {
		c.transport(&p)
	}
	return p, true
}

// transport reads the columns of TCP and UDP. A fragment other than the first has none.
func (c *columns) transport(p *packet) {
	p.stray = p.proto == event.TCP
	port, ok := parse.Port(c.next())
	if !ok {
		return
	}
	local, ok := parse.Port(c.next())
	if !ok {
		return
	}
	p.port, p.local = port, local
	if p.proto == event.TCP {
		c.skip(1)
		flags := c.next()
		p.stray = bytes.IndexByte(flags, 'S') < 0 || bytes.IndexByte(flags, 'A') >= 0
	}
}

// columns is what is left of a line of values with commas between them; nil behind the last of them.
type columns []byte

// next takes the next value; nil behind the last of them.
func (c *columns) next() []byte {
	rest := *c
	comma := bytes.IndexByte(rest, ',')
	if comma < 0 {
		*c = nil
		return rest
	}
	*c = rest[comma+1:]
	return rest[:comma]
}

func (c *columns) skip(n int) {
	for range n {
		c.next()
	}
}

// protoOf tells a protocol by its number.
func protoOf(number []byte) event.Proto {
	switch string(number) {
	case "6":
		return event.TCP
	case "17":
		return event.UDP
	case "1", "58":
		return event.ICMP
	default:
		return event.ProtoOther
	}
}

func isDecimal(b []byte) bool {
	for _, c := range b {
		if c-'0' > 9 {
			return false
		}
	}
	return len(b) > 0
}

func (filterlog) explain(m []byte) (p parse.Parsed) {
	c := columns(m)
	names := strings.Split("rule subrule anchor label interface reason action direction version", " ")
	for _, name := range names {
		p.Fields = append(p.Fields, parse.Field{Name: name, Value: string(c.next())})
	}
	action, direction := p.Fields[filterlogAction].Value, p.Fields[filterlogAction+1].Value
	found, ok := filterlog{}.read(m)
	switch {
	case action != "block" && action != "reject" && action != "pass":
		p.Failed = fmt.Sprintf("the action %q is none of block, reject and pass", action)
	case direction != "in":
		p.Failed = fmt.Sprintf("the packet did not come in: its direction is %q", direction)
	case !ok:
		p.Failed = "the columns are not those that filterlog writes, or the line was cut off"
	default:
		p.Peer = string(found.source)
		p.Fields = append(p.Fields, found.fields()...)
	}
	return p
}

// fields are what was read of a packet, for people.
func (p *packet) fields() []parse.Field {
	all := []parse.Field{{Name: "source", Value: string(p.source)}, {Name: "proto", Value: p.proto.String()}}
	if p.proto == event.TCP || p.proto == event.UDP {
		all = append(all, parse.Field{Name: "port", Value: strconv.Itoa(int(p.port))}, parse.Field{Name: "local_port", Value: strconv.Itoa(int(p.local))})
	}
	if p.proto == event.TCP {
		all = append(all, parse.Field{Name: "stray", Value: strconv.FormatBool(p.stray)})
	}
	return all
}
