package journal

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"time"

	"tattled/receiver"
)

// Once reads what the journal has from a time on, from its beginning where that is zero, and returns at its end. It keeps no position
// and asks for none. It is in place of Run.
func (r *Receiver) Once(ctx context.Context, since time.Time, h receiver.Handler) error {
	r.handler, r.position, r.breaks = h, nil, nil
	path, args := r.journalctl, []string(nil)
	if from := (start{since: since}); r.helper != "" {
		path, args = r.helper, append(r.config.helperArguments(from), "--no-follow")
	} else {
		if since.IsZero() {
			from.since = time.Unix(1, 0)
		}
		args = slices.DeleteFunc(r.config.journalctlArguments(from), func(arg string) bool { return arg == "--follow" || arg == "--no-tail" })
	}
	c, err := startChild(ctx, path, args)
	if err != nil {
		return fmt.Errorf("read the journal: %w", err)
	}
	r.childPID = pidOf(c.cmd.Process.Pid)
	err = newParser(c.out, func(p *parser) error { return r.take(ctx, p) }).run()
	var ended error
	if err == nil && r.refused == nil {
		ended = c.wait()
	} else {
		_ = c.end() // it was killed for what it wrote, or because nobody takes it
	}
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case r.refused != nil:
		return r.refused
	case err != nil:
		return fmt.Errorf("read the journal: what %s wrote: %w", path, err)
	case ended != nil:
		return fmt.Errorf("read the journal: %w", ended)
	}
	return nil
}

// wait waits for a child that ends by itself, and says what was wrong with it, if anything was.
func (c *child) wait() error {
	err := c.cmd.Wait()
	if exit := (*exec.ExitError)(nil); err == nil || !errors.As(err, &exit) {
		return err
	}
	return c.why(err)
}
