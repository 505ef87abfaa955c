package journal

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"tattled/receiver"
)

// Files come and are vacuumed again while the helper is held up, and never read: that is a gap, and reading goes on.
func TestVacuumedWhileFollowed(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	part := func(i int) *journalFile {
		file := newJournalFile(t, filepath.Join(dir, fmt.Sprintf("part%d.journal", i)))
		file.at = file.at.Add(time.Duration(i) * time.Minute)
		file.add(numbered(10*i, 10)...)
		file.close()
		return file
	}
	first := part(0)
	r, s := viaHelper(t, dir), &sink{}
	var pid atomic.Int64
	r.started = func(p int) { pid.Store(int64(p)) }
	run(t, r, s)
	await(t, func() bool { return s.count() >= 10 }, "the first file")
	signal := func(sig syscall.Signal) {
		if err := syscall.Kill(int(pid.Load()), sig); err != nil {
			t.Fatal(err)
		}
	}
	signal(syscall.SIGSTOP)
	second := part(1)
	for _, file := range []*journalFile{first, second} {
		if err := os.Remove(file.path); err != nil {
			t.Fatal(err)
		}
	}
	part(2)
	signal(syscall.SIGCONT)
	await(t, func() bool { return s.count() >= 20 }, "the third file")
	demandNumbered(t, s.messages()[:10], 0, 10)
	demandNumbered(t, s.messages()[10:], 20, 30)
	gaps, errs := r.Meter().Gaps.Load(), r.Meter().Errors.Load()
	if gaps != 1 || errs != 0 {
		t.Errorf("%d gaps and %d errors counted, want 1 and 0", gaps, errs)
	}
	t.Logf("figure: row 8: a file vacuumed before it was read: %d gap counted, the next file read", gaps)
}

// After a power cut the files may be older than the position: that is a gap, nothing comes twice, and what comes is read.
func TestPositionAheadOfJournal(t *testing.T) {
	t.Parallel()
	for _, later := range []bool{true, false} {
		t.Run(fmt.Sprintf("the clock is later: %v", later), func(t *testing.T) {
			dir := t.TempDir()
			file := newJournalFile(t, filepath.Join(dir, "test.journal"))
			file.add(numbered(0, 10)...)
			s := &sink{}
			stop := run(t, viaHelper(t, dir), s)
			await(t, func() bool { return s.count() >= 10 }, "the journal")
			stop()
			ahead := file.at.Add(time.Minute).UnixMicro()
			var parts []string
			for p := range strings.SplitSeq(string(s.cursor), ";") {
				switch p[0] {
				case 'i':
					p = "i=ffff"
				case 'm':
					p = fmt.Sprintf("m=%x", ahead%1e12)
				case 't':
					p = fmt.Sprintf("t=%x", ahead)
				case 'x':
					p = "x=1"
				}
				parts = append(parts, p)
			}
			s.cursor = receiver.Cursor(strings.Join(parts, ";"))
			r := viaHelper(t, dir)
			stop = run(t, r, s)
			if later {
				file.at = file.at.Add(2 * time.Minute)
				file.add(numbered(10, 10)...)
			} else {
				await(t, func() bool { return r.Meter().Gaps.Load() == 1 }, "the gap")
				file.add(numbered(10, 10)...)
			}
			await(t, func() bool { return s.count() >= 20 }, "what comes")
			stop()
			demandNumbered(t, s.messages(), 0, 20)
			gaps := r.Meter().Gaps.Load()
			if gaps != 1 {
				t.Errorf("%d gaps counted, want 1", gaps)
			}
			t.Logf("figure: row 8: the position ahead of the journal's file: of 20 entries 0 lost, 0 twice; %d gap counted", gaps)
		})
	}
}

// journald says itself when it drops what comes too fast. A user who says so does not count.
func TestSuppressed(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := newJournalFile(t, filepath.Join(dir, "test.journal"))
	file.add(
		fieldsOf{"_TRANSPORT", "driver", "SYSLOG_IDENTIFIER", "systemd-journald", "_UID", "0", "MESSAGE", "Suppressed 12 messages from ssh.service"},
		fieldsOf{"_TRANSPORT", "driver", "SYSLOG_IDENTIFIER", "systemd-journald", "_UID", "0", "MESSAGE", "Missed 3 kernel messages"},
		fieldsOf{"_TRANSPORT", "syslog", "SYSLOG_IDENTIFIER", "systemd-journald", "_UID", "1000", "MESSAGE", "Suppressed 12 messages from ssh.service"},
	)
	awaitFile(t, file.path)
	r, s := viaHelper(t, dir), &sink{}
	run(t, r, s)
	await(t, func() bool { return s.count() >= 3 }, "the entries")
	if gaps := r.Meter().Gaps.Load(); gaps != 2 {
		t.Errorf("%d gaps counted, want 2", gaps)
	}
}

// A journal cut short while it is mapped kills who reads it, and that is the helper: the receiver goes on.
func TestTruncated(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := newJournalFile(t, filepath.Join(dir, "test.journal"))
	file.add(numbered(0, 1000)...)
	r, s := viaHelper(t, dir), &sink{}
	stop := run(t, r, s)
	await(t, func() bool { return s.count() >= 1000 }, "the first file")
	file.close()
	if err := os.Truncate(file.path, 4096); err != nil {
		t.Fatal(err)
	}
	later := newJournalFile(t, filepath.Join(dir, "later.journal"))
	later.at = file.at.Add(time.Minute)
	later.add(numbered(1000, 10)...)
	await(t, func() bool { return s.count() >= 1010 }, "the second file")
	stop()
	demandNumbered(t, s.messages(), 0, 1010)
}
