package main

import (
	"bufio"
	_ "embed"
	"fmt"
	"html/template"
	"os"
	"time"

	"tattled/daemon"
)

// replayPage is the page of --html. It has its style within and no script; html/template writes every text of a log as text.
//
//go:embed replay.html
var replayPage string

// pageRows is how many rows of a list the page has.
const pageRows = 2000

func (r *replayReport) writePage(path string) error {
	page, err := template.New("replay").Funcs(template.FuncMap{
		"stamp":   stampText,
		"minute":  func(t time.Time) string { return t.UTC().Format("2006-01-02 15:04") },
		"percent": percent,
		"bar":     func(n uint64) int { return r.bar(n) },
		"over":    func(d daemon.ReplayedDay) bool { return d.Limit > 0 && d.Judged > uint64(d.Limit) },
		"reached": func(p daemon.ReplayedPolicy) bool { return p != (daemon.ReplayedPolicy{Name: p.Name}) },
		"rows":    func(all []daemon.ReplayedAddress) []daemon.ReplayedAddress { return all[:min(len(all), pageRows)] },
		"cut":     func(all []daemon.ReplayedAddress) int { return max(len(all)-pageRows, 0) },
	}).Parse(replayPage)
	if err != nil {
		return err
	}
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	w := bufio.NewWriter(f)
	err = page.Execute(w, r)
	if err == nil {
		err = w.Flush()
	}
	if closed := f.Close(); err == nil {
		err = closed
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}

// bar is how wide the bar of a day is, from 0 to 100: the day with the most has the widest.
func (r *replayReport) bar(n uint64) int {
	most := uint64(1)
	for _, d := range r.Days {
		most = max(most, d.Judged, d.Sent)
	}
	return int(100 * n / most)
}
