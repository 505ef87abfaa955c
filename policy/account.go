package policy

import (
	"net/netip"
	"slices"

	"tattled/event"
)

// peer is a full address of a /64 and how often it was seen since it has a place here.
type peer struct {
	addr netip.Addr
	n    uint32
}

// see counts a full address of a /64. The least active one is evicted for a new one and leaves it its count, so that an
// address which is really active is always found in the end ("space saving").
func (t *tally) see(addr netip.Addr) {
	if !addr.Is6() || len(t.peers) > 0 && Key(t.peers[0].addr) != Key(addr) {
		return
	}
	p, place := peer{addr, 1}, 0
	for i, old := range t.peers {
		if old.addr == addr {
			p.n, place = old.n, i
			if p.n < 1<<32-1 {
				p.n++
			}
			t.peers = append(slices.Delete(t.peers, place, place+1), p)
			return
		}
		if old.n < t.peers[place].n {
			place = i
		}
	}
	if len(t.peers) == maxPeers {
		if n := t.peers[place].n; n < 1<<32-1 {
			p.n = n + 1
		}
		t.peers = slices.Delete(t.peers, place, place+1)
	}
	t.peers = append(t.peers, p)
}

// most returns the most active full address that g would let be reported, of several the one seen last; fallback where
// there is none.
func (t *tally) most(g *Gate, fallback netip.Addr) netip.Addr {
	best, n := fallback, uint32(0)
	for _, p := range t.peers {
		if p.n >= n && g.RefuseAddr(p.addr) == None {
			best, n = p.addr, p.n
		}
	}
	return best
}

// account is what a report says of the events that it rests on.
type account struct {
	span  run
	ports []uint16
	users int
	addr  netip.Addr
}

// account describes the events of the run that o belongs to. Those of an old log, read late, are not in the run: what is
// known of them is their moments, and o.
func (t *tally) account(g *Gate, r *rule, o *observation) account {
	if t.run.n > 0 && o.at >= t.run.first {
		a := account{span: t.run, ports: slices.Clone(t.ports), users: len(t.users), addr: t.most(g, o.addr)}
		a.span.last = max(a.span.last, o.at)
		return a
	}
	a := account{span: run{o.at, o.at, 1}, addr: o.addr}
	if o.e.LocalPort != 0 {
		a.ports = []uint16{o.e.LocalPort}
	}
	if o.e.User != "" {
		a.users = 1
	}
	if lo, _, last := t.around(r, o.at); last > lo {
		hits := t.hits[lo:last]
		a.span = run{hits[0].at, max(hits[len(hits)-1].at, o.at), uint32(len(hits))}
		switch r.distinct {
		case distinctUsers:
			a.users = len(hits)
		case distinctPorts:
			a.ports = portsOf(hits)
		}
	}
	return a
}

// prior describes what came before o in the time of a rule about a sequence: by the run where all of it lies in that time, else by
// the moments that are kept.
func (t *tally) prior(r *rule, o *observation) *event.Prior {
	p := event.Prior{Kinds: r.after.list()}
	if t.run.n > 0 && t.run.first >= o.at-r.within && t.run.last <= o.at {
		p.Count, p.First = int(t.run.n), timeOf(t.run.first)
		return &p
	}
	lo, hi, _ := t.around(r, o.at)
	p.Count, p.More = hi-lo, r.unique() || lo == 0 && len(t.hits) >= r.keeps()
	if lo < hi {
		p.First = timeOf(t.hits[lo].at)
	}
	return &p
}

// portsOf returns the ports of hits that were kept apart by port, ascending.
func portsOf(hits []hit) []uint16 {
	var ports []uint16
	for _, h := range hits[max(0, len(hits)-maxPorts):] {
		ports = append(ports, uint16(h.value))
	}
	slices.Sort(ports)
	return ports
}

// report makes the report of rule r to d about what t counted.
func (p *Policy) report(s *State, t *tally, r *rule, d *destination, c class, o *observation) event.Report {
	e, a := o.e, t.account(p.gate, r, o)
	var prior *event.Prior
	if r.after != 0 { // what came before is of another kind: the report is about the event that followed
		a, prior = (&tally{}).account(p.gate, r, o), t.prior(r, o)
	}
	if d.action != Report {
		a.addr = o.addr
	}
	reputation := r.reputation
	if o.refusal.Confidential() { // nobody is asked about it
		reputation = nil
	}
	return event.Report{
		ID: reportID(d.name, r.name, Key(o.addr), o.at, c, s.opened(d, r.name, c)), Destination: d.name, Policy: r.name, Judged: e.Received,
		DryRun: c == dryRun, Addr: a.addr, Kind: e.Kind, Kinds: r.counted(), Service: e.Service, Rule: e.Rule, Categories: e.Categories,
		First: timeOf(a.span.first), Last: timeOf(a.span.last), Count: int(a.span.n), Prior: prior,
		Users: a.users, Ports: a.ports, Proto: e.Proto, Place: e.Place, Reputation: reputation,
		User: e.User, Host: e.Host, Reporter: e.Reporter, Line: e.Line,
	}
}
