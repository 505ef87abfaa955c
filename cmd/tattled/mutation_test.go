package main

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// mutationBase has one setting a line, so that a mutation hits one. Paths are below the working directory.
const mutationBase = `sources:
  files:
    - path: %[1]s/auth.log
      start: beginning
      max_line: 4096
      timezone: UTC
  syslog:
    - listen: "tcp://127.0.0.1:0"
      allow: [127.0.0.0/8]
      max_line: 8192
trusted:
  - 192.0.2.0/24
rules:
  directory: %[1]s/rules.d
  disable: [nginx]
  drift: 1000
  trusted_proxies: [198.51.100.7]
policy_defaults: false
policy:
  - name: brute
    when:
      kind: [auth-failure]
      service: [sshd]
    threshold: 5
    within: 10m
    do: [report]
  - name: many-users
    when: {kind: [auth-failure], country_not: [BE]}
    distinct: users
    threshold: 3
    within: 1d
    do: [alert]
regular_ports: [80, 443]
report:
  abuseipdb:
    url: "http://127.0.0.1:9/api/v2/"
    key_file: %[1]s/key
    window: 24h
    rate: 5
    timeout: 10s
    uncertain: drop
alerts:
  mail:
    server: "127.0.0.1:9"
    from: tattled@example.org
    to: [admin@example.org]
    mute: 24h
    tls: none
geoip:
  city: %[1]s/city.mmdb
store:
  path: %[1]s/state.db
  max_size: 64
  events: 1000
  event_age: 1d
  waiting: 1000
web:
  listen: "127.0.0.1:0"
`

// mutate breaks one place of a configuration, or leaves it as good as it was.
func mutate(r *rand.Rand, text string) string {
	values := []string{
		"", "~", "-1", "0", "1", "99999999999999999999", "1e999", "NaN", "yes", "[]", "{}", "[a, b]", "{a: b}", "10.0.0.1/8", `"\x00"`, "\"\u202e\"", "9d", "-5m", "5", `"tcp://"`,
		`"tcp://[::1"`, `"udp://0.0.0.0:99999"`, "/", "a/b", strings.Repeat("x", 5000), "0x10", "\"::1\"", "\"%s\"", "*x", "&x y", "!!binary aGVsbG8=", "|", "0.0000001", "[report, report]", "2026-11-30",
	}
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	i := r.IntN(len(lines))
	key, _, hasValue := strings.Cut(lines[i], ": ")
	switch r.IntN(9) {
	case 0, 1, 2: // another value
		if hasValue {
			lines[i] = key + ": " + values[r.IntN(len(values))]
		} else {
			lines[i] += " " + values[r.IntN(len(values))]
		}
	case 3: // a slip in the line
		if n := len(lines[i]); n > 0 {
			at := r.IntN(n)
			lines[i] = lines[i][:at] + lines[i][at+1:]
		}
	case 4: // a byte that does not belong there
		at := r.IntN(len(lines[i]) + 1)
		lines[i] = lines[i][:at] + string([]byte{"\t\x00\xff{}[]:#'\"&*!|>%@"[r.IntN(18)]}) + lines[i][at:]
	case 5: // left out
		lines = append(lines[:i:i], lines[i+1:]...)
	case 6: // twice
		lines = append(lines[:i+1:i+1], lines[i:]...)
	case 7: // in another depth
		if r.IntN(2) == 0 {
			lines[i] = "  " + lines[i]
		} else {
			lines[i] = strings.TrimPrefix(lines[i], "  ")
		}
	case 8: // cut off
		text := strings.Join(lines, "\n")
		return text[:r.IntN(len(text))]
	}
	return strings.Join(lines, "\n") + "\n"
}

var faultLine = regexp.MustCompile(`^\S+\.yaml(:\d+)?: .+`)

// environmental is what a start may fail with although the configuration is sound: the machine is not as it says.
var environmental = regexp.MustCompile(`no such file or directory|permission denied|address already in use|cannot assign requested address|not a directory|is a directory|read-only file system|file name too long`)

// beside are faults of check about what is beside the configuration: what a reload does not look at, and a start fails with.
var beside = regexp.MustCompile(`: store\.path: |: only root can open port|: geoip\.`)

// Two hundred mutations of a configuration (with TATTLED_FULL=1 each of them at a start as well): what is at fault is refused,
// with the line, by check and by a reload, and the daemon goes on with what it had; what check accepts, a start accepts.
func TestConfigurationMutations(t *testing.T) {
	const mutations = 200
	seed := uint64(1)
	r := rand.New(rand.NewPCG(seed, 21))
	dir := t.TempDir()
	write(t, dir, "key", strings.Repeat("0123456789abcdef", 5))
	base := fmt.Sprintf(mutationBase, dir)
	config := write(t, dir, "tattled.yaml", base)
	p := start(t, "run", "--config", config).ready()
	var refused, accepted, started, withLine int
	for n := range mutations {
		text := mutate(r, base)
		path := write(t, dir, "mutation.yaml", text)
		code, _, errOut := invoke(t, "", "check", "--config", path)
		onlyBeside := code == exitConfig
		switch code {
		case exitOK:
			accepted++
			if full() || accepted%8 == 1 {
				mayStart(t, n, path, text)
				started++
			}
		case exitConfig:
			refused++
			for line := range strings.Lines(errOut) {
				if strings.HasPrefix(line, "warning: ") {
					continue
				}
				onlyBeside = onlyBeside && beside.MatchString(line)
				m := faultLine.FindStringSubmatch(strings.TrimSpace(line))
				if m == nil || !strings.HasPrefix(line, dir) { // one of the rules' folder, where another configuration may be
					t.Errorf("mutation %d: %q names no file\n%s", n, line, text)
				} else if m[1] != "" {
					withLine++
				}
			}
		default:
			t.Errorf("mutation %d: exit %d\n%s\n%s", n, code, errOut, text)
		}
		p.reloadInto(t, n, config, text, code == exitOK, onlyBeside)
	}
	if code, body := p.get("/readyz"); code != 200 {
		t.Errorf("after all reloads: %d %s", code, body)
	}
	if refused < mutations/4 || accepted < 10 || withLine < refused*9/10 {
		t.Errorf("%d refused (%d with a line), %d accepted: the mutations say little", refused, withLine, accepted)
	}
	p.stop()
	t.Logf("figure: row 21: %d mutations (seed %d): %d refused at check and reload, %d faults with their line, the old configuration ran on; %d accepted, %d of these started, all of them good",
		mutations, seed, refused, withLine, accepted, started)
}

// reloadInto reloads with text and waits for the word about it, which either says that it may be any.
func (p *process) reloadInto(t *testing.T, n int, config, text string, good, either bool) {
	t.Helper()
	before := len(p.text())
	write(t, filepath.Dir(config), filepath.Base(config), text)
	if err := p.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	said := func() string {
		if text := p.text(); len(text) > before {
			return text[before:]
		}
		return ""
	}
	eventually(t, 20*time.Second, fmt.Sprintf("the word about reload %d", n), func() bool {
		select {
		case <-p.gone:
			t.Fatalf("mutation %d ended the daemon: %v\n%s", n, p.err, text)
		default:
		}
		return strings.Contains(said(), "msg=reloaded") || strings.Contains(said(), "nothing was changed")
	})
	if took := strings.Contains(said(), "msg=reloaded"); took != good && !either {
		t.Errorf("mutation %d: check says %v, the reload %v\n%s\n%s", n, good, took, said(), text)
	}
}

// mayStart runs a configuration that check accepts until it is ready, or fails for the machine's sake.
func mayStart(t *testing.T, n int, path, text string) {
	t.Helper()
	if err := os.RemoveAll(filepath.Join(filepath.Dir(path), "second")); err != nil {
		t.Fatal(err)
	}
	state := regexp.MustCompile(`(?m)^(\s*path: .*)/state\.db$`).ReplaceAllString(text, "$1/second.db") // the first one has its file locked
	second := start(t, "run", "--config", write(t, filepath.Dir(path), "second.yaml", state))
	defer second.kill()
	eventually(t, 20*time.Second, fmt.Sprintf("mutation %d to start", n), func() bool {
		select {
		case <-second.gone:
			return true
		default:
			return strings.Contains(second.text(), "msg=ready")
		}
	})
	if said := second.text(); !strings.Contains(said, "msg=ready") && !environmental.MatchString(said) {
		t.Errorf("mutation %d: check accepts it, and it does not start:\n%s\n%s", n, said, text)
	}
}
