//go:build cgo

package main

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/coreos/go-systemd/v22/sdjournal"
)

// parseSeconds reads @SECONDS[.FRACTION] and returns microseconds.
func parseSeconds(text string) (uint64, error) {
	whole, fraction, _ := strings.Cut(strings.TrimPrefix(text, "@"), ".")
	usec, err := strconv.ParseUint(whole+(fraction + "000000")[:6], 10, 63)
	if err != nil || whole == "" || !strings.HasPrefix(text, "@") || len(fraction) > 6 {
		return 0, fmt.Errorf("%q is not a time like @1795219200.5", text)
	}
	return usec, nil
}

// seek goes to where reading begins.
func (r *reader) seek() error {
	switch {
	case r.options.after != "":
		return r.seekAfter(r.options.after)
	case r.options.since != "":
		return r.journal.SeekRealtimeUsec(r.options.sinceUsec)
	case r.options.noFollow:
		return r.journal.SeekHead()
	default:
		return r.seekTail()
	}
}

// seekTail goes to the last entry: sd_journal_next after sd_journal_seek_tail alone may give an old one. It writes that
// entry's position. If there is no entry, all that comes will be read.
func (r *reader) seekTail() error {
	if err := r.journal.SeekTail(); err != nil {
		return err
	}
	n, err := r.journal.Previous()
	if err != nil {
		return err
	}
	if n == 0 {
		return r.journal.SeekHead()
	}
	r.last, err = r.journal.GetCursor()
	r.placed = false
	return err
}

// seekAfter goes behind the entry with this cursor. If it is not there, entries may be lost: then it goes to the first
// that is left of what came after it.
func (r *reader) seekAfter(cursor string) error {
	if err := r.journal.SeekCursor(cursor); err != nil {
		return err
	}
	n, err := r.journal.Next()
	if err != nil {
		return err
	}
	if n == 0 {
		return r.seekBehindAll(cursor)
	}
	switch err := r.journal.TestCursor(cursor); {
	case err == nil:
		r.last = cursor
		return nil
	case !errors.Is(err, sdjournal.ErrNoTestCursor):
		return err
	}
	here, err := r.journal.GetCursor()
	if err != nil {
		return err
	}
	if sameEntry(here, cursor) {
		r.last = here
		return nil
	}
	r.pending = true
	if !follows(here, cursor) {
		r.markGap()
	}
	return nil
}

// seekBehindAll goes behind a cursor that is ahead of the journal: after a power cut the files may be older than what was
// read. What is new then is what was written later than the cursor's entry, or what comes.
func (r *reader) seekBehindAll(cursor string) error {
	r.markGap()
	if usec, err := strconv.ParseUint(part(cursor, "t"), 16, 63); err == nil {
		if err := r.journal.SeekRealtimeUsec(usec + 1); err != nil {
			return err
		}
		n, err := r.journal.Next()
		if err != nil {
			return err
		}
		if n > 0 {
			r.pending = true
			return nil
		}
	}
	return r.seekTail()
}

// recheck finds out, after files were added or removed, whether the entry behind which reading goes on is still there. If
// it is, nothing was lost. It leaves the journal on the next entry, pending, or as it was if there is none.
func (r *reader) recheck() error {
	if r.last == "" || r.pending {
		r.unsure = false
		return nil
	}
	n, err := r.journal.Next()
	if err != nil || n == 0 {
		return err
	}
	r.pending, r.unsure = true, false
	here, err := r.journal.GetCursor()
	if err != nil || follows(here, r.last) {
		return err
	}
	// Others' entries may lie between, of another file or not matched; so the last one's own being there decides.
	if err := r.journal.SeekCursor(r.last); err != nil {
		return err
	}
	if n, err = r.journal.Next(); err != nil {
		return err
	}
	there, err := "", error(nil)
	if n > 0 {
		if there, err = r.journal.GetCursor(); err != nil {
			return err
		}
	}
	if sameEntry(there, r.last) {
		n, err = r.journal.Next()
	} else {
		r.markGap()
	}
	if n == 0 && err == nil { // the order of files has changed: go back to what was found
		if err = r.journal.SeekCursor(here); err == nil {
			n, err = r.journal.Next()
		}
	}
	r.pending = n > 0
	return err
}

// part returns one part of a cursor, "" if it has none of this name.
func part(cursor, name string) string {
	for p := range strings.SplitSeq(cursor, ";") {
		if value, found := strings.CutPrefix(p, name+"="); found {
			return value
		}
	}
	return ""
}

// sameEntry reports whether two cursors are of one entry, though it may lie in another file now: when journald moves what
// it has in /run to /var, an entry gets another sequence number, but keeps boot, times and hash.
func sameEntry(a, b string) bool {
	for _, name := range []string{"b", "m", "t", "x"} {
		if p := part(a, name); p == "" || p != part(b, name) {
			return false
		}
	}
	return true
}

// follows reports whether the entry of cursor here comes right after that of before: they have numbers of one sequence.
func follows(here, before string) bool {
	if s := part(here, "s"); s == "" || s != part(before, "s") {
		return false
	}
	a, errA := strconv.ParseUint(part(before, "i"), 16, 64)
	b, errB := strconv.ParseUint(part(here, "i"), 16, 64)
	return errA == nil && errB == nil && b == a+1
}
