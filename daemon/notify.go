package daemon

import (
	"context"
	"fmt"
	"time"

	sd "github.com/coreos/go-systemd/v22/daemon"

	"tattled/event"
)

// manager tells systemd how we are (sd_notify(3)). Outside of systemd its calls do nothing; that a message did not reach
// systemd is systemd's to find out, by the start's or the watchdog's time limit.
type manager struct{}

func (manager) ready(status string) { _, _ = sd.SdNotify(false, sd.SdNotifyReady+"\nSTATUS="+status) }

func (manager) stopping() { _, _ = sd.SdNotify(false, sd.SdNotifyStopping) }

// reloading must be followed by ready.
func (manager) reloading() {
	_, _ = sd.SdNotify(false, sd.SdNotifyReloading+"\n"+sd.SdNotifyMonotonicUsec())
}

// The unit's time limits do not know how large the state file is, nor how slow the disk. So systemd is told, every so often,
// to wait a while longer, up to a limit of our own.
const (
	extendEvery = 10 * time.Second
	extendBy    = "EXTEND_TIMEOUT_USEC=60000000"
	// maxCheck is how long the check of the state file may take at start.
	maxCheck = time.Hour
	// maxCommit is how long one commit may wait for the disk. Killing a daemon that waits frees nothing; one that waits longer
	// than any disk that will come back may as well be stuck for a reason of its own.
	maxCommit = 5 * time.Minute
)

// extend has systemd wait for what goes on, limit at most, until stop is called.
func (manager) extend(what string, limit time.Duration) (stop func()) {
	ctx, stop := context.WithTimeout(context.Background(), limit)
	go every(ctx, extendEvery, func() {
		if ctx.Err() == nil {
			_, _ = sd.SdNotify(false, extendBy+"\nSTATUS="+what)
		}
	})
	return stop
}

// watchdog pings systemd as often as the unit's WatchdogSec= asks for, but only while progress grows: a ping says that
// the committer still commits, not that a timer still runs. While one commit goes on, for maxCommit at most, it waits for the
// disk: then a stop is given more time as well.
func (manager) watchdog(ctx context.Context, progress func() uint64, committing func() time.Duration) error {
	limit, err := sd.SdWatchdogEnabled(false)
	if err != nil {
		return fmt.Errorf("read WATCHDOG_USEC: %w", err)
	}
	if limit == 0 {
		return nil
	}
	tick := time.NewTicker(limit / 3)
	defer tick.Stop()
	var last uint64
	for {
		now, waits := progress(), committing()
		switch {
		case now != last:
			last = now
			_, _ = sd.SdNotify(false, sd.SdNotifyWatchdog)
		case waits > 0 && waits < maxCommit:
			_, _ = sd.SdNotify(false, sd.SdNotifyWatchdog+"\n"+extendBy)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// A commit that takes longer than slowCommit is a problem with the disk; looked for every diskEvery.
const (
	slowCommit = 10 * time.Second
	diskEvery  = 5 * time.Second
)

// watchDisk tells the log once when the disk does not respond, and when it does again.
func (d *Daemon) watchDisk(ctx context.Context) error {
	slow := false
	every(ctx, diskEvery, func() {
		problems := d.diskProblems()
		switch {
		case len(problems) > 0 && !slow:
			d.log.Error("the disk does not respond", "cause", problems[0].Cause, "remedy", problems[0].Remedy)
		case len(problems) == 0 && slow:
			d.log.Info("the disk responds again")
		}
		slow = len(problems) > 0
	})
	return nil
}

// diskProblems says that a commit waits for the disk, if one does.
func (d *Daemon) diskProblems() []event.Problem {
	waits := d.committer.Committing()
	if waits <= slowCommit {
		return nil
	}
	return []event.Problem{{
		What:   "the disk of the state file does not respond",
		Cause:  fmt.Sprintf("a commit has waited for %s, and nothing is accepted until it is done", waits.Round(time.Second)),
		Remedy: "check the kernel's messages about the disk (journalctl -k), and what else writes to it",
		Since:  time.Now().Add(-waits),
	}}
}
