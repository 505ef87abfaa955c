package mem_test

import (
	"errors"
	"testing"

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
