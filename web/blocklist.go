package web

import (
	"cmp"
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"fmt"
	"maps"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"tattled/event"
	"tattled/policy"
	"tattled/setting"
	"tattled/store"
)

// The bounds of the feed of addresses to block.
const (
	leastSince  = time.Minute
	mostSince   = 30 * 24 * time.Hour
	blockMemory = 30 * 24 * time.Hour // reports that count for how long an address stays, and the longest that it does
	maxBlocked  = 131_072             // entries: the newest stay
	maxPolicies = 64                  // of one entry
)

// UsualSince is for how long an address is in the feed that was reported once, unless the client says otherwise.
const UsualSince = 24 * time.Hour

// blockQuery is what a client asks the feed for.
type blockQuery struct {
	format   string
	policy   string // "": whatever was reported
	since    time.Duration
	minCount int
}

// FeedFormats names the formats of the feed.
func FeedFormats() []string { return slices.Sorted(maps.Keys(feedFormats)) }

// readBlockQuery reads the parameters of the feed. Its error says to the client what is wrong, and holds nothing of what the client sent.
func readBlockQuery(query url.Values) (q blockQuery, err error) {
	q = blockQuery{format: "plain", policy: query.Get("policy"), since: UsualSince, minCount: 1}
	if f := query.Get("format"); f != "" {
		q.format = f
	}
	if feedFormats[q.format] == nil {
		return q, fmt.Errorf("format must be one of %s", strings.Join(FeedFormats(), ", "))
	}
	if text := query.Get("since"); text != "" {
		var d setting.Duration
		if d.UnmarshalText([]byte(text)) != nil || d.D() < leastSince || d.D() > mostSince {
			return q, fmt.Errorf("since must be a duration from 1m to 30d, like 24h or 7d")
		}
		q.since = d.D()
	}
	if text := query.Get("min_count"); text != "" {
		if q.minCount, err = strconv.Atoi(text); err != nil || q.minCount < 1 || q.minCount > 1_000_000 {
			return q, fmt.Errorf("min_count must be a number from 1 to 1000000")
		}
	}
	return q, nil
}

// FeedEntry is a network to block, in the JSON form of the feed.
type FeedEntry struct {
	Network  string    `json:"network"` // an address; of IPv6 its /64, unless that holds somebody who must not be blocked
	First    time.Time `json:"first"`   // event that was counted
	Last     time.Time `json:"last"`
	Until    time.Time `json:"until"`   // then it leaves the feed, unless it is reported again
	Reports  int       `json:"reports"` // within 30 days
	Events   int       `json:"events"`  // that they counted
	Policies []string  `json:"policies"`
	Country  string    `json:"country,omitempty"`
	ASN      uint32    `json:"asn,omitempty"`

	prefix netip.Prefix
}

// FeedAnswer is the JSON form of the feed.
type FeedAnswer struct {
	Time    time.Time   `json:"time"`
	Entries []FeedEntry `json:"entries"`
}

// serveFeed is the feed on the page's port: beyond this machine it asks for a token.
func (s *Server) serveFeed(w http.ResponseWriter, r *http.Request) {
	token := ""
	if s.deps.FeedToken != nil {
		token = s.deps.FeedToken().Reveal()
	}
	switch {
	case token == "" && isLoopback(s.listener.Addr()):
	case token == "":
		fail(w, r, http.StatusForbidden, "Beyond this machine the feed needs a token: set web.feed_token_file.")
		return
	case !sentToken(r, token):
		w.Header().Set("WWW-Authenticate", `Bearer realm="tattled feed"`)
		fail(w, r, http.StatusUnauthorized, "The feed's token is missing or wrong: send it as a bearer token, or as the parameter token.")
		return
	}
	s.serveBlocklist(w, r)
}

// sentToken reports whether a request has the token. Its length may be found out, its content not.
func sentToken(r *http.Request, token string) bool {
	sent := r.URL.Query().Get("token") // of a router that can send nothing but an address
	if bearer, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer "); ok {
		sent = bearer
	}
	return subtle.ConstantTimeCompare([]byte(sent), []byte(token)) == 1
}

func (s *Server) serveBlocklist(w http.ResponseWriter, r *http.Request) {
	if !only(w, r, "format", "policy", "since", "min_count", "token") {
		return
	}
	q, err := readBlockQuery(r.URL.Query())
	switch {
	case err != nil:
		fail(w, r, http.StatusBadRequest, "The parameter "+err.Error()+".")
		return
	case s.deps.Gate == nil:
		fail(w, r, http.StatusServiceUnavailable, "There is no feed here.")
		return
	}
	now := s.now()
	entries, err := s.blocklist(r.Context(), q, now)
	if err != nil {
		s.failStore(w, r, err)
		return
	}
	tag := blockTag(q, entries)
	h := w.Header()
	h.Set("ETag", tag)
	h.Set("Cache-Control", "no-cache")
	if matches(r.Header.Get("If-None-Match"), tag) {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	f := feedFormats[q.format]
	h.Set("Content-Type", f.mime)
	send(w, f.write(now.UTC(), entries))
}

// matches reports whether an If-None-Match has a tag (RFC 9110, section 13.1.2).
func matches(header, tag string) bool {
	for one := range strings.SplitSeq(header, ",") {
		if one = strings.TrimSpace(one); one == "*" || strings.TrimPrefix(one, "W/") == strings.TrimPrefix(tag, "W/") {
			return true
		}
	}
	return false
}

// blockTag is a weak entity tag: it stays as long as the same networks are there until the same times, although what is left of that time
// becomes less.
func blockTag(q blockQuery, entries []FeedEntry) string {
	sum := sha256.New()
	fmt.Fprintln(sum, q.format)
	for i := range entries {
		e := &entries[i]
		fmt.Fprintln(sum, e.Network, e.Until.Unix(), e.Reports, e.Events)
	}
	return `W/"` + hex.EncodeToString(sum.Sum(nil)[:12]) + `"`
}

// blocklist returns the networks to block, in their order. The gate is asked about each of them now, whatever it said when they were
// reported.
func (s *Server) blocklist(ctx context.Context, q blockQuery, now time.Time) ([]FeedEntry, error) {
	select {
	case s.searching <- struct{}{}:
		defer func() { <-s.searching }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	all, err := s.blockable(q, now)
	if err != nil {
		return nil, err
	}
	entries := []FeedEntry{}
	for network, of := range s.byNetwork(all) {
		e := of.entry(network, q.since, now)
		if e.Until.After(now) && e.Events >= q.minCount {
			entries = append(entries, e)
		}
	}
	if len(entries) > maxBlocked {
		slices.SortFunc(entries, func(a, b FeedEntry) int { return b.Last.Compare(a.Last) })
		entries = entries[:maxBlocked]
	}
	slices.SortFunc(entries, func(a, b FeedEntry) int {
		return cmp.Or(a.prefix.Addr().Compare(b.prefix.Addr()), cmp.Compare(a.prefix.Bits(), b.prefix.Bits()))
	})
	return entries, nil
}

// blocked is what is known of an address, or of a network, that may be to block.
type blocked struct {
	first, last time.Time // events
	judged      time.Time // of the item that was taken last, which is the oldest
	reports     int
	events      int
	policies    []string
	country     string // of the newest
	asn         uint32
	unproven    bool // only alerts name it: what they rest on may be forged
}

// blockable walks the outbox for what may be to block.
func (s *Server) blockable(q blockQuery, now time.Time) (map[netip.Addr]*blocked, error) {
	all, retracted := map[netip.Addr]*blocked{}, map[netip.Prefix]bool{}
	err := s.deps.Store.EachItem(func(i *store.Item) bool {
		r := &i.Report
		if now.Sub(i.Created) > blockMemory {
			return false
		}
		if r.Policy == policy.Retracted { // what came before it does not count any more
			retracted[policy.Network(r.Addr)] = true
		}
		if retracted[policy.Network(r.Addr)] {
			return true
		}
		report := s.deps.Gate.Reports(r.Destination)
		if i.State == store.Dismissed || q.policy != r.Policy && (q.policy != "" || !report) {
			return true
		}
		addr := policy.Peer(r.Addr)
		b := all[addr]
		if b == nil {
			b = &blocked{unproven: true, country: r.Place.Country, asn: r.Place.ASN}
			all[addr] = b
		}
		b.take(i, now)
		b.unproven = b.unproven && !report
		return true
	})
	if err != nil {
		return nil, err
	}
	return all, s.dropUnproven(all, q.policy)
}

// take adds an item: a report, or an alert that goes by the same judgement.
func (b *blocked) take(i *store.Item, now time.Time) {
	r := &i.Report
	last := r.Last
	if last.After(now) {
		last = now
	}
	if b.reports == 0 || r.First.Before(b.first) {
		b.first = r.First
	}
	if last.After(b.last) {
		b.last = last
	}
	if len(b.policies) < maxPolicies && !slices.Contains(b.policies, r.Policy) {
		b.policies = append(b.policies, r.Policy)
	}
	if b.reports > 0 && r.Judged.Equal(b.judged) { // another destination has the same
		return
	}
	b.judged = r.Judged
	b.reports++
	b.events += r.Count
}

// dropUnproven removes addresses that only alerts name, unless one of these rests on events that nobody can have forged: else a few
// forged packets would have anybody blocked.
func (s *Server) dropUnproven(all map[netip.Addr]*blocked, named string) error {
	for addr, b := range all {
		if !b.unproven {
			continue
		}
		known, _, err := s.deps.Store.Address(addr)
		if err != nil {
			return err
		}
		proven := slices.ContainsFunc(known.Windows, func(w store.Window) bool { return !w.Unproven && w.Policy == named })
		if !proven {
			delete(all, addr)
		}
	}
	return nil
}

// byNetwork puts the addresses of an IPv6 /64 together, unless somebody is there who must not be blocked: then they stay apart.
// Addresses that the gate refuses are left out.
func (s *Server) byNetwork(all map[netip.Addr]*blocked) map[netip.Prefix]*blocked {
	networks := map[netip.Prefix]*blocked{}
	for addr, b := range all {
		alone := netip.PrefixFrom(addr, addr.BitLen())
		if reason, _ := s.deps.Gate.RefuseNetwork(alone); reason != "" {
			continue
		}
		network := policy.Network(addr)
		if network != alone {
			if reason, _ := s.deps.Gate.RefuseNetwork(network); reason != "" {
				network = alone
			}
		}
		if to := networks[network]; to != nil {
			to.join(b)
		} else {
			networks[network] = b
		}
	}
	return networks
}

// join adds another address of the same network.
func (b *blocked) join(other *blocked) {
	if other.first.Before(b.first) {
		b.first = other.first
	}
	if other.last.After(b.last) {
		b.last, b.country, b.asn = other.last, other.country, other.asn
	}
	b.reports += other.reports
	b.events += other.events
	for _, p := range other.policies {
		if len(b.policies) < maxPolicies && !slices.Contains(b.policies, p) {
			b.policies = append(b.policies, p)
		}
	}
}

// entry says until when a network is to be blocked: for since after its last event, twice as long for each report more that was made
// within 30 days, and never longer than these.
func (b *blocked) entry(network netip.Prefix, since time.Duration, now time.Time) FeedEntry {
	stay := since
	for n := 1; n < b.reports && stay < blockMemory; n++ {
		stay *= 2
	}
	slices.Sort(b.policies)
	e := FeedEntry{
		Network: networkText(network), First: plain(b.first), Last: plain(b.last), Until: plain(b.last.Add(min(stay, blockMemory)).Truncate(time.Second)),
		Reports: b.reports, Events: b.events, Policies: []string{}, Country: event.Visible(b.country), ASN: b.asn, prefix: network,
	}
	for _, p := range b.policies {
		e.Policies = append(e.Policies, event.Visible(p))
	}
	return e
}
