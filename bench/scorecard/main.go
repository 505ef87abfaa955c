// Command scorecard turns what tests print into the table of docs/reliability.md, so that no figure there was typed by hand.
//
//	scorecard watch  <go-test.json                  what `go test -json` says, human-readable: progress, figures, failures
//	scorecard write -run DIR [-doc FILE] [-whole]       the figures of a run into the table
//
// A figure is a line "figure: row N: ..." (a row of the scorecard, rows.go) or "figure: NAME: ..." (what is beside it),
// in the output of a Go test (t.Log) or of a script. DIR has a file PART.json (go test -json) or PART.log (plain text) for
// each part, and the file parts, which names them: PART, status, seconds, test, command, one line each, separated by
// tabs. In the command of a Go part, {package} and {test} stand for those of the figure. What the run did not measure keeps
// its last figure, with its date. -whole fails if a row that has to have a figure got none from this run.
package main

import (
	"flag"
	"fmt"
	"os"
	"time"
)

func main() {
	if len(os.Args) < 2 {
		usage()
	}
	flags := flag.NewFlagSet(os.Args[1], flag.ExitOnError)
	run := flags.String("run", "", "folder of the run")
	doc := flags.String("doc", "docs/reliability.md", "the page to write the table into")
	whole := flags.Bool("whole", false, "fail unless each row got a figure")
	if err := flags.Parse(os.Args[2:]); err != nil {
		usage()
	}
	var err error
	switch os.Args[1] {
	case "watch":
		err = watch(os.Stdin, os.Stdout)
	case "write":
		err = write(*run, *doc, *whole, time.Now())
	default:
		usage()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "scorecard:", err)
		os.Exit(1)
	}
}

func usage() {
	fmt.Fprintln(os.Stderr, "usage: scorecard watch | scorecard write -run DIR [-doc FILE] [-whole]")
	os.Exit(2)
}

// write puts the figures of the run in dir into the page.
func write(dir, doc string, whole bool, now time.Time) error {
	text, err := os.ReadFile(doc)
	if err != nil {
		return err
	}
	old, err := parseTable(string(text))
	if err != nil {
		return fmt.Errorf("%s: %w", doc, err)
	}
	measured, err := collect(dir, now)
	if err != nil {
		return err
	}
	page, err := replaceTable(string(text), render(merge(old, measured)))
	if err != nil {
		return fmt.Errorf("%s: %w", doc, err)
	}
	if err := os.WriteFile(doc, []byte(page), 0o644); err != nil {
		return err
	}
	fmt.Printf("%d figures written to %s\n", len(measured), doc)
	if without := unmeasured(measured); whole && len(without) > 0 {
		return fmt.Errorf("this run has no figure of row %v: their tests did not run to their end, or print no \"figure: row N:\"", without)
	}
	return nil
}
