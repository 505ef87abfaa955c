// Package replay reads finished logs: standard input and files, from their beginning to their end, once. The commands
// match and replay use it. It follows nothing and keeps no position; package tail does that.
package replay

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"tattled/event"
	"tattled/receiver"
	"tattled/receiver/tail"
	"tattled/receiver/wire"
)

const (
	blockSize = 256 << 10
	// recordsABatch is small enough for the records of a batch and the lines that they point to, to stay in the processor's
	// cache from the reading of a line to its detection.
	recordsABatch = 512
	// DefaultMaxLine is that of followed files.
	DefaultMaxLine = tail.DefaultMaxLine
)

// Options say how a log is to be read. Its zero value reads lines with headers in UTC.
type Options struct {
	Source   string         // what batches say they come from; default "replay"
	Reporter string         // the operator's label; default: each record's host
	Program  string         // for a log without headers: the program of every line, which then is all message
	Trust    event.Trust    // of every record
	Location *time.Location // of timestamps without a zone; nil is UTC
	MaxLine  int            // in bytes; what is longer is cut there; 0 is DefaultMaxLine

	// Received is when the log was written to its end, for timestamps without a year: a file's modification time. Zero is
	// now, as is right for standard input.
	Received time.Time

	// EveryLine makes a record of each line, also of blank ones, so that the n-th record is line n.
	EveryLine bool

	// Progress, if not nil, is told after each block how many bytes were read so far, the last time at the end.
	Progress func(bytes int64)
}

// Receiver reads one log.
type Receiver struct {
	options  Options
	in       io.Reader
	splitter tail.Splitter
	meter    receiver.Meter
}

// New makes a receiver that reads in once. The caller closes in. Run ends at the end of the context only between two
// reads: to interrupt one, close in.
func New(in io.Reader, o Options) *Receiver {
	if o.Source == "" {
		o.Source = "replay"
	}
	if o.MaxLine <= 0 {
		o.MaxLine = DefaultMaxLine
	}
	if o.Location == nil {
		o.Location = time.UTC
	}
	r := &Receiver{options: o, in: in}
	r.splitter = tail.Splitter{MaxLine: o.MaxLine, Trust: o.Trust, KeepEmpty: o.EveryLine, Parser: wire.NewParser(o.Location)}
	if o.Program != "" {
		r.splitter.Program = []byte(o.Program)
	}
	return r
}

// Source returns the configured name.
func (r *Receiver) Source() string { return r.options.Source }

// Meter returns the receiver's counters.
func (r *Receiver) Meter() *receiver.Meter { return &r.meter }

// Run hands over every line in order and returns nil at the end, where a last line without a line end is one too. It
// asks for no position and its batches have none. A failed read is an error.
func (r *Receiver) Run(ctx context.Context, _ receiver.Positions, h receiver.Handler) error {
	b := &blocks{Receiver: r, handler: h, block: make([]byte, max(blockSize, 2*(r.splitter.MaxLine+2)))}
	b.batch = receiver.Batch{Source: r.options.Source, Reporter: r.options.Reporter, Received: r.options.Received, Location: r.options.Location}
	if b.batch.Received.IsZero() {
		b.batch.Received = time.Now()
	}
	b.records = make([]receiver.Record, 0, recordsABatch)
	if err := b.run(ctx); err != nil && ctx.Err() == nil {
		return fmt.Errorf("read %s: %w", r.options.Source, err)
	}
	return nil
}

// blocks is the state of one Run.
type blocks struct {
	*Receiver
	handler receiver.Handler
	batch   receiver.Batch
	records []receiver.Record
	block   []byte
	held    int   // bytes at the start of block that wait for their line's end
	long    bool  // what is held is the beginning of a line that is too long, and the rest of it is let go
	gone    int64 // bytes that were let go and are counted with the next record
	total   int64
}

func (b *blocks) run(ctx context.Context) error {
	for ctx.Err() == nil {
		n, err := b.in.Read(b.block[b.held:])
		b.total += int64(n)
		ended := bytes.IndexByte(b.block[b.held:b.held+n], '\n') >= 0
		b.held += n
		if ended || b.held == len(b.block) { // else what is held was searched before
			if err := b.split(ctx); err != nil {
				return err
			}
		}
		if b.options.Progress != nil {
			b.options.Progress(b.total)
		}
		if errors.Is(err, io.EOF) {
			return b.last(ctx)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// head is how much is kept of a line that is too long: two bytes more than its record takes, so that a CR among them hides
// no cut.
func (b *blocks) head() int { return b.splitter.MaxLine + 2 }

// split hands over the complete lines of the block and moves what is left to its start.
func (b *blocks) split(ctx context.Context) error {
	taken := 0
	if b.long {
		lf := bytes.IndexByte(b.block[b.head():b.held], '\n')
		if lf < 0 {
			b.letGo(b.head(), b.held)
			return nil
		}
		taken, b.long = b.head()+lf+1, false
		if err := b.line(ctx, b.block[:b.head()], taken); err != nil {
			return err
		}
	}
	for {
		records, count := b.splitter.Split(b.block[taken:b.held], b.batch.Received, b.records)
		if count.Bytes == 0 {
			break
		}
		taken += count.Bytes
		if err := b.hand(ctx, records, count); err != nil {
			return err
		}
	}
	b.held = copy(b.block, b.block[taken:b.held])
	if b.held < len(b.block) {
		return nil
	}
	hole := len(b.block) - len(bytes.TrimLeft(b.block, "\x00"))
	b.letGo(0, hole)
	if hole == 0 {
		b.long = true
		b.letGo(b.head(), b.held)
	}
	return nil
}

// letGo takes the bytes from start to before end out of what is held.
func (b *blocks) letGo(start, end int) {
	b.held = start + copy(b.block[start:], b.block[end:b.held])
	b.gone += int64(end - start)
}

// last hands over a last line that has no line end.
func (b *blocks) last(ctx context.Context) error {
	if b.held == 0 {
		return nil
	}
	return b.line(ctx, b.block[:b.held], b.held)
}

// line hands over one line of so many bytes, of which text is what its record is made of.
func (b *blocks) line(ctx context.Context, text []byte, size int) error {
	count, records := tail.Count{Bytes: size}, b.records[:1]
	if !b.splitter.Record(text, b.batch.Received, &records[0]) {
		records, count.Blank = records[:0], 1
	} else if records[0].Cut {
		count.Cut = 1
	}
	return b.hand(ctx, records, count)
}

func (b *blocks) hand(ctx context.Context, records []receiver.Record, count tail.Count) error {
	b.meter.Records.Add(uint64(len(records) + count.Blank))
	b.meter.Bytes.Add(uint64(int64(count.Bytes) + b.gone))
	b.meter.Drop(receiver.Empty, uint64(count.Blank))
	b.meter.Cut.Add(uint64(count.Cut))
	b.gone = 0
	if len(records) == 0 {
		return nil
	}
	b.batch.Records = records
	return b.handler.Handle(ctx, &b.batch)
}
