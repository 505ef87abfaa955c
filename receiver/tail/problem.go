package tail

import (
	"fmt"
	"time"

	"tattled/event"
)

// absentFor is how long a file that was there may be missing before that is a problem: some rotation leaves it to the
// program to make the next one, when it has something to say.
const absentFor = 10 * time.Minute

// sight is what a look at every path found. It is not written to once it is published.
type sight struct {
	open       bool      // at least one file can be read
	missing    time.Time // since when there is no file; zero: there is one
	hadFile    bool      // there was one since the start
	unreadable int       // paths
	path       string    // the first of these
	fault      string    // and why
	since      time.Time // since when there are such
}

// survey publishes what the last look at every path found, and logs a file that is missing.
func (r *Receiver) survey() {
	before := r.seen.Load()
	s := &sight{}
	if before != nil {
		s.hadFile = before.hadFile
	}
	for _, fl := range r.followers {
		s.hadFile = s.hadFile || fl.hadFile
		switch {
		case fl.fault != "":
			if s.unreadable++; s.unreadable == 1 {
				s.path, s.fault = fl.path, fl.fault
			}
		case fl.absentSince.IsZero():
			s.open = true
		}
	}
	if !s.open && s.unreadable == 0 {
		if s.missing = r.now; before != nil && !before.missing.IsZero() {
			s.missing = before.missing
		}
	}
	if s.unreadable > 0 {
		if s.since = r.now; before != nil && before.unreadable > 0 {
			s.since = before.since
		}
	}
	r.seen.Store(s)
	if missing := s.isMissing(r.now); missing && !r.missed {
		r.log.Warn("there is no log file: it is looked for each second", "path", r.config.Path, "remedy", remedyMissing)
	}
	r.missed = s.isMissing(r.now)
}

// isMissing reports whether there is no file for longer than rotation takes.
func (s *sight) isMissing(now time.Time) bool {
	return !s.missing.IsZero() && (!s.hadFile || now.Sub(s.missing) >= absentFor)
}

const (
	remedyMissing    = "correct path:, have the program log there, or remove the entry from sources.files"
	remedyUnreadable = "let the daemon's user read it (group adm reads most logs), or remove the entry from sources.files"
)

// Reads reports whether there is a file that can be read, as far as is known.
func (r *Receiver) Reads() bool {
	s := r.seen.Load()
	return s == nil || s.open || !s.isMissing(time.Now()) && s.unreadable == 0
}

// Problems returns what the operator should mend.
func (r *Receiver) Problems() []event.Problem {
	var all []event.Problem
	if n := r.doubles.Load(); n > 0 {
		all = append(all, event.Problem{
			What:   r.source + ": another entry of sources.files has its files too",
			Cause:  fmt.Sprintf("%d log files of entry %q are in another entry too: each is read once", n, r.config.Path),
			Remedy: "remove one of the entries",
		})
	}
	s := r.seen.Load()
	if s == nil {
		return all
	}
	if s.isMissing(time.Now()) {
		all = append(all, event.Problem{
			What: r.source + " is missing", Cause: "there is no such file; it is looked for each second", Remedy: remedyMissing, Since: s.missing,
		})
	}
	if s.unreadable > 0 {
		cause := s.fault
		if s.unreadable > 1 {
			cause = fmt.Sprintf("%s, and %d more files", cause, s.unreadable-1)
		}
		all = append(all, event.Problem{What: r.source + " cannot be read", Cause: cause, Remedy: remedyUnreadable, Since: s.since})
	}
	return all
}
