package journal

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"tattled/receiver"
)

// A journal that grows fast is read right behind its writer, in the middle of what that does to the newest entry; on a
// busy machine the writer is stopped there for a while. No entry may be missing, nor come without its message or what it
// takes to trust it. Run it with -count=50 after a change to the helper: what it is after is rare.
func TestGrowing(t *testing.T) {
	t.Parallel()
	const total, each = 20000, 100
	for round := range 3 {
		t.Run(fmt.Sprint(round), func(t *testing.T) {
			t.Parallel() // for the rounds to be in each other's way
			file := newJournalFile(t, filepath.Join(t.TempDir(), "test.journal"))
			r, s := viaHelper(t, filepath.Dir(file.path)), &sink{}
			var early uint64 // children that came before there was a whole file
			s.onBatch = func(batches int) error {
				if batches == 1 {
					early = r.Meter().Errors.Load()
				}
				return nil
			}
			stop := run(t, r, s)
			for from := 0; from < total; from += each {
				entries := make([]fieldsOf, each)
				for i := range entries {
					n := from + i
					entries[i] = fieldsOf{
						"_TRANSPORT", "syslog", "_UID", "0", "_EXE", "/usr/sbin/sshd", "_SYSTEMD_UNIT", fmt.Sprintf("ssh@%d.service", n),
						"SYSLOG_IDENTIFIER", "sshd", "SYSLOG_PID", fmt.Sprint(n + 1), "MESSAGE", fmt.Sprintf("message %d from 192.0.2.1", n),
					}
				}
				file.add(entries...)
			}
			file.close()
			await(t, func() bool { return s.count() >= total || r.Meter().Dropped(receiver.Empty) > 0 }, "all records")
			stop()
			for i, got := range s.records {
				at := file.at.Add(time.Duration(i+1) * time.Millisecond).UTC().Format(time.RFC3339Nano)
				want := record{at, "", "sshd", fmt.Sprint(i + 1), fmt.Sprintf("message %d from 192.0.2.1", i), "report", "false"}
				if got != want {
					t.Fatalf("record %d is %v, want %v", i, got, want)
				}
			}
			if gaps, errs := r.Meter().Gaps.Load(), r.Meter().Errors.Load()-early; len(s.records) != total || gaps+errs > 0 {
				t.Errorf("%d records, %d gaps, %d errors", len(s.records), gaps, errs)
			}
		})
	}
}
