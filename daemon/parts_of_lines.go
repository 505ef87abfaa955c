package daemon

import (
	"sync"
	"sync/atomic"

	"tattled/event"
	"tattled/receiver"
)

// lineParts remembers of each log of a container whether its last line was whole. Container engines cut lines at some KiB, where a peer
// who has a say in the line may have wanted it to: what comes next would begin with his text. So a line is believed only right behind
// one of the same output that is known to be whole, and the first one after a start is counted and leads to no report.
type lineParts struct {
	any  atomic.Bool
	mu   sync.Mutex
	last map[linesOf]bool // whether the last line was whole
}

type linesOf struct {
	source, stream string
	stderr         bool
}

const maxLineParts = 4096

// note takes the record that was read from a wrapper, and takes from it what it cannot be trusted with.
func (p *lineParts) note(r *receiver.Record, b *receiver.Batch, x *Reader) {
	key := linesOf{b.Source, b.Stream, x.Stderr}
	p.mu.Lock()
	defer p.mu.Unlock()
	if whole := p.last[key]; !whole {
		r.Trust = min(r.Trust, event.TrustCount)
	}
	if p.last == nil || len(p.last) >= maxLineParts {
		p.last = map[linesOf]bool{}
	}
	p.last[key] = !x.Part
	p.any.Store(true)
}

// lost takes a record that was cut, so that it is not known what it was.
func (p *lineParts) lost(b *receiver.Batch) {
	if !p.any.Load() {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.last, linesOf{b.Source, b.Stream, false})
	delete(p.last, linesOf{b.Source, b.Stream, true})
}
