package detect

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"testing/fstest"

	"tattled/detect/rulefile"
	"tattled/detect/weblog"
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
	r.All()
	return r
}

// samplesOf returns the samples of every rule.
func samplesOf(t testing.TB, r *Rules) map[*Rule][]Sample {
	t.Helper()
	samples, faults := r.Samples()
	for _, f := range faults {
		t.Error(f)
	}
	return samples
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

// TestLongest says that a message which may have been cut names nobody, and is refused where a rule describes it: nginx cuts a line at 2048 bytes, and a peer whose
// path is long enough decides what it seems to end in.
func TestLongest(t *testing.T) {
	r := load(t, Options{Directory: userRules(t, "cut.yaml", ruleFile("match: ['<any> by <ip>']", "samples: [{line: x by 203.0.113.5, ip: 203.0.113.5}]")+"longest: 20\n")})
	var f Finding
	for message, want := range map[string]Verdict{"12345 by 203.0.113.5": Matched, "123456 by 203.0.113.5": Refused, "123456 and 203.0.113.5": Ignored} {
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

// TestWebFilesAgree says that web-json.yaml asks of a request what web-access.yaml does: whoever changes one changes both.
func TestWebFilesAgree(t *testing.T) {
	values := func(list []rulefile.Text) (all []string) {
		for _, v := range list {
			all = append(all, v.Value)
		}
		return all
	}
	read := func(name string) map[string]string {
		content, err := builtin.ReadFile("rules/" + name)
		if err != nil {
			t.Fatal(err)
		}
		form, ok := rulefile.Decode(content, new(rulefile.Faults))
		if !ok {
			t.Fatalf("%s cannot be read", name)
		}
		rules := map[string]string{}
		for _, r := range form.Rules {
			says := fmt.Sprint(r.Kind.Value, r.Weak, r.Handshake, values(r.Categories))
			for _, l := range []rulefile.Lists{r.Where, r.Not} {
				says += "\n"
				for _, one := range l.All {
					says += fmt.Sprint(one.Name.Value, values(one.Values))
				}
			}
			rules[r.Name.Value] = says
		}
		return rules
	}
	access := read("web-access.yaml")
	for name, says := range read("web-json.yaml") {
		if access[name] != says {
			t.Errorf("the rule %s is not the same in both files", name)
		}
	}
}

// TestRepeated says what is taken off a message that came several times, and what only looks like it.
func TestRepeated(t *testing.T) {
	r := load(t, Options{})
	var f Finding
	for message, want := range map[string]Verdict{
		"message repeated 2 times: [ Invalid user x from 203.0.113.5 port 4]":                              Matched,
		"message repeated 12 times: [Invalid user x from 203.0.113.5 port 4]":                              Matched,
		"message repeated 2 times: [ error: PAM: Authentication failure for root from 203.0.113.5]":        Matched,
		"message repeated 2 times: [ Invalid user x from 203.0.113.5 port 4":                               Ignored,
		"message repeated 2 times: [ Invalid user x from 203.0.113.5 port 4)":                              Ignored,
		"message repeated 2 times: [ Invalid user x from 203.0.113.5 port 4]]":                             Ignored,
		"message repeated times: [ Invalid user x from 203.0.113.5 port 4]":                                Ignored,
		"message repeated 2 times: [ message repeated 2 times: [ Invalid user x from 203.0.113.5 port 4]]": Ignored,
		"message repeated 2 times: []":                                                                     Ignored, "message repeated 2 times: [": Ignored, "message repeated ": Ignored, "m": Ignored,
	} {
		if v := r.Detect([]byte("sshd"), []byte(message), &f); v != want {
			t.Errorf("%q is %s", message, describe(v, &f))
		}
	}
}

// TestAlone says that no sample of a service matches as another service's line. Programs that both services know are left
// out: there the message is one of both, and the samples say which of them it is. So is a line of an access log,
// whose form is one for all servers, and one of web-json, which knows requests by the meaning of their keys; but whom it is about
// is what the sample says.
func TestAlone(t *testing.T) {
	r := load(t, Options{})
	samplesOf, _ := r.Samples()
	var f Finding
	for _, rule := range r.rules {
		for _, s := range samplesOf[rule] {
			for _, other := range r.services {
				if other == rule.Service {
					continue
				}
				for _, program := range other.Programs {
					if slices.Contains(rule.Service.Programs, program) {
						continue
					}
					v := r.Detect([]byte(program), []byte(s.Form.Line.Value), &f)
					_, web := f.Service.parser.(*weblog.Access)
					web = web || f.Service.Name == "web-json" && (v != Matched || f.Addr.String() == s.Form.IP.Value)
					if v != Ignored && !web {
						t.Errorf("%s:%d: as %s it is %s", rule.Service.File, s.line, program, describe(v, &f))
					}
				}
			}
		}
	}
}

// A line that rules of kind none alone have read is ignored, also where they read several addresses in it.
func TestNoneAloneIsIgnored(t *testing.T) {
	r := load(t, Options{})
	var f Finding
	line := "auth: Error: oauth2(x,203.0.113.5): oauth2 failed: 198.51.100.66,198.51.100.66): oauth2 failed: x"
	if v := r.Detect([]byte("dovecot"), []byte(line), &f); v != Ignored || f.Rule != nil || !f.Raw {
		t.Errorf("%s by %v, raw %v", v, f.Rule, f.Raw)
	}
}
