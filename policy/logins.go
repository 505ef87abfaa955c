package policy

import (
	"slices"
	"time"

	"tattled/event"
)

const (
	// maxLogins bounds the accounts of one address that are remembered as having got in, proven ones and others apart, and so
	// what somebody who has many accounts may be excused for.
	maxLogins = 20
	// excusedFor is how long before a success, in milliseconds, a failure may be that it explains.
	excusedFor = int64(10 * time.Minute / time.Millisecond)
)

// ownFor is how long after a success, in milliseconds, failures of its account are those of its own client.
const ownFor = int64(30 * 24 * time.Hour / time.Millisecond)

// login is an account that got in from the address. One that may be forged has an entry of its own.
type login struct {
	account uint64
	at      int64 // the last time, milliseconds
	service uint16
	clean   bool
}

// weigh takes a success, or a failure, into what is known of who gets in.
func (p *Policy) weigh(s *State, o *observation, j *Judgement) {
	if !p.weighs || o.e.Kind != event.AuthSuccess && o.e.Kind != event.AuthFailure {
		return
	}
	service := o.service16()
	known := o.clean && s.gotIn(service, o.at)
	if known {
		j.Outages.observe(o)
	}
	if o.e.Kind == event.AuthFailure {
		o.held = known && j.Outages.holds(o.e.Service, o.at)
		o.own = s.owns(o, service)
		return
	}
	if o.e.User == "" {
		return
	}
	s.remember(login{o.account(), o.at, service, o.clean})
	for i := range p.rules {
		r := &p.rules[i]
		if r.successes == 0 || r.foreign(o.e) != "" {
			continue
		}
		if t := s.known(r.id); t != nil {
			t.excuse(r, o)
		}
	}
}

// remember notes l. The one that was longest ago makes way.
func (s *State) remember(l login) {
	oldest, n := -1, 0
	for i := range s.logins {
		old := &s.logins[i]
		if old.clean != l.clean {
			continue
		}
		if old.account == l.account && old.service == l.service {
			old.at = max(old.at, l.at)
			return
		}
		n++
		if oldest < 0 || old.at < s.logins[oldest].at {
			oldest = i
		}
	}
	if n >= maxLogins {
		s.logins = slices.Delete(s.logins, oldest, oldest+1)
	}
	s.logins = append(s.logins, l)
}

// gotIn reports whether anybody provably got in at service before the moment at.
func (s *State) gotIn(service uint16, at int64) bool {
	return slices.ContainsFunc(s.logins, func(l login) bool { return l.clean && l.service == service && l.at < at })
}

// owns reports whether the account of o got in at its service from this address before. Whoever knew a password does not guess
// it: a client repeats the one that was changed. A login that may be forged explains no failure that is proven.
func (s *State) owns(o *observation, service uint16) bool {
	return o.e.User != "" && slices.ContainsFunc(s.logins, func(l login) bool {
		return l.account == o.account() && l.service == service && l.at < o.at && o.at-l.at < ownFor && (l.clean || !o.clean)
	})
}

// got returns how many different accounts that r is about got in within its time around o; with clean, provably.
func (s *State) got(r *rule, o *observation, clean bool) int {
	if r.successes == 0 {
		return 0
	}
	n := 0
	for i := range s.logins {
		l := &s.logins[i]
		if l.at < o.at-r.within || l.at > o.at+r.within || clean && !l.clean || !r.concerns(l.service) {
			continue
		}
		if !l.clean && slices.ContainsFunc(s.logins, func(other login) bool {
			return other.clean && other.account == l.account && other.service == l.service
		}) {
			continue
		}
		n++
	}
	return min(n, maxLogins)
}
