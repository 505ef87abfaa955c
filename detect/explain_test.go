package detect

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// TestNearest says where a message and the pattern that is nearest to it part.
func TestNearest(t *testing.T) {
	r := load(t, Options{})
	x := NewExplainer(r)
	for _, c := range []struct{ program, message, rest, expected string }{
		{"sshd", "Failed password for root from 203.0.113.5 port 40022 ssh3", "3", `"2"`},
		{"sshd", "Failed password for root from 203.0.113.5 port 99999 ssh2", "99999 ssh2", "<port>"},
		{"sshd", "Failed password for root from 203.0.113.5 port 40022 ssh2 yes", " yes", ""},
		{"sshd", "error: Failed password for root from 203.0.113.5 port 40022", "", `" ssh2"`},
		{"sshd", "Failed password for root", "", `" from "`},
		{"sshd", "Received disconnect from 203.0.113.5 port 58846:11: Bye", "", `" [preauth]"`},
		{"sshd", "Invalid user x from 203.0.113.5 prt 5", "rt 5", `"ort "`},
	} {
		e := x.Explain([]byte(c.program), []byte(c.message))
		if e.Nearest == nil || string(e.Message[e.Nearest.At:]) != c.rest || e.Nearest.Expected != c.expected {
			t.Errorf("%q: %+v", c.message, e.Nearest)
		}
	}
	if e := x.Explain([]byte("sshd"), []byte("Zebra")); e.Nearest != nil {
		t.Errorf("nothing is near to a zebra, but %+v", e.Nearest)
	}
}

// TestExplainNames says what is told of a program that no service knows.
func TestExplainNames(t *testing.T) {
	x := NewExplainer(load(t, Options{}))
	line := []byte("Invalid user x from 203.0.113.5 port 5")
	for program, near := range map[string]string{"ssdh": "sshd", "SSHD": "sshd", "sshd2": "sshd", "kernl": "kernel", "anacron": "", "": ""} {
		e := x.Explain([]byte(program), line)
		if near != "" && !slices.Contains(e.Similar, near) || near == "" && len(e.Similar) > 0 {
			t.Errorf("%q is like %v, not %q", program, e.Similar, near)
		}
		if !slices.ContainsFunc(e.Elsewhere, func(o Elsewhere) bool { return o.Program == "sshd" && o.Verdict == Matched }) {
			t.Errorf("%q: elsewhere %v", program, e.Elsewhere)
		}
	}
}

// TestExplainPackets says what is told of packets that no rule counts.
func TestExplainPackets(t *testing.T) {
	x := NewExplainer(load(t, Options{Disable: []string{"netfilter/accept"}}))
	const rest = "MAC= SRC=198.51.100.9 DST=192.0.2.10 LEN=60 PROTO=TCP SPT=51234 DPT=22 WINDOW=65535 RES=0x00 SYN URGP=0 "
	for line, want := range map[string]string{
		"hello":                      "not a line about a packet",
		"DROP IN= OUT=eth0 " + rest:  "did not come in: IN= is empty",
		"IN=eth0 OUT= " + rest:       "rules.netfilter.unprefixed",
		"odd IN=eth0 OUT= " + rest:   `no word of the prefix "odd "`,
		"AUDIT IN=eth0 OUT= " + rest: "looked at",
		"ALLOW IN=eth0 OUT= " + rest: "disabled",
		"DROP IN=eth0 OUT= MAC= SRC=198.51.100.9 DST=192.0.2.10 ": "no PROTO=",
		"DROP ALLOW IN=eth0 OUT= " + rest:                         "words that mean a refused packet and",
		"DROP IN=eth0 OUT= " + rest:                               "",
	} {
		e := x.Explain([]byte("kernel"), []byte(line))
		if len(e.Parsed) != 1 || !strings.Contains(e.Parsed[0].Failed, want) || want == "" && e.Parsed[0].Failed != "" {
			t.Errorf("%q: %+v", line, e.Parsed)
		}
	}
	e := x.Explain([]byte("kernel"), []byte("DROP IN=eth0 OUT= "+rest))
	if got := fmt.Sprint(e.Parsed[0].Fields); got != "[{prefix DROP } {IN eth0} {SRC 198.51.100.9} {DST 192.0.2.10} {PROTO TCP} {SPT 51234} {DPT 22} {stray false}]" {
		t.Error(got)
	}
}
