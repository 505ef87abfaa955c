package tail

import (
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"tattled/receiver"
	"tattled/receiver/receivertest"
)

// verdict is how often each line of a campaign came.
type verdict struct{ lost, twice int }

func judge(got []string, written int) (v verdict) {
	counts := make(map[string]int, len(got))
	for _, line := range got {
		counts[line]++
	}
	for _, line := range number(0, written) {
		if n := counts[line]; n > 0 {
			v.twice += n - 1
		} else {
			v.lost++
		}
	}
	return v
}

// rotations are the ways in which a log is rotated.
func rotations() map[string]func(t testing.TB, path string) {
	shift := func(t testing.TB, path, suffix string) {
		for i := 5; i > 0; i-- {
			err := os.Rename(fmt.Sprintf("%s.%d%s", path, i, suffix), fmt.Sprintf("%s.%d%s", path, i+1, suffix))
			if err != nil && !os.IsNotExist(err) {
				t.Fatal(err)
			}
		}
	}
	create := func(t testing.TB, path string) {
		f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
		must(t, err)
		must(t, f.Close())
	}
	return map[string]func(testing.TB, string){
		"create": func(t testing.TB, path string) {
			rotate(t, path)
			create(t, path)
			_ = os.Remove(path + ".6") // which lets the file system give its inode to another
		},
		"nocreate": func(t testing.TB, path string) {
			rotate(t, path)
			_ = os.Remove(path + ".6")
		},
		"compress": func(t testing.TB, path string) { // delayed by one rotation, as logrotate does
			shift(t, path, ".gz")
			if from, err := os.Open(path + ".1"); err == nil {
				to, err := os.Create(path + ".2.gz")
				must(t, err)
				z := gzip.NewWriter(to)
				_, err = io.Copy(z, from)
				must(t, err)
				must(t, z.Close())
				must(t, to.Close())
				must(t, from.Close())
			}
			must(t, os.Rename(path, path+".1"))
			create(t, path)
			_ = os.Remove(path + ".6.gz")
		},
	}
}

// A log is rotated again and again, in each way, by path, by a pattern and through a link, with lines that are still being
// written and restarts from the last committed position: no line is lost, none comes twice.
func TestRotationCampaign(t *testing.T) {
	rounds := receivertest.Size(24, 500)
	for how, turn := range rotations() {
		for _, by := range []string{"path", "pattern", "link"} {
			t.Run(how+" by "+by, func(t *testing.T) {
				t.Parallel()
				dir := t.TempDir()
				path := filepath.Join(dir, "app.log")
				appendTo(t, path, "")
				config := map[string]string{"path": path, "pattern": filepath.Join(dir, "*.log"), "link": filepath.Join(dir, "current")}[by]
				must(t, os.Symlink(path, filepath.Join(dir, "current")))
				l := runTo(t, make1(t, Config{Path: config, Program: "test", Start: "beginning"}), &sink{plain: true})
				written, restarts := 0, 0
				var gaps uint64
				for i := range rounds {
					f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
					must(t, err)
					write(t, f, text(number(written, written+5))+"line ") // the last one is cut in the middle
					written += 5
					if i%4 != 3 {
						until(t, "the last lines", func() bool { return l.sink.count() >= written })
					}
					switch i % 8 {
					case 5, 7:
						// What was rotated is closed, and that is committed: of a file that is gone nobody knows whether it was read.
						until(t, "the rotated files to be closed", func() bool { return l.r.Meter().Open.Load() <= 1 })
						appendTo(t, path, fmt.Sprintf("%06d\n", written))
						written++
						write(t, f, "line ")
						until(t, "the last line", func() bool { return l.sink.count() >= written })
						l.stop()
						gaps += l.r.Meter().Gaps.Load()
						l = runTo(t, make1(t, Config{Path: config, Program: "test", Start: "beginning"}), &sink{plain: true, at: l.sink.at, lines: l.sink.got()})
						restarts++
					}
					turn(t, path)
					write(t, f, fmt.Sprintf("%06d\n", written)) // the writer has not noticed yet
					written++
					must(t, f.Close())
					if i%4 != 3 && i%8 != 5 { // after a restart the path may be gone before it is seen: then the rest is read when it is back
						until(t, "the rest of the line", func() bool { return l.sink.count() >= written })
					}
				}
				appendTo(t, path, text(number(written, written+1))) // so that the path is there again
				written++
				until(t, "all", func() bool { return l.sink.count() >= written })
				sizeSeen(l.r, path)
				l.stop()
				gaps += l.r.Meter().Gaps.Load()
				v := judge(l.sink.got(), written)
				t.Logf("figure: row 10: %d rotations (%s, by %s) with %d restarts: of %d lines %d lost, %d twice; %d gaps counted", rounds, how, by, restarts, written, v.lost, v.twice, gaps)
				if v != (verdict{}) || len(l.sink.got()) != written || gaps != 0 {
					t.Errorf("%d lines came of %d: %+v, %d gaps", len(l.sink.got()), written, v, gaps)
				}
			})
		}
	}
}

// copytruncate loses what was not read before it; that is counted, and nothing comes twice.
func TestCopyTruncateCampaign(t *testing.T) {
	rounds := receivertest.Size(24, 500)
	dir := t.TempDir()
	path, other := filepath.Join(dir, "a.log"), filepath.Join(dir, "b.log")
	appendTo(t, path, "")
	l := runTo(t, make1(t, Config{Path: filepath.Join(dir, "*.log"), Program: "test", Start: "beginning"}), &sink{plain: true})
	written, others, cut := 0, 0, 0
	looked := func() { // a.log is looked at before b.log, so at the second line of this it has been
		for range 2 {
			appendTo(t, other, "other\n")
			others++
			until(t, "the other file's line", func() bool { return l.sink.count() >= written+others })
		}
	}
	for i := range rounds {
		appendTo(t, path, text(number(written, written+50)))
		written += 50
		until(t, "the lines", func() bool { return l.sink.count() >= written+others })
		if i%3 == 0 { // half a line that nobody will ever read
			before := l.r.Meter().Gaps.Load()
			appendTo(t, path, "half of a line")
			looked()
			must(t, os.Truncate(path, 0))
			until(t, "the gap to be counted", func() bool { return l.r.Meter().Gaps.Load() > before })
			cut++
			continue
		}
		must(t, os.Truncate(path, 0))
	}
	l.stop()
	v, gaps := judge(l.sink.got(), written), l.r.Meter().Gaps.Load()
	t.Logf("figure: row 10: %d copytruncates, %d of them in the middle of a line: of %d lines %d lost, %d twice; %d gaps counted", rounds, cut, written, v.lost, v.twice, gaps)
	if v != (verdict{}) || gaps != uint64(cut) {
		t.Errorf("%+v, %d gaps, want %d", v, gaps, cut)
	}
}

// counter is a handler that keeps nothing but how many lines came and the last position.
type counter struct {
	at    map[string]receiver.Cursor
	lines map[string]struct{}
	total int
	want  int
	done  context.CancelFunc
}

func (c *counter) Position(stream string) receiver.Cursor { return c.at[stream] }

func (c *counter) Handle(_ context.Context, b *receiver.Batch) error {
	c.at[b.Stream] = slices.Clone(b.Cursor)
	for _, r := range b.Records {
		c.lines[string(r.Message)] = struct{}{}
	}
	if c.total += len(b.Records); c.total >= c.want {
		c.done()
	}
	return nil
}

// What was written while nobody read, 100,000 lines over three rotations, is found at once and read fast.
func TestRestartFindsItsPlace(t *testing.T) {
	lines := receivertest.Size(100_000, 1_000_000)
	const least = 50_000 // lines a second
	path := filepath.Join(t.TempDir(), "auth.log")
	appendTo(t, path, text(number(0, 10)))
	l := run(t, beginning(path), nil)
	l.wants(number(0, 10)...)
	l.stop()
	for i := range 4 {
		if i > 0 {
			rotate(t, path)
		}
		appendTo(t, path, text(number(10+i*lines/4, 10+(i+1)*lines/4)))
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	c := &counter{at: maps.Clone(l.sink.at), lines: map[string]struct{}{}, want: lines, done: cancel}
	begun := time.Now()
	r := make1(t, Config{Path: path, Program: "test"})
	if err := r.Run(ctx, c, c); err != nil {
		t.Fatal(err)
	}
	took := time.Since(begun)
	lost, twice := lines-len(c.lines), c.total-len(c.lines)
	rate := float64(lines) / took.Seconds()
	t.Logf("figure: row 11: %d lines over 3 rotations while nobody read: %d lost, %d twice, %.0f lines/s", lines, lost, twice, rate)
	if lost != 0 || twice != 0 || rate < least {
		t.Errorf("%d lost, %d twice, %.0f lines/s, want 0, 0 and at least %d", lost, twice, rate, least)
	}
}
