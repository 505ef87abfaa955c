package daemon

import (
	"context"
	"fmt"
	"sync"
)

// stage is a part of the daemon that lives as long as its run does.
type stage struct {
	name string
	runs []func(ctx context.Context) error
}

// runStages runs all stages at once until ctx ends or one of them fails, and then stops them in the order given: the next
// stage is told to stop only when the one before is gone, so what flows downstream still finds somebody who takes it.
// It returns the first failure, also one that came while stopping; a stage that ends by itself without an error is none.
func runStages(ctx context.Context, stages []stage) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var (
		once  sync.Once
		first error
		ends  []func()
	)
	for _, s := range stages {
		own, cancel := context.WithCancel(context.WithoutCancel(ctx))
		var group sync.WaitGroup
		for _, run := range s.runs {
			group.Go(func() {
				if err := run(own); err != nil {
					once.Do(func() { first = fmt.Errorf("%s: %w", s.name, err) })
					stop()
				}
			})
		}
		ends = append(ends, func() { cancel(); group.Wait() })
	}
	<-ctx.Done()
	for _, end := range ends {
		end()
	}
	return first
}
