package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// chromium is a real headless browser, driven by the DevTools protocol over a pair of pipes: no port, no library. It
// remembers what the page asked for and what it complained about.
type chromium struct {
	t  *testing.T
	in io.Writer

	mu       sync.Mutex
	next     int
	answers  map[int]chan devtoolsMessage
	requests []string // URLs of all requests
	faults   []string // console errors and warnings, exceptions, violations of the content security policy

	session string
}

type devtoolsMessage struct {
	ID        int             `json:"id,omitempty"`
	Method    string          `json:"method,omitempty"`
	SessionID string          `json:"sessionId,omitempty"`
	Params    json.RawMessage `json:"params,omitempty"`
	Result    json.RawMessage `json:"result,omitempty"`
	Error     *struct {
		Message string `json:"message"`
	} `json:"error,omitempty"`
}

// newChromium starts a browser with one empty page; the test's end stops it.
func newChromium(t *testing.T, width, height int) *chromium {
	t.Helper()
	path, err := exec.LookPath("chromium")
	if err != nil {
		t.Fatalf("this test needs a browser: apt-get install chromium (%v)", err)
	}
	toBrowser, fromTest := pipe(t)
	toTest, fromBrowser := pipe(t)
	cmd := exec.Command(path, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
		"--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage", "--hide-scrollbars",
		fmt.Sprintf("--window-size=%d,%d", width, height), "--user-data-dir="+t.TempDir(), "--remote-debugging-pipe")
	cmd.ExtraFiles = []*os.File{toBrowser, fromBrowser} // 3 and 4
	var said bytes.Buffer
	cmd.Stderr = &said
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	toBrowser.Close()
	fromBrowser.Close()
	c := &chromium{t: t, in: fromTest, answers: map[int]chan devtoolsMessage{}}
	read := make(chan struct{})
	go func() { defer close(read); c.read(toTest) }()
	t.Cleanup(func() {
		_ = c.send(devtoolsMessage{ID: 1 << 30, Method: "Browser.close"})
		overdue := time.AfterFunc(20*time.Second, func() { _ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) })
		defer overdue.Stop()
		// All processes of the browser have its standard error, and Wait returns when the last one has let go of it: then nobody
		// writes into the folder any more that is removed next.
		_ = cmd.Wait()
		<-read
		if t.Failed() {
			t.Logf("the browser said:\n%s", said.String())
		}
	})

	var target struct {
		TargetID string `json:"targetId"`
	}
	c.call("Target.createTarget", map[string]any{"url": "about:blank"}, &target)
	var attached struct {
		SessionID string `json:"sessionId"`
	}
	c.call("Target.attachToTarget", map[string]any{"targetId": target.TargetID, "flatten": true}, &attached)
	c.session = attached.SessionID
	for _, domain := range []string{"Page", "Runtime", "Log", "Network", "Audits"} {
		c.call(domain+".enable", nil, nil)
	}
	return c
}

func pipe(t *testing.T) (r, w *os.File) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close(); w.Close() })
	return r, w
}

func (c *chromium) send(m devtoolsMessage) error {
	text, err := json.Marshal(m)
	if err == nil {
		_, err = c.in.Write(append(text, 0))
	}
	return err
}

// call asks the browser and waits for its answer.
func (c *chromium) call(method string, params, result any) {
	c.t.Helper()
	raw, err := json.Marshal(params)
	if err != nil {
		c.t.Fatal(err)
	}
	if params == nil {
		raw = nil
	}
	answer := make(chan devtoolsMessage, 1)
	c.mu.Lock()
	c.next++
	m := devtoolsMessage{ID: c.next, Method: method, Params: raw, SessionID: c.session}
	c.answers[m.ID] = answer
	err = c.send(m)
	c.mu.Unlock()
	if err != nil {
		c.t.Fatalf("%s: %v", method, err)
	}
	ctx, cancel := context.WithTimeout(c.t.Context(), 30*time.Second)
	defer cancel()
	select {
	case a := <-answer:
		if a.Error != nil {
			c.t.Fatalf("%s: %s", method, a.Error.Message)
		}
		if result != nil {
			if err := json.Unmarshal(a.Result, result); err != nil {
				c.t.Fatalf("%s: %v", method, err)
			}
		}
	case <-ctx.Done():
		c.t.Fatalf("%s: the browser does not answer", method)
	}
}

func (c *chromium) read(from io.Reader) {
	r := bufio.NewReaderSize(from, 1<<20)
	for {
		text, err := r.ReadBytes(0)
		if err != nil {
			return
		}
		var m devtoolsMessage
		if json.Unmarshal(text[:len(text)-1], &m) != nil {
			continue
		}
		c.mu.Lock()
		if m.ID != 0 {
			if answer := c.answers[m.ID]; answer != nil {
				delete(c.answers, m.ID)
				answer <- m
			}
		} else {
			c.note(m)
		}
		c.mu.Unlock()
	}
}

// note keeps what a test asks for later; c.mu is held.
func (c *chromium) note(m devtoolsMessage) {
	switch m.Method {
	case "Network.requestWillBeSent":
		var p struct {
			Request struct {
				URL string `json:"url"`
			} `json:"request"`
		}
		if json.Unmarshal(m.Params, &p) == nil {
			c.requests = append(c.requests, p.Request.URL)
		}
	case "Runtime.exceptionThrown", "Audits.issueAdded":
		c.faults = append(c.faults, string(m.Params))
	case "Log.entryAdded", "Runtime.consoleAPICalled":
		if text := string(m.Params); !strings.Contains(text, `"level":"info"`) && !strings.Contains(text, `"type":"log"`) {
			c.faults = append(c.faults, text)
		}
	}
}

// open loads a page and waits until condition, a JavaScript expression, is true in it.
func (c *chromium) open(url, condition string) {
	c.t.Helper()
	c.call("Page.navigate", map[string]any{"url": url}, nil)
	c.until(condition)
}

// until waits for a JavaScript expression to become true.
func (c *chromium) until(condition string) {
	c.t.Helper()
	eventually(c.t, 20*time.Second, "the page to say "+condition, func() bool { return c.eval(condition) == "true" })
}

// eval returns what a JavaScript expression is, as JSON; promises are waited for.
func (c *chromium) eval(expression string) string {
	c.t.Helper()
	var r struct {
		Result struct {
			Value json.RawMessage `json:"value"`
		} `json:"result"`
	}
	c.call("Runtime.evaluate", map[string]any{"expression": expression, "returnByValue": true, "awaitPromise": true}, &r)
	return string(r.Result.Value)
}

// complaints returns console errors, exceptions and policy violations so far.
func (c *chromium) complaints() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]string(nil), c.faults...)
}

// asked returns the URLs of all requests so far.
func (c *chromium) asked() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]string(nil), c.requests...)
}

// screenshot writes what the page looks like, as PNG.
func (c *chromium) screenshot(path string) {
	c.t.Helper()
	var shot struct {
		Data []byte `json:"data"`
	}
	c.call("Page.captureScreenshot", map[string]any{"format": "png"}, &shot)
	if err := os.WriteFile(path, shot.Data, 0o644); err != nil {
		c.t.Fatal(err)
	}
}
