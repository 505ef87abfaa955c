package receivertest

import (
	"errors"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"tattled/receiver"
)

// testResume reads a source once, and then again from each of its committed positions: what was committed and what
// comes after it are the whole, each record once. A position older than the last batch that was handled is the case of a
// process that died between Handle and the commit.
func testResume(t *testing.T, h Harness) {
	src, c := h.Open(t), newCollector(t, h)
	r := src.Receiver(t)
	want := messages(0, 400)
	if h.Ends {
		want = messages(0, 20000) // so that it takes several batches
		src.Append(t, want...)
	}
	l := liveOn(t, h, r, c, c)
	if !h.Ends {
		sent := 0
		for part := range slices.Chunk(want, 10) {
			src.Append(t, part...)
			sent += len(part)
			c.wait(sent)
		}
	}
	c.wait(len(want))
	l.finish(h)
	c.demand(want)

	all := len(c.batches)
	for cut := 0; cut <= all; cut += 1 + all/12 {
		if !h.Ends { // more comes while nobody reads
			more := messages(len(want), 7)
			again := src.Receiver(t)
			src.Append(t, more...)
			want = append(want, more...)
			resume(t, h, again, c, cut, want)
			continue
		}
		resume(t, h, src.Receiver(t), c, cut, want)
	}
}

// resume runs r from where the first cut batches of c bring it.
func resume(t *testing.T, h Harness, r receiver.Receiver, c *collector, cut int, want []string) {
	t.Helper()
	next := newCollector(t, h)
	for _, b := range c.batches[:cut] {
		next.at[b.stream] = b.cursor
	}
	done := c.messages(cut)
	l := liveOn(t, h, r, next, next)
	next.wait(len(want) - len(done))
	l.finish(h)
	demand(t, append(done, next.messages(-1)...), want)
	next.balance(r.Meter())
}

// testDeaths kills the reader again and again, each time some batches after its last commit, while the source grows.
// Only what was committed counts, and in the end that must be every record once.
func testDeaths(t *testing.T, h Harness) {
	random := rand.New(rand.NewPCG(1, 2))
	src := h.Open(t)
	committed := map[string]receiver.Cursor{}
	var want, have []string
	appendMore := func(n int) {
		more := messages(len(want), n)
		src.Append(t, more...)
		want = append(want, more...)
	}
	amount := 3000
	if h.Forgets {
		amount = 150
	}
	for range 12 {
		c, r := newCollector(t, h), src.Receiver(t)
		for stream, cursor := range committed {
			c.at[stream] = cursor
		}
		c.killAt = 1 + random.IntN(3)
		c.commitTo = random.IntN(c.killAt + 1)
		if !h.Ends || len(want) == 0 {
			appendMore(amount)
		}
		l := liveOn(t, h, r, c, c)
		for missing := len(want) - len(have); !h.Ends && c.reach(l, missing); missing++ {
			appendMore(1) // so that there are batches enough to die on
		}
		if !h.Ends {
			l.cancel()
		}
		if err := l.await(); err != nil && !errors.Is(err, errKilled) {
			t.Fatalf("Run: %v", err)
		}
		have = append(have, c.messages(min(c.commitTo, len(c.batches)))...)
		committed = c.at
	}
	last, r := newCollector(t, h), src.Receiver(t)
	for stream, cursor := range committed {
		last.at[stream] = cursor
	}
	l := liveOn(t, h, r, last, last)
	last.wait(len(want) - len(have))
	l.finish(h)
	demand(t, append(have, last.messages(-1)...), want)
}

// reach waits until n records arrived, and reports whether the run still goes on.
func (c *collector) reach(l *life, n int) bool {
	c.t.Helper()
	deadline := time.After(patience)
	for {
		c.mu.Lock()
		total, arrived := c.total, c.arrived
		c.mu.Unlock()
		if total >= n {
			return l.running()
		}
		select {
		case <-l.ended:
			return false
		case <-arrived:
		case <-deadline:
			c.t.Fatalf("%d of %d records arrived within %v", total, n, patience)
		}
	}
}

func (l *life) running() bool {
	select {
	case <-l.ended:
		return false
	default:
		return true
	}
}
