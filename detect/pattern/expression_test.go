package pattern

import (
	"os"
	"path/filepath"
	"regexp/syntax"
	"testing"

	"tattled/detect/rulefile"
)

// TestSource says that source writes out every sort of expression, and those of the built-in rules, as the syntax package
// itself does.
func TestSource(t *testing.T) {
	expressions := []string{
		`^(?P<ip>\S+) x$`, `a*b*?c+d+?e?f??`, `(?:ab)*(?:cd)+?(ef)?`, `a|b|cd|`, `|a`, `(|a)b`, `(?:a|(b|(?i:cd)))*?`, `[^ ]+[a-z-]?[\]\[^\\]`, `(?i:straße k)[k-l] x`, `x{2,3}?y{0,2}z{3,}`,
		`\pL\d\W\bx\B.`, `(?s:.)(?s).*(?-s:.)`, `(?m:^a$)\A\z`, `[^\x00-\x{10FFFF}]|a`, `(?:)`, `(?:a+)*(?:b?)+?(?:c*?)?`, `\Q.*+\E\x{1F600}`, `(?U)a*b+?(?-U:c*)`,
	}
	files, err := filepath.Glob("../rules/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no rules: %v", err)
	}
	for _, name := range files {
		content, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		file, ok := rulefile.ReadPlain(content)
		if !ok {
			t.Fatalf("%s cannot be read", name)
		}
		for _, rule := range file.Rules {
			for _, one := range rule.Regex {
				expressions = append(expressions, one.Value)
			}
		}
	}
	parse := func(text string) *syntax.Regexp {
		tree, err := syntax.Parse(text, syntax.Perl)
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		return tree.Simplify()
	}
	for _, text := range expressions {
		tree := parse(text)
		for range 2 {
			if got := source(tree); !parse(got).Equal(parse(tree.String())) {
				t.Errorf("%s is written as %s, not as %s", text, got, tree)
			}
			turn(tree)
		}
	}
}
