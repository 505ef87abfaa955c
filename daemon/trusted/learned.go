package trusted

import (
	"net/netip"
	"slices"
	"sync"
	"time"
)

// Learned is a bounded set of networks that were seen to be of ours, each with when it was seen last. Safe for concurrent use; no
// method waits for anything but the others.
type Learned struct {
	max    int
	evicts bool // a new one takes the place of the one that was seen last the longest ago; else it is not taken

	mu     sync.Mutex
	all    map[netip.Prefix]Seen
	stored map[netip.Prefix]time.Time // Last, as it was when Save was called
	full   time.Time                  // when one had no place last
	dirty  bool
}

// Seen is one of them.
type Seen struct {
	Network netip.Prefix `json:"network"`
	Account string       `json:"account,omitempty"` // who logged in from there
	Last    time.Time    `json:"last"`
}

// storeAfter is how much later one must have been seen to be stored again for that alone.
const storeAfter = 24 * time.Hour

// NewLearned returns an empty set of at most so many.
func NewLearned(most int, evicts bool) *Learned {
	return &Learned{max: most, evicts: evicts, all: map[netip.Prefix]Seen{}, stored: map[netip.Prefix]time.Time{}}
}

// Note takes in s, and reports whether that changes which networks or accounts are in the set.
func (l *Learned) Note(s Seen) (changed bool) {
	if !s.Network.IsValid() {
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	old, known := l.all[s.Network]
	if known && !s.Last.After(old.Last) {
		return false
	}
	if !known && len(l.all) >= l.max && !l.makeRoom(s) {
		return false
	}
	l.all[s.Network] = s
	changed = !known || old.Account != s.Account
	l.dirty = l.dirty || changed || s.Last.Sub(l.stored[s.Network]) >= storeAfter
	return changed
}

// makeRoom evicts the one that was seen last the longest ago, if that is before s.
func (l *Learned) makeRoom(s Seen) bool {
	if l.full.Before(s.Last) {
		l.full = s.Last
	}
	if !l.evicts {
		return false
	}
	oldest := s
	for _, one := range l.all {
		if one.Last.Before(oldest.Last) {
			oldest = one
		}
	}
	if oldest.Network == s.Network {
		return false
	}
	l.drop(oldest.Network)
	return true
}

func (l *Learned) drop(n netip.Prefix) {
	delete(l.all, n)
	delete(l.stored, n)
	l.dirty = true
}

// Expire drops what was seen last before a time, and reports whether that was any. What is dated in the future stays: a machine may begin
// with its clock at 1970.
func (l *Learned) Expire(before time.Time) (changed bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for n, s := range l.all {
		if s.Last.Before(before) {
			l.drop(n)
			changed = true
		}
	}
	return changed
}

// Networks returns those that keep says yes to, in order; nil keeps all.
func (l *Learned) Networks(keep func(Seen) bool) []netip.Prefix {
	var all []netip.Prefix
	for _, s := range l.List() {
		if keep == nil || keep(s) {
			all = append(all, s.Network)
		}
	}
	return all
}

// List returns all, in order.
func (l *Learned) List() []Seen {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := make([]Seen, 0, len(l.all))
	for _, s := range l.all {
		all = append(all, s)
	}
	slices.SortFunc(all, func(a, b Seen) int { return a.Network.Compare(b.Network) })
	return all
}

// Full returns when one had no place last, the zero time if all had.
func (l *Learned) Full() time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.full
}

// Dirty reports whether there is something to store.
func (l *Learned) Dirty() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.dirty
}

// Stored takes in that all was stored which List returned.
func (l *Learned) Stored(all []Seen) {
	l.mu.Lock()
	defer l.mu.Unlock()
	clear(l.stored)
	for _, s := range all {
		l.stored[s.Network] = s.Last
	}
	l.dirty = false
	for n, s := range l.all {
		last, ok := l.stored[n]
		l.dirty = l.dirty || !ok || s.Last.Sub(last) >= storeAfter
	}
}

// Restore takes up what an earlier process stored.
func (l *Learned) Restore(all []Seen) {
	for _, s := range all {
		s.Network = s.Network.Masked()
		l.Note(s)
	}
	l.Stored(l.List())
}
