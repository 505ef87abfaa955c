package bolt

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.etcd.io/bbolt"
	"golang.org/x/sys/unix"

	"tattled/store"
)

const (
	backupSuffix = ".backup-"
	backupTemp   = backupSuffix + "new"

	// backupReserve is how much space a backup leaves on the file system, in bytes.
	backupReserve = 64 << 20
)

// backup is one backup of a file. Their order is that of their making: a number in the name, not the time in it, because a
// clock that was ahead for a day would make that day's backup the newest for as long as it was ahead.
type backup struct {
	path   string
	number uint64
	txn    uint64 // of the file's last transaction, for those without a number
}

// backups lists the backups of a file, newest first.
func backups(path string) []backup {
	names, err := filepath.Glob(globEscape(path) + backupSuffix + "*Z")
	if err != nil {
		return nil
	}
	var all []backup
	for _, name := range names {
		b := backup{path: name}
		number, _, numbered := strings.Cut(strings.TrimPrefix(name, path+backupSuffix), "-")
		if numbered {
			b.number, _ = strconv.ParseUint(number, 10, 64)
		}
		if b.number == 0 { // an older version made it
			b.txn = lastTransaction(name)
		}
		all = append(all, b)
	}
	slices.SortFunc(all, func(a, b backup) int {
		return cmp.Or(cmp.Compare(b.number, a.number), cmp.Compare(b.txn, a.txn), strings.Compare(b.path, a.path))
	})
	return all
}

// lastTransaction returns the number of a file's last transaction, 0 if that is not to be read.
func lastTransaction(path string) uint64 {
	f, err := os.Open(path)
	if err != nil {
		return 0
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return 0
	}
	m, err := (&check{file: f, size: info.Size()}).meta()
	if err != nil {
		return 0
	}
	return m.txn
}

// LastBackup returns when the newest backup was made, the zero time if there is none.
func (b *Backend) LastBackup() time.Time {
	for _, old := range backups(b.db.Path()) {
		if info, err := os.Stat(old.path); err == nil {
			return info.ModTime()
		}
	}
	return time.Time{}
}

// Backup writes a copy of the file beside it, path.backup-<number>-<time>, durably, and keeps the newest keep of them,
// itself included. Writers go on meanwhile. It returns the copy's name. Where the file system has no room for the copy and
// 64 MiB more, nothing is written and the error is store.ErrFull.
func (b *Backend) Backup(now time.Time, keep int) (name string, err error) {
	path := b.db.Path()
	temp := path + backupTemp
	_ = os.Remove(temp) // or what was cut off takes the space that it needs
	if err := b.roomForBackup(path); err != nil {
		return "", fmt.Errorf("back up %s: %w", path, err)
	}
	before := backups(path)
	number := uint64(1)
	if len(before) > 0 {
		number = before[0].number + 1
	}
	name = fmt.Sprintf("%s%s%06d-%s", path, backupSuffix, number, now.UTC().Format(stampLayout))
	defer guard(&err)()
	err = b.db.View(func(tx *bbolt.Tx) error { return tx.CopyFile(temp, 0o600) })
	if err == nil {
		err = moveIn(temp, name)
	}
	if err != nil {
		_ = os.Remove(temp) // half a copy is none
		if isNoSpace(err) {
			err = fmt.Errorf("%w: %w", store.ErrFull, err)
		}
		return "", fmt.Errorf("back up %s: %w", path, err)
	}
	for _, old := range before[min(max(keep-1, 0), len(before)):] {
		if err := os.Remove(old.path); err != nil {
			return name, fmt.Errorf("remove old backup: %w", err)
		}
	}
	return name, nil
}

// roomForBackup returns an error that is store.ErrFull where a backup would leave too little space.
func (b *Backend) roomForBackup(path string) error {
	free, err := b.free(filepath.Dir(path))
	if err != nil {
		return nil // a file system that does not tell: the copy will
	}
	needs := b.Usage().Size + backupReserve
	if free >= needs {
		return nil
	}
	return fmt.Errorf("%w: %d MiB are free and a backup needs %d (64 of them to be left over)", store.ErrFull, free>>20, needs>>20)
}

// freeSpace returns how much space this user may still take on a file system, in bytes.
func freeSpace(dir string) (int64, error) {
	var fs unix.Statfs_t
	for {
		err := unix.Statfs(dir, &fs)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return 0, fmt.Errorf("read the free space of %s: %w", dir, err)
		}
		return int64(fs.Bavail) * fs.Bsize, nil
	}
}
