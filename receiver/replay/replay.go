// Package replay reads finished logs: standard input and files, from their beginning to their end, once. The commands
// match and replay use it. It follows nothing and keeps no position; package tail does that.
package replay

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"tattled/event"
	"tattled/receiver"
	"tattled/receiver/tail"
)

const (
	blockSize = 256 << 10
	// recordsABatch is small enough for the records of a batch and the lines that they point to, to stay in the processor's
	// cache from the reading of a line to its detection.
	recordsABatch = 64
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

	// Progress, if not nil, is told after each block how many bytes were handed over so far.
	Progress func(bytes int64)
}

// defaults fills in what was left out.
func (o *Options) defaults() {
	if o.Source == "" {
		o.Source = "replay"
	}
	if o.MaxLine <= 0 {
		o.MaxLine = DefaultMaxLine
	}
	if o.Location == nil {
		o.Location = time.UTC
	}
}

// Receiver reads one log.
type Receiver struct {
	options Options
	in      io.Reader
	meter   receiver.Meter
}

// New makes a receiver that reads in once. The caller closes in. Run ends at the end of the context only between two
// reads: to interrupt one, close in.
func New(in io.Reader, o Options) *Receiver {
	o.defaults()
	return &Receiver{options: o, in: in}
}

// Source returns the configured name.
func (r *Receiver) Source() string { return r.options.Source }

// Meter returns the receiver's counters.
func (r *Receiver) Meter() *receiver.Meter { return &r.meter }

// Run hands over every line in order and returns nil at the end, where a last line without a line end is one too. It
// asks for no position and its batches have none. A failed read is an error.
func (r *Receiver) Run(ctx context.Context, _ receiver.Positions, h receiver.Handler) error {
	if err := r.run(ctx, h); err != nil && ctx.Err() == nil {
		return fmt.Errorf("read %s: %w", r.options.Source, err)
	}
	return nil
}

func (r *Receiver) run(ctx context.Context, h receiver.Handler) error {
	var b Block
	cutter, lines, total := NewCutter(r.in, r.options.MaxLine), newLines(r.options, &r.meter), int64(0)
	for {
		if err := cutter.Next(ctx, &b); err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
		if err := lines.Hand(ctx, &b, h); err != nil {
			return err
		}
		if total += b.Size; r.options.Progress != nil {
			r.options.Progress(total)
		}
	}
}
