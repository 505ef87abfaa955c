package replay

import (
	"bytes"
	"context"
	"errors"
	"io"
	"time"

	"tattled/receiver"
	"tattled/receiver/tail"
	"tattled/receiver/wire"
)

// Cutter reads a log and cuts it into blocks of whole lines. One goroutine uses it at a time; what is in the blocks may be
// made records of by others meanwhile (see Lines).
type Cutter struct {
	in      io.Reader
	maxLine int
	size    int    // of a block's buffer, less the last byte
	carry   []byte // what followed the last line end: the beginning of the next block
	gone    int64  // bytes that were let go and are counted with the next block
	err     error  // of the last read
}

// NewCutter makes a cutter of in that keeps at least maxLine bytes of each line; 0 is DefaultMaxLine.
func NewCutter(in io.Reader, maxLine int) *Cutter {
	if maxLine <= 0 {
		maxLine = DefaultMaxLine
	}
	return &Cutter{in: in, maxLine: maxLine, size: max(blockSize, 2*(maxLine+2))}
}

// Block is a run of whole lines. Its zero value is ready for Cutter.Next, which uses its memory again.
type Block struct {
	Lines []byte // each with its line end, also the last one of a log that ends without
	// Size is how many bytes of the log the block stands for. That is more than Lines has where a hole of NULs was let go, or
	// what is behind the beginning of a line that is longer than a block.
	Size int64

	buffer []byte
}

// Next reads the next block: as much as one read gives, or more if that has no line end. It returns io.EOF behind the last
// block. After another error the lines before it were given, but what was read of an unfinished line is lost. The end of
// ctx is noticed between two reads only.
func (c *Cutter) Next(ctx context.Context, b *Block) error {
	if len(b.buffer) != c.size+1 {
		b.buffer = make([]byte, c.size+1)
	}
	held := copy(b.buffer, c.carry)
	for c.err == nil {
		if err := ctx.Err(); err != nil {
			return err
		}
		var n int
		n, c.err = c.in.Read(b.buffer[held:c.size])
		end := bytes.LastIndexByte(b.buffer[held:held+n], '\n')
		if end >= 0 {
			c.cut(b, held+end+1, held+n)
			return nil
		}
		if held += n; held == c.size {
			held = c.shorten(b.buffer)
		}
	}
	if errors.Is(c.err, io.EOF) && held > 0 {
		b.buffer[held] = '\n'
		c.cut(b, held+1, held+1)
		b.Size--
		return nil
	}
	return c.err
}

// cut makes a block of the first end bytes of those that are held.
func (c *Cutter) cut(b *Block, end, held int) {
	b.Lines, b.Size = b.buffer[:end], int64(end)+c.gone
	c.carry, c.gone = append(c.carry[:0], b.buffer[end:held]...), 0
}

// shorten makes room in a buffer that is full of one line, and returns how many bytes are left. NULs before a line are no
// part of it; of other lines, two bytes more than a record takes are left, so that a CR among them hides no cut.
func (c *Cutter) shorten(buffer []byte) int {
	line := bytes.TrimLeft(buffer[:c.size], "\x00")
	left := copy(buffer, line)
	if left == c.size {
		left = c.maxLine + 2
	}
	c.gone += int64(c.size - left)
	return left
}

// Lines makes records of blocks. One goroutine uses it at a time.
type Lines struct {
	splitter tail.Splitter
	batch    receiver.Batch
	records  []receiver.Record
	meter    *receiver.Meter
}

// NewLines makes Lines. Without o.Received, timestamps without a year are of about now.
func NewLines(o Options) *Lines { return newLines(o, new(receiver.Meter)) }

func newLines(o Options, meter *receiver.Meter) *Lines {
	o.defaults()
	l := &Lines{meter: meter, records: make([]receiver.Record, 0, recordsABatch)}
	l.splitter = tail.Splitter{MaxLine: o.MaxLine, Trust: o.Trust, KeepEmpty: o.EveryLine, Parser: wire.NewParser(o.Location)}
	if o.Program != "" {
		l.splitter.Program = []byte(o.Program)
	}
	l.batch = receiver.Batch{Source: o.Source, Reporter: o.Reporter, Received: o.Received, Location: o.Location}
	if l.batch.Received.IsZero() {
		l.batch.Received = time.Now()
	}
	return l
}

// Hand hands over every line of a block in order.
func (l *Lines) Hand(ctx context.Context, b *Block, h receiver.Handler) error {
	l.meter.Bytes.Add(uint64(b.Size))
	for rest := b.Lines; len(rest) > 0; {
		records, count := l.splitter.Split(rest, l.batch.Received, l.records)
		rest = rest[count.Bytes:]
		l.meter.Records.Add(uint64(len(records) + count.Blank))
		l.meter.Drop(receiver.Empty, uint64(count.Blank))
		l.meter.Cut.Add(uint64(count.Cut))
		if len(records) == 0 {
			continue
		}
		l.batch.Records = records
		if err := h.Handle(ctx, &l.batch); err != nil {
			return err
		}
	}
	return nil
}
