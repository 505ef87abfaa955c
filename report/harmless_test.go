package report_test

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"pgregory.net/rapid"

	"tattled/report"
	"tattled/report/reporttest"
)

// What can do more than be read comes out as a visible escape, everything else as it was.
func TestHarmless(t *testing.T) {
	for text, want := range map[string]string{
		"":                               "",
		"Failed for röot €5 日本 🦊":        "Failed for röot €5 日本 🦊",
		"a\r\nb\tc\x00d":                 `a\r\nb\tc\x00d`,
		"\x1b[31m\x7f":                   `\x1b[31m\x7f`,
		"\u0085\u009b":                   `\u0085\u009b`,
		"\u202eabc\u2066":                `\u202eabc\u2066`,
		"\u2028\u2029\ufeff\u200b":       `\u2028\u2029\ufeff\u200b`,
		"\xff\xc0\xaf half\xe2":          `\xff\xc0\xaf half\xe2`,
		"\ufffd":                         `\ufffd`,
		"\u3164\uffa0\u2800\ufe0f\u034f": `\u3164\uffa0\u2800\ufe0f\u034f`, // fillers
		"\U000e0041tag":                  `\U000e0041tag`,
	} {
		if got := report.Harmless(text, 1000); got != want {
			t.Errorf("%q: %s, want %s", text, got, want)
		}
	}
}

// What is too long is cut between characters and says so.
func TestHarmlessCuts(t *testing.T) {
	for _, test := range []struct {
		text  string
		limit int
		want  string
	}{
		{"abcdef", 6, "abcdef"},
		{"abcdefg", 6, "abc..."},
		{"€€€", 8, "€..."},
		{"ab\x00\x00", 8, `ab\x0...`},
		{"abc", 2, ""},
		{"abcd", 3, "..."},
	} {
		if got := report.Harmless(test.text, test.limit); got != test.want {
			t.Errorf("%q in %d: %q, want %q", test.text, test.limit, got, test.want)
		}
	}
}

// Of any text: one line, within the limit, UTF-8, nothing hidden, and harmless already.
func TestHarmlessAlways(t *testing.T) {
	text := rapid.OneOf(rapid.SampledFrom(reporttest.HostileTexts()), rapid.String(),
		rapid.Map(rapid.SliceOf(rapid.Byte()), func(b []byte) string { return string(b) }))
	rapid.Check(t, func(t *rapid.T) {
		limit := rapid.IntRange(0, 100).Draw(t, "limit")
		got := report.Harmless(text.Draw(t, "text"), limit)
		if len(got) > limit || !utf8.ValidString(got) || report.Harmless(got, limit) != got {
			t.Fatalf("%q", got)
		}
		if strings.ContainsFunc(got, func(r rune) bool { return unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp) }) {
			t.Fatalf("%q", got)
		}
	})
}
