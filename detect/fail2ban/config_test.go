package fail2ban

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// files writes files into a new folder, which it returns.
func files(t testing.TB, content map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range content {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// shown lists what sections have, in order: "section.key = file:line text | ...".
func shown(sections map[string]section) []string {
	var all []string
	for name, s := range sections {
		for key, v := range s {
			var lines []string
			for _, l := range v {
				lines = append(lines, fmt.Sprintf("%d %s", l.at, l.text))
			}
			all = append(all, name+"."+key+" = "+strings.Join(lines, " | "))
		}
	}
	slices.Sort(all)
	return all
}

// TestParseINI says what is read of a file, as Python's configparser has it: fail2ban reads its filters with that.
func TestParseINI(t *testing.T) {
	for name, c := range map[string]struct {
		content string
		want    []string
	}{
		"nothing":                       {"", nil},
		"a section alone":               {"[Definition]\n", nil},
		"a setting":                     {"[Definition]\nfailregex = ^x$\n", []string{"Definition.failregex = 2 ^x$"}},
		"a colon":                       {"[Definition]\nfailregex: ^x$\n", []string{"Definition.failregex = 2 ^x$"}},
		"the first of both":             {"[Definition]\na = b: c\nd: e = f\n", []string{"Definition.a = 2 b: c", "Definition.d = 3 e = f"}},
		"no blanks":                     {"[Definition]\na=b\n", []string{"Definition.a = 2 b"}},
		"many blanks":                   {"[Definition]\na \t =  \t b \t\n", []string{"Definition.a = 2 b"}},
		"no value":                      {"[Definition]\na =\n", []string{"Definition.a = 2 "}},
		"no line end":                   {"[Definition]\na = b", []string{"Definition.a = 2 b"}},
		"CRLF":                          {"[Definition]\r\na = b\r\n  c\r\n", []string{"Definition.a = 2 b | 3 c"}},
		"upper-case names":              {"[Definition]\nFailRegex = A\n", []string{"Definition.failregex = 2 A"}},
		"sections in their own case":    {"[INIT]\na = 1\n[Init]\na = 2\n", []string{"INIT.a = 2 1", "Init.a = 4 2"}},
		"a section twice":               {"[A]\na = 1\n[B]\nb = 2\n[A]\nc = 3\na = 4\n", []string{"A.a = 7 4", "A.c = 6 3", "B.b = 4 2"}},
		"something behind a section":    {"[A] # x\na = 1\n", []string{"A.a = 2 1"}},
		"an indented section":           {"  [A]\n  a = 1\n", []string{"A.a = 2 1"}},
		"several lines":                 {"[A]\na = 1\n    2\n  3\nb = 4\n", []string{"A.a = 2 1 | 3 2 | 4 3", "A.b = 5 4"}},
		"several lines, the first bare": {"[A]\na =\n  1\n  2\n", []string{"A.a = 2  | 3 1 | 4 2"}},
		"by a tab":                      {"[A]\na = 1\n\t2\n", []string{"A.a = 2 1 | 3 2"}},
		"no deeper than its key":        {"[A]\n  a = 1\n  b = 2\n   c = 3\n", []string{"A.a = 2 1", "A.b = 3 2 | 4 c = 3"}},
		"what looks like a section":     {"[A]\na = 1\n  [B]\n", []string{"A.a = 2 1 | 3 [B]"}},
		"a line between":                {"[A]\na = 1\n\n  2\n\n\nb = 3\n", []string{"A.a = 2 1 | 3  | 4 2", "A.b = 7 3"}},
		"lines after the last":          {"[A]\na = 1\n\n\n", []string{"A.a = 2 1"}},
		"comments":                      {"# x\n; y\n[A]\n# z\na = 1\n# b = 2\n  # c\n  2\n", []string{"A.a = 5 1 | 8 2"}},
		"a comment at the end":          {"[A]\na = 1 ; one\nb = 2;3\nc = ^x # y\n", []string{"A.a = 2 1", "A.b = 3 2;3", "A.c = 4 ^x # y"}},
		"such a comment, by a tab":      {"[A]\na = 1\t; one\n  2\t ;two\n", []string{"A.a = 2 1 | 3 2"}},
		"such a comment alone":          {"[A]\na = ; one\n", []string{"A.a = 2 "}},
		"a bracket of an expression":    {"[A]\na = [0-9]\n  [a-z]\n", []string{"A.a = 2 [0-9] | 3 [a-z]"}},
		"a condition":                   {"[Init?family=inet6]\na = 1\n", []string{"Init?family=inet6.a = 2 1"}},
		"bytes that are no text":        {"[A]\na = \x00\xff\x1b[0m\n", []string{"A.a = 2 \x00\xff\x1b[0m"}},
	} {
		sections, err := parseINI("x.conf", []byte(c.content))
		if got := shown(sections); err != nil || !slices.Equal(got, c.want) {
			t.Errorf("%s: %v\n%q\nnot\n%q", name, err, got, c.want)
		}
	}
	for content, want := range map[string]string{
		"a = 1\n":               "x.conf:1: neither a [section] nor a setting",
		"[A]\nrubbish\n":        "x.conf:2: ",
		"[A]\n\n# x\n= 1\n":     "x.conf:4: ",
		"[]\na = 1\n":           "x.conf:1: ",
		"[A\na = 1\n":           "x.conf:1: ",
		"\ufeff[A]\na = 1\n":    "x.conf:1: ",
		"[A]\na = 1\n[B]\n x\n": "x.conf:4: ",
	} {
		if _, err := parseINI("x.conf", []byte(content)); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%q: %v", content, err)
		}
	}
}

// TestIncludes says which files are read, in which order, and what a later one makes of a setting.
func TestIncludes(t *testing.T) {
	for name, c := range map[string]struct {
		files map[string]string
		want  string // the value of a, with where each of its lines is from
	}{
		"alone":                {map[string]string{"f.conf": "[Definition]\na = 1\n"}, "f.conf:2 1"},
		"before":               {map[string]string{"f.conf": "[INCLUDES]\nbefore = b.conf\n[Definition]\nx = 1\n", "b.conf": "[Definition]\na = b\n"}, "b.conf:2 b"},
		"before, replaced":     {map[string]string{"f.conf": "[INCLUDES]\nbefore = b.conf\n[Definition]\na = 1\n", "b.conf": "[Definition]\na = b\n"}, "f.conf:4 1"},
		"after":                {map[string]string{"f.conf": "[INCLUDES]\nafter = c.conf\n[Definition]\na = 1\n", "c.conf": "[Definition]\na = c\n"}, "c.conf:2 c"},
		"several":              {map[string]string{"f.conf": "[INCLUDES]\nbefore = b.conf\n\n         c.conf\n[Definition]\nx = 1\n", "b.conf": "[Definition]\na = b\n", "c.conf": "[Definition]\na = c\n"}, "c.conf:2 c"},
		"local":                {map[string]string{"f.conf": "[Definition]\na = 1\n", "f.local": "[Definition]\na = l\n"}, "f.local:2 l"},
		"local of an included": {map[string]string{"f.conf": "[INCLUDES]\nbefore = b.conf\n[Definition]\nx = 1\n", "b.conf": "[Definition]\na = b\n", "b.local": "[Definition]\na = bl\n"}, "b.local:2 bl"},
		"a folder":             {map[string]string{"f.conf": "[INCLUDES]\nbefore = sub/b.conf\n[Definition]\nx = 1\n", "sub/b.conf": "[INCLUDES]\nbefore = c.conf\n", "sub/c.conf": "[Definition]\na = c\n"}, "c.conf:2 c"},
		"of itself":            {map[string]string{"f.conf": "[INCLUDES]\nbefore = f.conf\nafter = b.conf\n[Definition]\na = 1\n", "b.conf": "[INCLUDES]\nafter = f.conf\n[Definition]\nb = 1\n"}, "f.conf:5 1"},
		"of what is not there": {map[string]string{"f.conf": "[INCLUDES]\nbefore = none.conf\nafter = none.local\n[Definition]\na = 1\n"}, "f.conf:5 1"},
		"a default":            {map[string]string{"f.conf": "[DEFAULT]\na = d\n[Definition]\nx = 1\n"}, "f.conf:2 d"},
		"no default":           {map[string]string{"f.conf": "[DEFAULT]\na = d\n[Definition]\na = 1\n"}, "f.conf:4 1"},
		"Init first":           {map[string]string{"f.conf": "[Definition]\na = 1\n[Init]\na = i\n"}, "f.conf:4 i"},
		"what it was":          {map[string]string{"f.conf": "[INCLUDES]\nbefore = b.conf\n[Definition]\na = 1\n    %(known/a)s\n    2\n", "b.conf": "[Definition]\na = b\n"}, "f.conf:4 1|b.conf:2 b|f.conf:6 2"},
		"what it was, in Init": {map[string]string{"f.conf": "[Definition]\nx = 1\n[Init]\na = 1\n", "f.local": "[Init]\na = %(known/a)s2\n"}, "f.conf:4 12"},
	} {
		dir := files(t, c.files)
		conf, err := readConfig(filepath.Join(dir, "f.conf"))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got := places(conf, "a"); got != c.want {
			t.Errorf("%s: %q, not %q", name, got, c.want)
		}
	}
}

// places shows a setting with where each of its lines is from; an error by its text.
func places(c *config, name string) string {
	v, err := c.full(name)
	if err != nil {
		return err.Error()
	}
	var all []string
	for _, l := range v {
		all = append(all, fmt.Sprintf("%s:%d %s", l.file, l.at, l.text))
	}
	return strings.Join(all, "|")
}

// TestIncludeFaults says what ends the reading of a filter.
func TestIncludeFaults(t *testing.T) {
	chain := map[string]string{}
	for i := range maxFiles + 1 {
		chain[fmt.Sprintf("f%d.conf", i)] = fmt.Sprintf("[INCLUDES]\nbefore = f%d.conf\n[Definition]\nx = 1\n", i+1)
	}
	chain["f.conf"] = chain["f0.conf"]
	// Each names all the others: without a bound there would be as many ways as orders.
	knot := map[string]string{}
	for i := range 12 {
		list := ""
		for k := range 12 {
			list += fmt.Sprintf(" n%d.conf\n", k)
		}
		knot[fmt.Sprintf("n%d.conf", i)] = "[INCLUDES]\nbefore =\n" + list + "[Definition]\nx = 1\n"
	}
	knot["f.conf"] = knot["n0.conf"]
	for name, c := range map[string]struct {
		files map[string]string
		want  string
	}{
		"none":               {nil, "no such file"},
		"a folder":           {map[string]string{"f.conf/x": ""}, "is not a regular file"},
		"too large":          {map[string]string{"f.conf": strings.Repeat("#\n", maxFile/2+1)}, "regular file of at most 1048576 bytes"},
		"too deep":           {chain, "more than 64 files include each other"},
		"a knot":             {knot, "more than 64 files include each other"},
		"a fault before":     {map[string]string{"f.conf": "[INCLUDES]\nbefore = b.conf\n", "b.conf": "x\n"}, "b.conf:1: neither"},
		"a fault after":      {map[string]string{"f.conf": "[INCLUDES]\nafter = b.conf\n", "b.conf": "x\n"}, "b.conf:1: neither"},
		"a fault in a local": {map[string]string{"f.conf": "[Definition]\n", "f.local": "x\n"}, "f.local:1: neither"},
		"no definition":      {map[string]string{"f.conf": "[Init]\nx = 1\n"}, "has no [Definition]: it is not a filter"},
	} {
		if _, err := readConfig(filepath.Join(files(t, c.files), "f.conf")); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if c, err := readConfig(filepath.Join(files(t, map[string]string{"f.local": "[Definition]\na = 1\n"}), "f.local")); err != nil || places(c, "a") != "f.local:2 1" {
		t.Errorf("a .local file by itself: %v", err) // is not read twice
	}
}

// TestSettings says what a setting is when everything in it is written out.
func TestSettings(t *testing.T) {
	for name, c := range map[string]struct{ content, want string }{
		"none":                          {"x = 1", ""},
		"plain":                         {"a = 1", "1"},
		"a variable":                    {"a = (%(b)s)\nb = 1", "(1)"},
		"in any case":                   {"a = %(B)s\nb = 1", "1"},
		"several":                       {"a = %(b)s%(b)s-%(c)s\nb = 1\nc = 2", "11-2"},
		"within a variable":             {"a = %(b)s\nb = <%(c)s>\nc = 2", "<2>"},
		"of several lines":              {"a = <%(b)s>\nb = 1\n    2", "<1|2>"},
		"of an empty line":              {"a = 1%(b)s2\nb =", "12"},
		"a percent sign":                {"a = 100%% of %(b)s\nb = 5%%", "100% of 5%"},
		"a percent sign and more":       {"a = %%(b)s\nb = 1", "%(b)s"},
		"a percent sign alone":          {"a = 5% x", "5% x"},
		"another section's":             {"a = %(other/b)s\n[other]\nb = 1", "1"},
		"another section's, upper":      {"a = %(other/B)s\n[other]\nb = 1", "1"},
		"the default":                   {"a = %(DEFAULT/b)s-%(default/b)s\nb = 1\n[DEFAULT]\nb = d", "d-d"},
		"another section's, by default": {"a = %(other/b)s\n[other]\nc = 1\n[DEFAULT]\nb = d", "d"},
		"no section of that name":       {"a = %(none/b)s", "there is no setting %(none/b)s"},
		"no setting":                    {"a = %(none)s", "there is no setting %(none)s"},
		"known without a past":          {"a = %(known/b)s\nb = 1", "there is no setting %(known/b)s"},
		"a tag":                         {"a = x<b>y\nb = 1", "x1y"},
		"a tag in any case":             {"a = <B>\nb = 1", "1"},
		"a tag of fail2ban's":           {"a = ^<HOST>$\nb = 1", "^<HOST>$"},
		"a tag of several lines":        {"a = (<b>)\nb = 1\n    2", "(1|2)"},
		"a tag of Init":                 {"a = <b>\nb = 1\n[Init]\nb = i", "i"},
		"a tag of another section":      {"a = <lt_<b>/c>\nb = file\n[lt_file]\nc = 1\n[lt_short]\nc = 2", "1"},
		"a tag in a tag":                {"a = <md-<b>>\nb = x\nmd-x = 1\nmd-y = 2", "1"},
		"a tag in a variable":           {"a = %(b)s\nb = <c>\nc = 1", "1"},
		"a variable in a tag":           {"a = <b>\nb = %(c)s\nc = 1", "1"},
		"no tag":                        {"a = <b c> < b> <>\nb = 1", "<b c> < b> <>"},
		"a group's name":                {"a = (?P<b>x)\nb = 1", "(?P1x)"}, // as fail2ban has it
		"nothing in a tag":              {"a = x<b>y\nb =", "xy"},
		"itself":                        {"a = %(a)s", "%(a)s refers to itself"},
		"itself, with more":             {"a = x%(a)s", "%(a)s refers to itself"},
		"each other":                    {"a = %(b)s\nb = %(a)s", "refers to itself"},
		"a tag that is itself":          {"a = <a>", "<a> refers to itself"},
		"a tag of each other":           {"a = x<b>\nb = <a>y", "refers to itself"},
		"without bound":                 {"a = <b><b>\nb = <c><c>\nc = <d><d>\nd = <e><e>\ne = <f><f>\nf = <g><g>\ng = <h><h>\nh = <i><i>\ni = <j><j>\nj = " + strings.Repeat("x", 5000), "refers to itself"},
		"too large":                     {"a = " + strings.Repeat("<b>", 100) + "\nb = " + strings.Repeat("x", 9000), "it is too large when everything in it is written out"},
	} {
		dir := files(t, map[string]string{"f.conf": "[Definition]\n" + c.content + "\n"})
		conf, err := readConfig(filepath.Join(dir, "f.conf"))
		if err != nil {
			t.Fatal(name, err)
		}
		v, err := conf.full("a")
		got := strings.ReplaceAll(v.String(), "\n", "|")
		if err != nil {
			got = err.Error()
		}
		if got != c.want && (err == nil || !strings.Contains(got, c.want)) {
			t.Errorf("%s: %q, not %q", name, got, c.want)
		}
	}
}

// TestPlaces says which line of which file an expression is from, whatever it was put together of: what is refused is shown with
// that.
func TestPlaces(t *testing.T) {
	dir := files(t, map[string]string{
		"f.conf": "[INCLUDES]\nbefore = b.conf\n[Definition]\n# comment\nown = ^own1$\n  ^own2$\na = %(own)s\n    ^x %(own)s\n    <shared>\n    %(shared)s y\n",
		"b.conf": "[DEFAULT]\nshared = ^s1$\n\n   ^s2$\n",
	})
	c, err := readConfig(filepath.Join(dir, "f.conf"))
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"f.conf:5 ^own1$", "f.conf:6 ^own2$", // put in whole: where it is written
		"f.conf:8 ^x ^own1$", "f.conf:6 ^own2$", // with text of its own before it: where that is
		"b.conf:2 ^s1$", "b.conf:3 ", "b.conf:4 ^s2$",
		"b.conf:2 ^s1$", "b.conf:3 ", "b.conf:4 ^s2$ y",
	}
	if got := places(c, "a"); got != strings.Join(want, "|") {
		t.Errorf("%q", strings.Split(got, "|"))
	}
	again := places(c, "a")
	if again != strings.Join(want, "|") {
		t.Errorf("the second time: %q", strings.Split(again, "|"))
	}
}

// FuzzSettings has any text for a filter: its settings are written out, or are at fault, in bounded room.
func FuzzSettings(f *testing.F) {
	for _, text := range []string{
		fullFilter, "[Definition]\nfailregex = %(a)s<b>\na = <b>%(c)s\nb = 1\n  2\n[Init]\nc = %(known/c)s ; x\n", "[Definition]\nfailregex = <a><a>\na = <b><b>\nb = <failregex>\n", "[A]\n[B\n: x\n", "[Definition]\nfailregex =\n",
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		own, err := parseINI("fuzz.conf", content)
		if err != nil {
			return
		}
		c := &config{sections: map[string]section{}, known: map[string]section{}}
		c.merge(own)
		for _, name := range []string{"prefregex", "failregex", "ignoreregex"} {
			v, err := c.full(name)
			if err != nil {
				continue
			}
			lines := bytes.Count(content, []byte("\n")) + 1
			for _, l := range v {
				if l.file != "fuzz.conf" || l.at < 1 || l.at > lines {
					t.Fatalf("%q is from line %d of %s", l.text, l.at, l.file)
				}
			}
			if size := len(v.String()); size > maxValue+len(content) {
				t.Fatalf("%s has %d bytes", name, size)
			}
		}
	})
}
