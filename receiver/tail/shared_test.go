package tail

import (
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"tattled/event"
	"tattled/receiver"
)

// A file that several entries name, by a link, a second name or a pattern, is read once; the operator is told; and so it is
// after a restart, in whatever order they start, and when one of the entries is removed.
func TestOneFileInSeveralEntries(t *testing.T) {
	dir := t.TempDir()
	path, link, hard := filepath.Join(dir, "logs", "auth.log"), filepath.Join(dir, "link"), filepath.Join(dir, "hard")
	must(t, os.Mkdir(filepath.Dir(path), 0o700))
	appendTo(t, path, "old\n")
	must(t, os.Symlink(path, link))
	must(t, os.Link(path, hard))
	entries := []string{path, link, hard, filepath.Join(dir, "logs", "*.log")}
	var all []string
	at := map[string]receiver.Cursor{}
	for round := range 6 {
		var out lockedBuffer
		shared := NewShared()
		lives := make([]*life, len(entries))
		order := []int{0, 1, 2, 3}
		if round%2 == 1 {
			slices.Reverse(order)
		}
		receivers := make([]*Receiver, len(entries))
		for i, entry := range entries {
			receivers[i] = make1(t, Config{Path: entry, Program: "test", Shared: shared, Logger: slog.New(slog.NewTextHandler(&out, nil))})
		}
		if round > 0 {
			appendTo(t, path, text(number(10*round, 10*round+5))) // while nobody reads
			all = append(all, number(10*round, 10*round+5)...)
		}
		for _, i := range order {
			lives[i] = runOn(t, receivers[i], at)
		}
		until(t, "three to be denied", func() bool { return len(problems(receivers)) == 3 })
		appendTo(t, path, text(number(10*round+5, 10*round+10)))
		all = append(all, number(10*round+5, 10*round+10)...)
		last := all[len(all)-1]
		until(t, "the last line", func() bool { return slices.Contains(gotOf(lives), last) })
		sizeSeen(receivers[0], path)
		before := maps.Clone(at)
		for _, l := range lives {
			l.stop()
			for stream, c := range l.sink.at {
				if !slices.Equal(c, before[stream]) { // else it is what this one began with
					at[stream] = c
				}
			}
		}
		want := number(10*round, 10*round+10)
		if round == 0 {
			want = want[5:]
		}
		if got := gotOf(lives); !slices.Equal(got, want) {
			t.Fatalf("round %d: got %q, want %q", round, got, want)
		}
		if n := strings.Count(out.String(), "is in two entries"); n != 3 {
			t.Errorf("round %d: %d warnings, want 3:\n%s", round, n, out.String())
		}
		if n := len(problems(receivers)); n != 0 {
			t.Errorf("%d problems are left after the end", n)
		}
	}
}

func problems(receivers []*Receiver) (all []event.Problem) {
	for _, r := range receivers {
		all = append(all, r.Problems()...)
	}
	return all
}

func gotOf(lives []*life) (all []string) {
	for _, l := range lives {
		all = append(all, l.sink.got()...)
	}
	return all
}

// A name is a stranger's text: it is read, whatever it is, and nothing of it gets into our own log as it is.
func TestHostileNames(t *testing.T) {
	dir := t.TempDir()
	var out lockedBuffer
	names := []string{"a\n<38>Jan  1 00:00:00 web1 sshd[1]: x.log", "b\x1b[2J.log", "c\xff\xfe.log", "d\u202egol.log", "e \x00"[:2] + ".log", `f".log`}
	for i, name := range names {
		appendTo(t, filepath.Join(dir, name), fmt.Sprintf("line %d\n", i))
		loop := filepath.Join(dir, "loop "+name)
		must(t, os.Symlink(loop, loop))
	}
	l := run(t, Config{Path: filepath.Join(dir, "*.log"), Start: "beginning", Logger: slog.New(slog.NewTextHandler(&out, nil))}, nil)
	l.wantsAll([]string{"line 0", "line 1", "line 2", "line 3", "line 4", "line 5"})
	until(t, "what is unreadable to be logged", func() bool { return strings.Count(out.String(), "\n") >= len(names) })
	for i, b := range []byte(out.String()) {
		if b != '\n' && b < ' ' || b > 0x7e {
			t.Fatalf("a byte %#x is in the log: %q", b, out.String()[max(0, i-40):i+1])
		}
	}
	if n := strings.Count(out.String(), "\n"); n != len(names) {
		t.Errorf("%d lines were logged, want %d", n, len(names))
	}
	l.stop()
	for stream := range l.sink.at {
		if !strings.HasPrefix(stream, "file:"+dir) {
			t.Errorf("stream %q", stream)
		}
	}
}
