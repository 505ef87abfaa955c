package detect

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func TestFits(t *testing.T) {
	for _, c := range []struct {
		pattern, name string
		want          bool
	}{
		{"sshd", "sshd", true}, {"sshd", "sshd2", false}, {"wp(*", "wp(a.example.org)", true}, {"wp(*", "wp(", true}, {"wp(*", "wp", false},
		{"postfix*/smtpd", "postfix/smtpd", true}, {"postfix*/smtpd", "postfix-mx/smtpd", true}, {"postfix*/smtpd", "postfix/smtp", false},
		{"ab*ba", "aba", false}, {"ab*ba", "abba", true}, {"ab*", "ab*", true}, {"ab*", "ab*/c", true},
	} {
		if got := fits(c.pattern, []byte(c.name)); got != c.want {
			t.Errorf("%s fits %s: %v", c.name, c.pattern, got)
		}
	}
}

// Several services may know a program, each by its name or by a name that stands for many. The services are those of the
// longest name that fits, and those that know all that this one stands for.
func TestWildcards(t *testing.T) {
	dir := t.TempDir()
	for name, programs := range map[string]string{
		"all": "'app*'", "mail": "'app*/mail'", "one": "app/mail", "two": "app-2, 'app-2*'", "short": "'a*'",
	} {
		content := "service: " + name + "\nprograms: [" + programs + "]\nrules:\n" +
			"  - {name: r, kind: probe, categories: [15], match: ['bad <ip>'], samples: [{line: 'bad 203.0.113.5', ip: 203.0.113.5}]}\n"
		if err := os.WriteFile(filepath.Join(dir, name+".yaml"), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	r := load(t, Options{Directory: dir})
	for program, want := range map[string][]string{
		"app/mail":   {"all", "mail", "one", "short"},
		"app-x/mail": {"all", "mail", "short"},
		"app-x/file": {"all", "short"},
		"app-2":      {"all", "short", "two"},
		"app-2/mail": {"all", "mail", "short"}, // of two names of which none stands for all that the other does, the longer
		"app-23":     {"all", "short", "two"},
		"a":          {"short"},
		"an":         {"short"},
		"b":          nil,
		"":           nil,
	} {
		var got []string
		if p := r.programs.find([]byte(program)); p != nil {
			for _, s := range p.matcher.services {
				got = append(got, s.Name)
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("%q is of %v, not %v", program, got, want)
		}
		var f Finding
		if v := r.Detect([]byte(program), []byte("bad 203.0.113.5"), &f); (v == Matched) != (want != nil) {
			t.Errorf("%q: %v", program, v)
		}
		name, message := []byte(program), []byte("good")
		if n := testing.AllocsPerRun(10, func() { r.Detect(name, message, &f) }); n != 0 {
			t.Errorf("%q: %v allocations", program, n)
		}
	}
}

// A service that is disabled says how lines of programs can be read that others know by a wildcard.
func TestDisabledKnowsPrograms(t *testing.T) {
	dir := t.TempDir()
	for name, rest := range map[string]string{
		"many": "['app-*']\nrules:\n  - {name: r, kind: probe, categories: [15], match: ['bad <any> by <ip>'], samples: [{line: 'bad x by 203.0.113.5', ip: 203.0.113.5}]}\n",
		"one":  "[app-1]\nrules:\n  - {name: r, kind: probe, categories: [15], match: ['bad <ip> says <any>'], samples: [{line: 'bad 203.0.113.5 says x', ip: 203.0.113.5}]}\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name+".yaml"), []byte("service: "+name+"\nprograms: "+rest), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	r := load(t, Options{Directory: dir, Disable: []string{"one"}})
	var f Finding
	for program, want := range map[string]Verdict{"app-1": Refused, "app-2": Matched, "app": Ignored} {
		if v := r.Detect([]byte(program), []byte("bad 203.0.113.5 says x by 198.51.100.66"), &f); v != want {
			t.Errorf("%s is %s", program, describe(v, &f))
		}
	}
}

// A name is known wherever it stands in memory.
func TestProgramsInMemory(t *testing.T) {
	r := load(t, Options{})
	for _, one := range r.programs.table {
		if one == nil {
			continue
		}
		for _, behind := range []string{"", "x", "[1]: message", "\xff\xff\xff\xff\xff\xff\xff\xff"} {
			name := []byte(one.name + behind)[:len(one.name)]
			if p := r.programs.find(name); p == nil || p.name != one.name {
				t.Errorf("%q before %q is not found", one.name, behind)
			}
			if p := r.programs.find(name[:len(name):len(name)]); p == nil || p.name != one.name {
				t.Errorf("%q alone is not found", one.name)
			}
		}
	}
}
