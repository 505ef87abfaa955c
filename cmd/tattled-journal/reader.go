//go:build cgo

package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/coreos/go-systemd/v22/sdjournal"
	"golang.org/x/sys/unix"

	"tattled/receiver/journal"
)

const (
	batchBytes   = 64 << 10
	processEvery = 1024        // entries, after which libsystemd is told to let go of deleted files
	wait         = time.Second // for new entries, before it is looked whether the parent is still there
	patience     = 10          // errors in a row, before it is left to the parent to start anew

	linking     = 20 * time.Millisecond // between two looks at an entry that journald may be about to finish
	mostLinking = 10 * linking          // after which such an entry counts as finished
)

// reader reads one journal and writes it. All of it runs in one goroutine on one thread.
type reader struct {
	options *options
	journal *sdjournal.Journal
	entries *entries
	out     *os.File

	batch     []byte
	inBatch   int       // entries
	unchecked int       // entries since libsystemd looked at its files
	pending   bool      // the journal stands on an entry that is yet to be written
	last      string    // the position of the last entry that was written, or behind which reading began
	placed    bool      // last was written
	unsure    bool      // files came or went: entries behind last may have been lost
	held      time.Time // since when the newest entry is left for later, as it may not be whole yet; zero: it is not
	doubted   time.Time // when it was last doubted that an entry of another file proves one to be whole
}

// errNoLibrary is the error of a system without libsystemd.
var errNoLibrary = errors.New("libsystemd is missing: install libsystemd0")

// errPlace is wrapped by an error after which the journal stands on nobody knows which entry, so that no position may be
// written any more.
var errPlace = errors.New("find the way back to an entry")

// open opens the journal and goes to where reading begins.
func open(o *options, out *os.File) (*reader, error) {
	j, err := openJournal(o)
	if err != nil {
		var system syscall.Errno
		if !errors.As(err, &system) { // the system was not even asked
			err = fmt.Errorf("%w: %w", errNoLibrary, err)
		}
		return nil, fmt.Errorf("open the journal: %w", err)
	}
	r := &reader{options: o, journal: j, out: out, batch: make([]byte, 0, 2*batchBytes), placed: true}
	if err := r.begin(); err != nil {
		j.Close()
		return nil, fmt.Errorf("open the journal: %w", err)
	}
	return r, nil
}

func openJournal(o *options) (*sdjournal.Journal, error) {
	switch {
	case o.directory != "":
		return sdjournal.NewJournalFromDir(o.directory)
	case o.namespace != "":
		dir, err := namespaceDir(o.namespace)
		if err != nil {
			return nil, err
		}
		return sdjournal.NewJournalFromDir(dir)
	}
	return sdjournal.NewJournal()
}

// namespaceDir returns where journald keeps the files of a namespace (systemd-journald.service(8)).
func namespaceDir(namespace string) (string, error) {
	id, err := os.ReadFile("/etc/machine-id")
	if err != nil {
		return "", err
	}
	name := strings.TrimSpace(string(id)) + "." + namespace
	for _, parent := range []string{"/var/log/journal", "/run/log/journal"} {
		dir := filepath.Join(parent, name)
		if _, err := os.Stat(dir); err == nil {
			return dir, nil
		}
	}
	return "", fmt.Errorf("namespace %s: folder %s in /var/log/journal or /run/log/journal: %w", namespace, name, syscall.ENOENT)
}

func (r *reader) begin() error {
	var err error
	if r.entries, err = newEntries(r.journal); err != nil {
		return err
	}
	r.journal.Wait(0) // sets up inotify: without it deleted files are held open
	// What may not be read is not an error to libsystemd: it just has no files then.
	if size, err := r.journal.GetUsage(); err != nil || size == 0 {
		return errors.Join(errors.New("there is no journal file that may be read: is there a journal, and is the user in group systemd-journal?"), err)
	}
	for _, m := range r.options.matches {
		if err := r.journal.AddMatch(m); err != nil {
			return fmt.Errorf("--match %q: %w", m, err)
		}
	}
	return r.seek()
}

// run writes entries until standard output is closed or, if it is not to follow, until there are no more.
func (r *reader) run() error {
	for faults := 0; ; {
		found, err := false, error(nil)
		if r.unsure && r.inBatch == 0 {
			err = r.recheck()
		}
		if err == nil {
			found, err = r.one()
		}
		switch {
		case errors.Is(err, errBroken):
			r.markGap()
			continue
		case errors.Is(err, errPlace):
			return err
		case err != nil:
			if faults++; faults > patience {
				return err
			}
			if err := r.flush(); err != nil {
				return err
			}
			r.journal.Wait(wait / patience) // which drops a file that cannot be read
			continue
		case found && r.inBatch < r.options.every && len(r.batch) < batchBytes:
			continue
		}
		faults = 0
		if err := r.flush(); err != nil {
			return err
		}
		if !found && r.options.noFollow || closed(r.out) {
			return nil
		}
		r.look(found)
	}
}

// look has libsystemd look at what became of the files: it lets go of those that were deleted, and finds new ones. If there
// was nothing more to read, it waits for that to change.
func (r *reader) look(more bool) {
	var timeout time.Duration
	switch {
	case time.Since(r.held) < mostLinking || time.Since(r.doubted) < linking:
		timeout = linking
	case !more:
		timeout = wait
	case r.unchecked < processEvery:
		return
	}
	r.unchecked = 0
	if r.journal.Wait(timeout) == sdjournal.SD_JOURNAL_INVALIDATE { // an error Next will have again
		r.unsure = true
	}
}

// one appends the next entry to the batch, if there is one that is whole or will never be.
func (r *reader) one() (found bool, err error) {
	var has content
	start := len(r.batch)
	if r.pending {
		found, r.pending = true, false
		r.batch, has, err = r.entries.current(r.batch)
	} else {
		r.batch, found, has, err = r.entries.next(r.batch)
	}
	if err != nil || !found {
		return false, err
	}
	if has != whole {
		if found, err = r.again(start); err != nil || !found {
			return false, err
		}
	}
	r.held = time.Time{}
	r.batch = append(r.batch, '\n')
	r.inBatch++
	r.unchecked++
	return true, nil
}

// again reads the entry that begins at start once more, because it lacks a field that most have. While journald links a
// new entry, libsystemd takes the field that is being linked for damaged and leaves it out (systemd issue 40263). Only
// the newest entry can be in that state: when another follows, it is what it is. Until then an entry without a message is
// not there yet, however long that takes, as it has nothing to say; one that lacks something else is so for a while.
func (r *reader) again(start int) (found bool, err error) {
	finished, err := r.finished()
	if err != nil {
		return false, fmt.Errorf("%w: %w", errPlace, err)
	}
	var has content
	if r.batch, has, err = r.entries.current(r.batch[:start]); err != nil {
		return false, err
	}
	if r.held.IsZero() {
		r.held = time.Now()
	}
	if finished || has == whole || has == partly && (r.options.noFollow || time.Since(r.held) >= mostLinking) {
		return true, nil
	}
	r.batch = r.batch[:start]
	n, err := r.journal.Previous() // so that the position is that of the entry before, and the next is this one
	if err == nil && n == 0 {
		err = r.journal.SeekHead()
	}
	if err != nil {
		return false, fmt.Errorf("%w: %w", errPlace, err)
	}
	return false, nil
}

// finished reports whether the entry on which the journal stands cannot change any more, because another comes after it.
// The journal stays there.
//
// What one journald writes it writes in this order. But in a directory there may be files of several writers, and where
// another's entry comes next, this one may still be the newest of its file. It is given a moment, but not more than once
// in a while: else one writer could hold up what the others write.
func (r *reader) finished() (bool, error) {
	here, err := r.journal.GetCursor()
	if err != nil {
		return false, err
	}
	n, err := r.journal.Next()
	if err != nil || n == 0 {
		return false, err
	}
	there, err := r.journal.GetCursor()
	if err != nil {
		return false, err
	}
	if err := r.back(here); err != nil {
		return false, err
	}
	if r.options.directory == "" || r.options.noFollow || part(here, "s") == part(there, "s") {
		return true, nil
	}
	now := time.Now()
	if now.Sub(r.doubted) >= wait {
		r.doubted = now
	}
	return now.Sub(r.doubted) >= linking, nil
}

// back goes back by one entry, to that with this cursor.
func (r *reader) back(cursor string) error {
	if _, err := r.journal.Previous(); err != nil {
		return err
	}
	if r.journal.TestCursor(cursor) == nil {
		return nil
	}
	if err := r.journal.SeekCursor(cursor); err != nil { // an entry has come in between
		return err
	}
	if _, err := r.journal.Next(); err != nil {
		return err
	}
	return r.journal.TestCursor(cursor)
}

// markGap notes that entries are lost before the next one. They may be of no interest; but they may not.
func (r *reader) markGap() {
	r.batch = append(r.batch, journal.GapField+"=1\n\n"...)
}

// flush ends the batch with the last entry's position and writes it.
func (r *reader) flush() error {
	if r.inBatch > 0 {
		cursor, err := r.journal.GetCursor()
		if err != nil {
			return fmt.Errorf("ask for the position: %w", err)
		}
		r.last, r.placed = cursor, false
	}
	if !r.placed {
		r.batch = append(r.batch, journal.CursorField+"="+r.last+"\n\n"...)
		r.placed = true
	}
	r.inBatch = 0
	if len(r.batch) == 0 {
		return nil
	}
	_, err := r.out.Write(r.batch)
	r.batch = r.batch[:0]
	if err != nil {
		return fmt.Errorf("write: %w", err)
	}
	return nil
}

// closed reports whether nobody reads f any more.
func closed(f *os.File) bool {
	poll := []unix.PollFd{{Fd: int32(f.Fd())}}
	n, err := unix.Poll(poll, 0)
	return err == nil && n > 0 && poll[0].Revents&(unix.POLLERR|unix.POLLHUP) != 0
}
