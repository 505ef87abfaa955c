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
	patience    = 10    // how often a folder is listed in one turn because something was renamed in it meanwhile
)

// rotated is what rotation appends to a file's name: .1, -20261122, .2026-11-22, -20261122-1795305600.
var rotated = regexp.MustCompile(`^[.-][0-9][0-9.-]*$`)

// counted is what rotation that counts appends: .1 is newer than .2.
var counted = regexp.MustCompile(`^\.[0-9]{1,4}$`)

// notCounted is the number of a name that rotation has not counted.
const notCounted = -1

// sibling is a file that a mark may be of.
type sibling struct {
	path    string
	info    os.FileInfo
	rotated bool // its name says that it was at the path before
	number  int  // the one in its name if rotation counts, else notCounted
}

// folder is a list of the regular files in a folder. With 1,000 logs in one, each of them rotated fourteen times, a list
// for each log would take a minute; one serves all logs of a turn.
type folder struct {
	turn    time.Time // it is not used in another one: sizes and times in it are old by then
	made    time.Time // when it was begun
	changed time.Time // when something was last made, renamed or removed in the folder
	files   []listed  // sorted by name
	inodes  map[uint64][]int
	lists   int // how many were made in this turn
	err     error
}

type listed struct {
	name string
	info os.FileInfo
}

// folders are the lists of this turn.
type folders struct {
	byPath map[string]*folder
	lists  int // made since the start
}

// settled reports whether the list is of a folder at rest: what was renamed within a tick of the last change shows in no
// time, and may be missing from it.
func (d *folder) settled() bool { return d.made.Sub(d.changed).Abs() > 2*tick }

// list returns the list of a folder. It is not sure if the folder was changed so shortly before, or is changed so often,
// that a file may be missing from it: another turn tells.
func (c *folders) list(path string, turn time.Time) (d *folder, sure bool) {
	lists := 0
	if d = c.byPath[path]; d != nil && d.turn.Equal(turn) {
		if folderTime(path).Equal(d.changed) {
			return d, d.settled()
		}
		lists = d.lists
	}
	for ; lists < patience; lists++ {
		c.lists++
		made, before := time.Now(), folderTime(path)
		d = listFolder(path)
		d.turn, d.made, d.changed, d.lists = turn, made, before, lists+1
		c.byPath[path] = d
		if folderTime(path).Equal(before) { // else it may lack a file that was renamed meanwhile
			return d, d.settled()
		}
	}
	return d, false
}

// forget drops the lists of earlier turns.
func (c *folders) forget(turn time.Time) {
	for path, d := range c.byPath {
		if !d.turn.Equal(turn) {
			delete(c.byPath, path)
		}
	}
}

func listFolder(path string) *folder {
	d := &folder{inodes: map[uint64][]int{}}
	entries, err := readSome(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		d.err = err
	}
	for _, e := range entries {
		if info, err := e.Info(); err == nil && info.Mode().IsRegular() {
			d.files = append(d.files, listed{e.Name(), info})
		}
	}
	slices.SortFunc(d.files, func(a, b listed) int { return strings.Compare(a.name, b.name) })
	for i, f := range d.files {
		d.inodes[inode(f.info)] = append(d.inodes[inode(f.info)], i)
	}
	return d
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

// siblings are the files that may have been at a path, from one look at its folders.
type siblings struct {
	all    []sibling // those whose name says so, and the path's own, the oldest first
	inodes func(inode uint64) []sibling
	sure   bool // else the folders were changed so shortly before that one may be missing
}

// siblings lists the path's file and those beside it, and beside what it is a link to, that rotation made of it.
func (r *Receiver) siblings(fl *follower) siblings {
	found := siblings{sure: true}
	var lists []func(uint64) []sibling
	for _, path := range names(fl.path) {
		dir, base := filepath.Split(path)
		d, sure := r.folders.list(dir, r.now)
		found.sure = found.sure && sure
		r.fault(fl, d.err)
		make1 := func(f listed) sibling {
			end, beside := strings.CutPrefix(f.name, base)
			s := sibling{filepath.Join(dir, f.name), f.info, beside && rotated.MatchString(end), notCounted}
			if s.rotated && counted.MatchString(end) {
				s.number, _ = strconv.Atoi(end[1:])
			}
			return s
		}
		i, _ := slices.BinarySearchFunc(d.files, base, func(f listed, name string) int { return strings.Compare(f.name, name) })
		for ; i < len(d.files) && strings.HasPrefix(d.files[i].name, base); i++ {
			if s := make1(d.files[i]); s.rotated || s.path == path {
				found.all = append(found.all, s)
			}
		}
		lists = append(lists, func(n uint64) (all []sibling) {
			for _, i := range d.inodes[n] {
				all = append(all, make1(d.files[i]))
			}
			return all
		})
	}
	found.inodes = func(n uint64) (all []sibling) {
		for _, list := range lists {
			all = append(all, list(n)...)
		}
		return all
	}
	if info, err := os.Stat(fl.path); err == nil && info.Mode().IsRegular() { // its own name goes before that which a link leads to
		found.all = slices.DeleteFunc(found.all, func(s sibling) bool { return os.SameFile(s.info, info) })
		found.all = append(found.all, sibling{path: fl.path, info: info, number: notCounted})
	}
	sortByAge(found.all)
	switch {
	case found.sure:
		fl.restless = time.Time{}
	case fl.restless.IsZero():
		fl.restless = r.now
	}
	return found
}

// unmoved reports whether no name in fl's folders has changed since r.folders.lists was lists.
func (r *Receiver) unmoved(fl *follower, lists int) bool {
	return r.siblings(fl).sure && r.folders.lists == lists
}

// endless reports whether fl's folders have been changing for so long that they will not tell for certain what is in them.
// Somebody may see to that: it must not keep the log from being read.
func (r *Receiver) endless(fl *follower) bool {
	return !fl.restless.IsZero() && r.now.Sub(fl.restless).Abs() >= pollEvery
}

// sortByAge sorts the oldest first. Of two written to in the same tick of the clock, log.2 is older than log.1.
func sortByAge(all []sibling) {
	slices.SortFunc(all, func(a, b sibling) int {
		return cmp.Or(a.info.ModTime().Compare(b.info.ModTime()), b.number-a.number)
	})
}

// sortByNumber sorts the oldest first by what rotation counted, for when times do not tell; what has no number comes last.
func sortByNumber(all []sibling) {
	slices.SortStableFunc(all, func(a, b sibling) int { return b.number - a.number })
}

// folderTime tells when something was last made, renamed or removed in a folder.
func folderTime(path string) time.Time {
	info, err := os.Stat(path)
	if err != nil {
		return time.Time{}
	}
	return info.ModTime()
}

// names returns path and, if it is a symbolic link, what it leads to, even if there is nothing at the moment.
func names(path string) []string {
	target, err := filepath.EvalSymlinks(path)
	if err != nil {
		if target, err = os.Readlink(path); err == nil && !filepath.IsAbs(target) {
			target = filepath.Join(filepath.Dir(path), target)
		}
	}
	if err != nil || target == path {
		return []string{path}
	}
	return []string{path, target}
}
