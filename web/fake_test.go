package web

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"time"

	"tattled/event"
	"tattled/policy"
	"tattled/store"
)

// base is when the tests' world stands.
var base = time.Date(2026, 11, 22, 14, 30, 0, 0, time.UTC)

// books in memory.
type fakeStore struct {
	mu      sync.Mutex
	events  []event.Event
	items   []store.Item
	stats   store.Stats
	fail    error
	scores  map[netip.Addr]store.Score
	windows map[netip.Addr][]store.Window // of addresses without events
	reads   int                           // calls of Events
	walks   int                           // calls of EachItem
}

func (f *fakeStore) add(events ...event.Event) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.events = append(f.events, events...)
}

func (f *fakeStore) Events(after uint64, limit int) ([]event.Event, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.reads++
	var found []event.Event
	for _, e := range f.events {
		if e.Seq > after && len(found) < limit {
			found = append(found, e)
		}
	}
	return found, f.fail
}

func (f *fakeStore) Latest(limit int) ([]event.Event, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.events[max(0, len(f.events)-limit):]), f.fail
}

func (f *fakeStore) Address(addr netip.Addr) (store.Address, bool, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	a := store.Address{Network: netip.PrefixFrom(addr, addr.BitLen()), Counts: map[event.Kind]uint64{}}
	for _, e := range f.events {
		if e.Addr != addr {
			continue
		}
		if a.First.IsZero() {
			a.First = e.Time
		}
		a.Last = e.Time
		a.Counts[e.Kind]++
		a.Place = event.Place{Country: e.Place.Country, ASN: e.Place.ASN}
		a.Events = append(a.Events, e.Seq)
	}
	a.Events = a.Events[max(0, len(a.Events)-16):]
	if len(a.Events) > 0 {
		a.Windows = []store.Window{{Destination: "abuseipdb", At: a.Last}}
	}
	if w := f.windows[addr]; len(a.Events) == 0 && w != nil {
		a.Windows = w
		return a, true, f.fail
	}
	return a, len(a.Events) > 0, f.fail
}

func (f *fakeStore) Items(limit int) ([]store.Item, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.items[:min(limit, len(f.items))]), f.fail
}

func (f *fakeStore) ItemsOf(addr netip.Addr, limit int) (found []store.Item, err error) {
	err = f.EachItem(func(i *store.Item) bool {
		if policy.Network(i.Report.Addr) == policy.Network(addr) {
			found = append(found, *i)
		}
		return len(found) < limit
	})
	return found, err
}

func (f *fakeStore) EachItem(fn func(*store.Item) bool) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.walks++
	for i := range f.items {
		if item := f.items[i]; !fn(&item) {
			break
		}
	}
	return f.fail
}

func (f *fakeStore) NewestScore(addr netip.Addr) (store.Score, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	s, ok := f.scores[addr]
	return s, ok
}

func (f *fakeStore) Stats() store.Stats {
	f.mu.Lock()
	defer f.mu.Unlock()
	stats := f.stats
	stats.Events = uint64(len(f.events))
	if n := len(f.events); n > 0 {
		stats.LastSeq = f.events[n-1].Seq
	}
	return stats
}

var errBroken = errors.New("broken on purpose")

// world makes events like those of a real server: a few addresses that come often, and many that come once.
type world struct {
	rand *rand.Rand
	seq  uint64
}

func newWorld() *world { return &world{rand: rand.New(rand.NewPCG(7, 11))} }

var places = []event.Place{
	{Country: "CN", CountryName: "China", City: "Nanjing", ASN: 4134, Org: "Chinanet"},
	{Country: "US", CountryName: "United States", City: "Ashburn", ASN: 14061, Org: "DigitalOcean"},
	{Country: "NL", CountryName: "Netherlands", City: "Amsterdam", ASN: 49870, Org: "Alsycon B.V."},
	{Country: "RU", CountryName: "Russia", ASN: 9123, Org: "TimeWeb Ltd."},
	{Country: "BR", CountryName: "Brazil", City: "Recife", ASN: 28573, Org: "Claro NXT"},
	{Country: "VN", CountryName: "Vietnam", City: "Hanoi", ASN: 45899, Org: "VNPT Corp"},
	{Country: "GB", CountryName: "United Kingdom", City: "London", ASN: 211298, Org: "Driftnet Ltd"},
	{},
}

func (w *world) next(at time.Time) event.Event {
	w.seq++
	n := w.rand.IntN(40)
	if w.rand.IntN(3) == 0 {
		n = w.rand.IntN(5)
	}
	e := event.Event{
		Seq: w.seq, Time: at, Received: at, Handshake: true, Proto: event.TCP, Trust: event.TrustReport,
		Addr:   netip.AddrFrom4([4]byte{203, 0, 113, byte(n * 5)}),
		Port:   uint16(30000 + w.rand.IntN(20000)),
		Host:   "web1",
		Source: "journal", Reporter: []string{"web1", "mail", "shop"}[n%3],
		Place: places[n%len(places)],
	}
	user := []string{"root", "admin", "ubuntu", "oracle", "test", "git"}[w.rand.IntN(6)]
	switch w.rand.IntN(8) {
	case 0, 1, 2, 3:
		e.Kind, e.Service, e.Rule, e.User, e.LocalPort, e.Program, e.PID = event.AuthFailure, "sshd", "failed-password", user, 22, "sshd", "4242"
		e.Line = fmt.Sprintf("Failed password for invalid user %s from %s port %d ssh2", user, e.Addr, e.Port)
	case 4, 5:
		e.Kind, e.Service, e.Rule, e.Handshake, e.LocalPort = event.FirewallBlock, "netfilter", "block", false, uint16(1+w.rand.IntN(9000))
		e.Line = fmt.Sprintf("[UFW BLOCK] IN=eth0 OUT= SRC=%s DST=198.51.100.7 LEN=60 TTL=51 PROTO=TCP SPT=%d DPT=%d SYN", e.Addr, e.Port, e.LocalPort)
	case 6:
		e.Kind, e.Service, e.Rule, e.LocalPort = event.WebAttack, "nginx", "path-traversal", 443
		e.Line = fmt.Sprintf(`%s - - "GET /../../etc/passwd HTTP/1.1" 400 157 "-" "curl/8"`, e.Addr)
	default:
		e.Kind = []event.Kind{event.Probe, event.MailAbuse, event.Ban, event.AuthSuccess, event.FirewallAccept}[w.rand.IntN(5)]
		e.Service, e.Rule = "postfix", "rejected"
		e.Line = "NOQUEUE: reject: RCPT from unknown[" + e.Addr.String() + "]: 554 5.7.1 Relay access denied"
	}
	return e
}

// events makes n events, the last of them at the given time.
func (w *world) events(n int, last time.Time) []event.Event {
	all := make([]event.Event, n)
	for i := range all {
		all[i] = w.next(last.Add(-time.Duration((n-1-i)*(3+n%3)) * time.Second))
	}
	return all
}

// peopled makes a store with n events and a few reports.
func peopled(n int) *fakeStore {
	w := newWorld()
	f := &fakeStore{events: w.events(n, base)}
	f.stats = store.Stats{
		Addresses: 18240, Usage: store.Usage{Used: 21 << 20},
		Items: map[string]map[store.State]uint64{
			"abuseipdb": {store.DryRun: 1204, store.Pending: 3, store.Dismissed: 12},
			"mail":      {store.Delivered: 17},
		},
	}
	states := []store.State{store.Pending, store.Claimed, store.DryRun, store.Delivered, store.Duplicate, store.Rejected, store.Expired, store.Dismissed}
	for i := range min(n, 12) {
		e := &f.events[n-1-i]
		item := store.Item{
			ID: fmt.Sprint("item-", i), State: states[i%len(states)], Attempts: i % 3, Created: e.Received,
			Report: event.Report{
				Destination: "abuseipdb", Policy: "ssh-bruteforce", Addr: e.Addr, Kind: e.Kind, Service: e.Service, Rule: e.Rule,
				First: e.Time.Add(-time.Minute), Last: e.Time, Count: 5 + i, Place: e.Place,
			},
		}
		switch item.State {
		case store.Pending:
			item.NextAttempt, item.Detail = base.Add(4*time.Minute), "HTTP 503"
		case store.Rejected:
			item.Detail = "422: The ip must be a valid IPv4 or IPv6 address."
		}
		f.items = append(f.items, item)
	}
	return f
}

func fairHealth() Health {
	return Health{Live: true, Ready: true, Sources: []Source{
		{Name: "journal", Up: true, Reporter: "web1", Records: 1842213, Lag: 40 * time.Millisecond, LastRecord: base.Add(-time.Second), Open: 1},
		{Name: "/var/log/nginx/access.log", Up: true, Reporter: "shop", Records: 204811, Lag: 120 * time.Millisecond, LastRecord: base.Add(-3 * time.Second), Open: 1},
		{Name: "udp://127.0.0.1:5514", Up: true, Dropped: 4},
	}}
}

// The real store is what a Server takes.
var _ reader = (*store.Store)(nil)
