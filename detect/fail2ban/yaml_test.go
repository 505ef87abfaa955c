package fail2ban

import (
	"strings"
	"testing"
	"unicode/utf8"

	"tattled/detect/rulefile"
	"tattled/event"
)

// TestYAML says what a rule file looks like: all that a filter can have, in order.
func TestYAML(t *testing.T) {
	f := &Filter{
		Service: "fail2ban-demo", Programs: []string{"demo", "demo/sub", "my demo"}, Stamped: true, source: "demo.conf", handshake: true,
		Notes: []string{"ignoreregex cannot be expressed", "programs: complete the list"},
		Rules: []*Rule{
			{
				Name: "bad-guest", Kind: event.AuthFailure, Categories: []int{18, 22}, Match: []string{"bad <user> from <ip>", "bad it's <ip>"}, File: "demo.conf", Line: 4, Wider: true,
				generated: Sample{"demo", "bad x from 203.0.113.5", "203.0.113.5"}, covers: []string{"bad <any> <ip>", "worse <any> <ip>"},
			},
			{
				Name: "login", Kind: event.AuthSuccess, Regex: `^good (?P<ip>\S+)$`, File: "b.conf", Line: 9, generated: Sample{"demo", "good 203.0.113.5", "203.0.113.5"},
				samples: []Sample{{"demo", "good 192.0.2.7", "192.0.2.7"}, {"demo/sub", "good 2001:db8::7", "2001:db8::7"}}, covers: []string{"bad <any> <ip>"},
			},
		},
		Refused: []Refused{{"demo.conf", 5, "^bad (?!x)<HOST>$", "look-ahead"}, {"demo.conf", 6, "^y$", "no address"}},
		Covered: []Refused{{"demo.conf", 7, "Invalid user <user> from <ip>", "its line is matched already"}},
	}
	const want = "# Made of fail2ban's filter demo.conf by `tattled import fail2ban`. Read it before use: what kind of event" + `
# each rule is, its categories and whether its log proves addresses (handshake) are guesses or options.
# ignoreregex cannot be expressed
# programs: complete the list
service: fail2ban-demo
programs: [demo, demo/sub, 'my demo']
stamp: true
rules:
  # line 4 of demo.conf
  # Its fields hold more than the expression takes there: lines of another sort may match as well.
  - name: bad-guest
    kind: auth-failure
    handshake: true
    categories: [18, 22]
    match:
      - 'bad <user> from <ip>'
      - 'bad it''s <ip>'
    samples:
      # made of the expression: put a real line in its place
      - {line: 'bad x from 203.0.113.5', ip: '203.0.113.5'}
  # line 9 of b.conf
  - name: login
    kind: auth-success
    handshake: true
    regex: ['^good (?P<ip>\S+)$']
    samples:
      - {line: 'good 192.0.2.7', ip: '192.0.2.7'}
      - {line: 'good 2001:db8::7', ip: '2001:db8::7', program: demo/sub}
  # Other lines that begin alike, in which a peer may have written all of one of the above
  - name: alike
    kind: none
    match:
      - 'bad <any> <ip>'
      - 'worse <any> <ip>'

# What could not be translated:
# line 5 of demo.conf: look-ahead
#     ^bad (?!x)<HOST>$
# line 6 of demo.conf: no address
#     ^y$

# What other rules describe already:
# line 7 of demo.conf: its line is matched already
#     Invalid user <user> from <ip>
`
	got := strings.Split(f.YAML(), "\n")
	for i, line := range strings.Split(want, "\n") {
		if i >= len(got) || got[i] != line {
			t.Fatalf("line %d is not %q in\n%s", i+1, line, strings.Join(got, "\n"))
		}
	}
	var faults rulefile.Faults
	form, ok := rulefile.Decode([]byte(f.YAML()), &faults)
	if !ok || len(form.Rules) != 3 || len(form.Programs) != 3 || form.Programs[2].Value != "my demo" {
		t.Errorf("%v, %+v", faults.All, form)
	}
}

// hostileTexts are what may be in a filter of somebody else's, or in a log.
func hostileTexts() []string {
	return []string{
		"x\nservice: sshd", "x\r\nrules: []", "x\u2028y", "x\u2029y", "x\u0085y", "\x1b[31mx\x1b[0m", "x\x00y", "\u202ex", "x\u200by", "\ufeffx", "x\u00ady", "x\xff\xfe\xc0y", "\U000e0041x", "\x7f", "\u3164",
	}
}

// TestHostileComments says that nothing in a filter ends the comment that shows it, or does something to a terminal.
func TestHostileComments(t *testing.T) {
	for _, text := range hostileTexts() {
		f := &Filter{
			Service: "fail2ban-demo", Programs: []string{"demo"}, source: text, Notes: []string{text},
			Rules: []*Rule{{
				Name: "bad-guest", Kind: event.Probe, Categories: []int{15}, Match: []string{"bad <ip>"}, File: text, generated: Sample{"demo", "bad 203.0.113.5", "203.0.113.5"},
			}},
			Refused: []Refused{{text, 1, text, text}}, Covered: []Refused{{text, 1, text, text}},
		}
		out := f.YAML()
		if shown := event.Visible(strings.ReplaceAll(out, "\n", "")); shown != strings.ReplaceAll(out, "\n", "") {
			t.Errorf("%q is in\n%q", text, out)
		}
		var faults rulefile.Faults
		form, ok := rulefile.Decode([]byte(out), &faults)
		if !ok || form.Service.Value != "fail2ban-demo" || len(form.Rules) != 1 {
			t.Errorf("%q: %v in\n%s", text, faults.All, out)
		}
	}
}

// TestQuote says that a scalar is read back as it was, and shows nothing hidden.
func TestQuote(t *testing.T) {
	for text, want := range map[string]string{
		"": "''", "a": "a", "a-b_c./d": "a-b_c./d", "1": "'1'", "-a": "'-a'", "x: y": "'x: y'", "it's": "'it''s'", "#": "'#'", "[x]": "'[x]'", "\\": `'\'`, `\d+ "x"`: `'\d+ "x"'`,
		"ü": "'ü'", "a b": "'a b'", " a ": "' a '", "a\tb": `"a\u0009b"`, "\n": `"\u000a"`, "\x1b\"\\": `"\u001b\"\\"`, "\u2028": `"\u2028"`, "\U000e0041": `"\U000e0041"`, "\U0001f600": "'\U0001f600'",
		"on": "on", "null": "'null'", "nullx": "nullx", "~": "'~'", "*a": "'*a'", "a,b": "'a,b'", "{a: b}": "'{a: b}'", "\u200b": `"\u200b"`, "a\u00a0b": `"a\u00a0b"`, "\x7f": `"\u007f"`,
	} {
		if got := quote(text); got != want {
			t.Errorf("%q is written %s, not %s", text, got, want)
		}
	}
	for _, text := range append(hostileTexts(), "", "a", "1", "1e3", "0x10", "x: y", "it's", "''", `"`, `\"`, "#", " a", "a ", "[x]", "on", "null", "2026-11-22", "!x", "&x", "*x", "%x", "@x", "`x", "- x", "? x", "|", ">") {
		if !utf8.ValidString(text) {
			continue // Offer is given what is text, and RE2 takes nothing else
		}
		content := "service: x\nprograms: [" + quote(text) + "]\nrules:\n  - {name: a, kind: probe, samples: [{line: " + quote(text) + "}]}\n"
		var faults rulefile.Faults
		form, ok := rulefile.Decode([]byte(content), &faults)
		if !ok || len(form.Programs) != 1 || form.Programs[0].Value != text || form.Rules[0].Samples[0].Line.Value != text {
			t.Errorf("%q: %v\n%s", text, faults.All, content)
		}
		if shown := quote(text); event.Visible(shown) != shown {
			t.Errorf("%q is written %q", text, shown)
		}
	}
}
