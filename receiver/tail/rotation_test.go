package tail

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"tattled/receiver"
)

func TestResumeAtEveryCursorThroughRotation(t *testing.T) {
	for _, each := range []int{1, 3, 10} {
		t.Run(fmt.Sprintf("%d lines a file", each), func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, "log")
			l := run(t, beginning(path), nil)
			all := number(0, 60)
			for i, line := range all {
				appendTo(t, path, line+"\n")
				if i%2 == 0 {
					until(t, line, func() bool { return len(l.sink.got()) > i })
				}
				if i%each == each-1 {
					rotate(t, path)
				}
			}
			l.wants(all...)
			l.stop()
			l.gaps(0)
			for _, c := range l.sink.cuts {
				again := run(t, beginning(path), c.at)
				again.wants(all[c.records:]...)
				again.stop()
				again.gaps(0)
			}
		})
	}
}

// rotate does what logrotate does: log.2 becomes log.3, log.1 log.2, log log.1. It waits until the clock that files get
// their times from has moved on: rotations within one of its ticks cannot be told apart.
func rotate(t testing.TB, path string) {
	t.Helper()
	info, err := os.Stat(path)
	must(t, err)
	clock := filepath.Join(t.TempDir(), "clock")
	until(t, "the clock to move on", func() bool {
		must(t, os.WriteFile(clock, []byte("x"), 0o600))
		now, err := os.Stat(clock)
		return err == nil && now.ModTime().After(info.ModTime())
	})
	last := 1
	for !vanished(fmt.Sprintf("%s.%d", path, last)) {
		last++
	}
	for i := last; i > 1; i-- {
		must(t, os.Rename(fmt.Sprintf("%s.%d", path, i-1), fmt.Sprintf("%s.%d", path, i)))
	}
	must(t, os.Rename(path, path+".1"))
}

func TestDiesAndRotatesAgainAndAgain(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	var have, want []string
	at := map[string]receiver.Cursor{}
	for round := range 30 {
		l := run(t, beginning(path), at)
		for i := range round % 4 {
			appendTo(t, path, text(number(len(want), len(want)+7)))
			want = append(want, number(len(want), len(want)+7)...)
			if i > 0 {
				rotate(t, path)
			}
		}
		until(t, "all", func() bool { return len(l.sink.got()) >= len(want)-len(have) })
		l.stop()
		l.gaps(0)
		if got := l.sink.got(); !slices.Equal(got, want[len(have):]) {
			t.Fatalf("got %q\nwant %q", got, want[len(have):])
		}
		if len(l.sink.cuts) > 0 { // dies before the last batches were committed
			c := l.sink.cuts[(round*7)%len(l.sink.cuts)]
			at, have = c.at, append(have, l.sink.got()[:c.records]...)
		}
		for i := range round % 5 {
			if i > 0 {
				rotate(t, path)
			}
			appendTo(t, path, text(number(len(want), len(want)+5)))
			want = append(want, number(len(want), len(want)+5)...)
		}
	}
	l := run(t, beginning(path), at)
	l.wants(want[len(have):]...)
}

func TestCompressedWhileNobodyRead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	appendTo(t, path, text(number(0, 10)))
	l := run(t, beginning(path), nil)
	l.wants(number(0, 10)...)
	l.stop()
	must(t, os.Rename(path, path+".2.gz")) // in effect: the inode is gone
	must(t, os.WriteFile(path+".2.gz.new", []byte("\x1f\x8b..."), 0o600))
	must(t, os.Rename(path+".2.gz.new", path+".2.gz"))
	appendTo(t, path+".1", "rotated, not compressed\n")
	appendTo(t, path, "current\n")
	l = run(t, beginning(path), l.sink.at)
	l.wants("rotated, not compressed", "current")
	l.gaps(1)
}

func TestCopiedAndTruncatedWhileNobodyRead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	appendTo(t, path, text(number(0, 100)))
	l := run(t, beginning(path), nil)
	l.wants(number(0, 100)...)
	l.stop()
	appendTo(t, path, text(number(100, 110)))
	copied, err := os.ReadFile(path)
	must(t, err)
	must(t, os.WriteFile(path+".1", copied, 0o600))
	must(t, os.Truncate(path, 0))
	appendTo(t, path, text(number(110, 112)))
	l = run(t, beginning(path), l.sink.at)
	l.wants(number(100, 112)...)
	l.gaps(0)
}

func TestInodeIsUsedAgain(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	appendTo(t, path, text(number(0, 10)))
	l := run(t, beginning(path), nil)
	l.wants(number(0, 10)...)
	l.stop()
	must(t, os.Remove(path))
	appendTo(t, path, text(number(100, 200))) // most file systems give it the same inode
	l = run(t, beginning(path), l.sink.at)
	l.wants(number(100, 200)...)
	l.gaps(1)
}

func TestSymbolicLinkIsSwapped(t *testing.T) {
	dir := t.TempDir()
	link, other := filepath.Join(dir, "current"), filepath.Join(dir, "elsewhere")
	must(t, os.Mkdir(other, 0o700))
	a, b := filepath.Join(other, "a.log"), filepath.Join(other, "b.log")
	appendTo(t, a, "a1\n")
	appendTo(t, b, "b1\n")
	must(t, os.Symlink(a, link))
	l := run(t, beginning(link), nil)
	l.wants("a1")
	must(t, os.Symlink(b, link+".new"))
	must(t, os.Rename(link+".new", link))
	l.wants("a1", "b1")
	appendTo(t, a, "a2, late\n")
	l.wants("a1", "b1", "a2, late")
	l.stop()
	must(t, os.Rename(b, b+".1"))
	appendTo(t, b+".1", "b2, rotated\n")
	appendTo(t, b, "b3\n")
	l = run(t, beginning(link), l.sink.at)
	l.wants("b2, rotated", "b3")
}
