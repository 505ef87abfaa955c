package tail

import (
	"errors"
	"io/fs"
	"os"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

const (
	nonBlocking = unix.O_NONBLOCK
	// tick is how far a file's time may lie behind the clock: the kernel takes it from its last timer interrupt.
	tick = 10 * time.Millisecond
)

var errIrregular = errors.New("is no regular file")

// follower follows one path: the file that it names, and the files that it named before until nobody writes to them.
type follower struct {
	path   string
	stream string
	files  []*file // the oldest first
	start  start
	fault  string // what was last logged about it, "" while all is well

	// seen is when the path's file was written to, in ns, as of the last look that found it there. When another file is
	// there, others may have come and gone in between: while catching, these are looked for, and read first.
	seen     int64
	catching bool
	folder   time.Time // when the folder was last changed, as of the last look that found nothing at the path
}

// start says where the next file begins that appears at a path.
type start uint8

const (
	fromBeginning start = iota
	fromEnd
)

// marks appends the positions of all files that are read.
func (fl *follower) marks(marks []mark) []mark {
	for _, f := range fl.files {
		marks = append(marks, f.at)
	}
	return marks
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
		fl.start = fromBeginning
		fl.fault = ""
		fl.gone(r.now)
		return
	case err == nil && !info.Mode().IsRegular():
		err = &os.PathError{Op: "open", Path: fl.path, Err: errIrregular}
	}
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
	if r.heldByOther(fl, info) {
		fl.leave(nil, r.now)
		return
	}
	f, info, err := open(fl.path)
	if err != nil {
		r.fault(fl, err)
		return
	}
	if fl.holds(info) != nil || r.heldByOther(fl, info) { // swapped meanwhile
		f.Close()
		return
	}
	fl.leave(nil, r.now)
	fl.fault = ""
	current := opened(f, info, r.firstMark(fl, f, info), r.now)
	if fl.seen > 0 {
		fl.catching = true
	} else {
		fl.seen = modified(info)
	}
	current.atPath, current.later = true, fl.catching
	r.follow(fl, current, len(fl.files))
	fl.start = fromBeginning
}

// gone notes that nothing is at the path. What has happened in its folder since the last look may be that a file came
// and went.
func (fl *follower) gone(now time.Time) {
	if fl.seen == 0 {
		fl.seen = now.Add(-tick).UnixNano()
	}
	if changed := folderTime(fl.path); !changed.Equal(fl.folder) {
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

// follow puts f among fl's files, before the one at index i. If there are too many then, one goes: the oldest that was
// read to its end, or the newest that catchUp will find again.
func (r *Receiver) follow(fl *follower, f *file, i int) {
	r.meter.Open.Add(1)
	fl.files = slices.Insert(fl.files, i, f)
	if len(fl.files) <= maxMarks {
		return
	}
	for i, f := range fl.files {
		if !f.atPath && f.seen != (changed{}) {
			r.drop(fl, i)
			return
		}
	}
	for i, f := range slices.Backward(fl.files) {
		if f.later && !f.atPath && f.at.offset == 0 {
			r.close(fl, i)
			return
		}
	}
	r.drop(fl, 0)
}

// drop closes fl's file i. What it holds behind its offset is lost.
func (r *Receiver) drop(fl *follower, i int) {
	f := fl.files[i]
	if info, err := f.f.Stat(); err != nil || info.Size() > f.at.offset {
		r.meter.Gaps.Add(1)
	}
	if len(r.finished) == MaxFiles {
		r.finished = slices.Delete(r.finished, 0, MaxFiles/10)
	}
	r.finished = append(r.finished, f.at)
	r.close(fl, i)
}

func (r *Receiver) close(fl *follower, i int) {
	fl.files[i].f.Close()
	fl.files = slices.Delete(fl.files, i, i+1)
	r.meter.Open.Add(-1)
}

// heldByOther reports whether another path's follower reads the file: rotation has given it a name that the pattern
// matches too, or two names are links to it.
func (r *Receiver) heldByOther(fl *follower, info os.FileInfo) bool {
	for _, other := range r.followers {
		if other != fl && other.holds(info) != nil {
			return true
		}
	}
	return false
}

// firstMark says where to begin in a file that was not read under this path.
func (r *Receiver) firstMark(fl *follower, f *os.File, info os.FileInfo) mark {
	if m, found := r.finishedMark(f, info); found || fl.start == fromBeginning {
		return m
	}
	return endOf(f, info.Size())
}

// finishedMark finds out where reading stopped in a file that was closed, perhaps under another name.
func (r *Receiver) finishedMark(f *os.File, info os.FileInfo) (mark, bool) {
	for _, m := range slices.Backward(r.finished) {
		if m.inode == inode(info) && m.offset > 0 && m.offset <= info.Size() && m.print.fits(f) {
			return m, true
		}
	}
	return mark{}, false
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
