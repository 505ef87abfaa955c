package detect

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"tattled/detect/pattern"
	"tattled/detect/rulefile"
)

// innerPatterns calls fn with each way to write out a pattern that has wide fields on both sides of the address.
func innerPatterns(t *testing.T, r *Rules, fn func(rule *Rule, p rulefile.Text, v *pattern.Variant, items []pattern.Item)) {
	t.Helper()
	count := 0
	for _, rule := range r.All() {
		for _, p := range rule.match {
			made, err := pattern.Compile(p.Value, rule.owner(), rule.Service.frame)
			if err != nil {
				t.Fatal(err)
			}
			ways, err := pattern.Write(p.Value, pattern.Frame{})
			if err != nil {
				t.Fatal(err)
			}
			for i := range made {
				if made[i].Inner() && rule.Kind != 0 {
					fn(rule, p, &made[i], ways[i].Items)
					count++
				}
			}
		}
	}
	if count < 1000 {
		t.Errorf("only %d", count)
	}
}

// TestUndescribedSiblings says that nobody is blamed by a line of a sort that no rule describes, into which a peer wrote all that a
// pattern looks for. The line begins as the pattern does and has the true peer as the program writes it, before and after
// what the peer wrote.
func TestUndescribedSiblings(t *testing.T) {
	r := load(t, Options{})
	word, wide := func() string { return "w" }, func() string { return "dan" }
	fixed := func(items []pattern.Item) (n int) {
		for _, it := range items {
			n += len(it.Text)
		}
		return n
	}
	told := map[rulefile.Text]bool{}
	var f Finding
	innerPatterns(t, r, func(rule *Rule, p rulefile.Text, v *pattern.Variant, items []pattern.Item) {
		first, last := 0, len(items)-1
		for !items[first].Field.Wide() {
			first++
		}
		for !items[last].Field.Wide() {
			last--
		}
		before, address, after := v.Place()
		for fixed(before) > pattern.MaxLabel && len(before) > 1 { // what is before that need not be in another line
			before = before[1:]
		}
		place := slices.Concat(before, []pattern.Item{{Field: address}}, after)
		head, end := fill(items[:first], planted4, word, wide), fill(items[last+1:], planted4, word, wide)
		written := fill(items[first:last], planted4, word, wide) // by the peer, as far as a wide field
		real := fill(place, truePeer, word, wide)
		for _, line := range []string{
			head + "x" + real + " y " + written + "z" + end, head + written + "x" + real + " y" + end, head + written + "x" + real + " y" + " z",
		} {
			for _, program := range rule.Service.Programs[:1] {
				verdict := r.Detect([]byte(program), []byte(line), &f)
				if verdict == Matched && f.Addr != netip.MustParseAddr(truePeer) && !told[p] {
					told[p] = true
					t.Errorf("%s:%d: %q is %s", rule.Service.File, p.Line, line, describe(verdict, &f))
				}
			}
		}
	})
}

// TestCoverIsOne says that what is offered for a pattern without a cover is one, whatever the pattern.
func TestCoverIsOne(t *testing.T) {
	innerPatterns(t, load(t, Options{}), func(rule *Rule, p rulefile.Text, v *pattern.Variant, _ []pattern.Item) {
		offered := v.Cover(rule.Service.frame)
		made, err := pattern.Compile(offered, pattern.Owner{None: true}, rule.Service.frame)
		if err != nil {
			t.Fatalf("%s:%d: %s: %v", rule.Service.File, p.Line, offered, err)
		}
		if !made[0].Covers(v) {
			t.Errorf("%s:%d: %s is not a cover", rule.Service.File, p.Line, offered)
		}
	})
}

// TestUncovered says which rules of a user's are told of, and that doing what is said is enough.
func TestUncovered(t *testing.T) {
	const pattern = "refused <user> from <ip>: bad password, <any>"
	for covers, want := range map[string]string{
		"":                               `mine.yaml:7: match: a peer's text may be on both sides of the address in this pattern of rule one`,
		"refused <any> from <ip>: <any>": "",
		"refused <any> <ip>: <any>":      "",
		"re<any> from <ip>: <any>":       "",
		"{refused|denied} <any> from <ip>: <any>":               "",
		"<any> from <ip>: <any>":                                "",
		"refused <any> from <ip>: bad <any>":                    "refused <any> from <ip>: <any>", // holds a text of this event
		"refused <any> by <any> from <ip>: <any>":               "refused <any> from <ip>: <any>", // lines without " by " are not read
		"refused <any> from <ip>: <any>.":                       "refused <any> from <ip>: <any>", // nor those that end otherwise
		"refused user <any> from <ip>: <any>":                   "refused <any> from <ip>: <any>",
		"refused <any> from <ip:port>: <any>":                   "refused <any> from <ip>: <any>",
		"refused <any> from <ip>":                               "refused <any> from <ip>: <any>",
		"refused <any>, password for a user <any> from <ip>: x": "refused <any> from <ip>: <any>",
	} {
		lines := []string{"match: ['" + pattern + "']", `samples: [{line: "refused dan from 203.0.113.5: bad password, 2 left", ip: 203.0.113.5}]`}
		content := ruleFile(lines...)
		if covers != "" {
			content += "  - {name: alike, kind: none, match: ['" + covers + "'], samples: [{line: x}]}\n"
		}
		r, faults := loadWith(nothing(), Options{Directory: userRules(t, "mine.yaml", content)})
		if len(faults) > 0 {
			t.Fatal(covers, faults)
		}
		_, faults = r.Run()
		switch {
		case want == "" && len(faults) > 0:
			t.Errorf("%q: %v", covers, faults)
		case want != "" && (len(faults) != 1 || !strings.Contains(faults[0].String(), want) || !strings.Contains(faults[0].String(), "match: ['refused <any> from <ip>: <any>']")):
			t.Errorf("%q: %v", covers, faults)
		}
	}
}

// TestNoneIsOfNoEvent says that a line which no event's rule reads is ignored, even if rules of kind none read several addresses in
// it, and that what can be neither an address nor a name is not read as one by them.
func TestNoneIsOfNoEvent(t *testing.T) {
	r, faults := loadWith(nothing(), Options{Directory: userRules(t, "mine.yaml", ruleFile("match: ['refused <user> from <ip>: bad password, <any>']", "samples: [{line: 'refused x from 203.0.113.5: bad password, y', ip: 203.0.113.5}]")+
		"  - {name: alike, kind: none, match: ['refused <any> from <ip>: <any>'], samples: [{line: x}]}\n")})
	if len(faults) > 0 {
		t.Fatal(faults)
	}
	var f Finding
	for message, want := range map[string]string{
		"refused x from 203.0.113.5: y from 198.51.100.66: z":                             "ignored",
		"refused x from 203.0.113.5: y from 198.51.100.66: bad password, z":               "refused by mine/one (ambiguous)",
		"refused x from host.example.org: y from 198.51.100.66: bad password, z":          "refused by mine/one (ambiguous)",
		"refused x from fe80::66%eth0: y from 198.51.100.66: bad password, z":             "refused by mine/one (ambiguous)",
		"refused x from sasl:plain: y from 203.0.113.5: bad password, z":                  "matched by mine/one with 203.0.113.5",
		"refused x from 203.0.113.5: bad password, z from here":                           "matched by mine/one with 203.0.113.5",
		"refused x from 198.51.100.66: bad password, y from 203.0.113.5: ":                "refused by mine/one (ambiguous)",
		"refused x from 198.51.100.66: bad password, y from 203.0.113.5 and nothing else": "matched by mine/one with 198.51.100.66", // not as it says that peers are written
	} {
		verdict := r.Detect([]byte("mine"), []byte(message), &f)
		if got := describe(verdict, &f); got != want {
			t.Errorf("%q is %s, not %s", message, got, want)
		}
	}
}
