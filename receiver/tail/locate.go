package tail

import (
	"errors"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"
)

// resume opens what marks, a cursor, are of, wherever rotation has moved it. What came to the path after them and left it
// again, while nobody read, is for catchUp. What may be there and cannot be found or opened now is kept for a later look.
func (r *Receiver) resume(fl *follower, marks []mark) {
	fl.catching, fl.resumed = true, true
	located, sure := r.locateAll(fl, marks)
	for i, m := range marks {
		f, s := located[i].f, located[i].sibling
		switch {
		case f == nil && r.shared.has(func(f mark) bool { return f.inode == m.inode && f.offset >= m.offset }): // it was read, and closed, before the path was given up
			continue
		case f == nil && (!sure || !readable(fl.path)):
			fl.absent = append(fl.absent, m)
			continue
		case f == nil:
			r.meter.Gaps.Add(1)
			fl.remember(m)
			continue
		}
		if done, read := r.shared.mark(f, s.info); read && done.offset > m.offset {
			m = done
		}
		resumed := opened(f, s.info, m, r.now)
		resumed.later = m.offset == 0 && i > 0 // what came before it may not have been found yet
		if r.follow(fl, resumed, len(fl.files)) && s.path == fl.path && !resumed.later {
			fl.catching = false // nothing came after it
		}
	}
}

// located is a file that a mark is of; f is nil if there is none.
type located struct {
	f *os.File
	sibling
}

// locateAll finds the files that marks are of. They may be in the middle of a rotation: it looks again until it has found
// all, or is sure that the rest is not there, for a tenth of a second at most. Only when it is sure may a copy be what is left.
func (r *Receiver) locateAll(fl *follower, marks []mark) (all []located, sure bool) {
	all = make([]located, len(marks))
	search := func(locate func(siblings, mark) (*os.File, sibling), found siblings) (missing bool) {
		for i, m := range marks {
			if all[i].f == nil {
				all[i].f, all[i].sibling = locate(found, m)
				missing = missing || all[i].f == nil
			}
		}
		return missing
	}
	for range patience {
		found := r.siblings(fl)
		lists := r.folders.lists
		if !search(fl.locate, found) {
			return all, true
		}
		if found.sure && r.unmoved(fl, lists) {
			search(fl.locateCopy, found)
			return all, true
		}
		r.nextTurn()
	}
	return all, false
}

// nextTurn waits until the clock of files has moved on, so that lists can be made again.
func (r *Receiver) nextTurn() {
	<-time.After(tick)
	r.now = time.Now()
}

// readable reports whether there is a regular file at path that can be opened.
func readable(path string) bool {
	f, _, err := open(path)
	if err == nil {
		f.Close()
	}
	return err == nil
}

// catchUp has the next file read that came to the path and left it while nobody looked: by its name it was rotated, and
// it is newer than those that were read. When there is none left, the path's own file may be read.
func (r *Receiver) catchUp(fl *follower) {
	found := r.siblings(fl)
	if !found.sure && !r.endless(fl) {
		return // look again
	}
	newest := r.newestKnown(fl, found.all)
	if fl.wentBack = fl.wentBack || clockWentBack(found.all, fl.seen, r.now); fl.wentBack {
		sortByNumber(found.all)
	}
	for _, s := range found.all {
		if !s.rotated {
			continue
		}
		if f := fl.holds(s.info); f != nil {
			if f.later {
				f.later = false
				fl.sees(s)
				return
			}
			continue
		}
		known := r.knows(fl, s)
		isNew := fl.isNew(s, newest)
		if _, held := r.shared.holder(idOf(s.info)); held || !known && !isNew {
			continue
		}
		f, info, err := open(s.path)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return // renamed just now: look again
		case err != nil:
			r.fault(fl, err)
			if isNew {
				r.meter.Gaps.Add(1)
				fl.seen = modified(s.info) + 1
			}
			continue
		case !os.SameFile(info, s.info):
			f.Close()
			return
		}
		m, read := r.finishedMark(fl, f, info)
		if read && m.offset == info.Size() && !fl.lacks(info) || !read && !isNew {
			f.Close()
			continue
		}
		fl.sees(s)
		later := slices.IndexFunc(fl.files, func(f *file) bool { return f.later })
		if later < 0 {
			later = len(fl.files)
		}
		r.follow(fl, opened(f, info, m, r.now), later)
		return
	}
	r.caughtUp(fl, found.all, newest)
}

// caughtUp ends the search for what came to the path while nobody looked.
func (r *Receiver) caughtUp(fl *follower, all []sibling, newest *sibling) {
	unsure := slices.ContainsFunc(all, func(s sibling) bool {
		switch {
		case !s.rotated || fl.holds(s.info) != nil || r.knows(fl, s):
			return false
		case s.number == notCounted || newest == nil: // nothing but the time tells that it is old
			return earlier(r.now, fl.seen)
		default:
			return !fl.wentBack && s.number < newest.number && renamedTogether(&s, newest)
		}
	})
	if unsure && !r.unmoved(fl, r.folders.lists) && !r.endless(fl) {
		return // they are being renamed: look again
	}
	fl.catching = false
	for _, f := range fl.files {
		f.later = false
	}
	if unsure {
		r.meter.Gaps.Add(1)
		r.log.Warn("the clock was put back, it seems: rotated log files may have been missed", "path", fl.path)
		fl.seen = min(fl.seen, r.now.UnixNano())
	}
	fl.wentBack = false
}

// sees notes that s has its turn: what was written to before it is older. A file that was read before may be older than
// what was seen since, and then tells nothing.
func (fl *follower) sees(s sibling) {
	if fl.seen < modified(s.info) || fl.wentBack {
		fl.seen = modified(s.info)
	}
}

// newestKnown returns that with the lowest number of the rotated files that were read or are being read, nil if there is none.
func (r *Receiver) newestKnown(fl *follower, all []sibling) *sibling {
	var newest *sibling
	for _, s := range all {
		if s.number == notCounted || newest != nil && s.number > newest.number {
			continue
		}
		if f := fl.holds(s.info); f != nil && !f.later || f == nil && r.knows(fl, s) {
			newest = &s
		}
	}
	return newest
}

// isNew reports whether a rotated file came to the path after all that was read. Its time says so; but not if the clock
// was put back in between. Then its number does: rotation that counts up to newest has made newest's number larger since.
func (fl *follower) isNew(s sibling, newest *sibling) bool {
	if fl.wentBack && newest != nil && s.number != notCounted {
		return s.number < newest.number && renamedTogether(&s, newest)
	}
	return modified(s.info) >= fl.seen
}

// clockWentBack reports whether it shows that the clock was put back: a file was renamed earlier than it was written to, or
// what was at the path was written to later than now.
func clockWentBack(all []sibling, seen int64, now time.Time) bool {
	return earlier(now, seen) || slices.ContainsFunc(all, func(s sibling) bool {
		return s.rotated && statusChanged(s.info).Before(s.info.ModTime())
	})
}

// earlier reports whether now is earlier than a file's time, by more than a turn may take.
func earlier(now time.Time, seen int64) bool { return now.Add(pollEvery).UnixNano() < seen }

// renamedTogether reports whether two files got the names that they have in one rotation: where log.1 is the newest, all are
// renamed each time. There are programs whose newest is the one with the highest number; they rename one.
func renamedTogether(a, b *sibling) bool {
	return statusChanged(a.info).Sub(statusChanged(b.info)).Abs() < time.Minute
}

// locate finds the file that m is of: the same inode with the same beginning. The caller closes it; nil if there is none.
func (fl *follower) locate(found siblings, m mark) (*os.File, sibling) {
	for _, s := range found.inodes(m.inode) {
		// While nothing was read of it, a file has no beginning to know it by, and another may have its inode by now.
		if m.print.length > 0 || s.rotated || s.path == fl.path {
			if f := fitting(s, m); f != nil {
				return f, s
			}
		}
	}
	return nil, sibling{}
}

// locateCopy finds the copy that copytruncate left of the file that m is of. The caller closes it; nil if there is none.
func (fl *follower) locateCopy(found siblings, m mark) (*os.File, sibling) {
	// The path still names the inode, and it is not what it was: it was truncated.
	emptied := slices.ContainsFunc(found.inodes(m.inode), func(s sibling) bool { return s.path == fl.path })
	for _, s := range slices.Backward(found.all) {
		if s.rotated && (m.print.length == printLength || emptied && m.print.length > 0 && modified(s.info) >= fl.seen) {
			if f := fitting(s, m); f != nil {
				return f, s
			}
		}
	}
	return nil, sibling{}
}

// fitting opens s if it can be what m is of.
func fitting(s sibling, m mark) *os.File {
	if s.info.Size() < m.offset {
		return nil
	}
	f, info, err := open(s.path)
	if err != nil {
		return nil
	}
	if !os.SameFile(info, s.info) || !m.print.fits(f) {
		f.Close()
		return nil
	}
	return f
}

// copied finds out whether f, at a path that a pattern matches, is the copy that copytruncate made of another path's file,
// and up to where that was read. wait says that the copy is not complete.
func (r *Receiver) copied(fl *follower, f *os.File, info os.FileInfo) (m mark, is, wait bool) {
	if !r.config.isPattern() {
		return mark{}, false, false
	}
	for _, other := range r.followers {
		end, found := strings.CutPrefix(fl.path, other.path)
		if other == fl || !found || !rotated.MatchString(end) {
			continue
		}
		marks := other.past
		for _, o := range other.files {
			marks = append(slices.Clip(marks), o.at)
		}
		recent := r.now.Sub(info.ModTime()) < time.Minute
		for _, m := range slices.Backward(marks) {
			if m.print.length > 0 && m.print.fits(f) {
				m.inode = inode(info)
				return m, true, recent && info.Size() < m.offset
			}
			if recent && info.Size() < int64(m.print.length) { // as little of it as there is tells nothing
				return mark{}, true, true
			}
		}
	}
	return mark{}, false, false
}
