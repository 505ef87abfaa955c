package daemon

import (
	"context"
	"path/filepath"
	"regexp"
	"time"

	"tattled/detect"
	"tattled/event"
	"tattled/receiver"
	"tattled/receiver/journal"
	"tattled/receiver/replay"
	"tattled/receiver/tail"
)

// ReplayFeed says how a log is read in a replay: as the entry of sources.files that names it, or would have named it before it was
// rotated. Without one it is a log with headers, whose lines are believed.
func (r *Replay) ReplayFeed(name string) (feed replay.Feed, configured bool) {
	feed = replay.Feed{Name: name, Stamp: messageTime}
	feed.Source, feed.Trust, feed.Location, feed.Stream = "file:"+name, event.TrustReport, time.Local, name
	path, err := filepath.Abs(name)
	if err != nil {
		return feed, false
	}
	for _, c := range *sectionOf[tail.Files](r.config, "sources.files") {
		base, found := beforeRotation(path, c.Path)
		if !found {
			continue
		}
		feed.Source, feed.Program, feed.Reporter, feed.Trust, feed.MaxLine, feed.Stream = c.Source(), c.Program, c.Reporter, c.MostTrust(), c.MaxLine, base
		if zone, err := c.Zone(); err == nil { // the configuration was checked
			feed.Location = zone
		}
		return feed, true
	}
	return feed, false
}

// rotated is what rotation and packing put behind a log's name.
var rotated = regexp.MustCompile(`(\.(gz|xz|zst|old|\d{1,5})|[-.]\d{4}-?\d{2}-?\d{2}([-_T]?\d{2,6})?)$`)

// beforeRotation returns the name that a path had when pattern matched it.
func beforeRotation(path, pattern string) (base string, found bool) {
	for {
		if matched, err := filepath.Match(pattern, path); err == nil && matched {
			return path, true
		}
		shorter := rotated.ReplaceAllString(path, "")
		if shorter == path {
			return "", false
		}
		path = shorter
	}
}

// messageTime is a replay.Feed's Stamp.
func messageTime(message []byte, zone *time.Location, latest time.Time) (time.Time, bool) {
	return detect.When(message).Time(zone, latest)
}

// Journal reads what the journal has since a time (zero: all of it), as sources.journal says or else as it is, and hands it to h with
// the times of its entries.
func (r *Replay) Journal(ctx context.Context, since time.Time, h receiver.Handler) error {
	var c journal.Config
	if section := *sectionOf[*journal.Config](r.config, "sources.journal"); section != nil {
		c = *section
	}
	c.Known = func(program []byte) bool { return r.engine.Load().rules.Knows(string(program)) }
	in, err := journal.New(c)
	if err != nil {
		return err
	}
	return in.Once(ctx, since, &replay.Timed{Handler: h})
}
