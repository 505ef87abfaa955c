package web

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// controlRig is a control socket that is served, and a client of it.
type controlRig struct {
	*Control
	t      *testing.T
	client *http.Client
}

// serveControl opens a control socket and serves it until the test's end.
func serveControl(t *testing.T, s *Server, path string, hands Hands) *controlRig {
	t.Helper()
	c := s.Control(ControlConfig{Path: path}, hands)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- c.Run(ctx) }()
	r := &controlRig{Control: c, t: t, client: unixClient(path)}
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
		r.client.CloseIdleConnections()
	})
	return r
}

func unixClient(path string) *http.Client {
	return &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", path)
	}}}
}

func (r *controlRig) do(method, path string, body io.Reader, headers ...string) (answer, string) {
	r.t.Helper()
	req, err := http.NewRequest(method, "http://tattled"+path, body)
	if err != nil {
		r.t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	res, err := r.client.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	return answer{res.Status, res.StatusCode, res.Proto, res.ProtoMajor, res.Header}, string(text)
}

func socketPath(t *testing.T) string { return filepath.Join(t.TempDir(), "control.sock") }

// The same API as by TCP, byte for byte, whatever the client calls the server; and nothing is left when it ends.
func TestControlServesTheAPI(t *testing.T) {
	s := start(t, peopled(300), nil, usualPace())
	path := socketPath(t)
	c := serveControl(t, s.Server, path, Hands{})
	for _, at := range []string{"/api/v1/summary", "/api/v1/events?limit=3", "/api/v1/top", "/api/v1/outbox", "/api/v1/sources", "/healthz", "/api/v1/addresses/x"} {
		byTCP, want := s.get(at)
		byUnix, got := c.do(http.MethodGet, at, nil, "Host", "anything.example.org", "Sec-Fetch-Site", "cross-site")
		if got != want || byTCP.StatusCode != byUnix.StatusCode {
			t.Errorf("%s: %s by the socket, %s by TCP", at, got, want)
		}
	}
	if a, _ := c.do(http.MethodPost, "/api/v1/events", strings.NewReader("x")); a.StatusCode != http.StatusMethodNotAllowed || a.Header.Get("Allow") == "" {
		t.Errorf("a post to what is read: %+v", a)
	}
	if a, _ := c.do(http.MethodDelete, "/api/v1/events", nil); a.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("a delete: %+v", a)
	}
}

// The file has its mode although the umask would give another, is replaced when it is stale, and is removed at the end.
func TestControlFile(t *testing.T) {
	s := newServer(t, peopled(3), nil)
	path := socketPath(t)
	for _, umask := range []int{0, 0o077} {
		before := syscall.Umask(umask)
		c := s.Control(ControlConfig{Path: path}, Hands{})
		syscall.Umask(before)
		if info, err := os.Lstat(path); err != nil || info.Mode() != fs.ModeSocket|controlMode {
			t.Errorf("umask %o: %v, %v", umask, info.Mode(), err)
		}
		c.listener.UnixListener.Close() // as a process does that is killed: the file stays
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Control(ControlConfig{Path: path}, Hands{}).Run(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the socket's file is left: %v", err)
	}
}

// A socket that another process listens on, and what is no socket, is not touched, and is a problem until it is gone.
func TestControlTaken(t *testing.T) {
	s := newServer(t, peopled(3), nil)
	path := socketPath(t)
	if err := os.WriteFile(path, []byte("a file"), 0o600); err != nil {
		t.Fatal(err)
	}
	c := s.Control(ControlConfig{Path: path}, Hands{})
	if p := c.Problems(); len(p) != 1 || !strings.Contains(p[0].Cause, "is not a socket") {
		t.Errorf("problems: %v", p)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	other, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	c.retry = time.Millisecond
	if c.open(); len(c.Problems()) != 1 || !strings.Contains(c.Problems()[0].Cause, "another process listens") || c.Path() != "" {
		t.Errorf("problems: %v", c.Problems())
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- c.Run(ctx) }()
	other.Close()
	limit := time.After(patience)
	for c.Path() == "" {
		select {
		case <-limit:
			t.Fatal("it was not opened when the other one was gone")
		case <-time.After(time.Millisecond):
		}
	}
	if p := c.Problems(); len(p) > 0 {
		t.Errorf("problems are left: %v", p)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// A socket whose file somebody removed is made again.
func TestControlFileRemoved(t *testing.T) {
	s := newServer(t, peopled(3), nil)
	path := socketPath(t)
	c := s.Control(ControlConfig{Path: path}, Hands{})
	c.retry = time.Millisecond
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- c.Run(ctx) }()
	r := &controlRig{Control: c, t: t, client: unixClient(path)}
	for range 3 {
		if a, _ := r.do(http.MethodGet, "/healthz", nil); a.StatusCode != http.StatusOK {
			t.Error(a.Status)
		}
		r.client.CloseIdleConnections()
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		limit := time.After(patience)
		for there := false; !there; {
			select {
			case <-limit:
				t.Fatal("it was not made again")
			case <-time.After(time.Millisecond):
				conn, err := net.Dial("unix", path)
				if there = err == nil; there {
					conn.Close()
				}
			}
		}
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	r.client.CloseIdleConnections()
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the socket's file is left: %v", err)
	}
}

// Where the configuration names no socket and the folder of the usual one is missing, there is none, and that is no problem.
func TestControlWithoutItsFolder(t *testing.T) {
	s := newServer(t, peopled(3), nil)
	c := &Control{server: s, path: filepath.Join(t.TempDir(), "missing", "control.sock"), whether: true, retry: time.Hour}
	if c.open(); c.Path() != "" || len(c.Problems()) > 0 {
		t.Errorf("%q, %v", c.Path(), c.Problems())
	}
	c.whether = false
	if c.open(); len(c.Problems()) != 1 {
		t.Errorf("one that is named and cannot be opened: %v", c.Problems())
	}
}

// Nothing that changes something can be reached by TCP.
func TestNothingIsPostedByTCP(t *testing.T) {
	s := start(t, peopled(3), nil, usualPace())
	serveControl(t, s.Server, socketPath(t), Hands{Backup: func(func(int64) io.Writer) error { t.Error("a backup by TCP"); return nil }})
	for _, path := range []string{"/api/v1/backup", "/api/v1/report", "/api/v1/retract"} {
		res, err := s.client.Post(s.url+path, "application/json", strings.NewReader("{}"))
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != http.StatusMethodNotAllowed {
			t.Errorf("POST %s: %s", path, res.Status)
		}
		if a, _ := s.get(path); a.StatusCode != http.StatusNotFound {
			t.Errorf("GET %s: %s", path, a.Status)
		}
	}
}

// A backup comes whole, one at a time, and one that fails midway is no success.
func TestControlBackup(t *testing.T) {
	s := newServer(t, peopled(3), nil)
	content := bytes.Repeat([]byte("0123456789abcdef"), 100_000)
	var fails error
	entered, leave := make(chan struct{}, 1), make(chan struct{})
	c := serveControl(t, s, socketPath(t), Hands{Backup: func(begin func(int64) io.Writer) error {
		w := begin(int64(len(content)))
		entered <- struct{}{}
		<-leave
		if fails != nil {
			_, _ = w.Write(content[:1000])
			return fails
		}
		_, err := w.Write(content)
		return err
	}})
	got := make(chan string, 1)
	go func() {
		_, text := c.do(http.MethodPost, "/api/v1/backup", nil)
		got <- text
	}()
	<-entered
	if a, text := c.do(http.MethodPost, "/api/v1/backup", nil); a.StatusCode != http.StatusServiceUnavailable || !strings.Contains(text, "Another backup") {
		t.Errorf("a second one meanwhile: %s %s", a.Status, text)
	}
	leave <- struct{}{}
	if text := <-got; text != string(content) {
		t.Errorf("%d bytes came, want %d", len(text), len(content))
	}
	fails = errors.New("broken on purpose")
	go func() { <-entered; leave <- struct{}{} }()
	res, err := c.client.Post("http://tattled/api/v1/backup", "", nil)
	if err == nil {
		if _, err = io.ReadAll(res.Body); err == nil {
			t.Error("a backup that was cut off looks whole")
		}
		res.Body.Close()
	}
}

// The page's limits hold here as well: of headers, of a body, and of connections.
func TestControlLimits(t *testing.T) {
	s := newServer(t, peopled(3), nil)
	path := socketPath(t)
	c := serveControl(t, s, path, Hands{})
	req, _ := http.NewRequest(http.MethodGet, "http://tattled/healthz", nil)
	req.Header.Set("X-Large", strings.Repeat("x", 64<<10))
	if res, err := c.client.Do(req); err == nil { // it may also be cut off before the answer is read
		res.Body.Close()
		if res.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
			t.Errorf("64 KiB of headers: %s", res.Status)
		}
	}
	var open []net.Conn
	for range controlConnections + 5 {
		conn, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		open = append(open, conn)
	}
	last := open[len(open)-1]
	last.SetDeadline(time.Now().Add(patience))
	if _, err := last.Read(make([]byte, 1)); !errors.Is(err, io.EOF) && !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("one connection too many was kept: %v", err)
	}
}

// Events are followed over the socket as on the page.
func TestControlFollows(t *testing.T) {
	f := &fakeStore{}
	s := newServer(t, f, nil)
	s.pace = quick()
	c := serveControl(t, s, socketPath(t), Hands{})
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	req, _ := http.NewRequestWithContext(ctx, http.MethodGet, "http://tattled/events?after=0", nil)
	res, err := c.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	all := newWorld().events(3, base)
	f.add(all...)
	s.Feed().Publish(all)
	stream := newSSE(t, res)
	stream.expectSeqs(1, 3)
}

func TestControlConfig(t *testing.T) {
	for path, want := range map[string]string{
		"": "", "/run/tattled/control.sock": "", "var/control.sock": "",
		"/run/" + strings.Repeat("x", 110): "has 115 bytes", "/run/tattled/": "is not a plain path", "/run/../x": "is not a plain path",
	} {
		var got []string
		c := ControlConfig{Path: path}
		c.Check(func(setting, problem string) { got = append(got, setting+": "+problem) })
		if want == "" && len(got) > 0 || want != "" && !slices.ContainsFunc(got, func(s string) bool { return strings.HasPrefix(s, "path: ") && strings.Contains(s, want) }) {
			t.Errorf("%q: %q, want %q", path, got, want)
		}
	}
}

// What is posted must be one small object with the fields that are known; and who refuses says why.
func TestControlHands(t *testing.T) {
	s := newServer(t, peopled(3), nil)
	var asked HandReport
	refuse := error(nil)
	c := serveControl(t, s, socketPath(t), Hands{
		Report: func(_ context.Context, addr netip.Addr, r HandReport) (HandReceipt, error) {
			asked = r
			return HandReceipt{Address: addr.String(), ID: "1"}, refuse
		},
		Retract: func(_ context.Context, addr netip.Addr) (Retraction, error) {
			return Retraction{Address: addr.String()}, refuse
		},
	})
	for body, want := range map[string]int{
		`{"address":"203.0.113.9","categories":["ssh"],"comment":"x"}`: 200,
		`{"address":"::ffff:203.0.113.9","categories":["ssh"]}`:        200,
		`{"address":"203.0.113.9/24"}`:                                 400,
		`{"address":"fe80::1%eth0"}`:                                   400,
		`{"address":"<b>"}`:                                            400,
		`{"address":"203.0.113.9","nosuch":1}`:                         400,
		`{"address":"203.0.113.9"}{"address":"203.0.113.8"}`:           400,
		`[]`: 400,
		``:   400,
		`{"address":"203.0.113.9","comment":"` + strings.Repeat("x", maxBody) + `"}`: 400,
	} {
		asked = HandReport{}
		a, text := c.do(http.MethodPost, "/api/v1/report", strings.NewReader(body))
		if a.StatusCode != want || strings.Contains(text, "<b>") || want != 200 && asked.Address != "" {
			t.Errorf("%.80s: %s %s", body, a.Status, text)
		}
	}
	if _, text := c.do(http.MethodPost, "/api/v1/retract", strings.NewReader(`{"address":"::ffff:203.0.113.9"}`)); !strings.Contains(text, `"address":"203.0.113.9"`) {
		t.Error(text)
	}
	for _, one := range []struct {
		err  error
		want int
		says string
	}{
		{HandRefused{Detail: "it is \x1b trusted"}, 409, `it is \\x1b trusted`}, {HandRefused{Usage: true, Detail: "no such category"}, 400, "no such category"},
		{errors.New("the disk burns"), 500, "the daemon's log says why"},
	} {
		refuse = one.err
		for _, path := range []string{"/api/v1/report", "/api/v1/retract"} {
			if a, text := c.do(http.MethodPost, path, strings.NewReader(`{"address":"203.0.113.9"}`)); a.StatusCode != one.want || !strings.Contains(text, one.says) || strings.Contains(text, "burns") {
				t.Errorf("%v: %s %s", one.err, a.Status, text)
			}
		}
	}
}
