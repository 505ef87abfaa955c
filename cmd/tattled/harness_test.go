package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// The tests of this package run the whole program. Started with childMark in its environment, the test's own binary is
// tattled: race detector and all, and nothing has to be built.
const childMark = "TATTLED_TEST_CHILD"

func TestMain(m *testing.M) {
	if os.Getenv(childMark) != "" {
		main()
		return
	}
	if role := os.Getenv(roleMark); role != "" { // who else takes part, as another user
		os.Exit(play(role))
	}
	os.Exit(m.Run())
}

// process is a tattled of its own process.
type process struct {
	t    *testing.T
	cmd  *exec.Cmd
	addr map[string]string // listeners, as its log names them: "web", "syslog"
	gone chan struct{}     // closed when it ended
	err  error             // how it ended

	mu  sync.Mutex
	log bytes.Buffer
}

// start runs tattled with args and without an AbuseIPDB key, and does not wait for it to be ready.
func start(t *testing.T, args ...string) *process {
	t.Helper()
	return startWith(t, "ABUSEIPDB_KEY=", args...)
}

// startReporting runs it with a key: the configuration must point at a double.
func startReporting(t *testing.T, args ...string) *process {
	t.Helper()
	return startWith(t, "ABUSEIPDB_KEY="+strings.Repeat("0123456789abcdef", 5), args...)
}

// startIn runs it with a key by a command that runs what follows it.
func startIn(t *testing.T, prefix []string, args ...string) *process {
	t.Helper()
	return startBy(t, exec.Command(prefix[0], slices.Concat(prefix[1:], []string{os.Args[0]}, args)...), "ABUSEIPDB_KEY="+strings.Repeat("0123456789abcdef", 5))
}

func startWith(t *testing.T, env string, args ...string) *process {
	t.Helper()
	return startBy(t, exec.Command(os.Args[0], args...), env)
}

func startBy(t *testing.T, cmd *exec.Cmd, env string) *process {
	t.Helper()
	p := &process{t: t, cmd: cmd, gone: make(chan struct{})}
	p.cmd.Env = append(os.Environ(), childMark+"=1", env)
	stderr, err := p.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(p.gone)
		p.listen(stderr)
		p.err = p.cmd.Wait()
	}()
	t.Cleanup(func() {
		p.kill()
		if t.Failed() {
			t.Logf("log of tattled %s:\n%s", strings.Join(cmd.Args[1:], " "), p.text())
		}
	})
	return p
}

// listen keeps the end of the log, which is what a failed test wants to see.
func (p *process) listen(stderr io.Reader) {
	lines := bufio.NewScanner(stderr)
	for lines.Scan() {
		p.mu.Lock()
		if p.log.Len() > 1<<20 {
			p.log.Reset()
		}
		p.log.Write(lines.Bytes())
		p.log.WriteByte('\n')
		p.mu.Unlock()
	}
}

func (p *process) text() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.log.String()
}

func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	<-p.gone
}

// stop ends it as systemd does and fails the test unless it ends cleanly.
func (p *process) stop() {
	p.t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		p.t.Fatal(err)
	}
	select {
	case <-p.gone:
	case <-time.After(20 * time.Second):
		_ = p.cmd.Process.Signal(syscall.SIGQUIT) // the stacks are in the log
		<-p.gone
		p.t.Fatal("tattled does not stop")
	}
	if p.err != nil {
		p.t.Fatalf("tattled ended with %v", p.err)
	}
}

var readyLine = regexp.MustCompile(`msg=ready .*`)

// ready waits until it says so, and learns its addresses.
func (p *process) ready() *process {
	p.t.Helper()
	var line string
	eventually(p.t, 20*time.Second, "tattled to be ready", func() bool {
		select {
		case <-p.gone:
			p.t.Fatalf("tattled ended at start: %v\n%s", p.err, p.text())
		default:
		}
		line = readyLine.FindString(p.text())
		return line != ""
	})
	p.addr = map[string]string{}
	for _, pair := range strings.Fields(line) {
		if name, value, ok := strings.Cut(pair, "="); ok {
			p.addr[name] = strings.Trim(value, `"`)
		}
	}
	return p
}

// get fetches a path of its page.
func (p *process) get(path string) (int, string) {
	p.t.Helper()
	client := http.Client{Timeout: 10 * time.Second}
	res, err := client.Get("http://" + p.addr["web"] + path)
	if err != nil {
		p.t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	return res.StatusCode, string(body)
}

// metric returns the sum of a metric's samples whose text begins with name.
func (p *process) metric(name string) float64 {
	p.t.Helper()
	_, body := p.get("/metrics")
	var sum float64
	for line := range strings.Lines(body) {
		if !strings.HasPrefix(line, name) {
			continue
		}
		var v float64
		if _, err := fmt.Sscan(line[strings.LastIndexByte(line, ' ')+1:], &v); err == nil {
			sum += v
		}
	}
	return sum
}

// eventually polls until condition holds, and fails the test when it does not within limit.
func eventually(t *testing.T, limit time.Duration, what string, condition func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !condition() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("gave up after waiting %v for %s", limit, what)
		}
	}
}

// write makes a file and returns its path.
func write(t *testing.T, dir, name, text string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
