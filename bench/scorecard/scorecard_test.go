package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const page = "# Reliability\n\n" + tableBegin + "\n" + tableEnd + "\n\nMore.\n"

// What a run printed comes into the table, by test, and what it did not measure stays.
func TestWrite(t *testing.T) {
	dir := t.TempDir()
	put := func(name, text string) string {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	doc := put("page.md", page)
	put("parts", "unit\t0\t12\t-\tgo test {package} -run '^{test}$'\ne2e\t1\t60\te2e/run (trixie)\tSUITE=trixie make e2e\n")
	put("unit.json", `{"Action":"output","Package":"tattled/store/bolt","Test":"TestCut/seed_1","Output":"    x_test.go:1: figure: row 2: 10 cuts | 0 lost\n"}
{"Action":"output","Package":"tattled/store/bolt","Test":"TestCut","Output":"=== RUN   TestCut\n"}
{"Action":"output","Package":"tattled/cmd/tattled","Test":"TestWeb","Output":"        figure: framing: 3 framed\n"}
{"Action":"fail","Package":"tattled/cmd/tattled","Test":"TestWeb"}
not json
`)
	put("e2e.log", "   1.0 s  installed\nfigure: row 23: installed in 1.2 s\nfigure: row 24: 1.1\n")
	first := time.Date(2026, 11, 20, 1, 0, 0, 0, time.UTC)
	if err := write(dir, doc, false, first); err != nil {
		t.Fatal(err)
	}
	put("e2e.log", "figure: row 23: installed in 1.4 s\n")
	put("unit.json", "")
	second := first.AddDate(0, 0, 1)
	if err := write(dir, doc, false, second); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(doc)
	if err != nil {
		t.Fatal(err)
	}
	got, err := parseTable(string(text))
	if err != nil {
		t.Fatal(err)
	}
	want := []figure{
		{"2", "store/bolt TestCut", "10 cuts | 0 lost", "2026-11-20", "go test ./store/bolt -run '^TestCut$'"},
		{"23", "e2e/run (trixie)", "installed in 1.4 s", "2026-11-21", "SUITE=trixie make e2e"},
		{"24", "e2e/run (trixie)", "1.1", "2026-11-20", "SUITE=trixie make e2e"},
		{"framing", "cmd/tattled TestWeb", "FAILED: 3 framed", "2026-11-20", "go test ./cmd/tattled -run '^TestWeb$'"},
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(figure{})); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if !strings.HasPrefix(string(text), "# Reliability\n") || !strings.HasSuffix(string(text), "\nMore.\n") {
		t.Errorf("what people wrote was touched:\n%s", text)
	}
	if err := write(dir, doc, true, second); err == nil || !strings.Contains(err.Error(), "row [1 2 3") || strings.Contains(err.Error(), " 7 ") || strings.Contains(err.Error(), "23") {
		t.Errorf("a run without most figures says %v", err)
	}
	// None of the four tests is there, one failed, and all rows are without a figure but 2, 23, 24, and 7, which waits.
	if faults := faultsOf(string(text), dir); len(faults) != 4+1+len(promises)-4 {
		t.Errorf("the check of this page finds %d faults:\n%s", len(faults), strings.Join(faults, "\n"))
	}
	if faults := faultsOf(strings.ReplaceAll(string(text), "\n| 7 |", "\n| 77 |"), dir); !slices.Contains(faults, "row 7 is missing") {
		t.Errorf("the check of a page without row 7 finds %q", faults)
	}
}

// faultsOf says what is wrong with the table of a page: a row is missing or was never measured, a test is not there.
func faultsOf(page, tree string) []string {
	figures, err := parseTable(page)
	if err != nil {
		return []string{err.Error()}
	}
	rows, err := rowsOf(page)
	if err != nil {
		return []string{err.Error()}
	}
	var faults []string
	for _, p := range promises {
		if !slices.Contains(rows, fmt.Sprint(p.row)) {
			faults = append(faults, fmt.Sprintf("row %d is missing", p.row))
		}
	}
	for _, row := range unmeasured(figures) {
		faults = append(faults, fmt.Sprintf("row %d was never measured: make nightly", row))
	}
	for _, f := range figures {
		if strings.HasPrefix(f.text, failedMark) {
			faults = append(faults, fmt.Sprintf("row %s: %s failed when it was measured", f.row, f.test))
		}
		if !exists(f.test, tree) {
			faults = append(faults, fmt.Sprintf("row %s: there is no %s", f.row, f.test))
		}
	}
	return faults
}

// exists reports whether a test is there: "folder TestName", or a script's path and what comes in brackets after it.
func exists(test, tree string) bool {
	folder, name, _ := strings.Cut(test, " ")
	if !strings.HasPrefix(name, "Test") {
		info, err := os.Stat(filepath.Join(tree, folder))
		return err == nil && info.Mode().IsRegular()
	}
	files, _ := filepath.Glob(filepath.Join(tree, folder, "*_test.go"))
	declaration := regexp.MustCompile(`(?m)^func ` + regexp.QuoteMeta(name) + `\(t \*testing\.T\)`)
	return slices.ContainsFunc(files, func(file string) bool {
		text, err := os.ReadFile(file)
		return err == nil && declaration.Match(text)
	})
}

// docs/reliability.md has every row, each with a figure that a test measured, and those tests are there.
func TestReliabilityPage(t *testing.T) {
	const tree = "../.."
	text, err := os.ReadFile(filepath.Join(tree, "docs", "reliability.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, fault := range faultsOf(string(text), tree) {
		t.Error("docs/reliability.md: " + fault)
	}
}

// What fails is shown with its output, what passes is not.
func TestWatch(t *testing.T) {
	var out strings.Builder
	err := watch(strings.NewReader(`{"Action":"output","Package":"tattled/a","Test":"TestGood","Output":"chatter\n"}
{"Action":"output","Package":"tattled/a","Test":"TestGood","Output":"    a_test.go:1: figure: row 3: 1 s\n"}
{"Action":"pass","Package":"tattled/a","Test":"TestGood","Elapsed":1}
{"Action":"output","Package":"tattled/a","Test":"TestBad","Output":"the reason\n"}
{"Action":"fail","Package":"tattled/a","Test":"TestBad","Elapsed":2}
{"Action":"fail","Package":"tattled/a","Elapsed":3}
{"Action":"pass","Package":"tattled/b","Elapsed":4}
# tattled/c
`), &out)
	want := "        figure: row 3: 1 s\n  FAIL  tattled/a TestBad, 2.0 s\n        the reason\n  FAIL  tattled/a , 3.0 s\n  pass  tattled/b, 4.0 s\n# tattled/c\n"
	if err != nil || out.String() != want {
		t.Errorf("%v, got:\n%s", err, out.String())
	}
}

// rowsOf lists the rows that a page's table has, in order, each once.
func rowsOf(page string) ([]string, error) {
	_, table, _, err := between(page)
	var rows []string
	for line := range strings.Lines(strings.TrimPrefix(table, tableHead)) {
		rows = append(rows, cellsOf(line)[0])
	}
	return slices.Compact(rows), err
}
