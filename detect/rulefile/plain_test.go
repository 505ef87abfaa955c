package rulefile

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// TestPlain says that every built-in file is written in the style that ReadPlain knows, and that it reads of it what YAML
// does, but for the samples.
func TestPlain(t *testing.T) {
	files, err := filepath.Glob("../rules/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no rules: %v", err)
	}
	for _, name := range files {
		content, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		var f Faults
		want, ok := Decode(content, &f)
		if !ok {
			t.Errorf("%s: %v", name, f.All)
			continue
		}
		for i := range want.Rules {
			want.Rules[i].Samples = nil
		}
		got, ok := ReadPlain(content)
		if !ok {
			t.Errorf("%s is written in a style of its own, so that loading it would take long: see sshd.yaml", name)
		} else if !reflect.DeepEqual(got, want) {
			t.Errorf("%s is read as\n%+v\nnot\n%+v", name, got, want)
		}
	}
}

// TestPlainFails says that what is not in that style is left to YAML.
func TestPlainFails(t *testing.T) {
	const head, rule = "service: a\nprograms: [a]\n", "rules:\n  - name: b\n    match: ['x <ip>']\n"
	if _, ok := ReadPlain([]byte(head + rule)); !ok {
		t.Error("the plain style is not understood")
	}
	for _, content := range []string{
		head + "service: b\n", head + "services: b\n", head + "after: x\n", head + "after: - x\n", head + "after: []\n", head + "after: [a, b\n", head + "after: [a b]\n", head + "after: [a] b\n", head + "after: [,]\n",
		head + "after:\nraw: true\n", head + "after:\n  - a\n   - b\n", head + "after:\n - a\n  - b\n", head + "after:\n- a\n", head + "after: [null]\n", head + "after: [~]\n", head + "after: [-]\n",
		head + "raw: yes\n", head + "raw:true\n", head + "raw: true#\n", head + "raw:\ttrue\n", head + "raw: true\n  x\n", head + "parser: &a b\n", head + "parser: *a\n", head + "parser: a: b\n",
		head + "parser: |\n  a\n", head + "parser: 'a\n  b'\n", head + "parser: 'a''\n", head + "parser: \"a\\n\"\n", head + "parser: \"a\\\"\n", head + "parser: \"\tb\"\n", head + "parser: 'é'\n", head + "parser: 'a' b\n",
		head + "fields: {a: b\n", head + "fields: {a: b c: d}\n", head + "fields: [a]\n", head + "fields:\n", head + "fields:\n  a: []\n", head + "fields:\n  a: b\n  a: c\n", head + "? a\n", "--- \n" + head,
		head + "---\n" + head, head + rule + "    kinds: x\n", head + rule + "     kind: x\n", head + rule + "   kind: x\n", head + rule + "  name: x\n", head + rule + "    name: c\n", head + "rules: []\n", strings.TrimSuffix(head+rule, "]\n"),
	} {
		if form, ok := ReadPlain([]byte(content)); ok {
			t.Errorf("%q is understood: %+v", content, form)
		}
	}
}
