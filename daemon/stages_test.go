package daemon

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
)

// A stage is told to stop only when all of the stage before it are gone.
func TestStagesStopInOrder(t *testing.T) {
	var (
		mu   sync.Mutex
		gone []string
	)
	until := func(name string) func(context.Context) error {
		return func(ctx context.Context) error {
			<-ctx.Done()
			mu.Lock()
			defer mu.Unlock()
			gone = append(gone, name)
			return nil
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err := runStages(ctx, []stage{
		{"receivers", []func(context.Context) error{until("receiver"), until("receiver")}},
		{"committer", []func(context.Context) error{until("committer")}},
		{"web", []func(context.Context) error{until("web")}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"receiver", "receiver", "committer", "web"}; !slices.Equal(gone, want) {
		t.Errorf("stopped in the order %v, want %v", gone, want)
	}
}

func TestStagesReturnTheFirstFailure(t *testing.T) {
	broken, late := errors.New("disk on fire"), errors.New("late")
	stopped := false
	err := runStages(t.Context(), []stage{
		{"receivers", []func(context.Context) error{func(ctx context.Context) error {
			<-ctx.Done()
			stopped = true
			return late
		}}},
		{"committer", []func(context.Context) error{func(context.Context) error { return broken }}},
	})
	if !errors.Is(err, broken) || !stopped {
		t.Errorf("err = %v, receivers stopped: %v; want the committer's failure, and the others stopped", err, stopped)
	}
}

// A last commit that fails must not look like a clean stop.
func TestStagesReturnAFailureWhileStopping(t *testing.T) {
	broken := errors.New("last commit failed")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err := runStages(ctx, []stage{{"committer", []func(context.Context) error{func(ctx context.Context) error {
		<-ctx.Done()
		return broken
	}}}})
	if !errors.Is(err, broken) {
		t.Errorf("err = %v, want %v", err, broken)
	}
}
