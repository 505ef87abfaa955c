package fail2ban

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"regexp/syntax"
	"strings"
	"testing"

	"tattled/detect"
	"tattled/detect/attack"
	"tattled/event"
)

// commonConf plays the part of the file that most filters include.
const commonConf = `[INCLUDES]
after = common.local
[DEFAULT]
_daemon = \S*
logtype = file
__prefix_line = <lt_<logtype>/prefix>
[lt_file]
prefix = \s*(?:\S+\s+)?<_daemon>(?:\[\d+\])?:\s+
`

// filter writes a filter, with commonConf beside it, and returns its path.
func filter(t testing.TB, name, content string) string {
	t.Helper()
	dir := t.TempDir()
	for file, text := range map[string]string{"common.conf": commonConf, name: content} {
		if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(dir, name)
}

func translated(t testing.TB, content string) *Filter {
	t.Helper()
	f, err := Translate(filter(t, "demo.conf", content), Options{})
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// TestExpressions says what becomes of an expression: a pattern, an expression, or a reason.
func TestExpressions(t *testing.T) {
	const ip = address
	for expression, want := range map[string]string{
		`^%(__prefix_line)sbad guest from <HOST>$`:                                 "bad guest from <ip>",
		`^%(__prefix_line)sbad guest from <HOST>\s*$`:                              "bad guest from <ip>{| }",
		`^%(__prefix_line)sbad guest <F-USER>\S+|.*?</F-USER> from <ADDR>$`:        "bad guest <user> from <ip>",
		`^%(__prefix_line)sbad (?:guest|host): .* from <HOST>:\d+$`:                "bad {guest|host}: <any> from <ip:port>",
		`^%(__prefix_line)sbad guest from <HOST>(?::\d{1,5})?\.$`:                  "bad guest from {<ip>|<ip:port>}.",
		`^%(__prefix_line)sbad guest from <HOST> port \d+( again)?$`:               "bad guest from <ip> port <port>{| again}",
		`no pg_hba.conf entry for host "<HOST>"`:                                   `<any>no pg_hba.conf entry for host "<ip>"<any>`,
		`^%(__prefix_line)s[Bb]ad guest \[<HOST>\]`:                                `{b|B}ad guest [<ip>]<any>`,
		`^%(__prefix_line)sbad guest <HOST> refused\b`:                             "bad guest <ip> refused{| <any>|:<any>|,<any>|.<any>|;<any>|)<any>}",
		`guest from <HOST> is bad$`:                                                "<any>guest from <ip> is bad",
		`^%(__prefix_line)sbad guest from <HOST>`:                                  "bad guest from <ip>{| <any>|,<any>|;<any>|)<any>|'<any>}",
		`^%(__prefix_line)sbad\s+guest, id=\S* from <HOST>(?:\s*$|,)`:              "bad guest, id=<word?> from <ip>{| |,<any>}",
		`^%(__prefix_line)s(?i:bad) guest from <HOST>$`:                            "{bad|baD|bAd|bAD|Bad|BaD|BAd|BAD} guest from <ip>",
		`(?x) ^%(__prefix_line)s bad\ guest \ from\ <HOST>$ # a comment`:           "bad guest from <ip>",
		`^\s*\[error\] bad guest from <HOST>$`:                                     "[error] bad guest from <ip>",
		`^(?:\d+-\d+)? \[error\] bad guest from <HOST>$`:                           "[error] bad guest from <ip>",
		`^<HOST> \S+ \S+ \[\] "BAD \S+" 404 \d+$`:                                  `^` + ip + ` \S+ \S+ \[[^\]]+\] "BAD \S+" 404 \d+$`,
		`^%(__prefix_line)sbad guest <F-USER>[a-z]{2,3}\.</F-USER> from <HOST>$`:   `^bad guest (?P<user>[a-z]{2,3}\.) from ` + ip + `$`,
		`^%(__prefix_line)sbad guest (?P<id>\w+) from <HOST>(?: \w+)?$`:            `^bad guest (?:\w+) from ` + ip + `(?: \w+)?$`,
		`guest [a-z]{2,3} from <HOST>$`:                                            `^.*guest [a-z]{2,3} from ` + ip + `$`,
		`guest [a-z]{2,3} <HOST>: .*$`:                                             "wider: <any>guest <word> <ip>: <any>",
		`<HOST> is a [a-z]{2,3} guest$`:                                            `^(?:.*[^0-9A-Za-z.:])?` + ip + ` is a [a-z]{2,3} guest$`,
		`^%(__prefix_line)sbad [a-z]{2,3} from <HOST>`:                             `^bad [a-z]{2,3} from ` + ip + `(?:[^0-9A-Za-z.:].*)?$`,
		`^%(__prefix_line)sbad <HOST> is [a-z]{2,3} guest`:                         `^bad ` + ip + ` is [a-z]{2,3} guest.*$`,
		`^%(__prefix_line)sbad [a-z]{2,3} (?P<port>\d+) (?P<other>x) <HOST>$`:      `^bad [a-z]{2,3} (?:\d+) (?:x) ` + ip + `$`,
		`^%(__prefix_line)sbad [a-z]{2} (?P<user>a|b) <F-USER>cc</F-USER> <HOST>$`: `^bad [a-z]{2} (?:a|b) (?:cc) ` + ip + `$`, // who of both it is nobody knows
		`^%(__prefix_line)sbad guest (?:-|<HOST>)$`:                                `^bad guest (?:-|` + ip + `)$`,
		`^%(__prefix_line)sbad guest, (?:-|<HOST>), <HOST>$`:                       "no: more than one place",
		`^%(__prefix_line)sbad '[^']*' from <HOST> as '[^']*'$`:                    "wider: bad '<any>' from <ip> as '<any>'",
		`^%(__prefix_line)sbad guest (?:IPv6:<IP6>|<IP4>) \w+$`:                    "no: more than one place",
		`^%(__prefix_line)sbad guest(?! friend) from <HOST>$`:                      "no: look-ahead",
		`^%(__prefix_line)sbad guest(?<=t) from <HOST>$`:                           "no: look-behind",
		`^%(__prefix_line)sbad (?P<a>\S+) (?P=a) from <HOST>$`:                     "no: back-reference",
		`^%(__prefix_line)sbad (\S+) \1 from <HOST>$`:                              "no: back-reference",
		`^%(__prefix_line)s(?P<a>bad )?guest(?(a)x|y) from <HOST>$`:                "no: a condition",
		`^%(__prefix_line)sbad (?>guest) from <HOST>$`:                             "no: an atomic group",
		`^%(__prefix_line)sbad guest\S++ from <HOST>$`:                             "no: possessive",
		`^%(__prefix_line)sbad guest<SKIPLINES>from <HOST>$`:                       "no: several lines",
		`^%(__prefix_line)sbad guest\nfrom <HOST>$`:                                "no: several lines",
		`^%(__prefix_line)sbad guest$`:                                             "no: names no address",
		`^%(__prefix_line)s<F-NOFAIL>good guest</F-NOFAIL> from <HOST>$`:           "no: F-NOFAIL",
		`^%(__prefix_line)s<F-MLFGAINED>good guest</F-MLFGAINED> from <HOST>$`:     "no: F-MLFGAINED",
		`^%(__prefix_line)sbad guest from <DNS>$`:                                  "no: never resolved",
		`^%(__prefix_line)sbad guest (?P<host>\S+)$`:                               "no: write <HOST>",
		`^%(__prefix_line)sbad guest (from <HOST>$`:                                "no: missing closing )",
		`^%(__prefix_line)s\S+ <HOST>$`:                                            "no: fixed text of 3 bytes",
		`^%(__prefix_line)s(?:\w+ \w+: )*(?:x|yy|[^z]{1,3})+<HOST>(?: \w+|[^a])*`:  "no: text of any length",
	} {
		f := translated(t, "[INCLUDES]\nbefore = common.conf\n[Definition]\n_daemon = demo\nfailregex = "+expression+"\n")
		if reason, refused := strings.CutPrefix(want, "no: "); refused {
			if len(f.Rules) != 0 || len(f.Refused) != 1 || !strings.Contains(f.Refused[0].Reason, reason) || f.Refused[0].Line != 5 {
				t.Errorf("%s\ngives %+v, refused %+v", expression, f.Rules, f.Refused)
			}
			continue
		}
		want, wider := strings.CutPrefix(want, "wider: ")
		if len(f.Rules) != 1 || strings.Join(f.Rules[0].Match, "\n")+f.Rules[0].Regex != want || f.Rules[0].Wider != wider {
			t.Errorf("%s\ngives %+v, refused %+v", expression, f.Rules, f.Refused)
			for _, r := range f.Rules {
				t.Logf("%q %q", r.Match, r.Regex)
			}
		}
	}
}

// fullFilter has all that a filter may consist of.
const fullFilter = `# A comment
[INCLUDES]
before = common.conf

[DEFAULT]
_daemon = (?:demo|demo-(?:auth|sub))
__suffix = (?: \[x\])?

[Definition]
prefregex = ^<F-MLFID>%(__prefix_line)s</F-MLFID>(?:error: )?<F-CONTENT>(?:bad|worse) .+</F-CONTENT>$

cmn = ^bad guest <F-USER>.*</F-USER> from <HOST>%(__suffix)s$
      # a comment within
      ^worse guest from <HOST>

mdre-normal =
mdre-more = ^bad thing by <HOST>: (?:too many|no more) of 100%%$

failregex = %(cmn)s
            <mdre-<mode>>

mode = normal
ignoreregex = ^bad guest friend
datepattern = {^LN-BEG}

[Init]
journalmatch = _SYSTEMD_UNIT=demo.service + _COMM=demo
`

// TestFilter says that includes, interpolation, modes, programs and places are understood.
func TestFilter(t *testing.T) {
	path := filter(t, "demo.conf", fullFilter)
	f, err := Translate(path, Options{Mode: "more", Handshake: true})
	if err != nil {
		t.Fatal(err)
	}
	if fmt.Sprint(f.Programs) != "[demo demo-auth demo-sub]" || f.Service != "fail2ban-demo" || f.Stamped || len(f.Refused) > 0 {
		t.Errorf("%+v", f)
	}
	want := []string{
		"12 bad-guest-from probe [{|error: }bad guest <user> from <ip>{| [x]}]",
		"14 worse-guest-from probe [{|error: }worse guest from <ip>{| <any>|,<any>|;<any>|)<any>|'<any>}]",
		"17 bad-thing-by-too-many probe [{|error: }bad thing by <ip>: {too many|no more} of 100%]",
	}
	for i, r := range f.Rules {
		if got := fmt.Sprintf("%d %s %v %v", r.Line, r.Name, r.Kind, r.Match); i >= len(want) || got != want[i] {
			t.Errorf("rule %d is %s", i, got)
		}
	}
	text := f.YAML()
	for _, part := range []string{"ignoreregex cannot be expressed", "datepattern is not used", "handshake: true", "line 12 of demo.conf"} {
		if !strings.Contains(text, part) {
			t.Errorf("no %q in\n%s", part, text)
		}
	}
	if f, err := Translate(path, Options{}); err != nil || len(f.Rules) != 2 {
		t.Errorf("without a mode: %v, %+v", err, f)
	}
	local := filepath.Join(filepath.Dir(path), "demo.local")
	if err := os.WriteFile(local, []byte("[Definition]\n__suffix = ?\nfailregex = %(known/failregex)s\n  ^bad local guest <HOST>$\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if f, err := Translate(path, Options{}); err != nil || len(f.Rules) != 3 || f.Rules[2].File != "demo.local" || f.Rules[2].Line != 4 {
		t.Errorf("with a .local file: %v, %+v", err, f)
	}
}

// TestBrokenFilters says what is told of files that are no filters.
func TestBrokenFilters(t *testing.T) {
	for content, want := range map[string]string{
		"":                        "no [Definition]",
		"rubbish\n":               "demo.conf:1: neither",
		"[Definition]\nrubbish\n": "demo.conf:2: neither",
		"[Init]\na = 1\n":         "no [Definition]",
		"[Definition]\nfailregex = %(none)s <HOST>\n":                     "there is no setting %(none)s",
		"[Definition]\nfailregex = %(failregex)s <HOST>\n":                "refers to itself",
		"[Definition]\na = <b>x\nb = <a>\nfailregex = <a>\n":              "refers to itself",
		"[Definition]\na = <a><a><a><a>\nfailregex = <a>\n":               "refers to itself",
		"[Definition]\nfailregex = \x00\x1b[31m\xff(\n":                   "",
		"[Definition]\nfailregex = ^bad guest <HOST>$\nprefregex = ^x$\n": "",
	} {
		f, err := Translate(filter(t, "demo.conf", content), Options{})
		if err == nil && (want != "" || len(f.Rules) > 0) || err != nil && (want == "" || !strings.Contains(err.Error(), want)) {
			t.Errorf("%q: %v, %+v", content, err, f)
		}
	}
	if _, err := Translate(filepath.Join(t.TempDir(), "none.conf"), Options{}); err == nil {
		t.Error("a missing file")
	}
	f, err := Translate(filter(t, "demo.conf", "[Definition]\nfailregex = ^bad guest <HOST>$\n"), Options{Service: "My Own"})
	if err != nil || len(f.Refused) != 1 || !strings.Contains(f.Refused[0].Reason, `"My Own" is not a name`) {
		t.Errorf("a service without a name: %v, %+v", err, f)
	}
	for _, name := range []string{".conf", "my demo.conf"} { // no name of a program
		if _, err := Translate(filter(t, name, "[Definition]\nfailregex = ^bad guest <HOST>$\n"), Options{}); err == nil || !strings.Contains(err.Error(), "name one") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestCovered says that what built-in rules describe is not translated again, and nor what would break them.
func TestCovered(t *testing.T) {
	path := filter(t, "demo.conf", "[Definition]\nfailregex = ^Invalid user <F-USER>.*</F-USER> from <HOST>$\n  ^Something new from <HOST>$\n  ^.* user .* from <HOST> .*$\n")
	f, err := Translate(path, Options{Programs: []string{"sshd"}})
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Prove(attack.Options{Lines: 500, User: true}); err != nil {
		t.Fatal(err)
	}
	if len(f.Rules) != 1 || len(f.Covered) != 1 || !strings.Contains(f.Covered[0].Reason, "sshd/invalid-user") ||
		len(f.Refused) != 1 || !strings.Contains(f.Refused[0].Reason, "would break a built-in rule") {
		t.Errorf("%+v", f)
	}
}

// TestNotes says what is noted of settings that no rule can express.
func TestNotes(t *testing.T) {
	for _, c := range []struct {
		ignore, date value
		want         string
	}{
		{nil, nil, "[]"},
		{value{{" ", "demo.conf", 3}}, value{{"", "demo.conf", 4}}, "[]"},
		{value{{"", "demo.conf", 3}, {"^a", "demo.conf", 4}, {"^b", "common.conf", 1}}, nil, "[ignoreregex cannot be expressed: lines that it leaves out are counted here: ^a | ^b]"},
		{nil, value{{"{^LN-BEG}", "demo.conf", 4}}, "[datepattern is not used: tattled reads the stamps of headers, and those that rules/README.md lists]"},
		{nil, value{{"{^LN-BEG}", "common.conf", 4}}, "[]"}, // nearly all have that one
	} {
		f := Filter{source: "demo.conf"}
		f.note(map[string]value{"ignoreregex": c.ignore, "datepattern": c.date})
		if got := fmt.Sprint(f.Notes); got != c.want {
			t.Errorf("%+v: %s", c, got)
		}
	}
}

// TestProve says that a rule by which somebody else could be blamed is put aside, and the others stay.
func TestProve(t *testing.T) {
	f := &Filter{Service: "fail2ban-demo", Programs: []string{"demo"}, source: "demo.conf", Rules: []*Rule{
		{
			Name: "wide", Kind: event.Probe, Categories: []int{15}, Regex: `^login of (?P<user>.*) from (?P<ip>\S+) port .*$`, File: "demo.conf", Line: 7,
			generated: Sample{"demo", "login of dan from 203.0.113.5 port 22", "203.0.113.5"},
		},
		{
			Name: "narrow", Kind: event.Probe, Categories: []int{15}, Match: []string{"bad guest from <ip>"}, File: "demo.conf", Line: 8,
			generated: Sample{"demo", "bad guest from 203.0.113.5", "203.0.113.5"},
		},
		{
			Name: "untrue", Kind: event.Probe, Categories: []int{15}, Match: []string{"worse guest from <ip>"}, File: "demo.conf", Line: 9,
			generated: Sample{"demo", "bad guest from 203.0.113.5", "203.0.113.5"},
		},
	}}
	if err := f.Prove(attack.Options{Lines: 2000, User: true}); err != nil {
		t.Fatal(err)
	}
	if len(f.Rules) != 1 || f.Rules[0].Name != "narrow" {
		t.Errorf("left are %+v", f.Rules)
	}
	reasons := map[int]string{}
	for _, r := range f.Refused {
		reasons[r.Line] = r.Reason
	}
	if len(reasons) != 2 || !strings.Contains(reasons[7], "can be made to blame somebody") || !strings.Contains(reasons[9], "sample of untrue: ") {
		t.Errorf("refused are %+v", f.Refused)
	}
}

// TestNamesOfRules says that rules whose expressions begin alike are called differently, and that a long expression is refused.
func TestNamesOfRules(t *testing.T) {
	f := translated(t, "[Definition]\nfailregex = ^bad guest from <HOST> !$\n  ^bad guest from <HOST> \\?$\n  ^bad "+strings.Repeat("x", maxExpression)+" <HOST>$\n")
	if len(f.Rules) != 2 || f.Rules[0].Name != "bad-guest-from" || f.Rules[1].Name != "bad-guest-from-2" {
		t.Errorf("%+v", f.Rules)
	}
	if len(f.Refused) != 1 || f.Refused[0].Line != 4 || f.Refused[0].Reason != "it is longer than 8192 bytes" {
		t.Errorf("%+v", f.Refused)
	}
}

// TestOffer says that lines of a log become samples of the rules that match them.
func TestOffer(t *testing.T) {
	f := translated(t, "[INCLUDES]\nbefore = common.conf\n[Definition]\n_daemon = demo\nfailregex = ^%(__prefix_line)sbad guest <F-USER>.*</F-USER> from <HOST>$\n")
	for range 2 {
		if !f.Offer("demo", `bad "guest" o'x from 192.0.2.7`) == f.Offer("demo", "bad guest from 192.0.2.7") {
			t.Error("the wrong line matched")
		}
	}
	f.Offer("demo", "bad guest o'\x1b\"x from 192.0.2.7")
	f.Offer("other", "bad guest x from 192.0.2.8")
	text := f.YAML()
	if strings.Contains(text, "made of the expression") || !strings.Contains(text, "192.0.2.7") || strings.Contains(text, "192.0.2.8") || strings.Contains(text, "\x1b") {
		t.Error(text)
	}
	r, faults := detect.LoadFile("x", []byte(text), true)
	if r == nil {
		t.Fatal(faults)
	}
	if _, faults := r.Run(); len(faults) > 0 {
		t.Error(faults)
	}
}

// TestNobodyElseIsBlamed writes lines by expressions whose free text is hostile: the true peer is found, or nobody.
func TestNobodyElseIsBlamed(t *testing.T) {
	g := rand.New(rand.NewPCG(8, 8))
	found := 0
	for _, expression := range []string{
		`bad guest .* from <HOST>$`, `^bad guest .* from <HOST>(?: port \d+)?$`, `^bad '[^']*' from <HOST> as '[^']*'$`, `^bad <HOST> .*$`, `bad guest <HOST>`,
		`^bad guest \S+ \[<HOST>\](?: \w+)?(?: x=\S+)*$`, `^bad guest [^\[]*\[<HOST>\]: \w+ is \d+\b`, `^(?:x: )?bad [a-z]+ "(?:[^"]+|.*?)", <HOST>, "\S+ \S+"(?:, "\S+")?\s*$`,
		`^bad guest .* from <ADDR> for \w+ of .*`, `^\w+ guest <HOST>: (?:.*) by \w+$`, `^bad: .*@<HOST>(?::\d+)? \w+`,
	} {
		f := translated(t, "[Definition]\nfailregex = "+expression+"\n")
		if len(f.Rules) != 1 {
			t.Errorf("%s: %+v", expression, f.Refused)
			continue
		}
		resolved, _ := resolveTags(expression)
		text, _ := toRE2(resolved)
		tree, err := parse(text)
		if err != nil {
			t.Fatal(err)
		}
		const peer, framed = "203.0.113.5", "198.51.100.66"
		for range 4_000 {
			h := forger{Rand: g, tree: tree}
			line := strings.ReplaceAll(h.line(3), hostMark, peer)
			var finding detect.Finding
			if f.loaded.Detect([]byte(f.Programs[0]), []byte(line), &finding) != detect.Matched {
				continue
			}
			if found++; finding.Addr == netip.MustParseAddr(framed) {
				t.Errorf("%s, by %q %q: %v is blamed for\n%q", expression, f.Rules[0].Match, f.Rules[0].Regex, finding.Addr, line)
				break
			}
		}
	}
	if found < 10_000 {
		t.Errorf("only %d lines matched", found)
	}
}

// forger writes lines by an expression and puts other lines of it, with another address, or parts of them, where anything
// may stand. It keeps to no class: programs write what they are told.
type forger struct {
	*rand.Rand
	tree *syntax.Regexp
	b    strings.Builder
}

func (f *forger) line(depth int) string {
	before := f.b
	f.b = strings.Builder{}
	f.write(f.tree, depth)
	line := f.b.String()
	f.b = before
	return line
}

func (f *forger) write(re *syntax.Regexp, depth int) {
	switch re.Op {
	case syntax.OpLiteral:
		f.b.WriteString(string(re.Rune))
	case syntax.OpCharClass, syntax.OpAnyChar, syntax.OpAnyCharNotNL:
		f.b.WriteRune(sampleRune(re))
	case syntax.OpCapture, syntax.OpConcat:
		for _, sub := range re.Sub {
			f.write(sub, depth)
		}
	case syntax.OpAlternate:
		f.write(re.Sub[f.IntN(len(re.Sub))], depth)
	case syntax.OpQuest:
		if f.IntN(2) == 0 {
			f.write(re.Sub[0], depth)
		}
	case syntax.OpStar, syntax.OpPlus:
		if !isClass(re.Sub[0]) || blankOnly(re.Sub[0]) || contains(re.Sub[0], '0', '9') && !contains(re.Sub[0], 'a', 'z') || depth == 0 || f.IntN(3) == 0 {
			f.write(re.Sub[0], depth)
			return
		}
		forged := strings.ReplaceAll(f.line(depth-1), hostMark, "198.51.100.66")
		if !holdsBlank(re.Sub[0]) { // what has no blank for its program has none for a peer
			forged = strings.ReplaceAll(forged, " ", "")
		}
		from := 0
		if n := len(forged); n > 0 && f.IntN(2) == 0 {
			from = f.IntN(n)
			forged = forged[from : from+f.IntN(n-from+1)]
		}
		if forged == "" && re.Op == syntax.OpPlus {
			forged = "x"
		}
		f.b.WriteString(forged)
	case syntax.OpRepeat:
		for range re.Min {
			f.write(re.Sub[0], depth)
		}
	}
}
