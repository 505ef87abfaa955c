package daemon

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"time"

	"tattled/event"
	"tattled/receiver"
)

// The pause between two attempts to open a source doubles from one to the other of these.
const (
	firstRetry = time.Second
	lastRetry  = 30 * time.Second
)

// remedy is for a source that cannot be opened.
func (o *opener) remedy() string {
	if strings.Contains(o.source, "://") {
		return "check which process has its address (ss -lntup), or change the source"
	}
	return "fix what the cause names, or take the source out of the configuration"
}

// opener opens one source of the configuration.
type opener struct {
	source string // as the receiver's Source will be
	open   func() (receiver.Receiver, error)
}

// late is a source that could not be opened at start: somebody else has its port, its address is not there yet. It does
// not keep the others waiting: it is a problem, and Run opens it as soon as that succeeds. It is a receiver.Receiver.
type late struct {
	opener
	log    *slog.Logger
	opened func() // told once, before the source is read
	pause  time.Duration
	since  time.Time

	meter receiver.Meter                    // of the time before it is open: nothing but errors
	inner atomic.Pointer[receiver.Receiver] // nil until it is open
	fault atomic.Pointer[string]            // why it is not
}

func newLate(o opener, why error, log *slog.Logger, opened func()) *late {
	l := &late{opener: o, log: log, opened: opened, pause: firstRetry, since: time.Now()}
	l.failed(why)
	log.Error("a source cannot be opened; the others run, and it is tried again", "source", o.source, "error", why,
		"remedy", l.remedy())
	return l
}

func (l *late) failed(why error) {
	text := why.Error()
	l.fault.Store(&text)
	l.meter.Errors.Add(1)
}

// Source implements receiver.Receiver.
func (l *late) Source() string { return l.source }

// Meter implements receiver.Receiver.
func (l *late) Meter() *receiver.Meter {
	if r := l.inner.Load(); r != nil {
		return (*r).Meter()
	}
	return &l.meter
}

// Run implements receiver.Receiver.
func (l *late) Run(ctx context.Context, p receiver.Positions, h receiver.Handler) error {
	timer := time.NewTimer(l.pause)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		}
		r, err := l.open()
		if err == nil {
			l.inner.Store(&r)
			l.opened()
			l.log.Info("the source is open now", "source", l.source)
			return r.Run(ctx, p, h)
		}
		l.failed(err)
		l.pause = min(2*l.pause, lastRetry)
		timer.Reset(l.pause)
	}
}

// Problems says why the source is not open, if it is not.
func (l *late) Problems() []event.Problem {
	if l.inner.Load() != nil {
		return nil
	}
	return []event.Problem{{
		What:   l.source + " is not read",
		Cause:  fmt.Sprintf("%s; it is tried again every %s", *l.fault.Load(), lastRetry),
		Remedy: l.remedy(),
		Since:  l.since,
	}}
}

// opened returns the receiver behind r, nil if it is a source that is not open.
func opened(r receiver.Receiver) receiver.Receiver {
	l, is := r.(*late)
	if !is {
		return r
	}
	if inner := l.inner.Load(); inner != nil {
		return *inner
	}
	return nil
}
