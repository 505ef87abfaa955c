package web

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"tattled/event"
	"tattled/setting"
)

// The bounds of a search.
const (
	maxValues   = 64               // of one parameter
	maxValue    = 255              // bytes of a value
	scanAtOnce  = 1000             // events read from the store at once
	maxScan     = 2_000_000        // events looked at for one answer
	searches    = 2                // at the same time; others wait
	searchLimit = 20 * time.Second // for one answer
)

// filter says which events a client wants: of each parameter that is given, one of its values must fit. Its parameters have the names
// of the fields in Event.
type filter struct {
	fields   []fieldFilter
	networks []netip.Prefix // of address
	ports    []uint16       // of ours
	texts    []string       // in lower case
	from, to time.Time      // zero: no bound
}

type fieldFilter struct {
	value  func(e *event.Event) string
	wanted []string
}

// filterFields are the parameters that ask for a whole field, as clients see it.
var filterFields = map[string]func(e *event.Event) string{
	"kind":     func(e *event.Event) string { return e.Kind.String() },
	"service":  func(e *event.Event) string { return e.Service },
	"rule":     func(e *event.Event) string { return e.Rule },
	"program":  func(e *event.Event) string { return event.Visible(e.Program) },
	"country":  func(e *event.Event) string { return e.Place.Country },
	"as":       func(e *event.Event) string { return strconv.FormatUint(uint64(e.Place.ASN), 10) },
	"reporter": func(e *event.Event) string { return event.Visible(e.Reporter) },
	"source":   func(e *event.Event) string { return event.Visible(e.Source) },
	"host":     func(e *event.Event) string { return event.Visible(e.Host) },
	"user":     func(e *event.Event) string { return event.Visible(e.User) },
}

// filterNames are all parameters of a filter.
var filterNames = []string{
	"address", "as", "country", "from", "host", "kind", "port", "program", "range", "reporter", "rule", "service", "source", "text", "to", "user",
}

// readFilter reads the parameters of a filter; nil where there are none. Its error says to the client what is wrong, and holds nothing of
// what the client sent.
func readFilter(query url.Values, now time.Time) (*filter, error) {
	f := &filter{}
	given := false
	for _, name := range filterNames {
		values := query[name]
		if len(values) == 0 {
			continue
		}
		given = true
		if len(values) > maxValues || slices.ContainsFunc(values, func(v string) bool { return v == "" || len(v) > maxValue }) {
			return nil, fmt.Errorf("%s must have 1 to %d values, of 1 to %d bytes each", name, maxValues, maxValue)
		}
		if err := f.take(name, values, now); err != nil {
			return nil, err
		}
	}
	if !given {
		return nil, nil
	}
	return f, nil
}

func (f *filter) take(name string, values []string, now time.Time) error {
	switch name {
	case "address":
		return f.takeAddresses(values)
	case "port":
		for _, v := range values {
			n, err := strconv.ParseUint(v, 10, 16)
			if err != nil || n == 0 {
				return errors.New("port must be a number from 1 to 65535")
			}
			f.ports = append(f.ports, uint16(n))
		}
		return nil
	case "text":
		for _, v := range values {
			f.texts = append(f.texts, strings.ToLower(v))
		}
		return nil
	case "from", "to", "range":
		return f.takeTime(name, values, now)
	}
	wanted := slices.Clone(values)
	switch name {
	case "kind":
		var kind event.Kind
		for _, v := range values {
			if kind.UnmarshalText([]byte(v)) != nil {
				return fmt.Errorf("kind must be one of %v", event.Kinds())
			}
		}
	case "country":
		for i := range wanted {
			if wanted[i] = strings.ToUpper(wanted[i]); wanted[i] == "??" { // as in policies: not known
				wanted[i] = ""
			}
		}
	case "as":
		for i := range wanted {
			wanted[i] = strings.TrimPrefix(strings.ToUpper(wanted[i]), "AS")
			if _, err := strconv.ParseUint(wanted[i], 10, 32); err != nil {
				return errors.New("as must be a number, like 64500 or AS64500")
			}
		}
	}
	f.fields = append(f.fields, fieldFilter{filterFields[name], wanted})
	return nil
}

func (f *filter) takeAddresses(values []string) error {
	for _, v := range values {
		p, err := netip.ParsePrefix(v)
		if err != nil {
			addr, err := netip.ParseAddr(v)
			if err != nil {
				return errors.New("address must be an IP address, or a network like 192.0.2.0/24")
			}
			addr = addr.Unmap().WithZone("")
			p = netip.PrefixFrom(addr, addr.BitLen())
		}
		f.networks = append(f.networks, p.Masked())
	}
	return nil
}

func (f *filter) takeTime(name string, values []string, now time.Time) error {
	var d setting.Duration
	text := values[0]
	if len(values) > 1 {
		return fmt.Errorf("%s can be given once", name)
	}
	if err := d.UnmarshalText([]byte(text)); err == nil && name != "to" {
		f.from = now.Add(-d.D())
		return nil
	}
	at, err := time.Parse(time.RFC3339, text)
	switch {
	case name == "range":
		return errors.New("range must be a duration, like 90s, 10m, 24h or 7d")
	case err != nil:
		return fmt.Errorf("%s must be a time, like 2026-11-22T14:30:00Z", name)
	case name == "from":
		f.from = at
	default:
		f.to = at
	}
	return nil
}

// fits reports whether a client wants e.
func (f *filter) fits(e *event.Event) bool {
	if f == nil {
		return true
	}
	if !f.from.IsZero() && e.Time.Before(f.from) || !f.to.IsZero() && !e.Time.Before(f.to) {
		return false
	}
	if len(f.networks) > 0 && !slices.ContainsFunc(f.networks, func(p netip.Prefix) bool { return p.Contains(e.Addr) }) {
		return false
	}
	if len(f.ports) > 0 && !slices.Contains(f.ports, e.LocalPort) {
		return false
	}
	for _, field := range f.fields {
		if !slices.Contains(field.wanted, field.value(e)) {
			return false
		}
	}
	if len(f.texts) == 0 {
		return true
	}
	line := strings.ToLower(event.Visible(e.Line))
	return slices.ContainsFunc(f.texts, func(t string) bool { return strings.Contains(line, t) })
}

// over reports whether no event that was read before e can fit: nothing is dated long after it was read.
func (f *filter) over(e *event.Event) bool {
	return !f.from.IsZero() && e.Received.Before(f.from.Add(-time.Hour))
}

// found is what a search came to.
type found struct {
	events  []event.Event // ascending
	upTo    uint64        // all events up to this one were looked at; for a search that goes forward
	partial bool          // a bound ended it
}

// search looks for events in the store: the oldest after a Seq, or the newest up to one. A few run at the same time.
func (s *Server) search(ctx context.Context, f *filter, after, newest uint64, forward bool, limit int) (found, error) {
	ctx, cancel := context.WithTimeout(ctx, searchLimit)
	defer cancel()
	select {
	case s.searching <- struct{}{}:
		defer func() { <-s.searching }()
	case <-ctx.Done():
		return found{upTo: after, partial: true}, nil
	}
	if forward {
		return s.searchForward(ctx, f, after, limit)
	}
	return s.searchBack(ctx, f, newest, limit)
}

func (s *Server) searchForward(ctx context.Context, f *filter, after uint64, limit int) (found, error) {
	r := found{upTo: after}
	for looked := 0; len(r.events) < limit; looked += scanAtOnce {
		if looked >= maxScan || ctx.Err() != nil {
			r.partial = true
			return r, nil
		}
		batch, err := s.deps.Store.Events(r.upTo, scanAtOnce)
		if err != nil || len(batch) == 0 {
			return r, err
		}
		for i := range batch {
			if len(r.events) == limit {
				return r, nil
			}
			r.upTo = batch[i].Seq
			if f.fits(&batch[i]) {
				r.events = append(r.events, batch[i])
			}
		}
	}
	return r, nil
}

func (s *Server) searchBack(ctx context.Context, f *filter, newest uint64, limit int) (found, error) {
	r := found{upTo: newest}
	over := false
	for looked := 0; newest > 0 && !over && len(r.events) < limit; looked += scanAtOnce {
		if looked >= maxScan || ctx.Err() != nil {
			r.partial = true
			break
		}
		from := newest - min(newest, scanAtOnce)
		batch, err := s.deps.Store.Events(from, int(newest-from))
		if err != nil {
			return r, err
		}
		if len(batch) == 0 || batch[0].Seq > newest { // all that is older was dropped
			break
		}
		for i := len(batch) - 1; i >= 0 && len(r.events) < limit && !over; i-- {
			switch e := &batch[i]; {
			case e.Seq > newest:
			case f.over(e):
				over = true
			case f.fits(e):
				r.events = append(r.events, *e)
			}
		}
		newest = from
	}
	slices.Reverse(r.events)
	return r, nil
}

// askFilter reads the filter of a request. If it is not right, it answers the request and ok is false.
func (s *Server) askFilter(w http.ResponseWriter, r *http.Request) (f *filter, ok bool) {
	f, err := readFilter(r.URL.Query(), s.now())
	if err != nil {
		fail(w, r, http.StatusBadRequest, "The parameter "+err.Error()+".")
	}
	return f, err == nil
}
