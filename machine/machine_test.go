package machine

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// ending notes how a test was ended.
type ending struct {
	testing.TB
	skipped, failed bool
}

func (e *ending) Helper()      {}
func (e *ending) Log(...any)   {}
func (e *ending) Skip(...any)  { e.skipped = true }
func (e *ending) Fatal(...any) { e.failed = true; runtime.Goexit() }

// What a machine lacks skips a test of a person, lets one that can do a part go on, and fails both in CI.
func TestLacks(t *testing.T) {
	for ci, fails := range map[string]bool{"true": true, "": false, "false": false} {
		t.Setenv("CI", ci)
		for name, lacks := range map[string]func(testing.TB, ...any){"Lacks": Lacks, "Partly": Partly} {
			var e ending
			done := make(chan struct{})
			go func() {
				defer close(done)
				lacks(&e, "root")
			}()
			<-done
			if e.failed != fails || e.skipped != (!fails && name == "Lacks") {
				t.Errorf("CI=%s: %s failed %v, skipped %v", ci, name, e.failed, e.skipped)
			}
		}
	}
}

// No test skips itself but by Lacks, or because it is long. (e2e/attack has a runner of its own, which .ci/run calls.)
func TestNoOtherSkips(t *testing.T) {
	files := 0
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (path == "../e2e/attack" || strings.HasPrefix(d.Name(), ".") && path != ".."):
			return fs.SkipDir
		case d.IsDir() || !strings.HasSuffix(path, "_test.go"):
			return nil
		}
		files++
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
		if err != nil {
			return err
		}
		for _, name := range skips(file) {
			t.Errorf("%s: %s: write machine.Lacks, or ask testing.Short()", path, name)
		}
		return nil
	})
	if err != nil || files < 100 {
		t.Errorf("%d files were read: %v", files, err)
	}
}

// skips returns the calls in a file that skip a test, but for those in the body of an if that asks testing.Short().
func skips(file *ast.File) []string {
	var all []string
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.IfStmt:
			return !asksShort(n.Cond)
		case *ast.CallExpr:
			if f, is := n.Fun.(*ast.SelectorExpr); is && (f.Sel.Name == "Skip" || f.Sel.Name == "Skipf" || f.Sel.Name == "SkipNow") {
				all = append(all, f.Sel.Name)
			}
		}
		return true
	})
	return all
}

func asksShort(cond ast.Expr) bool {
	found := false
	ast.Inspect(cond, func(n ast.Node) bool {
		if f, is := n.(*ast.SelectorExpr); is && f.Sel.Name == "Short" {
			found = true
		}
		return true
	})
	return found
}

// What TestNoOtherSkips looks for, it finds.
func TestSkips(t *testing.T) {
	const text = `package x
func TestA(t *testing.T) { if true { t.Skip("root") }; if testing.Short() { t.Skip("long") }; t.Skipf("x"); b.SkipNow(); machine.Lacks(t, "root") }
`
	file, err := parser.ParseFile(token.NewFileSet(), "x_test.go", text, 0)
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(skips(file), " "); got != "Skip Skipf SkipNow" {
		t.Errorf("found %s", got)
	}
}
