package fail2ban

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tattled/detect"
	"tattled/detect/attack"
	"tattled/event"
)

// update has TestFilters write what it would compare: read the difference before it is kept.
var update = flag.Bool("update", false, "write testdata/*/*.yaml anew")

// TestFilters translates the filters in testdata, and tries lines of their programs: each folder has a filter, with what it includes,
// the rule file that it becomes, and lines with whom they are from.
func TestFilters(t *testing.T) {
	for _, c := range []struct {
		name, golden string
		options      Options
	}{
		{"gated", "gated.yaml", Options{Mode: "all", Handshake: true}},
		{"shopd", "shopd.yaml", Options{}},
		{"relayd", "relayd.yaml", Options{}},
		{"relayd", "auth.yaml", Options{Mode: "auth", Kind: event.AuthFailure, Categories: []int{18, 11}}},
		{"knockd", "knockd.yaml", Options{Programs: []string{"knockd", "knock sub"}, Service: "mine"}},
	} {
		name, dir := c.name, filepath.Join("testdata", c.name)
		f, err := Translate(filepath.Join(dir, name+".conf"), c.options)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if err := f.Prove(attack.Options{Lines: 200, User: true}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		golden := filepath.Join(dir, c.golden)
		if *update {
			if err := os.WriteFile(golden, []byte(f.YAML()), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(want, []byte(f.YAML())) {
			t.Errorf("%s is\n%s", golden, f.YAML())
		}
		lines, err := os.ReadFile(filepath.Join(dir, strings.TrimSuffix(c.golden, ".yaml")+".lines"))
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range strings.Split(strings.TrimSpace(string(lines)), "\n")[1:] {
			want, message, _ := strings.Cut(l, "|")
			want, message = strings.TrimSpace(want), strings.TrimPrefix(message, " ")
			var finding detect.Finding
			got := "-"
			if f.loaded.Detect([]byte(f.Programs[0]), []byte(message), &finding) == detect.Matched && finding.Service.Name == f.Service {
				got = finding.Addr.String()
			}
			if got != want {
				t.Errorf("%s: %q is from %s, not %s", name, message, got, want)
			}
		}
	}
}
