package main

import (
	"encoding/json"
	"strings"
	"testing"
)

// Every service has a line of at most 80 columns, and every rule an object.
func TestRulesListsAll(t *testing.T) {
	code, out, errOut := invoke(t, "", "rules")
	lines := strings.Split(strings.TrimSuffix(out, "\n"), "\n")
	if code != exitOK || len(lines) < 70 || !strings.HasPrefix(lines[0], "SERVICE ") {
		t.Fatalf("exit %d, %d lines: %s%s", code, len(lines), out, errOut)
	}
	for _, line := range lines {
		if len(line) > 80 {
			t.Errorf("%d columns: %q", len(line), line)
		}
	}
	code, out, errOut = invoke(t, "", "rules", "--json")
	dec := json.NewDecoder(strings.NewReader(out))
	found := map[string]listedRule{}
	for dec.More() {
		var one listedRule
		if err := dec.Decode(&one); err != nil {
			t.Fatal(err)
		}
		found[one.Rule] = one
		if one.Kind != "none" && (len(one.Samples) == 0 || one.Line == 0) {
			t.Errorf("%s has no samples, or no line: %+v", one.Rule, one)
		}
	}
	if code != exitOK || len(found) < 380 {
		t.Fatalf("exit %d, %d rules: %s", code, len(found), errOut)
	}
	one := found["sshd/failed-password"]
	if one.Kind != "auth-failure" || !one.Handshake || one.Weak || one.Lines != "single" || one.Samples[0].IP != "203.0.113.5" {
		t.Errorf("%+v", one)
	}
}

// One service has a row for each rule with a line that it matches; one rule has everything.
func TestRulesShowsOne(t *testing.T) {
	for _, c := range []struct {
		name string
		says []string
	}{
		{"sshd", []string{"sshd (sshd.yaml)", "single", "failed-password                auth-failure    handshake        18, 22\n  Failed password for root from 203.0.113.5"}},
		{"sshd/offered", []string{"sshd/offered (sshd.yaml:", "handshake, weak", "Failed publickey for <user> from <ip>", "-> 203.0.113.5, port 40022, user root", "-> refused: ambiguous", "-> no match"}},
	} {
		code, out, errOut := invoke(t, "", "rules", c.name)
		for _, says := range c.says {
			if code != exitOK || !strings.Contains(out, says) {
				t.Errorf("%s: exit %d, no %q in\n%s%s", c.name, code, says, out, errOut)
			}
		}
	}
}

// Rules of the user are among them, and no text of a file reaches a terminal as it is.
func TestRulesOfOnesOwn(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "mine.yaml", "service: mine\nprograms: [mine]\nrules:\n- name: one\n  kind: auth-failure\n  categories: [18]\n"+
		"  match: ['login of <user> from <ip>']\n  samples: [{line: \"login of \\e[2J from 203.0.113.5\", ip: 203.0.113.5}]\n")
	code, out, errOut := invoke(t, "", "rules", "--rules", dir, "mine")
	if code != exitOK || !strings.Contains(out, "undeclared") || !strings.Contains(out, `login of \x1b[2J from 203.0.113.5`) || strings.Contains(out, "\x1b") {
		t.Errorf("exit %d: %q%s", code, out, errOut)
	}
}

func TestRulesThatThereAreNot(t *testing.T) {
	for name, says := range map[string]string{
		"sshdd":        "did you mean sshd?",
		"sshd/offere":  "did you mean sshd/offered?",
		"sshd-session": "it is a program of sshd",
		"sshd/xxxxxxx": "'tattled rules sshd' lists those",
		"zzzzzzzzz":    "'tattled rules' lists those",
	} {
		if code, _, errOut := invoke(t, "", "rules", name); code != exitUsage || !strings.Contains(errOut, says) {
			t.Errorf("%s: exit %d: %s", name, code, errOut)
		}
	}
	if code, _, errOut := invoke(t, "", "rules", "a", "b"); code != exitUsage || !strings.Contains(errOut, "unexpected argument") {
		t.Errorf("exit %d: %s", code, errOut)
	}
}
