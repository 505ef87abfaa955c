package replay

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"tattled/receiver"
)

// The bounds of a Merge.
const (
	// maxOpen is how many logs may overlap in time. Each takes a megabyte at most, beside what it is packed by.
	maxOpen = 64
	// chunkSize is how much of a log is looked at together.
	chunkSize = 64 << 10
	// runSpan is how much later than its first record the last one of a batch may be: a daemon gathers that long before it commits.
	runSpan = 20 * time.Millisecond
	// leap is from how far ahead on a time is believed only if the records after it have it too, and leapWitnesses how many of them
	// are asked. A clock that was wrong for one line, or a time that a peer wrote, must not end the day for all that follow.
	leap          = time.Hour
	leapWitnesses = 16
	// maxAhead is how much later than the log was written a record may be: some writers' clocks are ahead, and zones are guessed.
	maxAhead = 24 * time.Hour
)

// Feed is a log that is read beside others.
type Feed struct {
	// Options say how. Received bounds the times of its records; Progress is not asked.
	Options
	// Name is what errors call it.
	Name string
	// Stream is that of its batches: the same for logs that go on one another, as rotation makes them. Default: Name.
	Stream string
	// Open opens it. It is called twice where Reopens is set, and once otherwise.
	Open    func() (io.ReadCloser, error)
	Reopens bool
	// Stamp reads the time of a message whose record has none; ok is false where there is none. Nil knows of none.
	Stamp func(message []byte, zone *time.Location, latest time.Time) (t time.Time, ok bool)
}

// Merge hands over the records of several logs in the order of their times, as if they had been read when they were written: a
// batch's Received is the time of its last record, and never goes back. A record without a time has that of the one before in
// its log. Within a log the order stays. Memory is bounded: a log is opened when its time comes, and so many may be open at once.
func Merge(ctx context.Context, feeds []Feed, h receiver.Handler) error {
	m := merge{h: h}
	for i := range feeds {
		f := newFeed(&feeds[i], i)
		if err := f.begin(ctx); err != nil {
			return errors.Join(err, m.close())
		}
		m.waiting = append(m.waiting, f)
	}
	slices.SortStableFunc(m.waiting, func(a, b *feed) int { return a.next.Compare(b.next) })
	return errors.Join(m.run(ctx), m.close())
}

// merge is one Merge under way.
type merge struct {
	h       receiver.Handler
	waiting []*feed // in the order of their beginnings
	open    []*feed
	clock   time.Time
	batch   receiver.Batch
}

func (m *merge) close() error {
	var all []error
	for _, f := range slices.Concat(m.waiting, m.open) {
		all = append(all, f.close())
	}
	m.waiting, m.open = nil, nil
	return errors.Join(all...)
}

func (m *merge) run(ctx context.Context) error {
	for {
		first, until, err := m.choose(ctx)
		if err != nil || first == nil {
			return err
		}
		if err := m.hand(ctx, first, until); err != nil {
			return err
		}
		if first.done {
			m.open = slices.DeleteFunc(m.open, func(f *feed) bool { return f == first })
			if err := first.close(); err != nil {
				return err
			}
		}
	}
}

// choose returns the feed whose next record is the earliest, nil if none has one, and until when it is: the zero time for its end.
func (m *merge) choose(ctx context.Context) (first *feed, until time.Time, err error) {
	for {
		first, until = nil, time.Time{}
		for _, f := range m.open {
			switch {
			case first == nil:
				first = f
			case f.before(first):
				first, until = f, first.next
			case until.IsZero() || f.next.Before(until):
				until = f.next
			}
		}
		if len(m.waiting) == 0 {
			return first, until, nil
		}
		next := m.waiting[0]
		if first != nil && !next.before(first) {
			if until.IsZero() || next.next.Before(until) {
				until = next.next
			}
			return first, until, nil
		}
		if len(m.open) == maxOpen {
			return nil, until, fmt.Errorf("more than %d logs overlap at %s: give fewer of them at once", maxOpen, next.next.UTC().Format(time.RFC3339))
		}
		if err := next.resume(ctx); err != nil {
			return nil, until, err
		}
		m.waiting = m.waiting[1:]
		if next.done {
			if err := next.close(); err != nil {
				return nil, until, err
			}
			continue
		}
		m.open = append(m.open, next)
	}
}

// hand hands over the next records of f, up to a time, a chunk's end or a batch's.
func (m *merge) hand(ctx context.Context, f *feed, until time.Time) error {
	c := &f.chunks[f.now]
	last := c.times[c.at].Add(runSpan)
	end := c.at + 1
	for end < len(c.records) && end-c.at < recordsABatch && c.times[end].Before(last) && (until.IsZero() || !c.times[end].After(until)) {
		end++
	}
	if at := c.times[end-1]; at.After(m.clock) {
		m.clock = at
	}
	m.batch = receiver.Batch{Source: f.o.Source, Reporter: f.o.Reporter, Received: m.clock, Location: f.o.Location, Records: c.records[c.at:end], Stream: f.Stream}
	if err := m.h.Handle(ctx, &m.batch); err != nil {
		return err
	}
	c.at = end
	return f.advance(ctx)
}

// feed is a log under way. Of two chunks one is handed over while the other shows whether its times can be believed.
type feed struct {
	*Feed
	o      Options // with the defaults filled in
	index  int
	in     io.ReadCloser
	cutter *Cutter
	lines  *Lines
	chunks [2]chunk
	now    int // the chunk that is handed over
	clock  time.Time
	number int64 // lines that were cut so far
	next   time.Time
	done   bool
	ended  bool // there is no more to cut
}

// chunk is a run of records, those from at on are to be handed over.
type chunk struct {
	block   Block
	records []receiver.Record
	times   []time.Time // as the records have them; once its turn has come, as they are believed
	at      int
}

func newFeed(from *Feed, index int) *feed {
	f := &feed{Feed: from, index: index, o: from.Options}
	f.o.defaults()
	if f.Stream == "" {
		f.Stream = f.Name
	}
	if f.o.Received.IsZero() {
		f.o.Received = time.Now()
	}
	return f
}

func (f *feed) before(other *feed) bool {
	return f.next.Before(other.next) || f.next.Equal(other.next) && f.index < other.index
}

// begin opens the log and finds out when it begins. One that can be opened again is closed until then.
func (f *feed) begin(ctx context.Context) error {
	if err := f.start(ctx); err != nil || !f.Reopens || f.done {
		return err
	}
	next := f.next
	if err := f.close(); err != nil {
		return err
	}
	f.chunks, f.cutter, f.lines = [2]chunk{}, nil, nil
	f.next = next
	return nil
}

// resume opens a log that begin has closed.
func (f *feed) resume(ctx context.Context) error {
	if f.in != nil || f.done {
		return nil
	}
	f.now, f.clock, f.number, f.ended = 0, time.Time{}, 0, false
	return f.start(ctx)
}

func (f *feed) start(ctx context.Context) error {
	in, err := f.Open()
	if err != nil {
		return err
	}
	f.in = in
	f.cutter, f.lines = NewCutter(in, f.o.MaxLine), newLines(f.o, new(receiver.Meter))
	f.cutter.size = max(chunkSize, 2*(f.cutter.maxLine+2))
	f.now = 1
	if err := f.fill(ctx, &f.chunks[0]); err != nil {
		return err
	}
	return f.turn(ctx)
}

func (f *feed) close() error {
	if f.in == nil {
		return nil
	}
	err := f.in.Close()
	f.in = nil
	return err
}

// advance goes on to the next record.
func (f *feed) advance(ctx context.Context) error {
	if c := &f.chunks[f.now]; c.at < len(c.records) {
		f.next = c.times[c.at]
		return nil
	}
	return f.turn(ctx)
}

// turn goes on to the next chunk, once the one after it is there.
func (f *feed) turn(ctx context.Context) error {
	if err := f.fill(ctx, &f.chunks[f.now]); err != nil {
		return err
	}
	f.now = 1 - f.now
	c := &f.chunks[f.now]
	if len(c.records) == 0 {
		f.done = true
		return nil
	}
	f.believe(c, &f.chunks[1-f.now])
	f.next = c.times[0]
	return nil
}

// fill reads records into a chunk, none at the log's end.
func (f *feed) fill(ctx context.Context, c *chunk) error {
	c.records, c.times, c.at = c.records[:0], c.times[:0], 0
	for len(c.records) == 0 && !f.ended {
		err := f.cutter.Next(ctx, &c.block)
		if errors.Is(err, io.EOF) {
			f.ended = true
			break
		}
		if err != nil {
			return fmt.Errorf("read %s: after line %d: %w", f.Name, f.number, err)
		}
		f.split(c)
	}
	return nil
}

// split makes records of a chunk's block.
func (f *feed) split(c *chunk) {
	n := bytes.Count(c.block.Lines, []byte("\n"))
	f.number += int64(n)
	c.records = slices.Grow(c.records, n)
	c.records, _ = f.lines.splitter.Split(c.block.Lines, f.o.Received, c.records)
	latest := f.o.Received.Add(maxAhead)
	for i := range c.records {
		r := &c.records[i]
		at := r.Time
		if at.IsZero() && f.Stamp != nil {
			at, _ = f.Stamp(r.Message, f.o.Location, f.o.Received)
		}
		if at.After(latest) {
			at = time.Time{}
		}
		c.times = append(c.times, at)
	}
}

// believe makes the times of a chunk such that they never go back, and go far ahead only where those after them do as well; next
// is the chunk after it.
func (f *feed) believe(c, next *chunk) {
	for i, at := range c.times {
		if at.After(f.clock) && (!f.clock.IsZero() && at.Sub(f.clock) <= leap || witnessed(at, c.times[i+1:], next.times)) {
			f.clock = at
		}
		c.times[i] = f.clock
	}
	if len(c.times) == 0 || !c.times[0].IsZero() {
		return
	}
	first := f.o.Received // of what comes before the first time
	if at, found := firstTime(c.times, next.times); found {
		first = at
	}
	for i := 0; i < len(c.times) && c.times[i].IsZero(); i++ {
		c.times[i] = first
	}
}

func firstTime(all ...[]time.Time) (time.Time, bool) {
	for _, times := range all {
		if i := slices.IndexFunc(times, func(t time.Time) bool { return !t.IsZero() }); i >= 0 {
			return times[i], true
		}
	}
	return time.Time{}, false
}

// witnessed reports whether a time that is far ahead is confirmed by half of the times after it, or there are none.
func witnessed(at time.Time, after ...[]time.Time) bool {
	asked, agree := 0, 0
	for _, times := range after {
		for _, t := range times {
			if t.IsZero() {
				continue
			}
			if asked++; !t.Before(at.Add(-leap)) {
				agree++
			}
			if asked == leapWitnesses {
				return 2*agree >= asked
			}
		}
	}
	return 2*agree >= asked
}
