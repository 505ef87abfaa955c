package detect

import (
	"bytes"
	"fmt"
	"strconv"

	"tattled/detect/parse"
	"tattled/detect/pattern"
	"tattled/event"
)

// parsed adds what the service's parser makes of the message, its stamp aside.
func (x *Explainer) parsed(s *Service, message []byte, e *Explanation) {
	x.addParsed(s, s.parser.judge(message), s.parser.explain(message), e)
}

// addParsed adds what a parser read.
func (x *Explainer) addParsed(s *Service, r parse.Result, p parse.Parsed, e *Explanation) {
	if r.Found {
		w := Way{Rule: x.rules.rules[r.Rule], Peer: p.Peer, Addr: r.Addr, Refusal: r.Refusal}
		if r.Ambiguous {
			w.Refusal = Ambiguous
		}
		if len(e.Ways) < pattern.MaxWays {
			e.Ways = append(e.Ways, w)
		}
	} else if p.Failed == "" {
		p.Failed = "the rule for it is disabled"
	}
	e.Parsed = append(e.Parsed, Parsed{s, p})
}

// explain says what is read of a line, and why no more.
func (n *netfilter) explain(m []byte) (p parse.Parsed) {
	add := func(name string, value []byte) {
		p.Fields = append(p.Fields, parse.Field{Name: name, Value: string(value)})
	}
	prefix, end := header(m)
	if end < 0 {
		p.Failed = fmt.Sprintf("it is no line about a packet: there is no \"IN=name OUT=\" in its first %d bytes", maxPrefix)
		if bytes.Contains(m, []byte("IN= OUT=")) {
			p.Failed = "the packet did not come in: IN= is empty"
		}
		return p
	}
	words := m[min(kernelStamp(m), prefix):prefix]
	add("prefix", words)
	in, _, _ := bytes.Cut(m[prefix+len("IN="):], []byte(" "))
	add("IN", in)
	rest := m[end:]
	if len(rest) == 0 || rest[0] != ' ' {
		out, _, _ := bytes.Cut(rest, []byte(" "))
		add("OUT", out)
		p.Failed = "the packet did not come in to this machine: OUT= names where it went on"
		return p
	}
	for _, name := range []string{"SRC", "DST", "PROTO", "SPT", "DPT"} {
		at := bytes.Index(rest, []byte(" "+name+"="))
		if bracket := bytes.IndexByte(rest, '['); at < 0 || bracket >= 0 && bracket < at {
			if name == "SRC" || name == "DST" || name == "PROTO" {
				p.Failed = "the line has no " + name + "= where the kernel writes it, or ends too early"
				return p
			}
			break
		}
		rest = rest[at+len(name)+2:]
		value, _, _ := bytes.Cut(rest, []byte(" "))
		add(name, value)
		if name == "SRC" {
			p.Peer = string(value)
		}
	}
	switch meaning := n.words.meaning(words); {
	case meaning == 0:
		p.Failed = fmt.Sprintf("no word of the prefix %q says whether the packet was refused or allowed: name one in rules.netfilter.block or rules.netfilter.accept", words)
	case meaning&meansAudit != 0:
		p.Failed = "the prefix says that the packet was looked at, not what became of it"
	case meaning == meansBlock|meansAccept:
		p.Failed = "the prefix has words that mean a refused packet and words that mean an allowed one"
	}
	found, ok := n.read(m)
	switch {
	case p.Failed != "":
	case !mayBePrefix(words, rest):
		p.Failed = fmt.Sprintf("%q is no log prefix of an operator's: it is too long, or names a device or a path, so that a stranger may have named something like a packet", words)
	case !ok:
		p.Failed = "the parts of the line are not in the order in which the kernel writes them"
	case found.proto == event.TCP:
		add("stray", []byte(strconv.FormatBool(found.stray)))
	}
	return p
}
