package tail

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"tattled/receiver"
)

// previewer is a sink that wants to see what a log ends with: lines that it was shown begin with "seen ".
type previewer struct{ sink }

func (p *previewer) Preview(b *receiver.Batch) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, r := range b.Records {
		p.lines = append(p.lines, fmt.Sprintf("seen %s %s", b.Stream, r.Message))
	}
}

// A file's last complete lines are shown before the first of it is handed over, wherever reading begins, and are not handed over
// because of that.
func TestPreview(t *testing.T) {
	filler := strings.Repeat("x", 1000)
	var lines []string
	for i := range 100 {
		lines = append(lines, fmt.Sprintf("%03d %s", i, filler))
	}
	old := strings.Join(lines, "\n") + "\n"
	shown := lines[100-previewSize/len(lines[0]+"\n"):]
	for start, taken := range map[string][]string{"end": {"the end came later"}, "beginning": append(lines[:100:100], "the end came later")} {
		path := filepath.Join(t.TempDir(), "log")
		appendTo(t, path, old+"the end came ")
		var want []string
		for _, line := range shown {
			want = append(want, "seen file:"+path+" "+line)
		}
		p := &previewer{}
		r := make1(t, Config{Path: path, Program: "test", Start: start})
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- r.Run(ctx, p, p) }()
		until(t, "the old lines", func() bool { return p.count() == len(want)+len(taken)-1 })
		appendTo(t, path, "later\n")
		l := life{t: t, r: r, sink: &p.sink}
		l.wants(append(want, taken...)...)
		cancel()
		must(t, <-ended)
	}
}
