package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"tattled/policy"
)

// invoke runs the command line in this process.
func invoke(t *testing.T, stdin string, args ...string) (code int, out, errOut string) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	code = run(t.Context(), args, strings.NewReader(stdin), &stdout, &stderr)
	return code, stdout.String(), stderr.String()
}

// Five different faults are five lines, each with file, line, setting and remedy, and the exit code is 78.
func TestCheckPrintsAllFaults(t *testing.T) {
	path := write(t, t.TempDir(), "bad.yaml", `sources:
  syslog:
    - {listen: "tcp://127.0.0.1", allow: [10.0.0.1/8]}
polcy: []
policy:
  - {name: brute, when: {kind: [auth-failure]}, threshold: 5, within: ten minutes, do: [report]}
report:
  abuseipdb: {url: "http://api.example.org/", window: 5m}
`)
	code, out, errOut := invoke(t, "", "check", "--config", path)
	if code != exitConfig || out != "" {
		t.Errorf("exit %d, output %q; want %d and nothing on stdout", code, out, exitConfig)
	}
	lines := slices.DeleteFunc(strings.Split(strings.TrimSpace(errOut), "\n"), func(l string) bool { return strings.HasPrefix(l, "warning: ") })
	for _, want := range []string{
		`:3: sources\.syslog\[0\]\.listen: .+`,
		`:3: sources\.syslog\[0\]\.allow\[0\]: .*did you mean 10\.0\.0\.0/8`,
		`:4: polcy: .*did you mean "policy"`,
		`:6: policy\[0\]\.within: .*10m`,
		`:8: report\.abuseipdb\.url: .*https`,
		`:8: report\.abuseipdb\.window: .*15m30s`,
	} {
		found := false
		for _, line := range lines {
			found = found || regexp.MustCompile("^"+regexp.QuoteMeta(path)+want).MatchString(line)
		}
		if !found {
			t.Errorf("no line like %s in\n%s", want, errOut)
		}
	}
	if len(lines) != 6 {
		t.Errorf("%d lines, want 6:\n%s", len(lines), errOut)
	}
}

func TestCheckOnHostileFiles(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"empty": "", "null": "\x00\x00", "not-yaml": "a: [", "list": "- 1\n- 2\n", "two": "sources: {journal: {}}\n---\nsources: {}\n",
		"bomb":  "a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\ntrusted: [*b,*b,*b,*b,*b,*b]\n",
		"large": strings.Repeat("# comment\n", 1<<20/10+1),
		"merge": "x: &x {journal: {}}\nsources: {<<: *x}\n",
		"types": "sources: 3\npolicy: {}\nstore: [1]\nweb: {listen: {}}\ntrusted: {a: b}\n",
	} {
		code, _, errOut := invoke(t, "", "check", "--config", write(t, dir, name, text))
		if code != exitConfig || !strings.Contains(errOut, filepath.Join(dir, name)) {
			t.Errorf("%s: exit %d, %q; want %d and the file's name", name, code, errOut, exitConfig)
		}
	}
	if code, _, errOut := invoke(t, "", "check", "--config", dir+"/missing"); code != exitConfig || !strings.Contains(errOut, "no such file") {
		t.Errorf("missing file: exit %d, %q", code, errOut)
	}
}

// What the package installs, what the quick start runs and what the README shows must be good.
func TestShippedConfigurationsAreGood(t *testing.T) {
	var paths []string
	for _, path := range []string{"../../packaging/tattled.yaml", "../../packaging/quickstart.yaml"} {
		path, err := filepath.Abs(path)
		if err != nil {
			t.Fatal(err)
		}
		paths = append(paths, path)
	}
	t.Chdir(t.TempDir())
	if err := os.Mkdir("var", 0o700); err != nil { // as `make run` does
		t.Fatal(err)
	}
	for _, path := range paths {
		code, out, errOut := invoke(t, "", "check", "--rules", "--config", path)
		if code != exitOK || strings.Contains(errOut, "twice") || !strings.Contains(out, "sshd") || !strings.Contains(out, "netfilter") || strings.Contains(out, "undeclared") || !strings.Contains(out, ", 0 of which blamed somebody else") {
			t.Errorf("%s: exit %d\n%s%s", path, code, out, errOut)
		}
		table, _, _ := strings.Cut(out, "\n"+path)
		if n := strings.Count(table, "\n"); n < 70 {
			t.Errorf("%s: %d services\n%s", path, n, out)
		}
		for _, line := range strings.Split(table, "\n") {
			if len(line) > 80 || len(strings.Fields(line)) < 8 {
				t.Errorf("%s: not a row of 80 columns: %q", path, line)
			}
		}
	}
}

// The policies that come with tattled are printed as a part of a configuration, which as it is changes nothing.
func TestCheckPrintsThePolicies(t *testing.T) {
	code, out, errOut := invoke(t, "", "check", "--policies", "--config", "/nowhere")
	if code != exitOK || out != policy.Shipped() || errOut != "" {
		t.Errorf("exit %d, %s%s", code, out, errOut)
	}
	dir := t.TempDir()
	config := write(t, dir, "tattled.yaml", "sources: {journal: {}}\nstore: {path: "+dir+"/state.db}\npolicy_defaults: false\n"+out)
	if code, _, errOut := invoke(t, "", "check", "--config", config); code != exitOK || strings.Contains(errOut, "no policy reports") {
		t.Errorf("exit %d, %s", code, errOut)
	}
}

// A user's rule that blames whom a peer likes is a fault, with the line that shows it; a good one is counted.
func TestCheckAttacksUserRules(t *testing.T) {
	for rule, want := range map[string]string{
		`regex: ['^login of (.*) from (?P<ip>\S+) by .*$']`: `mine.yaml:7: rule one can be made to blame somebody: the line "login of `,
		`match: ['login of <user> from <ip> by <any>']`:     `mine.yaml:7: match: a peer's text may be on both sides of the address in this pattern of rule one`,
		`match: ['login of <user> from <ip> by mail']`:      "",
	} {
		dir := t.TempDir()
		write(t, dir, "mine.yaml", "service: mine\nprograms: [mine]\nrules:\n- name: one\n  kind: auth-failure\n  categories: [18]\n  "+
			rule+"\n  samples: [{line: login of dan from 203.0.113.5 by mail, ip: 203.0.113.5}]\n")
		config := write(t, t.TempDir(), "tattled.yaml", "sources: {journal: {}}\nrules: {directory: "+dir+"}\n")
		code, out, errOut := invoke(t, "", "check", "--config", config)
		if want == "" && (code != exitOK || !strings.Contains(out, " attacks (seed 1)")) || want != "" && (code != exitConfig || !strings.Contains(errOut, want)) {
			t.Errorf("%s: exit %d\n%s%s", rule, code, out, errOut)
		}
	}
}

func TestUsage(t *testing.T) {
	for _, args := range [][]string{{"chek"}, {"check", "--confg", "x"}, {"check", "extra"}, {"match"}, {"--nonsense"}} {
		if code, _, errOut := invoke(t, "", args...); code != exitUsage || !strings.Contains(errOut, "--help") {
			t.Errorf("%q: exit %d, %q; want %d", args, code, errOut, exitUsage)
		}
	}
	// The command that was called wrongly is named, with its own help, and what is missing is said in words.
	for _, c := range []struct {
		args []string
		says []string
	}{
		{[]string{"match"}, []string{"tattled match: the FILE to read", "'tattled match --help'"}},
		{[]string{"match", "--foo", "x"}, []string{"tattled match: unknown flag: --foo", "'tattled match --help'"}},
		{[]string{"match", "--jobs", "-1", "x"}, []string{"tattled match: --jobs"}},
		{[]string{"match", "--json", "--summary", "x"}, []string{"tattled match: "}},
		{[]string{"explain"}, []string{"tattled explain: the LINE to explain"}},
		{[]string{"explain", "--timezone", "Mars/North", "x"}, []string{"tattled explain: --timezone", "'tattled explain --help'"}},
		{[]string{"check", "extra"}, []string{`tattled check: unexpected argument "extra"`}},
		{[]string{"run", "--config"}, []string{"tattled run: flag needs an argument"}},
		{[]string{"import", "fail2ban"}, []string{"tattled import fail2ban: the FILTER.conf to translate is missing", "'tattled import fail2ban --help'"}},
		{[]string{"import", "fail3ban"}, []string{`tattled import: there is no command "fail3ban": did you mean fail2ban?`}},
		{[]string{"chek"}, []string{`tattled: there is no command "chek": did you mean check?`, "'tattled --help'"}},
		{[]string{"nope"}, []string{`tattled: there is no command "nope"` + "\n"}},
	} {
		code, out, errOut := invoke(t, "", c.args...)
		for _, says := range c.says {
			if code != exitUsage || out != "" || !strings.Contains(errOut, says) {
				t.Errorf("%q: exit %d, %q lacks %q", c.args, code, errOut, says)
			}
		}
	}
	for _, args := range [][]string{{}, {"--help"}, {"run", "--help"}, {"check", "--help"}, {"match", "--help"}, {"version"}, {"completion", "bash"}} {
		if code, out, errOut := invoke(t, "", args...); code != exitOK || out == "" || errOut != "" {
			t.Errorf("%q: exit %d, %d bytes out, %q", args, code, len(out), errOut)
		}
	}
}

// The package's build makes the manual pages by a build of its own.
func TestManual(t *testing.T) {
	dir := t.TempDir()
	if out, err := exec.Command("go", "run", "-tags", "man", "tattled/cmd/tattled", "man", "--dir", dir).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, name := range []string{"tattled.8", "tattled-run.8", "tattled-import-fail2ban.8"} {
		if page, err := os.ReadFile(filepath.Join(dir, name)); err != nil || !bytes.Contains(page, []byte(".SH SYNOPSIS")) {
			t.Errorf("%s: %v, %d bytes", name, err, len(page))
		}
	}
}

// A key that the service cannot use keeps a reload from taking effect and the daemon from nothing; a start with it ends with 78,
// which systemd does not try again.
func TestBadKeyEndsNoDetection(t *testing.T) {
	key := write(t, t.TempDir(), "the.key", strings.Repeat("abcdefgh12", 8))
	if err := os.Chmod(key, 0o600); err != nil {
		t.Fatal(err)
	}
	config := quick(t, "policy_defaults: false\npolicy: [{name: one, when: {kind: [auth-failure]}, do: [count]}]\nreport: {abuseipdb: {url: \"http://127.0.0.1:1/\", key_file: "+key+"}}\n")
	p := start(t, "run", "--config", config).ready()
	if err := os.Chmod(key, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	eventually(t, 10*time.Second, "the reload to be refused", func() bool { return strings.Contains(p.text(), "nothing was changed") })
	if _, err := fmt.Fprintf(p.dial(), "<38>%s web1 sshd[1]: Failed password for root from 45.148.10.1 port 1 ssh2\n", time.Now().Format(time.Stamp)); err != nil {
		t.Fatal(err)
	}
	eventually(t, 10*time.Second, "detection to go on", func() bool {
		return p.metric(`tattled_policy_decisions_total{action="count",policy="one"}`) == 1
	})
	p.stop()
	if code, _, errOut := invoke(t, "", "run", "--config", config); code != exitConfig || !strings.Contains(errOut, "report.abuseipdb.key_file: ") || !strings.Contains(errOut, "chmod 640 ") {
		t.Errorf("exit %d, %s; want %d and the remedy", code, errOut, exitConfig)
	}
	if code, _, errOut := invoke(t, "", "check", "--config", config); code != exitConfig || !strings.Contains(errOut, "chmod 640 ") {
		t.Errorf("check exits with %d, %s", code, errOut)
	}
}
