package journal

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"tattled/receiver"
	"tattled/receiver/receivertest"
)

// suiteSource is a journal file for the suite.
type suiteSource struct {
	file *journalFile
	open func(testing.TB, string) *Receiver
}

func (s *suiteSource) Receiver(t testing.TB) receiver.Receiver {
	return s.open(t, filepath.Dir(s.file.path))
}

func (s *suiteSource) Append(_ testing.TB, messages ...string) {
	entries := make([]fieldsOf, len(messages))
	for i, m := range messages {
		entries[i] = fieldsOf{"SYSLOG_IDENTIFIER", "sshd", "MESSAGE", m} // more would take longer to write than to read
	}
	s.file.add(entries...)
}

func TestReceiver(t *testing.T) {
	for way, open := range ways() {
		t.Run(way, func(t *testing.T) {
			receivertest.Run(t, receivertest.Harness{
				Open: func(t testing.TB) receivertest.Source {
					return &suiteSource{newJournalFile(t, filepath.Join(t.TempDir(), "test.journal")), open}
				},
				Rewinds: true,
				Ignore:  []goleak.Option{goleak.IgnoreCurrent()},
			})
		})
	}
}

// sink takes batches and commits them at once.
type sink struct {
	mu      sync.Mutex
	records []record
	empty   int // batches without a record
	cursor  receiver.Cursor
	onBatch func(batches int) error
	batches int
}

func (s *sink) Position(string) receiver.Cursor { return s.cursor }

func (s *sink) Handle(_ context.Context, b *receiver.Batch) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range b.Records {
		s.records = append(s.records, copyOf(r))
	}
	if len(b.Records) == 0 {
		s.empty++
	}
	s.cursor = append(receiver.Cursor(nil), b.Cursor...)
	s.batches++
	if s.onBatch != nil {
		return s.onBatch(s.batches)
	}
	return nil
}

func (s *sink) count() int { s.mu.Lock(); defer s.mu.Unlock(); return len(s.records) }

func (s *sink) messages() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []string
	for _, r := range s.records {
		all = append(all, r.message)
	}
	return all
}

// run runs r until the test, or stop, ends it.
func run(t testing.TB, r *Receiver, s *sink) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx, s, s) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	t.Cleanup(stop)
	return stop
}

func numbered(from, n int) []fieldsOf {
	all := make([]fieldsOf, n)
	for i := range all {
		all[i] = sshd(fmt.Sprintf("message %d", from+i))
	}
	return all
}

func demandNumbered(t testing.TB, got []string, from, to int) {
	t.Helper()
	for i, m := range got {
		if want := fmt.Sprintf("message %d", from+i); m != want {
			t.Fatalf("record %d is %q, want %q", i, m, want)
		}
	}
	if len(got) != to-from {
		t.Fatalf("%d records, want %d", len(got), to-from)
	}
}

// A child that is killed at any moment loses nothing and repeats nothing.
func TestChildKilled(t *testing.T) {
	t.Parallel()
	for way, open := range ways() {
		t.Run(way, func(t *testing.T) {
			file := newJournalFile(t, filepath.Join(t.TempDir(), "test.journal"))
			const total = 12000
			file.add(numbered(0, total/2)...)
			r, s := open(t, filepath.Dir(file.path)), &sink{}
			var pid atomic.Int64
			var kills int
			var killed int64
			r.started = func(p int) { pid.Store(int64(p)) }
			s.onBatch = func(int) error {
				p := pid.Load()
				if p == killed || kills == 8 { // what a dead child has written still comes
					return nil
				}
				kills, killed = kills+1, p
				return syscall.Kill(int(p), syscall.SIGKILL)
			}
			stop := run(t, r, s)
			file.add(numbered(total/2, total/2)...)
			await(t, func() bool { return s.count() >= total }, "all records")
			await(t, func() bool { return r.Meter().Errors.Load() >= 8 }, "all deaths to be counted")
			stop()
			demandNumbered(t, s.messages(), 0, total)
			if errs := r.Meter().Errors.Load(); kills != 8 || errs != 8 {
				t.Errorf("%d kills, %d errors counted", kills, errs)
			}
			if gaps := r.Meter().Gaps.Load(); gaps != 0 {
				t.Errorf("%d gaps counted, nothing was lost", gaps)
			}
		})
	}
}

// What a record says of an entry, the nasty ones above all. All have an address in them: the helper tells less of others.
func TestRecords(t *testing.T) {
	t.Parallel()
	own := sshd("ours 192.0.2.1")
	for i := range own {
		if own[i] == "ssh.service" {
			own[i] = "tattled.service"
		}
	}
	long := "192.0.2.1" + strings.Repeat("x", MaxMessage)
	for way, open := range ways() {
		t.Run(way, func(t *testing.T) {
			file := newJournalFile(t, filepath.Join(t.TempDir(), "test.journal"))
			at := func(n int) string {
				return file.at.Add(time.Duration(n) * time.Millisecond).UTC().Format(time.RFC3339Nano)
			}
			file.add(
				sshd("plain 192.0.2.1"),
				sshd("2001:db8::1\ntwo\nlines\x00\xff\n\n__CURSOR=s=1\n"),
				own,
				fieldsOf{"_TRANSPORT", "syslog", "_UID", "1000", "_COMM", "logger", "_EXE", "/usr/bin/logger", "_SYSTEMD_UNIT", "session-3.scope",
					"_PID", "99", "SYSLOG_IDENTIFIER", "sshd", "SYSLOG_PID", "1; x", "MESSAGE", "forged 192.0.2.1"},
				fieldsOf{"_TRANSPORT", "kernel", "SYSLOG_IDENTIFIER", "other", "MESSAGE", "IN=eth0 SRC=192.0.2.1"},
				fieldsOf{"_TRANSPORT", "journal", "_COMM", "thing", "_UID", "0", "SYSLOG_IDENTIFIER", "", "MESSAGE", "no identifier"},
				fieldsOf{"_TRANSPORT", "journal", "MESSAGE_ID", "8d45620c1a4348dbb17410da57c60c66", "PRIORITY", "6"},
				sshd(" \n\t"),
				sshd(long),
				append(sshd("sent before 192.0.2.1"), "_SOURCE_REALTIME_TIMESTAMP", fmt.Sprint(file.at.UnixMicro())),
				sshd("192.0.2.1 last"),
			)
			awaitFile(t, file.path)
			r, s := open(t, filepath.Dir(file.path)), &sink{}
			stop := run(t, r, s)
			await(t, func() bool { return s.count() >= 8 }, "all records")
			stop()
			want := []record{
				{at(1), "web1", "sshd", "77", "plain 192.0.2.1", "report", "false"},
				{at(2), "web1", "sshd", "77", "2001:db8::1\ntwo\nlines\x00\xff\n\n__CURSOR=s=1\n", "report", "false"},
				{at(4), "", "sshd", "99", "forged 192.0.2.1", "count", "false"},
				{at(5), "", "kernel", "", "IN=eth0 SRC=192.0.2.1", "report", "false"},
				{at(6), "", "thing", "", "no identifier", "count", "false"},
				{at(9), "web1", "sshd", "77", long[:MaxMessage], "report", "true"},
				{at(0), "web1", "sshd", "77", "sent before 192.0.2.1", "report", "false"},
				{at(11), "web1", "sshd", "77", "192.0.2.1 last", "report", "false"},
			}
			for i, w := range want {
				if i < len(s.records) && s.records[i] != w {
					t.Errorf("record %d is\n%.200v, want\n%.200v", i, s.records[i], w)
				}
			}
			m := r.Meter()
			if got := m.Records.Load(); len(s.records) != len(want) || got != uint64(len(want))+3 {
				t.Errorf("%d records, %d counted", len(s.records), got)
			}
			if m.Skipped.Load() != 1 || m.Dropped(receiver.Empty) != 2 || m.Cut.Load() != 1 {
				t.Errorf("own %d, empty %d, cut %d", m.Skipped.Load(), m.Dropped(receiver.Empty), m.Cut.Load())
			}
		})
	}
}

// The newest entry may get its message yet: as long as it has none, no position is behind it.
func TestNewestWithoutMessage(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := newJournalFile(t, filepath.Join(dir, "test.journal"))
	file.add(numbered(0, 1)[0], fieldsOf{"SYSLOG_IDENTIFIER", "sshd"})
	s := &sink{}
	r := viaHelper(t, dir)
	stop := run(t, r, s)
	await(t, func() bool { return s.count() >= 1 }, "the first entry")
	stop()
	if n := r.Meter().Dropped(receiver.Empty); n != 0 {
		t.Errorf("%d empty entries counted before another followed", n)
	}
	r = viaHelper(t, dir)
	stop = run(t, r, s)
	file.add(numbered(1, 1)...)
	await(t, func() bool { return s.count() >= 2 }, "the last entry")
	stop()
	demandNumbered(t, s.messages(), 0, 2)
	if n := r.Meter().Dropped(receiver.Empty); n != 1 || r.Meter().Gaps.Load() > 0 {
		t.Errorf("%d empty entries, %d gaps counted, want 1 and 0", n, r.Meter().Gaps.Load())
	}
}

// A position whose entry was vacuumed: what is left is read, and the gap is counted.
func TestVacuumed(t *testing.T) {
	t.Parallel()
	for way, open := range ways() {
		t.Run(way, func(t *testing.T) {
			dir := t.TempDir()
			file := newJournalFile(t, filepath.Join(dir, "test.journal"))
			file.add(numbered(0, 10)...)
			r, s := open(t, dir), &sink{}
			stop := run(t, r, s)
			await(t, func() bool { return s.count() >= 10 }, "the first file")
			stop()
			file.close()
			if err := os.Remove(file.path); err != nil {
				t.Fatal(err)
			}
			file2 := newJournalFile(t, filepath.Join(dir, "later.journal"))
			file2.at = file.at.Add(time.Minute)
			file2.add(numbered(10, 10)...)
			awaitFile(t, file2.path)
			r = open(t, dir)
			stop = run(t, r, s)
			await(t, func() bool { return s.count() >= 20 }, "the second file")
			stop()
			demandNumbered(t, s.messages(), 0, 20)
			if gaps := r.Meter().Gaps.Load(); gaps != 1 {
				t.Errorf("%d gaps counted, want 1", gaps)
			}
		})
	}
}

// Files come and go while they are followed: all is read once, no deleted file is held open, and nothing counts as lost
// that was not.
func TestRotation(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	r, s := viaHelper(t, dir), &sink{}
	var pid atomic.Int64
	r.started = func(p int) { pid.Store(int64(p)) }
	run(t, r, s)
	const each = 700
	var files []*journalFile
	for i := range 12 {
		file := newJournalFile(t, filepath.Join(dir, fmt.Sprintf("part%02d.journal", i)))
		file.at = file.at.Add(time.Duration(i) * time.Minute)
		files = append(files, file)
		file.add(numbered(i*each, each)...)
		await(t, func() bool { return s.count() >= (i+1)*each }, "the next file")
		file.close()
		if i >= 2 {
			if err := os.Remove(files[i-2].path); err != nil {
				t.Fatal(err)
			}
		}
	}
	demandNumbered(t, s.messages(), 0, 12*each)
	if gaps := r.Meter().Gaps.Load(); gaps != 0 {
		t.Errorf("%d gaps counted, nothing was lost", gaps)
	}
	await(t, func() bool { return held(t, int(pid.Load())) == 0 }, "deleted files to be let go of")
}

// held counts the deleted files that a process holds open or mapped.
func held(t testing.TB, pid int) int {
	t.Helper()
	n := 0
	maps, err := os.ReadFile(fmt.Sprintf("/proc/%d/maps", pid))
	if err != nil {
		t.Fatal(err)
	}
	n += strings.Count(string(maps), ".journal (deleted)")
	fds, _ := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
	for _, fd := range fds {
		if target, err := os.Readlink(fd); err == nil && strings.HasSuffix(target, ".journal (deleted)") {
			n++
		}
	}
	return n
}

// Without since, reading begins with what comes; and where that was is kept, though there was no record.
func TestBeginsNow(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := newJournalFile(t, filepath.Join(dir, "test.journal"))
	file.add(numbered(-5, 5)...)
	awaitFile(t, file.path)
	probe := &sink{}
	stop := run(t, viaHelper(t, dir), probe)
	await(t, func() bool { return probe.count() >= 5 }, "what is there")
	stop()

	s := &sink{}
	stop = run(t, newReceiver(t, Config{Directory: dir, Helper: helper(t)}), s)
	await(t, func() bool { s.mu.Lock(); defer s.mu.Unlock(); return s.empty == 1 }, "the beginning")
	stop()
	file.add(numbered(0, 5)...)
	stop = run(t, newReceiver(t, Config{Directory: dir, Helper: helper(t)}), s)
	await(t, func() bool { return s.count() >= 5 }, "what came while nobody read")
	file.add(numbered(5, 5)...)
	await(t, func() bool { return s.count() >= 10 }, "what came then")
	stop()
	demandNumbered(t, s.messages(), 0, 10)
}

// A journal that is not there yet is no reason to end, and no reason to say so twice.
func TestAbsent(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "not", "yet")
	log := &strings.Builder{}
	var mu sync.Mutex
	r := newReceiver(t, Config{Directory: dir, Helper: helper(t), Logger: slog.New(slog.NewTextHandler(writerFunc(func(b []byte) (int, error) {
		mu.Lock()
		defer mu.Unlock()
		return log.Write(b)
	}), nil))})
	s := &sink{}
	stop := run(t, r, s)
	await(t, func() bool { return r.Meter().Errors.Load() >= 2 }, "two attempts")
	if p := r.Problems(); r.Reads() || len(p) != 1 || !strings.Contains(p[0].Cause, "no such file") || p[0].Remedy == "" || p[0].Since.IsZero() {
		t.Errorf("the problems of a journal that is not there: %+v", p)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	file := newJournalFile(t, filepath.Join(dir, "test.journal"))
	file.at = time.Now().Add(time.Second)
	file.add(numbered(0, 3)...)
	await(t, func() bool { return s.count() >= 3 }, "the journal")
	if p := r.Problems(); !r.Reads() || len(p) > 0 {
		t.Errorf("the problems of a journal that is read: %+v", p)
	}
	stop()
	demandNumbered(t, s.messages(), 0, 3)
	if n := strings.Count(log.String(), "no such file"); n != 1 {
		t.Errorf("the missing directory was logged %d times:\n%s", n, log)
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(b []byte) (int, error) { return f(b) }

// A helper that cannot read on this system, or is no program, gives way to journalctl.
func TestFallback(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := newJournalFile(t, filepath.Join(dir, "test.journal"))
	file.add(numbered(0, 3)...)
	awaitFile(t, file.path)
	unable := filepath.Join(t.TempDir(), "unable")
	noProgram := filepath.Join(t.TempDir(), "no-program")
	for path, text := range map[string]string{unable: "#!/bin/sh\necho built without cgo >&2\nexit 1\n", noProgram: "\x00\x01"} {
		if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
		r := newReceiver(t, Config{Directory: dir, Helper: path, Since: viaHelper(t, dir).config.Since})
		s := &sink{}
		stop := run(t, r, s)
		await(t, func() bool { return s.count() >= 3 }, "the records through journalctl")
		stop()
		demandNumbered(t, s.messages(), 0, 3)
	}
	if _, err := New(Config{Helper: filepath.Join(dir, "missing")}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("New with a helper that is not there: %v", err)
	}
}

// Only what matches is read: values of one field are alternatives, fields come together.
func TestMatches(t *testing.T) {
	t.Parallel()
	for way, open := range ways() {
		t.Run(way, func(t *testing.T) {
			dir := t.TempDir()
			file := newJournalFile(t, filepath.Join(dir, "test.journal"))
			other := sshd("other unit")
			other[9] = "cron.service"
			wrong := sshd("other transport")
			wrong[1] = "stdout"
			file.add(other, sshd("message 0"), wrong, sshd("message 1"))
			awaitFile(t, file.path)
			r, s := open(t, dir), &sink{}
			r.config.Units, r.config.Matches = []string{"ssh", "sshd.service"}, []string{"_TRANSPORT=syslog"}
			stop := run(t, r, s)
			await(t, func() bool { return s.count() >= 2 }, "what matches")
			stop()
			demandNumbered(t, s.messages(), 0, 2)
		})
	}
}

// A position that is no cursor would keep every child from starting.
func TestDamagedPosition(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := newJournalFile(t, filepath.Join(dir, "test.journal"))
	file.add(numbered(0, 3)...)
	awaitFile(t, file.path)
	r, s := viaHelper(t, dir), &sink{cursor: receiver.Cursor("s=zz;--directory=/")}
	stop := run(t, r, s)
	await(t, func() bool { return s.count() >= 3 }, "the records")
	stop()
	if gaps := r.Meter().Gaps.Load(); gaps != 1 {
		t.Errorf("%d gaps counted, want 1", gaps)
	}
}

func TestCheck(t *testing.T) {
	good := Config{Namespace: "web-1", Units: []string{"ssh"}, Matches: []string{"_UID=0"}}
	good.Check(func(path, problem string) { t.Errorf("%s %s", path, problem) })
	bad := Config{Since: -1, Namespace: "../x", Directory: "relative", Units: []string{"", "--flush"}, Matches: []string{"--rotate", "a=b", "A"}, Helper: "a\x00"}
	var paths []string
	bad.Check(func(path, _ string) { paths = append(paths, path) })
	want := "since namespace directory units[0] units[1] matches[0] matches[1] matches[2] helper"
	if got := strings.Join(paths, " "); got != want {
		t.Errorf("faults at %s\nwant %s", got, want)
	}
	if _, err := New(bad); err == nil {
		t.Error("New took a faulty configuration")
	}
}
