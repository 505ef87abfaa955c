package alerts

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

const key = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

// buildTattled makes the program as make build does, and returns its path.
func buildTattled(t *testing.T) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "tattled")
	cmd := exec.CommandContext(t.Context(), "go", "build", "-buildvcs=false", "-o", program, "tattled/cmd/tattled")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %v\n%s", cmd, err, out)
	}
	return program
}

// program is one that runs until the test ends, or is ended.
type program struct {
	t    *testing.T
	args []string
	env  []string
	log  string // the path of what it says
	cmd  *exec.Cmd
	gone chan struct{}
}

func (p *program) start() {
	p.t.Helper()
	log, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		p.t.Fatal(err)
	}
	defer log.Close()
	p.cmd = exec.CommandContext(context.WithoutCancel(p.t.Context()), p.args[0], p.args[1:]...)
	p.cmd.Env = append(os.Environ(), p.env...)
	p.cmd.Stdout, p.cmd.Stderr = log, log
	if err := p.cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	cmd, gone := p.cmd, make(chan struct{})
	p.gone = gone
	go func() { defer close(gone); _ = cmd.Wait() }()
}

// signal sends one; after one that ends the program it waits until that is gone.
func (p *program) signal(s syscall.Signal) {
	if p.cmd == nil {
		return
	}
	_ = p.cmd.Process.Signal(s)
	if s != syscall.SIGHUP {
		select {
		case <-p.gone:
		case <-time.After(30 * time.Second):
			_ = p.cmd.Process.Kill()
			<-p.gone
		}
	}
}

// tattled is a daemon with a folder of its own.
type tattled struct {
	program
	dir, web, config string
}

// newTattled prepares a daemon with a configuration, in which DIR is its folder.
func newTattled(t *testing.T, binary, name, config string) *tattled {
	t.Helper()
	d := &tattled{dir: filepath.Join(t.TempDir(), name), web: freePort(t)}
	d.program = program{t: t, args: []string{binary, "run", "--config", d.dir + "/tattled.yaml"}, env: []string{"ABUSEIPDB_KEY="}, log: d.dir + "/log"}
	if err := os.Mkdir(d.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	config = strings.ReplaceAll(config, "DIR", d.dir)
	if !strings.Contains(config, "store:") {
		config += "store: {path: " + d.dir + "/state.db}\n"
	}
	d.config = config + "web: {listen: \"" + d.web + "\"}\n"
	d.write("tattled.yaml", d.config)
	d.write("key", key)
	t.Cleanup(func() {
		d.signal(syscall.SIGKILL)
		if t.Failed() {
			text, _ := os.ReadFile(d.log)
			t.Logf("the log of %s ends with\n%s", name, text[max(0, len(text)-4000):])
		}
	})
	return d
}

func (d *tattled) write(name, text string) {
	d.t.Helper()
	if err := os.WriteFile(filepath.Join(d.dir, name), []byte(text), 0o600); err != nil {
		d.t.Fatal(err)
	}
}

// logs appends lines to a file of its folder.
func (d *tattled) logs(name string, lines ...string) {
	d.t.Helper()
	f, err := os.OpenFile(filepath.Join(d.dir, name), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		d.t.Fatal(err)
	}
	defer f.Close()
	if _, err := io.WriteString(f, strings.Join(lines, "\n")+"\n"); err != nil {
		d.t.Fatal(err)
	}
}

// run starts it and waits until it answers.
func (d *tattled) run() {
	d.t.Helper()
	d.start()
	within(d.t, 30*time.Second, "tattled to be ready", func() bool {
		code, _ := get(d.t, "http://"+d.web+"/readyz")
		return code == http.StatusOK
	})
}

// sshLine is a failed login, as a log file has it.
func sshLine(addr string, n int) string {
	return fmt.Sprintf("%s web1 sshd[%d]: Failed password for root from %s port 1 ssh2", time.Now().Format(time.Stamp), n, addr)
}

// attackers returns n failed logins of different addresses.
func attackers(n int) (lines []string) {
	for i := range n {
		lines = append(lines, sshLine(fmt.Sprintf("45.%d.%d.%d", 146+i/62500, i/250%250, 1+i%250), i))
	}
	return lines
}

// send writes a text over a TCP connection from an address and closes it.
func send(t *testing.T, from, to, text string) {
	t.Helper()
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}, Timeout: 5 * time.Second}
	conn, err := dialer.DialContext(t.Context(), "tcp", to)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_, err = io.WriteString(conn, text)
	if err != nil && !errors.Is(err, syscall.EPIPE) && !errors.Is(err, syscall.ECONNRESET) { // a sender that is refused
		t.Fatal(err)
	}
}

func freePort(t *testing.T) string {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// get returns status and body, 0 if nobody answers.
func get(t *testing.T, address string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, nil)
	if err != nil {
		t.Error(err)
		return 0, ""
	}
	client := http.Client{Timeout: 5 * time.Second}
	res, err := client.Do(req)
	if err != nil {
		return 0, ""
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		return 0, ""
	}
	return res.StatusCode, string(body)
}

// within polls until it is so.
func within(t *testing.T, limit time.Duration, what string, so func() bool) {
	t.Helper()
	end := time.After(limit)
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for !so() {
		select {
		case <-tick.C:
		case <-end:
			t.Fatalf("gave up after waiting %v for %s", limit, what)
		}
	}
}

// prometheus is Debian's, with the packaged rules at another pace.
type prometheus struct {
	program
	web string
}

// startPrometheus runs it on targets, with the rules of a file.
func startPrometheus(t *testing.T, rules string, targets []string, flags ...string) *prometheus {
	t.Helper()
	lackTools(t, "prometheus", "promtool")
	dir := t.TempDir()
	// Not the name that the package gives the job: the rules must do without it.
	config := fmt.Sprintf("global: {scrape_interval: 500ms, scrape_timeout: 500ms, evaluation_interval: 500ms}\nrule_files: [%s]\n"+
		"scrape_configs: [{job_name: logs, static_configs: [{targets: [%s]}]}]\n", rules, `"`+strings.Join(targets, `", "`)+`"`)
	if err := os.WriteFile(dir+"/prometheus.yml", []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	p := &prometheus{web: freePort(t)}
	p.program = program{t: t, log: dir + "/log", args: append([]string{
		"prometheus", "--config.file=" + dir + "/prometheus.yml", "--storage.tsdb.path=" + dir + "/data", "--web.listen-address=" + p.web, "--log.level=warn",
	}, flags...)}
	p.start()
	t.Cleanup(func() {
		p.signal(syscall.SIGKILL)
		if t.Failed() {
			text, _ := os.ReadFile(p.log)
			t.Logf("the log of Prometheus ends with\n%s", text[max(0, len(text)-2000):])
		}
	})
	within(t, 30*time.Second, "Prometheus to be ready", func() bool {
		code, _ := get(t, "http://"+p.web+"/-/ready")
		return code == http.StatusOK
	})
	return p
}

// firing returns the alerts that fire, as NAME INSTANCE, with their description.
func (p *prometheus) firing() (map[string]string, error) {
	var answer struct {
		Data struct {
			Alerts []struct {
				Labels, Annotations map[string]string
				State               string
			}
		}
	}
	_, body := get(p.t, "http://"+p.web+"/api/v1/alerts")
	if err := json.Unmarshal([]byte(body), &answer); err != nil {
		return nil, err
	}
	all := map[string]string{}
	for _, a := range answer.Data.Alerts {
		if a.State == "firing" {
			all[strings.TrimSpace(a.Labels["alertname"]+" "+a.Labels["instance"])] = a.Annotations["description"]
		}
	}
	return all, nil
}

// query returns how many series an expression has now.
func (p *prometheus) query(expr string) int {
	p.t.Helper()
	var answer struct{ Data struct{ Result []any } }
	_, body := get(p.t, "http://"+p.web+"/api/v1/query?query="+url.QueryEscape(expr))
	if err := json.Unmarshal([]byte(body), &answer); err != nil {
		p.t.Fatalf("%v: %s", err, body)
	}
	return len(answer.Data.Result)
}

// quickRules writes a copy of the packaged rules in which time passes faster, and changes nothing else: what must hold for minutes,
// hours or a day must hold for a second; what is looked at over 15 minutes or less is looked at over five seconds, twenty minutes are
// one, and an hour or more is fifteen seconds. What has waited for three hours (10800 seconds) has waited for eight.
func quickRules(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(rulesFile)
	if err != nil {
		t.Fatal(err)
	}
	pace := func(span string) string {
		switch {
		case span == "20m": // in which a refused key is tried again three times
			return "1m"
		case strings.HasSuffix(span, "m"):
			return "5s"
		default:
			return "15s"
		}
	}
	quick := regexp.MustCompile(`(for: )\d+[mhdw]`).ReplaceAll(text, []byte("${1}1s"))
	quick = regexp.MustCompile(`\[\d+[mhdw]\]`).ReplaceAllFunc(quick, func(b []byte) []byte { return []byte("[" + pace(strings.Trim(string(b), "[]")) + "]") })
	quick = regexp.MustCompile(`offset \d+[mhdw]`).ReplaceAllFunc(quick, func(b []byte) []byte { return []byte("offset " + pace(string(b))) })
	quick = bytes.ReplaceAll(quick, []byte("> 10800"), []byte("> 8"))
	path := filepath.Join(t.TempDir(), "quick.rules.yml")
	if err := os.WriteFile(path, quick, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// rename moves a file of its folder.
func (d *tattled) rename(from, to string) {
	d.t.Helper()
	if err := os.Rename(filepath.Join(d.dir, from), filepath.Join(d.dir, to)); err != nil {
		d.t.Fatal(err)
	}
}

// metric says whether a sample is there now.
func (d *tattled) metric(sample string) bool {
	_, text := get(d.t, "http://"+d.web+"/metrics")
	return strings.Contains("\n"+text, "\n"+sample+"\n")
}
