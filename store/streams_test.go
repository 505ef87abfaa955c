package store_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"tattled/receiver"
	"tattled/store"
	"tattled/store/mem"
)

// A log that is quiet for months is read from where it was left, however many logs came and went beside it: what this run
// reads goes last.
func TestPositionsInUseAreKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const kept = 50
		b := mem.New(0)
		s, err := store.New(b, store.Options{Streams: kept})
		if err != nil {
			t.Fatal(err)
		}
		commit := func(names ...string) {
			t.Helper()
			c := store.NewCommitter(s, nil, store.CommitterOptions{})
			for _, name := range names {
				if err := c.Submit(t.Context(), nil, name, receiver.Cursor("here")); err != nil {
					t.Fatal(err)
				}
			}
			ended, cancel := context.WithCancel(t.Context())
			cancel()
			if err := c.Run(ended); err != nil {
				t.Fatal(err)
			}
		}
		for day := range kept - 1 {
			commit(fmt.Sprintf("file:/var/log/old-%d.log", day))
		}
		commit("file:/var/log/quiet.log")
		if s, err = store.New(b, store.Options{Streams: kept}); err != nil { // a restart
			t.Fatal(err)
		}
		if s.Position("file:/var/log/quiet.log") == nil {
			t.Fatal("it was never kept")
		}
		<-time.After(time.Hour)
		for day := range 10 * kept {
			commit(fmt.Sprintf("file:/var/log/access-%d.log", day))
			<-time.After(24 * time.Hour)
		}
		if s.Position("file:/var/log/quiet.log") == nil {
			t.Error("a log that is read has lost its position: it would be read again, or not at all")
		}
		n := s.Stats().Evicted["streams"]
		if n < 8*kept || s.Position("file:/var/log/old-0.log") != nil {
			t.Errorf("%d positions were evicted", n)
		}
	})
}
