package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestCorpora shows that every corpus comes out in every form, with the same bytes twice, no field left unfilled, and the
// share of attacks that the comment in main.go promises.
func TestCorpora(t *testing.T) {
	const lines = 4_000
	share := map[string][2]float64{"auth": {0.54, 0.61}, "flood": {0.54, 0.61}, "kern": {0.77, 0.83}, "mixed": {0.09, 0.14}} // log-ins and accepts too
	for kind, next := range kinds {
		for name, write := range formats {
			var texts [2][]byte
			var classes map[string]int
			for i := range texts {
				path := filepath.Join(t.TempDir(), "corpus")
				var err error
				if classes, err = generate(path, lines, 1, newSource(1), next, write); err != nil {
					t.Fatal(err)
				}
				if texts[i], err = os.ReadFile(path); err != nil {
					t.Fatal(err)
				}
			}
			if !bytes.Equal(texts[0], texts[1]) {
				t.Errorf("%s as %s: the same seed gave other bytes", kind, name)
			}
			for _, field := range []string{"{attacker", "{port", "{below", "{hex", "{uptime", "%!"} {
				if bytes.Contains(texts[0], []byte(field)) {
					t.Errorf("%s as %s: %q was not filled", kind, name, field)
				}
			}
			if n := bytes.Count(texts[0], []byte("\n")); name != "export" && n != lines {
				t.Errorf("%s as %s: %d lines, want %d", kind, name, n, lines)
			}
			total := 0
			for _, n := range classes {
				total += n
			}
			if got := float64(total) / lines; got < share[kind][0] || got > share[kind][1] {
				t.Errorf("%s: %.3f of the lines have a class, want %v", kind, got, share[kind])
			}
		}
	}
}

// TestFillKeepsOtherBraces: a log line may hold braces of its own.
func TestFillKeepsOtherBraces(t *testing.T) {
	got := newSource(1).fill(`{"a":{below:1}} || { x } {`)
	if got != `{"a":0} || { x } {` {
		t.Error(got)
	}
	if strings.Contains(newSource(1).fill("{mac}"), "{") {
		t.Error("mac was not filled")
	}
}

// TestMonth: lines spread over days end where those of one day do, and public attackers are as many.
func TestMonth(t *testing.T) {
	path := filepath.Join(t.TempDir(), "corpus")
	s := newSource(1)
	s.publish()
	if _, err := generate(path, 3000, 30, s, kinds["mixed"], formats["plain"]); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	if !strings.HasPrefix(lines[0], "Oct 23 00:14:24 ") || !strings.HasPrefix(lines[2999], "Nov 22 00:00:00 ") {
		t.Errorf("from %s to %s", lines[0], lines[2999])
	}
	seen := map[string]bool{}
	for _, a := range s.addresses {
		seen[a] = true
		if !strings.HasPrefix(a, "45.") && !strings.HasPrefix(a, "2a0e:db8:") {
			t.Fatalf("%s is not public", a)
		}
	}
	if len(seen) != attackers {
		t.Errorf("%d attackers, want %d", len(seen), attackers)
	}
}
