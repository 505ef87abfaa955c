package policy

import (
	"net/netip"
	"time"

	"tattled/event"
)

// What the operator did by hand has these names in place of a policy's.
const (
	ByHand    = "by-hand"
	Retracted = "retracted"
)

// hand returns a destination that gets reports, nil if there is none of that name.
func (p *Policy) hand(name string) *destination {
	for i := range p.destinations {
		if d := &p.destinations[i]; d.name == name && d.action == Report {
			return d
		}
	}
	return nil
}

// ReportByHand judges r, which the operator asks for, by the state of its address: at most one report goes out in a window, whoever wants
// it. It returns false, and until when its window is open, if it must not be sent; else it opens the window and completes r. Whether the
// gate lets the address pass is for the caller to ask.
func (p *Policy) ReportByHand(s *State, r *event.Report, now time.Time, clock *Clock) (until time.Time, ok bool) {
	d := p.hand(r.Destination)
	if d == nil {
		return time.Time{}, false
	}
	at, c := bounded(now.UnixMilli()), d.class(true)
	if s.muted(d, ByHand, c, at, clock) {
		last := max(s.opened(d, ByHand, c), s.opened(d, ByHand, proven))
		return timeOf(last + d.window), false
	}
	r.ID = reportID(d.name, ByHand, Key(r.Addr), at, c, s.opened(d, ByHand, c))
	r.Policy, r.Judged, r.DryRun = ByHand, now, c == dryRun
	s.openWindow(d, ByHand, c, at)
	return time.Time{}, true
}

// HoldBack opens the window of a destination as if the address had been reported now, so that it is not for as long as a window is. It
// returns until when.
func (p *Policy) HoldBack(s *State, name string, now time.Time) (until time.Time) {
	d := p.hand(name)
	if d == nil {
		return time.Time{}
	}
	at := bounded(now.UnixMilli())
	s.openWindow(d, Retracted, proven, at)
	return timeOf(at + d.window)
}

// RetractionID names a retraction.
func RetractionID(destination string, addr netip.Addr, now time.Time) string {
	return reportID(destination, Retracted, Key(addr), bounded(now.UnixMilli()), proven, now.UnixNano())
}
