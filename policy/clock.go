package policy

import (
	"encoding/binary"
	"slices"
	"time"
)

const (
	// maxSteps bounds how many steps a Clock remembers; the oldest is forgotten first.
	maxSteps = 8
	// minStep is what is taken for a step of the clock, and not for its being slowly put right.
	minStep = time.Minute
)

// Clock remembers by how much the machine's clock was set forward, so that a window does not end before its time has
// passed. Time during which the machine was suspended counts as such a step: a window is as long as the machine was awake.
// Steps while tattled did not run are not known. The zero value knows of no step.
type Clock struct{ steps []step }

// step is one: the clock went from a moment to a later one and no time passed. Milliseconds.
type step struct{ from, to int64 }

// Observe takes in that the clock showed before and then now (milliseconds since 1970), while elapsed passed by a clock
// that nobody sets. It returns whether c has changed. A clock that is set back takes back the newest steps, as far as it goes.
func (c *Clock) Observe(before, now int64, elapsed time.Duration) bool {
	before, now, elapsed = bounded(before), bounded(now), max(elapsed, 0)
	jump := now - before - elapsed.Milliseconds()
	slack := (minStep + elapsed/1000).Milliseconds()
	switch n := len(c.steps); {
	case jump > slack:
		if n == maxSteps {
			c.steps = slices.Delete(c.steps, 0, 1)
		}
		c.steps = append(c.steps, step{before, before + jump})
		return true
	case jump < -slack && n > 0:
		c.takeBack(-jump)
		return true
	}
	return false
}

// takeBack shortens the newest steps by back milliseconds together.
func (c *Clock) takeBack(back int64) {
	for i := len(c.steps) - 1; i >= 0 && back > 0; i-- {
		s := &c.steps[i]
		size := s.to - s.from
		if back < size {
			s.to -= back
			return
		}
		back -= size
		c.steps = c.steps[:i]
	}
}

// since returns how many milliseconds passed from at to now.
func (c *Clock) since(at, now int64) int64 {
	passed := now - at
	for _, s := range c.steps {
		if at < s.to && s.to <= now {
			passed -= s.to - max(at, s.from)
		}
	}
	return max(passed, 0)
}

// Clone returns a Clock of its own that knows the same.
func (c *Clock) Clone() Clock { return Clock{slices.Clone(c.steps)} }

// AppendBinary appends what DecodeClock reads. It never fails.
func (c *Clock) AppendBinary(b []byte) ([]byte, error) {
	for _, s := range c.steps {
		b = binary.AppendUvarint(b, uint64(s.from))
		b = binary.AppendUvarint(b, uint64(s.to))
	}
	return b, nil
}

// DecodeClock reads what AppendBinary wrote. Bytes that it did not write give a Clock that knows of no step.
func DecodeClock(b []byte) Clock {
	d := decoder{b: b}
	var c Clock
	for len(d.b) > 0 && !d.bad && len(c.steps) < maxSteps {
		s := step{d.moment(), d.moment()}
		d.bad = d.bad || s.to <= s.from
		c.steps = append(c.steps, s)
	}
	if d.bad || len(d.b) > 0 {
		return Clock{}
	}
	return c
}
