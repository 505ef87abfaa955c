package fail2ban

import (
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"tattled/detect/pattern"
)

// TestManyAlternatives says that the ways to write a pattern out are counted, however many there are: 2 to the 63rd power and more
// as well.
func TestManyAlternatives(t *testing.T) {
	two := slot{{{text: "a"}}, {{text: "b"}}}
	for _, n := range []int{1, 6, 7, 11, 12, 62, 63, 64, 70, 128} {
		all, err := patterns(slices.Repeat([]slot{two}, n))
		switch {
		case n <= 6 && (err != nil || len(all) != 1 || all[0] != strings.Repeat("{a|b}", n)):
			t.Errorf("%d: %q, %v", n, all, err)
		case n > 6 && n <= 11 && (err != nil || len(all) != 1<<(n-6)):
			t.Errorf("%d: %d patterns, %v", n, len(all), err)
		case n > 11 && !errors.Is(err, errManyWays):
			t.Errorf("%d: %d patterns, %v", n, len(all), err)
		}
	}
}

// writes writes an expression of RE2, in which @ is the address, as patterns.
func writes(t testing.TB, expression string, w *writer) ([]string, error) {
	t.Helper()
	slots, err := w.slots(parsed(t, expression))
	if err != nil {
		return nil, err
	}
	if slots, err = finish(slots); err != nil {
		return nil, err
	}
	return patterns(slots)
}

// TestPatterns says what pattern an expression becomes whose fields hold no more than it takes, or why there is none.
func TestPatterns(t *testing.T) {
	for expression, want := range map[string]string{
		// text, and what is special in a pattern
		`^bad @$`:          "bad <ip>",
		`^a<b\{c\|d\\ @$`:  `a\<b\{c\|d\\ <ip>`,
		`^"bad" 'x' @: y$`: `"bad" 'x' <ip>: y`,
		`^bäd @$`:          "bäd <ip>",
		// alternatives
		`^bad (?:guest|host) @$`:                         "bad {guest|host} <ip>",
		`^bad (guest|host) @$`:                           "bad {guest|host} <ip>",
		`^(?:bad guest|bad host) @$`:                     "bad {guest|host} <ip>",
		`^bad (?:x-guest|y-guest) @$`:                    "bad {x|y}-guest <ip>",
		`^bad (?:xab|yab|zab) @$`:                        "bad {xab|yab|zab} <ip>", // words stay whole
		`^(?:a|b) (?:c|d) @$`:                            "{a|b} {c|d} <ip>",
		`^(?:a(?:1|2)|b) @$`:                             "{a1|a2|b} <ip>",
		`^(?:|x: )bad @$`:                                "{|x: }bad <ip>",
		`^bad(?: guest)? @$`:                             "bad{| guest} <ip>",
		`^bad(?: very)* guest @$`:                        "bad{| very} guest <ip>", // one more than must be
		`^bad(?: very)+ guest @$`:                        "bad very guest <ip>",
		`^bad(?: very){2} guest @$`:                      "bad very very guest <ip>",
		`^bad(?: very){1,3} guest @$`:                    "bad very{| very| very very} guest <ip>",
		`^bad(?: very){2,} guest @$`:                     "bad very very{| very} guest <ip>",
		`^(?i)ab @$`:                                     "{ab|aB|Ab|AB} <ip>",
		`^(?i)1\. x @$`:                                  "1. {x|X} <ip>",
		`^(?i)abcde @$`:                                  "! a pattern distinguishes upper and lower case",
		`^(?:a|b)(?:a|b)(?:a|b) @$`:                      "{a|b}{a|b}{a|b} <ip>",
		`^(?:(?:a|b)(?:c|d)(?:e|f)x)? @$`:                "{|acex|acfx|adex|adfx|bcex|bcfx|bdex|bdfx} <ip>",
		`^(?:[ab][ab][ab][ab][ab][ab][ab][ab][ab]x)? @$`: "! its alternatives can be combined in more than 256 ways",
		`^bad (?:-|@) x$`:                                "bad {-|<ip>} x",
		// characters of classes
		`^[Bb]ad @$`:      "{b|B}ad <ip>",
		`^bad[:,]? @$`:    "bad{|,|:} <ip>",
		`^bad[1-4] @$`:    "bad{1|2|3|4} <ip>",
		`^bad[1-5] @$`:    "! no field stands for [1-5]",
		`^bad. @$`:        "bad. <ip>", // the one that was meant, most often
		`^bad\s@$`:        "bad <ip>",
		`^bad\s+guest @$`: "bad guest <ip>",
		`^bad\s*guest @$`: "bad{| }guest <ip>",
		`^bad[a-z]+ @$`:   "! no field stands for [a-z]",
		`^bad \W @$`:      "! no field stands for",
		// fields
		`^bad .* @$`:                 "bad <any> <ip>",
		`^bad .+ @$`:                 "bad <any> <ip>",
		`^bad (?:.*|\S+) @$`:         "bad <any> <ip>",
		`^bad \S+ @$`:                "bad <word> <ip>",
		`^bad \S* @$`:                "bad <word?> <ip>",
		`^bad [^\s]+ @$`:             "bad <word> <ip>",
		`^bad \d+ @$`:                "bad <int> <ip>",
		`^bad \d* @$`:                "bad {|<int>} <ip>",
		`^bad \d{1,5} @$`:            "! no field stands for digits of a bounded number",
		`^bad \d{1,3} @$`:            "! no field stands for [0-9]",
		`^bad [0-9]+: @$`:            "bad <int>: <ip>",
		`^bad (?P<user1>.*) @$`:      "bad <user> <ip>",
		`^bad (?P<user1>\S+) @$`:     "wider: bad <user> <ip>",
		`^bad (?P<user1>\S+|.*?) @$`: "bad <user> <ip>",
		`^bad (?P<user1>x|y) @$`:     "bad {x|y} <ip>",
		`^bad (?P<user1>[a-z]?) @$`:  "! no field stands for [a-z]",
		`^bad (?P<other1>\S+) @$`:    "bad <word> <ip>",
		`^bad \d{2,} @$`:             "! no field stands for [0-9]",
		`^bad [^\t]* @$`:             `! no field stands for [^\t]`,
		`^bad [^"]+ @$`:              `! no field stands for [^"]`,
		// ports
		`^bad @ port (?P<port1>\d+)$`:             "bad <ip> port <port>",
		`^bad @ port \d+$`:                        "bad <ip> port <port>",
		`^bad @:\d+$`:                             "bad <ip:port>",
		`^bad @:\d{1,5}$`:                         "bad <ip:port>",
		`^bad \[@:\d+\]$`:                         "bad [<ip:port>]",
		`^bad @(?::\d+)? x$`:                      "bad {<ip>|<ip:port>} x",
		`^bad @:\d*$`:                             "bad {<ip>:|<ip:port>}",
		`^bad @ \d+$`:                             "bad <ip> <int>",
		`^(?P<user1>.*) @ (?P<user2>.*)$`:         "<user> <ip> <any>",
		`^(?:(?P<user1>.*) x|(?P<user2>.*) y) @$`: "<user> {x|y} <ip>",
		// anchors
		`bad @`:             "<any>bad <ip>{| <any>|,<any>|;<any>|)<any>|'<any>}",
		`^bad @`:            "bad <ip>{| <any>|,<any>|;<any>|)<any>|'<any>}",
		`bad @$`:            "<any>bad <ip>",
		`^bad @ x`:          "bad <ip> x<any>",
		`^bad @ \S+`:        "bad <ip> <word>{| <any>}",
		`^bad @ \d+`:        "bad <ip> <int>{| <any>|:<any>|,<any>|;<any>|)<any>}",
		`^bad @ .*`:         "bad <ip> <any>",
		`^bad @(?:$| x$)`:   "bad <ip>{| x}",
		`^bad @(?:$| x)`:    "bad <ip>{| x<any>}",
		`^bad @(?: x$|, y)`: "bad <ip>{ x|, y<any>}",
		`^.*bad @$`:         "<any>bad <ip>",
		`^bad @$ x`:         "! the beginning or the end of the line is in its middle",
		`^bad (?:^x|y) @$`:  "! the beginning or the end",
		`^bad @(?:$x|y$)`:   "! text is after the end of the line",
		// boundaries of words
		`^bad @ x\b`:       "bad <ip> x{| <any>|:<any>|,<any>|.<any>|;<any>|)<any>}",
		`^bad @ x\b$`:      "bad <ip> x",
		`^bad @\b`:         "bad <ip>{| <any>|,<any>|;<any>|)<any>|'<any>}",
		`^bad\b guest @$`:  "bad guest <ip>",
		`^bad\bguest @$`:   `! \b beside a field has no counterpart`, // never matches
		`^bad:\b guest @$`: `! \b after "bad:" has no counterpart in a pattern`,
		`^\bbad @$`:        `! \b beside a field has no counterpart in a pattern`,
		`^bad \S+\b @$`:    `! \b beside a field`,
		`^bad\b.* x @$`:    "bad{| <any>|:<any>|,<any>|.<any>|;<any>|)<any>} x <ip>",
		`^bad\B @$`:        "! NoWordBoundary has no counterpart in a pattern",
		// fields that meet
		`^bad .*\S+ @$`:            "bad {|<any> }<word> <ip>",
		`^bad .*\d+ @$`:            "bad {|<any> }<int> <ip>",
		`^bad .*@$`:                "bad {|<any> }<ip>",
		`^bad .*\S* @$`:            "bad <any> <ip>",
		`^bad .*.* @$`:             "bad <any> <ip>",
		`^bad \S*.* @$`:            "bad <any> <ip>",
		`^bad \S*\S+ @$`:           "bad <word> <ip>",
		`^bad \S+\S* @$`:           "bad <word> <ip>",
		`^bad \S+\S+ @$`:           "bad <word> <ip>",
		`^bad \S+.* @$`:            "bad <word>{| <any>} <ip>",
		`^bad \d+\S+ @$`:           "bad <word> <ip>",
		`^bad \d+\d+ @$`:           "bad <int> <ip>",
		`^bad \S+\d+ @$`:           "! <word> and <int> meet: nothing says where one ends",
		`^bad \S+@$`:               "! <word> and <ip> meet",
		`^bad @\S+$`:               "! <ip> and <word> meet",
		`^bad @@$`:                 "! <ip> and <ip> meet",
		`^bad .*(?P<user1>.*) @$`:  "bad <user> <ip>",
		`^bad (?P<user1>.*).* @$`:  "bad <user> <ip>",
		`^bad \S*(?P<user1>.*) @$`: "bad <user> <ip>",
		`^bad (?P<user1>.*)\S+ @$`: "bad {|<user> }<word> <ip>",
	} {
		var w writer
		all, err := writes(t, expression, &w)
		got := strings.Join(all, "\n")
		if w.wider {
			got = "wider: " + got
		}
		if reason, refused := strings.CutPrefix(want, "! "); refused {
			if err == nil || !strings.HasPrefix(err.Error(), reason) {
				t.Errorf("%s: %q, %v; not %s", expression, got, err, want)
			}
		} else if err != nil || got != want {
			t.Errorf("%s:\n%q, %v; not\n%q", expression, got, err, want)
		}
	}
}

// TestNoWider writes lines by patterns, with any text in fields that hold any: the expression that they were made of takes each.
func TestNoWider(t *testing.T) {
	g := rand.New(rand.NewPCG(5, 5))
	texts := []string{"", " ", "x", "a b", "7", "192.0.2.1", "from 192.0.2.1", ": ", "'", "x port 22", "(y)", "\t", "é", "\\", "]", "<a>"}
	text := func() string { return texts[g.IntN(len(texts))] + texts[g.IntN(len(texts))] }
	fill := func(it pattern.Item) string {
		switch f := it.Field; f {
		case pattern.Literal:
			return it.Text
		case pattern.IP:
			return "2001:db8::5"
		case pattern.IPPort:
			return "203.0.113.5:40022"
		case pattern.Port, pattern.LocalPort, pattern.Int:
			return []string{"0", "22", "65535"}[g.IntN(3)]
		case pattern.Word, pattern.Maybe:
			if value := strings.Join(strings.Fields(text()), ""); value != "" || f == pattern.Maybe {
				return value
			}
			return "x"
		default:
			return text()
		}
	}
	for _, expression := range []string{
		`bad .* from @$`, `^bad .* from @(?: port \d+)?$`, `^bad guest @`, `bad guest @\b`, `^bad \S+ \[@\](?: x=\S+)*$`, `^bad .+: x .* is \d+, @$`, `^(?:x: )?bad "(?:[^"]+|.*?)", @, "\S+ \S+"\s*$`,
		`^bad .* from @ for x\b of .*`, `^bad\b.* @(?:$|,| port \d+)`, `^(?i:bad) guest \S* .*@(?::\d+)?$`, `^bad @: .*\S+$`, `^bad @: \S+`, `^bad \d* \S+.* @ x.$`, `^(?:bad|worse)[:;,]? (?P<user1>.*)(?: x)? from @`, `^bad @ x\b`,
	} {
		var w writer
		all, err := writes(t, expression, &w)
		if err != nil {
			t.Errorf("%s: %v", expression, err)
			continue
		}
		re, err := new(translation).anchored(strings.ReplaceAll(expression, "@", hostMark))
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range all {
			ways, err := pattern.Write(p, pattern.Frame{})
			if err != nil {
				t.Fatalf("%s: %s: %v", expression, p, err)
			}
			for range 300 {
				line := ""
				for _, it := range ways[g.IntN(len(ways))].Items {
					value := fill(it)
					if value == "" && strings.Contains(expression, ".+") { // <any> is nothing, too: docs/import-fail2ban.md
						value = "x"
					}
					line += value
				}
				if !re.MatchString(line) {
					t.Errorf("%s: the pattern %s reads %q", expression, p, line)
					break
				}
			}
		}
	}
}

// TestExamples says which lines a pattern's slots are tried with: each alternative once, and all of the first of the others.
func TestExamples(t *testing.T) {
	slots := []slot{
		{{{text: "a"}}, {{text: "b"}}},
		{{{kind: addr}}, {{kind: addrPort}}},
		{{{text: " "}, {kind: port}}, nil},
		{{{kind: digits}, {kind: word}, {kind: maybe}, {kind: wide}, {kind: user}}},
	}
	want := []string{
		"a203.0.113.5 400227xxxx", "b203.0.113.5 400227xxxx", "a203.0.113.5:40022 400227xxxx", "a203.0.113.57xxxx",
	}
	if got := examples(slots); !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
}
