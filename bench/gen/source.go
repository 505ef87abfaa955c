package main

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
)

// Attackers come only from ranges that name no real host: 198.18.0.0/15 (RFC 2544), 203.0.113.0/24 (RFC 5737) and
// 2001:db8::/32 (RFC 3849). One in ten is IPv6, and a few come very often.
const attackers = 50_000

const (
	digits = "0123456789"
	hex    = "0123456789abcdef"
	base64 = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
)

// entry is one line before it gets a form.
type entry struct {
	tag, unit, text    string
	pid                int // 0 for the kernel
	facility, severity int
	class              string
}

// source draws lines.
type source struct {
	*rand.Rand
	often     *rand.Zipf
	addresses []string
	guesses   []string
	staff     []string
	services  []string

	// Of the line that is being made.
	attacker string
	service  string
	uptime   float64
	text     []byte

	turn  int
	fresh string // the attacker of the next line; "" for one of addresses
}

func newSource(seed uint64) *source {
	r := rand.New(rand.NewPCG(seed, 0x7a771ed))
	return &source{
		Rand: r, often: rand.NewZipf(r, 1.1, 8, attackers-1), addresses: addresses(), uptime: 812345,
		guesses:  strings.Fields("admin test ubuntu oracle postgres git user ftpuser hadoop pi support guest jenkins deploy minecraft tomcat www steam odoo zabbix mysql dev solana ansible centos debian"),
		staff:    strings.Fields("deploy alice bob carol backup"),
		services: strings.Fields("22 23 80 443 445 3389 8080 6379 5060 2375"),
	}
}

// addresses has a seed of its own, so that all corpora share the attackers.
func addresses() []string {
	r := rand.New(rand.NewPCG(7, 7))
	all := make([]string, 0, attackers)
	for seen := map[string]bool{}; len(all) < attackers; {
		a := fmt.Sprintf("198.%d.%d.%d", 18+r.IntN(2), r.IntN(256), r.IntN(256))
		switch k := r.IntN(100); {
		case k < 10:
			a = fmt.Sprintf("2001:db8:%x:%x::%x:%x", r.IntN(65536), r.IntN(65536), 1+r.IntN(65535), 1+r.IntN(65535))
		case k < 12:
			a = fmt.Sprintf("203.0.113.%d", r.IntN(256))
		}
		if !seen[a] {
			seen[a] = true
			all = append(all, a)
		}
	}
	return all
}

// publish gives the attackers addresses of networks that are no example: the same host numbers in 45.0.0.0/8 and 2a0e::/16.
func (s *source) publish() {
	for i, a := range s.addresses {
		if six, found := strings.CutPrefix(a, "2001:db8:"); found {
			s.addresses[i] = "2a0e:db8:" + six
		} else {
			_, rest, _ := strings.Cut(a, ".")
			s.addresses[i] = "45." + rest
		}
	}
}

// newcomer is the n-th of addresses that come once, those beside each other far apart: the 131,072 of 198.18.0.0/15, then one in each
// /64 of 2001:db8::/32.
func newcomer(n int) string {
	k := uint32(n) * 2654435761
	if n >= 1<<17 {
		return fmt.Sprintf("2001:db8:%x:%x::1", k>>16, k&65535)
	}
	k %= 1 << 17
	return fmt.Sprintf("198.%d.%d.%d", 18+k>>16, k>>8&255, k&255)
}

// kinds are the corpora: each draws the next line.
var kinds = map[string]func(*source) entry{
	"auth": func(s *source) entry {
		if s.IntN(2) == 0 {
			return s.draw(sshAttacks)
		}
		return s.draw(authOthers)
	},
	"kern": func(s *source) entry {
		if s.IntN(100) < 20 {
			return s.draw(kernelOthers)
		}
		return s.packet(refusals)
	},
	"flood": func(s *source) entry { // every second line
		if s.turn++; s.turn%2 == 1 {
			return s.draw(authOthers)
		}
		s.fresh = newcomer(s.turn / 2)
		return s.draw(sshAttacks)
	},
	"mixed": func(s *source) entry {
		switch k := s.IntN(100); {
		case k < 6:
			return s.draw(sshAttacks)
		case k < 10:
			return s.packet(refusals[:1])
		}
		return s.server()
	},
}

func (s *source) server() entry {
	e := s.draw(serverOthers)
	switch {
	case e.text != "":
		return e
	case e.tag == "kernel":
		return s.draw(kernelOthers)
	default:
		return s.draw(authOthers)
	}
}

// packet puts a packet filter's line together.
func (s *source) packet(prefixes []shape) entry {
	prefix, payload := s.pick(prefixes), s.pick(payloads)
	s.begin()
	s.service = s.services[s.IntN(len(s.services))]
	if s.IntN(3) == 0 {
		s.service = strconv.Itoa(1 + s.IntN(65535))
	}
	addressed := packetV4
	if strings.Contains(s.attacker, ":") {
		addressed = packetV6
	}
	e := s.entry(prefix, "{uptime}"+prefix.text+addressed+payload.text)
	if e.class == "fw-block" {
		e.class += payload.class
		if payload.class == "" && (s.service == "80" || s.service == "443") {
			e.class += "-web"
		}
	}
	return e
}

func (s *source) draw(shapes []shape) entry {
	chosen := s.pick(shapes)
	s.begin()
	return s.entry(chosen, chosen.text)
}

// begin chooses what all fields of a line share.
func (s *source) begin() {
	if s.attacker, s.fresh = s.fresh, ""; s.attacker == "" {
		s.attacker = s.addresses[s.often.Uint64()]
	}
	s.uptime += s.Float64() * 0.2
}

func (s *source) entry(of *shape, text string) entry {
	p := of.program
	e := entry{tag: p.tag, unit: p.unit, facility: p.facility, severity: of.severity, class: of.class}
	if p.tag != "kernel" {
		e.pid = 700 + s.IntN(4_190_000)
	}
	e.text = s.fill(text)
	return e
}

// pick chooses by weight.
func (s *source) pick(shapes []shape) *shape {
	total := 0
	for i := range shapes {
		total += shapes[i].weight
	}
	k := s.IntN(total)
	for i := range shapes {
		if k -= shapes[i].weight; k < 0 {
			return &shapes[i]
		}
	}
	panic("unreachable: k is less than the sum of all weights")
}

// fill replaces the {fields} of text. Braces around anything else stay.
func (s *source) fill(text string) string {
	s.text = s.text[:0]
	for {
		open := strings.IndexByte(text, '{')
		if open < 0 {
			s.text = append(s.text, text...)
			return string(s.text)
		}
		s.text = append(s.text, text[:open]...)
		text = text[open:]
		end := strings.IndexByte(text, '}')
		if end < 0 || !s.field(text[1:end]) {
			s.text = append(s.text, '{')
			text = text[1:]
			continue
		}
		text = text[end+1:]
	}
}

// field appends a value for the field named name, and reports whether there is such a field.
func (s *source) field(name string) bool {
	name, size, _ := strings.Cut(name, ":")
	n, _ := strconv.Atoi(size)
	switch name {
	case "attacker":
		s.text = append(s.text, s.attacker...)
	case "service":
		s.text = append(s.text, s.service...)
	case "guess":
		s.text = append(s.text, s.guesses[s.IntN(len(s.guesses))]...)
	case "staff":
		s.text = append(s.text, s.staff[s.IntN(len(s.staff))]...)
	case "admin":
		s.text = fmt.Appendf(s.text, "192.168.%d.%d", s.IntN(4), 10+s.IntN(20))
	case "port":
		s.text = strconv.AppendInt(s.text, int64(1024+s.IntN(64511)), 10)
	case "below":
		s.text = strconv.AppendInt(s.text, int64(s.IntN(n)), 10)
	case "uptime":
		s.text = fmt.Appendf(s.text, "[%12.6f] ", s.uptime)
	case "mac":
		for i := range 14 {
			if i > 0 {
				s.text = append(s.text, ':')
			}
			s.letters(2, hex)
		}
	case "df":
		if s.IntN(3) == 0 {
			s.text = append(s.text, "DF "...)
		}
	case "icmp":
		if strings.Contains(s.attacker, ":") {
			s.text = append(s.text, "ICMPv6 TYPE=128"...)
		} else {
			s.text = append(s.text, "ICMP TYPE=8"...)
		}
	case "hex":
		s.letters(n, hex)
	case "digits":
		s.letters(n, digits)
	case "base64":
		s.letters(n, base64)
	default:
		return false
	}
	return true
}

func (s *source) letters(n int, alphabet string) {
	for range n {
		s.text = append(s.text, alphabet[s.IntN(len(alphabet))])
	}
}
