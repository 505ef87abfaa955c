package main

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// The table stands between these lines, and everything else on the page is written by people.
const (
	tableBegin = "<!-- figures: what is from here to the end mark is written by `make nightly` -->"
	tableEnd   = "<!-- figures: end -->"
)

const tableHead = `| row | promise | to reach | test | last figure | measured | command |
|---|---|---|---|---|---|---|
`

// none stands in a cell that has nothing to say.
const none = "–"

// render writes the table: each row of the scorecard, a line for each of its tests, then what stands beside it.
func render(figures []figure) string {
	var b strings.Builder
	b.WriteString(tableHead)
	line := func(cells ...string) {
		for i, c := range cells {
			cells[i] = strings.ReplaceAll(c, "|", `\|`)
		}
		fmt.Fprintf(&b, "| %s |\n", strings.Join(cells, " | "))
	}
	for _, p := range promises {
		row := strconv.Itoa(p.row)
		what, some := p.promise+": "+p.fault, false
		for _, f := range figures {
			if f.row == row {
				line(row, what, p.goal, f.test, f.text, f.date, "`"+f.command+"`")
				some = true
			}
		}
		switch {
		case some:
		case p.waits != "":
			line(row, what, p.goal, none, "waits: "+p.waits, none, none)
		default:
			line(row, what, p.goal, none, "not measured yet", none, none)
		}
	}
	for _, f := range figures {
		if _, err := strconv.Atoi(f.row); err != nil {
			line(f.row, none, none, f.test, f.text, f.date, "`"+f.command+"`")
		}
	}
	return b.String()
}

// between finds the table in a page.
func between(page string) (before, table, after string, err error) {
	before, rest, found := strings.Cut(page, tableBegin+"\n")
	table, after, foundEnd := strings.Cut(rest, tableEnd)
	if !found || !foundEnd {
		return "", "", "", fmt.Errorf("no table: the page needs the lines %q and %q", tableBegin, tableEnd)
	}
	return before, table, after, nil
}

func replaceTable(page, table string) (string, error) {
	before, _, after, err := between(page)
	return before + tableBegin + "\n" + table + tableEnd + after, err
}

// parseTable reads the figures out of a page that render wrote.
func parseTable(page string) ([]figure, error) {
	_, table, _, err := between(page)
	if err != nil {
		return nil, err
	}
	if table == "" {
		return nil, nil
	}
	body, found := strings.CutPrefix(table, tableHead)
	if !found {
		return nil, errors.New("the table has another head than scorecard writes")
	}
	var all []figure
	for line := range strings.Lines(body) {
		cells := cellsOf(line)
		if len(cells) != 7 {
			return nil, fmt.Errorf("%d cells, want 7: %s", len(cells), line)
		}
		if cells[3] != none {
			all = append(all, figure{row: cells[0], test: cells[3], text: cells[4], date: cells[5], command: strings.Trim(cells[6], "`")})
		}
	}
	return all, nil
}

// cellsOf splits a line of the table.
func cellsOf(line string) []string {
	const bar = "\x00"
	line = strings.ReplaceAll(strings.Trim(line, "| \n"), `\|`, bar)
	cells := strings.Split(line, " | ")
	for i, c := range cells {
		cells[i] = strings.TrimSpace(strings.ReplaceAll(c, bar, "|"))
	}
	return cells
}
