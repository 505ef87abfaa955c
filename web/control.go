package web

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"tattled/event"
	"tattled/setting"
)

// DefaultControl is where the control socket is unless the configuration says otherwise: the service's RuntimeDirectory=.
const DefaultControl = "/run/tattled/control.sock"

// ControlConfig is the control section.
type ControlConfig struct {
	// Path is the unix socket by which tattled status, events, show and others ask the daemon. Its mode is 0660: root, the
	// daemon's user and the members of its group may connect. Default: /run/tattled/control.sock, if its folder is there.
	Path string `yaml:"path"`
}

// The bounds on what a client of the control socket may cost, beside those of the page.
const (
	controlMode        = 0o660
	controlConnections = 64
	maxBody            = 64 << 10
	maxSocketPath      = 107 // unix(7): sun_path has 108 bytes, with a zero at the end
	controlRetry       = 30 * time.Second
)

// Check reports every fault.
func (c *ControlConfig) Check(report setting.FaultFunc) {
	switch {
	case len(c.Path) > maxSocketPath:
		report("path", fmt.Sprintf("the path has %d bytes, a unix socket's has %d at most: choose a shorter one, like %s", len(c.Path), maxSocketPath, DefaultControl))
	case c.Path != "" && c.Path != filepath.Clean(c.Path):
		report("path", fmt.Sprintf("%q is not a plain path: write it like %s", c.Path, DefaultControl))
	}
}

// File returns where the socket is.
func (c *ControlConfig) File() string {
	if c.Path == "" {
		return DefaultControl
	}
	return c.Path
}

// Hands are what can be done by the control socket alone. What is nil cannot be done.
type Hands struct {
	// Backup writes a consistent copy of the state file to what begin returns for its size.
	Backup func(begin func(size int64) io.Writer) error
	// Report has an address reported, and Retract has our reports of it deleted. Their errors are HandRefused where it is not to be done.
	Report  func(ctx context.Context, addr netip.Addr, asked HandReport) (HandReceipt, error)
	Retract func(ctx context.Context, addr netip.Addr) (Retraction, error)
}

// Control serves the API of a Server on a unix socket, and what changes something. Whoever may open the socket's file is believed; there is
// no way to it from a network, and so none of the page's guards against browsers either.
type Control struct {
	server  *Server
	path    string
	whether bool // only if the folder is there: the configuration names none
	hands   Hands
	http    *http.Server
	retry   time.Duration
	working sync.WaitGroup
	backups chan struct{} // capacity 1: somebody makes a backup
	free    chan struct{} // capacity: how many connections there may be

	mu       sync.Mutex
	listener *socketFile
	fault    error // why it cannot listen; nil if it does
	since    time.Time
}

// Control opens the control socket. Where that fails, it is tried again while Run runs, and Problems says so: what detects and reports is not
// to wait for it.
func (s *Server) Control(cfg ControlConfig, hands Hands) *Control {
	c := &Control{
		server: s, path: cfg.File(), whether: cfg.Path == "", hands: hands, retry: controlRetry,
		backups: make(chan struct{}, 1), free: make(chan struct{}, controlConnections),
	}
	c.http = &http.Server{
		Handler:           c.guard(c.reads(), c.writes()),
		ReadHeaderTimeout: headerTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      answerTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          s.http.ErrorLog,
	}
	c.open()
	if c.fault != nil {
		s.logger.Error("there is no control socket; all else runs, and it is tried again", "control.path", c.path, "error", c.fault, "remedy", controlRemedy)
	}
	return c
}

const controlRemedy = "set control.path to a file in a folder that the daemon may write to, and that no other tattled has"

// Path returns where the socket is, "" if there is none now.
func (c *Control) Path() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.listener == nil {
		return ""
	}
	return c.path
}

// Problems says why there is no control socket, if there is none.
func (c *Control) Problems() []event.Problem {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.fault == nil {
		return nil
	}
	return []event.Problem{{
		What:   "the control socket " + c.path + " cannot be opened",
		Cause:  fmt.Sprintf("%v; it is tried again every %s", c.fault, c.retry),
		Remedy: controlRemedy,
		Since:  c.since,
	}}
}

// open tries to listen.
func (c *Control) open() {
	l, err := listenSocket(c.path)
	if c.whether && errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.listener = l; err != nil && c.fault == nil {
		c.since = c.server.now()
	}
	c.fault = err
}

// Run serves until ctx ends; then it ends the event streams, gives other requests in hand 5 seconds, removes the socket's file and returns
// when every goroutine that it started is gone. Where somebody removed the file, another one is made. Call it once.
func (c *Control) Run(ctx context.Context) error {
	c.http.BaseContext = func(net.Listener) context.Context { return ctx }
	tick := time.NewTicker(c.retry)
	defer tick.Stop()
	var err error
	for ctx.Err() == nil && err == nil {
		if c.Path() != "" {
			err = c.serve(ctx, tick.C)
			continue
		}
		select {
		case <-ctx.Done():
		case <-tick.C:
			if c.open(); c.Path() != "" {
				c.server.logger.Info("the control socket is open now", "control.path", c.path)
			}
		}
	}
	if c.listener != nil {
		c.listener.Close() // where serve never came to take it
	}
	patience, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
	defer cancel()
	if c.http.Shutdown(patience) != nil {
		c.http.Close()
	}
	c.working.Wait()
	if err != nil {
		return fmt.Errorf("serve the control socket %s: %w", c.path, err)
	}
	return nil
}

// serve accepts connections until ctx ends, or nobody can connect any more because the socket's file is gone.
func (c *Control) serve(ctx context.Context, tick <-chan time.Time) error {
	l := c.listener // which nobody else changes now
	served := make(chan error, 1)
	go func() { served <- c.http.Serve(&capped{Listener: l, free: c.free}) }()
	for {
		select {
		case err := <-served:
			return err
		case <-ctx.Done():
			l.Close()
			if err := <-served; !errors.Is(err, net.ErrClosed) {
				return err
			}
			return nil
		case <-tick:
			if l.there() {
				continue
			}
			c.server.logger.Warn("somebody removed the control socket; another one is made", "control.path", c.path)
			l.Close()
			if err := <-served; !errors.Is(err, net.ErrClosed) {
				return err
			}
			c.open()
			return nil
		}
	}
}

// guard is before every request: it bounds the body, and lets only those paths be posted to that change something.
func (c *Control) guard(reads, writes http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c.working.Add(1)
		defer c.working.Done()
		h := w.Header()
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Cache-Control", "no-store")
		r.Body = http.MaxBytesReader(w, r.Body, maxBody)
		switch r.Method {
		case http.MethodGet, http.MethodHead:
			reads.ServeHTTP(w, r)
		case http.MethodPost:
			writes.ServeHTTP(w, r)
		default:
			h.Set("Allow", "GET, HEAD, POST")
			fail(w, r, http.StatusMethodNotAllowed, "Use GET or HEAD to read, and POST to change something.")
		}
	})
}

// reads is what the page has, and what would cost it too much.
func (c *Control) reads() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/api/v1/addresses/{ip}", c.server.serveStory)
	mux.HandleFunc("/api/v1/feed", c.server.serveBlocklist)
	mux.Handle("/", c.server.routes())
	return mux
}

// writes says what can be posted to.
func (c *Control) writes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/api/v1/backup", c.serveBackup)
	mux.HandleFunc("/api/v1/report", c.serveReport)
	mux.HandleFunc("/api/v1/retract", c.serveRetract)
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Allow", "GET, HEAD")
		fail(w, r, http.StatusMethodNotAllowed, "Nothing can be changed here: use GET or HEAD.")
	})
	return mux
}

// socketFile is a unix socket that we made. Its file is removed with it, unless another one took its place.
type socketFile struct {
	*net.UnixListener
	path string
	file os.FileInfo
}

// listenSocket opens the socket at path. The file has its mode from the first moment: bind(2) makes it with that of the socket, as far as
// the umask leaves it.
func listenSocket(path string) (*socketFile, error) {
	if err := removeStale(path); err != nil {
		return nil, err
	}
	lc := net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) error {
		var failed error
		err := raw.Control(func(fd uintptr) { failed = syscall.Fchmod(int(fd), controlMode) })
		return errors.Join(err, failed)
	}}
	l, err := lc.Listen(context.Background(), "unix", path)
	if err != nil {
		return nil, err
	}
	s := &socketFile{UnixListener: l.(*net.UnixListener), path: path}
	s.SetUnlinkOnClose(false)
	if err = os.Chmod(path, controlMode); err == nil {
		s.file, err = os.Lstat(path)
	}
	if err != nil {
		l.Close()
		return nil, err
	}
	return s, nil
}

// there reports whether the file is at its path, so that somebody can connect.
func (s *socketFile) there() bool {
	info, err := os.Lstat(s.path)
	return err == nil && os.SameFile(info, s.file)
}

// Close implements net.Listener.
func (s *socketFile) Close() error {
	if s.there() {
		os.Remove(s.path)
	}
	return s.UnixListener.Close()
}

// removeStale removes the socket that an earlier process left at path. It refuses where another one still listens, and where something
// else is.
func removeStale(path string) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case info.Mode().Type() != fs.ModeSocket:
		return fmt.Errorf("%s exists and is not a socket", path)
	}
	conn, err := (&net.Dialer{Timeout: time.Second}).DialContext(context.Background(), "unix", path)
	switch {
	case err == nil:
		conn.Close()
		return fmt.Errorf("another process listens on %s", path)
	case !errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("look whether another process listens: %w", err)
	}
	return os.Remove(path)
}
