package policy

import (
	"slices"
	"sort"

	"tattled/event"
)

// Bounds of one track, besides the moments (rule.keeps).
const (
	maxSessions     = 8  // connections told apart; the one that was quiet for longest goes
	maxSessionRules = 4  // rules told apart on one connection
	maxPorts        = 16 // ports of ours, as many as a Report carries
	maxUsers        = 16 // accounts, by hash

	// sessionEnds is after what pause, in milliseconds, the same process id is another connection. A login that takes longer
	// is cut off by every server (sshd's LoginGraceTime is 2 minutes).
	sessionEnds = 60 * 60 * 1000
)

// track is what one rule remembers of one address.
type track struct {
	rule     uint32 // rule.id
	hits     []hit  // ascending by time
	all      run    // of every event counted
	clean    run    // of those that the gate lets pass
	sessions []session
	ports    []uint16 // ascending
	users    []uint32 // hashes
}

// hit is one moment that counts.
type hit struct {
	at    int64  // milliseconds
	value uint32 // what must be distinct; 0 where nothing must
	clean bool   // it may lead to a report
}

// run is a span of events without a long pause, since the last report.
type run struct {
	first, last int64 // milliseconds
	n           uint32
}

// session is one connection whose lines are told apart by rule: its attempts are the most lines that any one rule saw.
type session struct {
	id       uint32
	port     uint16 // the peer's, 0 while no line named it
	last     int64  // milliseconds
	attempts uint16
	rules    [maxSessionRules]ruleLines
}

type ruleLines struct {
	rule uint16 // hash of the rule's name; 0 is a free place
	n    uint16
}

// count takes o into the track. It returns false where the event is only another line about an attempt that was counted,
// or has nothing that could be distinct.
func (t *track) count(r *rule, o *observation) bool {
	value := uint32(0)
	switch r.distinct {
	case distinctPorts:
		if value = uint32(o.e.LocalPort); value == 0 {
			return false
		}
	case distinctUsers:
		if o.e.User == "" {
			return false
		}
		value = hash32(o.e.User)
	default:
		if o.e.Session && !t.attempt(o) {
			return false
		}
	}
	t.clampTo(o.now)
	t.all.add(o.at, r.gap)
	if o.clean {
		t.clean.add(o.at, r.gap)
	}
	t.remember(o.e)
	if keeps := r.keeps(); keeps > 0 {
		t.insert(hit{o.at, value, o.clean}, keeps)
	}
	return true
}

// attempt reports whether o's line tells of an attempt that no other line of its connection told of.
func (t *track) attempt(o *observation) bool {
	s := t.session(sessionID(o.e), o.e.Port, o.at)
	s.last = max(s.last, o.at)
	lines := &s.rules[0]
	name := uint16(hash32(o.e.Rule)>>16) | 1
	for i := range s.rules {
		l := &s.rules[i]
		if l.rule == name || l.rule == 0 {
			lines = l
			break
		}
	}
	lines.rule = name
	if lines.n < 1<<16-1 {
		lines.n++
	}
	if lines.n <= s.attempts {
		return false
	}
	s.attempts = lines.n
	return true
}

// session returns the connection of process id from port, new where it is not known or was quiet for too long. Not every
// line names the port (those of PAM do not): one without belongs to the connection that the process had last.
func (t *track) session(id uint32, port uint16, at int64) *session {
	oldest, same := 0, -1
	for i := range t.sessions {
		s := &t.sessions[i]
		if s.id == id && (s.port == port || s.port == 0 || port == 0) && (same < 0 || s.last >= t.sessions[same].last) {
			same = i
		}
		if s.last < t.sessions[oldest].last {
			oldest = i
		}
	}
	fresh := session{id: id, port: port, last: at}
	if same >= 0 {
		s := &t.sessions[same]
		if at-s.last > sessionEnds || s.last-at > sessionEnds {
			*s = fresh
		}
		s.port = max(s.port, port)
		return s
	}
	if len(t.sessions) < maxSessions {
		t.sessions = append(t.sessions, fresh)
		return &t.sessions[len(t.sessions)-1]
	}
	t.sessions[oldest] = fresh
	return &t.sessions[oldest]
}

// sessionID tells the processes that serve one address apart. The kind is in it, so that a success is not taken for
// another line about a failure.
func sessionID(e *event.Event) uint32 {
	h := hashInto(fnvOffset, e.Host)
	h = hashInto(h, e.Service)
	h = hashInto(h, e.PID)
	return (h ^ uint32(e.Kind)) * fnvPrime
}

// remember notes the port and the account for the report's text.
func (t *track) remember(e *event.Event) {
	if e.LocalPort != 0 && len(t.ports) < maxPorts {
		if i, known := slices.BinarySearch(t.ports, e.LocalPort); !known {
			t.ports = slices.Insert(t.ports, i, e.LocalPort)
		}
	}
	if e.User != "" && len(t.users) < maxUsers {
		if user := hash32(e.User); !slices.Contains(t.users, user) {
			t.users = append(t.users, user)
		}
	}
}

// insert puts h in its place by time. Of the same value only the newest moment counts. A track that is full loses its
// oldest moment.
func (t *track) insert(h hit, keeps int) {
	if h.value != 0 {
		if i := slices.IndexFunc(t.hits, func(old hit) bool { return old.value == h.value }); i >= 0 {
			if old := t.hits[i]; old.clean == h.clean && old.at >= h.at || old.clean && !h.clean {
				return
			}
			t.hits = slices.Delete(t.hits, i, i+1)
		}
	}
	i := sort.Search(len(t.hits), func(i int) bool { return t.hits[i].at > h.at })
	if len(t.hits) < keeps {
		t.hits = slices.Insert(t.hits, i, h)
		return
	}
	for len(t.hits) > keeps { // a threshold that was lowered
		t.hits, i = slices.Delete(t.hits, 0, 1), i-1
	}
	if i > 0 {
		copy(t.hits, t.hits[1:i])
		t.hits[i-1] = h
	}
}

// reached reports whether enough moments lie close enough together around o, and whether enough clean ones do. For a
// rule with an after it looks back from o.
func (t *track) reached(r *rule, o *observation) (all, clean bool) {
	if r.keeps() == 0 {
		return true, o.clean
	}
	lo := sort.Search(len(t.hits), func(i int) bool { return t.hits[i].at >= o.at-r.within })
	hi := sort.Search(len(t.hits), func(i int) bool { return t.hits[i].at > o.at })
	last := hi
	if r.after == 0 {
		last = sort.Search(len(t.hits), func(i int) bool { return t.hits[i].at > o.at+r.within })
	}
	return t.dense(lo, hi, last, r, false), o.clean && t.dense(lo, hi, last, r, true)
}

// dense reports whether a span of r.within that begins in hits[lo:hi] and ends before hits[last] holds the threshold.
func (t *track) dense(lo, hi, last int, r *rule, cleanOnly bool) bool {
	n, end := 0, lo
	for begin := lo; begin < hi; begin++ {
		for ; end < last && t.hits[end].at-t.hits[begin].at <= r.within; end++ {
			if t.hits[end].clean || !cleanOnly {
				n++
			}
		}
		if n >= r.threshold {
			return true
		}
		if t.hits[begin].clean || !cleanOnly {
			n--
		}
	}
	return false
}

// clampTo brings moments that lie after now back to it: our clock was ahead when they were noted, and they must not hold
// the newest places until it is there again.
func (t *track) clampTo(now int64) {
	for i := len(t.hits) - 1; i >= 0 && t.hits[i].at > now; i-- {
		t.hits[i].at = now
	}
	t.all.clampTo(now)
	t.clean.clampTo(now)
}

// reset forgets what was told. Connections stay: their further lines are still about attempts that were counted.
func (t *track) reset() {
	t.hits, t.ports, t.users = t.hits[:0], t.ports[:0], t.users[:0]
	t.all, t.clean = run{}, run{}
}

// add takes a moment into the run, or begins a new one after a pause. A moment long before the run only counts.
func (r *run) add(at, gap int64) {
	switch {
	case r.n == 0 || at > r.last && at-r.last > gap:
		*r = run{first: at, last: at}
	case at > r.last:
		r.last = at
	case at < r.first && r.first-at <= gap:
		r.first = at
	}
	if r.n < 1<<32-1 {
		r.n++
	}
}

func (r *run) clampTo(now int64) {
	if r.last > now {
		r.last = now
		r.first = min(r.first, now)
	}
}

// FNV-1a, 32 bits, inline because hash/fnv allocates.
const (
	fnvOffset uint32 = 2166136261
	fnvPrime  uint32 = 16777619
)

// hashInto mixes s and its length into h, so that ("ab","c") and ("a","bc") differ.
func hashInto(h uint32, s string) uint32 {
	for i := range len(s) {
		h = (h ^ uint32(s[i])) * fnvPrime
	}
	return (h ^ uint32(len(s))) * fnvPrime
}

// hash32 is never 0.
func hash32(s string) uint32 { return max(hashInto(fnvOffset, s), 1) }
