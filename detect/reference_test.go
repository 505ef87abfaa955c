package detect

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"tattled/detect/parse"
	"tattled/detect/pattern"
)

// The reference is matching as the manual tells it: try everything, keep every way to read the line. It shares with the
// matcher only how patterns are written out.

// referenceRule is one variant of one pattern.
type referenceRule struct {
	rule *Rule
	pattern.Written
}

// reference is all that is known of one program's messages.
type reference struct {
	rules         []referenceRule
	before, after []string
	stamped       bool
	event         bool // a rule that is of events has read the last message
}

func newReference(t testing.TB, r *Rules, s *Service) reference {
	t.Helper()
	ref := reference{before: s.frame.Before, after: s.frame.After, stamped: s.stamped}
	for _, rule := range r.rules {
		if rule.Service != s {
			continue
		}
		for _, p := range rule.match {
			ways, err := pattern.Write(p.Value, s.frame)
			if err != nil {
				t.Fatal(err)
			}
			for _, one := range ways {
				ref.rules = append(ref.rules, referenceRule{rule, one})
			}
		}
	}
	return ref
}

// peers returns everything that the message may name as its peer, in all ways to read it by all patterns. What may stand
// around a message (rsyslog's count, a stamp, a text of the frame) is that, or what a peer wrote, but never a part of an
// address.
func (ref *reference) peers(message string) map[string]bool {
	all := map[string]bool{}
	ref.event = false
	texts := []string{message}
	if one := string(unwrapRepeated([]byte(message))); one != message {
		texts = append(texts, one)
	}
	for _, text := range texts {
		ref.unframed(text, all)
		if ref.stamped {
			var s Stamp
			ref.unframed(text[s.Take([]byte(text)):], all)
		}
	}
	maps.DeleteFunc(all, func(_ string, may bool) bool { return !may })
	return all
}

func (ref *reference) unframed(message string, all map[string]bool) {
	ways := func(list []string, is func(string, string) bool) []string {
		for _, text := range list {
			if is(message, text) {
				return []string{text, ""}
			}
		}
		return []string{""}
	}
	fronts, backs := ways(ref.before, strings.HasPrefix), ways(ref.after, strings.HasSuffix)
	for _, before := range fronts {
		for _, after := range backs {
			if len(before)+len(after) > len(message) {
				continue
			}
			text := message[len(before) : len(message)-len(after)]
			for _, r := range ref.rules {
				if (r.Before == "" || r.Before == before) && (r.After == "" || r.After == after) {
					enumerate(r.Items, text, "", func(peer string) {
						if r.rule.Kind == 0 && parse.NoPeer([]byte(peer)) {
							return
						}
						ends := strings.HasPrefix(text, peer) && before != fronts[0] && strings.HasPrefix(peer, fronts[0]) ||
							strings.HasSuffix(text, peer) && after != backs[0] && strings.HasSuffix(peer, backs[0])
						all[peer] = all[peer] || !ends
						ref.event = ref.event || !ends && r.rule.Kind != 0
					})
				}
			}
		}
	}
}

// enumerate calls found with the address field of every way to read text by items.
func enumerate(items []pattern.Item, text, peer string, found func(peer string)) {
	if len(items) == 0 {
		if text == "" {
			found(peer)
		}
		return
	}
	it, rest := items[0], items[1:]
	if it.Field == pattern.Literal {
		if after, ok := strings.CutPrefix(text, it.Text); ok {
			enumerate(rest, after, peer, found)
		}
		return
	}
	for n := 0; n <= len(text); n++ {
		if n > 0 && !it.Field.Wide() && !it.Field.Holds(text[n-1]) {
			break
		}
		value := text[:n]
		switch {
		case !it.Field.Wide() && (n > it.Field.Longest() || n == 0 && it.Field != pattern.Maybe):
			continue
		case it.Field == pattern.Port || it.Field == pattern.LocalPort:
			if _, ok := parse.Port([]byte(value)); !ok {
				continue
			}
		case it.Field == pattern.IP:
			peer = value
		case it.Field == pattern.IPPort:
			colon := strings.LastIndex(value, ":")
			if _, ok := parse.Port([]byte(value[colon+1:])); colon < 0 || !ok {
				continue
			}
			peer = value[:colon]
			if inner, ok := strings.CutPrefix(peer, "["); ok && strings.HasSuffix(inner, "]") {
				peer = strings.TrimSuffix(inner, "]")
			}
		}
		enumerate(rest, text[n:], peer, found)
	}
}

// want is what Detect must say of these peers.
func want(peers map[string]bool) (Verdict, netip.Addr, bool) {
	named := map[netip.Addr]bool{}
	for p := range peers {
		addr, err := netip.ParseAddr(p)
		if err != nil || addr.Zone() != "" {
			addr = netip.Addr{}
		}
		named[addr.Unmap()] = true
	}
	switch {
	case len(named) == 0:
		return Ignored, netip.Addr{}, false
	case len(named) > 1:
		return Refused, netip.Addr{}, true
	}
	for addr := range named {
		if addr.IsValid() {
			return Matched, addr, false
		}
	}
	return Refused, netip.Addr{}, false
}

// agree fails the test if Detect and the reference judge a message differently.
func agree(t testing.TB, r *Rules, ref *reference, program, message string) {
	t.Helper()
	var f Finding
	verdict := r.Detect([]byte(program), []byte(message), &f)
	expected, addr, ambiguous := want(ref.peers(message))
	if !ref.event {
		expected, ambiguous = Ignored, false
	}
	if verdict != expected || verdict == Matched && f.Addr != addr || verdict == Refused && (f.Refusal == Ambiguous) != ambiguous {
		t.Fatalf("%q\nis %s\nshould be %v, %v, ambiguous %v", message, describe(verdict, &f), expected, addr, ambiguous)
	}
}

// oddPatterns are of all shapes that the matcher tells apart, and of some that a writer might think up.
var oddPatterns = []string{
	"abc <ip>", "<ip> abc", "<any>abc<user> x <ip>", "<ip>: abc<any>", "abc[<ip>]:<port>", "<user> abc <ip> <any> abc",
	"<any> abc <ip> by <user>", "abc <any> a <word> <ip> <any> b <user> c", "<word> abc <ip>", "abc {x <ip>|<ip> y}{ z|}",
	"abc <any> <ip> <word> <any>!", "abc=<user>, rip=<ip>, lip=<host>", "abc<any>ip <ip> <int>a<any>a", "abc.<ip>,.<any>.",
	"aaa<any>aa <ip> aa<any>aaa", "abc <word?> <ip>", "abc <user> <ip>:", "<user>: abc <ip> [<port>]", "abc \\<<user>@<ip>\\>",
	"aabb<any>b <ip> a<any>aab<any>b", "abc<any> rhost=<ip> <any>=<user>", "abc <any>, <ip>, <local_port>, <any>",
	"abc <ip> <user> y", "<ip> abc<any>abc", "abc <int> <ip>", "abc<any>c <ip> <int>",
	"abc <ip:port>", "<user> [<ip:port>] abc", "abc]<ip:port>]: <any>", "<ip:port> abc <any> <int>", "abc <any> \\<<ip:port>\\> <user>!",
}

// oddRules is a rule file of the odd patterns.
func oddRules(from, to int) string {
	var b strings.Builder
	b.WriteString("service: odd\nprograms: [odd]\nbefore: ['e: ']\nafter: [' !', '.']\nrules:\n")
	for i, p := range oddPatterns[from:to] {
		fmt.Fprintf(&b, "  - {name: r%d, kind: probe, categories: [15], match: ['%s'], samples: [{line: x, ip: 192.0.2.1}]}\n", i, p)
	}
	return b.String()
}

// withPort writes an address with a port, one of version 6 in brackets.
func withPort(peer string) string {
	if strings.Contains(peer, ":") {
		peer = "[" + peer + "]"
	}
	return peer + ":4022"
}

// fill writes a message by a pattern, with text for the wide fields.
func fill(items []pattern.Item, peer string, word, text func() string) string {
	var b strings.Builder
	for _, it := range items {
		switch {
		case it.Field == pattern.Literal:
			b.WriteString(it.Text)
		case it.Field == pattern.IP:
			b.WriteString(peer)
		case it.Field == pattern.IPPort:
			b.WriteString(withPort(peer))
		case it.Field.Wide():
			b.WriteString(text())
		case it.Field == pattern.Host:
			b.WriteString("host.example.org")
		case it.Field == pattern.Word || it.Field == pattern.Maybe:
			b.WriteString(word())
		default:
			b.WriteString("4022")
		}
	}
	return b.String()
}

// TestReference compares the matcher with the reference, for each odd pattern alone and for all together.
func TestReference(t *testing.T) {
	g := rand.New(rand.NewPCG(3, 3))
	pieces := []string{"abc", "aa", "b", " ", "  ", "192.0.2.1", "192.0.2.2", "2001:db8::1", "::", ":", "[", "]", ".", "x", "host", "=", "rip=", "rhost=", "ip ", ", ", "<", "@", ">", "e: ", " !", "22", ":22", "[::1]", "a", "by", "y", "z", "c", "!", "1.2.3", "123456789012345678901", "65536"}
	random := func() string {
		var b strings.Builder
		for range g.IntN(8) {
			b.WriteString(pieces[g.IntN(len(pieces))])
		}
		return b.String()
	}
	sets := [][2]int{{0, len(oddPatterns)}}
	for i := range oddPatterns {
		sets = append(sets, [2]int{i, i + 1})
	}
	for _, set := range sets {
		r, faults := loadWith(nothing(), Options{Directory: userRules(t, "odd.yaml", oddRules(set[0], set[1]))})
		if len(faults) > 0 {
			t.Fatal(faults)
		}
		s := r.services[slices.IndexFunc(r.services, func(s *Service) bool { return s.Name == "odd" })]
		ref := newReference(t, r, s)
		for _, digits := range []int{20, 21} { // the bound of a number, from both sides
			agree(t, r, &ref, "odd", "abc "+strings.Repeat("9", digits)+" 192.0.2.1")
			agree(t, r, &ref, "odd", "abcc 192.0.2.1 "+strings.Repeat("9", digits))
		}
		for range 20_000 {
			message := random()
			if g.IntN(4) > 0 {
				rule := ref.rules[g.IntN(len(ref.rules))]
				message = fill(rule.Items, pieces[5+g.IntN(3)], func() string { return "w" }, random)
			}
			if g.IntN(4) == 0 {
				message = "e: " + message
			}
			if n := len(message); n > 0 && g.IntN(4) == 0 { // parts that overlap
				from := g.IntN(n)
				message = message[:from] + message[from+g.IntN(min(n-from, 6)):]
			}
			agree(t, r, &ref, "odd", message)
		}
	}
}

// sshdReference is the reference of the rules that matter most.
func sshdReference(t testing.TB, r *Rules) reference {
	return newReference(t, r, r.services[slices.IndexFunc(r.services, func(s *Service) bool { return s.Name == "sshd" })])
}

// TestEveryPatternIsNeeded says that each pattern of a built-in rule reads a sample of that rule: none is there in vain,
// and none without an example.
func TestEveryPatternIsNeeded(t *testing.T) {
	r := load(t, Options{})
	samplesOf, _ := r.samples()
	for _, s := range r.services {
		ref := newReference(t, r, s)
		for _, rule := range r.rules {
			if rule.Service != s {
				continue
			}
			for _, p := range rule.match {
				ways, _ := pattern.Write(p.Value, s.frame)
				one := reference{before: ref.before, after: ref.after, stamped: ref.stamped}
				for _, written := range ways {
					written.Before, written.After = "", ""
					one.rules = append(one.rules, referenceRule{rule, written})
				}
				if !slices.ContainsFunc(samplesOf[rule], func(s sample) bool {
					return (s.addr.IsValid() || rule.Kind == 0) && len(one.peers(s.form.Line.Value)) > 0
				}) {
					t.Errorf("%s:%d: no sample for %s", s.File, p.Line, p.Value)
				}
			}
		}
	}
}
