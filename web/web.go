// Package web shows what tattled sees and does: a live page, a JSON API, metrics and health, over HTTP. By TCP it changes
// nothing: it answers GET and HEAD only, reads the store and what the daemon hands it, and never touches a log. What changes
// something is on a unix socket (Control). The daemon makes one Server, keeps Run alive and publishes each committed group to its Feed.
//
//	committer -> Feed.Publish -> ring -> GET /events (SSE) -> the open page
//	                               |  \-> top lists, activity
//	            store -------------+----> page, /api/v1/..., what a client missed
//
// All text of events was chosen by others. It passes through visible once, on its way into a view, and is written as
// text by html/template, encoding/json and textContent.
package web

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	toolkit "github.com/prometheus/exporter-toolkit/web"

	"tattled/event"
	"tattled/geoip"
	"tattled/setting"
	"tattled/store"
)

// The bounds on what a client may cost.
const (
	maxConnections = 1024
	headerTimeout  = 5 * time.Second
	readTimeout    = 10 * time.Second
	answerTimeout  = 30 * time.Second
	idleTimeout    = 60 * time.Second
	maxHeader      = 16 << 10
	stopTimeout    = 5 * time.Second
)

// events and books are what is read of a *store.Store.
type events interface {
	Events(after uint64, limit int) ([]event.Event, error)
	Latest(limit int) ([]event.Event, error)
}

type books interface {
	Address(addr netip.Addr) (store.Address, bool, error)
	NewestScore(addr netip.Addr) (store.Score, bool)
	Stats() store.Stats
}

type outbox interface {
	Items(limit int) ([]store.Item, error)
	ItemsOf(addr netip.Addr, limit int) ([]store.Item, error)
	EachItem(fn func(*store.Item) bool) error
}

type reader interface {
	events
	books
	outbox
}

// gate is asked what the policy in effect says of an address. Reasons are "" where there is none; because is the end of the sentence "it
// is not reported, because ...".
type gate interface {
	RefuseNetwork(p netip.Prefix) (reason, because string)
	RefuseEvent(e *event.Event) (reason, because string)
	// Reports says whether a destination is a third party, which gets reports; others get alerts.
	Reports(destination string) bool
}

// Deps is what a Server works with. Store, Gatherer and Health must be set.
type Deps struct {
	Store     reader                // a *store.Store
	Gate      gate                  // nil: reasons are not shown, and there is no feed
	Gatherer  prometheus.Gatherer   // what /metrics shows; a *prometheus.Registry gets the handler's own error counter too
	Health    func() Health         // asked at each request: cheap, safe for concurrent use
	Credits   func() []geoip.Credit // whom the GeoIP licences want named; nil for nobody
	Version   string                // shown on the page
	Logger    *slog.Logger          // told of what no caller hears; nil means nobody is told
	FeedToken func() setting.Secret // what a client of the feed must send; nil or empty: nothing, and then there is a feed on loopback alone
	Listener  net.Listener          // an inherited socket to use instead of Config.Listen; nil to listen
}

// Health is how the daemon fares.
type Health struct {
	Live     bool            // the process does its work; false makes /healthz answer 503
	Ready    bool            // it has started and takes records; false makes /readyz answer 503
	Problems []event.Problem // may be there while Live and Ready hold
	DryRun   bool            // nothing is sent to a third party
	Sources  []Source
}

// Source is how one configured source fares.
type Source struct {
	Name       string
	Reporter   string        // as configured; "" where each record's host is it
	Up         bool          // it is open and can be read
	Records    uint64        // received since the start
	Skipped    uint64        // of those, tattled's own lines
	Dropped    uint64        // of those, what went no further for another reason: empty ones, those of strangers, what was lost
	Lost       uint64        // of those dropped, what somebody may miss
	Gaps       uint64        // places where records were lost before they could be read
	Errors     uint64        // faults that passed
	Lag        time.Duration // between a record's time and its reading, at the last one
	LastRecord time.Time     // when the last record was read; zero if there was none
	Open       int64         // connections, files or helpers open now
}

// Server serves the page, the API, metrics and health on one socket.
type Server struct {
	cfg      Config
	deps     Deps
	logger   *slog.Logger
	listener net.Listener
	late     *lateListener // the listener, if it could not be opened at once
	hosts    map[string]bool
	feed     *Feed
	pages    *pages
	status   cache

	searching chan struct{} // capacity: how many searches may run at the same time
	http      *http.Server
	now       func() time.Time
	pace      pace

	// working counts the requests in hand, so that Run can wait for them.
	working sync.WaitGroup
}

// New listens (or takes the inherited listener) and reads the newest events from the store for the top lists. It serves
// nothing before Run. Where it cannot listen, because somebody else has the port, say, it is tried again while Run runs, and
// Problem says so. It refuses to listen beyond loopback without authentication, as Config.Check does, because an
// inherited socket may lie elsewhere than Config says.
func New(cfg Config, deps Deps) (*Server, error) {
	s := &Server{cfg: cfg, deps: deps, logger: deps.Logger, feed: newFeed(), now: time.Now, pace: usualPace(), searching: make(chan struct{}, searches)}
	if s.logger == nil {
		s.logger = slog.New(slog.DiscardHandler)
	}
	latest, err := deps.Store.Latest(ringSize)
	if err != nil {
		return nil, fmt.Errorf("read the newest events: %w", err)
	}
	s.feed.Publish(latest)
	if s.pages, err = newPages(); err != nil {
		return nil, err
	}
	s.listener = deps.Listener
	if s.listener == nil {
		if s.listener, err = s.listen(); err != nil {
			return nil, fmt.Errorf("listen for the web page (web.listen): %w", err)
		}
	}
	if err := s.cfg.exposure(isLoopback(s.listener.Addr())); err != nil {
		s.listener.Close()
		return nil, err
	}
	s.hosts = cfg.hosts(s.listener.Addr())
	s.http = &http.Server{
		Handler:           s.guard(s.routes()),
		ReadHeaderTimeout: headerTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      answerTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          slog.NewLogLogger(s.logger.Handler(), slog.LevelDebug),
	}
	return s, nil
}

// Addr returns where the server listens.
func (s *Server) Addr() net.Addr { return s.listener.Addr() }

// URL returns where a browser on this machine finds the page.
func (s *Server) URL() string {
	at := s.Addr().String()
	if tcp, ok := s.Addr().(*net.TCPAddr); ok && tcp.IP.IsUnspecified() {
		at = net.JoinHostPort("localhost", strconv.Itoa(tcp.Port))
	}
	scheme := "http"
	if s.cfg.encrypts() {
		scheme = "https"
	}
	return scheme + "://" + at + "/"
}

// Feed returns where committed events are to be published.
func (s *Server) Feed() *Feed { return s.feed }

// Run serves until ctx ends; then it ends the event streams, gives other requests in hand 5 seconds, and returns nil when
// every goroutine that it started is gone. It returns an error where it cannot serve (a bad config_file). Call it once.
func (s *Server) Run(ctx context.Context) error {
	s.http.BaseContext = func(net.Listener) context.Context { return ctx }
	var err error
	served := make(chan struct{})
	go func() {
		defer close(served)
		flags := &toolkit.FlagConfig{WebConfigFile: &s.cfg.ConfigFile}
		err = toolkit.Serve(&capped{Listener: s.listener, free: make(chan struct{}, maxConnections)}, s.http, flags, s.logger)
	}()
	select {
	case <-served:
	case <-ctx.Done():
	}
	patience, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
	defer cancel()
	if s.http.Shutdown(patience) != nil {
		s.http.Close()
	}
	s.listener.Close() // where Serve never came to take it
	<-served
	s.working.Wait()
	if err != nil && !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve the web page on %s: %w", s.Addr(), err)
	}
	return nil
}

// capped is a listener that closes connections beyond a number at once, so that clients that say nothing cannot use up
// memory and descriptors.
type capped struct {
	net.Listener
	free chan struct{}
}

func (c *capped) Accept() (net.Conn, error) {
	for {
		conn, err := c.Listener.Accept()
		if err != nil {
			return nil, err
		}
		select {
		case c.free <- struct{}{}:
			return &cappedConn{Conn: conn, release: sync.OnceFunc(func() { <-c.free })}, nil
		default:
			conn.Close()
		}
	}
}

type cappedConn struct {
	net.Conn
	release func()
}

func (c *cappedConn) Close() error {
	defer c.release()
	return c.Conn.Close()
}
