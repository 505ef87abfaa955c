package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
)

// fieldCase is one line of testdata/field.jsonl: what people's machines write around the messages that rules know. What is read of Lines
// is Want, an address for each line in order that is found, and nothing else.
type fieldCase struct {
	About   string   `json:"about"`
	Program string   `json:"program"`
	Lines   string   `json:"lines"`
	Want    []string `json:"want"`
	// Proven says that the addresses are proven.
	Proven bool `json:"proven"`
}

func fieldCases(t *testing.T) []fieldCase {
	t.Helper()
	file, err := os.Open(filepath.Join("testdata", "field.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	var all []fieldCase
	for lines := bufio.NewScanner(file); lines.Scan(); {
		if len(lines.Bytes()) == 0 {
			continue
		}
		var c fieldCase
		decoder := json.NewDecoder(bytes.NewReader(lines.Bytes()))
		decoder.DisallowUnknownFields()
		if err := decoder.Decode(&c); err != nil {
			t.Fatalf("%s: %v", lines.Text(), err)
		}
		all = append(all, c)
	}
	return all
}

func TestFieldCases(t *testing.T) {
	for _, c := range fieldCases(t) {
		args := []string{"match", "--json", "--timezone", "UTC", "-"}
		if c.Program != "" {
			args = append(args, "--program", c.Program)
		}
		code, out, errOut := invoke(t, c.Lines, args...)
		if code != exitOK {
			t.Errorf("%s: exit %d, %s", c.About, code, errOut)
		}
		var got []string
		for found := range bytes.Lines([]byte(out)) {
			var one struct {
				IP        string
				Handshake bool
			}
			if err := json.Unmarshal(found, &one); err != nil {
				t.Fatal(err)
			}
			if got = append(got, one.IP); c.Proven && !one.Handshake {
				t.Errorf("%s: %s is not proven", c.About, one.IP)
			}
		}
		if len(got) != len(c.Want) || len(got) > 0 && !equalStrings(got, c.Want) {
			t.Errorf("%s: found %q, want %q in\n%s", c.About, got, c.Want, c.Lines)
		}
	}
}

func equalStrings(a, b []string) bool {
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}
