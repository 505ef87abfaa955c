// Package bolt is the store.Backend that keeps a file, by bbolt: one bucket for each table, two fdatasyncs for each
// transaction.
//
// bbolt trusts its file. A file that was cut kills the process when bbolt opens it, in a goroutine of its own; flipped bits
// go unseen. So Open reads the file itself first, page by page and record by record, and gives it to bbolt only when all of
// it is sound. A damaged file is quarantined, and the newest good backup or an empty file takes its place.
package bolt

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime/debug"
	"strings"
	"syscall"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"

	"tattled/store"
)

// Backend keeps a file.
type Backend struct {
	db      *bbolt.DB
	buckets [][]byte // by table
	max     int64
	lock    *os.File
	values  arena // of the one transaction that writes
	free    func(dir string) (int64, error)
}

var _ store.Backend = (*Backend)(nil)

// Update implements store.Backend.
func (b *Backend) Update(fn func(store.Tx) error) (err error) {
	defer guard(&err)()
	var ours error
	err = b.db.Update(func(btx *bbolt.Tx) error {
		b.values.reset()
		ours = fn(&tx{backend: b, tx: btx})
		return ours
	})
	if err == nil || ours != nil {
		return err
	}
	if noSpace(err) {
		return fmt.Errorf("%w: %w", store.ErrFull, err)
	}
	return fmt.Errorf("commit: %w", err)
}

// View implements store.Backend.
func (b *Backend) View(fn func(store.ReadTx) error) (err error) {
	defer guard(&err)()
	return b.db.View(func(btx *bbolt.Tx) error { return fn(&tx{backend: b, tx: btx}) })
}

// guard turns a fault in the mapped file (a disk that fails, a page that is not what it was) into an error. The function
// that it returns is to be deferred.
func guard(err *error) func() {
	before := debug.SetPanicOnFault(true)
	return func() {
		debug.SetPanicOnFault(before)
		if p := recover(); p != nil {
			*err = fmt.Errorf("%w: %v\n%s", store.ErrDamaged, p, debug.Stack())
		}
	}
}

// noSpace reports whether err says that there is no space and came before anything of the transaction could count: while
// the file grew or its pages were written, not while they were synced.
func noSpace(err error) bool {
	if errors.Is(err, berrors.ErrMaxSizeReached) {
		return true
	}
	var path *fs.PathError
	if errors.As(err, &path) {
		return path.Op == "write" && isNoSpace(path.Err)
	}
	text := err.Error() // bbolt does not wrap it
	if !strings.HasPrefix(text, "file resize error: ") {
		return false
	}
	for _, e := range spaceErrors {
		if strings.Contains(text, e.Error()) {
			return true
		}
	}
	return false
}

// spaceErrors are what a write may say of the disk, the quota and the limit on a file's size.
var spaceErrors = []syscall.Errno{syscall.ENOSPC, syscall.EDQUOT, syscall.EFBIG}

func isNoSpace(err error) bool {
	for _, e := range spaceErrors {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// Usage implements store.Backend.
func (b *Backend) Usage() store.Usage {
	u := store.Usage{Max: b.max}
	_ = b.db.View(func(btx *bbolt.Tx) error { // a closed file uses nothing
		u.Size = btx.Size()
		return nil
	})
	stats := b.db.Stats()
	free := int64(stats.FreePageN+stats.PendingPageN) * int64(b.db.Info().PageSize)
	u.Used = max(u.Size-free, 0)
	return u
}

// Close implements store.Backend.
func (b *Backend) Close() error {
	err := b.db.Close()
	if unlock := b.lock.Close(); err == nil {
		err = unlock
	}
	return err
}

// tx is a transaction of either sort.
type tx struct {
	backend *Backend
	tx      *bbolt.Tx
	buckets [32]*bbolt.Bucket
}

func (t *tx) bucket(table store.Table) *bbolt.Bucket {
	b := t.buckets[table]
	if b == nil {
		if b = t.tx.Bucket(t.backend.buckets[table]); b == nil {
			panic("no bucket " + table.String()) // every file has all of them; guard makes it an error
		}
		b.FillPercent = fillOf(table)
		t.buckets[table] = b
	}
	return b
}

// fillOf is up to where a page is filled that is split, as a part of its size.
func fillOf(table store.Table) float64 {
	switch {
	case table == store.Items: // they grow when they are claimed and settled
		return 0.8
	case table.Ascending():
		return 0.95
	case table == store.ItemIDs, table == store.Due: // their keys ascend by time, most of them
		return 0.9
	}
	return bbolt.DefaultFillPercent
}

func (t *tx) Get(table store.Table, key []byte) []byte { return t.bucket(table).Get(key) }

func (t *tx) Scan(table store.Table, from, to []byte, reverse bool, fn func(k, v []byte) bool) {
	c := t.bucket(table).Cursor()
	if !reverse {
		k, v := c.Seek(from)
		for ; k != nil && (to == nil || string(k) < string(to)) && fn(k, v); k, v = c.Next() {
		}
		return
	}
	var k, v []byte
	if k, _ = c.First(); k == nil { // where all pages are emptied, Last does not return
		return
	}
	if to == nil {
		k, v = c.Last()
	} else if k, _ = c.Seek(to); k == nil {
		k, v = c.Last()
	} else {
		k, v = t.before(table, c, k)
	}
	for ; k != nil && string(k) >= string(from) && fn(k, v); k, v = t.before(table, c, k) {
	}
}

// before moves c to the key before k, and returns what is there. In a transaction that deleted, bbolt's Prev ends at a page that is empty
// until the commit, although there is more before it; Next does not.
func (t *tx) before(table store.Table, c *bbolt.Cursor, k []byte) (key, value []byte) {
	key, value = c.Prev()
	if key != nil || !t.tx.Writable() {
		return key, value
	}
	first, _ := t.bucket(table).Cursor().First()
	for first != nil && key == nil && string(first) < string(k) {
		key, value = c.Prev()
	}
	return key, value
}

func (t *tx) Put(table store.Table, key, value []byte) error {
	if len(value) == 0 {
		return errors.New("a value is never empty")
	}
	return t.bucket(table).Put(key, t.backend.values.keep(value))
}

func (t *tx) Delete(table store.Table, key []byte) error { return t.bucket(table).Delete(key) }

// arena keeps the values of a transaction, which bbolt wants unchanged until it ends, in few large pieces. The pieces are used
// again by the next one.
type arena struct {
	full  [][]byte
	open  []byte
	spare [][]byte
}

// The size of a piece in bytes, and how many are kept.
const (
	arenaPiece = 256 << 10
	arenaSpare = 16 // pieces
)

func (a *arena) keep(value []byte) []byte {
	if len(a.open)+len(value) > cap(a.open) {
		a.full = append(a.full, a.open)
		a.open = a.piece(len(value))
	}
	from := len(a.open)
	a.open = append(a.open, value...)
	return a.open[from:len(a.open):len(a.open)]
}

// piece returns an empty piece with room for size bytes.
func (a *arena) piece(size int) []byte {
	if n := len(a.spare); n > 0 && size <= arenaPiece {
		taken := a.spare[n-1]
		a.spare[n-1] = nil
		a.spare = a.spare[:n-1]
		return taken
	}
	return make([]byte, 0, max(arenaPiece, size))
}

// reset forgets all values. As many pieces as the transaction before used stay for what comes next, 4 MiB at most.
func (a *arena) reset() {
	clear(a.spare)
	a.spare = a.spare[:0]
	for _, piece := range a.full {
		if cap(piece) == arenaPiece && len(a.spare) < arenaSpare {
			a.spare = append(a.spare, piece[:0])
		}
	}
	clear(a.full)
	a.full, a.open = a.full[:0], a.open[:0]
}
