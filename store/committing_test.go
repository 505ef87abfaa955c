package store_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"tattled/store"
	"tattled/store/mem"
	"tattled/store/storetest"
)

// slowDisk is a backend whose transactions take a while.
type slowDisk struct {
	store.Backend
	takes time.Duration
}

func (s *slowDisk) Update(fn func(store.Tx) error) error {
	<-time.After(s.takes)
	return s.Backend.Update(fn)
}

// While a commit waits for the disk, its committer says for how long; when none is in hand, nothing.
func TestCommitting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _ := open(t, mem.New(0), storetest.Options())
		commit(t, s, storetest.Event(0))
		disk := &slowDisk{Backend: mem.New(0)}
		s, c := open(t, disk, storetest.Options())
		disk.takes = time.Minute
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- c.Run(ctx) }()
		synctest.Wait()
		if waits := c.Committing(); waits != 0 {
			t.Errorf("nothing is in hand, for %s", waits)
		}
		if err := c.Submit(ctx, from("203.0.113.5", 1, time.Now()), "", nil); err != nil {
			t.Fatal(err)
		}
		<-time.After(40 * time.Second)
		if waits := c.Committing(); waits < 39*time.Second || waits > 40*time.Second {
			t.Errorf("the commit has waited for %s", waits)
		}
		<-time.After(time.Minute)
		synctest.Wait()
		if waits := c.Committing(); waits != 0 || s.Stats().Events != 1 {
			t.Errorf("the commit is done, for %s; %d events", waits, s.Stats().Events)
		}
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

// A cursor alone waits for a second, unless somebody is in a hurry.
func TestHurry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, c := open(t, mem.New(0), storetest.Options())
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- c.Run(ctx) }()
		synctest.Wait()
		c.Hurry() // with nothing to do
		if err := c.Submit(ctx, nil, "ring", []byte("here")); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if s.Position("ring") != nil {
			t.Error("the cursor was committed at once")
		}
		c.Hurry()
		synctest.Wait()
		if got := s.Position("ring"); string(got) != "here" {
			t.Errorf("%q after Hurry", got)
		}
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}
