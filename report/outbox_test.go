package report_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"tattled/event"
	"tattled/report/abuseipdb"
	"tattled/report/abuseipdb/double"
	"tattled/store"
)

// box is an outbox, notes and scores in memory, with what the store promises of them. It outlives the couriers of a
// test like a disk outlives processes; die makes every call fail from then on, as it is for a process that was killed.
type box struct {
	mu      sync.Mutex
	items   map[string]*store.Item
	queue   []*store.Item // the pending ones, by NextAttempt
	notes   map[string][]byte
	scores  map[string]int
	scored  map[string]time.Time
	changed chan struct{}
	dead    bool
	fresh   []time.Time // when Refresh was called
	// killAt counts down with each call that writes, and kills the process before (odd) or after (even) that call's effect.
	killAt int
	chunk  int // how many items one write of SettleAll settles
}

func newBox() *box {
	return &box{items: map[string]*store.Item{}, notes: map[string][]byte{}, scores: map[string]int{}, scored: map[string]time.Time{}, chunk: 1000, changed: make(chan struct{}, 1)}
}

// add puts a report in, due at once.
func (b *box) add(r *event.Report) {
	b.mu.Lock()
	b.items[r.ID] = &store.Item{ID: r.ID, Report: *r, State: store.Pending, Created: r.Judged, NextAttempt: r.Judged}
	b.line(b.items[r.ID])
	b.mu.Unlock()
	select {
	case b.changed <- struct{}{}:
	default:
	}
}

// line puts a pending item in its place in the queue. The lock must be held.
func (b *box) line(it *store.Item) {
	at, _ := slices.BinarySearchFunc(b.queue, it, func(a, b *store.Item) int {
		if c := a.NextAttempt.Compare(b.NextAttempt); c != 0 {
			return c
		}
		return -1 // behind those that are due at the same time
	})
	b.queue = slices.Insert(b.queue, at, it)
}

// write runs the effect of a writing call, unless the process is dead or dies of it. The lock must be held.
func (b *box) write(effect func()) error {
	if b.dead {
		return store.ErrStopped
	}
	if b.killAt > 0 {
		if b.killAt--; b.killAt == 0 {
			b.dead = true
			return store.ErrStopped
		}
	}
	effect()
	if b.killAt > 0 {
		if b.killAt--; b.killAt == 0 {
			b.dead = true
			return store.ErrStopped
		}
	}
	return nil
}

func (b *box) Claim(_ context.Context, now time.Time) (item store.Item, ok bool, next time.Time, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.queue) == 0 {
		return store.Item{}, false, time.Time{}, nil
	}
	first := b.queue[0]
	if first.NextAttempt.After(now) {
		return store.Item{}, false, first.NextAttempt, nil
	}
	err = b.write(func() {
		first.State, first.Claimed, first.Attempts = store.Claimed, now, first.Attempts+1
		b.queue = b.queue[1:]
	})
	return *first, err == nil, time.Time{}, err
}

func (b *box) Waiting() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.queue)
}

func (b *box) ClaimUpTo(_ context.Context, now time.Time, n int) (all []store.Item, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	err = b.write(func() {
		for len(b.queue) > 0 && len(all) < n && !b.queue[0].NextAttempt.After(now) {
			first := b.queue[0]
			first.State, first.Claimed, first.Attempts = store.Claimed, now, first.Attempts+1
			b.queue = b.queue[1:]
			all = append(all, *first)
		}
	})
	return all, err
}

func (b *box) SettleAll(_ context.Context, all []store.Settled) (notClaimed []string, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for chunk := range slices.Chunk(all, b.chunk) {
		err = b.write(func() {
			for _, s := range chunk {
				if b.items[s.ID].State != store.Claimed {
					notClaimed = append(notClaimed, s.ID)
					continue
				}
				b.settle(s.ID, s.Settlement)
			}
		})
		if err != nil {
			break
		}
	}
	return notClaimed, err
}

func (b *box) Settle(_ context.Context, id string, s store.Settlement) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.write(func() { b.settle(id, s) })
}

// settle settles an item. The lock must be held.
func (b *box) settle(id string, s store.Settlement) {
	it := b.items[id]
	it.State, it.Detail, it.Settled, it.NextAttempt, it.UnansweredSince = s.State, s.Detail, s.At, s.RetryAt, s.UnansweredSince
	if it.State == store.Pending {
		b.line(it)
	}
}

// single is a Sender without bulk requests.
type single struct{ *abuseipdb.Client }

// Bulk hides that of the Client.
func (single) Bulk() {}

func (b *box) Refresh(context.Context) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.fresh = append(b.fresh, time.Now())
	return b.write(func() {})
}

func (b *box) Changed() <-chan struct{} { return b.changed }

func (b *box) Recover(_ context.Context, now time.Time, u store.Uncertainty) (done store.Recovered, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	err = b.write(func() {
		for _, it := range b.items {
			switch {
			case it.State != store.Claimed:
			case u.Resend(it.Claimed, now):
				it.State = store.Pending // at its old place in the queue
				if it.UnansweredSince.IsZero() {
					it.UnansweredSince = it.Claimed
				}
				b.line(it)
				done.Again++
			default:
				it.State = store.Expired
				done.Dropped++
			}
		}
	})
	return done, err
}

func (b *box) Note(key string) []byte {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.notes[key]
}

func (b *box) PutNote(_ context.Context, key string, value []byte) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.write(func() { b.notes[key] = value })
}

// states counts the items by state.
func (b *box) states() map[store.State]int {
	b.mu.Lock()
	defer b.mu.Unlock()
	all := map[store.State]int{}
	for _, it := range b.items {
		all[it.State]++
	}
	return all
}

// get returns an item as it is.
func (b *box) get(id string) store.Item {
	b.mu.Lock()
	defer b.mu.Unlock()
	if it := b.items[id]; it != nil {
		return *it
	}
	return store.Item{}
}

// wire is a network of one server in memory, so that real HTTP runs in a synctest bubble, where time is virtual.
type wire struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func (w *wire) Accept() (net.Conn, error) {
	select {
	case c := <-w.conns:
		return c, nil
	case <-w.done:
		return nil, net.ErrClosed
	}
}

func (w *wire) Close() error {
	w.once.Do(func() { close(w.done) })
	return nil
}

func (w *wire) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 80} }

func (w *wire) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	ours, theirs := net.Pipe()
	select {
	case w.conns <- theirs:
		return ours, nil
	case <-w.done:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// serve serves a double over a wire and returns it with a transport to it; end closes both.
func serve(o double.Options) (d *double.Double, transport *http.Transport, end func()) {
	d, err := double.New(o)
	if err != nil {
		panic(err)
	}
	w := &wire{conns: make(chan net.Conn), done: make(chan struct{})}
	server := &http.Server{Handler: d}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = server.Serve(w) // until it is closed
	}()
	transport = &http.Transport{DialContext: w.dial}
	return d, transport, func() {
		transport.CloseIdleConnections()
		server.Close()
		<-ended
	}
}

// mortalBackend is a backend whose process can be killed: from then on, nothing that it writes has an effect.
type mortalBackend struct {
	store.Backend
	dead atomic.Bool
}

func (m *mortalBackend) Update(fn func(store.Tx) error) error {
	if m.dead.Load() {
		return errors.New("the process is dead")
	}
	return m.Backend.Update(fn)
}
