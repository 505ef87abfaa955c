// Package double is an AbuseIPDB of one's own: an http.Handler that behaves like the API v2 as far as that is known, for
// trying tattled without a key and for every test. cmd/abuseipdb-double serves it. It protects nothing, and belongs on a
// loopback address only.
//
// Not every behaviour of the real API is known. Behaviours lists what the double does, each marked as documented, observed
// or synthetic; the code that does it names the mark as well.
//
// Under /api/v2/ it has all seven endpoints. Under /double/ it has what the real one has not: see help.
//
// Memory is bounded: the newest 50,000 reports and the newest 50,000 requests with at most 2 KiB of each body are kept
// (about 50 MB in ordinary use, 250 MB against somebody who tries), the newest 8 bulk files, 50,000 addresses, 1,000 keys.
package double

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"iter"
	"net/http"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// The bounds of what is kept, and of what is read.
const (
	DefaultKeep = 50_000
	maxKnown    = 50_000
	maxKeys     = 1_000
	keepFiles   = 8
	maxJournal  = 2 << 10  // bytes of a request's body that the journal keeps
	maxBody     = 64 << 10 // bytes of a request's body that are read
	maxUpload   = 4 << 20  // the same of a bulk file, which is too large before that, and of what sets the double
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
	// Now is the clock; nil means time.Now. Start, PUT /double/clock and Step move it.
	Now func() time.Time
	// Start is what the clock shows at first; zero leaves it as it is.
	Start time.Time
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

// stored is a report with whose it is.
type stored struct {
	Report
	Reporter string `json:"reporter"` // the keyID
}

// Facts are what check and blacklist say of an address. The tester sets them: nothing is known of any address otherwise.
type Facts struct {
	Score       int      `json:"score"`
	Country     string   `json:"country,omitempty"` // two letters
	UsageType   string   `json:"usage_type,omitempty"`
	ISP         string   `json:"isp,omitempty"`
	Domain      string   `json:"domain,omitempty"`
	Hostnames   []string `json:"hostnames,omitempty"`
	Tor         bool     `json:"tor,omitempty"`
	Whitelisted *bool    `json:"whitelisted,omitempty"`
}

// known are the facts about an address, and since when they are so.
type known struct {
	Facts
	At time.Time `json:"at"`
}

// Double is the handler. It is safe for concurrent use.
type Double struct {
	options Options
	zone    *time.Location
	mux     *http.ServeMux

	mu       sync.Mutex
	offset   time.Duration // of our clock to Options.Now
	reports  ring[stored]
	requests ring[Request]
	files    ring[File]
	last     map[reported]time.Time      // the last report accepted, for the 15-minute rule
	known    map[netip.Addr]known        // as set by the tester
	usage    map[string]map[string]*used // by keyID and endpoint
	faults   []Fault
	changed  bool // since Save
}

// File is one bulk file as it came.
type File struct {
	At   time.Time `json:"at"`
	Text string    `json:"text"`
}

// reported is what the 15-minute rule goes by.
type reported struct {
	key  string // keyID
	addr netip.Addr
}

// used is what one key has used of one endpoint.
type used struct {
	Day   string `json:"day"`
	Count int64  `json:"count"`
}

// keyID stands for a key, which is not kept.
func keyID(key string) string {
	sum := sha256.Sum256([]byte(key))
	return hex.EncodeToString(sum[:8])
}

// New returns a double with nothing in it.
func New(o Options) (*Double, error) {
	if o.Plan == "" {
		o.Plan = "standard"
	}
	if !slices.Contains(Plans(), o.Plan) {
		return nil, fmt.Errorf("no such plan: %q (one of %v)", o.Plan, Plans())
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Keep <= 0 {
		o.Keep = DefaultKeep
	}
	d := &Double{
		options:  o,
		zone:     time.UTC,
		reports:  ring[stored]{limit: o.Keep},
		requests: ring[Request]{limit: o.Keep},
		files:    ring[File]{limit: keepFiles},
		last:     map[reported]time.Time{},
		known:    map[netip.Addr]known{},
		usage:    map[string]map[string]*used{},
	}
	if !o.Start.IsZero() {
		d.offset = o.Start.Sub(o.Now())
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
	limit := int64(maxBody)
	if r.URL.Path == "/api/v2/bulk-report" || r.Method == http.MethodPut {
		limit = maxUpload
	}
	r.Body = http.MaxBytesReader(w, r.Body, limit)
	d.mux.ServeHTTP(w, r)
}

// Reports returns the accepted reports, oldest first; what clear-address deleted is gone.
func (d *Double) Reports() []Report {
	d.mu.Lock()
	defer d.mu.Unlock()
	var all []Report
	for r := range d.reports.each() {
		all = append(all, r.Report)
	}
	return all
}

// Requests returns the requests to the API, oldest first.
func (d *Double) Requests() []Request {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Collect(d.requests.each())
}

// Files returns the newest bulk files, oldest first, whatever was answered.
func (d *Double) Files() []File {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Collect(d.files.each())
}

// SetScore sets the score that is answered of addr, 0 to 100.
func (d *Double) SetScore(addr netip.Addr, score int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	facts := d.known[addr.Unmap()].Facts
	facts.Score = score
	d.set(addr, facts)
}

// SetFacts sets all that is answered of addr.
func (d *Double) SetFacts(addr netip.Addr, facts Facts) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.set(addr, facts)
}

// set sets the facts. The lock must be held.
func (d *Double) set(addr netip.Addr, facts Facts) {
	if len(d.known) >= maxKnown {
		clear(d.known)
	}
	d.known[addr.Unmap()] = known{facts, d.now()}
	d.changed = true
}

// SetFaults replaces the faults that are injected; none restores good behaviour.
func (d *Double) SetFaults(faults ...Fault) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.faults = slices.Clone(faults)
	d.changed = true
}

// Step moves the double's clock.
func (d *Double) Step(by time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.offset += by
	d.changed = true
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

// each goes through the items, oldest first.
func (r *ring[T]) each() iter.Seq[T] {
	return func(yield func(T) bool) {
		for i := range r.items {
			if !yield(r.items[(r.start+i)%len(r.items)]) {
				return
			}
		}
	}
}

// fill has the ring hold the newest of items, oldest first.
func (r *ring[T]) fill(items []T) {
	r.items, r.start = slices.Clone(items[max(0, len(items)-r.limit):]), 0
}
