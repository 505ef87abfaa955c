package fail2ban

import (
	"regexp"
	"regexp/syntax"
	"slices"
	"strings"
	"testing"
)

// marked shows marks as people write what they stand for.
var marked = strings.NewReplacer(hostMark, "@", headerMark, "#")

// TestTags says what fail2ban's tags become. An address is @.
func TestTags(t *testing.T) {
	for text, want := range map[string]string{
		"":                                         "",
		"from <HOST>$":                             "from @$",
		"<ADDR>":                                   "@",
		"<IP4>|<IP6>":                              "@|@",
		"<SUBNET>":                                 "@",
		"<F-ADDR/>":                                "@",
		"<F-IP4/>, <F-IP6/>":                       "@, @",
		"<F-SUBNET/>":                              "@",
		"<HOST><CIDR>":                             `@\d+`,
		"<F-CIDR/>":                                `\d+`,
		"port <F-PORT/>":                           `port (?P<port>\d+)`,
		"port <F-PORT>[0-9]+</F-PORT>":             `port (?:[0-9]+)`,
		"for <F-USER>.*</F-USER> from":             "for (?P<user>.*) from",
		"<F-USER>a</F-USER><F-USER>b</F-USER>":     "(?P<user>a)(?P<user>b)",
		"<F-ALT_USER>a</F-ALT_USER>":               "(?P<other>a)",
		"<F-ALT_USER1>a</F-ALT_USER1>":             "(?P<other>a)",
		"<F-RHOST>\\S+</F-RHOST>":                  "(?:\\S+)",
		"<F-MLFID>x\\[\\d+\\]:</F-MLFID> y":        "x\\[\\d+\\]: y",
		"<F-MLFID>x|y</F-MLFID> z":                 "(?:x|y) z", // a group is needed
		"<F-MLFID>(?:x|y)</F-MLFID> z":             "(?:x|y) z",
		"<F-MLFFORGET>x</F-MLFFORGET>":             "(?:x)",
		"<F-FAILED>x<F-USER>y</F-USER></F-FAILED>": "(?:x(?P<user>y))",
		"</F-USER>":                                "</F-USER>", // none was opened: text
		"</HOST>":                                  "</HOST>",
		"<host> <f-user>x</f-user>":                "<host> <f-user>x</f-user>",
		"<b>bold</b> \\<HOST>":                     "<b>bold</b> \\@",
		"(?P<id>x)":                                "(?P<id>x)",
		"< HOST> <HO ST> <HOST":                    "< HOST> <HO ST> <HOST",
		"<F-USER>never closed":                     "(?P<user>never closed",
		"<DNS>":                                    "! <DNS> is a host's name: names are never resolved",
		"<F-DNS/>":                                 "! <F-DNS/> is a host's name",
		"<F-ID>\\S+</F-ID>":                        "! <F-ID> bans what is not an address",
		"<F-ID/>":                                  "! <F-ID/> bans what is not an address",
		"a<SKIPLINES>b":                            "! it spans several lines",
		"<F-NOFAIL>x</F-NOFAIL> <HOST>":            "! <F-NOFAIL>: it counts no failure",
		"<F-MLFGAINED>x</F-MLFGAINED> <HOST>":      "! <F-MLFGAINED>: it is about a success",
		"<F-NOFAIL>x</F-NOFAIL> <DNS>":             "! <F-NOFAIL>", // the first is told
		"<F-MLFGAINED>x</F-MLFGAINED><F-NOFAIL>x</F-NOFAIL>": "! <F-MLFGAINED>",
	} {
		got, err := resolveTags(text)
		got = marked.Replace(got)
		if reason, refused := strings.CutPrefix(want, "! "); refused {
			if err == nil || !strings.HasPrefix(err.Error(), reason) {
				t.Errorf("%s: %q, %v", text, got, err)
			}
			continue
		}
		if err != nil || got != want {
			t.Errorf("%s: %q, %v; not %q", text, got, err, want)
		}
	}
}

// TestPython says what becomes of what Python writes otherwise than RE2, or RE2 has not.
func TestPython(t *testing.T) {
	for text, want := range map[string]string{
		"":                                   "",
		`^bad \S+ from \d+$`:                 `^bad \S+ from \d+$`,
		`a\.b\[c\]\(d\)\\`:                   `a\.b\[c\]\(d\)\\`,
		`a\Z`:                                `a\z`,
		`\Abad`:                              `\Abad`,
		`\u00e9\u2028`:                       `\x{00e9}\x{2028}`,
		`\x41\t`:                             `\x41\t`,
		`\é`:                                 `é`, // Python takes any letter of no meaning for itself
		`\"\'\-\/\<`:                         `\"\'\-\/\<`,
		`[a-z]`:                              `[a-z]`,
		`[^"]+`:                              `[^"]+`,
		`[]a]`:                               `[\]a]`,
		`[^]a]`:                              `[^\]a]`,
		`[[]x[^[]`:                           `[\[]x[^\[]`,
		`[[:alpha:]]`:                        `[\[:alpha:]]`, // no class of POSIX, but a class and a bracket
		`[\]\\\-]`:                           `[\]\\\-]`,
		`[\b]`:                               `[\x08]`,
		`[\é]`:                               `[é]`,
		`[\d\s.]`:                            `[\d\s.]`,
		`[(|)*+?{}$^]`:                       `[(|)*+?{}$^]`,
		`a{2}b{2,}c{2,3}`:                    `a{2}b{2,}c{2,3}`,
		`a{,3}`:                              `a{0,3}`,
		`a{}b{,}c{x}`:                        `a\{\}b\{,\}c\{x\}`,
		`}`:                                  `\}`,
		`a*?b+?c??d{2}?`:                     `a*?b+?c??d{2}?`,
		`(a)(?:b)`:                           `(a)(?:b)`,
		`(?P<user>a)(?P<user>b)`:             `(?P<user1>a)(?P<user2>b)`,
		`(?P<port>\d+)(?P<other>x)(?P<id>y)`: `(?P<port1>\d+)(?P<other2>x)(?:y)`,
		`(?i)a`:                              `(?i)a`,
		`(?iu)a(?L)b(?a:c)`:                  `(?i)ab(?:c)`,
		`(?i:a)(?s-i:b)`:                     `(?i:a)(?s-i:b)`,
		`a(?#a comment)b`:                    `ab`,
		`(?x) a b [ #]\ c # d`:               `ab[ #]\ c`,
		`(?xi) a b`:                          `(?i)ab`,
		"(?x)\ta\\#b":                        `a\#b`,

		`a++`:                                 "! possessive repetition is not possible in RE2",
		`a*+`:                                 "! possessive",
		`a?+`:                                 "! possessive",
		`a{2}+`:                               "! possessive",
		`(a)\1`:                               "! a back-reference is not possible in RE2",
		`(?P<a>x)(?P=a)`:                      "! a back-reference is not possible in RE2: (?P=a)",
		`(?=x)`:                               "! look-ahead is not possible in RE2: (?=x)",
		`(?!x)`:                               "! look-ahead",
		`(?<=x)`:                              "! look-behind",
		`(?<!x)`:                              "! look-behind",
		`(?>x)`:                               "! an atomic group",
		`(?(1)x|y)`:                           "! a condition",
		`(?!` + hostMark + `)`:                "! look-ahead is not possible in RE2: (?!" + hostMark + ")",
		`(?!` + strings.Repeat("x", 90) + `)`: "! look-ahead is not possible in RE2: (?!xxxxxxxxxxxxxxxxxxx",
		`(?<name>x)`:                          "! (?<name>x) is not understood",
		`(?`:                                  "! (? is not understood",
		`(?P`:                                 "! (?P is not understood",
		`(?P<a`:                               "! the name of a group is never closed",
		`(?#a`:                                "! a comment is never closed",
		`(?m)^a`:                              "! the flags (?m) are not understood here",
		`a(?x) b`:                             "! the flags (?x) are not understood here",
		`a(?s-x:b)`:                           "! the flags (?s-x:",
		`[a`:                                  "! a [ is never closed",
		`[]`:                                  "! a [ is never closed",
		`a\`:                                  "! it ends in a backslash",
		`[a\`:                                 "! a [ is never closed",
		`a\nb`:                                "! it spans several lines",
		`a\rb`:                                "! it spans several lines",
		"a\nb":                                "! it spans several lines",
		`(?P<host>\S+)`:                       "! the group host has an expression of its own for the address: write <HOST>",
		`(?P<ip4>\S+)`:                        "! the group ip4",
		`(?P<dns>\S+)`:                        "! the group dns",
		`(?P<fid>\S+)`:                        "! the group fid",
	} {
		got, err := toRE2(text)
		if reason, refused := strings.CutPrefix(want, "! "); refused {
			if err == nil || !strings.HasPrefix(err.Error(), reason) {
				t.Errorf("%s: %q, %v", text, got, err)
			}
			continue
		}
		if err != nil || got != want {
			t.Errorf("%s: %q, %v; not %q", text, got, err, want)
			continue
		}
		if _, err := syntax.Parse(got, syntax.Perl); err != nil {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// TestPythonMeans says that what RE2 is given takes what Python would take, and nothing else: strings that were tried with
// Python 3.
func TestPythonMeans(t *testing.T) {
	for _, c := range []struct{ text, takes, not string }{
		{`[]a]+`, "]a", "b"},
		{`[[]`, "[", "]"},
		{`[^]]`, "[", "]"},
		{`x{,2}`, "xx", "xxx"},
		{`x{,}`, "x{,}", "xx"},
		{`x{a}`, "x{a}", "xa"},
		{`\u0041`, "A", "u0041"},
		{`[\b]`, "\b", "b"},
		{`a(?#b)c`, "ac", "abc"},
		{`(?x)a b\ c [ d]#e`, "ab c ", "a b c "},
		{`(?i)ab`, "aB", "ac"},
		{`a\Z`, "a", "a\n"},
		{`(?P<user>a)|(?P<user>b)`, "b", "c"},
		{`\<a\>`, "<a>", "a"},
		{`a.c`, "abc", "a\nc"},
	} {
		text, err := toRE2(c.text)
		if err != nil {
			t.Errorf("%s: %v", c.text, err)
			continue
		}
		if re := regexp.MustCompile(`^(?:` + text + `)$`); !re.MatchString(c.takes) || re.MatchString(c.not) {
			t.Errorf("%s as %s: takes %q: %v, takes %q: %v", c.text, text, c.takes, re.MatchString(c.takes), c.not, re.MatchString(c.not))
		}
	}
}

// TestBranches says where an expression is cut in several.
func TestBranches(t *testing.T) {
	for text, want := range map[string][]string{
		"":                     {""},
		"a":                    {"a"},
		"a|b|c":                {"a", "b", "c"},
		"a|":                   {"a", ""},
		"(a|b)|c":              {"(a|b)", "c"},
		"(a|(b|c)|d)":          {"(a|(b|c)|d)"},
		`a\|b|c`:               {`a\|b`, "c"},
		`a\\|b`:                {`a\\`, "b"},
		`[|]|[^|]|x`:           {"[|]", "[^|]", "x"},
		`[]|]|[^]|]|x`:         {"[]|]", "[^]|]", "x"},
		`[\]|]|x`:              {`[\]|]`, "x"},
		`[(]|x`:                {"[(]", "x"},
		`\(|x`:                 {`\(`, "x"},
		`a|b(c|d)[|]\|e|[]|]f`: {"a", `b(c|d)[|]\|e`, "[]|]f"},
	} {
		if got := branches(text); !slices.Equal(got, want) {
			t.Errorf("%s: %q", text, got)
		}
	}
}

// FuzzPython has any text for an expression: it is refused with a reason, or something that RE2 reads, or refuses, without a panic.
func FuzzPython(f *testing.F) {
	for _, text := range []string{
		"", `^%(__prefix_line)sbad <F-USER>[^\]]*</F-USER> from <HOST>(?: port \d{1,5})?\s*$`, `(?P<id>a)\1(?(1)b|c)`, `(?x) a[ #]\`, `[]^\b]{,3}+?`, `(?#`, `a|[|]|\|`, "\ue000\ue001", "^\ue000$", `^(?:a\b|\ue000{0,2}\b)+[^\ue000]?$x`,
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		joined := strings.Join(branches(text), "|")
		if joined != text {
			t.Fatalf("%q is cut into %q", text, joined)
		}
		out, err := translate(text)
		if err != nil && (err.Error() == "" || out != "") {
			t.Fatalf("%q: %q, %v", text, out, err)
		}
		tree, err := parse(out)
		if err != nil || !strings.Contains(out, hostMark) || len(out) > maxExpression { // see translation.branch
			return
		}
		openAround(tree)
		fixedText(tree)
		for _, w := range []writer{{}, {loose: true, blanks: true, short: true}} {
			slots, err := w.slots(tree)
			if err != nil {
				continue
			}
			if slots, err = finish(slots); err != nil {
				continue
			}
			if all, err := patterns(slots); err == nil && (len(all) == 0 || len(all) > maxPatterns) {
				t.Fatalf("%q becomes %d patterns", text, len(all))
			}
		}
	})
}
