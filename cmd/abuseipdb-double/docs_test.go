package main

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"tattled/machine"
	"tattled/report/abuseipdb/double"
)

var update = flag.Bool("update", false, "write the table into docs/abuseipdb.md")

const page = "../../docs/abuseipdb.md"

// blocks returns the fenced blocks of the page in a language, in order.
func blocks(t *testing.T, language string) []string {
	t.Helper()
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, found := range regexp.MustCompile("(?ms)^```"+language+"\n(.*?)^```$").FindAllSubmatch(text, -1) {
		all = append(all, string(found[1]))
	}
	return all
}

// Every command of the page prints what the page says, against a double that was started as the page says. "..." stands for anything.
func TestCommandsOfThePage(t *testing.T) {
	if _, err := exec.LookPath("curl"); err != nil {
		machine.Lacks(t, "curl")
	}
	starts := blocks(t, "sh")
	if len(starts) != 1 || !strings.HasPrefix(starts[0], "abuseipdb-double --listen 127.0.0.1:8089 ") {
		t.Fatalf("%q", starts)
	}
	p := launch(t, strings.Fields(starts[0])[3:]...)
	here := strings.TrimSuffix(p.base, "/api/v2/")
	dir, commands := t.TempDir(), 0
	for _, block := range blocks(t, "console") {
		for part := range strings.SplitSeq("\n"+block, "\n$ ") {
			if part == "" {
				continue
			}
			commands++
			command, want, _ := strings.Cut(part, "\n")
			cmd := exec.CommandContext(t.Context(), "bash", "-euc", strings.ReplaceAll(command, "http://127.0.0.1:8089", here))
			cmd.Dir = dir
			got, err := cmd.CombinedOutput()
			pattern := strings.ReplaceAll(regexp.QuoteMeta(strings.TrimSpace(want)), `\.\.\.`, ".*")
			if err != nil || !regexp.MustCompile("^"+pattern+"$").MatchString(strings.TrimSpace(string(got))) {
				t.Errorf("%s\n%v, printed\n%s\nwant\n%s", command, err, got, want)
			}
		}
	}
	if commands < 15 {
		t.Errorf("only %d commands were found", commands)
	}
}

// The page's table is the double's.
func TestBehavioursAreDocumented(t *testing.T) {
	const mark = "<!-- The table is written by: go test ./cmd/abuseipdb-double -run Documented -update -->\n"
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	head, _, found := strings.Cut(string(text), mark)
	if !found {
		t.Fatalf("%s has no line %q", page, mark)
	}
	var table strings.Builder
	table.WriteString("| mark | name | what it does |\n| --- | --- | --- |\n")
	for _, b := range double.Behaviours() {
		fmt.Fprintf(&table, "| %s | `%s` | %s |\n", b.Mark, b.Name, b.What)
	}
	want := head + mark + table.String()
	if *update {
		if err := os.WriteFile(page, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if string(text) != want {
		t.Errorf("%s has another table: run the command that is written there", page)
	}
}
