package alerts

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// Each problem that the code can name has a section of docs/troubleshooting.md, which has its remedy in the same words.
func TestProblemsHaveSections(t *testing.T) {
	page, err := os.ReadFile(root + "/docs/troubleshooting.md")
	if err != nil {
		t.Fatal(err)
	}
	headings := ""
	for line := range strings.Lines(string(page)) {
		if strings.HasPrefix(line, "### ") {
			headings += line
		}
	}
	text := squeeze(string(page))
	whats, remedies := 0, 0
	for _, p := range readProblems(t) {
		for _, piece := range p.what {
			whats++
			if !strings.Contains(headings, piece) {
				t.Errorf("%s: docs/troubleshooting.md has no section with %q", p.at, piece)
			}
		}
		for _, piece := range p.remedy {
			remedies++
			if !strings.Contains(text, squeeze(piece)) {
				t.Errorf("%s: docs/troubleshooting.md does not have the remedy %q", p.at, piece)
			}
		}
	}
	if whats < 30 || remedies < 30 {
		t.Errorf("only %d problems and %d remedies were found: does the code make them in another way?", whats, remedies)
	}
}

// problem is what the code says of one: the constant parts of two of its fields.
type problem struct {
	at           string
	what, remedy []string
}

// readProblems finds the composite literals event.Problem of the tree, calls of a method problem, and what is said in them. Constants of
// remedies are followed within their package, variables within their file.
func readProblems(t *testing.T) (all []problem) {
	t.Helper()
	folders := map[string][]*ast.File{}
	files := token.NewFileSet()
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (d.Name() == "testdata" || path == root+"/e2e"):
			return filepath.SkipDir
		case !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go"):
			return nil
		}
		f, err := parser.ParseFile(files, path, nil, parser.SkipObjectResolution)
		folders[filepath.Dir(path)] = append(folders[filepath.Dir(path)], f)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, parsed := range folders {
		shared := namedValues(parsed...)
		for _, f := range parsed {
			values := namedValues(f)
			for name, v := range shared {
				if isRemedy(name) {
					values[name] = v
				}
			}
			ast.Inspect(f, func(n ast.Node) bool {
				if p := readProblem(n, values); len(p.what)+len(p.remedy) > 0 {
					p.at = files.Position(n.Pos()).String()
					all = append(all, p)
				}
				return true
			})
		}
	}
	return all
}

// isRemedy says whether a name is that of a remedy that is shared in a package.
func isRemedy(name string) bool {
	return strings.HasPrefix(name, "remedy") && name != "remedy" || strings.HasSuffix(name, "Remedy")
}

// readProblem reads a literal with the field What, one with the field remedy, or a call of problem(what, ...).
func readProblem(n ast.Node, values map[string][]ast.Expr) (p problem) {
	if call, ok := n.(*ast.CallExpr); ok {
		if to, ok := call.Fun.(*ast.SelectorExpr); ok && to.Sel.Name == "problem" && len(call.Args) == 2 {
			p.what = pieces(call.Args[0], values, 3)
		}
		return p
	}
	lit, ok := n.(*ast.CompositeLit)
	if !ok {
		return p
	}
	for _, e := range lit.Elts {
		kv, ok := e.(*ast.KeyValueExpr)
		if !ok {
			continue
		}
		switch key, _ := kv.Key.(*ast.Ident); {
		case key == nil:
		case key.Name == "What":
			p.what = pieces(kv.Value, values, 3)
		case key.Name == "Remedy", key.Name == "remedy":
			p.remedy = pieces(kv.Value, values, 3)
		}
	}
	return p
}

// namedValues returns what is given to the constants and variables of these files, by name.
func namedValues(parsed ...*ast.File) map[string][]ast.Expr {
	values := map[string][]ast.Expr{}
	for _, f := range parsed {
		ast.Inspect(f, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.ValueSpec:
				for i, name := range n.Names {
					if i < len(n.Values) {
						values[name.Name] = append(values[name.Name], n.Values[i])
					}
				}
			case *ast.AssignStmt:
				for i, to := range n.Lhs {
					if id, ok := to.(*ast.Ident); ok && len(n.Lhs) == len(n.Rhs) {
						values[id.Name] = append(values[id.Name], n.Rhs[i])
					}
				}
			}
			return true
		})
	}
	return values
}

// verb is a place of fmt.
var verb = regexp.MustCompile(`%[-+]?[a-z]`)

// pieces returns the constant parts of an expression that are long enough to be found again. Names are followed so many times.
func pieces(e ast.Expr, values map[string][]ast.Expr, deep int) (all []string) {
	if deep == 0 {
		return nil
	}
	ast.Inspect(e, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.SelectorExpr:
			return false
		case *ast.Ident:
			if n.Name == "remedy" || n.Name == "what" || isRemedy(n.Name) {
				for _, v := range values[n.Name] {
					all = append(all, pieces(v, values, deep-1)...)
				}
			}
		case *ast.BasicLit:
			if text, err := strconv.Unquote(n.Value); err == nil && n.Kind == token.STRING {
				for _, piece := range verb.Split(text, -1) {
					if piece = strings.Trim(piece, " :;,\"[]@"); len(piece) > 3 {
						all = append(all, piece)
					}
				}
			}
		}
		return true
	})
	return all
}

// squeeze makes one blank of each run of white space.
func squeeze(s string) string { return strings.Join(strings.Fields(s), " ") }
