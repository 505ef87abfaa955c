package attack

import (
	"net/netip"
	"slices"
	"testing"

	"tattled/detect"
	"tattled/detect/pattern"
	"tattled/detect/rulefile"
)

// innerPatterns calls fn with each way to write out a pattern that has wide fields on both sides of the address.
func innerPatterns(t *testing.T, r *detect.Rules, fn func(rule *detect.Rule, p rulefile.Text, v *pattern.Variant, items []pattern.Item)) {
	t.Helper()
	count := 0
	for _, rule := range r.All() {
		match, _ := rule.Patterns()
		for _, p := range match {
			made, err := pattern.Compile(p.Value, pattern.Owner{Rule: int32(rule.Index), None: rule.Kind == 0, Raw: rule.Raw}, rule.Service.Frame())
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
	r := load(t, detect.Options{})
	word, wide := func() string { return "w" }, func() string { return "dan" }
	fixed := func(items []pattern.Item) (n int) {
		for _, it := range items {
			n += len(it.Text)
		}
		return n
	}
	told := map[rulefile.Text]bool{}
	var f detect.Finding
	innerPatterns(t, r, func(rule *detect.Rule, p rulefile.Text, v *pattern.Variant, items []pattern.Item) {
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
				if verdict == detect.Matched && f.Addr != netip.MustParseAddr(truePeer) && !told[p] {
					told[p] = true
					t.Errorf("%s:%d: %q is %s", rule.Service.File, p.Line, line, describe(verdict, &f))
				}
			}
		}
	})
}

// TestCoverIsOne says that what is offered for a pattern without a cover is one, whatever the pattern.
func TestCoverIsOne(t *testing.T) {
	innerPatterns(t, load(t, detect.Options{}), func(rule *detect.Rule, p rulefile.Text, v *pattern.Variant, _ []pattern.Item) {
		offered := v.Cover(rule.Service.Frame())
		made, err := pattern.Compile(offered, pattern.Owner{None: true}, rule.Service.Frame())
		if err != nil {
			t.Fatalf("%s:%d: %s: %v", rule.Service.File, p.Line, offered, err)
		}
		if !made[0].Covers(v) {
			t.Errorf("%s:%d: %s is no cover", rule.Service.File, p.Line, offered)
		}
	})
}
