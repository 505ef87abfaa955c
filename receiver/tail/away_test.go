package tail

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"tattled/receiver"
)

// away is a way in which a file cannot be read for a while. Its functions return where the file is meanwhile.
type away struct {
	what  string
	leave func(t testing.TB, path string) string
	back  func(t testing.TB, path string)
}

func ways() []away {
	elsewhere := func(path string) string { return filepath.Join(filepath.Dir(filepath.Dir(path)), "elsewhere") }
	return []away{
		{"vanished", func(t testing.TB, path string) string {
			must(t, os.Rename(path, elsewhere(path)))
			return elsewhere(path)
		}, func(t testing.TB, path string) { must(t, os.Rename(elsewhere(path), path)) }},
		{"unreadable", func(t testing.TB, path string) string {
			must(t, os.Rename(path, elsewhere(path)))
			must(t, os.Symlink(path, path)) // a loop: no right helps
			return elsewhere(path)
		}, func(t testing.TB, path string) { must(t, os.Rename(elsewhere(path), path)) }},
		{"in a folder that vanished", func(t testing.TB, path string) string {
			must(t, os.Rename(filepath.Dir(path), elsewhere(path)))
			return filepath.Join(elsewhere(path), filepath.Base(path))
		}, func(t testing.TB, path string) { must(t, os.Rename(elsewhere(path), filepath.Dir(path))) }},
		{"in an unreadable folder", func(t testing.TB, path string) string {
			dir := filepath.Dir(path)
			must(t, os.Rename(dir, elsewhere(path)))
			must(t, os.Symlink(dir, dir))
			return filepath.Join(elsewhere(path), filepath.Base(path))
		}, func(t testing.TB, path string) {
			must(t, os.Remove(filepath.Dir(path)))
			must(t, os.Rename(elsewhere(path), filepath.Dir(path)))
		}},
	}
}

// A file that cannot be read for a while, or is not there, is read on where it was left, by its path and by a pattern, with
// and without a restart meanwhile: each line comes once.
func TestAwayForAWhile(t *testing.T) {
	for _, way := range ways() {
		for _, name := range []string{"a.log", "*.log"} {
			for _, restarts := range []string{"", "during", "before", "during, during", "before, during, after"} {
				t.Run(fmt.Sprintf("%s/%s/restarts %s", way.what, name, restarts), func(t *testing.T) {
					t.Parallel()
					dir := filepath.Join(t.TempDir(), "logs")
					must(t, os.Mkdir(dir, 0o700))
					path := filepath.Join(dir, "a.log")
					appendTo(t, path, "old\n")
					l := run(t, Config{Path: filepath.Join(dir, name)}, nil)
					l.begun()
					appendTo(t, path, text(number(0, 10)))
					l.wants(number(0, 10)...)
					var got []string
					again := func() {
						got = append(got, l.sink.got()...)
						l.gaps(0)
						l = run(t, Config{Path: filepath.Join(dir, name)}, l.sink.at)
					}
					restart := func(when string) {
						for range strings.Count(restarts, when) {
							l.stop()
							again()
							sizeSeen(l.r, path)
						}
					}
					if strings.Contains(restarts, "before") {
						l.stop()
					}
					meanwhile := way.leave(t, path)
					if strings.Contains(restarts, "before") {
						again()
					}
					if restarts == "" { // long enough to be let go
						until(t, "the file to be closed, or to be still unreadable", func() bool {
							return l.r.Meter().Open.Load() == 0 || l.r.Meter().Errors.Load() > 20
						})
					}
					restart("during")
					if restarts != "" {
						appendTo(t, meanwhile, text(number(10, 15)))
					}
					way.back(t, path)
					restart("after")
					if restarts == "" {
						appendTo(t, path, text(number(10, 15)))
					}
					appendTo(t, path, text(number(15, 20)))
					until(t, "the last line", func() bool {
						all := l.sink.got()
						return len(all) > 0 && all[len(all)-1] == "line 000019"
					})
					sizeSeen(l.r, path)
					l.stop()
					l.gaps(0)
					if got = append(got, l.sink.got()...); !slices.Equal(got, number(0, 20)) {
						t.Errorf("got %q", got)
					}
				})
			}
		}
	}
}

// A file that cannot be read when tattled first sees it begins at its end when it can, like any other, after a restart too.
func TestUnreadableAtFirstSight(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	appendTo(t, path+".real", "old\n")
	must(t, os.Symlink(path, path))
	var l *life
	at := map[string]receiver.Cursor(nil)
	for range 3 {
		l = run(t, Config{Path: path}, at)
		until(t, "an error", func() bool { return l.r.Meter().Errors.Load() > 0 })
		l.stop()
		at = l.sink.at
	}
	l = run(t, Config{Path: path}, at)
	until(t, "an error", func() bool { return l.r.Meter().Errors.Load() > 0 })
	must(t, os.Rename(path+".real", path))
	until(t, "the file to be open", func() bool { return l.r.Meter().Open.Load() == 1 })
	appendTo(t, path, "new\n")
	l.wants("new")
}

// A link that leads elsewhere for a while leads to a file then that was read before: it is read on, after a restart too.
func TestLinkIsSwappedAndBack(t *testing.T) {
	for _, restart := range []bool{false, true} {
		t.Run(fmt.Sprintf("restart %v", restart), func(t *testing.T) {
			dir := t.TempDir()
			link, a, b := filepath.Join(dir, "current"), filepath.Join(dir, "a"), filepath.Join(dir, "b")
			swap := func(to string) {
				must(t, os.Symlink(to, link+".new"))
				must(t, os.Rename(link+".new", link))
			}
			appendTo(t, a, "a1\n")
			appendTo(t, b, "b1\n")
			swap(a)
			l := run(t, beginning(link), nil)
			l.wants("a1")
			swap(b)
			l.wants("a1", "b1")
			until(t, "a to be closed", func() bool { return l.r.Meter().Open.Load() == 1 })
			appendTo(t, b, "b2\n")
			l.wants("a1", "b1", "b2")
			want := []string{"a1", "b1", "b2", "a2", "b3"}
			if restart {
				l.stop()
				l, want = run(t, beginning(link), l.sink.at), want[3:]
			}
			appendTo(t, a, "a2\n")
			swap(a)
			l.wants(want[:len(want)-1]...)
			appendTo(t, b, "b3\n")
			l.wants(want...)
			l.gaps(0)
		})
	}
}

// Where a pattern matches the copy that copytruncate makes as well, each line comes once, be it from the log or from its
// copy; with a restart at each step.
func TestCopyTruncateUnderAPattern(t *testing.T) {
	for _, lines := range []int{3, 500} {
		for restart := range 5 {
			t.Run(fmt.Sprintf("%d lines, restart at step %d", lines, restart), func(t *testing.T) {
				t.Parallel()
				dir := t.TempDir()
				c := beginning(filepath.Join(dir, "*.log*"))
				path := filepath.Join(dir, "app.log")
				appendTo(t, path, text(number(0, lines)))
				l := run(t, c, nil)
				l.wants(number(0, lines)...)
				var got []string
				step := func(n int) {
					if n == restart {
						l.stop()
						l.gaps(0)
						got = append(got, l.sink.got()...)
						l = run(t, c, l.sink.at)
					}
					sizeSeen(l.r, path)
				}
				step(1)
				from, err := os.Open(path)
				must(t, err)
				to, err := os.Create(path + ".1")
				must(t, err)
				_, err = io.CopyN(to, from, int64(lines*6)) // the copy is half done
				must(t, err)
				step(2)
				_, err = io.Copy(to, from)
				must(t, err)
				must(t, from.Close())
				must(t, to.Close())
				step(3)
				must(t, os.Truncate(path, 0))
				step(4)
				appendTo(t, path, text(number(lines, lines+5)))
				until(t, "the last line", func() bool {
					all := l.sink.got()
					return len(all) > 0 && all[len(all)-1] == number(lines, lines+5)[4]
				})
				sizeSeen(l.r, path)
				l.stop()
				l.gaps(0)
				if got = append(got, l.sink.got()...); !slices.Equal(got, number(0, lines+5)) {
					t.Errorf("%d lines, want %d: %.2000q", len(got), lines+5, got)
				}
			})
		}
	}
}

// The clock was put back by hours, and the log was rotated several times while nobody read: no file is lost, and none
// that was there before is read again. Where the names tell nothing, a gap is counted.
func TestClockPutBack(t *testing.T) {
	for _, down := range []int{1, 2, 4} {
		t.Run(fmt.Sprintf("%d rotations", down), func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "log")
			shift := func() {
				for i := 9; i > 0; i-- {
					if err := os.Rename(fmt.Sprintf("%s.%d", path, i), fmt.Sprintf("%s.%d", path, i+1)); err != nil && !os.IsNotExist(err) {
						t.Fatal(err)
					}
				}
				must(t, os.Rename(path, path+".1"))
			}
			later := func(h time.Duration) { must(t, os.Chtimes(path, time.Time{}, time.Now().Add(h*time.Hour))) }
			for i := range 4 { // what was there before, of the clock that was ahead
				appendTo(t, path, "old\n")
				later(time.Duration(i) - 1)
				shift()
			}
			appendTo(t, path, text(number(0, 10)))
			later(3)
			l := run(t, beginning(path), nil)
			l.wants(number(0, 10)...)
			l.stop()
			for i := range down {
				shift()
				appendTo(t, path, text(number(10+i, 11+i)))
			}
			l = run(t, beginning(path), l.sink.at)
			l.wants(number(10, 10+down)...)
			l.gaps(0)
			shift() // and it goes on so
			appendTo(t, path, "end\n")
			l.wants(append(number(10, 10+down), "end")...)
		})
	}
	t.Run("names with dates", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "log")
		appendTo(t, path, text(number(0, 10)))
		must(t, os.Chtimes(path, time.Time{}, time.Now().Add(3*time.Hour)))
		l := run(t, beginning(path), nil)
		l.wants(number(0, 10)...)
		l.stop()
		must(t, os.Rename(path, path+"-20261122"))
		appendTo(t, path, "lost, or old: nothing tells\n")
		must(t, os.Rename(path, path+"-20261121"))
		appendTo(t, path, "end\n")
		l = run(t, beginning(path), l.sink.at)
		l.wants("end")
		l.gaps(1)
	})
}
