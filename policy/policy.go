// Package policy decides: it takes what is known about one address (State) and one more Event, and says which reports are
// due. It is pure. It reads no clock, no disk and no network: thresholds go by the time in the events, windows by the time
// at which they were read, so a month of old logs is judged in seconds and to the same end. The reporting gate, which
// keeps what must not be reported from third parties, lives here as code (Gate).
//
// The store's committer calls Judge inside its transaction and keeps the State. Reports that come of it go into the
// outbox; nothing here sends.
//
// What bounds a State, whatever an attacker does: at most 64 policies leave a track in it; a track has a tally of the events
// that the gate lets pass and, where there were others, one of all; a tally keeps at most twice its threshold of moments (the
// newest; all thresholds together are at most 4000; where successes weigh, 21 at least), 8 connections with 4 rules each, 16
// ports, 16 accounts and 4 full addresses of a /64; there are at most 32 windows of each class, and 20 accounts that got in,
// proven ones and others apart. With the shipped policies the state of an address takes 40 to 130 bytes after one event, up to 290
// after five and up to 600 after ten (TestStateSize); logins over SSH with different accounts take the most.
package policy

import (
	"net/netip"
	"slices"
	"time"

	"tattled/event"
)

// Action is what sort of telling a destination is for.
type Action uint8

// The actions.
const (
	Report Action = iota + 1 // to a third party: the gate must let each event pass that counts
	Alert                    // to the operator: the gate must not call the address Internal
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

// Destination is somebody who is notified. Within the window after one notification about an address there is no second
// one: of a Report destination for all policies together, of an Alert destination for each policy by itself, so that a mail
// about failed logins does not mute the one about the login that succeeds. An alert about events that may be forged does
// not mute one about events that are proven: of these two, there may be one each.
type Destination struct {
	Name   string
	Action Action
	Window time.Duration // at least MinWindow for Report, whatever is written here
	// DryRun says that nothing is sent. What is judged then is marked so (event.Report.DryRun), and mutes nothing once it
	// is no dry run any more.
	DryRun bool
}

// Policy is a set of rules, ready to judge. It may be used by several goroutines at once.
type Policy struct {
	rules        []rule
	ids          []uint32 // of rules
	gate         *Gate
	destinations []destination
	counters     *Counters
	weighs       bool // a rule weighs successes
}

type destination struct {
	name   string
	action Action
	window int64 // milliseconds
	dryRun bool
}

// class returns that of a notification of d.
func (d *destination) class(clean bool) class {
	switch {
	case d.dryRun:
		return dryRun
	case !clean:
		return unproven
	default:
		return proven
	}
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
		p.ids = append(p.ids, p.rules[i].id)
		p.weighs = p.weighs || p.rules[i].successes > 0
	}
	for _, d := range destinations {
		window := d.Window
		if d.Action == Report {
			window = max(window, MinWindow)
		}
		p.destinations = append(p.destinations, destination{d.Name, d.Action, window.Milliseconds(), d.DryRun})
	}
	return p
}

// Counters returns where the decisions are counted.
func (p *Policy) Counters() *Counters { return p.counters }

// Gate returns the reporting gate.
func (p *Policy) Gate() *Gate { return p.gate }

// Judge takes e into s, the state of Key(e.Addr), and adds to j what follows from it. It allocates only where something
// is due or the state grows.
func (p *Policy) Judge(s *State, e *event.Event, j *Judgement) {
	j.begin(p)
	if p.gate.Ordinary(e) || p.gate.Trusts(e.Addr) {
		return
	}
	o := observation{e: e, addr: Peer(e.Addr), at: moment(e), now: bounded(e.Received.UnixMilli()), clock: &j.Clock, refusal: p.gate.Refuse(e)}
	o.clean = o.refusal == None
	p.weigh(s, &o, j)
	for i := range p.rules {
		r := &p.rules[i]
		counts, triggers := r.roles(e)
		if !counts && !triggers {
			continue
		}
		if o.own && r.successes > 0 {
			j.decided(i, outcomeWeighed)
			continue
		}
		t := s.track(p, r.id)
		all, clean := true, o.clean
		if counts {
			all, clean = t.count(r, &o)
		}
		if triggers {
			var weighed bool
			if all {
				all, weighed = t.all().reached(r, &o, s.got(r, &o, false))
			}
			if clean {
				clean, weighed = t.clean.reached(r, &o, s.got(r, &o, true))
			}
			if weighed {
				j.decided(i, outcomeWeighed)
			}
			p.decide(s, t, i, &o, all, clean, j)
		}
	}
}

// observation is one event on its way through the rules.
type observation struct {
	e       *event.Event
	addr    netip.Addr // Peer(e.Addr)
	at      int64      // when it happened, milliseconds
	now     int64      // when it was read, milliseconds
	clock   *Clock     // which now is of
	refusal Refusal
	clean   bool // the gate lets it pass
	own     bool // a failure of an account that got in from the address before
	held    bool // its service seems to be at fault, and the address got in before: nothing is reported

	// Hashes, once they were asked for; 0 before.
	hashed  uint64 // of the account
	user    uint32 // of the account, hash32
	session uint32 // sessionID, with line
	line    uint16 // of the rule's name
	service uint16 // service16
}

// account returns the hash of the account that was tried, 0 where there is none.
func (o *observation) account() uint64 {
	if o.hashed == 0 {
		o.hashed = hash64(o.e.User)
	}
	return o.hashed
}

// shortAccount is a shorter hash of the account that was tried, which is not empty.
func (o *observation) shortAccount() uint32 {
	if o.user == 0 {
		o.user = hash32(o.e.User)
	}
	return o.user
}

// connection returns the hashes that tell connections apart, and the lines of one.
func (o *observation) connection() (session uint32, line uint16) {
	if o.line == 0 {
		o.session, o.line = sessionID(o.e), uint16(hash32(o.e.Rule)>>16)|1
	}
	return o.session, o.line
}

// service16 returns the hash of the service.
func (o *observation) service16() uint16 {
	if o.service == 0 {
		o.service = service16(o.e.Service)
	}
	return o.service
}

// The times that a State can hold, in milliseconds: year 1970 to year 9999.
const maxMoment = 253402300799999

func bounded(at int64) int64 { return min(max(at, 0), maxMoment) }

// moment is when e happened for all that is counted: never after it was read, because a sender's clock that is ahead
// must not hold the newest places in a track for as long as it is ahead.
func moment(e *event.Event) int64 {
	return bounded(min(e.Time.UnixMilli(), e.Received.UnixMilli()))
}

// decide says what follows where o reaches rule i: by all events, or by the clean ones. What follows from clean events
// alone depends on nothing but them.
func (p *Policy) decide(s *State, t *track, i int, o *observation, all, clean bool, j *Judgement) {
	if !all && !clean {
		return
	}
	r := &p.rules[i]
	told, held := !r.report && !r.alert, false
	if r.count {
		j.decided(i, outcomeCount)
	}
	basis := t.all()
	if clean {
		basis = &t.clean
	}
	for k := range p.destinations {
		d := &p.destinations[k]
		if !r.tells(d) {
			continue
		}
		if d.action == Alert && o.refusal.Internal() && !r.private {
			j.decided(i, outcomeRefused)
			j.refused[o.refusal]++
			continue
		}
		if d.action == Report && !clean {
			if o.refusal != None {
				j.decided(i, outcomeRefused)
				j.refused[o.refusal]++
				if o.refusal == Infrastructure {
					p.gate.shared.hit(o.addr, o.e.Service)
				}
			}
			continue
		}
		if d.action == Report && o.held {
			j.decided(i, outcomeHeld)
			held = true
			continue
		}
		c := d.class(clean)
		if s.muted(d, r.name, c, o.now, o.clock) {
			j.decided(i, outcomeMuted)
			continue
		}
		j.Reports = append(j.Reports, p.report(s, basis, r, d, c, o))
		j.decided(i, outcomeOf(d.action))
		s.openWindow(d, r.name, c, o.now)
		told = true
	}
	if told || held { // what failed while the service did is held against nobody after it either
		t.reset(clean)
	}
}

// Private reports whether the policy of that name alerts about addresses that are Internal to the gate, but for trusted ones. There
// may be no such policy any more.
func (p *Policy) Private(name string) bool {
	i := slices.IndexFunc(p.rules, func(r rule) bool { return r.name == name })
	return i >= 0 && p.rules[i].private
}
