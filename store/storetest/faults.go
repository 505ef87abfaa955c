package storetest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"tattled/store"
)

// faulty is a backend whose transactions fail when told to.
type faulty struct {
	store.Backend
	hold sync.Mutex // while it is locked, no transaction begins

	mu   sync.Mutex
	n    int                               // transactions so far
	fail func(n int) (apply bool, e error) // what the n-th does
}

var errFault = errors.New("fault")

func (f *faulty) Update(fn func(store.Tx) error) error {
	f.hold.Lock()
	defer f.hold.Unlock()
	f.mu.Lock()
	n, fail := f.n, f.fail
	f.n++
	f.mu.Unlock()
	if fail == nil {
		return f.Backend.Update(fn)
	}
	apply, fault := fail(n)
	if fault == nil {
		return f.Backend.Update(fn)
	}
	err := f.Backend.Update(func(tx store.Tx) error {
		if err := fn(tx); err != nil {
			return err
		}
		if !apply {
			return fault
		}
		return nil
	})
	if err != nil {
		return err
	}
	return fault
}

// faultEvents is how many events the log has.
const faultEvents = 120

// faults lets every transaction of a log fail in turn, applied and not applied, starts again each time, and demands what
// an undisturbed run leads to.
func (s Suite) faults(t *testing.T) {
	want := s.undisturbed(t, faultEvents)
	co := store.CommitterOptions{Linger: time.Microsecond, MaxGroup: 8}
	for _, apply := range []bool{true, false} {
		for at := range 16 {
			t.Run(fmt.Sprintf("transaction %d fails, applied %v", at, apply), func(t *testing.T) {
				b, _ := s.Open(t)
				f := &faulty{Backend: b, fail: func(n int) (bool, error) {
					if n == at+1 { // the first one only begins the store
						return apply, errFault
					}
					return false, nil
				}}
				var r *running
				for {
					r = start(t, f, Options(), co)
					r.feed(t, faultEvents)
					err := r.stop()
					if err == nil {
						break
					}
					if !errors.Is(err, errFault) {
						t.Fatal(err)
					}
					if err := r.PutNote(t.Context(), "k", nil); !errors.Is(err, errFault) {
						t.Errorf("a request after the failure: %v", err)
					}
				}
				defer r.s.Close()
				Same(t, r.s, want)
			})
		}
	}
	t.Run("no space for a while", func(t *testing.T) {
		b, _ := s.Open(t)
		synctest.Test(t, func(t *testing.T) { noSpace(t, b, want) })
	})
}

// noSpace lets two transactions find no space. The committer keeps what it has, says so, takes nothing more than a group,
// and goes on by itself.
func noSpace(t *testing.T, b store.Backend, want *store.Store) {
	f := &faulty{Backend: b, fail: func(n int) (bool, error) {
		if n == 4 || n == 5 {
			return false, fmt.Errorf("%w: the disk says so", store.ErrFull)
		}
		return false, nil
	}}
	r := start(t, f, Options(), store.CommitterOptions{Linger: time.Microsecond, MaxGroup: 8})
	defer r.s.Close()
	began := time.Now()
	fed := make(chan struct{})
	go func() { r.feed(t, faultEvents); close(fed) }()
	<-time.After(10 * time.Millisecond)
	if !r.Full() {
		t.Error("nobody is notified that there is no space")
	}
	if n := r.s.Stats().LastSeq; n == 0 || n > 40 {
		t.Errorf("%d events are durable while there is no space", n)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := r.PutNote(ctx, "k", []byte("v")); !errors.Is(err, context.Canceled) {
		t.Errorf("a request that was canceled: %v", err)
	}
	beat := r.Beat()
	for r.Full() {
		<-time.After(100 * time.Millisecond)
	}
	if r.Beat() == beat || time.Since(began) > 3*time.Second {
		t.Errorf("it took %s to go on, and the beat went from %d to %d", time.Since(began), beat, r.Beat())
	}
	<-fed
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	if r.s.Note("k") != nil {
		t.Error("what was canceled was done")
	}
	Same(t, r.s, want)
}
