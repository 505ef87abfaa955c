package policy

import (
	"crypto/sha256"
	"encoding/binary"
	"slices"
	"sort"

	"tattled/event"
)

// Bounds of one tally, besides the moments (rule.keeps).
const (
	maxSessions     = 8  // connections told apart; the one that was quiet for longest goes
	maxSessionRules = 4  // rules told apart on one connection
	maxPorts        = 16 // ports of ours, as many as a Report carries
	maxUsers        = 16 // accounts, by hash
	maxPeers        = 4  // full addresses of a /64

	// sessionEnds is after what pause, in milliseconds, the same process id is another connection. A login that takes longer
	// is cut off by every server (sshd's LoginGraceTime is 2 minutes).
	sessionEnds = 60 * 60 * 1000
)

// track is what one rule remembers of one address. Events that the gate lets pass have a tally of their own, which no
// other event can touch: whoever forges events neither pushes out the moments of proven ones, nor adds to what is
// published of them, nor passes for another line of their connections.
type track struct {
	rule  uint32 // rule.id
	split bool
	clean tally // of the events that the gate lets pass; while the track is not split, there were no others
	mixed tally // of all events; empty while the track is not split
}

// tally is what is counted.
type tally struct {
	hits     []hit // ascending by time
	run      run
	sessions []session

	// Of the events in run:
	ports []uint16 // ascending
	users []uint32 // hashes
	peers []peer   // of IPv6: the full addresses that were most active, those seen last at the end
}

// hit is one moment that counts.
type hit struct {
	at      int64  // milliseconds
	value   uint64 // the hash of what must be distinct, or of the account where successes weigh; 0 where neither does
	service uint16 // the hash of its service where successes weigh, else 0
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

// count takes o into the track. It returns whether o counted as a new event among all, and among the clean ones: not
// where it is only another line about an attempt that was counted, or has nothing that could be distinct.
func (t *track) count(r *rule, o *observation) (all, clean bool) {
	if !o.clean {
		t.divide()
	}
	if o.clean {
		clean = t.clean.count(r, o, r.report)
	}
	if !t.split {
		return clean, clean
	}
	return t.mixed.count(r, o, false), clean
}

// excuse takes back what the success o explains. One that may be forged explains nothing that is proven.
func (t *track) excuse(r *rule, o *observation) {
	if !o.clean {
		t.divide()
	} else {
		t.clean.excuse(r, o)
	}
	if t.split {
		t.mixed.excuse(r, o)
	}
}

// all returns the tally of all events.
func (t *track) all() *tally {
	if t.split {
		return &t.mixed
	}
	return &t.clean
}

// divide splits the track: from now on clean events are counted apart from all.
func (t *track) divide() {
	if t.split {
		return
	}
	m, c := &t.mixed, &t.clean
	t.split, m.run = true, c.run
	m.hits, m.sessions = append(m.hits[:0], c.hits...), append(m.sessions[:0], c.sessions...)
	m.ports, m.users, m.peers = append(m.ports[:0], c.ports...), append(m.users[:0], c.users...), m.peers[:0]
}

// reset forgets what was reported: all of it where that rests on clean events. What rests on others leaves the clean ones
// as they are.
func (t *track) reset(clean bool) {
	if !clean {
		t.divide()
		t.mixed.reset()
		return
	}
	t.clean.reset()
	t.mixed.reset()
}

// clear makes t an empty track and keeps its memory.
func (t *track) clear() {
	t.reset(true)
	t.clean.sessions, t.mixed.sessions = t.clean.sessions[:0], t.mixed.sessions[:0]
	t.rule, t.split = 0, false
}

// count takes o into the tally, and its full address if peers is set. It returns false where o is nothing new.
func (t *tally) count(r *rule, o *observation, peers bool) bool {
	h := hit{at: o.at}
	switch r.distinct {
	case distinctPorts:
		h.value = uint64(o.e.LocalPort)
	case distinctUsers:
		h.value = o.account()
	case distinctPaths:
		h.value = hash64(o.e.Path)
	}
	if r.distinct != "" && h.value == 0 || !r.unique() && o.e.Session && !t.attempt(o) {
		return false
	}
	if r.successes > 0 {
		h.value, h.service = o.account(), o.service16()
	}
	t.clampTo(o.now)
	if keeps := r.keeps(); keeps > 0 {
		t.insert(r, h, keeps)
	}
	if !t.extend(o.at, r.gap) {
		return true
	}
	t.remember(o)
	if peers {
		t.see(o.addr)
	}
	return true
}

// extend takes a moment into the run. After a pause a new run begins, with nothing of the old one. It returns false for a
// moment long before the run, which is no part of it.
func (t *tally) extend(at, gap int64) bool {
	if t.run.n > 0 && at < t.run.first && t.run.first-at > gap {
		return false
	}
	if t.run.n == 0 || at > t.run.last && at-t.run.last > gap {
		t.forget()
		t.run = run{first: at, last: at}
	}
	t.run.first, t.run.last = min(t.run.first, at), max(t.run.last, at)
	if t.run.n < 1<<32-1 {
		t.run.n++
	}
	return true
}

// attempt reports whether o's line tells of an attempt that no other line of its connection told of.
func (t *tally) attempt(o *observation) bool {
	id, name := o.connection()
	s := t.session(id, o.e.Port, o.at)
	s.last = max(s.last, o.at)
	lines := &s.rules[0]
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
func (t *tally) session(id uint32, port uint16, at int64) *session {
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
func (t *tally) remember(o *observation) {
	e := o.e
	if e.LocalPort != 0 && len(t.ports) < maxPorts {
		if i, known := slices.BinarySearch(t.ports, e.LocalPort); !known {
			t.ports = slices.Insert(t.ports, i, e.LocalPort)
		}
	}
	if e.User != "" && len(t.users) < maxUsers {
		if user := o.shortAccount(); !slices.Contains(t.users, user) {
			t.users = append(t.users, user)
		}
	}
}

// insert puts h in its place by time. Where values must be distinct, of the same one only the newest moment counts. A track
// that is full loses its oldest moment, or, where it is about breadth, the oldest whose value comes again: whoever repeats
// himself does not push out what else he did.
func (t *tally) insert(r *rule, h hit, keeps int) {
	if r.minDistinct > 0 && len(t.hits) >= keeps {
		if i := t.repeated(h.value); i >= 0 && t.hits[i].at <= h.at {
			t.hits = slices.Delete(t.hits, i, i+1)
		}
	}
	if r.unique() {
		if i := slices.IndexFunc(t.hits, func(old hit) bool { return old.value == h.value }); i >= 0 {
			if t.hits[i].at >= h.at {
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

// repeated returns the place of the oldest moment whose value comes again or is next, -1 where there is none.
func (t *tally) repeated(next uint64) int {
	for i := range t.hits {
		if value := t.hits[i].value; value == next || slices.ContainsFunc(t.hits[i+1:], func(h hit) bool { return h.value == value }) {
			return i
		}
	}
	return -1
}

// excuse takes back failures that the success o explains: those of its account at its service shortly before, the newest
// first.
func (t *tally) excuse(r *rule, o *observation) {
	account, service, left := o.account(), o.service16(), r.successes
	for i := len(t.hits) - 1; i >= 0 && left > 0; i-- {
		h := t.hits[i]
		if h.at < o.at-excusedFor {
			return
		}
		if h.at > o.at || h.value != account || h.service != service {
			continue
		}
		t.hits = slices.Delete(t.hits, i, i+1)
		left--
		if t.run.n--; t.run.n == 0 || t.run.n == 1<<32-1 {
			t.run = run{}
			t.forget()
		}
	}
}

// breadth reports whether hits have so many different values.
func breadth(hits []hit, least int) bool {
	var seen [maxMinDistinct]uint64
	n := 0
	for i := 0; i < len(hits) && n < least; i++ {
		if !slices.Contains(seen[:n], hits[i].value) {
			seen[n] = hits[i].value
			n++
		}
	}
	return n >= least
}

// reached reports whether enough moments lie close enough together around o, and more than logins outweigh. For a rule
// with an after it looks back from o. Where only the logins keep it from being reached, it is outweighed.
func (t *tally) reached(r *rule, o *observation, logins int) (reached, outweighed bool) {
	if r.keeps() == 0 || len(t.hits) < r.threshold {
		return r.keeps() == 0, false
	}
	if !breadth(t.hits, r.minDistinct) {
		return false, false
	}
	lo, hi, last := t.around(r, o.at)
	n, end := 0, lo
	for begin := lo; begin < hi; begin++ {
		for ; end < last && t.hits[end].at-t.hits[begin].at <= r.within; end++ {
			n++
		}
		if n >= r.threshold && (n > logins || !outweighed) && breadth(t.hits[begin:end], r.minDistinct) {
			if n > logins {
				return true, false
			}
			outweighed = true
		}
		n--
	}
	return false, outweighed
}

// around returns which moments may lie in one span of r.within with the moment at: spans begin in hits[lo:hi] and end
// before hits[last].
func (t *tally) around(r *rule, at int64) (lo, hi, last int) {
	lo = sort.Search(len(t.hits), func(i int) bool { return t.hits[i].at >= at-r.within })
	hi = sort.Search(len(t.hits), func(i int) bool { return t.hits[i].at > at })
	last = hi
	if r.after == 0 {
		last = sort.Search(len(t.hits), func(i int) bool { return t.hits[i].at > at+r.within })
	}
	return lo, hi, last
}

// clampTo brings moments that lie after now back to it: our clock was ahead when they were noted, and they must not hold
// the newest places until it is there again.
func (t *tally) clampTo(now int64) {
	for i := len(t.hits) - 1; i >= 0 && t.hits[i].at > now; i-- {
		t.hits[i].at = now
	}
	if t.run.last > now {
		t.run.last, t.run.first = now, min(t.run.first, now)
	}
}

// reset forgets what was reported. Connections stay: their further lines are still about attempts that were counted.
func (t *tally) reset() {
	t.hits, t.run = t.hits[:0], run{}
	t.forget()
}

// forget drops what is remembered of the events in the run.
func (t *tally) forget() { t.ports, t.users, t.peers = t.ports[:0], t.users[:0], t.peers[:0] }

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

// service16 is never 0. Services are few, and no peer names one.
func service16(s string) uint16 { return uint16(hash32(s)>>16) | 1 }

// hash64 is 0 for "" only. Peers choose what it is made of, and whoever has an account may choose its name, so that it must
// not be easy to find a name with the hash of another one.
func hash64(s string) uint64 {
	if s == "" {
		return 0
	}
	var room [256]byte
	sum := sha256.Sum256(append(room[:0], s...))
	return max(binary.BigEndian.Uint64(sum[:]), 1)
}
