package bolt

import (
	"bytes"
	"encoding/binary"
	"hash/fnv"
	"os"
	"path/filepath"
	"testing"

	"tattled/store"
	"tattled/store/storetest"
)

// FuzzCheck writes any bytes at any places of a small file, makes the meta pages sound again so that the rest is read, and
// has it checked. What passes, bbolt opens as well, and every record of it can be read.
func FuzzCheck(f *testing.F) {
	path := filepath.Join(f.TempDir(), "state.db")
	b, _, err := Open(path, Options{})
	if err != nil {
		f.Fatal(err)
	}
	s, err := store.New(b, storetest.Options())
	if err != nil {
		f.Fatal(err)
	}
	c := store.NewCommitter(s, nil, store.CommitterOptions{})
	for _, note := range []string{"a", "b"} {
		if err := c.PutNote(f.Context(), note, bytes.Repeat([]byte(note), 3000)); err != nil {
			f.Fatal(err)
		}
	}
	s.Close()
	sound, err := os.ReadFile(path)
	if err != nil {
		f.Fatal(err)
	}
	sound = sound[:min(len(sound), 20*4096)]
	f.Add([]byte{0x10, 0x28, 0xff})
	f.Add([]byte{0x20, 0x0a, 1, 0x20, 0x0c, 2, 0x30, 0x10, 9})
	f.Fuzz(func(t *testing.T, edits []byte) {
		file := bytes.Clone(sound)
		for ; len(edits) >= 3; edits = edits[3:] {
			file[int(binary.BigEndian.Uint16(edits))%len(file)] = edits[2]
		}
		for _, at := range []int{0, 4096} {
			m := file[at+pageHeader : at+pageHeader+metaSize]
			sum := fnv.New64a()
			sum.Write(m[:metaSize-8])
			native.PutUint64(m[metaSize-8:], sum.Sum64())
		}
		if _, err := checkFile(bytes.NewReader(file), int64(len(file))); err != nil {
			return
		}
		path := filepath.Join(t.TempDir(), "state.db")
		if err := os.WriteFile(path, file, 0o600); err != nil {
			t.Fatal(err)
		}
		b, done, err := Open(path, Options{})
		if err != nil || done.Damage != "" {
			t.Fatalf("it passed, and does not open: %v, %+v", err, done)
		}
		for _, table := range store.Tables() {
			err := b.View(func(tx store.ReadTx) error {
				tx.Scan(table, nil, nil, false, func(k, _ []byte) bool { return tx.Get(table, k) != nil })
				return nil
			})
			if err != nil {
				t.Fatalf("it passed, and %s can not be read: %v", table, err)
			}
		}
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
	})
}
