package daemon

import (
	"context"
	"fmt"
	"time"

	sd "github.com/coreos/go-systemd/v22/daemon"
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

// watchdog pings systemd as often as the unit's WatchdogSec= asks for, but only while progress grows: a ping says that
// the committer still commits, not that a timer still runs.
func (manager) watchdog(ctx context.Context, progress func() uint64) error {
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
		if now := progress(); now != last {
			last = now
			_, _ = sd.SdNotify(false, sd.SdNotifyWatchdog)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}
