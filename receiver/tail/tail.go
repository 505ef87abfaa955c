// Package tail follows log files: it reads what is appended to them, through rotation by renaming, copytruncate, removal
// and symbolic links, and after a restart goes on where it stopped, even if the file was moved meanwhile. It is started
// by daemon, one Receiver for each entry of sources.files. Splitter, which makes records of lines, serves package replay
// as well.
//
// It reads no compressed file and no part of a line: a line is handed over when its end is written.
//
// What is true of the files is found out with stat, each second; inotify only says that it is worth to look earlier.
// A file is known by its inode and a hash of its first bytes. It is held open, so renaming and removal change nothing
// for it: it is read until nothing has come for half a minute, beside the file that took its place. So rotation by
// renaming loses nothing and gives nothing twice. Where reading ended in the last files that were closed is part of the
// position, for one that comes back; and what cannot be found or opened at a restart stays part of it until something
// else is at the path. A file that several paths name, of whatever entry, is read under one of them (Shared). Rotation by copying and truncating does lose what was written between
// the copy and the truncation, and what was not read before it; the latter is counted as a gap.
//
// Gaps are counted where lines may be lost: see Receiver.Meter.
//
//	stat, inotify -> follower (a path) -> file (an inode) -> 64 KiB block -> Splitter -> Batch -> Handle
package tail

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"tattled/receiver"
	"tattled/receiver/wire"
)

const (
	pollEvery = time.Second
	// settleAfter is how long a file that was moved away must be quiet before it is closed. logrotate tells daemons to open
	// their logs anew only after it has rotated all of them.
	settleAfter = 30 * time.Second
	// pause gathers what comes right after a wake-up, so that a busy writer does not wake us for each of its lines.
	pause = 10 * time.Millisecond
)

// Receiver follows the files of one entry of sources.files.
type Receiver struct {
	config   Config
	source   string
	log      *slog.Logger
	splitter Splitter
	zone     *time.Location
	meter    receiver.Meter
	poll     time.Duration
	settle   time.Duration
	shared   *Shared
	doubles  atomic.Int64 // paths whose file another entry's receiver reads
	seen     atomic.Pointer[sight]

	// What follows belongs to Run.
	handler   receiver.Handler
	from      receiver.Positions
	now       time.Time
	followers []*follower // sorted by path
	folders   folders
	crowded   bool  // there are more files than MaxFiles
	missed    bool  // it was logged that there is no file
	start     start // for files that are there when Run begins

	block   []byte
	records []receiver.Record
	marks   []mark
	cursor  []byte
	batch   receiver.Batch
}

// New makes a receiver for the files that c names. It looks at no file yet.
func New(c Config) (*Receiver, error) {
	var faults []error
	c.Check(func(path, problem string) { faults = append(faults, fmt.Errorf("%s %s", path, problem)) })
	if len(faults) > 0 {
		return nil, fmt.Errorf("follow %s: %w", c.Path, errors.Join(faults...))
	}
	zone, err := c.Zone()
	if err != nil {
		return nil, fmt.Errorf("follow %s: %w", c.Path, err)
	}
	r := &Receiver{config: c, source: c.Source(), log: c.Logger, zone: zone, poll: pollEvery, settle: settleAfter, shared: c.Shared}
	if r.shared == nil {
		r.shared = NewShared()
	}
	r.shared.join()
	if r.log == nil {
		r.log = slog.New(slog.DiscardHandler)
	}
	r.splitter = Splitter{MaxLine: c.MaxLine, Trust: c.MostTrust(), Parser: wire.NewParser(zone)}
	if c.MaxLine == 0 {
		r.splitter.MaxLine = DefaultMaxLine
	}
	if c.Program != "" {
		r.splitter.Program = []byte(c.Program)
	}
	return r, nil
}

// Source returns "file:" and the configured path.
func (r *Receiver) Source() string { return r.source }

// Meter returns the receiver's counters. A Gap is a file that was truncated, removed or compressed before it was read to
// its end; Open counts files.
func (r *Receiver) Meter() *receiver.Meter { return &r.meter }

// Run follows the files until ctx ends or the handler fails. Each path is a stream of its own.
func (r *Receiver) Run(ctx context.Context, from receiver.Positions, h receiver.Handler) error {
	r.handler, r.from = h, from
	r.folders.byPath = map[string]*folder{}
	r.block = make([]byte, max(blockSize, r.splitter.MaxLine+2))
	r.records = make([]receiver.Record, 0, recordsABatch)
	defer r.closeAll()
	w := newWatch()
	defer w.close()

	err := r.begin(ctx)
	for err == nil && ctx.Err() == nil {
		if err = r.turn(ctx, w); err != nil {
			break
		}
		if w.all {
			r.survey()
			w.follow(r.followers, filepath.Dir(r.config.Path))
		}
		w.wait(ctx, r.poll)
	}
	if ctx.Err() != nil {
		return nil
	}
	return fmt.Errorf("follow %s: %w", r.config.Path, err)
}

func (r *Receiver) closeAll() {
	for _, fl := range r.followers {
		r.permit(fl)
		for len(fl.files) > 0 {
			r.close(fl, 0)
		}
	}
	r.followers, r.folders.byPath, r.block, r.records = nil, nil, nil, nil
	r.seen.Store(nil)
}

// begin finds the place in each file that was read before, and then in those that were not: a file that rotation has
// given a name which the pattern matches belongs to the path that it was read under.
func (r *Receiver) begin(ctx context.Context) error {
	r.now = time.Now()
	first := r.from.Position(r.source) == nil // a stream that is never read: its position says that the pattern was seen before
	if r.start = fromBeginning; first && r.config.Start != "beginning" {
		r.start = fromEnd
	}
	known := map[*follower]bool{}
	for _, fl := range r.expand() {
		known[fl] = r.takeUp(fl)
	}
	r.shared.await(ctx)
	for _, fl := range r.followers {
		r.look(fl)
		if err := r.settleStart(ctx, fl, known[fl]); err != nil {
			return err
		}
	}
	if r.start == fromEnd && r.config.isPattern() {
		r.start = fromBeginning
		return r.handle(ctx, r.source, nil, nil)
	}
	return nil
}

// takeUp goes on in the files of a path that was read before, and reports whether it was.
func (r *Receiver) takeUp(fl *follower) bool {
	c := r.from.Position(fl.stream)
	if c == nil {
		return false
	}
	seen, marks, past, err := parseCursor(c)
	if err != nil {
		r.fault(fl, fmt.Errorf("position of %s: %w: reading starts as if it had never been read", fl.path, err))
		r.meter.Gaps.Add(1)
		return false
	}
	fl.start, fl.seen, fl.past = fromBeginning, seen, past
	r.resume(fl, marks)
	return true
}

// settleStart has a start at the end of a file committed, though there is no record to go with it: else what is written
// before the next start would be taken for old. A file that another entry's receiver reads, or that cannot be read yet, has
// no start.
func (r *Receiver) settleStart(ctx context.Context, fl *follower, known bool) error {
	if known || r.config.Start == "beginning" || fl.denied > 0 || fl.fault != "" {
		return nil
	}
	return r.handle(ctx, fl.stream, nil, fl)
}

// expand makes a follower for each path that is to be read and has none, and returns those.
func (r *Receiver) expand() (added []*follower) {
	paths := []string{filepath.Clean(r.config.Path)}
	if r.config.isPattern() {
		paths, _ = filepath.Glob(r.config.Path) // its one error is a bad pattern, which Check refuses
		paths = slices.DeleteFunc(paths, compressed)
		if crowded := len(paths) > MaxFiles; crowded {
			if !r.crowded {
				r.meter.Errors.Add(1)
				r.log.Warn("a pattern matches too many files: the rest is not read", "path", r.config.Path, "matches", len(paths), "read", MaxFiles)
			}
			paths, r.crowded = paths[:MaxFiles], true
		} else {
			r.crowded = false
		}
	}
	for _, path := range paths {
		i, found := slices.BinarySearchFunc(r.followers, path, func(fl *follower, path string) int { return strings.Compare(fl.path, path) })
		if found || len(r.followers) >= MaxFiles {
			continue
		}
		fl := &follower{path: path, stream: "file:" + path, start: r.start}
		r.followers = slices.Insert(r.followers, i, fl)
		added = append(added, fl)
	}
	return added
}

// compressed reports whether a file's name says that it is no text.
func compressed(path string) bool {
	switch filepath.Ext(path) {
	case ".gz", ".xz", ".bz2", ".zst", ".lz4", ".Z":
		return true
	}
	return false
}

// turn looks once at every path, or only at the touched ones, and reads what came, of each at most some blocks. It leaves
// in w.touched those of which there is more to read.
func (r *Receiver) turn(ctx context.Context, w *watch) error {
	r.now = time.Now()
	r.folders.forget(r.now)
	if w.all {
		for _, fl := range r.expand() { // one of them may have been away for a while
			r.takeUp(fl)
		}
	}
	for i := 0; i < len(r.followers); i++ {
		fl := r.followers[i]
		if _, ok := w.touched[fl]; !w.all && !ok {
			continue
		}
		more, err := r.step(ctx, fl)
		switch {
		case err != nil:
			return err
		case more:
			w.touched[fl] = struct{}{}
			continue
		}
		delete(w.touched, fl)
		if len(fl.files) == 0 && r.config.isPattern() && vanished(fl.path) {
			r.permit(fl)
			r.followers = slices.Delete(r.followers, i, i+1)
			i--
		}
	}
	return nil
}

// step reads what is new at one path: first the files that were there before, then the one that is there now.
func (r *Receiver) step(ctx context.Context, fl *follower) (more bool, err error) {
	r.look(fl)
	for i := 0; i < len(fl.files); {
		f := fl.files[i]
		if f.later && fl.catching {
			i++
			continue
		}
		end, err := r.read(ctx, fl, f)
		if err != nil || !end {
			return true, err
		}
		if !f.atPath && r.now.Sub(f.quiet) >= r.settle {
			r.drop(fl, i)
			continue
		}
		i++
	}
	fl.resumed = false
	if fl.catching {
		r.catchUp(fl)
		return true, nil
	}
	fl.restless = time.Time{}
	return false, nil
}
