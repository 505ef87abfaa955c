package web

import (
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"tattled/event"
	"tattled/store"
)

// What the page shows of each list.
const (
	shownTop   = 8
	shownItems = 12
)

// statusView is all of the page but its events, in the words in which the page shows it: the template writes it, and the event
// stream sends it anew every two seconds for the page's script to put in place. It is no API: /api/v1 has the figures.
type statusView struct {
	DryRun   bool          `json:"dry_run"`
	Health   string        `json:"health"`      // "ok", "warn" or "bad"
	HealthIs string        `json:"health_text"` // in a word or two
	Problems []problemView `json:"problems"`
	Figures  []figureView  `json:"figures"`
	Activity activityView  `json:"activity"`
	Counted  string        `json:"counted"` // over what the top lists were counted
	Lists    []listView    `json:"lists"`
	Outbox   []countView   `json:"outbox"`
	Reports  []reportView  `json:"reports"`
	Sources  []sourceView  `json:"sources"`
}

// problemView is a line of the problems.
type problemView struct {
	What   string `json:"what"`
	Cause  string `json:"cause"`
	Remedy string `json:"remedy"`
	Since  string `json:"since"`
}

// figureView is one of the large numbers.
type figureView struct {
	ID    string `json:"id"`
	Name  string `json:"name"`
	Value string `json:"value"`
	Note  string `json:"note"`
	Alarm bool   `json:"alarm"`
}

// activityView is the events of the last hour, minute by minute, as heights from 0 to 100.
type activityView struct {
	Bars  [minutes]int `json:"bars"`
	Peak  string       `json:"peak"`
	Total string       `json:"total"`
}

// listView is one of the top lists.
type listView struct {
	ID    string     `json:"id"`
	Title string     `json:"-"`
	Ranks []rankView `json:"ranks"`
}

// rankView is a line of a top list. Share is its part of the largest, in percent.
type rankView struct {
	Key    string `json:"key"`
	Link   string `json:"link"`
	Name   string `json:"name"`
	Note   string `json:"note"`
	Events string `json:"events"`
	Share  int    `json:"share"`
}

// countView is one figure of the outbox.
type countView struct {
	Destination string `json:"destination"`
	State       string `json:"state"`
	Items       string `json:"items"`
}

// reportView is a line of the outbox.
type reportView struct {
	Time        string `json:"time"`
	Address     string `json:"address"`
	Country     string `json:"country"`
	Destination string `json:"destination"`
	Policy      string `json:"policy"`
	State       string `json:"state"`
	Events      string `json:"events"`
	Detail      string `json:"detail"`
}

// sourceView is a line of the sources.
type sourceView struct {
	Name     string `json:"name"`
	Reporter string `json:"reporter"`
	Records  string `json:"records"`
	Skipped  string `json:"skipped"`
	Dropped  string `json:"dropped"`
	Lost     string `json:"lost"`
	Gaps     string `json:"gaps"`
	Errors   string `json:"errors"`
	Open     string `json:"open"`
	Lag      string `json:"lag"`
	Last     string `json:"last"`
	Up       bool   `json:"up"`
	Alarm    bool   `json:"alarm"`
}

// cache keeps the status that was made last, so that many clients cost no more than one.
type cache struct {
	mu     sync.Mutex
	at     time.Time
	status *statusView
	text   []byte
}

// statusFor is how long a status is shown before it is made anew.
const statusFor = time.Second

// current returns the status and its JSON; it is at most a second old.
func (s *Server) current() (*statusView, []byte, error) {
	c := &s.status
	c.mu.Lock()
	defer c.mu.Unlock()
	now := s.now()
	if age := now.Sub(c.at); c.status != nil && 0 <= age && age < statusFor {
		return c.status, c.text, nil
	}
	status, err := s.makeStatus(now)
	if err != nil {
		return nil, nil, err
	}
	text, err := encode(status)
	if err != nil {
		return nil, nil, fmt.Errorf("write the status: %w", err)
	}
	c.at, c.status, c.text = now, status, text
	return status, text, nil
}

func (s *Server) makeStatus(now time.Time) (*statusView, error) {
	health, stats, top := s.deps.Health(), s.deps.Store.Stats(), s.feed.tops(now, shownTop)
	items, err := s.deps.Store.Items(shownItems)
	if err != nil {
		return nil, fmt.Errorf("read the outbox: %w", err)
	}
	status := &statusView{
		DryRun:   health.DryRun,
		Problems: []problemView{},
		Figures:  figures(&health, &stats),
		Activity: activity(s.feed.perMinute(now)),
		Outbox:   []countView{},
		Reports:  []reportView{},
		Sources:  []sourceView{},
		Counted:  "last " + formatCount(top.Window.Events) + " events",
	}
	status.Health, status.HealthIs = healthWords(health)
	for _, p := range problemsOf(health) {
		status.Problems = append(status.Problems, problemView{p.What, p.Cause, p.Remedy, "since " + clock(p.Since)})
	}
	status.Lists = lists(top)
	for _, n := range outboxCounts(stats) {
		status.Outbox = append(status.Outbox, countView{n.Destination, n.State, formatCount(n.Items)})
	}
	for i := range items {
		status.Reports = append(status.Reports, reportLine(&items[i], now))
	}
	for _, source := range health.Sources {
		status.Sources = append(status.Sources, sourceLine(source))
	}
	return status, nil
}

func healthWords(h Health) (class, words string) {
	switch {
	case !h.Live:
		return "bad", "Failing"
	case !h.Ready:
		return "warn", "Starting"
	case len(h.Problems) == 1:
		return "warn", "1 problem"
	case len(h.Problems) > 1:
		return "warn", formatCount(len(h.Problems)) + " problems"
	default:
		return "ok", "Healthy"
	}
}

func figures(health *Health, stats *store.Stats) []figureView {
	var records, lost, gaps uint64
	for _, source := range health.Sources {
		records += source.Records
		lost += source.Lost
		gaps += source.Gaps
	}
	var waiting, sent, dry, failed uint64
	for _, states := range stats.Items {
		waiting += states[store.Pending] + states[store.Claimed]
		sent += states[store.Delivered] + states[store.Duplicate]
		dry += states[store.DryRun]
		failed += states[store.Rejected] + states[store.Expired]
	}
	sentNote := ""
	if dry > 0 {
		sentNote = formatCount(dry) + " in dry-run mode"
	}
	if failed > 0 {
		sentNote = formatCount(failed) + " not accepted"
	}
	lossNote := "of those"
	if gaps > 0 {
		lossNote = "and " + formatCount(gaps) + " gaps"
	}
	return []figureView{
		{ID: "events", Name: "Events kept", Value: formatCount(stats.Events), Note: "in " + size(stats.Usage.Used)},
		{ID: "addresses", Name: "Addresses", Value: formatCount(stats.Addresses), Note: "remembered"},
		{ID: "reports", Name: "Reports sent", Value: formatCount(sent), Note: sentNote},
		{ID: "waiting", Name: "Waiting", Value: formatCount(waiting), Note: "in the outbox"},
		{ID: "records", Name: "Records read", Value: formatCount(records), Note: "since the start"},
		{ID: "lost", Name: "Lost", Value: formatCount(lost), Note: lossNote, Alarm: lost+gaps > 0},
	}
}

func activity(counts [minutes]uint64) activityView {
	var total uint64
	peak := slices.Max(counts[:])
	a := activityView{}
	for i, n := range counts {
		total += n
		if n > 0 {
			a.Bars[i] = max(3, int(float64(n)/float64(peak)*100))
		}
	}
	a.Peak, a.Total = formatCount(peak), formatCount(total)
	return a
}

func lists(top Top) []listView {
	kinds, addresses, countries := []rankView{}, []rankView{}, []rankView{}
	for _, k := range top.Kinds {
		kinds = append(kinds, rankView{Key: k.Kind, Events: formatCount(k.Events), Share: share(k.Events, top.Kinds[0].Events)})
	}
	for _, a := range top.Addresses {
		addresses = append(addresses, rankView{
			Key: a.Address, Link: "/addresses/" + a.Address, Name: a.Country, Note: a.Org,
			Events: formatCount(a.Events), Share: share(a.Events, top.Addresses[0].Events),
		})
	}
	for _, c := range top.Countries {
		countries = append(countries, countryRank(c, top.Countries[0].Events))
	}
	return []listView{{"kinds", "Kinds", kinds}, {"addresses", "Top addresses", addresses}, {"countries", "Top countries", countries}}
}

func share(n, most int) int { return max(1, n*100/max(1, most)) }

func countryRank(c TopCountry, most int) rankView {
	r := rankView{Key: c.Country, Name: c.CountryName, Events: formatCount(c.Events), Share: share(c.Events, most), Note: formatCount(c.Addresses) + " addresses"}
	if c.Addresses == 1 {
		r.Note = "1 address"
	}
	if r.Key == "" {
		r.Key, r.Name = "--", "Unknown"
	}
	return r
}

func reportLine(i *store.Item, now time.Time) reportView {
	item := viewItem(i)
	line := reportView{
		Time: clock(i.Created), Address: item.Address, Country: item.Country, Destination: item.Destination, Policy: item.Policy,
		State: item.State, Events: formatCount(item.Events), Detail: item.Detail,
	}
	add := func(text string) {
		if line.Detail != "" {
			line.Detail += "; "
		}
		line.Detail += text
	}
	if !i.UnansweredSince.IsZero() {
		add("it may have arrived: no answer was seen since " + clock(i.UnansweredSince))
	}
	if wait := i.NextAttempt.Sub(now); i.State == store.Pending && wait > 0 {
		add("next try in " + span(wait))
	}
	return line
}

func sourceLine(s Source) sourceView {
	line := sourceView{
		Name: event.Visible(s.Name), Reporter: event.Visible(s.Reporter), Records: formatCount(s.Records), Skipped: formatCount(s.Skipped), Dropped: formatCount(s.Dropped), Lost: formatCount(s.Lost),
		Gaps: formatCount(s.Gaps), Errors: formatCount(s.Errors), Open: formatCount(s.Open), Last: clock(s.LastRecord), Up: s.Up, Alarm: s.Lost+s.Gaps > 0,
	}
	if !s.LastRecord.IsZero() {
		line.Lag = span(s.Lag)
	}
	if line.Last == "" {
		line.Last = "none yet"
	}
	if line.Reporter == "" {
		line.Reporter = "each record's host"
	}
	return line
}

// sortedKeys returns the keys of m in order.
func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
