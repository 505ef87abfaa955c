package tail

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"tattled/receiver"
	"tattled/receiver/receivertest"
)

// place is a log file that the suite appends to.
type place struct{ path string }

func (p place) Receiver(t testing.TB) receiver.Receiver {
	return make1(t, Config{Path: p.path, Program: "test", Start: "beginning"})
}

func (p place) Append(t testing.TB, messages ...string) {
	appendTo(t, p.path, strings.Join(messages, "\n")+"\n")
}

func TestSuite(t *testing.T) {
	receivertest.Run(t, receivertest.Harness{
		Open:    func(t testing.TB) receivertest.Source { return place{filepath.Join(t.TempDir(), "log")} },
		Rewinds: true,
	})
}

func TestSuiteOnAPattern(t *testing.T) {
	receivertest.Run(t, receivertest.Harness{
		Open: func(t testing.TB) receivertest.Source {
			dir := t.TempDir()
			return pattern{place{filepath.Join(dir, "app.log")}, filepath.Join(dir, "*.log")}
		},
		Rewinds: true,
	})
}

type pattern struct {
	place
	glob string
}

func (p pattern) Receiver(t testing.TB) receiver.Receiver {
	return make1(t, Config{Path: p.glob, Program: "test", Start: "beginning"})
}

// make1 makes a receiver that does not take its time.
func make1(t testing.TB, c Config) *Receiver {
	t.Helper()
	r, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	r.poll, r.settle = 20*time.Millisecond, 300*time.Millisecond
	return r
}

func appendTo(t testing.TB, path, text string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	write(t, f, text)
	must(t, f.Close())
}

func write(t testing.TB, f *os.File, text string) {
	t.Helper()
	if _, err := f.WriteString(text); err != nil {
		t.Fatal(err)
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// sink keeps the messages, and the cursors with how many messages lay before each.
type sink struct {
	mu      sync.Mutex
	lines   []string
	records []receiver.Record // of copies
	at      map[string]receiver.Cursor
	cuts    []cut
	plain   bool // cuts are not kept
}

// cut is what was committed, and how many records with it.
type cut struct {
	records int
	at      map[string]receiver.Cursor
}

func (s *sink) Position(stream string) receiver.Cursor {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.at[stream]
}

func (s *sink) Handle(_ context.Context, b *receiver.Batch) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range b.Records {
		s.lines = append(s.lines, string(r.Message))
		r.Message = bytes.Clone(r.Message)
		s.records = append(s.records, r)
	}
	if s.at == nil {
		s.at = map[string]receiver.Cursor{}
	}
	s.at[b.Stream] = slices.Clone(b.Cursor)
	if !s.plain {
		s.cuts = append(s.cuts, cut{len(s.lines), maps.Clone(s.at)})
	}
	return nil
}

func (s *sink) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.lines)
}

func (s *sink) got() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.lines)
}

// until polls condition for up to ten seconds.
func until(t testing.TB, what string, condition func() bool) {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(10 * time.Second)
	for !condition() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("gave up waiting for %s", what)
		}
	}
}

// life is a receiver that runs.
type life struct {
	t    testing.TB
	r    *Receiver
	sink *sink
	stop func()
}

// run runs a receiver that begins with the positions at.
func run(t testing.TB, c Config, at map[string]receiver.Cursor) *life {
	t.Helper()
	c.Program = "test"
	return runOn(t, make1(t, c), at)
}

func runOn(t testing.TB, r *Receiver, at map[string]receiver.Cursor) *life {
	return runTo(t, r, &sink{at: maps.Clone(at)})
}

// runTo runs r, with positions from s, into it.
func runTo(t testing.TB, r *Receiver, s *sink) *life {
	l := &life{t: t, r: r, sink: s}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx, l.sink, l.sink) }()
	l.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
		if open := r.Meter().Open.Load(); open != 0 {
			t.Errorf("%d files are open after Run", open)
		}
	})
	t.Cleanup(l.stop)
	return l
}

// begun waits until the start of a run without a record was handed over.
func (l *life) begun() {
	l.t.Helper()
	until(l.t, "the start to be committed", func() bool {
		l.sink.mu.Lock()
		defer l.sink.mu.Unlock()
		return len(l.sink.cuts) > 0
	})
}

// wants waits for exactly these messages, in this order.
func (l *life) wants(want ...string) {
	l.t.Helper()
	until(l.t, fmt.Sprintf("%d records, have %d", len(want), len(l.sink.got())), func() bool { return len(l.sink.got()) >= len(want) })
	if got := l.sink.got(); !slices.Equal(got, want) {
		l.t.Fatalf("got %q\nwant %q", got, want)
	}
}

// wantsAll waits for exactly these messages, in any order.
func (l *life) wantsAll(want []string) {
	l.t.Helper()
	until(l.t, fmt.Sprintf("%d records", len(want)), func() bool { return len(l.sink.got()) >= len(want) })
	got := l.sink.got()
	slices.Sort(got)
	if want = slices.Sorted(slices.Values(want)); !slices.Equal(got, want) {
		l.t.Fatalf("got %d records\n%q\nwant %d\n%q", len(got), got, len(want), want)
	}
}

func (l *life) gaps(want uint64) {
	l.t.Helper()
	if got := l.r.Meter().Gaps.Load(); got != want {
		l.t.Errorf("%d gaps, want %d", got, want)
	}
}

// number gives the lines from first to before end.
func number(first, end int) []string {
	var all []string
	for i := first; i < end; i++ {
		all = append(all, fmt.Sprintf("line %06d", i))
	}
	return all
}

func text(lines []string) string { return strings.Join(lines, "\n") + "\n" }

func beginning(path string) Config { return Config{Path: path, Start: "beginning"} }

func TestAPartOfALineWaitsForItsEnd(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	appendTo(t, path, "whole\nhalf")
	l := run(t, beginning(path), nil)
	l.wants("whole")
	appendTo(t, path, " and half")
	appendTo(t, path, " again\nnext")
	l.wants("whole", "half and half again")
	l.stop()

	l = run(t, beginning(path), l.sink.at)
	appendTo(t, path, "\n")
	l.wants("next")
}

func TestFirstSightBeginsAtTheEnd(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	appendTo(t, path, "old\nold\nbegun")
	l := run(t, Config{Path: path}, nil)
	l.begun()
	l.stop()
	appendTo(t, path, " and ended\nwritten while nobody read\n")
	l = run(t, Config{Path: path}, l.sink.at)
	l.wants("begun and ended", "written while nobody read")
}

func TestAFileThatComesLaterIsReadWhole(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "not", "there", "yet")
	path := filepath.Join(dir, "log")
	l := run(t, Config{Path: path}, nil)
	l.begun()
	must(t, os.MkdirAll(dir, 0o700))
	appendTo(t, path, "first\n")
	l.wants("first")
	l.stop()
	if n := l.r.Meter().Errors.Load(); n != 0 {
		t.Errorf("a missing file counted as %d errors", n)
	}

	dir = t.TempDir() // an empty one
	missing := filepath.Join(dir, "other")
	l = run(t, Config{Path: missing}, nil)
	l.begun()
	l.stop()
	if n := l.r.Meter().Errors.Load(); n != 0 {
		t.Errorf("an empty folder counted as %d errors", n)
	}
	appendTo(t, missing, "came while nobody read\n")
	l = run(t, Config{Path: missing}, l.sink.at)
	l.wants("came while nobody read")
}

func TestRotationByRenamingWithLateWriters(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "log")
	l := run(t, beginning(path), nil)
	var want []string
	next := func() string {
		line := fmt.Sprintf("line %06d", len(want))
		want = append(want, line)
		return line + "\n"
	}
	appendTo(t, path, next())
	l.wants(want...) // a file that is rotated before the receiver's first look is not its business
	var old *os.File
	for i := range 40 {
		f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
		must(t, err)
		for range 50 {
			write(t, f, next())
			if old != nil {
				write(t, old, next())
			}
		}
		if old != nil {
			must(t, old.Close())
		}
		must(t, os.Rename(path, fmt.Sprintf("%s.%d", path, i)))
		write(t, f, next())
		old = f
		if i%5 == 0 {
			until(t, "all so far", func() bool { return len(l.sink.got()) >= len(want) })
		}
	}
	must(t, old.Close())
	appendTo(t, path, next())
	l.wantsAll(want)
	l.gaps(0)
	until(t, "old files to be closed", func() bool { return l.r.Meter().Open.Load() == 1 })
}

func TestDeletedAndMadeAnew(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	f, err := os.Create(path)
	must(t, err)
	defer f.Close()
	l := run(t, beginning(path), nil)
	write(t, f, "one\n")
	l.wants("one")
	must(t, os.Remove(path))
	write(t, f, "two, in the removed file\n")
	l.wants("one", "two, in the removed file")
	appendTo(t, path, "three\n")
	l.wants("one", "two, in the removed file", "three")
	until(t, "the removed file to be let go", func() bool { return l.r.Meter().Open.Load() == 1 })
	must(t, os.Remove(path))
	until(t, "the last file to be let go", func() bool { return l.r.Meter().Open.Load() == 0 })
	appendTo(t, path, "four\n")
	l.wants("one", "two, in the removed file", "three", "four")
	l.gaps(0)
}

func TestRenamedAwayAndBack(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	appendTo(t, path, "one\n")
	l := run(t, beginning(path), nil)
	l.wants("one")
	must(t, os.Rename(path, path+".1"))
	appendTo(t, path, "two\n")
	l.wants("one", "two")
	must(t, os.Rename(path+".1", path))
	appendTo(t, path, "three\n")
	l.wants("one", "two", "three")
}

func TestCopyTruncate(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	appendTo(t, path, text(number(0, 100)))
	l := run(t, beginning(path), nil)
	l.wants(number(0, 100)...)
	must(t, os.Truncate(path, 0))
	appendTo(t, path, "after\n")
	l.wants(append(number(0, 100), "after")...)
	l.gaps(0) // nothing that we know of

	appendTo(t, path, "half of a line")
	until(t, "the half line to be seen", func() bool { return l.r.Meter().Bytes.Load() == 1206 && sizeSeen(l.r, path) == 20 })
	must(t, os.Truncate(path, 0))
	appendTo(t, path, "again\n")
	l.wants(append(number(0, 100), "after", "again")...)
	l.gaps(1)
}

// sizeSeen waits for two looks at the path and returns the file's size: what a receiver must have seen by then.
func sizeSeen(r *Receiver, path string) int64 {
	tick := time.NewTicker(2 * r.poll)
	defer tick.Stop()
	<-tick.C
	info, err := os.Stat(path)
	if err != nil {
		return -1
	}
	return info.Size()
}

func TestTruncatedAndAsLongAgain(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	appendTo(t, path, text(number(0, 50)))
	l := run(t, beginning(path), nil)
	l.wants(number(0, 50)...)
	must(t, os.WriteFile(path, []byte(text(number(50, 100))), 0o600)) // truncates: the same size, another text
	l.wants(number(0, 100)...)
	must(t, os.WriteFile(path, []byte(text(number(100, 200))), 0o600)) // longer than before
	l.wants(number(0, 200)...)
}

func TestAWriterThatDoesNotAppendLeavesAHole(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	f, err := os.Create(path)
	must(t, err)
	defer f.Close()
	write(t, f, text(number(0, 30000)))
	l := run(t, beginning(path), nil)
	l.wants(number(0, 30000)...)
	must(t, os.Truncate(path, 0))
	write(t, f, "behind the hole\nnext\n")
	l.wants(append(number(0, 30000), "behind the hole", "next")...)
	if n := l.r.Meter().Cut.Load(); n != 0 {
		t.Errorf("%d records were cut", n)
	}
}

func TestALineThatIsTooLong(t *testing.T) {
	for _, size := range []int{1023, 1024, 1025, blockSize - 1, blockSize, blockSize + 1, 3<<20 + 5} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "log")
			line := strings.Repeat("x", size-1) + "."
			appendTo(t, path, "before\r\n"+line[:size/2])
			c := beginning(path)
			c.MaxLine = 1024
			l := run(t, c, nil)
			l.wants("before")
			appendTo(t, path, line[size/2:])
			appendTo(t, path, "\r\nafter\n")
			l.wants("before", line[:min(size, 1024)], "after")
			if got, want := l.sink.records[1].Cut, size > 1024; got != want {
				t.Errorf("Cut is %v, want %v", got, want)
			}
			if got, want := l.r.Meter().Bytes.Load(), uint64(8+size+2+6); got != want {
				t.Errorf("%d bytes counted, want %d", got, want)
			}
		})
	}
}

func TestHostileBytes(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	appendTo(t, path, "\x00\x00\n \t\r\n\n\x01\na\x00b\xff\xfe\r\r\n\x00\x00c\n")
	l := run(t, beginning(path), nil)
	l.wants("a\x00b\xff\xfe\r", "c")
	m := l.r.Meter()
	if m.Records.Load() != 6 || m.Dropped(receiver.Empty) != 4 {
		t.Errorf("%d records, %d of them empty, want 6 and 4", m.Records.Load(), m.Dropped(receiver.Empty))
	}
}

func TestAFaultIsLoggedOnceAndPasses(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	must(t, os.Symlink(path, path)) // a loop: stat fails
	var out lockedBuffer
	c := beginning(path)
	c.Logger = slog.New(slog.NewTextHandler(&out, nil))
	l := run(t, c, nil)
	until(t, "errors to be counted", func() bool { return l.r.Meter().Errors.Load() > 3 })
	must(t, os.Remove(path))
	must(t, os.Mkdir(path, 0o700))
	before := l.r.Meter().Errors.Load()
	until(t, "errors to be counted", func() bool { return l.r.Meter().Errors.Load() > before+3 })
	must(t, os.Remove(path))
	appendTo(t, path, "at last\n")
	l.wants("at last")
	if n := strings.Count(out.String(), "\n"); n != 2 {
		t.Errorf("%d lines were logged, want 2:\n%s", n, out.String())
	}
}

type lockedBuffer struct {
	mu sync.Mutex
	bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Buffer.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Buffer.String()
}

func TestPattern(t *testing.T) {
	dir := t.TempDir()
	name := func(s string) string { return filepath.Join(dir, s) }
	appendTo(t, name("a.log"), "old\n")
	appendTo(t, name("a.log.gz"), "no text\n")
	c := Config{Path: name("*.log*")}
	l := run(t, c, nil)
	until(t, "both starts to be committed", func() bool { return len(l.sink.cutsNow()) >= 2 })
	appendTo(t, name("b.log"), "b1\n")
	l.wants("b1")
	appendTo(t, name("a.log"), "a1\n")
	l.wants("b1", "a1")
	must(t, os.Rename(name("b.log"), name("b.log.1"))) // a name that the pattern matches too
	appendTo(t, name("b.log"), "b2\n")
	appendTo(t, name("b.log.1"), "b3, late\n")
	l.wantsAll([]string{"b1", "a1", "b2", "b3, late"})
	until(t, "b.log.1 to be a stream of its own", func() bool {
		return l.r.Meter().Open.Load() == 3 && sizeSeen(l.r, name("b.log.1")) > 0
	})
	until(t, "b.log.1 to be closed and opened again", func() bool {
		appendTo(t, name("b.log.1"), "")
		l.sink.mu.Lock()
		defer l.sink.mu.Unlock()
		_, c, _, _ := parseCursor(l.sink.at["file:"+name("b.log")])
		return len(c) >= 1
	})
	l.stop()
	appendTo(t, name("c.log"), "c1, came while nobody read\n")
	appendTo(t, name("a.log"), "a2\n")
	l = run(t, c, l.sink.at)
	l.wantsAll([]string{"a2", "c1, came while nobody read"})
	for stream := range l.sink.at {
		if strings.HasSuffix(stream, ".gz") {
			t.Errorf("stream %s of a compressed file", stream)
		}
	}
}

func (s *sink) cutsNow() []cut {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cuts
}

func TestTooManyFiles(t *testing.T) {
	dir := t.TempDir()
	for i := range MaxFiles + 5 {
		appendTo(t, filepath.Join(dir, fmt.Sprintf("%04d.log", i)), "x\n")
	}
	l := run(t, beginning(filepath.Join(dir, "*.log")), nil)
	until(t, "all that are read", func() bool { return len(l.sink.got()) == MaxFiles })
	if open, errors := l.r.Meter().Open.Load(), l.r.Meter().Errors.Load(); open != MaxFiles || errors != 1 {
		t.Errorf("%d open, %d errors, want %d and 1", open, errors, MaxFiles)
	}
	appendTo(t, filepath.Join(dir, "0007.log"), "y\n")
	until(t, "a line in one of them", func() bool { return len(l.sink.got()) == MaxFiles+1 })
}

func TestCursor(t *testing.T) {
	marks := []mark{
		{inode: 1<<64 - 1, offset: 1 << 62, print: fingerprint{printLength, 1<<64 - 1}},
		{inode: 0, offset: 0},
	}
	for len(marks) < maxMarks {
		marks = append(marks, marks[0])
	}
	c := appendCursor(nil, -1<<63, marks, marks)
	if len(c) > receiver.MaxCursor {
		t.Errorf("a cursor has %d bytes", len(c))
	}
	seen, back, past, err := parseCursor(c)
	if err != nil || seen != -1<<63 || !slices.Equal(back, marks) || !slices.Equal(past, marks) {
		t.Errorf("got %v, %v, want %v", back, err, marks)
	}
	for i := range c {
		if _, _, _, err := parseCursor(c[:i]); err == nil {
			t.Errorf("%d of %d bytes are taken for a cursor", i, len(c))
		}
	}
	if _, _, _, err := parseCursor(append(c, 0)); err == nil {
		t.Error("a cursor with a byte too much is taken")
	}
}

func FuzzCursor(f *testing.F) {
	f.Add([]byte(appendCursor(nil, 5, []mark{{inode: 7, offset: 300, print: fingerprint{256, 9}}}, nil)))
	f.Fuzz(func(t *testing.T, c []byte) {
		_, marks, past, err := parseCursor(c)
		for _, m := range append(marks, past...) {
			if err == nil && (m.offset < 0 || m.print.length > printLength) {
				t.Errorf("%q gives %+v", c, m)
			}
		}
	})
}

func TestADamagedCursorIsNotTrusted(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	appendTo(t, path, "one\n")
	l := run(t, beginning(path), map[string]receiver.Cursor{"file:" + path: receiver.Cursor("nonsense")})
	l.wants("one")
	l.gaps(1)
}

func TestCheck(t *testing.T) {
	var got []string
	report := func(path, _ string) { got = append(got, path) }
	files := Files{
		{},
		{Path: "relative", Program: "a b", Trust: "yes", Timezone: "Mars/Base", MaxLine: 1, Start: "middle"},
		{Path: "/var/log/[a"},
		{Path: "/var/log/auth.log", Trust: "count", Timezone: "Europe/Brussels", MaxLine: 512, Start: "end"},
		{Path: "/var/log//auth.log"},
		{Path: "/var/log/../log/auth.log"},
		{Path: "/srv/*/access.log"},
		{Path: "/srv/shop/access.log", Program: "nginx"},
		{Path: "/srv/shop/./access.log"},
		{Path: "/srv/x/*/access.log"},
	}
	for i := range files {
		files[i].Check(func(path, problem string) { report(fmt.Sprintf("[%d].%s", i, path), problem) })
	}
	files.Check(report)
	want := []string{
		"[0].path", "[1].path", "[1].program", "[1].trust", "[1].timezone", "[1].max_line", "[1].start", "[2].path", "[4].path", "[5].path", "[7].path", "[8].path",
	}
	if !slices.Equal(got, want) {
		t.Errorf("faults at %q, want %q", got, want)
	}
}
