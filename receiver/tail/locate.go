package tail

import (
	"cmp"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	maxSiblings = 20000 // entries of a folder that are looked at in search of a rotated file
	patience    = 10    // how often a folder is looked at again because something was renamed in it meanwhile
)

// rotated is what rotation appends to a file's name: .1, -20261122, .2026-11-22, -20261122-1795305600.
var rotated = regexp.MustCompile(`^[.-][0-9][0-9.-]*$`)

// sibling is a file that a mark may be of.
type sibling struct {
	path    string
	info    os.FileInfo
	rotated bool // its name says that it was at the path before
	number  int  // the one in its name if rotation counts: log.1 is newer than log.2
}

// resume opens what marks, a cursor, are of, wherever rotation has moved it. What came to the path after them and left it
// again, while nobody read, is for catchUp.
func (r *Receiver) resume(fl *follower, marks []mark) {
	fl.catching = true
	for i, m := range marks {
		var f *os.File
		var s sibling
		for try := 0; f == nil && try < patience; try++ { // it may be renamed just now
			f, s = fl.locate(r.siblings(fl), m)
		}
		if f == nil {
			r.meter.Gaps.Add(1)
			continue
		}
		if fl.holds(s.info) != nil || r.heldByOther(fl, s.info) {
			f.Close()
			continue
		}
		resumed := opened(f, s.info, m, r.now)
		resumed.later = m.offset == 0 && i > 0 // what came before it may not have been found yet
		if s.path == fl.path && !resumed.later {
			fl.catching = false // nothing came after it
		}
		r.follow(fl, resumed, len(fl.files))
	}
}

// catchUp has the next file read that came to the path and left it while nobody looked: by its name it was rotated, and
// it was written to since fl.seen. When there is none left, the path's own file may be read.
func (r *Receiver) catchUp(fl *follower) {
	for _, s := range r.siblings(fl) {
		if !s.rotated || modified(s.info) < fl.seen || r.heldByOther(fl, s.info) {
			continue
		}
		if f := fl.holds(s.info); f != nil {
			if f.later {
				f.later, fl.seen = false, modified(s.info)
				return
			}
			continue
		}
		f, info, err := open(s.path)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return // renamed just now: look again
		case err != nil:
			r.fault(fl, err)
			r.meter.Gaps.Add(1)
			fl.seen = modified(s.info) + 1
			continue
		case !os.SameFile(info, s.info):
			f.Close()
			return
		}
		m, read := r.finishedMark(f, info)
		if read && m.offset == info.Size() {
			f.Close()
			continue
		}
		fl.seen = modified(s.info)
		later := slices.IndexFunc(fl.files, func(f *file) bool { return f.later })
		if later < 0 {
			later = len(fl.files)
		}
		r.follow(fl, opened(f, info, m, r.now), later)
		return
	}
	fl.catching = false
	for _, f := range fl.files {
		f.later = false
	}
}

// locate finds the file that m is of: the same inode with the same beginning; or else the copy that copytruncate left.
// The caller closes it; nil if there is none.
func (fl *follower) locate(siblings []sibling, m mark) (*os.File, sibling) {
	for _, s := range siblings {
		// While nothing was read of it, a file has no beginning to know it by, and another may have its inode by now.
		if inode(s.info) == m.inode && (m.print.length > 0 || s.rotated || s.path == fl.path) {
			if f := fitting(s, m); f != nil {
				return f, s
			}
		}
	}
	for _, s := range slices.Backward(siblings) {
		if s.rotated && m.print.length == printLength {
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

// siblings lists the path's file and the regular files beside it and beside what it is a link to, the oldest first.
func (r *Receiver) siblings(fl *follower) []sibling {
	var all []sibling
	for _, path := range names(fl.path) {
		for try := 1; ; try++ {
			before := folderTime(path)
			some, err := beside(path)
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				r.fault(fl, err)
			}
			if try < patience && !folderTime(path).Equal(before) {
				continue // a list that is made during a renaming may lack the file
			}
			all = append(all, some...)
			break
		}
	}
	if info, err := os.Stat(fl.path); err == nil && info.Mode().IsRegular() { // its own name goes before that which a link leads to
		all = slices.DeleteFunc(all, func(s sibling) bool { return os.SameFile(s.info, info) })
		all = append(all, sibling{path: fl.path, info: info})
	}
	slices.SortFunc(all, func(a, b sibling) int { // of two written to in the same tick of the clock, log.2 is older than log.1
		return cmp.Or(a.info.ModTime().Compare(b.info.ModTime()), b.number-a.number)
	})
	return all
}

// beside lists the regular files in path's folder.
func beside(path string) ([]sibling, error) {
	dir, base := filepath.Split(path)
	entries, err := readSome(dir)
	all := make([]sibling, 0, len(entries))
	for _, e := range entries {
		info, err := e.Info()
		if err != nil || !info.Mode().IsRegular() {
			continue
		}
		end, found := strings.CutPrefix(e.Name(), base)
		number, _ := strconv.Atoi(strings.TrimPrefix(end, "."))
		all = append(all, sibling{filepath.Join(dir, e.Name()), info, found && rotated.MatchString(end), number})
	}
	return all, err
}

// folderTime tells when something was last made, renamed or removed in path's folder.
func folderTime(path string) time.Time {
	info, err := os.Stat(filepath.Dir(path))
	if err != nil {
		return time.Time{}
	}
	return info.ModTime()
}

// names returns path and, if it is a symbolic link, what it leads to.
func names(path string) []string {
	if target, err := filepath.EvalSymlinks(path); err == nil && target != path {
		return []string{path, target}
	}
	return []string{path}
}

func readSome(dir string) ([]os.DirEntry, error) {
	d, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	entries, err := d.ReadDir(maxSiblings)
	if errors.Is(err, io.EOF) || len(entries) > 0 { // the folder is empty, or something vanished from it
		err = nil
	}
	return entries, err
}
