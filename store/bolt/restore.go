package bolt

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

const (
	badSuffix = ".bad-"
	// keptBad is how many damaged files are kept: each may be as large as the file may grow.
	keptBad = 2
)

// replace moves a damaged file aside and puts the newest sound backup in its place, or an empty file, with what is sound of
// the damaged one. The damaged file gets its second name before it loses its first, so that there is a file at path at
// every moment. It may be cut off anywhere, and done again as often as it takes, without taking more space each time.
func replace(path string, now time.Time, done *Opened) error {
	upTo := now
	if _, err := os.Lstat(path); err == nil {
		written, err := quarantine(path, now, done)
		if err != nil {
			return err
		}
		if written.Before(upTo) {
			upTo = written
		}
	}
	temp := path + newSuffix
	copied, err := restore(temp, path, done)
	if err != nil {
		return err
	}
	if !copied {
		done.Unread = errors.New("there is no space for it")
		if err := mark(path, now, upTo, done); err != nil {
			done.Unread = err // the backup is worth more than the mark
		}
		return nil
	}
	if done.Unread = salvage(temp, done.Quarantined, now, upTo, done); done.Unread != nil { // half of it is worse than nothing
		if copied, err = restore(temp, path, done); err != nil || !copied {
			return err
		}
		if err := mark(temp, now, upTo, done); err != nil {
			return err
		}
	}
	if err := moveIn(temp, path); err != nil {
		return err
	}
	removeBad(path, keptBad, done)
	return nil
}

// quarantine gives a damaged file its second name, once, and returns when it was last written to.
func quarantine(path string, now time.Time, done *Opened) (time.Time, error) {
	info, err := os.Stat(path)
	if err != nil {
		return time.Time{}, explain("move aside", path, err)
	}
	for _, name := range badFiles(path) {
		if old, err := os.Stat(name); err == nil && os.SameFile(info, old) { // an earlier start came no further
			done.Quarantined = name
			return info.ModTime(), nil
		}
	}
	done.Quarantined = path + badSuffix + now.UTC().Format(stampLayout)
	if err := os.Link(path, done.Quarantined); err != nil {
		if err := os.Rename(path, done.Quarantined); err != nil { // a file system without links
			return time.Time{}, explain("move aside", path, err)
		}
	}
	return info.ModTime(), nil
}

// badFiles lists the damaged files that were quarantined, by their names' times the newest first.
func badFiles(path string) []string {
	all, err := filepath.Glob(globEscape(path) + badSuffix + "*Z")
	if err != nil {
		return nil
	}
	slices.Sort(all)
	slices.Reverse(all)
	return all
}

// removeBad removes damaged files beyond the newest keep, of which the one that was just quarantined is always one.
func removeBad(path string, keep int, done *Opened) {
	kept := 1
	for _, name := range badFiles(path) {
		if name == done.Quarantined {
			continue
		}
		if kept++; kept <= keep {
			continue
		}
		if err := os.Remove(name); err == nil {
			done.Removed = append(done.Removed, name)
		}
	}
}

// restore makes temp what takes the place of the file at path. Where there is no space for a copy of the backup, older
// damaged files make way; where that is not enough, the backup itself becomes the file at path, and copied is false.
func restore(temp, path string, done *Opened) (copied bool, err error) {
	for _, b := range backups(path) {
		if _, err := checkPath(b.path); err != nil {
			continue
		}
		err := copyFile(temp, b.path)
		if isNoSpace(err) {
			removeBad(path, 1, done)
			err = copyFile(temp, b.path)
		}
		copied = err == nil
		if isNoSpace(err) {
			err = errors.Join(os.Rename(b.path, path), syncDir(filepath.Dir(path)))
		}
		if err != nil {
			return false, explain("restore "+b.path+" to", path, err)
		}
		done.Backup = b.path
		return copied, nil
	}
	if err := createTemp(temp, path); err != nil {
		removeBad(path, 1, done)
		if err := createTemp(temp, path); err != nil {
			return false, err
		}
	}
	return true, nil
}

func globEscape(path string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(path)
}

func copyFile(to, from string) error {
	source, err := os.Open(from)
	if err != nil {
		return err
	}
	defer source.Close()
	target, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(target, source)
	if err == nil {
		err = target.Sync() // some file systems find out only now that there is no space
	}
	if closed := target.Close(); err == nil {
		err = closed
	}
	if err != nil {
		_ = os.Remove(to) // half a copy only takes space
		return fmt.Errorf("copy %s: %w", from, err)
	}
	return nil
}
