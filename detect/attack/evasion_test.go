package attack

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"tattled/detect"
	"tattled/detect/pattern"
)

// evasions are what a peer may write into a field that is his to choose, so that the line about him is not understood.
func evasions() map[string]string {
	return map[string]string{
		"nothing": "", "a blank": " ", "blanks at both ends": " dan ", "two words": "dan smith", "an address": "198.51.100.66",
		"from an address": "x from 198.51.100.66", "from an address and port": "x from 198.51.100.66 port 22 ssh2", "an address in brackets": "x [198.51.100.66]",
		"rhost": "x rhost=198.51.100.66", "rip": "x>, rip=198.51.100.66, y", "300 bytes": strings.Repeat("a", 300), "1100 bytes": strings.Repeat("a", 1100), "9000 bytes": strings.Repeat("a ", 4500), "NUL": "a\x00b", "a line end": "a\nb", "CR": "a\rb", "a tab": "a\tb",
		"quotes": `a"b'c` + "`", "brackets": "a[b]c(d)e{f}<g>", "opening brackets": "[(<{", "closing brackets": "])>}", "separators": "a,b;c:d=e|f/g\\h",
		"UTF-8": "dän \u202e\u2028", "no UTF-8": "\xff\xfe\xc0\xae", "ANSI": "\x1b[31mdan\x1b[0m", "a percent sign": "%s%n%0a", "a hyphen": "-", "a colon and blank": "a: b", "a comma and blank": "a, b",
	}
}

// TestEvasionByText says that nobody keeps a line from being counted by what he writes into a field that he may fill: it is found
// with its true peer, or it is refused, which is counted too. It is never passed over.
func TestEvasionByText(t *testing.T) {
	r := load(t, detect.Options{})
	samples := samplesOf(t, r)
	peer := netip.MustParseAddr(peer4)
	lines, found := 0, 0
	refused := map[string]int{}
	var f detect.Finding
	for _, s := range r.Services() {
		for _, target := range targetsOfService(r, s, samples) {
			if target.rule.Kind == 0 { // no event
				continue
			}
			for i := 0; i < len(target.shapes); i += 1 + len(target.shapes)/8 {
				for name, text := range evasions() {
					message, filled := evade(target.shapes[i], !target.own, text)
					if !filled {
						continue
					}
					lines++
					switch verdict := r.Detect([]byte(s.Programs[0]), []byte(message), &f); {
					case verdict == detect.Matched && f.Addr == peer:
						found++
					case verdict == detect.Refused:
						refused[target.rule.String()+" "+name]++
					default:
						t.Errorf("%s: with %s it is %s: %q", target.rule, name, describe(verdict, &f), message)
					}
				}
			}
		}
	}
	t.Logf("%d of %d lines found; refused, with which texts: %v", found, lines, refused)
	if lines < 10_000 || found < lines*9/10 {
		t.Errorf("%d of %d lines were found", found, lines)
	}
}

// evade writes a line with text in all its fields that hold anything, with chosen also in narrow ones that are named for what a
// peer chooses, and reports whether there are any.
func evade(s pattern.Written, chosen bool, text string) (line string, filled bool) {
	items := slices.Clone(s.Items)
	for i := range items {
		if f := items[i].Field; f != pattern.Literal && (f.Wide() || chosen && chosenByPeer(s.Items, i) && !strings.HasSuffix(s.Items[i-1].Text, "lo=")) { // Postfix counts commands there
			items[i], filled = pattern.Item{Field: pattern.Literal, Text: text}, true
		}
	}
	return fmt.Sprint(s.Before, plainLine(items), s.After), filled
}
