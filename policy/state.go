package policy

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"net/netip"
	"slices"
	"time"
)

// maxWindows bounds the windows of each class in a State.
const maxWindows = 32

// State is what is remembered of one address, or of one /64. Its zero value is an address that was never seen. It is
// kept in the form that AppendBinary writes. It belongs to one goroutine at a time.
type State struct {
	tracks  []track
	windows []window
	logins  []login
}

// window is one notification.
type window struct {
	destination string
	policy      string // "" for Report destinations, whose window all policies share
	class       class
	at          int64 // milliseconds, by the clock of the reading
}

// class says how much a window mutes. A proven one mutes all, the others only their like: neither what somebody may have
// forged nor what a dry run did keeps a real report, or an alert that rests on proven events, from going out.
type class uint8

const (
	proven   class = iota // it rests on events that the gate lets pass, and was sent
	unproven              // an alert that rests on other events too
	dryRun                // nothing was sent
	classEnd
)

// Window is one notification, as others see it.
type Window struct {
	Destination string
	Policy      string // "" where all policies share the destination's window
	At          time.Time
	DryRun      bool // nothing was sent
	Unproven    bool // an alert about events that may be forged: it mutes no alert about proven ones
}

// Reset makes s an address that was never seen. It keeps the memory for what comes next.
func (s *State) Reset() {
	s.windows, s.tracks, s.logins = s.windows[:0], s.tracks[:0], s.logins[:0]
}

// Windows returns what was reported of the address, in no order.
func (s *State) Windows() []Window {
	var all []Window
	for _, w := range s.windows {
		all = append(all, Window{w.destination, w.policy, timeOf(w.at), w.class == dryRun, w.class == unproven})
	}
	return all
}

// LastNotified returns when anything proven was last reported of the address; zero if nothing was.
func (s *State) LastNotified() time.Time {
	var last int64
	for _, w := range s.windows {
		if w.class == proven {
			last = max(last, w.at)
		}
	}
	if last == 0 {
		return time.Time{}
	}
	return timeOf(last)
}

func timeOf(ms int64) time.Time { return time.UnixMilli(ms) }

// track returns the track of a rule, a new one where there is none. For a new one the tracks of rules that p does not have
// are evicted, and where there are still too many, the one whose last event is the oldest.
func (s *State) track(p *Policy, id uint32) *track {
	if t := s.known(id); t != nil {
		return t
	}
	s.forget(p)
	var t *track
	if len(s.tracks) < MaxRules {
		t = s.nextTrack()
	} else {
		oldest := 0
		for i := range s.tracks {
			if s.tracks[i].all().run.last < s.tracks[oldest].all().run.last {
				oldest = i
			}
		}
		t = &s.tracks[oldest]
		t.clear()
	}
	t.rule = id
	return t
}

// forget evicts the tracks of rules that p does not have. There are next to never any.
func (s *State) forget(p *Policy) {
	for i := range s.tracks {
		if !slices.Contains(p.ids, s.tracks[i].rule) {
			s.tracks = slices.DeleteFunc(s.tracks, func(t track) bool { return !slices.Contains(p.ids, t.rule) })
			return
		}
	}
}

// known returns the track of a rule, nil where there is none.
func (s *State) known(id uint32) *track {
	for i := range s.tracks {
		if s.tracks[i].rule == id {
			return &s.tracks[i]
		}
	}
	return nil
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
	t.clear()
	return t
}

// muted reports whether a notification of class c to d comes within the window of one that mutes it.
func (s *State) muted(d *destination, policy string, c class, now int64, clock *Clock) bool {
	return s.windowOpen(d, policy, proven, now, clock) || c != proven && s.windowOpen(d, policy, c, now, clock)
}

// windowOpen reports whether now is in the window of class c. A window that begins in the future was opened by a clock that was
// ahead: it begins now, and so never lasts longer than once its length.
func (s *State) windowOpen(d *destination, policy string, c class, now int64, clock *Clock) bool {
	w := s.window(d, policy, c)
	if w == nil {
		return false
	}
	if w.at > now {
		w.at = now
	}
	return clock.since(w.at, now) < d.window
}

func (s *State) window(d *destination, policy string, c class) *window {
	if d.action == Report {
		policy = ""
	}
	for i := range s.windows {
		if w := &s.windows[i]; w.destination == d.name && w.policy == policy && w.class == c {
			return w
		}
	}
	return nil
}

// opened returns when d's window of class c was last opened, in milliseconds; -1 if it never was.
func (s *State) opened(d *destination, policy string, c class) int64 {
	if w := s.window(d, policy, c); w != nil {
		return w.at
	}
	return -1
}

// openWindow opens d's window of class c. Where there are too many of the class, the oldest of an alert is evicted before
// the oldest of a report is.
func (s *State) openWindow(d *destination, policy string, c class, now int64) {
	if w := s.window(d, policy, c); w != nil {
		w.at = now
		return
	}
	if d.action == Report {
		policy = ""
	}
	oldest, n := -1, 0
	for i := range s.windows {
		w := &s.windows[i]
		if w.class != c {
			continue
		}
		n++
		if oldest < 0 || w.before(&s.windows[oldest]) {
			oldest = i
		}
	}
	if n >= maxWindows {
		s.windows = slices.Delete(s.windows, oldest, oldest+1)
	}
	s.windows = append(s.windows, window{d.name, policy, c, now})
}

// before reports whether w is evicted before other.
func (w *window) before(other *window) bool {
	if alert := w.policy != ""; alert != (other.policy != "") {
		return alert
	}
	return w.at < other.at
}

// reportID names a judgement by what it is, by the time in the log and by when the window before was opened, not by when it
// was read: the same log, read again after a crash by the state of before, gives the same ID, and a later judgement has
// another one although the clock in the log stood still. It begins with the time in the log, so that IDs are about in the
// order of their judgements, and an index over them stays dense.
func reportID(destination, policy string, key netip.Addr, at int64, c class, before int64) string {
	h := sha256.New()
	for _, part := range []string{destination, policy, key.String()} {
		h.Write(binary.AppendUvarint(nil, uint64(len(part))))
		h.Write([]byte(part))
	}
	id := binary.BigEndian.AppendUint64(nil, uint64(at))
	h.Write(id)
	h.Write([]byte{byte(c)})
	h.Write(binary.AppendVarint(nil, before))
	return hex.EncodeToString(append(id[2:], h.Sum(nil)[:10]...))
}
