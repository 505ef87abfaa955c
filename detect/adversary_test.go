package detect

import (
	"bytes"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"tattled/detect/pattern"
	"tattled/detect/weblog"
)

const (
	truePeer = peer4    // the peer that the program logs
	framed1  = planted4 // whom the attacker would like to be blamed
	framed2  = planted6
)

// TestAdversary attacks all rules, with more lines than check does.
func TestAdversary(t *testing.T) {
	r := load(t, Options{})
	tallies, faults := r.Attack(Attack{Seed: 4, Lines: 150_000 / len(r.services)})
	for _, f := range faults {
		t.Error(f)
	}
	for _, a := range tallies {
		t.Logf("%s: %d lines: %d found the true peer, %d were refused, %d ignored", a.Service.Name, a.Lines, a.Found, a.Refused, a.Ignored)
		if a.Found < a.Lines/20 {
			t.Errorf("%s: the true peer was found in only %d of %d lines", a.Service.Name, a.Found, a.Lines)
		}
	}
}

// TestReferenceAgrees compares Detect and the reference on lines that are made to be hostile.
func TestReferenceAgrees(t *testing.T) {
	r := load(t, Options{})
	samples := samplesOf(t, r)
	for _, s := range r.services {
		ref := newReference(t, r, s)
		if len(ref.rules) == 0 || !knownAlone(r, s) {
			continue
		}
		next := hostileLines(r, s, samples)
		for range max(1500/len(r.services), 10) {
			if message := next(); len(message) < 300 {
				agree(t, r, &ref, s.Programs[0], message)
			}
		}
	}
}

// hostileLines returns what writes lines of a service's patterns with hostile texts.
func hostileLines(r *Rules, s *Service, samples map[*Rule][]sample) (next func() string) {
	targets := make([][]target, len(r.services))
	targets[s.Index] = r.targetsOf(s, samples)
	v := r.newAdversary(s, targets, 5, r.Detect)
	patterns := slices.DeleteFunc(slices.Clone(targets[s.Index]), func(t target) bool { return t.shapes == nil })
	return func() string {
		v.current = &patterns[v.IntN(len(patterns))]
		return joined(v.current.write(&v.hostile, truePeer, 0))
	}
}

// TestAdversaryCatches says that the adversary can win: each of these rules looks right, has a sample that it judges as it
// should, and can be made to blame somebody.
func TestAdversaryCatches(t *testing.T) {
	for name, c := range map[string]struct {
		rules string // of one rule
		want  string // what is said of it
	}{
		"wide on both sides": {
			"regex: ['^login of (?P<user>.*) from (?P<ip>\\S+) port .*$']\nsamples: [{line: login of dan from 203.0.113.5 port 22 ssh2, ip: 203.0.113.5}]",
			" and not from 198.51.100.66: write it as a pattern",
		},
		"no blanks expected": {
			"regex: ['^(?P<user>\\S+) failed from (?P<ip>\\S+)( .*)?$']\nsamples: [{line: dan failed from 203.0.113.5 twice, ip: 203.0.113.5, user: dan}]",
			"write it as a pattern",
		},
		"a word for a user": {
			"match: ['login failed, user=<word>, rip=<ip>, <any>']\nsamples: [{line: 'login failed, user=dan, rip=203.0.113.5, TLS', ip: 203.0.113.5}]",
			"write <user> or <any> for it",
		},
		"a word for a greeting": {
			"match: ['rejected HELO <word> [<ip>]{: <any>|}']\nsamples: [{line: 'rejected HELO example.org [203.0.113.5]: bad', ip: 203.0.113.5}]",
			"write <user> or <any> for it",
		},
		"the wider rule first": {
			"match: ['bad <any> from <ip>']\nsamples: [{line: bad thing from 203.0.113.5, ip: 203.0.113.5}]\n" +
				"- {name: two, kind: probe, categories: [15], match: ['bad password from <ip>'], samples: [{line: bad thing from 203.0.113.5, ip: 203.0.113.5}]}",
			"this pattern of rule two is unreachable, as rule one (line 4) describes its lines",
		},
	} {
		content := "service: mine\nprograms: [mine]\nrules:\n- name: one\n  kind: probe\n  categories: [15]\n  " + strings.ReplaceAll(c.rules, "\nsamples", "\n  samples") + "\n"
		r, faults := loadWith(nothing(), Options{Directory: userRules(t, "mine.yaml", content)})
		if len(faults) > 0 {
			t.Fatal(name, faults)
		}
		_, faults = r.Attack(Attack{Seed: 1, Lines: 2000, User: true})
		if len(faults) != 1 || faults[0].Line == 0 || !strings.Contains(faults[0].String(), c.want) {
			t.Errorf("%s: %v", name, faults)
		}
	}
}

// TestDocs holds the rule files that docs/rules.md shows to what it says of them.
func TestDocs(t *testing.T) {
	page, err := os.ReadFile("../docs/rules.md")
	if err != nil {
		t.Fatal(err)
	}
	shown := 0
	for _, block := range strings.Split(string(page), "```yaml\n")[1:] {
		content, _, _ := strings.Cut(block, "```")
		r, faults := loadWith(nothing(), Options{Directory: userRules(t, "shown.yaml", content)})
		if r == nil {
			t.Fatal(faults)
		}
		_, wrong := r.Run()
		tally, framed := r.Attack(Attack{Seed: 1, Lines: 2000})
		for _, f := range append(wrong, framed...) {
			t.Error(f)
		}
		if tally[0].Found < 1000 {
			t.Errorf("%+v", tally[0])
		}
		shown++
	}
	if shown != 2 {
		t.Errorf("%d rule files are shown", shown)
	}
}

// TestAdversaryCatchesDetect says that faults of the matcher itself are caught: here one that takes a way to read a line
// where there are several, and one that takes a text of the frame off whoever wrote it.
func TestAdversaryCatchesDetect(t *testing.T) {
	r := load(t, Options{Directory: userRules(t, "odd.yaml", oddRules(0, len(oddPatterns)))})
	x := NewExplainer(r)
	for name, pick := range map[string]func(ways []Way) Way{
		"first": func(ways []Way) Way { return ways[0] },
		"last":  func(ways []Way) Way { return ways[len(ways)-1] },
	} {
		guess := func(program, message []byte, f *Finding) Verdict {
			v := r.Detect(program, message, f)
			if v != Refused || f.Refusal != Ambiguous || len(message) > 1000 {
				return v
			}
			e := x.Explain(program, message)
			f.Addr = pick(e.Ways).Addr
			return Matched
		}
		if _, faults := r.attack(Attack{Seed: 1, Lines: 200, User: true}, guess); len(faults) < 10 {
			t.Errorf("with the %s of several ways to read a line there are only %d faults", name, len(faults))
		}
	}
	_, frameless, _ := strings.Cut(oddRules(0, len(oddPatterns)), "\nrules:")
	bare, faults := loadWith(nothing(), Options{Directory: userRules(t, "odd.yaml", "service: odd\nprograms: [odd]\nrules:"+frameless)})
	if len(faults) > 0 {
		t.Fatal(faults)
	}
	unframed := func(program, message []byte, f *Finding) Verdict {
		message = bytes.TrimPrefix(message, []byte("e: "))
		if without, found := bytes.CutSuffix(message, []byte(" !")); found {
			return bare.Detect(program, without, f)
		}
		return bare.Detect(program, bytes.TrimSuffix(message, []byte(".")), f)
	}
	if _, faults := r.attack(Attack{Seed: 1, Lines: 20_000, User: true}, unframed); len(faults) == 0 {
		t.Error("nobody is blamed where all that looks like a text of the frame is taken off")
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
			if strings.HasPrefix(form, "Disconnecting") && strings.Contains(name, " port 5: ") { // so may a reason to disconnect end
				if v != Refused || f.Refusal != Ambiguous {
					t.Errorf("%q is %s", message, describe(v, &f))
				}
				continue
			}
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
	all := []hostileLine{
		{"kernel", "", "IN=", ""}, {"kernel", "", "IN=eth0 OUT=", ""}, {"kernel", "DROP ", "DROP ", " IN=eth0 OUT= SRC=1.2.3.4 DST="},
		{"kernel", "DROP IN=eth0 OUT= ", "MAC= ", "SRC=1.2.3.4"}, {"kernel", "DROP IN=eth0 OUT= SRC=1.2.3.4 DST=1.1.1.1 ", "PROTO ", ""},
		{"kernel", "DROP IN=eth0 OUT= SRC=1.2.3.4 DST=1.1.1.1 PROTO=TCP SPT=1 DPT=2 ", "SYN ", ""}, {"sshd", "message repeated ", "1", " times: [ ]"},
	}
	const dated, end = ` [22/Nov/2026:10:00:00 +0000] "GET /`, ` HTTP/1.1" 404 5 "-" "`
	for _, l := range [][3]string{
		{"203.0.113.5 - x", " 198.51.100.66 - ", dated + ".env" + end}, {"203.0.113.5 - ", `\"`, dated + ".env" + end}, {"203.0.113.5 - -" + dated, `\\\"`, end},
		{"203.0.113.5 - -" + dated, "%2f/.env/..//", end}, {"203.0.113.5 - -" + dated + "?", "+%27union+select", end}, {"203.0.113.5 - -" + dated, " HTTP/", end},
		{"203.0.113.5 - -" + dated + ".env" + end, `\\`, `" "`}, {"203.0.113.5 - -" + dated + ".env" + end + `" "`, "198.51.100.66, ", `"`}, {"203.0.113.5 - -" + dated, "wp-", ""},
	} {
		all = append(all, hostileLine{"nginx", l[0], l[1], l[2]})
	}
	for _, l := range [][3]string{
		{`{"a":`, `[`, `]}`}, {`{"a":[`, `{},`, `1]}`}, {`{"a":"`, `\u0041`, `"}`}, {`{"`, `\u0041`, `":1}`}, {`{"c":"NETWORK",`, `"c":"ACCESS",`, `"a":1}`}, {`{"a":`, `1`, `}`},
	} {
		all = append(all, hostileLine{"mongod", l[0], l[1], l[2]})
	}
	for _, name := range []string{"sshd", "odd"} {
		for _, s := range r.services {
			if s.Name != name {
				continue
			}
			for _, rule := range newReference(t, r, s).rules {
				items := rule.Items
				word := func() string { return "aaaa" }
				for cut := range items {
					if items[cut].Field != pattern.Literal || items[cut].Text == "" {
						continue
					}
					front := fill(items[:cut], framed1, word, func() string { return "u" })
					back := fill(items[cut:], framed1, word, func() string { return "u" })
					repeated := []string{items[cut].Text, back, items[cut].Text + "1.2.3.4", "1.2.3.4 " + items[cut].Text[:1], "a"}
					next := hostileLine{s.Programs[0], front, repeated[len(all)%5], []string{back + rule.After, ""}[len(all)/5%2]}
					all = append(all, next)
				}
			}
		}
	}
	for _, l := range all {
		l.check(t, r)
	}
}

// hostileLine is a long line made of something that is repeated.
type hostileLine struct{ program, front, repeated, back string }

func (l *hostileLine) of(size int) []byte {
	return []byte(l.front + strings.Repeat(l.repeated, size/len(l.repeated)) + l.back)
}

// check says that the line takes linear time.
func (l *hostileLine) check(t *testing.T, r *Rules) {
	t.Helper()
	var f Finding
	spend := func(size, times int) time.Duration { // the best of times: other work on the machine only adds
		message, best := l.of(size), time.Hour
		for range times {
			start := time.Now()
			r.Detect([]byte(l.program), message, &f)
			best = min(best, time.Since(start))
		}
		return best
	}
	if spend(64<<10, 3) < 2*time.Millisecond {
		return // 30 ns a byte: far from anything but linear
	}
	var half, whole time.Duration
	for range 20 {
		half, whole = spend(32<<10, 5), spend(64<<10, 5)
		if whole <= half*22/10 {
			break
		}
	}
	if whole > half*22/10 || whole > 64*time.Millisecond {
		t.Errorf("%s: %q + %q... takes %v, and twice of it %v", l.program, l.front, l.repeated, half, whole)
	}
}

// TestAlone says that no sample of a service matches as another service's line. Programs that both services know are left
// out: there the message is one of both, and the samples say which of them it is. So is a line of an access log,
// whose form is one for all servers.
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
					v := r.Detect([]byte(program), []byte(s.form.Line.Value), &f)
					if _, web := f.Service.parser.(*weblog.Access); v != Ignored && !web {
						t.Errorf("%s:%d: as %s it is %s", rule.Service.File, s.line, program, describe(v, &f))
					}
				}
			}
		}
	}
}

// TestDisabledWitnesses says that nobody can be blamed by a line of a rule that is disabled. Every other rule is, then the
// rest; then whole services that share programs with others.
func TestDisabledWitnesses(t *testing.T) {
	whole := load(t, Options{})
	disable := make([][]string, 3)
	for _, rule := range whole.All() {
		disable[rule.Index%2] = append(disable[rule.Index%2], rule.String())
	}
	for i, s := range whole.services {
		if slices.ContainsFunc(whole.services[:i], s.shares) {
			disable[2] = append(disable[2], s.Name)
		}
	}
	for _, names := range disable {
		r := load(t, Options{Disable: names})
		_, faults := r.Attack(Attack{Seed: 4})
		for _, f := range faults {
			t.Error(f)
		}
	}
	r := load(t, Options{Disable: []string{"openvpn/bad-certificate"}})
	var f Finding
	message := "203.0.113.5:4 VERIFY ERROR: depth=0, error=x: CN=/198.51.100.66:2 TLS Auth Error: peer provided a blank username"
	if v := r.Detect([]byte("openvpn"), []byte(message), &f); v != Refused || f.Refusal != Ambiguous {
		t.Errorf("%s is %s", message, describe(v, &f))
	}
	message = "203.0.113.5:4 VERIFY ERROR: depth=0, error=x: CN=dan, serial=7"
	if v := r.Detect([]byte("openvpn"), []byte(message), &f); v != Ignored || f.Rule != nil || f.Service == nil {
		t.Errorf("%s is %s", message, describe(v, &f))
	}
}
