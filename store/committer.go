package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"sync"
	"sync/atomic"
	"time"

	"tattled/event"
	"tattled/policy"
	"tattled/receiver"
)

const (
	cursorFlushInterval = time.Second     // cursors that moved without an event are committed after this
	retryAfter          = time.Second     // with no space left, the group is tried again after this
	flood               = 512             // events that come within Linger when there is more to come: their group lingers
	floodLingers        = 4               // times as long, if nobody waits for it. It costs less CPU time an event
	beatEvery           = 2 * time.Second // an idle committer proves that it lives
	maxDo               = 1024            // requests in one group
	maxCursors          = 20000           // streams in one group
	maxBytes            = 4 << 20         // of events in one group, as sizeOf has it
	maxEvents           = 60000           // in one group, whatever MaxGroup is: a commit has 65536 parts of Recent at most
)

// CommitterOptions is how a Committer works. The zero value is good.
type CommitterOptions struct {
	// Linger is how long the first event of a group waits for others; by default 20 ms, and four times as long where 512 came in
	// that time.
	Linger time.Duration
	// MaxGroup is how many events a group takes before Submit blocks, at most 60000; by default 4096. Events of 4 MiB fill it as
	// well. There are two groups: one is committed while the other takes what comes.
	MaxGroup int
	// Hold is for how long reports are held back of addresses that may have been told of already, after a restoration
	// (Store.Restored) or after their record was found damaged, by destination: its window. Events from before the restoration
	// are not judged that long. Without an entry nothing is held back.
	Hold map[string]time.Duration
	// Policy, if not nil, returns the policy by which a group is judged, in place of NewCommitter's: it is asked for each group, and
	// may return another one after a reload. It must not block.
	Policy func() *policy.Policy
	// OnCommit, if not nil, is told of each group that is durable: its events with their Seq, and the reports that went into
	// the outbox. It runs in the committer: it must not block, nor keep the slices or write to them.
	OnCommit func(events []event.Event, due []event.Report)
	// ObserveCommit, if not nil, is told how long each transaction took.
	ObserveCommit func(time.Duration)
}

// Committer gathers what happens and makes it durable in groups. There is one for a Store. Its methods may be called by
// several goroutines at once.
type Committer struct {
	store   *Store
	options CommitterOptions
	policy  func() *policy.Policy
	full    atomic.Bool
	beat    atomic.Uint64
	begun   atomic.Pointer[time.Time] // when the transaction in hand began; nil: there is none
	wake    chan struct{}             // the open group has something new to wait for

	mu       sync.Mutex
	open     *group        // takes what comes
	next     *group        // empty, the open one after this
	room     chan struct{} // closed when the open group is taken
	urgent   time.Time     // since when something waits that is not only a cursor
	lazy     time.Time     // since when a cursor waits
	running  bool
	err      error // ErrStopped, or why a commit failed
	outboxes map[string]*Outbox

	inline     sync.WaitGroup // requests that make a transaction of their own; joined only while running is false
	committing sync.Mutex     // one transaction at a time: Run has it as long as it runs
	work       work
}

// NewCommitter makes the committer of s that judges by p; nil judges nothing. Nothing runs before Run.
func NewCommitter(s *Store, p *policy.Policy, o CommitterOptions) *Committer {
	o.Linger, o.MaxGroup = or(o.Linger, 20*time.Millisecond), min(or(o.MaxGroup, 4096), maxEvents)
	c := &Committer{
		store: s, options: o, wake: make(chan struct{}, 1), room: make(chan struct{}), outboxes: map[string]*Outbox{},
		open: &group{cursors: map[string][]byte{}}, next: &group{cursors: map[string][]byte{}},
	}
	if c.policy = o.Policy; c.policy == nil {
		c.policy = func() *policy.Policy { return p }
	}
	return c
}

// Full reports whether the last commit found no space. Until one does, nothing more is taken.
func (c *Committer) Full() bool { return c.full.Load() }

// Beat grows as long as the committer makes progress or has nothing to do, at least every few seconds. With no space left
// it grows as well: the committer lives and waits.
func (c *Committer) Beat() uint64 { return c.beat.Load() }

// Committing returns for how long the transaction in hand has been going on, 0 if there is none. It is long when the disk is
// slow: nothing can hurry it.
func (c *Committer) Committing() time.Duration {
	begun := c.begun.Load()
	if begun == nil {
		return 0
	}
	return max(time.Since(*begun), 1)
}

// Submit adds events to the next group, and how far they bring their stream: after this the stream goes on behind cursor.
// Both will be durable in one transaction, or neither will be. An empty stream has no cursor. events may be empty, and are at
// most 60000. Nothing is kept of the slices. Submit returns before anything is durable, and blocks only while the group is
// full, which is committed at once.
func (c *Committer) Submit(ctx context.Context, events []event.Event, stream string, cursor receiver.Cursor) error {
	if len(stream) > 4096 || len(cursor) > receiver.MaxCursor {
		return fmt.Errorf("submit: a stream of %d bytes (at most 4096) with a cursor of %d (at most %d)", len(stream), len(cursor), receiver.MaxCursor)
	}
	if len(events) > maxEvents {
		return fmt.Errorf("submit: %d events (at most %d)", len(events), maxEvents)
	}
	size := sizeOf(events)
	for {
		c.mu.Lock()
		if c.err != nil {
			defer c.mu.Unlock()
			return c.err
		}
		if c.takes(len(events), size) {
			c.enqueue(events, size, stream, cursor)
			c.mu.Unlock()
			return nil
		}
		c.rush() // somebody waits for the next group
		room := c.room
		c.mu.Unlock()
		select {
		case <-room:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// takes reports whether the open group has room for n events of size bytes. An empty one has room for any batch.
func (c *Committer) takes(n, size int) bool {
	g := c.open
	fits := len(g.events)+n <= c.options.MaxGroup && g.bytes+size <= maxBytes
	return (fits || len(g.events) == 0) && len(g.cursors) < maxCursors
}

// sizeOf is about how many bytes of memory events take. What they share with rules and other events counts too.
func sizeOf(events []event.Event) int {
	size := len(events) * int(reflect.TypeFor[event.Event]().Size())
	for i := range events {
		e := &events[i]
		size += len(e.Line) + len(e.User) + len(e.Path) + len(e.PID) + len(e.Program) + len(e.Host)
	}
	return size
}

// rush has the open group committed next.
func (c *Committer) rush() {
	c.urgent = time.Now().Add(-floodLingers * c.options.Linger)
	c.wakeUp()
}

// lingers returns how long the open group waits for more.
func (c *Committer) lingers() time.Duration {
	if g := c.open; len(g.events) >= flood && len(g.do)+len(g.marks) == 0 {
		return floodLingers * c.options.Linger
	}
	return c.options.Linger
}

// enqueue takes events and cursor into the open group.
func (c *Committer) enqueue(events []event.Event, size int, stream string, cursor receiver.Cursor) {
	g := c.open
	g.events = append(g.events, events...)
	g.bytes += size
	if stream != "" {
		g.cursors[stream] = append(g.cursors[stream][:0], cursor...)
	}
	switch {
	case len(g.events) >= c.options.MaxGroup || g.bytes >= maxBytes:
		c.rush()
		return
	case len(events) > 0 && c.urgent.IsZero():
		c.urgent = time.Now()
	case len(events) == 0 && c.lazy.IsZero():
		c.lazy = time.Now()
	default:
		return
	}
	c.wakeUp()
}

// Hurry has what was submitted committed next, where otherwise it would wait for more: a cursor alone for a second. It does
// not wait.
func (c *Committer) Hurry() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.urgent.IsZero() && c.lazy.IsZero() {
		return
	}
	c.rush()
}

func (c *Committer) wakeUp() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// request is one call of Do.
type request struct {
	fn    func(*WriteTx) error
	err   error
	skip  bool // it failed after it had written
	state atomic.Int32
	back  chan struct{} // it ran, but the transaction found no space: it waits again
	done  chan struct{} // closed when err is final
}

// A request waits, then runs; who waits for it may cancel it before it runs.
const (
	waiting int32 = iota
	started
	canceled
)

// start reports whether the request is to run now.
func (r *request) start() bool {
	return !r.skip && (r.state.Load() == started || r.state.CompareAndSwap(waiting, started))
}

// putBack lets a request wait again: the transaction that it ran in found no space.
func (r *request) putBack() {
	if !r.state.CompareAndSwap(started, waiting) {
		return
	}
	select {
	case r.back <- struct{}{}:
	default:
	}
}

// Do runs fn in the next transaction and returns when it is durable, with the error of fn if there is one. fn may run
// several times, of which the last one counts. What it wrote before it failed is not applied. When ctx ends before fn
// ran, it will not run. Before Run, and after it has returned, Do makes a transaction of its own.
func (c *Committer) Do(ctx context.Context, fn func(*WriteTx) error) error {
	r := &request{fn: fn, back: make(chan struct{}, 1), done: make(chan struct{})}
	for {
		c.mu.Lock()
		if c.err != nil && !errors.Is(c.err, ErrStopped) {
			defer c.mu.Unlock()
			return c.err
		}
		if !c.running {
			c.inline.Add(1)
			c.mu.Unlock()
			return c.doAlone(r)
		}
		if len(c.open.do) < maxDo {
			c.open.do = append(c.open.do, r)
			// Somebody waits for this, most often before a request that others wait for: it lingers a tenth as long.
			if soon := time.Now().Add(-c.options.Linger / 10 * 9); c.urgent.IsZero() || soon.Before(c.urgent) {
				c.urgent = soon
				c.wakeUp()
			}
			c.mu.Unlock()
			break
		}
		room := c.room
		c.mu.Unlock()
		select {
		case <-room:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return r.wait(ctx)
}

// wait returns when r is done, or when ctx ends before it ran. What is being written is waited for: only the outcome tells.
func (r *request) wait(ctx context.Context) error {
	for {
		select {
		case <-r.done:
			return r.err
		case <-ctx.Done():
		}
		if r.state.CompareAndSwap(waiting, canceled) {
			return ctx.Err()
		}
		select {
		case <-r.done:
			return r.err
		case <-r.back:
		}
	}
}

// doAlone runs one request while there is no Run, which waits for it if it begins meanwhile.
func (c *Committer) doAlone(r *request) error {
	defer c.inline.Done()
	c.committing.Lock()
	defer c.committing.Unlock()
	c.mu.Lock()
	err := c.err
	c.mu.Unlock()
	if err != nil && !errors.Is(err, ErrStopped) {
		return err
	}
	err = c.transact(&group{do: []*request{r}})
	switch {
	case err == nil:
		return r.err
	case errors.Is(err, ErrFull):
		return err
	}
	return c.fail(new(group), err)
}

// PutScore stores the AbuseIPDB score of addr, in place of the last one of the same MaxAge. It is durable on return.
func (c *Committer) PutScore(ctx context.Context, addr netip.Addr, s Score) error {
	return c.Do(ctx, func(tx *WriteTx) error { return tx.PutScore(addr, s) })
}

// PutNote puts value under key, of at most 4096 bytes; nil takes it away. It is durable on return.
func (c *Committer) PutNote(ctx context.Context, key string, value []byte) error {
	value = bytes.Clone(value)
	return c.Do(ctx, func(tx *WriteTx) error { return tx.PutNote(key, value) })
}

// Run commits groups until ctx ends, commits what is left, and returns nil. Where there is no space it keeps the group,
// tries again each second, and Full says so. Any other failure of a commit leaves open whether it was applied: Run
// returns it, everything else fails with it as well, and the store must be opened anew.
func (c *Committer) Run(ctx context.Context) error {
	c.mu.Lock()
	if c.running || c.err != nil {
		c.mu.Unlock()
		return errors.New("the committer ran already")
	}
	c.running = true
	c.mu.Unlock()
	c.inline.Wait() // or one that saw no Run, and is not yet at its transaction, would wait for this Run's end
	c.committing.Lock()
	defer c.committing.Unlock()
	c.mu.Lock()
	err := c.err
	c.mu.Unlock()
	if err != nil { // one of those failed
		return err
	}
	timer := time.NewTimer(0)
	defer timer.Stop()
	for ctx.Err() == nil {
		c.beat.Add(1)
		wait := c.wait()
		if wait <= 0 {
			if err := c.commit(ctx, false); err != nil {
				return err
			}
			continue
		}
		timer.Reset(wait)
		select {
		case <-timer.C:
		case <-c.wake:
		case <-ctx.Done():
		}
	}
	return c.commit(ctx, true)
}

// wait returns how long the open group may still wait.
func (c *Committer) wait() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	wait := beatEvery
	if !c.urgent.IsZero() {
		wait = min(wait, c.lingers()-time.Since(c.urgent))
	}
	if !c.lazy.IsZero() {
		wait = min(wait, cursorFlushInterval-time.Since(c.lazy))
	}
	return wait
}

// swap closes the open group and opens the next one. With last, nothing joins any more.
func (c *Committer) swap(last bool) *group {
	c.mu.Lock()
	defer c.mu.Unlock()
	g := c.open
	c.open, c.next = c.next, nil
	c.urgent, c.lazy = time.Time{}, time.Time{}
	close(c.room)
	c.room = make(chan struct{})
	if last {
		c.running, c.err = false, ErrStopped
	}
	return g
}

// commit makes the open group durable, however long that takes. Once ctx has ended, no space is final.
func (c *Committer) commit(ctx context.Context, last bool) error {
	g := c.swap(last)
	for len(g.events)+len(g.cursors)+len(g.marks)+len(g.do) > 0 {
		err := c.transact(g)
		if err == nil {
			break
		}
		if !errors.Is(err, ErrFull) {
			return c.fail(g, err)
		}
		c.full.Store(true)
		c.beat.Add(1)
		if c.shrink() {
			continue
		}
		if ctx.Err() != nil {
			return c.fail(g, err)
		}
		for _, r := range g.do {
			r.putBack()
		}
		select {
		case <-time.After(retryAfter):
		case <-ctx.Done():
		}
	}
	c.full.Store(false)
	for _, r := range g.do {
		close(r.done)
	}
	g.reset()
	c.mu.Lock()
	c.next = g
	c.mu.Unlock()
	return nil
}

// shrink makes room in a file that has come to its greatest size. It returns false where that is not what lacks, or where
// it did not help.
func (c *Committer) shrink() bool {
	if u := c.store.backend.Usage(); u.Max == 0 || u.Used < u.Max/2 {
		return false
	}
	c.work.shrink = true
	defer func() { c.work.shrink = false }()
	before := c.store.backend.Usage().Used
	return c.transact(new(group)) == nil && c.store.backend.Usage().Used < before
}

// fail ends everything with err.
func (c *Committer) fail(g *group, err error) error {
	err = fmt.Errorf("commit %d events: %w", len(g.events), err)
	c.mu.Lock()
	c.running, c.err = false, err
	g.do = append(g.do, c.open.do...)
	c.open.do = nil
	close(c.room)
	c.room = make(chan struct{})
	c.mu.Unlock()
	for _, r := range g.do {
		r.err = err
		close(r.done)
	}
	return err
}

// transact makes g durable in one transaction and tells everybody.
func (c *Committer) transact(g *group) error {
	w, p := &c.work, c.policy()
	now, began := c.store.now(), time.Now()
	c.begun.Store(&began)
	defer c.begun.Store(nil)
	for {
		w.begin(c.store, now)
		w.hold, w.since = c.options.Hold, c.holds(now)
		err := c.store.backend.Update(func(tx Tx) error { return w.run(tx, g, p) })
		if errors.Is(err, errRetry) {
			continue
		}
		if err != nil {
			return err
		}
		break
	}
	w.publish()
	c.store.ticked = now
	if p != nil {
		p.Count(&w.judgement)
	}
	if c.options.ObserveCommit != nil {
		c.options.ObserveCommit(time.Since(began))
	}
	if c.options.OnCommit != nil && len(g.events) > 0 {
		c.options.OnCommit(g.events, w.judgement.Reports)
	}
	for destination := range w.changed {
		c.Outbox(destination).notify()
	}
	return nil
}
