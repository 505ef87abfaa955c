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
				if classes, err = generate(path, lines, newSource(1), next, write); err != nil {
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
