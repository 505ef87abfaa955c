// Package receivertest is the suite that every receiver.Receiver passes. A receiver's test describes its source once, as
// a Harness, and calls Run; what is peculiar to the source is tested beside the receiver.
//
// What the suite convinces of: records arrive whole, in order and once; the end of the context ends Run and leaves no
// goroutine; nothing is read from a batch's bytes after Handle gave them back; a blocked Handle stops the reading; an
// error from Handle ends Run; the Meter's books balance; and a source that can rewind gives each record exactly once,
// whatever was committed when its reader died. It is for tests only.
package receivertest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"go.uber.org/goleak"

	"tattled/receiver"
)

// patience is how long the suite waits for what must come. It is long because it is only ever waited out by a failure.
const patience = 20 * time.Second

// Source is one place that records come from, made for one test.
type Source interface {
	// Receiver makes a receiver of this source, as the daemon does at a start. The suite lets one live at a time, and makes
	// the next when Run of the last has returned. It must start no goroutine.
	Receiver(t testing.TB) receiver.Receiver

	// Append adds records to the source and returns when the source has them; whether they were read does not matter. The
	// records must come out with exactly these messages, in this order, in one stream. The suite calls it only while a
	// receiver made by Receiver exists; its Run may be running, not yet running, or over.
	Append(t testing.TB, messages ...string)
}

// Harness describes a receiver to the suite.
type Harness struct {
	// Open makes a fresh and empty source. It frees what it takes through t.Cleanup. A receiver on it that knows no
	// position must read from the first record that is appended, even if that happened before Run.
	Open func(t testing.TB) Source

	// Rewinds says that the receiver gives a stream and a cursor with each batch and resumes at a cursor.
	Rewinds bool

	// Ends says that Run returns nil by itself at the end of the source (replay). The suite then appends everything first.
	Ends bool

	// Forgets says that the source loses what is sent while Handle blocks for long (UDP). Back-pressure is then tested with
	// few records.
	Forgets bool

	// Ignore names goroutines that a library keeps for the life of the process.
	Ignore []goleak.Option
}

// Run runs the suite, each test on a source of its own.
func Run(t *testing.T, h Harness) {
	t.Run("each record arrives once and in order", func(t *testing.T) { testOrder(t, h) })
	t.Run("cancel ends an idle run", func(t *testing.T) { testCancelIdle(t, h) })
	t.Run("cancel ends a run whose handler waits", func(t *testing.T) { testCancelBlocked(t, h) })
	t.Run("a blocked handler stops the reading", func(t *testing.T) { testBackPressure(t, h) })
	t.Run("an error of the handler ends the run", func(t *testing.T) { testHandlerError(t, h) })
	if h.Rewinds {
		t.Run("resumes after any committed batch", func(t *testing.T) { testResume(t, h) })
		t.Run("survives a chain of deaths", func(t *testing.T) { testDeaths(t, h) })
	}
}

// messages gives n messages, numbered from first, of uneven lengths.
func messages(first, n int) []string {
	all := make([]string, n)
	for i := range all {
		all[i] = fmt.Sprintf("record %06d %.*s", first+i, (first+i)%61, "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefghi") + "."
	}
	return all
}

// life is one run of one receiver.
type life struct {
	t        testing.TB
	receiver receiver.Receiver
	cancel   context.CancelFunc
	ended    chan struct{}
	err      error // of Run, once ended is closed
	leak     []goleak.Option
}

// live starts a receiver on src. Whoever calls it calls end or await.
func live(t testing.TB, h Harness, src Source, from receiver.Positions, handler receiver.Handler) *life {
	t.Helper()
	r := src.Receiver(t)
	if r.Source() == "" {
		t.Error("Source() is empty")
	}
	return liveOn(t, h, r, from, handler)
}

func liveOn(t testing.TB, h Harness, r receiver.Receiver, from receiver.Positions, handler receiver.Handler) *life {
	ctx, cancel := context.WithCancel(context.Background())
	l := &life{
		t: t, receiver: r, cancel: cancel, ended: make(chan struct{}),
		leak: append([]goleak.Option{goleak.IgnoreCurrent()}, h.Ignore...),
	}
	go func() {
		defer close(l.ended)
		l.err = r.Run(ctx, from, handler)
	}()
	t.Cleanup(func() { cancel(); <-l.ended })
	return l
}

// await waits until Run returned, by itself or because of what the test did, looks for goroutines left behind, and
// returns Run's error.
func (l *life) await() error {
	l.t.Helper()
	select {
	case <-l.ended:
	case <-time.After(patience):
		l.t.Fatalf("Run did not return within %v", patience)
	}
	if err := goleak.Find(l.leak...); err != nil {
		l.t.Errorf("Run returned and left goroutines: %v", err)
	}
	return l.err
}

// end cancels the run and demands that it ends well.
func (l *life) end() {
	l.t.Helper()
	l.cancel()
	if err := l.await(); err != nil {
		l.t.Errorf("Run after its context ended: %v, want nil", err)
	}
}

// finish ends a run that has handed over all there is: a source that Ends must do so by itself.
func (l *life) finish(h Harness) {
	l.t.Helper()
	if !h.Ends {
		l.end()
		return
	}
	if err := l.await(); err != nil {
		l.t.Errorf("Run at the end of the source: %v, want nil", err)
	}
}

func testOrder(t *testing.T, h Harness) {
	src, c := h.Open(t), newCollector(t, h)
	r := src.Receiver(t)
	c.source = r.Source()
	want := messages(0, 3000)
	if h.Ends {
		src.Append(t, want...)
	}
	l := liveOn(t, h, r, c, c)
	sent := 0
	for part := range slices.Chunk(want, 100) {
		if h.Ends {
			break
		}
		src.Append(t, part...)
		sent += len(part)
		if h.Forgets { // do not outrun it
			c.wait(sent)
		}
	}
	c.wait(len(want))
	l.finish(h)
	c.demand(want)
	c.balance(r.Meter())
	if r.Meter().Bytes.Load() == 0 {
		t.Error("Meter.Bytes is 0")
	}
}

func testCancelIdle(t *testing.T, h Harness) {
	src, c := h.Open(t), newCollector(t, h)
	l := live(t, h, src, c, c)
	if h.Ends {
		l.finish(h)
		return
	}
	l.end() // perhaps before it came to anything
	l = live(t, h, src, c, c)
	src.Append(t, messages(0, 1)...)
	c.wait(1)
	l.end()
	c.balance(l.receiver.Meter())
}

func testCancelBlocked(t *testing.T, h Harness) {
	src := h.Open(t)
	r := src.Receiver(t)
	src.Append(t, messages(0, 10)...)
	entered := make(chan struct{}, 1)
	l := liveOn(t, h, r, newCollector(t, h), handlerFunc(func(ctx context.Context, _ *receiver.Batch) error {
		select {
		case entered <- struct{}{}:
		default:
		}
		<-ctx.Done()
		return ctx.Err()
	}))
	await(t, entered, "the first batch")
	l.end()
}

func testBackPressure(t *testing.T, h Harness) {
	src, c := h.Open(t), newCollector(t, h)
	r := src.Receiver(t)
	want := messages(0, 20000)
	if h.Forgets {
		want = want[:200]
	}
	if h.Ends {
		src.Append(t, want...)
	}
	entered, release := make(chan int, 1), make(chan struct{})
	first := true // streams are handled one batch at a time, and there is one stream
	l := liveOn(t, h, r, c, handlerFunc(func(ctx context.Context, b *receiver.Batch) error {
		if first {
			first = false
			entered <- len(b.Records)
			select {
			case <-release:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		return c.Handle(ctx, b)
	}))
	if !h.Ends {
		src.Append(t, want[:10]...)
	}
	taken := await(t, entered, "the first batch")
	appended := make(chan struct{})
	go func() { // a source with back-pressure of its own may block here until the handler is released
		defer close(appended)
		if !h.Ends {
			src.Append(t, want[10:]...)
		}
	}()
	if h.Forgets {
		await(t, appended, "the source to have all records")
	}
	settle(t, func() uint64 { return r.Meter().Records.Load() })
	const ahead = 2048
	if got := r.Meter().Records.Load(); got > uint64(taken)+ahead {
		t.Errorf("%d records were read while the handler had not given back the first %d", got, taken)
	}
	close(release)
	await(t, appended, "the source to have all records")
	c.wait(len(want))
	l.finish(h)
	c.demand(want)
	c.balance(r.Meter())
}

func testHandlerError(t *testing.T, h Harness) {
	src := h.Open(t)
	r := src.Receiver(t)
	broken := errors.New("the handler is broken")
	src.Append(t, messages(0, 10)...)
	calls := 0
	l := liveOn(t, h, r, newCollector(t, h), handlerFunc(func(context.Context, *receiver.Batch) error {
		calls++
		return broken
	}))
	if err := l.await(); !errors.Is(err, broken) {
		t.Errorf("Run: %v, want the handler's error in it", err)
	}
	if calls != 1 {
		t.Errorf("Handle was called %d times after it had failed", calls-1)
	}
}

// await receives from ch or fails.
func await[T any](t testing.TB, ch <-chan T, what string) T {
	t.Helper()
	select {
	case v := <-ch:
		return v
	case <-time.After(patience):
		t.Fatalf("gave up after waiting %v for %s", patience, what)
		panic("unreachable")
	}
}

// settle waits until value has not changed for a while.
func settle(t testing.TB, value func() uint64) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for last, same := value(), 0; same < 20; {
		<-tick.C
		now := value()
		if now == last {
			same++
		} else {
			last, same = now, 0
		}
	}
}

type handlerFunc func(context.Context, *receiver.Batch) error

func (f handlerFunc) Handle(ctx context.Context, b *receiver.Batch) error { return f(ctx, b) }
