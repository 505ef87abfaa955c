package receivertest_test

import (
	"context"
	"encoding/binary"
	"sync"
	"testing"
	"time"

	"tattled/receiver"
	"tattled/receiver/receivertest"
)

// memory is the simplest source there is: a list of messages. Its cursor is an index.
type memory struct {
	mu    sync.Mutex
	lines []string
	grown chan struct{}
	ends  bool
}

func (m *memory) Receiver(testing.TB) receiver.Receiver { return &reader{memory: m} }

func (m *memory) Append(_ testing.TB, messages ...string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.lines = append(m.lines, messages...)
	close(m.grown)
	m.grown = make(chan struct{})
}

func (m *memory) from(i int) ([]string, chan struct{}) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.lines[i:min(len(m.lines), i+100)], m.grown
}

type reader struct {
	*memory
	meter receiver.Meter
}

func (r *reader) Source() string         { return "memory" }
func (r *reader) Meter() *receiver.Meter { return &r.meter }

func (r *reader) Run(ctx context.Context, from receiver.Positions, h receiver.Handler) error {
	next := 0
	if c := from.Position("memory"); c != nil {
		next = int(binary.BigEndian.Uint64(c))
	}
	for {
		lines, grown := r.from(next)
		if ctx.Err() != nil || r.ends && len(lines) == 0 {
			return nil
		}
		if len(lines) == 0 {
			select {
			case <-grown:
			case <-ctx.Done():
			}
			continue
		}
		next += len(lines)
		b := receiver.Batch{Source: "memory", Stream: "memory", Received: time.Unix(1, 0), Cursor: binary.BigEndian.AppendUint64(nil, uint64(next))}
		for _, line := range lines {
			b.Records = append(b.Records, receiver.Record{Message: []byte(line)})
			r.meter.Bytes.Add(uint64(len(line)))
		}
		r.meter.Records.Add(uint64(len(lines)))
		if err := h.Handle(ctx, &b); ctx.Err() != nil {
			return nil
		} else if err != nil {
			return err
		}
	}
}

// The suite holds for a receiver that is right by its simplicity, with and without an end.
func TestMemory(t *testing.T) {
	for name, ends := range map[string]bool{"endless": false, "with an end": true} {
		t.Run(name, func(t *testing.T) {
			receivertest.Run(t, receivertest.Harness{
				Open:    func(testing.TB) receivertest.Source { return &memory{grown: make(chan struct{}), ends: ends} },
				Rewinds: true,
				Ends:    ends,
			})
		})
	}
}
