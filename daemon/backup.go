package daemon

import (
	"context"
	"time"
)

const (
	backupEvery = 24 * time.Hour
	keptBackups = 2
)

// backuper copies the state file while it is in use; *bolt.Backend is one.
type backuper interface {
	LastBackup() time.Time
	Backup(now time.Time, keep int) (name string, err error)
}

// keepBackups makes a backup of the state file each day: what takes its place if it is ever found damaged. A backup that
// fails is tried again in an hour.
func (d *Daemon) keepBackups(ctx context.Context) error {
	every(ctx, time.Hour, func() {
		now := time.Now()
		if last := d.backup.LastBackup(); now.Sub(last) < backupEvery && !last.After(now) {
			return
		}
		if _, err := d.backup.Backup(now, keptBackups); err != nil {
			d.log.Warn("the state file could not be backed up; tried again in an hour", "error", err)
		}
	})
	return nil
}
