package tail

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

const (
	nonBlocking = unix.O_NONBLOCK
	// tick is how far a file's time may lie behind the clock: the kernel takes it from its last timer interrupt.
	tick = 10 * time.Millisecond
	// looksUntilDenied is how many looks must find a file read by another entry's receiver before that is told: rotation may
	// be passing it on.
	looksUntilDenied = 5
)

var errIrregular = errors.New("is not a regular file")

// follower follows one path: the file that it names, and the files that it named before until nobody writes to them.
type follower struct {
	path   string
	stream string
	files  []*file // the oldest first
	start  start
	fault  string // what was last logged about it, "" while all is well

	absentSince time.Time // since when nothing is at the path; zero: something is
	hadFile     bool      // something was at the path since the start

	// absent are marks of files that were not to be found or opened when reading was to go on in them: each may be there again
	// later, at the path. past are those of the last files that were closed, the oldest first.
	absent, past []mark

	denied int // how many looks in a row found at the path what another entry's receiver reads

	// seen is when the path's file was written to, in ns, as of the last look that found it there. When another file is
	// there, others may have come and gone in between: while catching, these are looked for, and read first.
	seen     int64
	catching bool
	wentBack bool      // while catching: the clock was put back since
	resumed  bool      // what resume has opened was not read yet
	folder   time.Time // when the folder was last changed, as of the last look that found nothing at the path
	restless time.Time // since when the folders change too often to be listed for certain, else zero
}

// start says where the next file begins that appears at a path.
type start uint8

const (
	fromBeginning start = iota
	fromEnd
)

// marks appends the positions of all files that are to be read, at most maxMarks.
func (fl *follower) marks(marks []mark) []mark {
	marks = append(marks, fl.absent...)
	for _, f := range fl.files {
		marks = append(marks, f.at)
	}
	return marks
}

// knows reports whether s is a file that was read before, and closed or not found.
func (r *Receiver) knows(fl *follower, s sibling) bool {
	same := func(m mark) bool { return m.inode == inode(s.info) }
	if !slices.ContainsFunc(fl.past, same) && !fl.lacks(s.info) && !r.shared.has(same) {
		return false
	}
	f, info, err := open(s.path)
	if err != nil {
		return false
	}
	defer f.Close()
	_, known := r.finishedMark(fl, f, info)
	return known
}

// lacks reports whether info may be of a file that was not found when reading was to go on in it.
func (fl *follower) lacks(info os.FileInfo) bool {
	return slices.ContainsFunc(fl.absent, func(m mark) bool { return m.inode == inode(info) })
}

// remember notes up to where a file was read that is read no more.
func (fl *follower) remember(m mark) {
	if m.offset == 0 {
		return
	}
	fl.past = slices.DeleteFunc(fl.past, func(p mark) bool { return p.inode == m.inode })
	if len(fl.past) == maxPast {
		fl.past = slices.Delete(fl.past, 0, 1)
	}
	fl.past = append(fl.past, m)
}

// holds returns the file that info is of, or nil.
func (fl *follower) holds(info os.FileInfo) *file {
	for _, f := range fl.files {
		if os.SameFile(f.info, info) {
			return f
		}
	}
	return nil
}

// look finds out which file the path names now, and opens it if it is another one than before.
func (r *Receiver) look(fl *follower) {
	info, err := os.Stat(fl.path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		fl.leave(nil, r.now)
		r.permit(fl)
		fl.start = fromBeginning
		fl.fault = ""
		fl.gone(r.now)
		if fl.absentSince.IsZero() {
			fl.absentSince = r.now
		}
		return
	case err == nil && !info.Mode().IsRegular():
		err = &os.PathError{Op: "open", Path: fl.path, Err: errIrregular}
	}
	fl.absentSince, fl.hadFile = time.Time{}, true
	if err != nil {
		r.fault(fl, err)
		return
	}
	if f := fl.holds(info); f != nil {
		fl.leave(f, r.now)
		fl.fault = ""
		if !fl.catching {
			fl.seen = modified(info)
		}
		return
	}
	if r.deny(fl, info) {
		fl.leave(nil, r.now)
		return
	}
	f, info, err := open(fl.path)
	if err != nil {
		r.fault(fl, err)
		return
	}
	if fl.holds(info) != nil { // swapped meanwhile
		f.Close()
		return
	}
	if len(fl.absent) > 0 { // perhaps it is one of them
		absent := fl.absent
		fl.absent = nil
		r.resume(fl, absent)
		if len(fl.absent) == 0 || !r.endless(fl) || fl.holds(info) != nil {
			f.Close()
			return // the next look sees what came of it
		}
	}
	if fl.resumed && len(fl.files)+len(fl.absent) >= maxMarks { // it has to wait for room: those before it are read first
		f.Close()
		return
	}
	m, wait := r.firstMark(fl, f, info)
	if wait {
		f.Close()
		return
	}
	fl.leave(nil, r.now)
	fl.fault = ""
	catching := fl.catching || fl.seen > 0
	current := opened(f, info, m, r.now)
	current.atPath, current.later = true, catching
	if !r.follow(fl, current, len(fl.files)) {
		return
	}
	if fl.catching = catching; !catching {
		fl.seen = modified(info)
	}
	fl.start = fromBeginning
}

// gone notes that nothing is at the path. What has happened in its folder since the last look may be that a file came
// and went.
func (fl *follower) gone(now time.Time) {
	if fl.seen == 0 {
		fl.seen = now.Add(-tick).UnixNano()
	}
	if changed := folderTime(filepath.Dir(fl.path)); !changed.Equal(fl.folder) {
		fl.folder, fl.catching = changed, true
	}
}

// leave notes that the path names current now, and none of its other files.
func (fl *follower) leave(current *file, now time.Time) {
	for _, f := range fl.files {
		if f.atPath && f != current {
			f.quiet = now
		}
		f.atPath = f == current
	}
	if i := slices.Index(fl.files, current); i >= 0 && i < len(fl.files)-1 { // renamed away and back
		fl.files = append(slices.Delete(fl.files, i, i+1), current)
	}
}

// follow puts f among fl's files, before the one at index i, and reports whether it did: another may have taken the file
// meanwhile. If there are too many then, one goes: the oldest that was read to its end, or the newest that catchUp will
// find again, or else the oldest that was not to be found.
func (r *Receiver) follow(fl *follower, f *file, i int) bool {
	if fl.holds(f.info) != nil || !r.shared.claim(idOf(f.info), holder{r, fl}) {
		f.f.Close()
		return false
	}
	r.meter.Open.Add(1)
	r.preview(fl, f)
	fl.files = slices.Insert(fl.files, i, f)
	fl.absent = slices.DeleteFunc(fl.absent, func(m mark) bool { return m.inode == f.at.inode && m.offset <= f.at.offset })
	if len(fl.files)+len(fl.absent) <= maxMarks {
		return true
	}
	for i, f := range fl.files {
		if !f.atPath && f.seen != (changed{}) {
			r.drop(fl, i)
			return true
		}
	}
	for i, f := range slices.Backward(fl.files) {
		if f.later && !f.atPath && f.at.offset == 0 {
			r.close(fl, i)
			return true
		}
	}
	if len(fl.absent) > 0 {
		fl.remember(fl.absent[0])
		fl.absent = slices.Delete(fl.absent, 0, 1)
		r.meter.Gaps.Add(1)
		return true
	}
	r.drop(fl, 0)
	return true
}

// drop closes fl's file i. What it holds after its offset is lost.
func (r *Receiver) drop(fl *follower, i int) {
	f := fl.files[i]
	if info, err := f.f.Stat(); err != nil || info.Size() > f.at.offset {
		r.meter.Gaps.Add(1)
	}
	fl.remember(f.at)
	r.close(fl, i)
}

func (r *Receiver) close(fl *follower, i int) {
	f := fl.files[i]
	f.f.Close()
	r.shared.release(idOf(f.info), f.at)
	fl.files = slices.Delete(fl.files, i, i+1)
	r.meter.Open.Add(-1)
}

// deny reports whether another path's follower reads the file: rotation has given it a name that the pattern matches too,
// or it has two names. If it is another entry's, and stays so, the operator is told: one of the entries is too much.
func (r *Receiver) deny(fl *follower, info os.FileInfo) bool {
	h, held := r.shared.holder(idOf(info))
	if !held || h.follower == fl {
		r.permit(fl)
		return false
	}
	if h.receiver == r {
		return true
	}
	if fl.denied++; fl.denied == looksUntilDenied {
		r.meter.Errors.Add(1)
		r.doubles.Add(1)
		r.log.Warn("a log file is in two entries of sources.files: it is read once; remove one of them", "path", fl.path, "entry", r.config.Path, "read_by", h.receiver.config.Path)
	}
	return true
}

// permit takes back what deny has noted.
func (r *Receiver) permit(fl *follower) {
	if fl.denied >= looksUntilDenied {
		r.doubles.Add(-1)
	}
	fl.denied = 0
}

// firstMark says where to begin in a file that was not read under this path; wait says that it is too early to tell.
func (r *Receiver) firstMark(fl *follower, f *os.File, info os.FileInfo) (m mark, wait bool) {
	if m, found := r.finishedMark(fl, f, info); found {
		return m, false
	}
	if m, is, wait := r.copied(fl, f, info); is {
		return m, wait
	}
	if fl.start == fromBeginning {
		return mark{}, false
	}
	return endOf(f, info.Size()), false
}

// finishedMark finds out where reading stopped in a file that was closed, perhaps under another name, or was not found when
// reading was to go on in it.
func (r *Receiver) finishedMark(fl *follower, f *os.File, info os.FileInfo) (mark, bool) {
	if m, found := r.shared.mark(f, info); found {
		return m, true
	}
	if m, found := lastFitting(fl.absent, f, info); found {
		return m, true
	}
	return lastFitting(fl.past, f, info)
}

// endOf returns the mark behind the last complete line of f.
func endOf(f *os.File, size int64) mark {
	tail := make([]byte, min(size, mostMaxLine))
	m := mark{offset: size}
	if _, err := f.ReadAt(tail, size-int64(len(tail))); err == nil {
		for i := len(tail) - 1; i >= 0; i-- {
			if tail[i] == '\n' {
				m.offset = size - int64(len(tail)) + int64(i) + 1
				break
			}
			if i == 0 && len(tail) == int(size) {
				m.offset = 0
			}
		}
	}
	if p, err := takeFingerprint(f, m.offset); err == nil {
		m.print = p
	}
	return m
}

// fault counts err, if it is one, and logs it unless it was the last to be logged of this path.
func (r *Receiver) fault(fl *follower, err error) {
	if err == nil {
		return
	}
	r.meter.Errors.Add(1)
	if text := err.Error(); text != fl.fault {
		fl.fault = text
		r.log.Warn("cannot read a log file: it is tried again each second", "path", fl.path, "error", err)
	}
}
