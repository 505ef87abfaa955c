package replay

import (
	"context"
	"time"

	"tattled/receiver"
)

// Timed hands batches on as if they had been read when they were written: in parts, each received at the time of its last record.
// That never goes back. Records without a time have that of the one before.
type Timed struct {
	Handler receiver.Handler

	clock time.Time
}

// Handle implements receiver.Handler, for one goroutine.
func (t *Timed) Handle(ctx context.Context, b *receiver.Batch) error {
	part := *b
	for at := 0; at < len(b.Records); {
		end, last := at, time.Time{}
		for ; end < len(b.Records) && end-at < recordsABatch; end++ {
			now := b.Records[end].Time
			if now.After(b.Received) { // nobody wrote what was not there yet
				now = time.Time{}
			}
			if now.After(t.clock) {
				if end > at && now.After(last) {
					break
				}
				if t.clock = now; last.IsZero() {
					last = now.Add(runSpan)
				}
			}
		}
		part.Records, part.Received = b.Records[at:end], t.clock
		if t.clock.IsZero() {
			part.Received = b.Received
		}
		if err := t.Handler.Handle(ctx, &part); err != nil {
			return err
		}
		at = end
	}
	return nil
}
