package daemon

import (
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"time"

	"tattled/detect"
	"tattled/event"
)

// Of the lines about an attack of which the peer cannot be told: how many within how long are a problem, of how many first
// columns of a service the page and the log tell at once, and how many columns are followed.
const (
	disputedLines  = 20
	disputedIn     = time.Hour
	disputedShown  = 5
	disputedTraced = 128
)

// disputes counts lines that can be read in several ways, by one of which they tell of an attack, but not by whom: nobody can
// be blamed for them, and that somebody attacks is known all the same. They are counted by service, and of access logs also by
// the address in the first column, so that whoever looks can start with that. Columns are bounded: the one that was silent for
// longest makes room. Safe for concurrent use.
type disputes struct {
	mu   sync.Mutex
	seen map[disputed]*dispute
}

// disputed is a service, or the lines of a service with an address in their first column.
type disputed struct {
	service string
	column  netip.Addr // the zero address for all lines of the service
}

// dispute has the times of the last such lines, in a ring.
type dispute struct {
	at   [disputedLines]time.Time
	next int
}

// note takes a line of a service, with the address in its first column if there is one, that was read at now. It returns
// whether that makes a problem of the service, or of the column, which it was not. Of columns no more than disputedShown of a
// service begin one at a time.
func (d *disputes) note(service string, column netip.Addr, now time.Time) (began bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.seen == nil {
		d.seen = map[disputed]*dispute{}
	}
	began = d.count(disputed{service: service}, now)
	if column.IsValid() && d.count(disputed{service, column}, now) {
		began = began || len(d.columns(service, now)) <= disputedShown
	}
	return began
}

// count takes one more line, and returns whether there are too many now, and were not before.
func (d *disputes) count(who disputed, now time.Time) bool {
	one := d.seen[who]
	if one == nil {
		if len(d.seen) >= disputedTraced {
			d.forget()
		}
		one = &dispute{}
		d.seen[who] = one
	}
	before := one.problem(now)
	one.at[one.next] = now
	one.next = (one.next + 1) % disputedLines
	return !before && one.problem(now)
}

// forget makes room for a column.
func (d *disputes) forget() {
	var oldest disputed
	var at time.Time
	for who, one := range d.seen {
		if last := one.last(); who.column.IsValid() && (at.IsZero() || last.Before(at)) {
			oldest, at = who, last
		}
	}
	delete(d.seen, oldest)
}

func (d *dispute) last() time.Time { return d.at[(d.next+disputedLines-1)%disputedLines] }

// problem reports whether there were too many within disputedIn before now.
func (d *dispute) problem(now time.Time) bool {
	oldest := d.at[d.next]
	return !oldest.IsZero() && now.Sub(oldest) < disputedIn
}

// columns returns the addresses that too many lines of a service have in their first column, in order.
func (d *disputes) columns(service string, now time.Time) []netip.Addr {
	var all []netip.Addr
	for who, one := range d.seen {
		if who.service == service && who.column.IsValid() && one.problem(now) {
			all = append(all, who.column)
		}
	}
	slices.SortFunc(all, netip.Addr.Compare)
	return all
}

// problems says which services are attacked by somebody who cannot be told.
func (d *disputes) problems(rules *detect.Rules, now time.Time) []event.Problem {
	d.mu.Lock()
	defer d.mu.Unlock()
	var all []event.Problem
	for _, s := range rules.Services() {
		one := d.seen[disputed{service: s.Name}]
		if one == nil || !one.problem(now) {
			continue
		}
		remedy := "check what `tattled explain` says of one"
		if rules.ReadsAccess(s.Programs[0]) {
			remedy += ", and declare the form of the access log (sources.files[].form)"
		}
		all = append(all, event.Problem{
			What: s.Name + ": its lines show an attack but not the attacker",
			Cause: fmt.Sprintf("in %d lines or more within an hour a client wrote what looks like another part of the line%s: nobody is reported for them",
				disputedLines, columnsText(d.columns(s.Name, now))),
			Remedy: remedy,
		})
	}
	return all
}

// columnsText names columns for people.
func columnsText(columns []netip.Addr) string {
	if len(columns) == 0 {
		return ""
	}
	text := " (first columns with as many lines:"
	for _, a := range columns[:min(len(columns), disputedShown)] {
		text += " " + a.String()
	}
	if more := len(columns) - disputedShown; more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text + ")"
}
