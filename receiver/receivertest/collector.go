package receivertest

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"tattled/receiver"
)

// errKilled stands for the death of the process in the middle of its work.
var errKilled = errors.New("killed")

// collector is a handler that keeps what it is given, checks what holds for every batch, and spoils the lent bytes. It
// is also the store: it commits each batch at once, unless committing was put off.
type collector struct {
	t       testing.TB
	rewinds bool
	source  string // what batches must say; "" to take the first one's word

	mu      sync.Mutex
	arrived chan struct{} // closed and replaced at each batch
	batches []kept
	total   int

	at       map[string]receiver.Cursor // what is committed
	killAt   int                        // fail the batch with this index, -1 for none
	commitTo int                        // commit no batch from this index on, -1 to commit all
}

// kept is a copy of a batch.
type kept struct {
	messages []string
	stream   string
	cursor   receiver.Cursor
}

func newCollector(t testing.TB, h Harness) *collector {
	return &collector{t: t, rewinds: h.Rewinds, arrived: make(chan struct{}), at: map[string]receiver.Cursor{}, killAt: -1, commitTo: -1}
}

// Position implements receiver.Positions.
func (c *collector) Position(stream string) receiver.Cursor {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append(receiver.Cursor(nil), c.at[stream]...)
}

// Handle implements receiver.Handler.
func (c *collector) Handle(_ context.Context, b *receiver.Batch) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.check(b)
	if len(c.batches) == c.killAt {
		return errKilled
	}
	k := kept{stream: b.Stream, cursor: append(receiver.Cursor(nil), b.Cursor...)}
	for _, r := range b.Records {
		k.messages = append(k.messages, string(r.Message))
	}
	if c.commitTo < 0 || len(c.batches) < c.commitTo {
		c.at[k.stream] = k.cursor
	}
	c.batches = append(c.batches, k)
	c.total += len(k.messages)
	for i := range b.Records {
		spoil(b.Records[i].Message)
		spoil(b.Records[i].PID)
	}
	spoil(b.Cursor)
	close(c.arrived)
	c.arrived = make(chan struct{})
	return nil
}

// spoil overwrites bytes that are dead once Handle returns. Host and Program are spared: a receiver may lend the same
// configured text with each record.
func spoil(b []byte) {
	for i := range b {
		b[i] = 0xDB
	}
}

func (c *collector) check(b *receiver.Batch) {
	if c.source == "" {
		c.source = b.Source
	}
	if b.Source != c.source || b.Source == "" {
		c.t.Errorf("batch of source %q, want %q", b.Source, c.source)
	}
	if len(b.Records) == 0 {
		c.t.Error("batch without records")
	}
	if b.Received.IsZero() {
		c.t.Error("batch without a time")
	}
	if len(b.Cursor) > receiver.MaxCursor {
		c.t.Errorf("cursor of %d bytes, at most %d are allowed", len(b.Cursor), receiver.MaxCursor)
	}
	if has := b.Stream != "" && len(b.Cursor) > 0; has != c.rewinds {
		c.t.Errorf("batch with stream %q and a cursor of %d bytes, of a source that rewinds: %v", b.Stream, len(b.Cursor), c.rewinds)
	}
}

func (c *collector) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.total
}

// wait waits until n records arrived.
func (c *collector) wait(n int) {
	c.t.Helper()
	deadline := time.After(patience)
	for {
		c.mu.Lock()
		total, arrived := c.total, c.arrived
		c.mu.Unlock()
		if total >= n {
			return
		}
		select {
		case <-arrived:
		case <-deadline:
			c.t.Fatalf("%d of %d records arrived within %v", total, n, patience)
		}
	}
}

// messages returns what the first n batches held, all of them for n < 0.
func (c *collector) messages(n int) []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if n < 0 {
		n = len(c.batches)
	}
	var all []string
	for _, b := range c.batches[:n] {
		all = append(all, b.messages...)
	}
	return all
}

// demand fails unless exactly want arrived.
func (c *collector) demand(want []string) {
	c.t.Helper()
	demand(c.t, c.messages(-1), want)
}

func demand(t testing.TB, got, want []string) {
	t.Helper()
	for i := range min(len(got), len(want)) {
		if got[i] != want[i] {
			t.Fatalf("record %d is %q, want %q", i, got[i], want[i])
		}
	}
	if len(got) != len(want) {
		t.Fatalf("%d records arrived, want %d", len(got), len(want))
	}
}

// balance checks the Meter's books against what was handed over, when Run is over.
func (c *collector) balance(m *receiver.Meter) {
	c.t.Helper()
	dropped := m.Skipped.Load()
	for _, reason := range receiver.Reasons() {
		dropped += m.Dropped(reason)
	}
	if got, want := m.Records.Load(), uint64(c.count())+dropped; got != want {
		c.t.Errorf("Meter.Records is %d, but %d were handed over and %d skipped or dropped", got, c.count(), dropped)
	}
	if open := m.Open.Load(); open != 0 {
		c.t.Errorf("Meter.Open is %d after Run", open)
	}
}
