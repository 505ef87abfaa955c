package detect

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"tattled/detect/parse"
	"tattled/detect/rulefile"
	"tattled/event"
)

// rule is a rule file with one rule that is written in lines of its own.
func ruleFile(lines ...string) string {
	return "service: mine\nprograms: [mine]\nrules:\n  - name: one\n    kind: probe\n    categories: [15]\n    " + strings.Join(lines, "\n    ") + "\n"
}

const goodSample = `samples: [{line: "bad guy 203.0.113.5", ip: 203.0.113.5}]`

// TestFaults says that each fault is told with its line, and what to do about it.
func TestFaults(t *testing.T) {
	for content, want := range map[string]string{
		"":                              "rules.yaml: the file is empty: a rule file begins with service:",
		"service: mine\nprogram: [x]\n": "rules.yaml:2: no such key: program",
		"service: [a]\nrules: 5\n":      "rules.yaml:1: expected a string here",
		"service: mine\n- x\n":          "rules.yaml:1: did not find expected",
		ruleFile("match: ['bad guy <ip>']", goodSample) + "---\nservice: two\n": "there is a second document",
		"service: My Service\nprograms: [x]\n":                                  `rules.yaml:1: service: "My Service" is not a name`,
		"service: mine\n":                                                       "rules.yaml:1: programs: there is none",
		"service: mine\nprograms: [a]\nrules:\n  - {name: one, kind: none, weak: true, match: ['bad guy <ip>']}\n": "rules.yaml:4: kind: lines that are not events have neither",
		"service: mine\nprograms: [a, a]\n":                                                       `rules.yaml:2: programs: "a" is empty or listed twice`,
		"service: mine\nprograms: ['*x']\n":                                                       `rules.yaml:2: programs: "*x": one * stands for any text, but not at the front, and once`,
		"service: mine\nprograms: ['x*y*']\n":                                                     `rules.yaml:2: programs: "x*y*": one * stands for any text`,
		ruleFile("match: ['bad guy <ip>']"):                                                       `rules.yaml:4: samples: rule "one" has none that must match`,
		ruleFile(goodSample):                                                                      `rules.yaml:4: rule "one" matches nothing`,
		ruleFile("match: ['bad guy']", goodSample):                                                "rules.yaml:7: match: the pattern has 0 <ip> fields",
		ruleFile("match: ['bad guy <ip> <ip>']", goodSample):                                      "match: the pattern has 2 <ip> fields",
		ruleFile("match: ['bad guy {<ip>|you}']", goodSample):                                     "match: the pattern has 0 <ip> fields",
		ruleFile("match: ['bad guy <address>']", goodSample):                                      "match: no such field: <address>",
		ruleFile("match: ['bad guy <ip']", goodSample):                                            "match: a field is never closed",
		ruleFile("match: ['bad {guy <ip>']", goodSample):                                          "match: alternatives are never closed",
		ruleFile("match: ['bad {guy {a|b}|c} <ip>']", goodSample):                                 "match: alternatives within alternatives",
		ruleFile("match: ['bad guy <user><ip>']", goodSample):                                     "match: two fields are adjacent",
		ruleFile("match: ['bad <user>guy<ip>']", goodSample):                                      `match: the text "guy" between two fields could be part of the field after it`,
		ruleFile("match: ['bad <ip>:<any>']", goodSample):                                         `match: the text ":" between two fields could be part of the field before it`,
		ruleFile("match: ['<ip> x']", goodSample):                                                 "match: the pattern has no fixed text of 3 bytes",
		ruleFile("match: ['bad <user> <user> <ip>']", goodSample):                                 "match: the pattern has 2 <user> fields",
		ruleFile("match: ['bad guy <ip>\\']", goodSample):                                         "match: the pattern ends in a backslash",
		ruleFile("match: ['bad {a|b|c|d|e}{a|b|c|d|e}{a|b|c} guy <ip>']", goodSample):             "match: the pattern's alternatives can be combined",
		ruleFile("match: ['"+strings.Repeat("a", 1025)+"<ip>']", goodSample):                      "match: the pattern is longer than 1024 bytes",
		ruleFile("regex: ['bad guy (?P<ip>.*)']", goodSample):                                     "rules.yaml:7: regex: the expression is not anchored",
		ruleFile("regex: ['^bad guy (?P<ip>.*)|x$']", goodSample):                                 "regex: the expression is not anchored",
		ruleFile("regex: ['(?m)^bad guy (?P<ip>.*)$']", goodSample):                               "regex: the expression is not anchored",
		ruleFile("regex: ['^bad guy (.*)$']", goodSample):                                         "regex: the expression has no group for the address",
		ruleFile("regex: ['^bad guy (?P<ip>.*) (?P<host>.*)$']", goodSample):                      `regex: no such group: "host"`,
		ruleFile("regex: ['^(?P<ip>.*) (?i:bad guy)$']", goodSample):                              "regex: the expression has no fixed text of 3 bytes",
		ruleFile("regex: ['^bad guy (?P<ip>.*)(']", goodSample):                                   "regex: not a valid expression",
		ruleFile("regex: ['^bad guy (?P<ip>.*) ([a-z]{500}){2}$']", goodSample):                   "regex: the expression is too large",
		ruleFile("regex: ['^bad guy (?P<ip>.*) (?P<ip>.*)$']", goodSample):                        "regex: two groups have the name",
		ruleFile("match: ['bad guy <ip>']", `samples: [{line: x, ip: 1.2.3}]`):                    `rules.yaml:8: samples: "1.2.3" is not an address`,
		ruleFile("match: ['bad guy <ip>']", `samples: [{line: x, ip: "::ffff:1.2.3.4"}]`):         "is not an address as tattled writes them",
		ruleFile("match: ['bad guy <ip>']", `samples: [{line: x, refused: "no"}]`):                `samples: refused: "no" is not a reason (one of [ambiguous bad-address host-name proxy too-long address-list])`,
		ruleFile("match: ['bad guy <ip>']", `samples: [{ip: 1.2.3.4}]`):                           "samples: one without a line",
		ruleFile("match: ['bad guy <ip>']", `samples: [{line: x, ip: 1.2.3.4, port: 99999}]`):     `samples: "99999" is not a port`,
		ruleFile("match: ['bad guy <ip>']", goodSample) + "longest: much\n":                       `longest: "much" is not a number of bytes`,
		ruleFile("match: ['bad guy <ip>']", goodSample, "x: 1"):                                   "no such key: x",
		strings.Replace(ruleFile("match: ['bad guy <ip>']", goodSample), "probe", "evil", 1):      `rules.yaml:5: kind: no such kind: "evil"`,
		strings.Replace(ruleFile("match: ['bad guy <ip>']", goodSample), "15", "99", 1):           `rules.yaml:6: categories: "99" is not a category`,
		strings.Replace(ruleFile("match: ['bad guy <ip>']", goodSample), "[15]", "[]", 1):         "categories: rule \"one\" has none",
		ruleFile("match: ['bad guy <ip>']", goodSample) + "parser: netfilter\n":                   "a rule of the netfilter parser has no patterns",
		ruleFile("match: ['bad guy <ip>']", goodSample) + "parser: pf\n":                          `there is no parser "pf" (there are `,
		ruleFile("match: ['bad guy <ip> <ip:port>']", goodSample):                                 "the pattern has 2 <ip> fields",
		ruleFile("match: ['bad guy <ip:port> <port>']", goodSample):                               "the pattern has 2 <port> fields",
		ruleFile("match: ['bad guy <ip>']", "where: {path: /x}", goodSample):                      "rules.yaml:8: rule \"one\": where: and not: are for parser: access and parser: json",
		ruleFile("match: ['bad guy <ip>']", "not: {path: [/x, {a: b}]}", goodSample):              "rules.yaml:8: expected a string, or a list of strings, for path",
		ruleFile("match: ['bad guy <ip>']", "where: [path]", goodSample):                          "rules.yaml:8: expected names with values here",
		ruleFile("match: ['bad guy <ip>']", "where: {path: []}", goodSample):                      "the list of path is empty",
		ruleFile("match: ['bad guy <ip>']", "where: {path: /x, path: /y}", goodSample):            "path appears twice",
		ruleFile("match: ['bad guy <ip>']", goodSample) + "fields: {ip: a}\n":                     "fields: they are for parser: json",
		ruleFile("match: ['bad guy <ip>']", goodSample) + "before: ['']\n":                        "before: an empty string",
		ruleFile("match: ['bad guy <ip>']", goodSample, goodSample):                               "already",
		ruleFile("match: ['bad guy <ip>']", goodSample) + "  - {name: one, kind: probe}\n":        `name: "one" is the name of the rule in line 4`,
		strings.Replace(ruleFile("match: ['bad guy <ip>']", goodSample), "mine", "a: &x [*x]", 1): "rules.yaml",
	} {
		r, faults := loadWith(nothing(), Options{Directory: userRules(t, "rules.yaml", content)})
		all := fmt.Sprint(faults)
		if r != nil || !strings.Contains(all, want) {
			t.Errorf("%s\ngives %v\nnot %s", content, all, want)
		}
	}
}

// TestAllFaultsAtOnce says that one run tells of everything: two files, a sample aside.
func TestAllFaultsAtOnce(t *testing.T) {
	dir := userRules(t, "b.yaml", ruleFile("match: ['bad <ip']", "regex: ['bad']", `samples: [{line: x, ip: y}]`))
	if err := os.WriteFile(filepath.Join(dir, "a.yaml"), []byte("service: x\nfoo: 1\nbar: 2\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, faults := Load(Options{Directory: dir, Disable: []string{"nothing"}, Netfilter: Netfilter{Block: []string{"a b"}, Accept: []string{"drop"}}})
	if len(faults) != 9 {
		t.Errorf("%d faults: %v", len(faults), faults)
	}
	for i, f := range faults[3:] {
		if f.File != filepath.Join(dir, []string{"a.yaml", "a.yaml", "b.yaml", "b.yaml", "b.yaml", "b.yaml"}[i]) || f.Line == 0 {
			t.Errorf("fault %d is %v", i, f)
		}
	}
}

// TestUserRules says what becomes of user files: one for a built-in service replaces it and keeps its place, others are
// added, and files that are no rule files are left alone.
func TestUserRules(t *testing.T) {
	dir := userRules(t, "my-sshd.yaml", strings.ReplaceAll(ruleFile("match: ['bad guy <ip>']", goodSample), "mine", "sshd"))
	for name, content := range map[string]string{
		"mine.yaml": ruleFile("regex: ['^worse guy (?P<ip>\\S+) as (?P<user>.*)$']", `samples: [{line: "worse guy 203.0.113.5 as root", ip: 203.0.113.5, user: root}]`),
		".x.yaml":   "rubbish", "README": "rubbish", "x.yaml.dpkg-old": "rubbish",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	plain, r := load(t, Options{}), load(t, Options{Directory: dir})
	if _, faults := r.Run(); len(faults) > 0 {
		t.Error(faults)
	}
	if len(r.Services()) != len(plain.Services())+1 || r.Services()[len(r.Services())-1].Name != "mine" {
		t.Errorf("services: %v", r.Services())
	}
	for i, s := range plain.Services() {
		if r.Services()[i].Name != s.Name || r.Services()[i].Index != i {
			t.Errorf("service %d is %s, not %s", i, r.Services()[i].Name, s.Name)
		}
	}
	for i, rule := range r.All() {
		if rule.Index != i {
			t.Errorf("rule %v has index %d at %d", rule, rule.Index, i)
		}
	}
	var f Finding
	if v := r.Detect([]byte("sshd"), []byte("Failed password for root from 203.0.113.5 port 4 ssh2"), &f); v != Ignored {
		t.Errorf("the replaced rules still match: %s", describe(v, &f))
	}
	for i := range 2 { // two user files for one service
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("z%d.yaml", i)), []byte(ruleFile("match: ['bad guy <ip>']", goodSample)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if r, faults := Load(Options{Directory: dir}); r != nil || len(faults) != 2 {
		t.Errorf("a service in three files: %v", faults)
	}
	if r, faults := Load(Options{Directory: filepath.Join(dir, "none")}); r != nil || len(faults) != 1 {
		t.Errorf("a missing directory: %v", faults)
	}
}

func TestDisable(t *testing.T) {
	r := load(t, Options{Disable: []string{"sshd/invalid-user", "netfilter/accept"}})
	var f Finding
	for program, message := range map[string]string{
		"sshd":   "Invalid user admin from 203.0.113.5 port 44004",
		"kernel": "[UFW ALLOW] IN=eth0 OUT= MAC= SRC=203.0.113.5 DST=192.0.2.10 LEN=60 PROTO=TCP SPT=40022 DPT=443 WINDOW=64240 RES=0x00 SYN URGP=0 ",
	} {
		if v := r.Detect([]byte(program), []byte(message), &f); v != Ignored || f.Service == nil {
			t.Errorf("%s is %s of %v", message, describe(v, &f), f.Service)
		}
	}
	if _, faults := r.Run(); len(faults) > 0 {
		t.Error(faults)
	}
	r = load(t, Options{Disable: []string{"sshd"}})
	if r.Detect([]byte("sshd"), []byte("Invalid user admin from 203.0.113.5 port 44004"), &f); f.Service != nil {
		t.Errorf("a disabled service is still known: %v", f.Service)
	}
}

// TestRunTells says that a sample which is judged otherwise than it says is a fault with its line.
func TestRunTells(t *testing.T) {
	var samples, wants []string
	for line, want := range map[string]string{
		`{line: "bad guy 203.0.113.9", ip: 203.0.113.5}`:                    `ip should be "203.0.113.5", but is "203.0.113.9"`,
		`{line: "bad guy", ip: 203.0.113.5}`:                                "should match, but is ignored",
		`{line: "bad guy 203.0.113.9"}`:                                     "should not match, but is matched by mine/one with 203.0.113.9",
		`{line: "bad guy 203.0.113.9", ip: 203.0.113.9, user: x}`:           `user should be "x", but is ""`,
		`{line: "bad guy 203.0.113.9", ip: 203.0.113.9, port: 1}`:           `port should be "1", but is "0"`,
		`{line: "bad guy 203.0.113.9", ip: 203.0.113.9, stray: true}`:       `stray should be "true"`,
		`{line: "bad guy 203.0.113.9", refused: ambiguous}`:                 "should be refused (ambiguous), but is matched",
		`{line: "bad guy a.example", refused: bad-address}`:                 "but is refused by mine/one (host-name)",
		`{line: "Invalid user a from 1.2.3.4", program: sshd, ip: 1.2.3.4}`: "is matched by sshd/invalid-user with 1.2.3.4, not matched by this rule",
	} {
		samples, wants = append(samples, "  - "+line), append(wants, want)
	}
	content := ruleFile(append([]string{"match: ['bad guy <ip>']", `samples:`, `  - {line: "bad guy 203.0.113.5", ip: 203.0.113.5}`}, samples...)...)
	r := load(t, Options{Directory: userRules(t, "mine.yaml", content)})
	_, faults := r.Run()
	if len(faults) != len(wants) {
		t.Fatalf("%d faults: %v", len(faults), faults)
	}
	for i, f := range faults {
		if f.Line != 10+i || !strings.Contains(f.String(), wants[i]) {
			t.Errorf("%s gives %v, not %s", samples[i], f, wants[i])
		}
	}
}

// TestExpressions says that rules written as expressions are bound by the same law as patterns.
func TestExpressions(t *testing.T) {
	content := "service: mine\nprograms: [mine]\nrules:\n"
	for i, e := range []string{
		`^login of (?P<user>.*) from (?P<ip>\S+)( port (?P<port>\d+))?( .*)?$`,
		`^(?:\d+ )?\[(?P<ip>[^\]]+)\] (?:bad|worse) thing$`,
		`^.*client: (?P<ip>[^,]+), server.*$`,
	} {
		content += fmt.Sprintf("  - {name: r%d, kind: probe, categories: [15], handshake: true, regex: ['%s'], samples: [{line: x, ip: 192.0.2.1}]}\n", i, e)
	}
	r := load(t, Options{Directory: userRules(t, "mine.yaml", content)})
	for message, want := range map[string]string{
		"login of root from 203.0.113.5":                                 "matched by mine/r0 with 203.0.113.5",
		"login of root from 203.0.113.5 port 22 ssh":                     "matched by mine/r0 with 203.0.113.5",
		"login of root from 203.0.113.5 port 99999":                      "ignored",
		"login of root from 198.51.100.66 x from 203.0.113.5":            "refused by mine/r0 (ambiguous)",
		"login of root from a.example":                                   "refused by mine/r0 (host-name)",
		"7 [::ffff:203.0.113.5] bad thing":                               "matched by mine/r1 with 203.0.113.5",
		"[203.0.113.5] worse thing":                                      "matched by mine/r1 with 203.0.113.5",
		"[203.0.113.5] bad thing\n":                                      "ignored",
		"x client: 203.0.113.5, server: y":                               "matched by mine/r2 with 203.0.113.5",
		"x client: 198.51.100.66, server: y client: 203.0.113.5, server": "refused by mine/r2 (ambiguous)",
	} {
		var f Finding
		v := r.Detect([]byte("mine"), []byte(message), &f)
		if got := describe(v, &f); got != want {
			t.Errorf("%q is %s, not %s", message, got, want)
		}
		if v == Matched && f.Proto != event.TCP {
			t.Errorf("%q: a handshake is of %v", message, f.Proto)
		}
	}
}

// TestTooLong says that an address behind a peer's text is believed in messages that no relay can have cut, and one before
// that in any.
func TestTooLong(t *testing.T) {
	r := load(t, Options{Directory: userRules(t, "mine.yaml", ruleFile(
		"match: ['bad <any> from <ip>', 'worse <ip> says <any>', 'worst <any> of <ip> says <any>']", "regex: ['^odd (?P<ip>\\S+) is .*$']",
		"samples: [{line: 'bad x from 203.0.113.5', ip: 203.0.113.5}]"))})
	for line, long := range map[string]string{
		"bad %s from 203.0.113.5": "too-long", "worse 203.0.113.5 says %s": "", "worst %s of 203.0.113.5 says x": "too-long", "odd 203.0.113.5 is %s": "too-long",
	} {
		for n, want := range map[int]string{parse.LongestBehind: "", parse.LongestBehind + 1: long} {
			message := fmt.Sprintf(line, strings.Repeat("x", n-len(line)+len("%s")))
			expected := "matched by mine/one with 203.0.113.5"
			if want != "" {
				expected = "refused by mine/one (" + want + ")"
			}
			var f Finding
			v := r.Detect([]byte("mine"), []byte(message), &f)
			if got := describe(v, &f); got != expected {
				t.Errorf("%d bytes of %q: %s, not %s", len(message), line, got, expected)
			}
			if e := NewExplainer(r).Explain([]byte("mine"), []byte(message)); e.Ways[0].Refusal != f.Refusal || e.Ways[0].Addr != f.Addr && v == Matched {
				t.Errorf("%d bytes of %q: %+v", len(message), line, e.Ways[0])
			}
		}
	}
}

// FuzzLoad feeds rule files. Whatever loads can also run.
func FuzzLoad(f *testing.F) {
	f.Add([]byte(ruleFile("match: ['{a|b} bad guy <ip>']", goodSample)))
	f.Add([]byte(ruleFile("regex: ['^bad guy (?P<ip>\\S+)$']", goodSample)))
	f.Add([]byte("before: ['e: ']\nafter: [' !', '.']\n" + ruleFile("match: ['<ip> bad <any>guy', '<any>bad<user> x <ip>']", goodSample)))
	f.Add([]byte("a: &a [*a]"))
	f.Fuzz(func(t *testing.T, content []byte) {
		var l loader
		fault := rulefile.Faults{File: "fuzz.yaml"}
		form, ok := rulefile.Decode(content, &fault)
		if !ok {
			if len(fault.All) == 0 {
				t.Fatal("refused without a word")
			}
			return
		}
		l.add(&form, true, &fault)
		l.faults = append(l.faults, fault.All...)
		r := l.compile()
		if len(l.faults) > 0 {
			return
		}
		r.Run()
		var found Finding
		for _, p := range form.Programs {
			r.Detect([]byte(p.Value), content, &found)
		}
	})
}

// TestHeads says that reading a built-in file in two steps gives what one gives, whoever asks for it first.
func TestHeads(t *testing.T) {
	early := load(t, Options{})
	if len(early.faults) > 0 {
		t.Error(early.faults)
	}
	late, _ := Load(Options{})
	var f Finding
	for i := len(late.services) - 1; i >= 0; i-- {
		late.Detect([]byte(late.services[i].Programs[0]), []byte("x"), &f)
	}
	for i, rule := range late.All() {
		if other := early.rules[i]; other.String() != rule.String() || rule.Index != i || other.Index != i {
			t.Errorf("rule %d is %v with index %d, and %v with index %d if it is read first", i, rule, rule.Index, other, other.Index)
		}
	}
}

// TestLoadIsCheap bounds what loading the built-in rules leaves for the collector, for it is a part of each start: about
// 500 KiB, and 800 with the race detector.
func TestLoadIsCheap(t *testing.T) {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	r, _ := Load(Options{})
	runtime.ReadMemStats(&after)
	const each = 8 // KiB
	if got := (after.TotalAlloc - before.TotalAlloc) >> 10; got > uint64(each*len(r.Services())) {
		t.Errorf("Load allocates %d KiB for %d services", got, len(r.Services()))
	}
}

// FuzzNetfilter feeds packets with any prefix and any rest: the peer is always the outer source, whatever they say.
func FuzzNetfilter(f *testing.F) {
	r := load(f, Options{})
	f.Add("[UFW BLOCK] ", "52:54", "LEN=1 PROTO=TCP SPT=1 DPT=2 SYN URGP=0 ")
	f.Add("DROP SRC=198.51.100.66 DST=1.1.1.1 ", " SRC=198.51.100.66", "PROTO=ICMP TYPE=3 [SRC=198.51.100.66 DST=1.2.3.4 PROTO=UDP ]")
	f.Add("DROP IN=x OUT= ", "", "SRC=198.51.100.66 PROTO=2")
	f.Fuzz(func(t *testing.T, prefix, mac, rest string) {
		var found Finding
		message := []byte(prefix + "IN=eth0 OUT= MAC=" + strings.ReplaceAll(mac, " ", "") + " SRC=203.0.113.5 DST=192.0.2.10 " + rest)
		if strings.Contains(prefix, "IN=") {
			r.Detect([]byte("kernel"), message, &found) // an operator's prefix that is a packet itself: anything but a panic
			return
		}
		if r.Detect([]byte("kernel"), message, &found) == Matched && found.Addr != netip.MustParseAddr(truePeer) {
			t.Fatalf("%q blames %v", message, found.Addr)
		}
	})
}

// TestNetfilterWords says what the words of a prefix mean, alone and with the operator's own.
func TestNetfilterWords(t *testing.T) {
	r := load(t, Options{Netfilter: Netfilter{Block: []string{"D", "geoBlocked"}, Accept: []string{"A", "let-in"}[:1]}})
	for prefix, want := range map[string]Verdict{
		"[UFW BLOCK] ": Matched, "blocked: ": Matched, "DROP": Matched, "x_DROPPED_y ": Matched, "Deny ": Matched, "[DENIED]": Matched, "REJECT ": Matched,
		"rejected: ": Matched, "BAN ": Matched, "f2b-banned ": Matched, "ACCEPT ": Matched, "[allowed]": Matched, "[WAN_LOCAL-4000-D]": Matched,
		"[WAN_LOCAL-4000-A]": Matched, "[DROP-A-10000] DESCR=\"Block\" ": Matched, "GEOBLOCKED ": Matched, "": Ignored, "urBAN ": Ignored, "dropbox ": Ignored, "[UFW AUDIT] ": Ignored,
		"AUDIT DROP ": Ignored, "ALLOW or BLOCK ": Refused, "in: ": Ignored, strings.Repeat("x", 300) + " DROP ": Ignored, "DROP\x00\xff ": Matched,
	} {
		var f Finding
		message := prefix + "IN=eth0 OUT= MAC= SRC=203.0.113.5 DST=192.0.2.10 LEN=60 PROTO=TCP SPT=1 DPT=2 WINDOW=1 RES=0x00 SYN URGP=0 "
		if v := r.Detect([]byte("kernel"), []byte(message), &f); v != want {
			t.Errorf("%q is %s", prefix, describe(v, &f))
		}
	}
}
