package daemon_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// word is a phrase that is not written in what a user reads, and what is written instead.
type word struct {
	phrase *regexp.Regexp
	better string
	except *regexp.Regexp // what is fine although it has the phrase in it; nil: nothing
}

// wordList is the short list.
var wordList = compileWords()

// compileWords writes the list out. A blank in an expression is any number of blanks and line ends.
func compileWords() []word {
	var words []word
	for _, w := range []struct{ phrase, better, except string }{
		{`behind`, `after`, `behind (\S+ ){0,2}(proxy|proxies|tunnel|router|nginx|NAT)`},
		{`stands?|standing|stood`, `is`, `(stands?|standing|stood) for`},
		{`lies?|lying|lay`, `is`, ``},
		{`(is|are|was|were|be) no`, `is not a, are not`, `there (is|are|was|were|be) no|(is|are|was|were|be) no (longer|more)`},
		{`tells?|told|telling`, `report, notify, say`, ``},
		{`a text|texts`, `string, literal`, `a text (file|record)`},
		{`(runs?|ran|running) dry`, `dry-run mode`, ``},
		{`is good|all good`, `OK`, `is good (for|at)`},
		{`truly odd`, `unusual`, ``},
		{`leaves? the house`, `is never reported`, ``},
		{`what (it|they) miss(es)?`, `missing prerequisites`, ``},
		{`taken on`, `accepted on`, ``},
		{`(by|of) (itself|themselves)`, `automatically, on its own`, ``},
		{`(make|makes|made|making) way`, `is evicted, is removed`, ``},
		{`be it`, `even if`, ``},
		{`(its|his|their) own word|\w+'s word`, `as stated in the message`, ``},
		{`for people`, `human-readable`, ``},
		{`in vain`, `unreachable, without effect`, ``},
		{`log-ins?`, `login`, ``},
		{`bit by bit|first heard of`, `lazily, on the first message`, ``},
		{`where (it|he) is due`, `to its destination`, ``},
		{`puts? aside|putting aside`, `quarantine`, ``},
		{`mend|mends|mended|mending`, `fix`, ``},
		{`called off`, `canceled`, ``},
		{`outlives?|outlived`, `survive`, ``},
		{`for want of`, `for lack of, without`, ``},
		{`can not`, `cannot`, ``},
		{`anew`, `again`, ``},
	} {
		words = append(words, word{wordExpression(w.phrase), w.better, wordExpression(w.except)})
	}
	return words
}

// wordExpression finds a phrase in whole words, in any case; nil for "".
func wordExpression(phrase string) *regexp.Regexp {
	if phrase == "" {
		return nil
	}
	return regexp.MustCompile(`(?i)(?:^|[^\w-])(?:` + strings.ReplaceAll(phrase, " ", `\s+`) + `)\b`)
}

// seenByUsers are the files, besides the strings of the Go sources, whose whole text a user reads.
var seenByUsers = []string{
	"*.md", "docs/*.md", "docs/adr/*.md", "bench/*.md", "report/*.md", "detect/rules/*.md", "packaging/grafana/*.json", "packaging/grafana/provisioning/*/*",
	"Makefile", "nfpm.yaml", "policy/defaults.yaml", "tools/need", "tools/nightly",
	"packaging/*.yaml", "packaging/post*", "packaging/prerm", "packaging/rules.d/*.yaml", "packaging/rsyslog/*", "packaging/prometheus/*",
	"systemd/tattled*", "systemd/*.d/*", "web/templates/*.html", "web/assets/*.js",
}

// TestWords holds what a user reads to plain words: messages, help, problems and their remedies, alerts, pages, documents,
// comments of the example configuration, of units and of packages.
func TestWords(t *testing.T) {
	const root = ".."
	texts := 0
	for _, pattern := range seenByUsers {
		files, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: there is no such file (%v)", pattern, err)
		}
		for _, file := range files {
			content, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			texts++
			for _, fault := range judgeWords(passage{{string(content), 1, true}}) {
				t.Errorf("%s:%s", strings.TrimPrefix(file, "../"), fault)
			}
		}
	}
	for _, file := range goSources(t, root) {
		passages, err := readStrings(file, nil)
		if err != nil {
			t.Fatal(err)
		}
		texts += len(passages)
		for _, p := range passages {
			for _, fault := range judgeWords(p) {
				t.Errorf("%s:%s", strings.TrimPrefix(file, "../"), fault)
			}
		}
	}
	if texts < 1500 {
		t.Errorf("only %d texts were judged: are the paths right?", texts)
	}
}

// TestWordsAreJudged shows that a planted phrase is found in its line, and that what is fine is let pass.
func TestWordsAreJudged(t *testing.T) {
	source := "// Package p is\n// no example.\npackage p\n\nimport \"behind text\"\n\n" + // line 2, where the phrase ends
		"var a = \"it has something behind its path\"\n" + // line 7
		"var b = \"this value is \" +\n\tname() + \"; %q is \" +\n\t\"no duration\"\n" + // line 10
		"var c = `first line\nthe file stands\n here`\n" + // line 12
		"var key = \"told\"\n" +
		"// a comment that tells\n" +
		"type s struct {\n\tTold bool `json:\"told\" yaml:\"told as it is\"`\n}\n"
	passages, err := readStrings("planted.go", source)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, p := range passages {
		got = append(got, judgeWords(p)...)
	}
	want := []string{
		`2: "is no": write is not a, are not`, `7: "behind": write after`, `10: "is no": write is not a, are not`, `12: "stands": write is`,
	}
	if !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}

	for text, bad := range map[string]bool{
		"a service behind a reverse proxy is reached": false, "use tcp:// behind a tunnel": false, "text behind the address": true,
		"there is no such key": false, "it is no longer kept": false, "%q is no port": true, "lines that are no events": true,
		"<user> stands for the account": false, "what stands here": true, "replies, an outstanding standard": false,
		"the page tells all": true, "# nobody is\n# no friend": true, "write a text file": false, "a text": true, "log-in": true, "login": false,
		"the attacker's words": false, "the client's word": true,
	} {
		if got := judgeWords(passage{{text, 1, true}}); (len(got) > 0) != bad {
			t.Errorf("%q: %q", text, got)
		}
	}
}

// passage is what a user reads in one go: a file, or a string of a source with what is added to it.
type passage []struct {
	text  string
	line  int  // of its beginning
	lines bool // whether its line ends are those of the file
}

// lineStart is a line end with what begins the next line in a text or a comment.
var lineStart = regexp.MustCompile(`\n[ \t]*(?:#|//)?[ \t]*`)

// judgeWords returns "LINE: what to write instead" for each phrase of the list in a passage.
func judgeWords(p passage) []string {
	var whole strings.Builder
	for _, part := range p {
		whole.WriteString(part.text)
	}
	// A phrase may be broken over two lines, also over two of a comment. Offsets stay as they are.
	flat := lineStart.ReplaceAllStringFunc(whole.String(), func(s string) string { return strings.Repeat(" ", len(s)) })
	var faults []string
	for _, w := range wordList {
		text := flat
		if w.except != nil {
			text = w.except.ReplaceAllStringFunc(text, func(s string) string { return strings.Repeat("\x00", len(s)) })
		}
		for _, at := range w.phrase.FindAllStringIndex(text, -1) {
			found := strings.Join(strings.Fields(strings.TrimLeft(text[at[0]:at[1]], "\"'`(<>,.:;*|")), " ")
			faults = append(faults, fmt.Sprintf("%d: %q: write %s", lineOf(p, at[1]-1), found, w.better))
		}
	}
	return faults
}

// lineOf returns the line of an offset in a passage.
func lineOf(p passage, offset int) int {
	for i, part := range p {
		if offset >= len(part.text) && i < len(p)-1 {
			offset -= len(part.text)
			continue
		}
		if !part.lines {
			return part.line
		}
		return part.line + strings.Count(part.text[:offset], "\n")
	}
	return 0
}

// goSources returns the Go files below root but tests.
func goSources(t *testing.T, root string) []string {
	var files []string
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && (entry.Name() == "testdata" || strings.HasPrefix(entry.Name(), ".") && path != root):
			return filepath.SkipDir
		case strings.HasSuffix(path, ".go") && !strings.HasSuffix(path, "_test.go"):
			files = append(files, path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// readStrings returns the package comment of a Go source, and its strings that are prose: those with a blank, together with
// what + adds to them. Import paths and tags of fields are left out, and so are single words, such as keys, labels and classes.
func readStrings(file string, source any) ([]passage, error) {
	files := token.NewFileSet()
	parsed, err := parser.ParseFile(files, file, source, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	var passages []passage
	if parsed.Doc != nil {
		var p passage
		for _, comment := range parsed.Doc.List {
			p = append(p, passage{{comment.Text + "\n", files.Position(comment.Pos()).Line, true}}...)
		}
		passages = append(passages, p)
	}
	ast.Inspect(parsed, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.ImportSpec:
			return false
		case *ast.Field:
			n.Tag = nil
		case *ast.BinaryExpr:
			if n.Op == token.ADD {
				passages = appendProse(passages, collectStrings(files, nil, n))
				return false
			}
		case *ast.BasicLit:
			passages = appendProse(passages, collectStrings(files, nil, n))
		}
		return true
	})
	return passages, nil
}

func appendProse(passages []passage, p passage) []passage {
	for _, part := range p {
		if strings.Contains(strings.TrimSpace(part.text), " ") {
			return append(passages, p)
		}
	}
	return passages
}

// collectStrings appends the literals within an expression to p, in their order.
func collectStrings(files *token.FileSet, p passage, n ast.Node) passage {
	ast.Inspect(n, func(n ast.Node) bool {
		literal, ok := n.(*ast.BasicLit)
		if !ok || literal.Kind != token.STRING {
			return true
		}
		text, err := strconv.Unquote(literal.Value)
		if err != nil {
			return true
		}
		p = append(p, passage{{text, files.Position(literal.Pos()).Line, literal.Value[0] == '`'}}...)
		return true
	})
	return p
}
