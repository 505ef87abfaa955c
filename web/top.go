package web

import (
	"cmp"
	"net/netip"
	"slices"
	"time"

	"tattled/event"
)

// maxTop bounds each top list.
const maxTop = 100

// topFor is how long the top lists are shown before they are counted again.
const topFor = time.Second

// Top has the top lists of the events in the ring: the newest 4,096, not all that were ever seen.
type Top struct {
	Window    TopWindow    `json:"window"`
	Addresses []TopAddress `json:"addresses"`
	Countries []TopCountry `json:"countries"`
	Kinds     []TopKind    `json:"kinds"`
}

// TopWindow says what the lists were counted over.
type TopWindow struct {
	Events int        `json:"events"`
	First  *time.Time `json:"first,omitempty"`
	Last   *time.Time `json:"last,omitempty"`
}

// TopAddress is one address and its events.
type TopAddress struct {
	Address     string    `json:"address"`
	Events      int       `json:"events"`
	Country     string    `json:"country,omitempty"`
	CountryName string    `json:"country_name,omitempty"`
	ASN         uint32    `json:"asn,omitempty"`
	Org         string    `json:"org,omitempty"`
	Last        time.Time `json:"last"`
}

// TopCountry is one country, its events and from how many addresses they came. Country is empty for what lies nowhere
// known.
type TopCountry struct {
	Country     string `json:"country"`
	CountryName string `json:"country_name,omitempty"`
	Events      int    `json:"events"`
	Addresses   int    `json:"addresses"`
}

// TopKind is one kind of event.
type TopKind struct {
	Kind   string `json:"kind"`
	Events int    `json:"events"`
}

// tops returns the top lists, at most limit entries each. They are at most a second old, so that clients cannot keep the
// committer waiting by asking often.
func (f *Feed) tops(now time.Time, limit int) Top {
	f.mu.Lock()
	defer f.mu.Unlock()
	if age := now.Sub(f.topAt); f.topAt.IsZero() || age < 0 || age >= topFor {
		f.top, f.topAt = f.countTop(), now
	}
	top := f.top
	top.Addresses = top.Addresses[:min(limit, len(top.Addresses))]
	top.Countries = top.Countries[:min(limit, len(top.Countries))]
	top.Kinds = top.Kinds[:min(limit, len(top.Kinds))]
	return top
}

// tally counts the events of one address or country; newest is the last of them.
type tally struct {
	events, addresses int
	newest            *event.Event
}

// countTop counts the ring. f.mu is held.
func (f *Feed) countTop() Top {
	byAddress := make(map[netip.Addr]*tally)
	byCountry := make(map[string]*tally)
	byKind := make(map[event.Kind]int)
	top := Top{Window: TopWindow{Events: len(f.ring)}}
	for i := range len(f.ring) {
		e := f.at(i)
		byKind[e.Kind]++
		address, seen := add(byAddress, e.Addr, e)
		address.events++
		c, _ := add(byCountry, e.Place.Country, e)
		c.events++
		if !seen {
			c.addresses++
		}
	}
	if n := len(f.ring); n > 0 {
		first, last := plain(f.at(0).Received), plain(f.at(n-1).Received)
		top.Window.First, top.Window.Last = &first, &last
	}
	top.Addresses, top.Countries, top.Kinds = topAddresses(byAddress), topCountries(byCountry), topKinds(byKind)
	return top
}

// add returns the tally under key, with e as its newest event; seen is false when it was not there before.
func add[K comparable](tallies map[K]*tally, key K, e *event.Event) (t *tally, seen bool) {
	t, seen = tallies[key]
	if !seen {
		t = &tally{}
		tallies[key] = t
	}
	t.newest = e
	return t, seen
}

func topAddresses(tallies map[netip.Addr]*tally) []TopAddress {
	list := make([]TopAddress, 0, min(maxTop, len(tallies)))
	for _, key := range most(tallies, netip.Addr.Compare) {
		t := tallies[key]
		p := &t.newest.Place
		list = append(list, TopAddress{
			Address: key.String(), Events: t.events, Last: plain(t.newest.Time),
			Country: event.Visible(p.Country), CountryName: event.Visible(p.CountryName), ASN: p.ASN, Org: event.Visible(p.Org),
		})
	}
	return list
}

func topCountries(tallies map[string]*tally) []TopCountry {
	list := make([]TopCountry, 0, min(maxTop, len(tallies)))
	for _, key := range most(tallies, cmp.Compare[string]) {
		t := tallies[key]
		list = append(list, TopCountry{Country: event.Visible(key), CountryName: event.Visible(t.newest.Place.CountryName), Events: t.events, Addresses: t.addresses})
	}
	return list
}

func topKinds(counts map[event.Kind]int) []TopKind {
	list := make([]TopKind, 0, len(counts))
	for _, kind := range event.Kinds() {
		if n := counts[kind]; n > 0 {
			list = append(list, TopKind{Kind: kind.String(), Events: n})
		}
	}
	slices.SortStableFunc(list, func(a, b TopKind) int { return cmp.Compare(b.Events, a.Events) })
	return list
}

// most returns the keys of the largest tallies, at most maxTop, the largest first; equal ones in the order of compare.
func most[K comparable](tallies map[K]*tally, compare func(a, b K) int) []K {
	keys := make([]K, 0, len(tallies))
	for key := range tallies {
		keys = append(keys, key)
	}
	slices.SortFunc(keys, func(a, b K) int {
		return cmp.Or(cmp.Compare(tallies[b].events, tallies[a].events), compare(a, b))
	})
	return keys[:min(maxTop, len(keys))]
}
