package policy

import (
	"slices"

	"tattled/event"
)

// Join takes into r, a report that waits to be sent, what its address did after it was judged: what r's policy has counted since, and
// the categories of other policies that were reached meanwhile and would have been muted by r. Where one of these is about
// something more severe, r tells of that. What is taken is forgotten in s, as what was reported is, so that nothing is told twice.
// recent are some of the newest events of the address. It returns whether r changed. Alerts, reports about a sequence of
// events, and what the operator reports by hand stay as they are.
func (p *Policy) Join(s *State, r *event.Report, recent []event.Event, clock *Clock) bool {
	if r.DryRun || r.Prior != nil || r.Policy == ByHand || !p.Reports(r.Destination) {
		return false
	}
	joined := false
	for i := range p.rules {
		if t := s.known(p.rules[i].id); t != nil && p.joinRule(s, t, &p.rules[i], r, recent, clock) {
			t.clean.reset()
			joined = true
		}
	}
	return joined
}

// Reports reports whether a destination is a third party: what goes there are reports, not alerts.
func (p *Policy) Reports(name string) bool {
	return slices.ContainsFunc(p.destinations, func(d destination) bool { return d.name == name && d.action == Report })
}

// joinRule takes into report what t, the track of r, has counted of proven events.
func (p *Policy) joinRule(s *State, t *track, r *rule, report *event.Report, recent []event.Event, clock *Clock) bool {
	c := &t.clean
	if !r.report || r.after != 0 || c.run.n == 0 || !c.saw(report) {
		return false
	}
	counted := p.countedEvents(r, c, recent)
	if r.name == report.Policy {
		report.Categories = union(report.Categories, counted)
		c.addTo(report)
		return true
	}
	if len(counted) == 0 {
		return false
	}
	last := &counted[len(counted)-1]
	o := observation{e: last, addr: Peer(last.Addr), at: c.run.last, now: bounded(last.Received.UnixMilli()), clock: clock, clean: true}
	if reached, _ := c.reached(r, &o, s.got(r, &o, true)); !reached {
		return false
	}
	categories := union(report.Categories, counted)
	if last.Kind.Severity() > report.Kind.Severity() {
		report.Policy, report.Kind, report.Kinds = r.name, last.Kind, r.counted()
		report.Service, report.Rule, report.Proto = last.Service, last.Rule, last.Proto
		report.First, report.Count, report.Users, report.Ports = timeOf(c.run.first), 0, 0, nil
		report.User, report.Host, report.Reporter, report.Line = last.User, last.Host, last.Reporter, last.Line
		report.Last = report.First
		c.addTo(report)
	}
	report.Categories = categories
	return true
}

// countedEvents returns those events that the gate lets pass and that are in the run of r's tally, in their order.
func (p *Policy) countedEvents(r *rule, t *tally, events []event.Event) []event.Event {
	var counted []event.Event
	for i := range events {
		e := &events[i]
		if at := moment(e); at >= t.run.first && at <= t.run.last && r.mismatch(e) == "" && p.gate.Refuse(e) == None {
			counted = append(counted, *e)
		}
	}
	return counted
}

// saw reports whether the address of a report took part in what was counted: of a /64, others may have done it.
func (t *tally) saw(r *event.Report) bool {
	return len(t.peers) == 0 || slices.ContainsFunc(t.peers, func(p peer) bool { return p.addr == r.Addr })
}

// addTo adds what was counted to a report. Accounts that were told of before and those here may be the same ones, so that of their
// numbers the larger one is certain.
func (t *tally) addTo(r *event.Report) {
	r.Count += int(t.run.n)
	r.Users = max(r.Users, len(t.users))
	if last := timeOf(t.run.last); last.After(r.Last) {
		r.Last = last
	}
	if first := timeOf(t.run.first); first.Before(r.First) {
		r.First = first
	}
	r.Ports = slices.Clone(r.Ports)
	for _, port := range t.ports {
		if i, known := slices.BinarySearch(r.Ports, port); !known && len(r.Ports) < maxPorts {
			r.Ports = slices.Insert(r.Ports, i, port)
		}
	}
}

// union returns categories and those of events, ascending.
func union(categories []int, events []event.Event) []int {
	all := slices.Clone(categories)
	for i := range events {
		all = append(all, events[i].Categories...)
	}
	slices.Sort(all)
	return slices.Compact(all)
}
