package daemon

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"tattled/machine"
	"tattled/policy"
	"tattled/setting"
)

// put writes a file below dir, with its folders.
func put(t *testing.T, dir, name, text string, mode os.FileMode) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil { // of a file that was there
		t.Fatal(err)
	}
	return path
}

// sharedDir makes a temporary folder that everybody may enter, as package testing does not.
func sharedDir(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for d := dir; strings.HasPrefix(d, os.TempDir()+"/"); d = filepath.Dir(d) {
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// One of each fault and each dead setting: all are told at once, each at its line and with what to do.
func TestCheckTellsEverything(t *testing.T) {
	dir := t.TempDir()
	key := put(t, dir, "key", `"`+theKey+`"`, 0o600)
	text := fmt.Sprintf(`sources:
  journal: {}
  files:
    - path: %[1]s/missing.log
      program: ngnix
  syslog:
    - listen: "udp://0.0.0.0:514"
      program: mikrotik
      max_line: 0
rules:
  disable:
    - sshd/invalid-user
    - sshd/fialed-password
  directory: %[1]s/missing.d
policy:
  - name: one
    when:
      service: [shd]
      rule_not: [faild-password]
      source: [jurnal]
    threshold: 0
    do: [report]
  - name: two
    when:
      country_not: [BE]
      asn: [64500]
    reputation: {max_score: 0}
    do: [alert]
  - name: three
    when: {kind: [firewall-block]}
    do: [report]
  - {name: port-scn, enabled: false}
report:
  abuseipdb:
    url: https://api.abuseipdb.com/api/v2/report
    key_file: %[2]s
geoip:
  city: %[2]s
store:
  path: %[1]s/nowhere/state.db
`, dir, key)
	path := put(t, dir, "tattled.yaml", text, 0o600)
	c := checking{path: path, parts: shippedParts(), units: unitFiles{put(t, dir, "root/etc/systemd/system/tattled.service", "[Service]\nUser=root\n", 0o600)[:len(dir)+5]}}
	checked, err := c.run()
	if err == nil {
		t.Fatal("nothing is at fault")
	}
	told := func(all, setting, want string) {
		t.Helper()
		at := regexp.MustCompile(regexp.QuoteMeta(path) + `:(\d+): ` + regexp.QuoteMeta(setting) + `: .*` + regexp.QuoteMeta(want))
		m := at.FindStringSubmatch(all)
		if m == nil {
			t.Errorf("%s is not reported with %q", setting, want)
			return
		}
		n, err := strconv.Atoi(m[1])
		if err != nil {
			t.Fatal(err)
		}
		name := setting[max(strings.LastIndexAny(setting, "."), 0):]
		name = strings.Trim(regexp.MustCompile(`\[\d+\]`).ReplaceAllString(name, ""), ".")
		if line := strings.Split(text, "\n")[n-1]; !strings.Contains(line, name) && !strings.Contains(line, "fialed") {
			t.Errorf("%s is reported at line %d: %s", setting, n, line)
		}
	}
	for setting, want := range map[string]string{
		"sources.files[0].program":   `did you mean "nginx"?`,
		"sources.syslog[0].listen":   "systemctl edit tattled.socket",
		"sources.syslog[0].max_line": "0 is not possible",
		"rules.disable[1]":           `of sshd: did you mean "failed-password"?`,
		"policy[0].threshold":        "0 is not possible",
		"policy[0].when.source[0]":   `did you mean "journal"?`,
		"policy[3].name":             `did you mean "port-scan"?`,
		"report.abuseipdb.url":       "ends in the endpoint report",
		"report.abuseipdb.key_file":  "quotes",
		"geoip.city":                 "name a MaxMind DB file",
		"store.path":                 "install -d -o root -m 0700 ",
	} {
		told(err.Error(), setting, want)
	}
	warned := strings.Join(checked.Warnings, "\n")
	for setting, want := range map[string]string{
		"sources.files[0].path": "does not exist",
		"rules.directory":       "no rules of your own",
		"policy[1].when.asn":    "no event fulfils it",
		"policy[1].do":          "add alerts.mail",
		"policy[2].do":          "nothing proves who sent a packet",
	} {
		told(warned, setting, want)
	}
	// Names in policies are judged once the rules could be loaded, and conditions once there is no key that is at fault.
	text = strings.NewReplacer("    - sshd/fialed-password\n", "", "    key_file: "+key+"\n", "", "  city: "+key+"\n", "  asn: "+dir+"/missing.mmdb\n").Replace(text)
	put(t, dir, "tattled.yaml", text, 0o600)
	checked, err = c.again().run()
	if err == nil {
		t.Fatal("nothing is at fault")
	}
	told(err.Error(), "policy[0].when.service[0]", `there is no service "shd": did you mean "sshd"?`)
	told(err.Error(), "policy[0].when.rule_not[0]", `there is no rule "faild-password": did you mean "failed-password"?`)
	warned = strings.Join(checked.Warnings, "\n")
	told(warned, "policy[1].when.country_not", "every event fulfils it")
	told(warned, "policy[1].reputation", "put the key into")
	told(warned, "geoip.asn", "until it is there")
}

func (c checking) again() *checking {
	return &checking{path: c.path, attackAll: c.attackAll, parts: c.parts, units: c.units}
}

// Dead settings alone are no fault, and a daemon whose policies report nobody is told of.
func TestDeadSettingsAreWarnings(t *testing.T) {
	dir := t.TempDir()
	for text, want := range map[string]string{
		"policy: [{name: a, do: [alert]}]":                                             ":2: policy[0].do: there is no channel",
		"policy_defaults: false":                                                       ":2: policy_defaults: no policy reports",
		"policy_defaults: false\npolicy: [{name: a, do: [count]}]":                     ":2: policy_defaults: no policy reports",
		"policy: [{name: flood, threshold: 5, within: 1m, do: [report]}]":              ":2: policy[0].name: this entry replaces all of the policy flood",
		"policy: [{name: a, reputation: {max_score: 0}, do: [alert]}]":                 ":2: policy[0].reputation: without an AbuseIPDB key no score is known, and unknown: alert then sends every alert",
		"policy: [{name: a, reputation: {max_score: 0, unknown: alert}, do: [alert]}]": ":2: policy[0].reputation: without an AbuseIPDB key no score is known, and unknown: alert then sends every alert",
		"policy: [{name: a, reputation: {max_score: 0, unknown: drop}, do: [alert]}]":  ":2: policy[0].reputation: without an AbuseIPDB key no score is known, and unknown: drop then sends no alert",
		"report: {abuseipdb: {window: 1d}}":                                            ":2: report.abuseipdb.key_file: no AbuseIPDB key",
	} {
		path := put(t, dir, "tattled.yaml", "sources: {journal: {}}\n"+text+"\nstore: {path: "+dir+"/state.db}\n", 0o600)
		checked, err := checkSurroundings(t, path, unitFiles{dir})
		if all := strings.Join(checked, "\n"); err != nil || !strings.Contains(all, path+want) {
			t.Errorf("%s: %v\n%s; want a warning %s", text, err, all, want)
		}
	}
}

// Whatever makes a start fail is a fault of check; and what is wrong with the configuration, or with what it names, is not
// tried again (exit code 78).
func TestWhatFailsAStartFailsCheck(t *testing.T) {
	dir := t.TempDir()
	put(t, dir, "open.key", theKey, 0o644)
	put(t, dir, "quoted.key", `"`+theKey+`"`, 0o600)
	put(t, dir, "a-file", "x", 0o600)
	put(t, dir, "bad.d/mine.yaml", "service: mine\n", 0o600)
	if err := os.MkdirAll(filepath.Join(dir, "folder"), 0o700); err != nil {
		t.Fatal(err)
	}
	mail := "alerts: {mail: {server: 'localhost:25', from: a@example.org, to: [b@example.org], "
	for _, c := range []struct {
		text   string
		starts bool // it does
		other  bool // its exit code is not 78
	}{
		{text: "", starts: true},
		{text: "polcy: []"},
		{text: "policy: [{name: a, when: {service: [shd]}, do: [count]}]"},
		{text: "policy: [{name: a, when: {source: [jurnal]}, do: [count]}]"},
		{text: "policy: [{name: a, threshold: 0, do: [count]}]"},
		{text: "rules: {disable: [nothing]}"},
		{text: "rules: {directory: DIR/a-file}"},
		{text: "rules: {directory: DIR/bad.d}"},
		{text: "rules: {netfilter: {block: ['']}}"},
		{text: "report: {abuseipdb: {url: 'https://api.example.org/api/v2/check'}}"},
		{text: "report: {abuseipdb: {key_file: DIR/open.key}}"},
		{text: "report: {abuseipdb: {key_file: DIR/quoted.key}}"},
		{text: "report: {abuseipdb: {key_file: DIR/folder}}"},
		{text: mail + "username: u}}"},
		{text: mail + "username: u, password_file: DIR/open.key}}"},
		{text: mail + "ca_file: DIR/a-file}}"},
		{text: "web: {listen: '127.0.0.1:0', config_file: DIR/a-file}"},
		{text: "store: {path: DIR/nowhere/state.db}", other: true},
		{text: "store: {path: DIR/a-file/state.db}", other: true},
		{text: "store: {path: DIR/folder}", other: true},
	} {
		text := "sources: {syslog: [{listen: 'udp://127.0.0.1:0'}]}\n" + strings.ReplaceAll(c.text, "DIR", dir) + "\n"
		if !strings.Contains(c.text, "store:") {
			text += "store: {path: " + dir + "/state.db}\n"
		}
		if !strings.Contains(c.text, "web:") {
			text += "web: {listen: '127.0.0.1:0'}\n"
		}
		path := put(t, dir, "tattled.yaml", text, 0o600)
		d, err := New(Options{Config: path, Log: slog.New(slog.DiscardHandler)})
		if err == nil {
			for _, r := range d.receivers {
				if s, ok := r.(io.Closer); ok {
					s.Close()
				}
			}
			d.close()
		}
		if (err == nil) != c.starts {
			t.Errorf("%s: a start fails with %v", c.text, err)
		}
		var faults Faults
		if err != nil && errors.As(err, &faults) == c.other {
			t.Errorf("%s: a start fails with %T", c.text, err)
		}
		_, err = Check(path, false)
		if (err == nil) != c.starts {
			t.Errorf("%s: check says %v", c.text, err)
		}
		if err != nil && !strings.Contains(c.text, "bad.d") && !strings.Contains(err.Error(), path+":2: ") {
			t.Errorf("%s: check names no line: %v", c.text, err)
		}
	}
}

// Root checks as the user that the service runs as, who may not read what root may.
func TestCheckJudgesAsTheService(t *testing.T) {
	if os.Getuid() != 0 {
		machine.Lacks(t, "only root can be somebody else")
	}
	dir := sharedDir(t)
	put(t, dir, "root/usr/lib/systemd/system/tattled.service", "[Service]\nUser=nobody\n", 0o644)
	key := put(t, dir, "key", theKey, 0o600)
	if err := os.Mkdir(filepath.Join(dir, "state"), 0o777); err != nil || os.Chmod(filepath.Join(dir, "state"), 0o777) != nil {
		t.Fatal(err)
	}
	path := put(t, dir, "tattled.yaml", fmt.Sprintf("sources: {journal: {}}\nreport: {abuseipdb: {key_file: %s}}\nstore: {path: %s/state/state.db}\n", key, dir), 0o644)
	units := unitFiles{filepath.Join(dir, "root")}
	checked, err := (&checking{path: path, parts: shippedParts(), units: units}).run()
	shown := setting.Redact(key)
	want := fmt.Sprintf("%s:2: report.abuseipdb.key_file: read secret: %s: permission denied: chown root:tattled %[2]s && chmod 640 %[2]s", path, shown)
	if err == nil || err.Error() != want {
		t.Errorf("check says %v, want %s", err, want)
	}
	if !slices.ContainsFunc(checked.Warnings, func(w string) bool { return strings.Contains(w, "as user nobody") }) {
		t.Errorf("it does not say as whom: %q", checked.Warnings)
	}
	if err := os.Chmod(filepath.Join(dir, "state"), 0o755); err != nil || os.Chown(key, 0, 65534) != nil || os.Chmod(key, 0o640) != nil {
		t.Fatal(err)
	}
	_, err = (&checking{path: path, parts: shippedParts(), units: units}).run()
	if err == nil || strings.Contains(err.Error(), "key_file") || !strings.Contains(err.Error(), ":3: store.path: the service cannot write to its folder") {
		t.Errorf("check says %v", err)
	}
	put(t, dir, "web.yaml", "", 0o600)
	put(t, dir, "tattled.yaml", fmt.Sprintf("sources: {journal: {}}\nweb: {config_file: %s/web.yaml}\nstore: {path: %[1]s/state/state.db}\n", dir), 0o600)
	checked, err = (&checking{path: path, parts: shippedParts(), units: units}).run()
	if err == nil || !strings.Contains(err.Error(), ":2: web.config_file: ") || !strings.Contains(err.Error(), "permission denied") {
		t.Errorf("check says %v", err)
	}
	if !slices.ContainsFunc(checked.Warnings, func(w string) bool { return strings.Contains(w, "the service may not read it") }) {
		t.Errorf("it does not say that the configuration cannot be read: %q", checked.Warnings)
	}
	if text, err := os.ReadFile(put(t, dir, "still-root", "x", 0o600)); err != nil || !bytes.Equal(text, []byte("x")) {
		t.Errorf("the rights of the process are gone: %v", err)
	}
}

// checkSurroundings is Check without the rules, whose samples take long.
func checkSurroundings(t *testing.T, path string, units unitFiles) (warned []string, err error) {
	t.Helper()
	cfg, err := shippedParts().read(path)
	if err != nil {
		t.Fatal(err)
	}
	cfg.credentials = cfg.parts.credentials(units)
	c := checking{path: path, parts: shippedParts(), units: units, cfg: cfg}
	c.surroundings()
	for _, w := range c.warnings {
		warned = append(warned, cfg.origin.located(w).String())
	}
	if len(c.faults) > 0 {
		err = c.faults
	}
	return warned, err
}

// A key that systemd will hand to the service is known to check, which was not handed it.
func TestCheckKnowsCredentials(t *testing.T) {
	t.Setenv("CREDENTIALS_DIRECTORY", "")
	const unit = "[Service]\nUser=root\nLoadCredential=abuseipdb.key:tattled.abuseipdb.key\n"
	for name, c := range map[string]struct {
		files map[string]string
		want  string // of the fault; "" for none
		dry   bool
	}{
		"none":              {files: map[string]string{}, dry: true},
		"in the store":      {files: map[string]string{"etc/credstore/tattled.abuseipdb.key": theKey + "\n"}},
		"sealed":            {files: map[string]string{"etc/credstore.encrypted/tattled.abuseipdb.key": "xxx"}},
		"of another name":   {files: map[string]string{"etc/credstore/abuseipdb.key": theKey}, dry: true},
		"in a drop-in":      {files: map[string]string{"etc/systemd/system/tattled.service.d/a.conf": "[Service]\nLoadCredential=abuseipdb.key:/srv/key", "srv/key": theKey}},
		"taken back":        {files: map[string]string{"etc/systemd/system/tattled.service.d/a.conf": "[Service]\nLoadCredential=\n", "etc/credstore/tattled.abuseipdb.key": theKey}, dry: true},
		"in the unit":       {files: map[string]string{"etc/systemd/system/tattled.service.d/a.conf": "[Service]\nSetCredentialEncrypted=abuseipdb.key: \\\n  Whxqht"}},
		"with quotes":       {files: map[string]string{"etc/credstore/tattled.abuseipdb.key": `"` + theKey + `"`}, want: "quotes"},
		"with its variable": {files: map[string]string{"run/credstore/tattled.abuseipdb.key": "ABUSEIPDB_KEY=" + theKey}, want: "assigns"},
	} {
		dir := t.TempDir()
		put(t, dir, "usr/lib/systemd/system/tattled.service", unit, 0o644)
		for name, text := range c.files {
			put(t, dir, name, text, 0o600)
		}
		path := put(t, dir, "tattled.yaml", "sources: {journal: {}}\nreport: {abuseipdb: {key_file: "+dir+"/none.key}}\nstore: {path: "+dir+"/state.db}\n", 0o644)
		checked, err := checkSurroundings(t, path, unitFiles{dir})
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), ":2: report.abuseipdb.key_file: ") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: check says %v, want %q", name, err, c.want)
		}
		if said := strings.Contains(strings.Join(checked, "\n"), "no AbuseIPDB key"); said != c.dry {
			t.Errorf("%s: that there is no key is said: %v", name, said)
		}
	}
}

// Without a folder of a test, unit files are those of the system, wherever check is called: not what somebody put into that folder.
func TestUnitFilesAreOfTheSystem(t *testing.T) {
	dir := t.TempDir()
	put(t, dir, "etc/systemd/system/tattled.service", "[Service]\nUser=mallory\n", 0o644)
	t.Chdir(dir)
	if name, _ := (unitFiles{}).identity(); name == "mallory" {
		t.Error("the unit is one of the working directory")
	}
	if at := (unitFiles{}).path("etc/systemd/system"); at != "/etc/systemd/system" {
		t.Errorf("units are looked for in %s", at)
	}
}

// A port that only root can open is a fault, unless a socket unit of ours holds that very address.
func TestCheckKnowsSocketUnits(t *testing.T) {
	const ours = "[Socket]\nListenDatagram=127.0.0.1:5514\nListenStream=127.0.0.1:5514\n"
	for _, c := range []struct {
		listen, dropIn, service string
		good                    bool
	}{
		{listen: "udp://127.0.0.1:5514", good: true},
		{listen: "udp://127.0.0.1:514"},
		{listen: "udp://0.0.0.0:514", dropIn: "ListenDatagram=0.0.0.0:514", good: true},
		{listen: "tcp://0.0.0.0:514", dropIn: "ListenDatagram=0.0.0.0:514"},
		{listen: "udp://:514", dropIn: "ListenDatagram=0.0.0.0:514"},
		{listen: "udp://:514", dropIn: "ListenDatagram=514", good: true},
		{listen: "tcp://[::]:601", dropIn: "ListenStream=601", good: true},
		{listen: "tcp://0.0.0.0:601", dropIn: "ListenStream=0.0.0.0:601\nListenStream="},
		{listen: "udp://0.0.0.0:514", service: "AmbientCapabilities=CAP_NET_BIND_SERVICE", good: true},
		{listen: "unix:///run/tattled/log", good: true},
	} {
		dir := t.TempDir()
		put(t, dir, "usr/lib/systemd/system/tattled.service", "[Service]\nUser=root\n"+c.service+"\n", 0o644)
		put(t, dir, "usr/lib/systemd/system/tattled.socket", ours, 0o644)
		put(t, dir, "etc/systemd/system/tattled.socket.d/override.conf", "[Socket]\n# mine\n"+c.dropIn+"\n", 0o644)
		path := put(t, dir, "tattled.yaml", "sources:\n  syslog:\n  - listen: '"+c.listen+"'\nstore: {path: "+dir+"/state.db}\n", 0o644)
		_, err := checkSurroundings(t, path, unitFiles{dir})
		if (err == nil) != c.good || err != nil && !strings.Contains(err.Error(), ":3: sources.syslog[0].listen: only root can open port ") {
			t.Errorf("%+v: check says %v", c, err)
		}
	}
	dir := t.TempDir()
	put(t, dir, "usr/lib/systemd/system/tattled.service", "[Service]\nUser=root\n", 0o644)
	path := put(t, dir, "tattled.yaml", "sources: {journal: {}}\nweb: {listen: '127.0.0.1:80'}\nstore: {path: "+dir+"/state.db}\n", 0o644)
	if _, err := checkSurroundings(t, path, unitFiles{dir}); err == nil || !strings.Contains(err.Error(), ":2: web.listen: only root can open port 80") || !strings.Contains(err.Error(), "systemctl edit tattled-web.socket") {
		t.Errorf("check says %v", err)
	}
}

// Whoever runs tattled by hand, on a machine without the service or on a state file below the working directory, is not told of the
// service's user.
func TestStateFolderIsForWhoRunsIt(t *testing.T) {
	service := t.TempDir()
	put(t, service, "usr/lib/systemd/system/tattled.service", "[Service]\nUser=nobody\n", 0o644)
	nobody := t.TempDir()
	put(t, nobody, "usr/lib/systemd/system/tattled.service", "[Service]\nUser=no-such-user\n", 0o644)
	t.Chdir(t.TempDir())
	for _, c := range []struct{ root, path, want string }{
		{service, "/nowhere/state.db", "its folder /nowhere does not exist: install -d -o nobody -m 0700 /nowhere, or set store.path"},
		{service, "var/state.db", "its folder var does not exist: make it (mkdir -p -m 0700 var) as the user who runs tattled, or set store.path"},
		{nobody, "/nowhere/state.db", "its folder /nowhere does not exist: make it (mkdir -p -m 0700 /nowhere) as the user who runs tattled, or set store.path"},
	} {
		path := put(t, t.TempDir(), "t.yaml", "sources: {journal: {}}\nstore: {path: "+c.path+"}\n", 0o644)
		if _, err := checkSurroundings(t, path, unitFiles{c.root}); err == nil || err.Error() != path+":2: store.path: "+c.want {
			t.Errorf("%s: check says %v", c.path, err)
		}
	}
}

// A folder that the service's sandbox shows read-only is told of.
func TestCheckKnowsTheSandbox(t *testing.T) {
	dir := t.TempDir()
	path := put(t, dir, "tattled.yaml", "sources: {journal: {}}\nstore: {path: "+dir+"/state.db}\n", 0o600)
	for unit, want := range map[string]bool{
		"ProtectSystem=strict": true,
		"ProtectSystem=strict\nReadWritePaths=/srv/other " + dir:      false,
		"ProtectSystem=strict\nReadWritePaths=-" + filepath.Dir(dir):  false,
		"ProtectSystem=strict\nReadWritePaths=" + dir + "-of-another": true,
		"ProtectSystem=full": false,
	} {
		put(t, dir, "usr/lib/systemd/system/tattled.service", "[Service]\nUser=root\n"+unit+"\n", 0o644)
		warned, err := checkSurroundings(t, path, unitFiles{dir})
		if got := strings.Contains(strings.Join(warned, "\n"), ":2: store.path: the service sees "); err != nil || got != want {
			t.Errorf("%s: %v, %q", unit, err, warned)
		}
	}
}

// What `tattled check --policies` prints, as the only policies of a configuration, is what holds without any.
func TestShippedPoliciesAreTheDefaults(t *testing.T) {
	for _, head := range []string{"policy_defaults: false\n", ""} {
		cfg, err := parseConfig("t.yaml", []byte("sources: {journal: {}}\n"+head+policy.Shipped()))
		if err != nil {
			t.Fatal(err)
		}
		bare, err := parseConfig("t.yaml", []byte("sources: {journal: {}}\n"))
		if err != nil {
			t.Fatal(err)
		}
		if got := cfg.policies(); len(got) < 10 || !reflect.DeepEqual(got, bare.policies()) || !reflect.DeepEqual(got, policy.Defaults()) {
			t.Errorf("%q: the policies are %+v", head, got)
		}
	}
}

// The shipped policies name services and rules that are there.
func TestShippedPoliciesNameWhatIsThere(t *testing.T) {
	all := newRuleNames(shippedParts().config(), testRules(t))
	report := func(path, problem string) { t.Errorf("%s: %s", path, problem) }
	for i, p := range policy.Defaults() {
		checkPolicyNames(fmt.Sprintf("policy[%d].when.", i), &p.When, &all, report)
	}
	found := 0
	checkPolicyNames("", &policy.When{Service: []string{"sshd"}, Rule: []string{"log4shell-agent"}}, &all, setting.FaultFunc(func(string, string) { found++ }))
	if found != 1 {
		t.Errorf("a rule of another service is found %d times", found)
	}
}
