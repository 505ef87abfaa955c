package detect

import (
	"slices"
	"strings"

	"tattled/detect/parse"
	"tattled/detect/rulefile"
	"tattled/event"
)

// parser reads the lines of a service whose form says where everything stands, in place of patterns. Like a pattern it
// takes any bytes, needs linear time, allocates nothing, and takes the peer from where its program writes it.
type parser interface {
	// bind is called once, before judge, with the service's rules that are left when the operator's choice is done. They
	// are numbered by now.
	bind(rules []parse.Rule)
	// judge returns what the message says by one of the rules, if by any.
	judge(message []byte) parse.Result
	// explain says what is read of a message and, where no rule can match, why; for people, as Explainer is. The service
	// and what is not the parser's are set by the caller.
	explain(message []byte) parse.Parsed
}

// parserForm is what a parser is made of.
type parserForm struct {
	*rulefile.File
	rules   []*Rule // in the order of File.Rules
	options *Options
	faults  *rulefile.Faults // of the file
}

// newParsers are the parsers by name. Each function checks the file's form as far as only that parser can tell.
var newParsers = map[string]func(p *parserForm) parser{
	accessParser: newAccess,
	"json":       newJSONLog,
	"filterlog":  newFilterlogParser,
	"mikrotik":   newMikrotikParser,
	"netfilter":  newNetfilterParser,
}

// glances are cheap looks at a message, by the name of a parser: false if the parser is sure to find nothing in it. A
// service whose parser has one is read when a message first passes.
var glances = map[string]func(message []byte) bool{
	accessParser: beginsDate,
	"json":       beginsObject,
	"netfilter":  namesValue,
}

// parser makes the service's parser, and checks that its rules fit it.
func (l *loader) parser(form *rulefile.File, s *Service, rules []*Rule, f *rulefile.Faults) {
	name := form.Parser.Value
	if name == "" {
		checkPatterns(form, rules, f)
		return
	}
	newParser := newParsers[name]
	if newParser == nil {
		f.Add(form.Parser.Line, "parser: there is no parser %q (there are %s)", name, listed(newParsers))
		return
	}
	if form.Before != nil || form.After != nil {
		f.Add(form.Parser.Line, "parser: before and after are for patterns: leave them out")
	}
	for i, r := range rules {
		if len(r.match)+len(r.regex) > 0 {
			f.Add(r.Line, "rule %q: a rule of the %s parser has no patterns", form.Rules[i].Name.Value, name)
		}
	}
	s.parser = newParser(&parserForm{File: form, rules: rules, options: &l.options, faults: f})
}

// checkPatterns checks that the rules of a service without a parser have patterns, and nothing that is a parser's.
func checkPatterns(form *rulefile.File, rules []*Rule, f *rulefile.Faults) {
	if len(form.Fields.All) > 0 {
		f.Add(form.Fields.Line, "fields: they are for parser: json")
	}
	for i, r := range rules {
		if len(r.match)+len(r.regex) == 0 {
			f.Add(r.Line, "rule %q matches nothing: write match:", r.Name)
		}
		form.Rules[i].NoConditions(f)
	}
}

// listed names the keys of a table, in order.
func listed[V any](table map[string]V) string {
	var names []string
	for name := range table {
		names = append(names, name)
	}
	slices.Sort(names)
	return strings.Join(names, ", ")
}

// packet is what a line of a packet filter says. Its program said it of a packet that came in, and not of one that went
// out or through.
type packet struct {
	meaning meaning
	source  []byte
	proto   event.Proto
	port    uint16
	local   uint16
	stray   bool
}

// meaning is a set of what a packet filter says that it did with a packet.
type meaning uint8

const (
	meansBlock meaning = 1 << iota
	meansAccept
	meansAudit // looked at, not judged
)

// packetParser is the parser for a packet filter's lines. It has two rules: for packets that were blocked, and for those
// that were accepted.
type packetParser struct {
	packetReader
	block, accept int32 // numbers of rules, negative where the operator disabled one
}

// packetReader knows the form of one packet filter's lines.
type packetReader interface {
	// read is false for a line that tells of no packet that came in.
	read(message []byte) (p packet, ok bool)
	explain(message []byte) parse.Parsed // as parser has it
}

// newPacketParser checks the form of a packet filter's file and makes its parser.
func newPacketParser(p *parserForm, reader packetReader) parser {
	count := map[event.Kind]int{}
	for i, r := range p.rules {
		count[r.Kind]++
		p.Rules[i].NoConditions(p.faults)
		if r.Handshake {
			p.faults.Add(r.Line, "rule %q: no packet proves a handshake: leave handshake out", r.Name)
		}
	}
	if len(p.rules) != 2 || count[event.FirewallBlock] != 1 || count[event.FirewallAccept] != 1 {
		p.faults.Add(p.Parser.Line, "parser: %s needs two rules, of the kinds firewall-block and firewall-accept", p.Parser.Value)
	}
	if len(p.Fields.All) > 0 {
		p.faults.Add(p.Fields.Line, "fields: they are for parser: json")
	}
	return &packetParser{packetReader: reader, block: -1, accept: -1}
}

func (n *packetParser) bind(rules []parse.Rule) {
	for _, r := range rules {
		if r.Kind == event.FirewallBlock {
			n.block = int32(r.Index)
		} else {
			n.accept = int32(r.Index)
		}
	}
}

// judge turns a packet into a reading by the rule for its verdict.
func (n *packetParser) judge(m []byte) parse.Result {
	p, ok := n.read(m)
	if !ok || p.meaning&meansAudit != 0 {
		return parse.Result{}
	}
	r := parse.Result{Rule: n.block, Port: p.port, Local: p.local, Proto: p.proto, Stray: p.stray}
	switch p.meaning {
	case meansBlock:
	case meansAccept:
		r.Rule = n.accept
	default:
		r.Ambiguous = true
	}
	var valid bool
	if r.Addr, valid = parse.Addr(p.source); !valid {
		r.Refusal = BadAddress
	}
	r.Found = r.Rule >= 0
	return r
}
