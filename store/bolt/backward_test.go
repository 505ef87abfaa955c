package bolt

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"testing"

	"tattled/store"
)

// Backwards as forwards, a scan passes what a transaction has emptied of whole pages, wherever it begins.
func TestScanBackwardsOverWhatWasDeleted(t *testing.T) {
	b := mustOpen(t, filepath.Join(t.TempDir(), "state.db"))
	defer b.Close()
	errBack := errors.New("undone")
	key := func(i int) []byte { return fmt.Appendf(nil, "%05d", i) }
	const n = 2000
	err := b.Update(func(tx store.Tx) error {
		for i := range n {
			if err := tx.Put(store.Addresses, key(i), make([]byte, 100)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, gone := range [][2]int{{500, 1500}, {0, 1500}, {500, n}, {0, n}, {1, n - 1}} {
		err := b.Update(func(tx store.Tx) error {
			var want []string
			for i := range n {
				if i < gone[0] || i >= gone[1] {
					want = append(want, string(key(i)))
				} else if err := tx.Delete(store.Addresses, key(i)); err != nil {
					return err
				}
			}
			slices.Reverse(want)
			for _, to := range [][]byte{nil, key(n - 1), key(gone[1]), key(1200)} {
				var got []string
				tx.Scan(store.Addresses, nil, to, true, func(k, _ []byte) bool {
					got = append(got, string(k))
					return true
				})
				within := slices.DeleteFunc(slices.Clone(want), func(k string) bool { return to != nil && k >= string(to) })
				if !slices.Equal(got, within) {
					t.Errorf("without %d to %d, up to %q: %d keys, want %d", gone[0], gone[1], to, len(got), len(within))
				}
			}
			return errBack
		})
		if !errors.Is(err, errBack) {
			t.Fatal(err)
		}
	}
}
