package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"
)

// framedFinding is what a case of testdata/framed.jsonl says of a finding. Absent fields are not compared.
type framedFinding struct {
	LineNo    int64  `json:"line_no"`
	IP        string `json:"ip"`
	Kind      string `json:"kind"`
	Handshake *bool  `json:"handshake"`
	Strength  string `json:"strength"` // "weak", or absent
}

func (w framedFinding) fits(f *found) bool {
	return f.LineNo == w.LineNo && f.IP == w.IP && f.Kind == w.Kind && (w.Handshake == nil || f.Handshake == *w.Handshake) && (w.Strength == "" || f.Weak == (w.Strength == "weak"))
}

// TestFramed has one line or log of each way in which somebody had another one blamed, or himself not counted, or honest people
// counted: 203.0.113.5 is the peer, 198.51.100.66 whom he named. All that is expected is found, and nothing else but what is right
// as well.
func TestFramed(t *testing.T) {
	f, err := os.Open("testdata/framed.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	cases := bufio.NewScanner(f)
	cases.Buffer(nil, 1<<20)
	n := 0
	for ; cases.Scan(); n++ {
		var c struct {
			Way, Program, Input string
			Expect              []framedFinding
			AlsoRight           []framedFinding `json:"also_right"`
		}
		d := json.NewDecoder(bytes.NewReader(cases.Bytes()))
		d.DisallowUnknownFields()
		if err := d.Decode(&c); err != nil {
			t.Fatal(err)
		}
		args := []string{"match", "--json", "-"}
		if c.Program != "" {
			args = append(args, "--program", c.Program)
		}
		_, out, _ := invoke(t, c.Input, args...)
		var all []*found
		for line := range strings.Lines(out) {
			one := &found{}
			if err := json.Unmarshal([]byte(line), one); err != nil {
				t.Fatal(err)
			}
			all = append(all, one)
		}
		for _, want := range c.Expect {
			if !slices.ContainsFunc(all, want.fits) {
				t.Errorf("%s: no %+v in\n%s", c.Way, want, out)
			}
		}
		for _, got := range all {
			if !slices.ContainsFunc(slices.Concat(c.Expect, c.AlsoRight), func(w framedFinding) bool { return w.fits(got) }) {
				t.Errorf("%s: found %+v", c.Way, got)
			}
		}
	}
	if err := cases.Err(); err != nil || n < 41 {
		t.Errorf("%d cases, %v", n, err)
	}
}
