package web

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"tattled/event"
	"tattled/store"
)

// The bounds of an answer's length.
const (
	maxEvents = 1000
	maxItems  = 500
)

// routes says what is where. Everything else is 404.
func (s *Server) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/{$}", s.servePage)
	mux.HandleFunc("/addresses/{ip}", s.serveAddressPage)
	mux.HandleFunc("/assets/{name}", s.serveAsset)
	mux.HandleFunc("/events", s.serveStream)
	mux.HandleFunc("/api/v1/events", s.serveEvents)
	mux.HandleFunc("/api/v1/addresses/{ip}", s.serveAddress)
	mux.HandleFunc("/api/v1/top", s.serveTop)
	mux.HandleFunc("/api/v1/summary", s.serveSummary)
	mux.HandleFunc("/api/v1/outbox", s.serveOutbox)
	mux.HandleFunc("/api/v1/sources", s.serveSources)
	mux.HandleFunc("/api/v1/feed", s.serveFeed)
	mux.HandleFunc("/healthz", s.serveHealth)
	mux.HandleFunc("/readyz", s.serveReady)
	mux.Handle("/metrics", s.metrics())
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		fail(w, r, http.StatusNotFound, "There is nothing at this address.")
	})
	return mux
}

func (s *Server) metrics() http.Handler {
	registry, _ := s.deps.Gatherer.(prometheus.Registerer)
	return promhttp.HandlerFor(s.deps.Gatherer, promhttp.HandlerOpts{
		ErrorLog:            promLog{s},
		ErrorHandling:       promhttp.ContinueOnError,
		Registry:            registry,
		EnableOpenMetrics:   true,
		MaxRequestsInFlight: 4,
		Timeout:             10 * time.Second,
		CoalesceGather:      true,
	})
}

// promLog passes on what promhttp has to say, but not of each family that a scraper did not wait for.
type promLog struct{ s *Server }

func (l promLog) Println(v ...any) {
	for _, one := range v {
		if err, is := one.(error); is && errors.Is(err, context.Canceled) {
			return
		}
	}
	l.s.logger.Warn("metrics could not be shown in full", "error", fmt.Sprint(v...))
}

// EventsAnswer is the answer of /api/v1/events: ascending by seq. To read on, ask again with after=next.
type EventsAnswer struct {
	Events  []Event `json:"events"`
	Next    uint64  `json:"next"`
	LastSeq uint64  `json:"last_seq"`          // of the newest event there is
	Partial bool    `json:"partial,omitempty"` // a search ended at a bound before it had seen every event
}

// serveEvents answers with the oldest events after the seq "after", or with the newest ones if it is not given.
func (s *Server) serveEvents(w http.ResponseWriter, r *http.Request) {
	if !only(w, r, append([]string{"limit", "after"}, filterNames...)...) {
		return
	}
	limit, ok := number(w, r, "limit", 100, 1, maxEvents)
	if !ok {
		return
	}
	f, ok := s.askFilter(w, r)
	if !ok {
		return
	}
	after, ok := number(w, r, "after", 0, 0, 1<<63)
	if !ok {
		return
	}
	answer := EventsAnswer{Next: after, LastSeq: s.feed.newest()}
	if f != nil {
		s.serveSearch(w, r, f, answer, int(limit))
		return
	}
	var found []event.Event
	if r.URL.Query().Has("after") {
		var err error
		if found, err = s.deps.Store.Events(after, int(limit)); err != nil {
			s.failStore(w, r, err)
			return
		}
	} else {
		found = s.feed.latest(int(limit))
	}
	answer.Events = viewEvents(found)
	if len(found) > 0 {
		answer.Next = found[len(found)-1].Seq
		answer.LastSeq = max(answer.LastSeq, answer.Next)
	}
	answerJSON(w, r, http.StatusOK, answer)
}

// serveSearch answers with events that fit a filter. Next is the seq up to which was looked.
func (s *Server) serveSearch(w http.ResponseWriter, r *http.Request, f *filter, answer EventsAnswer, limit int) {
	found, err := s.search(r.Context(), f, answer.Next, answer.LastSeq, r.URL.Query().Has("after"), limit)
	if err != nil {
		s.failStore(w, r, err)
		return
	}
	answer.Events, answer.Next, answer.Partial = viewEvents(found.events), found.upTo, found.partial
	answer.LastSeq = max(answer.LastSeq, answer.Next)
	answerJSON(w, r, http.StatusOK, answer)
}

// AddressAnswer is the answer of /api/v1/addresses/{ip}.
type AddressAnswer struct {
	Network     string            `json:"network"` // the address; of IPv6, its /64, which is counted as one
	First       time.Time         `json:"first"`
	Last        time.Time         `json:"last"`
	Events      uint64            `json:"events"`
	Kinds       map[string]uint64 `json:"kinds"`
	Country     string            `json:"country,omitempty"`
	CountryName string            `json:"country_name,omitempty"`
	ASN         uint32            `json:"asn,omitempty"`
	Org         string            `json:"org,omitempty"`
	Reported    []ReportedAnswer  `json:"reported"`
	Recent      []Event           `json:"recent"` // ascending, at most 16
}

// ReportedAnswer is one telling to one destination.
type ReportedAnswer struct {
	Destination string    `json:"destination"`
	Policy      string    `json:"policy,omitempty"`
	Time        time.Time `json:"time"`
	DryRun      bool      `json:"dry_run,omitempty"`  // nothing was sent
	Unproven    bool      `json:"unproven,omitempty"` // an alert about events that may be forged
}

func (s *Server) serveAddress(w http.ResponseWriter, r *http.Request) {
	if !only(w, r) {
		return
	}
	addr, err := netip.ParseAddr(r.PathValue("ip"))
	if err != nil {
		fail(w, r, http.StatusBadRequest, "That is not an IP address.")
		return
	}
	answer, err := s.address(addr)
	switch {
	case errors.Is(err, errUnknown):
		fail(w, r, http.StatusNotFound, "No event of this address is kept.")
	case err != nil:
		s.failStore(w, r, err)
	default:
		answerJSON(w, r, http.StatusOK, answer)
	}
}

// errUnknown means that nothing is kept about an address.
var errUnknown = errors.New("unknown address")

func (s *Server) address(addr netip.Addr) (*AddressAnswer, error) {
	known, ok, err := s.deps.Store.Address(addr.Unmap().WithZone(""))
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, errUnknown
	}
	answer := &AddressAnswer{
		Network: networkText(known.Network), First: plain(known.First), Last: plain(known.Last), Events: known.Total(),
		Kinds: make(map[string]uint64, len(known.Counts)), Reported: []ReportedAnswer{}, Recent: []Event{},
		Country: event.Visible(known.Place.Country), CountryName: event.Visible(known.Place.CountryName),
		ASN: known.Place.ASN, Org: event.Visible(known.Place.Org),
	}
	for kind, n := range known.Counts {
		answer.Kinds[kind.String()] = n
	}
	for _, window := range known.Windows {
		answer.Reported = append(answer.Reported, ReportedAnswer{
			event.Visible(window.Destination), event.Visible(window.Policy), plain(window.At), window.DryRun, window.Unproven,
		})
	}
	slices.SortFunc(answer.Reported, func(a, b ReportedAnswer) int {
		return cmp.Or(cmp.Compare(a.Destination, b.Destination), cmp.Compare(a.Policy, b.Policy), a.Time.Compare(b.Time))
	})
	for _, seq := range known.Events {
		found, err := s.deps.Store.Events(seq-1, 1)
		if err != nil {
			return nil, err
		}
		if len(found) == 1 && found[0].Seq == seq {
			answer.Recent = append(answer.Recent, viewEvent(&found[0]))
		}
	}
	if n := len(answer.Recent); n > 0 && answer.CountryName == "" {
		answer.CountryName, answer.Org = answer.Recent[n-1].CountryName, answer.Recent[n-1].Org
	}
	return answer, nil
}

// networkText writes a single address without its mask.
func networkText(p netip.Prefix) string {
	if p.IsSingleIP() {
		return p.Addr().String()
	}
	return p.String()
}

func (s *Server) serveTop(w http.ResponseWriter, r *http.Request) {
	if !only(w, r, "limit") {
		return
	}
	if limit, ok := number(w, r, "limit", 10, 1, maxTop); ok {
		answerJSON(w, r, http.StatusOK, s.feed.tops(s.now(), int(limit)))
	}
}

// SummaryAnswer is the answer of /api/v1/summary.
type SummaryAnswer struct {
	Version   string          `json:"version"`
	Time      time.Time       `json:"time"`
	Live      bool            `json:"live"`
	Ready     bool            `json:"ready"`
	DryRun    bool            `json:"dry_run"`
	Problems  []ProblemAnswer `json:"problems"`
	Events    uint64          `json:"events"` // kept
	LastSeq   uint64          `json:"last_seq"`
	Addresses uint64          `json:"addresses"`
	Bytes     int64           `json:"store_bytes"`
	Outbox    []OutboxCount   `json:"outbox"`
	Sources   []SourceAnswer  `json:"sources"`
}

// OutboxCount is how many reports for a destination are in a state.
type OutboxCount struct {
	Destination string `json:"destination"`
	State       string `json:"state"`
	Items       uint64 `json:"items"`
}

// SourceAnswer is how a source fares.
type SourceAnswer struct {
	Name       string     `json:"name"`
	Reporter   string     `json:"reporter,omitempty"`
	Up         bool       `json:"up"`
	Records    uint64     `json:"records"`
	Skipped    uint64     `json:"skipped"`
	Dropped    uint64     `json:"dropped"`
	Lost       uint64     `json:"lost"` // of those dropped
	Gaps       uint64     `json:"gaps"`
	Errors     uint64     `json:"errors"`
	Open       int64      `json:"open"`
	LagSeconds float64    `json:"lag_seconds"`
	LastRecord *time.Time `json:"last_record,omitempty"`
}

func (s *Server) serveSummary(w http.ResponseWriter, r *http.Request) {
	if !only(w, r) {
		return
	}
	health, stats := s.deps.Health(), s.deps.Store.Stats()
	answer := SummaryAnswer{
		Version: s.deps.Version, Time: s.now().UTC(), Live: health.Live, Ready: health.Ready, DryRun: health.DryRun,
		Problems: problemsOf(health), Events: stats.Events, LastSeq: stats.LastSeq, Addresses: stats.Addresses,
		Bytes: stats.Usage.Used, Outbox: outboxCounts(stats), Sources: sourcesOf(health),
	}
	answerJSON(w, r, http.StatusOK, answer)
}

// SourcesAnswer is the answer of /api/v1/sources: every configured source, in the order of the page.
type SourcesAnswer struct {
	Sources []SourceAnswer `json:"sources"`
}

func (s *Server) serveSources(w http.ResponseWriter, r *http.Request) {
	if only(w, r) {
		answerJSON(w, r, http.StatusOK, SourcesAnswer{sourcesOf(s.deps.Health())})
	}
}

func sourcesOf(health Health) []SourceAnswer {
	all := []SourceAnswer{}
	for _, source := range health.Sources {
		all = append(all, SourceAnswer{
			Name: event.Visible(source.Name), Reporter: event.Visible(source.Reporter), Up: source.Up, Records: source.Records, Skipped: source.Skipped,
			Dropped: source.Dropped, Lost: source.Lost, Gaps: source.Gaps, Errors: source.Errors, Open: source.Open, LagSeconds: source.Lag.Seconds(), LastRecord: unlessZero(source.LastRecord),
		})
	}
	return all
}

// outboxCounts lists the outbox's figures, by destination and then in the order of the states.
func outboxCounts(stats store.Stats) []OutboxCount {
	counts := []OutboxCount{}
	for _, destination := range sortedKeys(stats.Items) {
		for _, state := range store.States() {
			if n := stats.Items[destination][state]; n > 0 {
				counts = append(counts, OutboxCount{event.Visible(destination), state.String(), n})
			}
		}
	}
	return counts
}

// ProblemAnswer is something that is wrong. All of it is harmless to show.
type ProblemAnswer struct {
	What   string    `json:"what"` // the same as long as the problem lasts
	Cause  string    `json:"cause"`
	Remedy string    `json:"remedy"`
	Since  time.Time `json:"since"`
}

func problemsOf(h Health) []ProblemAnswer {
	problems := make([]ProblemAnswer, len(h.Problems))
	for i, p := range h.Problems {
		problems[i] = ProblemAnswer{event.Visible(p.What), event.Visible(p.Cause), event.Visible(p.Remedy), plain(p.Since)}
	}
	return problems
}

// OutboxAnswer is the answer of /api/v1/outbox: the newest items first.
type OutboxAnswer struct {
	Items  []Item        `json:"items"`
	Counts []OutboxCount `json:"counts"`
}

func (s *Server) serveOutbox(w http.ResponseWriter, r *http.Request) {
	if !only(w, r, "limit") {
		return
	}
	limit, ok := number(w, r, "limit", 50, 1, maxItems)
	if !ok {
		return
	}
	items, err := s.deps.Store.Items(int(limit))
	if err != nil {
		s.failStore(w, r, err)
		return
	}
	answerJSON(w, r, http.StatusOK, OutboxAnswer{viewItems(items), outboxCounts(s.deps.Store.Stats())})
}

// HealthAnswer is the answer of /healthz and /readyz.
type HealthAnswer struct {
	Status   string          `json:"status"` // "ok" or "failing"
	Problems []ProblemAnswer `json:"problems"`
}

func (s *Server) serveHealth(w http.ResponseWriter, r *http.Request) {
	health := s.deps.Health()
	answerHealth(w, r, health.Live, health)
}

func (s *Server) serveReady(w http.ResponseWriter, r *http.Request) {
	health := s.deps.Health()
	answerHealth(w, r, health.Ready, health)
}

func answerHealth(w http.ResponseWriter, r *http.Request, good bool, health Health) {
	if good {
		answerJSON(w, r, http.StatusOK, HealthAnswer{"ok", problemsOf(health)})
		return
	}
	answerJSON(w, r, http.StatusServiceUnavailable, HealthAnswer{"failing", problemsOf(health)})
}

// only answers a request of the API that has a parameter beyond those that are known, and reports whether it has none: an answer that
// silently ignores half of the question is a wrong one.
func only(w http.ResponseWriter, r *http.Request, known ...string) bool {
	for name := range r.URL.Query() {
		if !slices.Contains(known, name) {
			there := "There is none here."
			if len(known) > 0 {
				there = "There is " + strings.Join(known, ", ") + "."
			}
			fail(w, r, http.StatusBadRequest, "The address has a parameter that is not known. "+there)
			return false
		}
	}
	return true
}

// number reads a query parameter. If it is no number from least to most, number answers the request and ok is false.
func number(w http.ResponseWriter, r *http.Request, name string, absent, least, most uint64) (n uint64, ok bool) {
	text := r.URL.Query().Get(name)
	if text == "" {
		return absent, true
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil || n < least || n > most {
		fail(w, r, http.StatusBadRequest, fmt.Sprintf("%s must be a number from %d to %d.", name, least, most))
		return 0, false
	}
	return n, true
}

func (s *Server) failStore(w http.ResponseWriter, r *http.Request, err error) {
	s.logger.Error("the store could not be read for the web page", "error", err)
	fail(w, r, http.StatusInternalServerError, "The store could not be read; the daemon's log says why.")
}

func answerJSON(w http.ResponseWriter, r *http.Request, status int, answer any) {
	body, err := encode(answer)
	if err != nil { // a time beyond the year 9999
		fail(w, r, http.StatusInternalServerError, "The answer could not be written as JSON.")
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	send(w, body)
}

// send writes the rest of an answer. A client that is gone is no fault of ours.
func send(w http.ResponseWriter, body []byte) { _, _ = w.Write(body) }
