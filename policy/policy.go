// Package policy decides: it takes what is known about one address (State) and one more Event, and says which reports are
// due. It is pure. It reads no clock, no disk and no network: thresholds go by the time in the events, windows by the time
// at which they were read, so a month of old logs is judged in seconds and to the same end. The reporting gate, which
// keeps what must not be reported from third parties, lives here as code (Gate).
//
// The store's committer calls Judge inside its transaction and keeps the State. Reports that come of it go into the
// outbox; nothing here sends.
//
// What bounds a State, whatever an attacker does: at most 64 policies leave a track in it; a track keeps at most twice its
// threshold of moments (the newest; all thresholds together are at most 4000), 8 connections with 4 rules each, 16 ports
// and 16 accounts; there are at most 32 windows and 4 full addresses of a /64. With the shipped policies an address that
// was seen a few times takes 100 to 300 bytes.
package policy

import (
	"net/netip"
	"time"

	"tattled/event"
)

// Action is what sort of telling a destination is for.
type Action uint8

// The actions.
const (
	Report Action = iota + 1 // to a third party: the gate must let each event pass that counts
	Alert                    // to the operator
)

func (a Action) String() string {
	switch a {
	case Report:
		return doReport
	case Alert:
		return doAlert
	default:
		return ""
	}
}

// Destination is somebody who is told. Within the window after one telling about an address there is no second one: of a
// Report destination for all policies together, of an Alert destination for each policy by itself, so that a mail about
// failed logins does not mute the one about the login that succeeds.
type Destination struct {
	Name   string
	Action Action
	Window time.Duration // at least MinWindow for Report, whatever is written here
}

// Policy is a set of rules, ready to judge. It may be used by several goroutines at once.
type Policy struct {
	rules        []rule
	gate         *Gate
	destinations []destination
	counters     *Counters
}

type destination struct {
	name   string
	action Action
	window int64 // milliseconds
}

// New makes a Policy of rules that Check finds no fault with. Decisions are counted in counters, which may be those of
// the Policy that this one replaces; nil makes new ones.
func New(rules []Config, gate *Gate, destinations []Destination, counters *Counters) *Policy {
	p := &Policy{gate: gate, counters: counters}
	if p.counters == nil {
		p.counters = new(Counters)
	}
	for i := range rules {
		p.rules = append(p.rules, compile(&rules[i]))
	}
	for _, d := range destinations {
		window := d.Window
		if d.Action == Report {
			window = max(window, MinWindow)
		}
		p.destinations = append(p.destinations, destination{d.Name, d.Action, window.Milliseconds()})
	}
	return p
}

// Counters returns where the decisions are counted.
func (p *Policy) Counters() *Counters { return p.counters }

// Gate returns the reporting gate.
func (p *Policy) Gate() *Gate { return p.gate }

// Key returns the address under which addr is counted: addr itself, or of IPv6 the first of its /64, because one
// customer usually holds all of it.
func Key(addr netip.Addr) netip.Addr {
	addr = addr.Unmap().WithZone("")
	if !addr.Is6() {
		return addr
	}
	return netip.PrefixFrom(addr, 64).Masked().Addr()
}

// Judge takes e into s, the state of Key(e.Addr), and adds to j what follows from it. It allocates only where something
// is due or the state grows.
func (p *Policy) Judge(s *State, e *event.Event, j *Judgement) {
	j.begin(p)
	if p.gate.Ordinary(e) || p.gate.Trusts(e.Addr) {
		return
	}
	o := observation{e: e, at: moment(e), now: e.Received.UnixMilli(), refusal: p.gate.Refuse(e)}
	o.clean = o.refusal == None
	noted := false
	for i := range p.rules {
		r := &p.rules[i]
		counts, triggers := r.roles(e)
		if !counts && !triggers {
			continue
		}
		if !noted && o.clean {
			s.note(e.Addr)
			noted = true
		}
		t := s.track(p, r.id)
		if counts && !t.count(r, &o) {
			continue
		}
		if triggers {
			p.decide(s, t, i, &o, j)
		}
	}
}

// observation is one event on its way through the rules.
type observation struct {
	e       *event.Event
	at      int64 // when it happened, milliseconds
	now     int64 // when it was read, milliseconds
	refusal Refusal
	clean   bool // the gate lets it pass
}

// The times that a State can hold, in milliseconds: year 1970 to year 9999.
const maxMoment = 253402300799999

// moment is when e happened for all that is counted: never after it was read, because a sender's clock that is ahead
// must not hold the newest places in a track for as long as it is ahead.
func moment(e *event.Event) int64 {
	at := min(e.Time.UnixMilli(), e.Received.UnixMilli())
	return min(max(at, 0), maxMoment)
}

// decide says what follows where e reaches rule i.
func (p *Policy) decide(s *State, t *track, i int, o *observation, j *Judgement) {
	r := &p.rules[i]
	all, clean := t.reached(r, o)
	if !all {
		return
	}
	told := !r.report && !r.alert
	if r.count {
		j.decided(i, outcomeCount)
	}
	for k := range p.destinations {
		d := &p.destinations[k]
		switch {
		case d.action == Report && r.report:
			if o.refusal != None {
				j.decided(i, outcomeRefused)
				j.refused[o.refusal]++
				continue
			}
			if !clean {
				continue
			}
		case d.action == Alert && r.alert:
		default:
			continue
		}
		if s.muted(d, r.name, o.now) {
			j.decided(i, outcomeMuted)
			continue
		}
		j.Reports = append(j.Reports, p.report(s, t, r, d, o))
		j.decided(i, outcomeOf(d.action))
		s.tell(d, r.name, o.now)
		told = true
	}
	if told {
		t.reset()
	}
}

// Mutes reports whether s is within the window of every destination that rule name would tell: for people who ask why
// nothing is sent.
func (p *Policy) Mutes(s *State, name string, now time.Time) bool {
	for i := range p.rules {
		r := &p.rules[i]
		if r.name != name {
			continue
		}
		for k := range p.destinations {
			d := &p.destinations[k]
			if r.tells(d) && !s.muted(d, r.name, now.UnixMilli()) {
				return false
			}
		}
	}
	return true
}
