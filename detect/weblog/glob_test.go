package weblog

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"tattled/detect/rulefile"
)

// fitsGlob is matching a glob as the manual tells it.
func fitsGlob(pattern, text string) bool {
	if pattern == "" {
		return text == ""
	}
	if pattern[0] == '*' {
		return fitsGlob(pattern[1:], text) || text != "" && fitsGlob(pattern, text[1:])
	}
	return text != "" && strings.EqualFold(pattern[:1], text[:1]) && fitsGlob(pattern[1:], text[1:])
}

// TestGlobs compares with the plain way, over globs and texts of few letters.
func TestGlobs(t *testing.T) {
	g := rand.New(rand.NewPCG(6, 6))
	random := func(letters string, least, most int) string {
		var b strings.Builder
		for range least + g.IntN(most-least) {
			b.WriteByte(letters[g.IntN(len(letters))])
		}
		return b.String()
	}
	for range 800 {
		rules := make([]rulefile.Rule, 1+g.IntN(9))
		for i := range rules {
			for k, l := range []*rulefile.Lists{&rules[i].Where, &rules[i].Not} {
				one := rulefile.List{Name: rulefile.Text{Value: "f", Line: 1}}
				for range 1 + g.IntN(3) {
					one.Values = append(one.Values, rulefile.Text{Value: random([]string{"aB*", "ab/*", "abcde*"}[g.IntN(3)], 0, 12), Line: 1})
				}
				if k == 0 || g.IntN(3) == 0 {
					l.All = append(l.All, one)
				}
			}
		}
		fields := newFieldRules(rules, "f")
		var all ruleSet
		for i := range rules {
			all.put(i)
		}
		for range 40 {
			value := random([]string{"ab", "aB/", "abcdE"}[g.IntN(3)], 0, 14)
			var want, where, not ruleSet
			for i := range rules {
				fits := func(t rulefile.Text) bool { return fitsGlob(t.Value, value) }
				if slices.ContainsFunc(rules[i].Where.Values("f"), fits) && !slices.ContainsFunc(rules[i].Not.Values("f"), fits) {
					want.put(i)
				}
			}
			fields.globs.match([]byte(lowerASCII(value)), &all, &where, &not)
			if fits := where != (ruleSet{}) || not != (ruleSet{}); fits && !fields.globs.mayFit([]byte(value), &all) {
				t.Fatalf("%q fits, and may not: %+v", value, rules)
			}
			if where.drop(&not); where != want {
				t.Fatalf("%q suits %v, not %v: %+v", value, where, want, rules)
			}
		}
	}
}
