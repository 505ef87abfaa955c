package daemon

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"tattled/event"
	"tattled/policy"
	"tattled/store"
	"tattled/store/bolt"
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

// backups counts what came of them, and says what is wrong.
type backups struct {
	mu      sync.Mutex
	results map[string]float64 // by result: made, skipped (there was no space), failed
	wrong   string             // the cause of what is wrong now, "" if nothing is
}

// backupResults lists what may become of a backup.
func backupResults() []string { return []string{"made", "skipped", "failed"} }

// done takes in what became of a backup and reports whether it is another trouble than before.
func (b *backups) done(err error) (news bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.results == nil {
		b.results = map[string]float64{}
	}
	before := b.wrong
	switch {
	case err == nil:
		b.results["made"]++
		b.wrong = ""
		return false
	case errors.Is(err, store.ErrFull):
		b.results["skipped"]++
		b.wrong = "there is no space for today's"
	default:
		b.results["failed"]++
		b.wrong = "it failed, and the log says why"
	}
	return b.wrong != before
}

// problems says what is wrong, if anything is.
func (b *backups) problems() []event.Problem {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.wrong == "" {
		return nil
	}
	return []event.Problem{{
		What: "the state file is not backed up", Cause: b.wrong, Remedy: "make room on its file system; it is tried again every hour",
	}}
}

func (b *backups) each(emit emitter) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, result := range backupResults() {
		emit(b.results[result], result)
	}
}

// keepBackups makes a backup of the state file each day: what takes its place if it is ever found damaged. One that fails,
// or that there is no space for, is tried again in an hour.
func (d *Daemon) keepBackups(ctx context.Context) error {
	every(ctx, time.Hour, func() { d.backUp(time.Now()) })
	return nil
}

func (d *Daemon) backUp(now time.Time) {
	if last := d.backup.LastBackup(); now.Sub(last) < backupEvery && !last.After(now) {
		return
	}
	_, err := d.backup.Backup(now, keptBackups)
	if d.backups.done(err) {
		d.log.Warn("the state file was not backed up; it is tried again every hour, and this is not logged again", "error", err)
	}
}

// holdFor is for how long after a restored state file reports are held back whose addresses may have been reported before:
// of each destination that is told of addresses, its window.
func holdFor(cfg *Config) map[string]time.Duration {
	all := map[string]time.Duration{}
	for _, d := range told(cfg, nil) {
		if d.Action == policy.Report {
			all[d.Name] = max(d.Window, policy.MinWindow)
		}
	}
	return all
}

// restoredProblems says that the state file was restored as long as reports are held back for it.
func restoredProblems(r store.Restored, held uint64, windows map[string]time.Duration, now time.Time) []event.Problem {
	var longest time.Duration
	for _, w := range windows {
		longest = max(longest, w)
	}
	if !r.Within(longest, now) {
		return nil
	}
	return []event.Problem{{
		What: "the state file was damaged or missing, and was restored",
		Cause: fmt.Sprintf("until %s nothing follows from older events, and addresses whose state was lost are not reported (%d reports since the start)",
			r.At.Add(longest).UTC().Format(time.RFC3339), held),
		Remedy: "check the disk for errors; what was done is in the log",
		Since:  r.At,
	}}
}

// CheckState reads all of a state file that nobody uses, and says what is wrong with it.
func CheckState(path string) error { return bolt.Check(path) }
