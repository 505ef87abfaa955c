package bolt

import (
	"fmt"
	"io"
	"os"

	"go.etcd.io/bbolt"

	"tattled/store"
)

// Copy writes a consistent copy of the file, as of its last transaction, to what begin returns for its size. Writers go on meanwhile; what
// they write takes new pages as long as it lasts, so whoever reads must not be slow.
func (b *Backend) Copy(begin func(size int64) io.Writer) (err error) {
	defer guard(&err)()
	err = b.db.View(func(tx *bbolt.Tx) error {
		_, err := tx.WriteTo(begin(tx.Size()))
		return err
	})
	if err != nil {
		return fmt.Errorf("copy %s: %w", b.db.Path(), err)
	}
	return nil
}

// Check reads all of a file that nobody uses, as Open does before it uses one, and changes nothing. The error is store.ErrDamaged if it
// is not sound to the last record, and store.ErrNewer if a newer version wrote it.
func Check(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	c, err := checkFile(f, info.Size())
	switch {
	case err != nil:
		return fmt.Errorf("check %s: %w", path, err)
	case c.audit.Bad > 0:
		return fmt.Errorf("check %s: %w: %d records fail their checksum", path, store.ErrDamaged, c.audit.Bad)
	case c.metas < 2:
		return fmt.Errorf("check %s: %w: one of its two meta pages is not intact", path, store.ErrDamaged)
	}
	return nil
}
