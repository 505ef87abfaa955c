package mem_test

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"tattled/store"
	"tattled/store/mem"
	"tattled/store/storetest"
)

func TestSuite(t *testing.T) {
	storetest.Suite{Open: func(*testing.T) (store.Backend, func() store.Backend) {
		b := mem.New(0)
		return b, func() store.Backend { return b }
	}}.Run(t)
}

// left is a backend that a test opens again.
type left struct{ *mem.Backend }

func (left) Close() error { return nil }

// Values in a mapped file are as those on the heap.
func TestMapped(t *testing.T) {
	storetest.Suite{Open: func(t *testing.T) (store.Backend, func() store.Backend) {
		b, err := mem.Mapped(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := b.Close(); err != nil {
				t.Error(err)
			}
		})
		return left{b}, func() store.Backend { return left{b} }
	}}.Run(t)
}

// Whatever is written, replaced, deleted and taken back, what is there is what a map has, and nothing is left in the folder.
func TestMappedAnything(t *testing.T) {
	dir := t.TempDir()
	rapid.Check(t, func(t *rapid.T) {
		b, err := mem.Mapped(dir)
		if err != nil {
			t.Fatal(err)
		}
		defer b.Close()
		want := map[string]string{}
		for range rapid.IntRange(1, 30).Draw(t, "transactions") {
			next := maps.Clone(want)
			fails := rapid.Bool().Draw(t, "fails")
			err := b.Update(func(tx store.Tx) error {
				for range rapid.IntRange(0, 20).Draw(t, "writes") {
					key := fmt.Sprint(rapid.IntRange(0, 9).Draw(t, "key"))
					size := rapid.SampledFrom([]int{0, 1, 15, 16, 17, 1000, 1024, 1025, 5000, 16384, 16385, 40000}).Draw(t, "size")
					if size == 0 {
						delete(next, key)
						if err := tx.Delete(store.Notes, []byte(key)); err != nil {
							return err
						}
						continue
					}
					value := strings.Repeat(string('a'+rune(rapid.IntRange(0, 25).Draw(t, "letter"))), size)
					next[key] = value
					if err := tx.Put(store.Notes, []byte(key), []byte(value)); err != nil {
						return err
					}
				}
				if fails {
					return errors.New("it fails")
				}
				return nil
			})
			if (err != nil) != fails {
				t.Fatal(err)
			}
			if !fails {
				want = next
			}
			got := map[string]string{}
			_ = b.View(func(tx store.ReadTx) error {
				tx.Scan(store.Notes, nil, nil, false, func(k, v []byte) bool { got[string(k)] = string(v); return true })
				return nil
			})
			if !maps.Equal(got, want) {
				t.Fatal("what is there is not what was written")
			}
		}
	})
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("%v is left, %v", left, err)
	}
}

func TestMaxSize(t *testing.T) {
	b := mem.New(100)
	put := func(key string, n int) error {
		return b.Update(func(tx store.Tx) error { return tx.Put(store.Notes, []byte(key), make([]byte, n)) })
	}
	if err := put("a", 90); err != nil {
		t.Fatal(err)
	}
	if err := put("b", 20); !errors.Is(err, store.ErrFull) {
		t.Errorf("beyond the bound: %v", err)
	}
	if u := b.Usage(); u.Used != 91 {
		t.Errorf("%+v", u)
	}
	if err := put("a", 1); err != nil {
		t.Errorf("shrinking: %v", err)
	}
}
