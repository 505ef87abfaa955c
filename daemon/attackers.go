package daemon

import (
	"hash/maphash"
	"math/bits"
	"sync"
	"time"

	"tattled/event"
	"tattled/policy"
)

// attackSpan is for how long an address counts as an attacker after its last attack, in ticks of attackTick.
const (
	attackTick = 10 * time.Second
	attackSpan = 30
)

// attackers knows the addresses (of IPv6: /64 networks) that attacked in the last five minutes. It is a table of fingerprints with the
// time of the last attack, 8 bytes a slot, which has room for maxAttackers at most: a flood of more is not counted in full. What is too
// old is removed when the table is full, and then it grows or shrinks. The fingerprint of 40 bits is by a seed that nobody knows; that
// two addresses share one is rarer than one in a million. Safe for concurrent use; its zero value
// is ready.
type attackers struct {
	mu    sync.Mutex
	seed  maphash.Seed
	since int64    // tick 0: a year ago, because the clock may be set back
	slots []uint64 // fingerprint, then the tick in tickBits; 0 is free. Their number is a power of two
	used  int
	full  uint64 // the tick in which the largest table was swept last
}

// How the bits of a slot are used, and how many slots there are. A tick of 24 bits is enough for four years.
const (
	tickBits     = 24
	tickMask     = 1<<tickBits - 1
	leastSlots   = 1 << 10
	mostSlots    = 1 << 19
	maxAttackers = mostSlots / 4 * 3
)

// note takes in events that are durable, by their own time: an attack of long ago that is read now is none of the last minutes.
func (a *attackers) note(events []event.Event, now time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	current := a.begin(now)
	oldest := now.Add(-attackSpan * attackTick)
	for i := range events {
		e := &events[i]
		if !e.Kind.Hostile() || !e.Addr.IsValid() || e.Time.Before(oldest) {
			continue
		}
		key := policy.Key(e.Addr).As16()
		a.put(maphash.Bytes(a.seed, key[:])&^tickMask, min(a.tick(e.Time), current), current)
	}
}

// begin makes an empty one ready, and returns the tick of now.
func (a *attackers) begin(now time.Time) uint64 {
	if a.slots == nil {
		a.seed, a.slots = maphash.MakeSeed(), make([]uint64, leastSlots)
		a.since = now.UnixNano()/int64(attackTick) - tickMask/4
	}
	return a.tick(now)
}

// tick is never 0, so that no slot that is taken is.
func (a *attackers) tick(t time.Time) uint64 {
	return uint64(min(max(t.UnixNano()/int64(attackTick)-a.since, 1), tickMask))
}

// put remembers an attack at a tick.
func (a *attackers) put(print, at, current uint64) {
	slot := a.find(print)
	switch was := *slot & tickMask; {
	case *slot == 0:
		if a.used >= len(a.slots)/4*3 {
			if !a.sweep(current) {
				return
			}
			slot = a.find(print)
		}
		a.used++
	case was >= at && was <= current: // one that is in the future is from before the clock was set back
		return
	}
	*slot = print | at
}

// find returns the slot of a fingerprint, or the one that is free for it.
func (a *attackers) find(print uint64) *uint64 {
	mask := uint64(len(a.slots) - 1)
	for i := print >> (64 - bits.Len64(mask)); ; i = (i + 1) & mask {
		if s := &a.slots[i]; *s == 0 || *s&^tickMask == print {
			return s
		}
	}
}

// sweep removes what is too old and makes room for as many again. It returns false if the largest table is full. That is swept once a
// tick at most: nothing gets too old in between.
func (a *attackers) sweep(current uint64) bool {
	if a.full == current {
		return false
	}
	live := a.live(current)
	size := leastSlots
	for size < mostSlots && size < 2*live+2 {
		size *= 2
	}
	old := a.slots
	a.slots, a.used = make([]uint64, size), 0
	for _, s := range old {
		if lives(s, current) {
			*a.find(s &^ tickMask) = s
			a.used++
		}
	}
	if size == mostSlots {
		a.full = current
	}
	return a.used < maxAttackers
}

// lives reports whether a slot is of an attack that counts.
func lives(slot, current uint64) bool {
	at := slot & tickMask
	return slot != 0 && at <= current && at+attackSpan > current
}

func (a *attackers) live(current uint64) int {
	n := 0
	for _, s := range a.slots {
		if lives(s, current) {
			n++
		}
	}
	return n
}

// count returns how many attackers there are.
func (a *attackers) count(now time.Time) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	current := a.begin(now)
	live := a.live(current)
	if len(a.slots) > leastSlots && live < len(a.slots)/8 { // a flood is over
		a.sweep(current)
	}
	return live
}
