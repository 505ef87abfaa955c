package tail

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// A file that is missing, or cannot be read, is a problem with its cause, and no more when it is there: of an entry with one
// path, and of one with a pattern.
func TestProblems(t *testing.T) {
	for _, name := range []string{"a.log", "*.log"} {
		dir := t.TempDir()
		var out lockedBuffer
		c := beginning(filepath.Join(dir, name))
		c.Logger = slog.New(slog.NewTextHandler(&out, nil))
		l := run(t, c, nil)
		says := func(what string) func() bool {
			return func() bool {
				all := l.r.Problems()
				return l.r.Reads() == (what == "") && len(all) == min(1, len(what)) && strings.Contains(fmt.Sprint(all), what)
			}
		}
		until(t, name+" to be missing", says("is missing"))
		must(t, os.Symlink("a.log", filepath.Join(dir, "a.log"))) // a loop: root may read all else
		if name == "a.log" {
			until(t, name+" to be unreadable", says("cannot be read: stat"))
		}
		must(t, os.Remove(filepath.Join(dir, "a.log")))
		appendTo(t, filepath.Join(dir, "a.log"), "at last\n")
		l.wants("at last")
		until(t, name+" to be read", says(""))
		must(t, os.Remove(filepath.Join(dir, "a.log")))
		until(t, name+" to be gone", func() bool { return !l.r.seen.Load().missing.IsZero() })
		if all := l.r.Problems(); len(all) > 0 || !l.r.Reads() {
			t.Errorf("%s: rotation is a problem: %v", name, all)
		}
		if n := strings.Count(out.String(), "there is no log file"); n != 1 {
			t.Errorf("%s: logged %d times:\n%s", name, n, out.String())
		}
	}
}

// A file that was there may be missing for as long as rotation takes, and one that never was may not.
func TestMissing(t *testing.T) {
	now := time.Now()
	for _, c := range []struct {
		had   bool
		since time.Duration
		want  bool
	}{{false, 0, true}, {true, 0, false}, {true, absentFor - 1, false}, {true, absentFor, true}} {
		if got := (&sight{missing: now.Add(-c.since), hadFile: c.had}).isMissing(now); got != c.want {
			t.Errorf("%+v: %v", c, got)
		}
	}
}
