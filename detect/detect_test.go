package detect

import (
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"testing/fstest"
)

func load(t testing.TB, o Options) *Rules {
	t.Helper()
	r, faults := Load(o)
	for _, f := range faults {
		t.Error(f)
	}
	if r == nil {
		t.FailNow()
	}
	return r
}

// nothing is built in where a test needs its own rules only: compiling all the others is most of the time that it takes.
func nothing() fs.FS { return fstest.MapFS{"rules": {Mode: fs.ModeDir}} }

func TestSamples(t *testing.T) {
	r := load(t, Options{})
	tally, faults := r.Run()
	for _, f := range faults {
		t.Error(f)
	}
	for _, s := range tally.Services {
		t.Logf("%s: %d rules, %d samples", s.Service.Name, s.Rules, s.Samples)
	}
}

// userRules writes a rule file into a directory of its own and returns the directory.
func userRules(t testing.TB, name, content string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestLongest says that a message which may have been cut is not read: nginx cuts a line at 2048 bytes, and a peer whose
// path is long enough decides what it seems to end in.
func TestLongest(t *testing.T) {
	r := load(t, Options{Directory: userRules(t, "cut.yaml", ruleFile("match: ['<any> by <ip>']", "samples: [{line: x by 203.0.113.5, ip: 203.0.113.5}]")+"longest: 20\n")})
	var f Finding
	for message, want := range map[string]Verdict{"12345 by 203.0.113.5": Matched, "123456 by 203.0.113.5": Ignored} {
		if v := r.Detect([]byte("mine"), []byte(message), &f); v != want {
			t.Errorf("%q is %s", message, describe(v, &f))
		}
	}
}

// TestExample says that the rule file which the package brings as an example is right.
func TestExample(t *testing.T) {
	r := load(t, Options{Directory: filepath.Join("..", "packaging", "rules.d")})
	if _, faults := r.Run(); len(faults) > 0 {
		t.Error(faults)
	}
}
