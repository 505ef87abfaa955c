// Package double is an AbuseIPDB of one's own: an http.Handler that behaves like the API v2 as far as that is known, for
// trying tattled without a key and for every test. cmd/abuseipdb-double serves it. It keeps everything in memory,
// protects nothing, and belongs on a loopback address only.
//
// Not every behaviour of the real API is known. Each one here is marked where it is coded:
//
//	documented  AbuseIPDB says so (docs.abuseipdb.com, its bulk-report and policy pages, its own client and its tests)
//	observed    others recorded it of the real API
//	synthetic   a guess that had to be made; nothing may be concluded from it
//
// Under /api/v2/ it has report and check; the API's other endpoints are answered with 404. Under /double/ it has what the
// real one has not: GET reports and requests, PUT scores, GET and PUT faults and clock.
//
// Memory is bounded: the newest 50,000 reports and the newest 50,000 requests with at most 2 KiB of each body are kept
// (about 50 MB in ordinary use, 250 MB against somebody who tries), 50,000 scores, 1,000 keys.
package double

import (
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// The bounds of what is kept, and of what is read.
const (
	DefaultKeep = 50_000
	maxScores   = 50_000
	maxKeys     = 1_000
	maxJournal  = 2 << 10  // bytes of a request's body that the journal keeps
	maxBody     = 64 << 10 // bytes of a request's body that are read
)

// Options say what is doubled.
type Options struct {
	// Plan sets the daily quotas: standard, webmaster, supporter, basic or premium. Default: standard
	Plan string
	// Key is the only key that is taken; "" takes any but an empty one.
	Key string
	// Eastern resets the quotas at 05:00 UTC, midnight in New York in winter, instead of 00:00 UTC. The sample in the
	// documentation does the former, newer users saw the latter.
	Eastern bool
	// FreeDuplicates does not count a report that the 15-minute rule refuses against the quota. The real API was observed
	// to count it.
	FreeDuplicates bool
	// Keep is how many reports, how many requests, and how many addresses for the 15-minute rule are kept: the newest.
	// Default: DefaultKeep
	Keep int
	// Now is the clock; nil means time.Now. PUT /double/clock and Step move it.
	Now func() time.Time
}

// Report is one report that was accepted.
type Report struct {
	IP         string    `json:"ip"`
	Categories []int     `json:"categories"`
	Comment    string    `json:"comment"`
	Timestamp  string    `json:"timestamp"` // as it was sent, "" if it was not
	ReceivedAt time.Time `json:"received_at"`
}

// Request is one request as it came, refused or not.
type Request struct {
	At          time.Time `json:"at"`
	Method      string    `json:"method"`
	Path        string    `json:"path"`
	Query       string    `json:"query,omitempty"`
	Body        string    `json:"body,omitempty"` // its beginning
	ContentType string    `json:"content_type,omitempty"`
	Accept      string    `json:"accept,omitempty"`
	UserAgent   string    `json:"user_agent,omitempty"`
	Key         string    `json:"key"`             // "right", "wrong" or "none": never the key itself
	Fault       Mode      `json:"fault,omitempty"` // the fault that was injected
	Status      int       `json:"status"`          // what was answered, or would have been; 0 if it was dropped before
}

// Double is the handler. It is safe for concurrent use.
type Double struct {
	options Options
	limits  map[string]int64 // requests a day by endpoint
	zone    *time.Location
	mux     *http.ServeMux

	mu       sync.Mutex
	offset   time.Duration // of our clock to Options.Now
	reports  ring[Report]
	requests ring[Request]
	counts   map[netip.Addr]int          // reports accepted, by address
	last     map[reported]time.Time      // the last report accepted, for the 15-minute rule
	scores   map[netip.Addr]int          // as set by the tester
	usage    map[string]map[string]*used // by key and endpoint
	faults   []Fault
}

// reported is what the 15-minute rule goes by.
type reported struct {
	key  string
	addr netip.Addr
}

// used is what one key has used of one endpoint.
type used struct {
	day   string
	count int64
}

// Plans lists the names of the plans.
func Plans() []string { return []string{"standard", "webmaster", "supporter", "basic", "premium"} }

// quotas returns the requests a day of each endpoint (documented).
func quotas(plan string) map[string]int64 {
	at := slices.Index(Plans(), plan)
	if at < 0 {
		return nil
	}
	return map[string]int64{
		"check":  []int64{1000, 3000, 5000, 10000, 50000}[at],
		"report": []int64{1000, 3000, 1000, 10000, 50000}[at],
	}
}

// New returns a double with nothing in it.
func New(o Options) (*Double, error) {
	if o.Plan == "" {
		o.Plan = "standard"
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Keep <= 0 {
		o.Keep = DefaultKeep
	}
	d := &Double{
		options:  o,
		limits:   quotas(o.Plan),
		zone:     time.UTC,
		reports:  ring[Report]{limit: o.Keep},
		requests: ring[Request]{limit: o.Keep},
		counts:   map[netip.Addr]int{},
		last:     map[reported]time.Time{},
		scores:   map[netip.Addr]int{},
		usage:    map[string]map[string]*used{},
	}
	if d.limits == nil {
		return nil, fmt.Errorf("no such plan: %q (one of %v)", o.Plan, Plans())
	}
	if o.Eastern {
		d.zone = time.FixedZone("EST", -5*60*60)
	}
	d.mux = http.NewServeMux()
	d.mux.HandleFunc("/api/v2/", d.serveAPI)
	d.routeControl()
	return d, nil
}

// ServeHTTP serves the API and the controls.
func (d *Double) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, maxBody)
	d.mux.ServeHTTP(w, r)
}

// Reports returns the accepted reports, oldest first.
func (d *Double) Reports() []Report {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.reports.all()
}

// Requests returns the requests to the API, oldest first.
func (d *Double) Requests() []Request {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.requests.all()
}

// SetScore sets what check answers of addr, 0 to 100.
func (d *Double) SetScore(addr netip.Addr, score int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.scores) >= maxScores {
		clear(d.scores)
	}
	d.scores[addr.Unmap()] = score
}

// SetFaults replaces the faults that are injected; none restores good behaviour.
func (d *Double) SetFaults(faults ...Fault) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.faults = slices.Clone(faults)
}

// Step moves the double's clock.
func (d *Double) Step(by time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.offset += by
}

// now returns the double's time. The lock must be held.
func (d *Double) now() time.Time { return d.options.Now().Add(d.offset) }

// Redirect answers every request like the API's plain-http port: 302 to the same path under target, which is the https
// address (documented).
func Redirect(target string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, target+r.URL.RequestURI(), http.StatusFound)
	})
}

// ring keeps the newest of what is added.
type ring[T any] struct {
	limit int
	items []T
	start int // the oldest, once the limit is reached
}

func (r *ring[T]) add(item T) {
	if len(r.items) < r.limit {
		r.items = append(r.items, item)
		return
	}
	r.items[r.start] = item
	r.start = (r.start + 1) % r.limit
}

// all returns the items, oldest first.
func (r *ring[T]) all() []T {
	return append(slices.Clone(r.items[r.start:]), r.items[:r.start]...)
}
