package tail

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"time"

	"tattled/receiver"
)

const (
	blockSize     = 64 << 10
	recordsABatch = 1024
	blocksATurn   = 16  // then another file has its turn
	scansATurn    = 256 // the same, while looking for the end of a line that is too long
)

// file is one file that is read. It is held by its descriptor, which stays the same file when its path is renamed or
// removed.
type file struct {
	f      *os.File
	info   os.FileInfo // from when it was opened, for os.SameFile
	at     mark
	size   int64     // when it was last looked at
	seen   changed   // as it was when it was last read to its end
	quiet  time.Time // since when nothing has come
	atPath bool      // the follower's path names it; else it is read for its late writers only
	later  bool      // it is not read until catchUp has found all that came to the path before it
	scan   scan
}

// scan is the search for the end of a line that is longer than a block.
type scan struct {
	from  int64 // the line's offset; the search is void if it is not the file's
	to    int64 // there is no line end before
	start int64 // the first byte of the line that is no NUL, -1 while there is none
}

// opened takes over f, to be read from m.
func opened(f *os.File, info os.FileInfo, m mark, now time.Time) *file {
	m.inode = inode(info)
	return &file{f: f, info: info, at: m, size: m.offset, quiet: now}
}

// open opens path for reading if it is a regular file. It does not wait for a writer if path has become a pipe.
func open(path string) (*os.File, os.FileInfo, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|nonBlocking, 0)
	if err != nil {
		return nil, nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = &os.PathError{Op: "open", Path: path, Err: errIrregular}
	}
	if err != nil {
		f.Close()
		return nil, nil, err
	}
	return f, info, nil
}

// moved reports whether f was written to since it was last read to its end, and notes its size.
func (f *file) moved(now time.Time) (bool, error) {
	info, err := f.f.Stat()
	if err != nil {
		return false, err
	}
	c := changeOf(info)
	if c == f.seen {
		return false, nil
	}
	f.quiet = now
	return true, nil
}

// intact reports whether f still is what it was when it was read up to end: a file that was truncated is shorter, or
// begins differently. It notes the file's size.
func (f *file) intact(end int64) (bool, changed, error) {
	info, err := f.f.Stat()
	if err != nil {
		return false, changed{}, err
	}
	if info.Size() < end || !f.at.print.fits(f.f) {
		return false, changed{}, nil
	}
	f.size = info.Size()
	return true, changeOf(info), nil
}

// read hands over what is new in f, at most a turn's worth. end says that it came to the end of what is complete. An
// error comes from the handler; a fault of the file is noted and waits for the next turn.
func (r *Receiver) read(ctx context.Context, fl *follower, f *file) (end bool, err error) {
	if moved, err := f.moved(r.now); err != nil || !moved {
		r.fault(fl, err)
		return true, nil
	}
	for range blocksATurn {
		n, err := f.f.ReadAt(r.block, f.at.offset)
		if err != nil && !errors.Is(err, io.EOF) {
			r.fault(fl, err)
			return true, nil
		}
		whole, state, err := f.intact(f.at.offset + int64(n))
		if err != nil {
			r.fault(fl, err)
			return true, nil
		}
		if !whole {
			r.truncated(fl, f)
			continue
		}
		taken, err := r.lines(ctx, fl, f, r.block[:n])
		if err != nil {
			return false, err
		}
		if taken > 0 {
			continue
		}
		if n == len(r.block) {
			return r.longLine(ctx, fl, f)
		}
		if state.size == f.at.offset+int64(n) { // else it grew meanwhile
			f.seen = state
			return true, nil
		}
	}
	return false, nil
}

// truncated begins f anew. What it was is remembered, for a copy of it that a pattern matches.
func (r *Receiver) truncated(fl *follower, f *file) {
	fl.remember(f.at)
	if f.size > f.at.offset {
		r.meter.Gaps.Add(1)
	}
	f.at, f.size, f.seen, f.scan = mark{inode: f.at.inode}, 0, changed{}, scan{}
}

// lines hands over the complete lines of block, which begins at f's offset, and returns how many bytes they took.
func (r *Receiver) lines(ctx context.Context, fl *follower, f *file, block []byte) (taken int, err error) {
	for {
		records, count := r.splitter.Split(block[taken:], r.now, r.records[:0])
		if count.Bytes == 0 {
			return taken, nil
		}
		taken += count.Bytes
		if err := r.hand(ctx, fl, f, records, count); err != nil {
			return taken, err
		}
	}
}

// longLine hands over the beginning of a line that fills the block, once its end is there. What was searched in vain is
// not searched again.
func (r *Receiver) longLine(ctx context.Context, fl *follower, f *file) (end bool, err error) {
	s := &f.scan
	if s.from != f.at.offset || s.to <= s.from {
		*s = scan{from: f.at.offset, to: f.at.offset, start: -1}
	}
	for range scansATurn {
		n, err := f.f.ReadAt(r.block, s.to)
		if err != nil && !errors.Is(err, io.EOF) {
			r.fault(fl, err)
			return true, nil
		}
		whole, state, err := f.intact(s.to + int64(n))
		if err != nil {
			r.fault(fl, err)
			return true, nil
		}
		if !whole {
			r.truncated(fl, f)
			return false, nil
		}
		lf := bytes.IndexByte(r.block[:n], '\n')
		part := r.block[:n]
		if lf >= 0 {
			part = part[:lf]
		}
		if text := bytes.TrimLeft(part, "\x00"); s.start < 0 && len(text) > 0 {
			s.start = s.to + int64(len(part)-len(text))
		}
		s.to += int64(len(part))
		if lf >= 0 {
			return false, r.handLong(ctx, fl, f)
		}
		if state.size == s.to {
			f.seen = state
			return true, nil
		}
	}
	return false, nil
}

// handLong hands over the one line that f.scan found.
func (r *Receiver) handLong(ctx context.Context, fl *follower, f *file) error {
	s := f.scan
	if s.start < 0 {
		s.start = s.to
	}
	head := r.block[:min(s.to-s.start, int64(r.splitter.MaxLine)+2)] // two more, so that a CR there hides no cut
	if n, err := f.f.ReadAt(head, s.start); n < len(head) {
		r.fault(fl, err)
		return nil
	}
	count := Count{Bytes: int(s.to + 1 - f.at.offset)}
	records := r.records[:1]
	if !r.splitter.Record(head, r.now, &records[0]) {
		records, count.Blank = records[:0], 1
	} else if records[0].Cut {
		count.Cut = 1
	}
	return r.hand(ctx, fl, f, records, count)
}

// hand gives records to the handler, with a cursor behind the count.Bytes bytes from f's offset on that they came from.
func (r *Receiver) hand(ctx context.Context, fl *follower, f *file, records []receiver.Record, count Count) error {
	f.at.offset += int64(count.Bytes)
	if f.at.print.length < printLength {
		p, err := takeFingerprint(f.f, f.at.offset)
		if err != nil {
			r.fault(fl, err) // truncated just now: the next look at it tells
		} else {
			f.at.print = p
		}
	}
	r.meter.Records.Add(uint64(len(records) + count.Blank))
	r.meter.Bytes.Add(uint64(count.Bytes))
	r.meter.Drop(receiver.Empty, uint64(count.Blank))
	r.meter.Cut.Add(uint64(count.Cut))
	if len(records) == 0 {
		return nil // the cursor goes with the next records
	}
	return r.handle(ctx, fl.stream, records, fl)
}

// handle makes the batch and hands it over, with the position of fl, or with one that only says that there is one.
func (r *Receiver) handle(ctx context.Context, stream string, records []receiver.Record, fl *follower) error {
	var seen int64
	var past []mark
	r.marks = r.marks[:0]
	if fl != nil {
		seen, past, r.marks = fl.seen, fl.past, fl.marks(r.marks)
	}
	r.cursor = appendCursor(r.cursor[:0], seen, r.marks, past)
	r.batch = receiver.Batch{
		Source: r.source, Reporter: r.config.Reporter, Received: r.now,
		Records: records, Stream: stream, Cursor: r.cursor, Location: r.zone,
	}
	return r.handler.Handle(ctx, &r.batch)
}
