package fail2ban

import (
	"regexp/syntax"
	"strings"
	"testing"
)

// parsed parses an expression of RE2, in which @ is the address and # the header of the log line.
func parsed(t testing.TB, expression string) *syntax.Regexp {
	t.Helper()
	tree, err := parse(strings.NewReplacer("@", hostMark, "#", headerMark).Replace(expression))
	if err != nil {
		t.Fatalf("%s: %v", expression, err)
	}
	return tree
}

// TestWhole says what is made of an expression and the filter's prefregex: one expression of the message, without the log's header and
// what fail2ban leaves of a stamp.
func TestWhole(t *testing.T) {
	for _, c := range []struct {
		prefix, expression string
		want               string
		stamped            bool
	}{
		{"", `^#bad @$`, `^bad @$`, false},
		{"", `^\s*#bad @$`, `^bad @$`, false},
		{"", `#bad @$`, `^bad @$`, false}, // a header is at the front
		{"", `^(?:#)bad @$`, `^bad @$`, false},
		{"", `^(#)bad @$`, `^bad @$`, false},
		{"", `^(#bad) @$`, "! the header of the log line is a part of a group", false},
		{"", `^bad #@$`, "! the header of the log line is in its middle", false},
		{"", `^##bad @$`, "! the header of the log line is in its middle", false},
		{"", `^bad @$`, `^bad @$`, true},
		{"", `bad @`, `bad @`, true},
		{"", `^\s*bad @$`, `^bad @$`, true},
		{"", `^ bad @$`, `^bad @$`, true},
		{"", `^\s+bad @$`, `^bad @$`, true},
		{"", `^: bad @$`, `^bad @$`, true},
		{"", `^\[\]\s*bad @$`, `^bad @$`, true},
		{"", `^(?:\[\])?\s*bad @$`, `^bad @$`, true},
		{"", `^@ - \[\] bad$`, `^@ - \[[^\]]+\] bad$`, true},
		{"^#|(?:error: )?||$", `^bad @$`, `^(?:error: )?(?:bad @)$`, false},
		{"^#|||$", `bad @$`, `^(?:.*bad @)$`, false},
		{"^#|||$", `^bad @`, `^(?:bad @.*)$`, false},
		{"^#|||$", `^bad @ \$`, `^(?:bad @ \$.*)$`, false},
		{"^#|||$", `^bad @ \\$`, `^(?:bad @ \\)$`, false},
		{"^#|||$", `^bad @(?:$| x)`, `^(?:bad @(?:$| x).*)$`, false},
		{"^#|||", `^bad @(?:$| x)`, "! it ends in one of several ways, within prefregex", false},
		{"^#||.+| end", `^bad @$`, `^(?:bad @) end`, false},
		{"^\\[\\] x: |||$", `^bad @$`, `^x: (?:bad @)$`, true},
	} {
		var tr translation
		if parts := strings.Split(c.prefix, "|"); c.prefix != "" {
			tr.hasPrefix, tr.front, tr.content, tr.back = true, strings.ReplaceAll(parts[0], "#", headerMark)+parts[1], parts[2], parts[3]
		}
		got, err := tr.whole(strings.NewReplacer("@", hostMark, "#", headerMark).Replace(c.expression))
		got = marked.Replace(got)
		if reason, refused := strings.CutPrefix(c.want, "! "); refused {
			if err == nil || err.Error() != reason {
				t.Errorf("%+v: %q, %v", c, got, err)
			}
		} else if err != nil || got != c.want || tr.stamped != c.stamped {
			t.Errorf("%+v: %q, %v, stamped %v", c, got, err, tr.stamped)
		}
	}
}

// TestPrefix says what prefregex is taken apart into, and what is no prefix.
func TestPrefix(t *testing.T) {
	for text, want := range map[string]string{
		"":                               "||",
		"  \n  ":                         "||",
		"^x: <F-CONTENT>.+</F-CONTENT>$": "^x: |.+|$",
		"^<F-USER>y</F-USER> <F-CONTENT>(?:bad|worse) \\d{,3}</F-CONTENT>": "^(?P<user1>y) |(?:bad|worse) \\d{0,3}|",
		"^x: .+$":                          "! prefregex has no <F-CONTENT>",
		"^x: <F-CONTENT>.+$":               "! prefregex has no <F-CONTENT>",
		"^(?!y)<F-CONTENT>.+</F-CONTENT>$": "! prefregex: look-ahead is not possible in RE2: (?!y)",
		"^<F-CONTENT>(?=y)</F-CONTENT>$":   "! prefregex: look-ahead",
		"^<F-CONTENT>.+</F-CONTENT>(?<=y)": "! prefregex: look-behind",
	} {
		var tr translation
		err := tr.prefix(value{{text: text}})
		if reason, refused := strings.CutPrefix(want, "! "); refused {
			if err == nil || !strings.HasPrefix(err.Error(), reason) {
				t.Errorf("%s: %v", text, err)
			}
		} else if got := tr.front + "|" + tr.content + "|" + tr.back; err != nil || got != want || tr.hasPrefix != (want != "||") {
			t.Errorf("%s: %q, %v", text, got, err)
		}
	}
}

// TestBlank says what is taken off the front of an expression, where fail2ban leaves a blank of a stamp and tattled does not.
func TestBlank(t *testing.T) {
	for expression, want := range map[string]string{
		`^bad @$`:                     "", // nothing
		`bad @$`:                      "",
		`^ bad @$`:                    `^bad @$`,
		`^ @$`:                        `^@$`,
		`^\s*bad @$`:                  `^bad @$`,
		`^\s+bad @$`:                  `^bad @$`,
		`^\sbad @$`:                   `^bad @$`,
		`^(?: bad|worse) @$`:          `^(?:bad|worse) @$`,
		`^( bad) @$`:                  `^bad @$`,
		`^(?:x )?bad @$`:              "",
		`^(?:\d+-\d+)? bad @$`:        `^bad @$`, // of a stamp nothing is left
		`^(?: error:)? bad \S+ \d @$`: `^(?:error: )?bad \S+ \d @$`,
	} {
		tree, changed := withoutBlank(parsed(t, expression))
		if got := marked.Replace(written(tree)); changed != (want != "") || changed && got != want {
			t.Errorf("%s: %q, %v", expression, got, changed)
		}
	}
}

// TestOpenAround says where text of any length, with blanks in it, may be: before the address, after it.
func TestOpenAround(t *testing.T) {
	for expression, want := range map[string][2]bool{
		`^bad @$`:             {false, false},
		`^bad .* @$`:          {true, false},
		`^bad @ .+$`:          {false, true},
		`^.* @ .*$`:           {true, true},
		`^\S+ @ \S+$`:         {false, false},
		`^\s* @ \s+$`:         {false, false},
		`^[^"]+ @$`:           {true, false},
		`^(?:a b)+ @$`:        {true, false},
		`^(?:ab)+ @$`:         {false, false},
		`^ ? @(?: x)?$`:       {false, false},
		`^.{2,5} @$`:          {true, false},
		`^bad @(?: \w+)*$`:    {false, true},
		`^(?:x|(y .*)) @$`:    {true, false},
		`^bad (?:\[@\]: .*)$`: {false, true},
	} {
		before, behind := openAround(parsed(t, expression))
		if got := [2]bool{before, behind}; got != want {
			t.Errorf("%s: %v", expression, got)
		}
	}
}

// TestGenerator says which lines are made of an expression: what people would expect, where there is a choice.
func TestGenerator(t *testing.T) {
	for expression, want := range map[string]string{
		`^bad @$`:                     "bad 203.0.113.5",
		`^(?i)Bad @$`:                 "bad 203.0.113.5",
		`^[Bb]ad @$`:                  "Bad 203.0.113.5",
		`^bad .+ @$`:                  "bad some text 203.0.113.5",
		`^bad .* @$`:                  "bad  203.0.113.5",
		`^bad \S+ \d+ \w @$`:          "bad x 7 x 203.0.113.5",
		`^bad [^a-z]: [A-F]+ @$`:      "bad 7: A 203.0.113.5",
		`^bad \s @$`:                  "bad   203.0.113.5",
		`^bad [\x{400}-\x{4ff}] @$`:   "bad Ѐ 203.0.113.5",
		`^bad [:,] @$`:                "bad , 203.0.113.5",
		`^(?:bad|worse)( guest)? @$`:  "bad 203.0.113.5",
		`^bad (?:ab){2,4}c{3} @$`:     "bad ababccc 203.0.113.5",
		`^bad (?P<user1>\S+) . @$`:    "bad x . 203.0.113.5",
		`^bad (?:guest){0}(?:x)*y* @`: "bad  203.0.113.5",
	} {
		var g generator
		if got := g.line(parsed(t, expression)); got != want {
			t.Errorf("%s: %q", expression, got)
		}
	}
	seen := map[string]bool{}
	for variation := range 8 {
		g := generator{choice: variation}
		seen[g.line(parsed(t, `^(?:aa|b)c? (?:xx|y)$`))] = true
	}
	if len(seen) != 8 {
		t.Errorf("%v", seen)
	}
	g := generator{plain: true}
	if got := g.line(parsed(t, `^demo(?:-\w+)*x?$`)); got != "demo" || g.odd {
		t.Errorf("plain: %q, %v", got, g.odd)
	}
}

// TestSample says that a line which is made of an expression is one of it, and of the content of prefregex, or that there is none.
func TestSample(t *testing.T) {
	for _, c := range []struct{ expression, content, want string }{
		{`^bad @$`, "", "bad 203.0.113.5"},
		{`^(?:bad|worse) @$`, "worse", "worse 203.0.113.5"},
		{`^(?:bad|worse) @$`, "best", ""},
		{`^bad (?:x|@)$`, "", "bad 203.0.113.5"}, // one with an address
		{`^bad\b\w@$`, "", ""},
	} {
		tr := translation{filter: &Filter{Programs: []string{"demo"}}, content: c.content}
		tree := parsed(t, c.expression)
		re, err := tr.anchored(strings.ReplaceAll(c.expression, "@", hostMark))
		if err != nil {
			t.Fatal(err)
		}
		s, err := tr.sample(tree, re)
		if (err == nil) != (c.want != "") || s.Message != c.want || err == nil && (s.Program != "demo" || s.IP != "203.0.113.5") {
			t.Errorf("%+v: %+v, %v", c, s, err)
		}
	}
}
