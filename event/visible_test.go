package event

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

// Plain text stays as it is; what cannot be seen, or moves what can, becomes an escape.
func TestVisible(t *testing.T) {
	for in, want := range map[string]string{
		"":                     "",
		"root":                 "root",
		`DOMAIN\user <b>&amp;`: `DOMAIN\user <b>&amp;`,
		"José 田中 пользователь 😀": "José 田中 пользователь 😀",
		"עברית العربية":          "עברית العربية",
		"a\nb\r\tc":              `a\nb\r\tc`,
		"\x00\x1b[31m\x7f":       `\x00\x1b[31m\x7f`,
		"\u0085\u009b":           `\u0085\u009b`,
		"bad\xff\xc0utf8":        `bad\xff\xc0utf8`,
		"user\u202egpj.exe":      `user\u202egpj.exe`,
		"\u2066a\u2069\u200f":    `\u2066a\u2069\u200f`,
		"a\u200bb\ufeffc\u00add": `a\u200bb\ufeffc\u00add`,
		"a\u2028b\u2029c":        `a\u2028b\u2029c`,
		"a\u00a0b\u3000c":        `a\u00a0b\u3000c`,
		"\U000e0041\u3164\u2800": `\U000e0041\u3164\u2800`,
		"a\ufe0fb\ufffd":         `a\ufe0fb\ufffd`,
	} {
		if got := Visible(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

// Whatever comes in, what comes out is valid UTF-8 of printable characters without direction controls, and is not longer
// than four times the input; text that has nothing to hide is not touched.
func FuzzVisible(f *testing.F) {
	for _, s := range []string{"root", "\x1b[2J", "\u202e", "\xff\xfe", "a\u2028", "\U000e0001"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, in string) {
		out := Visible(in)
		if !utf8.ValidString(out) || len(out) > 4*len(in) {
			t.Fatalf("%q: %q", in, out)
		}
		for _, r := range out {
			if !unicode.IsPrint(r) || unicode.Is(unicode.Bidi_Control, r) {
				t.Fatalf("%q lets %U through", in, r)
			}
		}
		if Visible(out) != out {
			t.Fatalf("%q: not stable", in)
		}
		if strings.IndexFunc(in, hidden) < 0 && out != in {
			t.Fatalf("%q became %q", in, out)
		}
	})
}

// As JSON it is the same value, with nothing hidden in it.
func TestVisibleJSON(t *testing.T) {
	for _, text := range []string{"root", "a\u200bb\u202e\u3164\ufe0f", "\x7f\u009b\u2028", "\U000e0041 \U0001f98a", "\x1b\n\"\\"} {
		written, err := json.Marshal(text)
		if err != nil {
			t.Fatal(err)
		}
		shown := AppendVisibleJSON(nil, written)
		var back string
		if err := json.Unmarshal(shown, &back); err != nil || back != text {
			t.Errorf("%q came back as %q from %s, %v", text, back, shown, err)
		}
		if Visible(string(shown)) != string(shown) {
			t.Errorf("%q hides something in %s", text, shown)
		}
	}
}
