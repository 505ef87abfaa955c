package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
)

// figure is what a test measured of a row.
type figure struct {
	row     string // "12", or the name of something beside the rows
	test    string // "store/bolt TestPowerCut", or a script, with what sets one run of it apart from another in brackets
	text    string
	date    string
	command string
}

// failedMark is before a figure whose test failed: it is shown, and the check of the page does not accept it.
const failedMark = "FAILED: "

var figureLine = regexp.MustCompile(`figure: (?:row (\d+)|([a-z][a-z-]*)): (.*\S)`)

// figureOf finds a figure in a line of output.
func figureOf(line string) (row, text string, ok bool) {
	m := figureLine.FindStringSubmatch(line)
	if m == nil {
		return "", "", false
	}
	return m[1] + m[2], m[3], true
}

// testEvent is a line of `go test -json`.
type testEvent struct {
	Action, Package, Test, Output string
	Elapsed                       float64
}

// events calls f with each event that r has. Lines that are none, as of a build that failed, come as output of no test.
func events(r io.Reader, f func(testEvent)) error {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var e testEvent
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			e = testEvent{Action: "output", Output: lines.Text() + "\n"}
		}
		f(e)
	}
	return lines.Err()
}

// collect reads the figures of the run in dir.
func collect(dir string, now time.Time) ([]figure, error) {
	parts, err := os.ReadFile(filepath.Join(dir, "parts"))
	if err != nil {
		return nil, fmt.Errorf("the list of the run's parts: %w", err)
	}
	var all []figure
	for line := range strings.Lines(string(parts)) {
		fields := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		if len(fields) != 5 {
			return nil, fmt.Errorf("%s/parts: %q has %d fields, want 5: part, status, seconds, test, command", dir, line, len(fields))
		}
		got, err := collectPart(dir, fields[0], figure{test: fields[3], command: fields[4], date: now.Format(time.DateOnly)})
		if err != nil {
			return nil, err
		}
		all = append(all, got...)
	}
	return all, nil
}

// collectPart reads the figures of one part; of a script's, model has all but row and text.
func collectPart(dir, part string, model figure) ([]figure, error) {
	var all []figure
	add := func(f figure) {
		if !slices.Contains(all, f) {
			all = append(all, f)
		}
	}
	f, err := os.Open(filepath.Join(dir, part+".json"))
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return nil, err
	default:
		defer f.Close()
		bad := map[string]bool{}
		err := events(f, func(e testEvent) {
			folder, test := strings.TrimPrefix(e.Package, "tattled/"), top(e.Test)
			if e.Action == "fail" {
				bad[folder+" "+test] = true
			}
			row, text, ok := figureOf(e.Output)
			if !ok || e.Test == "" {
				return
			}
			add(figure{row: row, text: text, date: model.date, test: folder + " " + test,
				command: strings.NewReplacer("{package}", "./"+folder, "{test}", test).Replace(model.command)})
		})
		for i, f := range all {
			if bad[f.test] {
				all[i].text = failedMark + f.text
			}
		}
		return all, err
	}
	text, err := os.ReadFile(filepath.Join(dir, part+".log"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil // it was not begun
	}
	for line := range strings.Lines(string(text)) {
		if row, text, ok := figureOf(line); ok {
			f := model
			f.row, f.text = row, text
			add(f)
		}
	}
	return all, err
}

// top is the test that a subtest belongs to.
func top(test string) string {
	name, _, _ := strings.Cut(test, "/")
	return name
}

// merge puts what was measured in place of what the same tests measured before.
func merge(old, measured []figure) []figure {
	kept := slices.DeleteFunc(slices.Clone(old), func(o figure) bool {
		return slices.ContainsFunc(measured, func(m figure) bool { return m.row == o.row && m.test == o.test })
	})
	return append(kept, measured...)
}

// unmeasured returns the rows that have to have a figure and have none.
func unmeasured(figures []figure) []int {
	var rows []int
	for _, p := range promises {
		if p.waits == "" && !slices.ContainsFunc(figures, func(f figure) bool { return f.row == fmt.Sprint(p.row) }) {
			rows = append(rows, p.row)
		}
	}
	return rows
}
