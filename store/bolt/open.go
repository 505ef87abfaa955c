package bolt

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"go.etcd.io/bbolt"
	"golang.org/x/sys/unix"

	"tattled/store"
)

const (
	newSuffix   = ".new"
	lockSuffix  = ".lock"
	stampLayout = "20060102T150405.000Z"

	// allocSize is by how much the file grows at once, in bytes.
	allocSize = 4 << 20
	// minMap is how much address space is reserved for the file at least: a file that outgrows its mapping would have to
	// wait for every reader.
	minMap = 1 << 30
	// lockWait is how long Open waits for another process to let go of the file.
	lockWait = 2 * time.Second
)

// Options says how the file is kept.
type Options struct {
	// MaxSize is what the file may grow to, in bytes; 0 is no bound. It may be exceeded by 4 MiB.
	MaxSize int64
	// Now is the time that names what is quarantined.
	Now time.Time
}

// Opened says what Open found and did. Its zero value is a sound file.
type Opened struct {
	Created     bool   // there was neither a file nor a backup
	Damage      string // what was wrong with the file that was there, or that it was missing; "" if nothing was
	Quarantined string // where the damaged file is now; "" where it was missing
	Backup      string // the backup that took its place; "" if an empty file did
	Records     int    // records that failed their checksum and were quarantined
	Meta        bool   // one of the file's two meta pages is damaged: the last transaction may be missing

	Salvaged store.Salvaged // what came over from the damaged file
	Unread   error          // why nothing more did; nil if all that is sound did
	Removed  []string       // older quarantined files that were removed
}

// Open opens the file at path, checked whole, or makes an empty one. A damaged file is renamed to path.bad-<time>, and the
// newest backup that is sound takes its place, or an empty file; into it goes what is sound of the damaged one. A file that
// is missing while backups of it are there counts as damaged. Errors say what to do: no folder, no permission, another
// process that has the file (its lock is path.lock), a newer schema (the file is left alone).
func Open(path string, o Options) (*Backend, Opened, error) {
	var done Opened
	if real, err := filepath.EvalSymlinks(path); err == nil {
		path = real // a rename must not replace the link
	}
	lock, err := takeLock(path)
	if err != nil {
		return nil, done, err
	}
	b, err := open(path, o, &done)
	if err != nil {
		lock.Close()
		return nil, done, err
	}
	b.lock = lock
	return b, done, nil
}

func open(path string, o Options, done *Opened) (*Backend, error) {
	audit := new(store.Audit)
	c, err := checkPath(path)
	switch {
	case err == nil:
		audit, done.Meta = &c.audit, c.metas < 2
	case errors.Is(err, fs.ErrNotExist) && len(backups(path)) == 0:
		done.Created = true
		if err := createAt(path); err != nil {
			return nil, err
		}
	case errors.Is(err, fs.ErrNotExist):
		done.Damage = "it is missing"
		if err := replace(path, o.Now, done); err != nil {
			return nil, err
		}
	case errors.Is(err, store.ErrDamaged):
		done.Damage = err.Error()
		if err := replace(path, o.Now, done); err != nil {
			return nil, err
		}
	default:
		return nil, explain("open", path, err)
	}
	_ = os.Remove(path + backupTemp) // what a backup that was cut off left only takes space
	b, err := openDB(path, o.MaxSize)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	if done.Records = audit.Bad; audit.Bad > 0 {
		if err := b.Update(func(tx store.Tx) error { return audit.Quarantine(tx, o.Now) }); err != nil {
			_ = b.db.Close() // the first error says what is wrong
			return nil, fmt.Errorf("open %s: %w", path, err)
		}
	}
	return b, nil
}

// checkPath reads a file with all care.
func checkPath(path string) (*check, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a regular file: set store.path to one", path)
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0) // as bbolt will
	if err != nil {
		return nil, err
	}
	defer f.Close()
	_ = unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_WILLNEED) // a hint: all of it is read, in no order
	return checkFile(f, info.Size())
}

// openDB lets bbolt have the file.
func openDB(path string, maxSize int64) (b *Backend, err error) {
	defer guard(&err)()
	o := &bbolt.Options{Timeout: lockWait, FreelistType: bbolt.FreelistMapType, NoFreelistSync: true, InitialMmapSize: minMap}
	if maxSize > 0 { // bbolt counts what the file would grow by as well
		o.MaxSize = int(maxSize + allocSize)
		o.InitialMmapSize = max(o.MaxSize, minMap)
	}
	db, err := bbolt.Open(path, 0o600, o)
	if err != nil {
		return nil, err
	}
	db.AllocSize = allocSize
	b = &Backend{db: db, max: maxSize, free: freeSpace}
	for _, t := range store.Tables() {
		for len(b.buckets) <= int(t) {
			b.buckets = append(b.buckets, nil)
		}
		b.buckets[t] = []byte(t.String())
	}
	return b, nil
}

// createAt makes an empty file, so that a power cut at any moment leaves either none or a whole one: bbolt's own creation
// does not promise that.
func createAt(path string) error {
	temp := path + newSuffix
	if err := createTemp(temp, path); err != nil {
		return err
	}
	return moveIn(temp, path)
}

// createTemp makes an empty file at temp, which is to become the one at path.
func createTemp(temp, path string) error {
	if err := os.Remove(temp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return explain("create", path, err)
	}
	db, err := bbolt.Open(temp, 0o600, &bbolt.Options{NoFreelistSync: true, FreelistType: bbolt.FreelistMapType})
	if err != nil {
		return explain("create", path, err)
	}
	err = db.Update(func(tx *bbolt.Tx) error {
		for _, t := range store.Tables() {
			b, err := tx.CreateBucket([]byte(t.String()))
			if err != nil {
				return err
			}
			if t == store.Meta {
				if err := b.Put([]byte(store.SchemaKey), store.SealSchema(store.Schema)); err != nil {
					return err
				}
			}
		}
		return nil
	})
	if closed := db.Close(); err == nil {
		err = closed
	}
	if err != nil {
		return explain("create", path, err)
	}
	return nil
}

// moveIn makes temp the file at path, durably.
func moveIn(temp, path string) error {
	f, err := os.Open(temp)
	if err != nil {
		return explain("create", path, err)
	}
	err = f.Sync()
	f.Close()
	if err == nil {
		err = os.Rename(temp, path)
	}
	if err == nil {
		err = syncDir(filepath.Dir(path))
	}
	if err != nil {
		return explain("create", path, err)
	}
	return nil
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// takeLock makes this process the only one that uses path. The lock is a file of its own, because the file itself may be
// replaced; in it stands who has it.
func takeLock(path string) (*os.File, error) {
	f, err := os.OpenFile(path+lockSuffix, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, explain("open", path, err)
	}
	for deadline := time.Now().Add(lockWait); ; {
		err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil || !errors.Is(err, syscall.EWOULDBLOCK) || time.Now().After(deadline) {
			break
		}
		<-time.After(50 * time.Millisecond) // as bbolt does: flock has no time limit
	}
	if err != nil {
		defer f.Close()
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("lock %s: %w", path, err)
		}
		who := "another process"
		if text, err := io.ReadAll(io.LimitReader(f, 20)); err == nil {
			if pid, err := strconv.Atoi(strings.TrimSpace(string(text))); err == nil {
				who = fmt.Sprintf("process %d", pid)
			}
		}
		return nil, fmt.Errorf("open %s: %s uses it. Stop that one, or set store.path to another file", path, who)
	}
	if err := f.Truncate(0); err == nil {
		_, _ = fmt.Fprintln(f, os.Getpid()) // for people; the lock holds without it
	}
	return f, nil
}

// explain says what to do about an error of the file system.
func explain(what, path string, err error) error {
	dir := filepath.Dir(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%s %s: its folder %s does not exist: create it, owned by the user that runs this (uid %d), or set store.path: %w", what, path, dir, os.Getuid(), err)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%s %s: the user that runs this (uid %d) must own it and its folder %s: %w", what, path, os.Getuid(), dir, err)
	case errors.Is(err, syscall.EROFS):
		return fmt.Errorf("%s %s: the file system is mounted read-only (or the unit lacks StateDirectory=): %w", what, path, err)
	case isNoSpace(err):
		return fmt.Errorf("%s %s: %w: make room on the file system: %w", what, path, store.ErrFull, err)
	}
	return fmt.Errorf("%s %s: %w", what, path, err)
}
