package web

import (
	"net/url"
	"strings"
	"testing"
)

// Whatever a client sends as a filter or to the feed: it is read or refused, and a refusal holds nothing of it.
func FuzzParameters(f *testing.F) {
	for _, seed := range []string{
		"kind=ban&user=root", "address=192.0.2.0/24&port=22", "range=24h&from=2026-11-22T14:30:00Z", "as=AS64500&country=??", "format=ipset&since=7d&min_count=3&policy=x",
	} {
		f.Add(seed)
	}
	e := newWorld().next(base)
	f.Fuzz(func(t *testing.T, text string) {
		query, err := url.ParseQuery(text)
		if err != nil {
			return
		}
		const mark = "\x00mark"
		for name, values := range query {
			query[name] = append(values, mark)
		}
		filter, err := readFilter(query, base)
		if err == nil {
			filter.fits(&e)
		} else if strings.Contains(err.Error(), mark) {
			t.Errorf("the refusal holds what was sent: %v", err)
		}
		if _, err := readBlockQuery(query); err != nil && strings.Contains(err.Error(), mark) {
			t.Errorf("the refusal holds what was sent: %v", err)
		}
	})
}
