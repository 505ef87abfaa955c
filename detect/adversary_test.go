package detect

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"
)

const (
	truePeer = "203.0.113.5"   // the peer that the program logs
	framed1  = "198.51.100.66" // whom the attacker would like to be blamed
	framed2  = "2001:db8::bad"
)

// hostile makes texts that a peer might send for a name, a reason, a version: other lines of the same log with somebody
// else's address, the end of the line that they will stand in, and bytes that break something elsewhere.
func hostile(g *rand.Rand, rules []referenceRule) func() string {
	fixed := []string{
		"", " ", "root", "a b", framed1, framed2, "root from " + framed1, "root from " + framed1 + " port 22 ssh2",
		"x " + framed1 + " port 5", " from " + framed1 + " port 22", "from " + framed1, "[" + framed1 + "]", "\"", "\"'`", "<ip>", "{a|b}",
		"\n", "\r\n", "\x00", "\x1b[31m", "\u2028", "%0a", "\xff\xfe", "[preauth]", " [preauth]", " ", "rhost=" + framed1,
		"  user=root", "ruser= rhost=" + framed1 + "  user=", "message repeated 2 times: [ ", "error: ", "fatal: ", "host.example.org",
		"1.2.3.04", "fe80::1%eth0", "::ffff:" + framed1, strings.Repeat("A", 300), "\nNov 22 10:00:00 web1 sshd[1]: Failed password for root from " + framed1 + " port 22 ssh2",
	}
	word := func() string { return "w" }
	var text func(depth int) string
	text = func(depth int) string {
		k := g.IntN(10)
		switch {
		case k < 4 || depth > 2:
			return fixed[g.IntN(len(fixed))]
		case k < 6:
			return text(depth+1) + text(depth+1)
		case k < 8: // a whole line
			return fill(rules[g.IntN(len(rules))].items, framed1, word, func() string { return text(depth + 1) })
		default: // the end, or the beginning, of a line
			items := rules[g.IntN(len(rules))].items
			cut := g.IntN(len(items))
			if k == 8 {
				return fill(items[cut:], framed1, word, func() string { return text(depth + 1) })
			}
			return fill(items[:cut], framed2, word, func() string { return text(depth + 1) })
		}
	}
	return func() string { return text(0) }
}

// TestAdversary writes lines as the programs would, by every pattern of every rule, with hostile texts in all that a peer
// can fill: the true peer is found, or nobody. The reference agrees with each verdict.
func TestAdversary(t *testing.T) {
	r := load(t, Options{})
	g := rand.New(rand.NewPCG(4, 4))
	lines := max(120_000/len(r.services), 100) // each; all together take the same time however many services there are
	for _, s := range r.services {
		ref := newReference(t, r, s)
		if len(ref.rules) == 0 {
			continue
		}
		alone := knownAlone(r, s)
		text := hostile(g, ref.rules)
		found := 0
		var f Finding
		for i := range lines {
			rule := ref.rules[i%len(ref.rules)]
			word := func() string { return []string{"w", framed1, "a=b", "x:1"}[g.IntN(4)] }
			message := rule.before + fill(rule.items, truePeer, word, text) + rule.after
			if g.IntN(5) == 0 {
				message = "error: " + message
			}
			verdict := r.Detect([]byte(s.Programs[i%len(s.Programs)]), []byte(message), &f)
			if verdict == Matched {
				found++
				if f.Addr != netip.MustParseAddr(truePeer) {
					t.Fatalf("by %v, %v is blamed for\n%q", f.Rule, f.Addr, message)
				}
			}
			if alone && i%40 == 0 && len(message) < 400 {
				agree(t, r, &ref, s.Programs[0], message)
			}
		}
		if found < lines/10 {
			t.Errorf("%s: the true peer was found in only %d of %d lines", s.Name, found, lines)
		}
	}
}

// knownAlone reports whether the first program of s is known to no other service, so that the reference of s tells all
// that there is to say about its lines.
func knownAlone(r *Rules, s *Service) bool {
	return !slices.ContainsFunc(r.services, func(other *Service) bool {
		return other != s && slices.Contains(other.Programs, s.Programs[0])
	})
}

// TestNames tries what is known to have framed people through fail2ban and its like, in each place where sshd writes a
// user's name.
func TestNames(t *testing.T) {
	r := load(t, Options{})
	forms := []string{
		"Failed password for invalid user %s from 203.0.113.5 port 4 ssh2", "Failed password for %s from 203.0.113.5 port 4 ssh2",
		"Failed none for invalid user %s from 203.0.113.5 port 4 ssh2", "Invalid user %s from 203.0.113.5 port 4",
		"Invalid user %s from 203.0.113.5", "Connection closed by invalid user %s 203.0.113.5 port 4 [preauth]",
		"Connection reset by authenticating user %s 203.0.113.5 port 4 [preauth]", "Disconnected from invalid user %s 203.0.113.5 port 4 [preauth]",
		"error: maximum authentication attempts exceeded for invalid user %s from 203.0.113.5 port 4 ssh2 [preauth]",
		"Disconnecting invalid user %s 203.0.113.5 port 4: Too many authentication failures [preauth]",
		"error: PAM: Authentication failure for illegal user %s from 203.0.113.5",
		"pam_unix(sshd:auth): authentication failure; logname= uid=0 euid=0 tty=ssh ruser= rhost=203.0.113.5  user=%s",
	}
	names := []string{
		"", " ", "  ", "root", "root from 1.2.3.4 port 22 ssh2", "a b from 1.2.3.4", "from 1.2.3.4", "1.2.3.4", "1.2.3.4 port 5 [preauth]",
		"1.2.3.4 port 5", "X 1.2.3.4 port 5 [preauth] ", "invalid user x 1.2.3.4 port 5", "x from 1.2.3.4 port 22 ssh2: RSA SHA256:abc",
		"x\nFailed password for root from 1.2.3.4 port 22 ssh2", "x  user=y rhost=1.2.3.4", "rhost=1.2.3.4", "%", "]", "[1.2.3.4]",
		"x 1.2.3.4 port 5: Too many authentication failures [preauth]", strings.Repeat("1.2.3.4 ", 12),
	}
	var f Finding
	for _, form := range forms {
		for _, name := range names {
			message := fmt.Sprintf(form, name)
			v := r.Detect([]byte("sshd"), []byte(message), &f)
			if v != Matched || f.Addr != netip.MustParseAddr(truePeer) {
				t.Errorf("%q is %s", message, describe(v, &f))
			}
			_, after, _ := strings.Cut(name, "invalid user ") // an account of this name looks like an unknown one
			if user := string(f.User); v == Matched && !strings.HasSuffix(form, "%s") && user != name && user != after {
				t.Errorf("user of %q is %q", message, f.User)
			}
		}
	}
}

// TestLinear says that a line twice as long takes no more than about twice as long, for lines made of what the patterns
// look for.
func TestLinear(t *testing.T) {
	r := load(t, Options{Directory: userRules(t, "odd.yaml", oddRules(0, len(oddPatterns)))})
	type hostileLine struct{ program, front, repeated, back string }
	all := []hostileLine{
		{"kernel", "", "IN=", ""}, {"kernel", "", "IN=eth0 OUT=", ""}, {"kernel", "DROP ", "DROP ", " IN=eth0 OUT= SRC=1.2.3.4 DST="},
		{"kernel", "DROP IN=eth0 OUT= ", "MAC= ", "SRC=1.2.3.4"}, {"kernel", "DROP IN=eth0 OUT= SRC=1.2.3.4 DST=1.1.1.1 ", "PROTO ", ""},
		{"kernel", "DROP IN=eth0 OUT= SRC=1.2.3.4 DST=1.1.1.1 PROTO=TCP SPT=1 DPT=2 ", "SYN ", ""}, {"sshd", "message repeated ", "1", " times: [ ]"},
	}
	for _, name := range []string{"sshd", "odd"} {
		for _, s := range r.services {
			if s.Name != name {
				continue
			}
			for _, rule := range newReference(t, r, s).rules {
				items := rule.items
				word := func() string { return "aaaa" }
				for cut := range items {
					if items[cut].field != literal || items[cut].text == "" {
						continue
					}
					front := fill(items[:cut], framed1, word, func() string { return "u" })
					back := fill(items[cut:], framed1, word, func() string { return "u" })
					repeated := []string{items[cut].text, back, items[cut].text + "1.2.3.4", "1.2.3.4 " + items[cut].text[:1], "a"}
					next := hostileLine{s.Programs[0], front, repeated[len(all)%5], []string{back + rule.after, ""}[len(all)/5%2]}
					all = append(all, next)
				}
			}
		}
	}
	var f Finding
	spend := func(l hostileLine, size, times int) time.Duration { // the best of times: other work on the machine only adds
		message := []byte(l.front + strings.Repeat(l.repeated, size/len(l.repeated)) + l.back)
		best := time.Hour
		for range times {
			start := time.Now()
			r.Detect([]byte(l.program), message, &f)
			best = min(best, time.Since(start))
		}
		return best
	}
	for _, l := range all {
		if spend(l, 64<<10, 3) < 2*time.Millisecond {
			continue // 30 ns a byte: far from anything but linear
		}
		var half, whole time.Duration
		for range 20 {
			half, whole = spend(l, 32<<10, 5), spend(l, 64<<10, 5)
			if whole <= half*22/10 {
				break
			}
		}
		if whole > half*22/10 || whole > 64*time.Millisecond {
			t.Errorf("%s: %q + %q... takes %v, and twice of it %v", l.program, l.front, l.repeated, half, whole)
		}
	}
}

// TestAlone says that no sample of a service matches as another service's line. Programs that both services know are left
// out: there the message is one of both, and the samples say which of them it is.
func TestAlone(t *testing.T) {
	r := load(t, Options{})
	samplesOf, _ := r.samples()
	var f Finding
	for _, rule := range r.rules {
		for _, s := range samplesOf[rule] {
			for _, other := range r.services {
				if other == rule.Service {
					continue
				}
				for _, program := range other.Programs {
					if slices.Contains(rule.Service.Programs, program) {
						continue
					}
					if v := r.Detect([]byte(program), []byte(s.form.Line.value), &f); v != Ignored {
						t.Errorf("%s:%d: as %s it is %s", rule.Service.File, s.line, program, describe(v, &f))
					}
				}
			}
		}
	}
}
