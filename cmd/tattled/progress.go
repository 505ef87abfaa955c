package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/term"
)

// progress is a bar on a terminal, and nothing elsewhere.
type progress struct {
	w     io.Writer // nil: no bar
	total int64
	began time.Time
	shown time.Time
}

const (
	barWidth = 30
	// quiet is how long work takes before it is worth a bar.
	quiet = 300 * time.Millisecond
)

func newProgress(w io.Writer, total int64) *progress {
	p := &progress{total: total, began: time.Now()}
	if f, ok := w.(*os.File); ok && term.IsTerminal(int(f.Fd())) && total > 0 {
		p.w = w
	}
	return p
}

// show says how many bytes of the total are done, ten times a second at most.
func (p *progress) show(done int64) {
	now := time.Now()
	if p.w == nil || now.Sub(p.began) < quiet || now.Sub(p.shown) < 100*time.Millisecond {
		return
	}
	p.shown = now
	part := min(float64(done)/float64(p.total), 1)
	full := int(part * barWidth)
	rate := float64(done) / now.Sub(p.began).Seconds() / 1e6
	fmt.Fprintf(p.w, "\r[%s%s] %3.0f %%  %.0f MB/s ", strings.Repeat("#", full), strings.Repeat(".", barWidth-full), part*100, rate)
}

// done takes the bar away.
func (p *progress) done() {
	if p.w != nil && !p.shown.IsZero() {
		fmt.Fprint(p.w, "\r\x1b[K")
	}
}
