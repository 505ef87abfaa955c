package tail

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tattled/receiver"
)

// A file that was not to be found at a restart comes back under a rotated name while nothing is at the path: it is read on
// where it was left.
func TestAbsentComesBackRotated(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "logs")
	must(t, os.Mkdir(dir, 0o700))
	path, elsewhere := filepath.Join(dir, "log"), filepath.Join(dir, "..", "elsewhere")
	appendTo(t, path, text(number(0, 10)))
	l := run(t, beginning(path), nil)
	l.wants(number(0, 10)...)
	l.stop()
	must(t, os.Rename(path, elsewhere))
	l = run(t, beginning(path), l.sink.at)
	sizeSeen(l.r, path)
	appendTo(t, elsewhere, text(number(10, 12)))
	must(t, os.Rename(elsewhere, path+".1"))
	l.wants(number(10, 12)...)
	appendTo(t, path, "next\n")
	l.wants(append(number(10, 12), "next")...)
	l.stop()
	l.gaps(0)
	l = run(t, beginning(path), l.sink.at)
	appendTo(t, path, "end\n")
	l.wants("end")
	l.gaps(0)
}

// Names move without end while reading is to go on in as many files as are held: none of them is taken for lost, read
// again, or mistaken for another that begins alike.
func TestResumeWhileNamesMove(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	name := func(i int) string { return fmt.Sprintf("%s.%d", path, i) }
	banner := strings.Repeat("=", 300) + "\n"
	r := make1(t, beginning(path))
	r.settle = time.Hour
	l := runOn(t, r, nil)
	lines := 0
	for i := range maxMarks {
		appendTo(t, path, banner+text(number(lines, lines+5+i)))
		lines += 5 + i
		until(t, "the lines", func() bool { return l.sink.count() == lines+i+1 })
		if i < maxMarks-1 {
			rotate(t, path)
		}
	}
	l.stop()
	l.gaps(0)
	at := l.sink.at

	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() { // all names move up by one, and down again
		defer close(stopped)
		rest := time.NewTicker(time.Millisecond)
		defer rest.Stop()
		move := func(from, to int) {
			if err := os.Rename(name(from), name(to)); err != nil {
				t.Error(err)
			}
		}
		for {
			for i := maxMarks - 1; i > 0; i-- {
				move(i, i+1)
			}
			<-rest.C
			for i := 1; i < maxMarks; i++ {
				move(i+1, i)
			}
			select {
			case <-stop:
				return
			case <-rest.C:
			}
		}
	}()
	for range 30 {
		l = run(t, beginning(path), at)
		sizeSeen(l.r, path)
		l.stop()
		l.gaps(0)
		if got := l.sink.got(); len(got) > 0 {
			t.Errorf("read again: %.500q", got)
		}
	}
	l = run(t, beginning(path), at) // a new line comes nevertheless
	appendTo(t, path, "end\n")
	l.wants("end")
	must(t, os.Rename(path, path+"-20261122")) // and another file
	appendTo(t, path, "another\n")
	l.wants("end", "another")
	l.stop()
	at = l.sink.at
	l.gaps(0)
	close(stop)
	<-stopped

	rotate(t, path)
	appendTo(t, path+".1", "late\n")
	appendTo(t, path, "new\n")
	l = run(t, beginning(path), at)
	l.wants("late", "new")
	l.stop()
	l.gaps(0)
}

// As many files as are held have lines that were not read, and another is at the path: it waits for its turn.
func TestResumeOfAsManyAsAreHeld(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	r := make1(t, beginning(path))
	r.settle = time.Hour
	l := runOn(t, r, nil)
	for i := range maxMarks {
		appendTo(t, path, fmt.Sprintf("before %d\n", i))
		until(t, "the line", func() bool { return l.sink.count() == i+1 })
		rotate(t, path)
	}
	l.stop()
	l.gaps(0)
	var want []string
	for i := range maxMarks {
		line := fmt.Sprintf("after %d", i)
		appendTo(t, fmt.Sprintf("%s.%d", path, maxMarks-i), line+"\n")
		want = append(want, line)
	}
	appendTo(t, path, "end\n")
	l = run(t, beginning(path), l.sink.at)
	l.wants(append(want, "end")...)
	l.stop()
	l.gaps(0)
}

// A file that was read long ago got a line more while nobody read: what was read after it, and forgotten, is not read again.
func TestLateLineInAnOldFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	now := time.Now()
	markOf := func(path string, size int64, ago time.Duration) mark {
		must(t, os.Chtimes(path, time.Time{}, now.Add(-ago)))
		f, info, err := open(path)
		must(t, err)
		defer f.Close()
		print, err := takeFingerprint(f, size)
		must(t, err)
		return mark{inode: inode(info), offset: size, print: print}
	}
	appendTo(t, path+".2", "old 2\nlate\n")
	appendTo(t, path+".1", "old 1\n")
	appendTo(t, path, "current\n")
	old := markOf(path+".2", 6, 3*time.Hour)
	markOf(path+".1", 6, 2*time.Hour)
	current := markOf(path, 8, time.Hour)
	cursor := appendCursor(nil, now.Add(-time.Hour).UnixNano(), []mark{current}, []mark{old})
	rotate(t, path)
	appendTo(t, path, "end\n")
	l := run(t, beginning(path), map[string]receiver.Cursor{"file:" + path: cursor})
	l.wants("late", "end")
	l.stop()
	l.gaps(0)
	if got := l.sink.count(); got != 2 {
		t.Errorf("%d lines: %q", got, l.sink.got())
	}
}
