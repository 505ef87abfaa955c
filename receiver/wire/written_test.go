package wire

import (
	"bytes"
	"net/netip"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestUnwrite(t *testing.T) {
	for in, want := range map[string]string{
		"#033[31mred#033[0m":                        "red",
		"^[[31mred^[[0m, ^[[1;32mgreen^[[m":         "red, green",
		`\x1b[31mred\x1B[0m`:                        "red",
		`\u001b[31mred\u001B[0m`:                    "red",
		`\033[31mred\033[0m`:                        "red",
		`\e[38;5;208mred\e[K`:                       "red",
		"#033[1;33mNOTICE#033[0m[1240]: x":          "NOTICE[1240]: x",
		"c#033[0m:#033[1m676#033[0m f":              "c:676 f",
		"#033[36m10:00:00 #033[0m#033[32ma.go: [I]": "10:00:00 a.go: [I]",
		"'#033[1mroot#033[0m'":                      "'root'",
	} {
		if got, ok := unwrite(nil, []byte(in)); !ok || string(got) != want {
			t.Errorf("%q: %q %v, want %q", in, got, ok, want)
		}
	}
	for _, in := range []string{
		"", "x", "[preauth]", "#033", "#033[", "#033[12", "#033[1 m", "#033[1Z", "#033[2J", "#033]0;x#007", "a#033[0m [#033[",
		"#033[" + strings.Repeat("1", 40) + "m",
		// What a backslash before them is for is not known.
		`x\#033[0m"`, `x\\x1b[0m"`, `x\^[[0m`, `x\#033[0m#033[0m"`,
		// Two texts that would grow together, or be parted.
		"203.0.113#033[0m.5", "pass#033[0m^[[1mword", "2001:db8:#033[0m:5", "a#033[0mb",
	} {
		if got, ok := unwrite(nil, []byte(in)); ok {
			t.Errorf("%q: %q", in, got)
		}
	}
}

// Whatever is written where: each word and each address of the result stood so in the text, and as many blanks.
func TestUnwriteJoinsNothing(t *testing.T) {
	taken := 0
	rapid.Check(t, func(t *rapid.T) {
		parts := rapid.SliceOfN(rapid.OneOf(
			rapid.SampledFrom([]string{"#033[0m", "^[[1;31m", `\x1b[m`, `\u001b[K`, "#033[", "m", `\`}),
			rapid.StringMatching(`[0-9a-f:. ]{0,6}`), rapid.StringMatching(`[ -~]{0,6}`), rapid.SampledFrom([]string{" ", ": ", "'"}),
		), 0, 12).Draw(t, "parts")
		text := strings.Join(parts, "")
		got, ok := unwrite(nil, []byte(text))
		if !ok {
			return
		}
		taken++
		if strings.Count(text, " ") != bytes.Count(got, []byte(" ")) {
			t.Fatalf("%q: other blanks in %q", text, got)
		}
		for _, word := range bytes.FieldsFunc(got, func(r rune) bool { return r < 0x80 && !inWord(byte(r)) }) {
			if !strings.Contains(text, string(word)) {
				t.Fatalf("%q: %q has grown together in %q", text, word, got)
			}
		}
		for _, address := range bytes.FieldsFunc(got, func(r rune) bool { return r >= 0x80 || !inAddress(byte(r)) }) {
			if _, err := netip.ParseAddr(string(address)); err == nil && !strings.Contains(text, string(address)) {
				t.Fatalf("%q: %q has grown together in %q", text, address, got)
			}
		}
	})
	if taken == 0 {
		t.Error("nothing was taken off")
	}
}
