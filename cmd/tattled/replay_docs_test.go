package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// docsBlock is a command of a page, and what the page says that it writes.
type docsBlock struct{ command, output string }

// blocksOf returns the blocks of a page that begin with "    $ ": the lines with four spaces before them, and blank ones between.
func blocksOf(page string) []docsBlock {
	var all []docsBlock
	open := false
	for line := range strings.Lines(page) {
		text, indented := strings.CutPrefix(line, "    ")
		switch {
		case indented && strings.HasPrefix(text, "$ "):
			all, open = append(all, docsBlock{command: strings.TrimSpace(text[2:])}), true
		case open && (indented || line == "\n"):
			all[len(all)-1].output += strings.TrimPrefix(line, "    ")
		default:
			open = false
		}
	}
	return all
}

// TestReplayDocs runs every command of docs/replay.md in a shell, where the logs of testdata/replay are. A line with three dots
// stands for any lines.
func TestReplayDocs(t *testing.T) {
	page, err := os.ReadFile("../../docs/replay.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := blocksOf(string(page))
	if len(blocks) < 5 {
		t.Fatalf("%d blocks", len(blocks))
	}
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS("testdata/replay")); err != nil {
		t.Fatal(err)
	}
	written := time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC)
	for _, name := range []string{"auth.log", "auth.log.1", "auth.log.2.gz"} {
		if err := os.Chtimes(filepath.Join(dir, name), written, written); err != nil {
			t.Fatal(err)
		}
	}
	write(t, dir, "run", "#!/bin/sh\nexec "+os.Args[0]+` "$@"`+"\n")
	for _, b := range blocks {
		cmd := exec.CommandContext(t.Context(), "bash", "-c", "tattled() { sh ./run \"$@\"; }\n"+b.command)
		cmd.Dir, cmd.Env = dir, append(os.Environ(), childMark+"=1", "TZ=UTC", "LC_ALL=C.UTF-8")
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Errorf("%s: %v\n%s", b.command, err, out)
		}
		if !sameText(strings.TrimSpace(string(out)), strings.TrimSpace(b.output)) {
			t.Errorf("%s writes\n%s\nand not what the page says:\n%s", b.command, out, b.output)
		}
	}
}

// sameText compares a text with one in which lines of three dots stand for any lines.
func sameText(got, want string) bool {
	parts := strings.Split("\n"+want+"\n", "\n...\n")
	got = "\n" + got + "\n"
	for i, part := range parts {
		if i > 0 {
			part = "\n" + strings.TrimPrefix(part, "\n")
		}
		at := strings.Index(got, strings.TrimSuffix(part, "\n"))
		if at < 0 || i == 0 && at > 0 {
			return false
		}
		got = got[at+len(strings.TrimSuffix(part, "\n")):]
	}
	return len(parts) > 1 || strings.TrimSpace(got) == ""
}
