package tail

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"tattled/receiver"
	"tattled/receiver/receivertest"
)

// Many logs with fourteen rotated files each are in one folder. Each folder is listed once a turn, not once for each log:
// at the start, and when all of them are rotated at once.
func TestManyLogsInAFolder(t *testing.T) {
	const kept, most = 14, 25
	logs := receivertest.Size(200, MaxFiles)
	dir := t.TempDir()
	name := func(i, n int) string {
		if n == 0 {
			return filepath.Join(dir, fmt.Sprintf("site%03d.log", i))
		}
		return filepath.Join(dir, fmt.Sprintf("site%03d.log.%d", i, n))
	}
	for i := range logs {
		for n := range kept + 1 {
			must(t, os.WriteFile(name(i, n), fmt.Appendf(nil, "site %d, file %d\n", i, n), 0o600))
		}
	}
	start := func(at map[string]receiver.Cursor) *life {
		r := make1(t, Config{Path: filepath.Join(dir, "*.log"), Program: "test"})
		r.poll = pollEvery / 2
		return runTo(t, r, &sink{at: at, plain: true})
	}
	l := start(nil)
	until(t, "all to be open", func() bool { return l.r.Meter().Open.Load() == int64(logs) })
	for i := range logs {
		appendTo(t, name(i, 0), "before\n")
	}
	until(t, "a line of each", func() bool { return l.sink.count() == logs })
	l.stop()
	firstLists := l.r.folders.lists

	for i := range logs {
		appendTo(t, name(i, 0), "while nobody read\n")
	}
	begun := time.Now()
	l = start(l.sink.at)
	until(t, "a line of each", func() bool { return l.sink.count() == logs })
	started := time.Since(begun)

	for i := range logs {
		for n := kept; n > 0; n-- {
			must(t, os.Rename(name(i, n-1), name(i, n)))
		}
	}
	begun = time.Now()
	for i := range logs {
		appendTo(t, name(i, 0), "after\n")
	}
	until(t, "the line after the rotation of each", func() bool { return l.sink.count() == 2*logs })
	rotated := time.Since(begun)
	l.stop()
	l.gaps(0)
	t.Logf("figure: row 10: %d logs with %d rotated files each: %.2f s to the first lines at a start, %.2f s at a rotation of all; the folder was listed %d times",
		logs, kept, started.Seconds(), rotated.Seconds(), l.r.folders.lists)
	if firstLists > 1 || l.r.folders.lists > most {
		t.Errorf("the folder was listed %d times at the first start, %d times after it, at most 1 and %d are allowed", firstLists, l.r.folders.lists, most)
	}
}
