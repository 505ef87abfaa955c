package policy

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"net/netip"
	"slices"
	"time"

	"tattled/event"
)

// Bounds of a State, besides those of its tracks.
const (
	maxWindows = 32
	maxActive  = 4
)

// State is what is remembered of one address, or of one /64. Its zero value is an address that was never seen. It is
// kept in the form that AppendBinary writes. It belongs to one goroutine at a time.
type State struct {
	tracks  []track
	windows []window
	active  []active // of IPv6: the full addresses that were most active
}

// window is one telling.
type window struct {
	destination string
	policy      string // "" for Report destinations, whose window all policies share
	at          int64  // milliseconds, by the clock of the reading
}

// active is a full address within the /64 and how often it was seen since it has a place here.
type active struct {
	addr netip.Addr
	n    uint32
}

// Window is one telling, as others see it.
type Window struct {
	Destination string
	Policy      string // "" where all policies share the destination's window
	At          time.Time
}

// Reset makes s an address that was never seen. It keeps the memory for what comes next.
func (s *State) Reset() {
	s.windows, s.active, s.tracks = s.windows[:0], s.active[:0], s.tracks[:0]
}

// Windows returns what was told of the address, in no order.
func (s *State) Windows() []Window {
	var all []Window
	for _, w := range s.windows {
		all = append(all, Window{w.destination, w.policy, time.UnixMilli(w.at)})
	}
	return all
}

// Told returns when anything was last told of the address; zero if nothing was.
func (s *State) Told() time.Time {
	var last int64
	for _, w := range s.windows {
		last = max(last, w.at)
	}
	if last == 0 {
		return time.Time{}
	}
	return time.UnixMilli(last)
}

// track returns the track of a rule, a new one where there is none; tracks of rules that p does not have make way.
func (s *State) track(p *Policy, id uint32) *track {
	for i := range s.tracks {
		if s.tracks[i].rule == id {
			return &s.tracks[i]
		}
	}
	s.tracks = slices.DeleteFunc(s.tracks, func(t track) bool {
		return !slices.ContainsFunc(p.rules, func(r rule) bool { return r.id == t.rule })
	})
	t := s.nextTrack()
	t.rule = id
	return t
}

// nextTrack appends an empty track, in the memory of one that was there before if there is any.
func (s *State) nextTrack() *track {
	n := len(s.tracks)
	if n == cap(s.tracks) {
		s.tracks = append(s.tracks, track{})
		return &s.tracks[n]
	}
	s.tracks = s.tracks[:n+1]
	t := &s.tracks[n]
	t.reset()
	t.sessions = t.sessions[:0]
	return t
}

// note counts a full address of a /64. The least active one makes way for a new one and leaves it its count, so that an
// address which is really active always comes through ("space saving").
func (s *State) note(addr netip.Addr) {
	if !addr.Is6() {
		return
	}
	least := 0
	for i := range s.active {
		if s.active[i].addr == addr {
			if s.active[i].n < 1<<32-1 {
				s.active[i].n++
			}
			return
		}
		if s.active[i].n < s.active[least].n {
			least = i
		}
	}
	if len(s.active) < maxActive {
		s.active = append(s.active, active{addr, 1})
		return
	}
	s.active[least] = active{addr, s.active[least].n + 1}
}

// most returns the most active full address that g would let be reported; e's own where there is none.
func (s *State) most(g *Gate, e *event.Event) netip.Addr {
	best, n := e.Addr, uint32(0)
	for _, a := range s.active {
		if a.n > n && g.refuseAddr(a.addr) == None {
			best, n = a.addr, a.n
		}
	}
	return best
}

// muted reports whether d was told of the address within its window. A window that begins in the future was opened by a
// clock that was ahead: it begins now, and so never lasts longer than once its length.
func (s *State) muted(d *destination, policy string, now int64) bool {
	w := s.window(d, policy)
	if w == nil {
		return false
	}
	if w.at > now {
		w.at = now
	}
	return now-w.at < d.window
}

func (s *State) window(d *destination, policy string) *window {
	if d.action == Report {
		policy = ""
	}
	for i := range s.windows {
		if w := &s.windows[i]; w.destination == d.name && w.policy == policy {
			return w
		}
	}
	return nil
}

// tell opens d's window. Where there are too many, the oldest of an alert makes way before the oldest of a report does.
func (s *State) tell(d *destination, policy string, now int64) {
	if w := s.window(d, policy); w != nil {
		w.at = now
		return
	}
	if d.action == Report {
		policy = ""
	}
	if len(s.windows) >= maxWindows {
		oldest := slices.MinFunc(s.windows, func(a, b window) int {
			if (a.policy == "") != (b.policy == "") {
				if a.policy != "" {
					return -1
				}
				return 1
			}
			return int(min(max(a.at-b.at, -1), 1))
		})
		s.windows = slices.DeleteFunc(s.windows, func(w window) bool { return w == oldest })
	}
	s.windows = append(s.windows, window{d.name, policy, now})
}

// report makes the report of rule r to d.
func (p *Policy) report(s *State, t *track, r *rule, d *destination, o *observation) event.Report {
	e := o.e
	span, addr := t.all, e.Addr
	if d.action == Report {
		span, addr = t.clean, s.most(p.gate, e)
	}
	if span.n == 0 { // a rule with an after that nothing clean came before
		span = run{o.at, o.at, 1}
	}
	return event.Report{
		ID: reportID(d.name, r.name, Key(e.Addr), o.at), Destination: d.name, Policy: r.name, Judged: e.Received,
		Addr: addr, Kind: e.Kind, Service: e.Service, Rule: e.Rule, Categories: e.Categories,
		First: time.UnixMilli(span.first), Last: time.UnixMilli(max(span.last, o.at)), Count: int(span.n),
		Users: len(t.users), Ports: slices.Clone(t.ports), Proto: e.Proto, Place: e.Place, Reputation: r.reputation,
		User: e.User, Host: e.Host, Reporter: e.Reporter, Line: e.Line,
	}
}

// reportID names a judgement by what it is and by the time in the log, not by when it was read: the same log, read again
// after a crash, gives the same ID. It begins with that time, so that IDs are about in the order of their judgements, and
// an index over them stays dense.
func reportID(destination, policy string, key netip.Addr, at int64) string {
	h := sha256.New()
	for _, part := range []string{destination, policy, key.String()} {
		h.Write(binary.AppendUvarint(nil, uint64(len(part))))
		h.Write([]byte(part))
	}
	id := binary.BigEndian.AppendUint64(nil, uint64(at))
	h.Write(id)
	return hex.EncodeToString(append(id[2:], h.Sum(nil)[:10]...))
}
