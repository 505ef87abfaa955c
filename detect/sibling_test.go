package detect

import (
	"strings"
	"testing"
)

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
