package daemon

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"tattled/store"
)

// fakeBackups is a state file whose backups come to what the test says.
type fakeBackups struct {
	last time.Time
	err  error
	made int
}

func (f *fakeBackups) LastBackup() time.Time { return f.last }

func (f *fakeBackups) Backup(now time.Time, _ int) (string, error) {
	if f.err != nil {
		return "", f.err
	}
	f.made, f.last = f.made+1, now
	return "name", nil
}

// A backup that is skipped is counted, is a problem until one is made, and is logged once, not every hour.
func TestBackupThatIsSkipped(t *testing.T) {
	var log strings.Builder
	f := &fakeBackups{}
	d := &Daemon{backup: f, log: slog.New(slog.NewTextHandler(&log, nil))}
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	d.backUp(now)
	d.backUp(now.Add(time.Hour))
	if f.made != 1 || len(d.backups.problems()) != 0 {
		t.Errorf("%d made, %q", f.made, d.backups.problems())
	}
	f.err = fmt.Errorf("back up: %w", store.ErrFull)
	for hour := range 10 {
		d.backUp(now.Add(backupEvery + time.Duration(hour)*time.Hour))
	}
	if p := fmt.Sprint(d.backups.problems()); !strings.Contains(p, "no space") || strings.Count(log.String(), "\n") != 1 {
		t.Errorf("%q, log %s", p, &log)
	}
	f.err = errors.New("EIO")
	d.backUp(now.Add(2 * backupEvery))
	if p := fmt.Sprint(d.backups.problems()); !strings.Contains(p, "is not backed up: it failed") {
		t.Errorf("%q", p)
	}
	f.err = nil
	d.backUp(now.Add(3 * backupEvery))
	got := map[string]float64{}
	d.backups.each(func(n float64, labels ...string) { got[labels[0]] = n })
	if len(d.backups.problems()) != 0 || got["made"] != 2 || got["skipped"] != 10 || got["failed"] != 1 {
		t.Errorf("%q, %v", d.backups.problems(), got)
	}
	f.last = now.Add(1000 * time.Hour) // made by a clock that was ahead
	d.backUp(now.Add(4 * backupEvery))
	if f.made != 3 {
		t.Error("a backup of the future keeps new ones from being made")
	}
}

// As long as reports are held back after a restoration, the page says so.
func TestRestoredProblem(t *testing.T) {
	at := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	r := store.Restored{At: at, UpTo: at}
	cfg := shippedParts().config()
	windows := holdFor(cfg)
	if windows["abuseipdb"] != 24*time.Hour || len(windows) != 1 {
		t.Errorf("windows %v", windows)
	}
	for _, c := range []struct {
		r     store.Restored
		after time.Duration
		want  bool
	}{{r, 0, true}, {r, 23 * time.Hour, true}, {r, 25 * time.Hour, false}, {r, -time.Hour, false}, {store.Restored{}, 0, false}} {
		p := restoredProblems(c.r, 7, windows, at.Add(c.after))
		if (len(p) > 0) != c.want || c.want && !strings.Contains(p[0].Cause, "until 2026-11-23T12:00:00Z") {
			t.Errorf("after %s: %q", c.after, p)
		}
	}
}
