package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const importFilter = `[Definition]
_daemon = demo
failregex = ^bad guest <F-USER>.*</F-USER> from <HOST>$
            ^bad (?P<a>\S+) (?P=a) from <HOST>$
`

// TestImport says that a filter becomes a rule file that check accepts and match uses, with samples of a real log, and
// that what is left out is told.
func TestImport(t *testing.T) {
	dir := t.TempDir()
	filter := write(t, dir, "demo.conf", importFilter)
	log := write(t, dir, "demo.log", "Nov 22 05:40:00 web1 demo[1]: bad guest a from 192.0.2.7 from 192.0.2.9\nNov 22 05:40:00 web1 demo[1]: nothing\n")
	rules := filepath.Join(dir, "rules.d")
	if err := os.Mkdir(rules, 0o700); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(rules, "demo.yaml")
	code, out, errOut := invoke(t, "", "import", "fail2ban", "--handshake", "--kind", "auth-failure", "--log", log, "-o", file, filter)
	if code != exitOK || out != "" || !strings.Contains(errOut, "line 4 of demo.conf: a back-reference is not possible in RE2") ||
		!strings.Contains(errOut, "fail2ban-demo: 1 expressions translated, 1 refused, 0 known already") {
		t.Fatalf("exit %d\n%s%s", code, out, errOut)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"'bad guest <user> from <ip>'", "handshake: true", "ip: '192.0.2.9'", "# line 4 of demo.conf: a back-reference", "(?P=a)"} {
		if !strings.Contains(string(text), want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	config := write(t, dir, "tattled.yaml", "sources: {journal: }\nrules: {directory: "+rules+"}\n")
	if code, out, errOut := invoke(t, "", "check", "--rules", "--config", config); code != exitOK || !strings.Contains(out, "fail2ban-demo") {
		t.Errorf("check: exit %d\n%s%s", code, out, errOut)
	}
	if code, out, _ := invoke(t, "", "match", "--rules", rules, "--summary", log); code != exitOK || !strings.Contains(out, "fail2ban-demo/bad-guest-from 1") {
		t.Errorf("match: exit %d\n%s", code, out)
	}
	if code, _, errOut := invoke(t, "", "import", "fail2ban", "-o", file, filter); code != exitFailure || !strings.Contains(errOut, "exists") {
		t.Errorf("again: exit %d, %s", code, errOut)
	}
	if code, out, _ := invoke(t, "", "import", "fail2ban", "--service", "mine", "--program", "x y", filter); code != exitOK || !strings.Contains(out, "service: mine\nprograms: ['x y']") {
		t.Errorf("with names: exit %d\n%s", code, out)
	}
}

// TestImportFails says when nothing comes of it.
func TestImportFails(t *testing.T) {
	dir := t.TempDir()
	filter := write(t, dir, "demo.conf", importFilter)
	hostile := write(t, dir, "hostile.conf", "[Definition]\nfailregex = ^\x1b[31m(?!x)\u202e<HOST>$\n")
	for name, c := range map[string]struct {
		args []string
		code int
		want string
	}{
		"no filter":      {[]string{filepath.Join(dir, "none.conf")}, exitFailure, "none.conf"},
		"nothing of it":  {[]string{hostile}, exitFailure, "nothing was translated"},
		"no kind":        {[]string{"--kind", "evil", filter}, exitUsage, "--kind"},
		"no categories":  {[]string{"--categories", "99", filter}, exitFailure, "categories"},
		"no service":     {[]string{"--service", "A b", filter}, exitFailure, "is not a name"},
		"no log":         {[]string{"--log", dir + "/none.log", filter}, exitFailure, "none.log"},
		"two filters":    {[]string{filter, filter}, exitUsage, "--help"},
		"a directory":    {[]string{dir}, exitFailure, "regular file"},
		"an odd program": {[]string{"--program", "", filter}, exitFailure, "empty"},
	} {
		code, out, errOut := invoke(t, "", append([]string{"import", "fail2ban"}, c.args...)...)
		if code != c.code || out != "" || !strings.Contains(errOut, c.want) || strings.ContainsAny(errOut, "\x1b\u202e") {
			t.Errorf("%s: exit %d, %q, %q", name, code, out, errOut)
		}
	}
	if code, out, errOut := invoke(t, "", "import"); code != exitOK || !strings.Contains(out, "fail2ban") {
		t.Errorf("import alone: exit %d\n%s%s", code, out, errOut)
	}
	if code, out, _ := invoke(t, "", "import", "fail2ban", "--help"); code != exitOK || !strings.Contains(out, "gitlab.conf") {
		t.Errorf("help: exit %d\n%s", code, out)
	}
}
