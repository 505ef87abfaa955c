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

// Netfilter is the configuration of the parser for lines of the kernel's packet filter (rules.netfilter).
type Netfilter struct {
	// Block lists words of log prefixes that mean a refused packet, besides the known ones (block, drop, deny, reject, ban
	// and their past forms, and the last letter of "[WAN_LOCAL-4000-D]"). A word is letters and digits, upper or lower case:
	// "Denegado". Default: none.
	Block []string `yaml:"block"`
	// Accept lists words of log prefixes that mean an allowed packet, besides the known ones (accept, allow and their past
	// forms). Default: none.
	Accept []string `yaml:"accept"`
	// Unprefixed says what a line means that has no log prefix at all ("IN=eth0 OUT= ..."), of rules that log without one: block,
	// accept or ignore. Say it only if all rules that do so mean the same. Default: ignore.
	Unprefixed string `yaml:"unprefixed"`
}

// netfilter reads the lines that the kernel writes for a packet (net/netfilter/nf_log_syslog.c), which are the same for
// iptables' LOG, nftables' log, UFW and firewalld, and for ulogd's LOGEMU: the operator's prefix, then KEY=value in an
// order that never changes:
//
//	prefix IN=eth0 OUT= MAC=.. SRC=.. DST=.. LEN=.. .. PROTO=TCP SPT=.. DPT=.. WINDOW=.. RES=0x00 SYN URGP=0
//
// Addresses are read from where the kernel puts them and nowhere else: what the prefix says, and the packet that an ICMP
// error quotes in brackets, never matter.
type netfilter struct {
	words      *verdictWords
	seen       prefixes
	unprefixed meaning // of a line without a prefix; 0 if that says nothing
}

// verdictWords are the words by which the operator's prefix tells what became of a packet.
type verdictWords [wordSlots][]verdictWord

type verdictWord struct {
	text    string // lower case
	meaning meaning
}

// wordsOf are the words known without configuration.
func wordsOf(m meaning) []string {
	switch m {
	case meansBlock:
		return []string{"block", "blocked", "drop", "dropped", "deny", "denied", "reject", "rejected", "ban", "banned"}
	case meansAccept:
		return []string{"accept", "accepted", "allow", "allowed"}
	default:
		return []string{"audit"}
	}
}

const (
	maxPrefix    = 160 // bytes before IN=: the longest prefix and the kernel's stamp
	longestWords = 127 // bytes of a prefix: NF_LOG_PREFIXLEN less one; iptables allows 29
	maxInterface = 15  // bytes, IFNAMSIZ less one
	wordSlots    = 128
)

// NewNetfilter makes the parser for the kernel's packet filter.
func NewNetfilter(form *rulefile.File, c Netfilter, f *rulefile.Faults) *Parser {
	words, problems := newVerdictWords(c)
	for _, problem := range problems {
		f.All = append(f.All, rulefile.Fault{Problem: "rules.netfilter: " + problem})
	}
	unprefixed := meaning(0)
	switch c.Unprefixed {
	case "", "ignore":
	case "block":
		unprefixed = meansBlock
	case "accept":
		unprefixed = meansAccept
	default:
		f.All = append(f.All, rulefile.Fault{Problem: fmt.Sprintf("rules.netfilter: unprefixed: %q is none of block, accept and ignore", c.Unprefixed)})
	}
	return newParser(form, &netfilter{words: words, unprefixed: unprefixed}, f)
}

// newVerdictWords returns the words that are known and the operator's, and what is wrong with the latter.
func newVerdictWords(c Netfilter) (*verdictWords, []string) {
	w := new(verdictWords)
	known := map[string]meaning{}
	var problems []string
	add := func(word string, m meaning) {
		low := strings.ToLower(word)
		switch {
		case low == "" || strings.ContainsFunc(low, func(r rune) bool { return r > 127 || lower[r] == 0 }):
			problems = append(problems, fmt.Sprintf("%q is not a word: write letters and digits only", word))
		case known[low] == m:
		case known[low] != 0:
			problems = append(problems, fmt.Sprintf("%q means something else already: take it out of one of the lists", word))
		default:
			known[low] = m
			h := uint32(0)
			for i := range len(low) {
				h = wordHash(h, low[i])
			}
			w[h%wordSlots] = append(w[h%wordSlots], verdictWord{low, m})
		}
	}
	for _, m := range []meaning{meansBlock, meansAccept, meansAudit} {
		for _, word := range wordsOf(m) {
			add(word, m)
		}
	}
	for _, word := range c.Block {
		add(word, meansBlock)
	}
	for _, word := range c.Accept {
		add(word, meansAccept)
	}
	return w, problems
}

// lower is a word's byte in lower case, 0 for a byte that ends words.
var lower = func() (t [256]byte) {
	for c := range 256 {
		if low := byte(c) | 0x20; 'a' <= low && low <= 'z' && c < 0x80 || '0' <= c && c <= '9' {
			t[c] = low
		}
	}
	return t
}()

func wordHash(h uint32, low byte) uint32 { return h*31 + uint32(low) }

// read reads a line; ok is false for one that tells of no packet that came in, to this machine or through it. It counts positions by
// hand, as most of what is between the spaces is a few bytes long.
func (n *netfilter) read(m []byte) (p packet, ok bool) {
	prefix, i := header(m)
	if i < 0 || i >= len(m) {
		return p, false // no packet, or one that went out
	}
	if p.forward = m[i] != ' '; p.forward {
		if i = device(m, i); i < 0 {
			return p, false
		}
	}
	for i++; !parse.HasPrefix(m[i:], "SRC="); i++ { // the link layer: MAC=, PHYSIN=, VPROTO=..
		space := bytes.IndexByte(m[i:], ' ')
		if space < 0 || parse.HasPrefix(m[i:], "DST=") || parse.HasPrefix(m[i:], "PROTO=") || m[i] == '[' {
			return p, false
		}
		i += space
	}
	i += len("SRC=")
	from := i
	if p.four, i = parse.Four(m, from); i >= 0 {
		p.isFour = true
	} else {
		i = space(m, from)
	}
	if !parse.HasPrefix(m[i:], " DST=") {
		return p, false
	}
	p.source = m[from:i]
	before := m[min(front(m), prefix):prefix]
	words := n.seen.get(before, n.words)
	if p.meaning = words.meaning; p.meaning == 0 {
		p.meaning = n.unprefixedMeaning(before)
	}
	if p.meaning == 0 || words.refused || (words.doubtful || m[0]-'0' <= 9) && !onlyFields(m[i:]) { // Proxmox' front has a path's "/"
		return p, false
	}
	ok = p.transport(m[i+len(" DST="):])
	return p, ok
}

// NamesValue reports whether there is a value where a packet has that of IN=: a cheap look at what a message may be.
func NamesValue(m []byte) bool {
	return bytes.IndexByte(m[:min(len(m), maxPrefix+len("IN="))], '=') >= 0
}

// header finds "IN=name OUT=" near the front, or IN=name alone as Proxmox VE writes it, and returns where it begins and ends. The end
// is negative if there is none, or if the name is empty: the packet did not come in.
func header(m []byte) (at, end int) {
	near := m[:min(len(m), maxPrefix+len("IN="))]
	for i := 0; ; i++ {
		equals := bytes.IndexByte(near[i:], '=')
		if equals < 0 {
			return 0, -1
		}
		if i += equals; i < 2 || near[i-2] != 'I' || near[i-1] != 'N' {
			continue
		}
		end := min(i+1+maxInterface, len(m))
		if n := bytes.IndexByte(m[i+1:end], ' '); n >= 0 {
			end = i + 1 + n
		}
		if parse.HasPrefix(m[end:], " OUT=") {
			if end == i+1 {
				return 0, -1
			}
			return i - 2, end + len(" OUT=")
		}
		if end > i+1 && inward(m[end:]) {
			return i - 2, end
		}
	}
}

// inward reports whether what follows IN=name is what loggers write next that leave out an empty OUT=.
func inward(m []byte) bool {
	return parse.HasPrefix(m, " MAC=") || parse.HasPrefix(m, " SRC=") || parse.HasPrefix(m, " PHYSIN=")
}

// front returns how many bytes of a line are before the words of a rule: the kernel's stamp, or what Proxmox VE has there.
func front(m []byte) int {
	if len(m) > 0 && m[0]-'0' <= 9 {
		return proxmoxFront(m)
	}
	return kernelStamp(m)
}

// device returns where the name of a device ends, which a space must follow; negative if it is none.
func device(m []byte, from int) int {
	i := from
	for i < len(m) && m[i] != ' ' && i-from < maxInterface+1 {
		i++
	}
	if i == from || i == len(m) || m[i] != ' ' {
		return -1
	}
	return i
}

// unprefixedMeaning is what the operator said that a line means that begins with IN=: nobody else's text is before it then.
func (n *netfilter) unprefixedMeaning(words []byte) meaning {
	if len(bytes.TrimLeft(words, " ")) > 0 {
		return 0
	}
	return n.unprefixed
}

// meaning returns what the words of a prefix mean, together; a letter that stands for the verdict decides alone.
func (w *verdictWords) meaning(prefix []byte) (m meaning) {
	for i := 0; i < len(prefix); i++ {
		h, from := uint32(0), i
		for i < len(prefix) && lower[prefix[i]] != 0 {
			h = wordHash(h, lower[prefix[i]])
			i++
		}
		switch i - from {
		case 0:
			continue
		case 1:
			if letter := verdictLetter(prefix, from); letter != 0 {
				return letter
			}
		}
		for _, word := range w[h%wordSlots] {
			if equalFold(prefix[from:i], word.text) {
				m |= word.meaning
			}
		}
	}
	return m
}

// verdictLetter returns what the letter at i of a prefix means, 0 if it stands for no verdict. Ubiquiti and VyOS write the
// action's first letter behind the rule's name, or behind its zones and before its number: "[WAN_LOCAL-4000-D]",
// "[ipv4-INP-filter-10-A]", `[WAN_LOCAL-D-2000] DESCR="Drop All Other Traffic" `. What the operator called the rule or
// describes it by may have any word of a verdict.
func verdictLetter(prefix []byte, i int) meaning {
	if i < 2 || prefix[i-1] != '-' || bytes.IndexByte(prefix[:i], '[') < 0 {
		return 0
	}
	rest := prefix[i+1:]
	if parse.HasPrefix(rest, "-") {
		digits := 1
		for digits < len(rest) && rest[digits]-'0' <= 9 {
			digits++
		}
		if digits == 1 {
			return 0
		}
		rest = rest[digits:]
	}
	if !parse.HasPrefix(rest, "]") {
		return 0
	}
	switch prefix[i] {
	case 'A':
		return meansAccept
	case 'D', 'R':
		return meansBlock
	default:
		return 0
	}
}

func equalFold(word []byte, low string) bool {
	if len(word) != len(low) {
		return false
	}
	for i, c := range word {
		if lower[c] != low[i] {
			return false
		}
	}
	return true
}

// transport reads from the destination on. It fails on a line that was cut off before it names the protocol.
func (p *packet) transport(m []byte) bool {
	i := index(m, "PROTO=")
	if i <= 0 || m[i-1] != ' ' || bytes.IndexByte(m[:i], '[') >= 0 {
		return false
	}
	m = m[i+len("PROTO="):]
	var rest []byte
	switch {
	case parse.HasPrefix(m, "TCP "):
		p.proto, p.stray, rest = event.TCP, true, m[len("TCP "):]
	case parse.HasPrefix(m, "UDP "):
		p.proto, rest = event.UDP, m[len("UDP "):]
	case parse.HasPrefix(m, "ICMP"): // and ICMPv6
		p.proto = event.ICMP
		return true
	default:
		p.proto = event.ProtoOther
		return true
	}
	// A fragment has no ports, and a cut packet has "INCOMPLETE [8 bytes]" instead.
	if !parse.HasPrefix(rest, "SPT=") {
		return true
	}
	rest, ok := takePort(rest, &p.port)
	if !ok || !parse.HasPrefix(rest, "DPT=") {
		return true
	}
	if rest, ok = takePort(rest, &p.local); ok && p.proto == event.TCP {
		p.stray = !opens(rest)
	}
	return true
}

// takePort takes "SPT=12345 ", or the like, from the front.
func takePort(m []byte, to *uint16) (rest []byte, ok bool) {
	const first = len("SPT=")
	port, i := 0, first
	for ; i < len(m) && m[i]-'0' <= 9 && port <= 65535; i++ {
		port = port*10 + int(m[i]-'0')
	}
	if i == first || i == len(m) || m[i] != ' ' || port > 65535 {
		return nil, false
	}
	*to = uint16(port)
	return m[i+1:], true
}

// opens reports whether the TCP flags open a connection: SYN without ACK. They are words of their own, before URGP= or, as Proxmox VE
// writes them, at the end.
func opens(m []byte) bool {
	syn := false
	for i := 0; i < len(m); i++ {
		switch rest := m[i:]; rest[0] {
		case 'S':
			syn = syn || parse.HasPrefix(rest, "SYN ") || string(rest) == "SYN"
		case 'A':
			if parse.HasPrefix(rest, "ACK ") {
				return false
			}
		case 'U':
			if parse.HasPrefix(rest, "URGP=") {
				return syn
			}
		}
		i = space(m, i)
	}
	return syn // Proxmox writes no URGP=; ACK stands before SYN, so that no end of a line hides it
}

// explain says what is read of a line, and why no more.
func (n *netfilter) explain(m []byte) (p parse.Parsed) {
	add := func(name string, value []byte) {
		p.Fields = append(p.Fields, parse.Field{Name: name, Value: string(value)})
	}
	prefix, end := header(m)
	if end < 0 {
		p.Failed = fmt.Sprintf("it is not a line about a packet: there is no \"IN=name OUT=\" in its first %d bytes", maxPrefix)
		if bytes.Contains(m, []byte("IN= OUT=")) {
			p.Failed = "the packet did not come in: IN= is empty"
		}
		return p
	}
	words := m[min(front(m), prefix):prefix]
	add("prefix", words)
	in, _, _ := bytes.Cut(m[prefix+len("IN="):], []byte(" "))
	add("IN", in)
	rest := m[end:]
	if len(rest) == 0 || rest[0] != ' ' {
		out, _, _ := bytes.Cut(rest, []byte(" "))
		add("OUT", out)
		rest = rest[len(out):]
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
	meaning := n.words.meaning(words)
	if meaning == 0 {
		meaning = n.unprefixedMeaning(words)
	}
	switch {
	case meaning == 0 && len(words) == 0:
		p.Failed = "there is no prefix that says whether the packet was refused or allowed: say what that means in rules.netfilter.unprefixed"
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
	case !mayBePrefix(words, rest), m[0]-'0' <= 9 && !onlyFields(rest):
		p.Failed = fmt.Sprintf("%q is not an operator's log prefix: it is too long, or names a device or a path, so that a stranger may have named something like a packet", words)
	case !ok:
		p.Failed = "the parts of the line are not in the order in which the kernel writes them"
	case found.proto == event.TCP:
		add("stray", []byte(strconv.FormatBool(found.stray)))
	}
	return p
}
