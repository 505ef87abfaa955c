package storetest

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"tattled/store"
)

var errOurs = errors.New("ours")

// backend tests what the contract says in words. Its records have no checksums, so it uses the table whose records need none.
func (s Suite) backend(t *testing.T) {
	b, reopen := s.Open(t)
	put := func(tx store.Tx, key, value string) {
		if err := tx.Put(store.Quarantine, []byte(key), []byte(value)); err != nil {
			t.Fatal(err)
		}
	}
	get := func(b store.Backend, key string) (value string) {
		err := b.View(func(tx store.ReadTx) error {
			value = string(tx.Get(store.Quarantine, []byte(key)))
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		return value
	}
	err := b.Update(func(tx store.Tx) error {
		put(tx, "a", "1")
		put(tx, "b", "2")
		if v := tx.Get(store.Quarantine, []byte("a")); string(v) != "1" {
			t.Errorf("a transaction reads %q where it wrote 1", v)
		}
		if v := tx.Get(store.Events, []byte("a")); v != nil {
			t.Errorf("another table has %q under the same key", v)
		}
		return tx.Delete(store.Quarantine, []byte("not there"))
	})
	if err != nil {
		t.Fatal(err)
	}
	err = b.Update(func(tx store.Tx) error {
		put(tx, "a", "changed")
		put(tx, "c", "3")
		if err := tx.Delete(store.Quarantine, []byte("b")); err != nil {
			t.Fatal(err)
		}
		return fmt.Errorf("wrapped: %w", errOurs)
	})
	if !errors.Is(err, errOurs) {
		t.Errorf("the error of the function came back as %v", err)
	}
	for key, want := range map[string]string{"a": "1", "b": "2", "c": ""} {
		if v := get(b, key); v != want {
			t.Errorf("after a transaction that failed, %s is %q, want %q", key, v, want)
		}
	}
	for _, bad := range [][2][]byte{{nil, []byte("v")}, {[]byte("k"), nil}} {
		err := b.Update(func(tx store.Tx) error { return tx.Put(store.Quarantine, bad[0], bad[1]) })
		if err == nil {
			t.Errorf("put of %q, %q passed", bad[0], bad[1])
		}
	}
	if u := b.Usage(); u.Used <= 0 || u.Size < u.Used {
		t.Errorf("usage %+v", u)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	b = reopen()
	if v := get(b, "a"); v != "1" {
		t.Errorf("opened again, a is %q", v)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
}

// model compares a backend with a plain map under random operations, in transactions that fail and ones that do not.
func (s Suite) model(t *testing.T) {
	b, _ := s.Open(t)
	defer b.Close()
	model := map[string]string{}
	key := rapid.StringMatching(`[a-d]{1,6}`)
	rapid.Check(t, func(rt *rapid.T) {
		draft := map[string]string{}
		for k, v := range model {
			draft[k] = v
		}
		fail := rapid.IntRange(0, 3).Draw(rt, "fail") == 0
		err := b.Update(func(tx store.Tx) error {
			for range rapid.IntRange(0, 60).Draw(rt, "writes") {
				k := key.Draw(rt, "key")
				if rapid.Bool().Draw(rt, "delete") {
					delete(draft, k)
					if err := tx.Delete(store.Quarantine, []byte(k)); err != nil {
						rt.Fatal(err)
					}
					continue
				}
				v := rapid.SampledFrom([]string{"x", "yy", string(bytes.Repeat([]byte("z"), 5000))}).Draw(rt, "value")
				draft[k] = v
				lentKey, lent := []byte(k), []byte(v)
				if err := tx.Put(store.Quarantine, lentKey, lent); err != nil {
					rt.Fatal(err)
				}
				clear(lentKey) // a backend that keeps them will be found out
				clear(lent)
			}
			compare(rt, tx, draft)
			if fail {
				return errOurs
			}
			return nil
		})
		if fail != (err != nil) {
			rt.Fatalf("update: %v", err)
		}
		if !fail {
			model = draft
		}
		if err := b.View(func(tx store.ReadTx) error { compare(rt, tx, model); return nil }); err != nil {
			rt.Fatal(err)
		}
	})
}

// compare reads model's records in every way.
func compare(rt *rapid.T, tx store.ReadTx, model map[string]string) {
	bound := rapid.SampledFrom([]string{"", "a", "b", "bb", "cc", "d", "dddddd", "e"})
	from, to := bound.Draw(rt, "from"), bound.Draw(rt, "to")
	var want []string
	for k := range model {
		if k >= from && (to == "" || k < to) {
			want = append(want, k)
		}
	}
	slices.Sort(want)
	reverse := rapid.Bool().Draw(rt, "reverse")
	if reverse {
		slices.Reverse(want)
	}
	limit := rapid.IntRange(1, len(want)+1).Draw(rt, "limit")
	var got []string
	tx.Scan(store.Quarantine, orNil(from), orNil(to), reverse, func(k, v []byte) bool {
		got = append(got, string(k))
		if string(v) != model[string(k)] {
			rt.Fatalf("scan: %s is %.20q, want %.20q", k, v, model[string(k)])
		}
		return len(got) < limit
	})
	want = want[:min(limit, len(want))]
	if !slices.Equal(got, want) {
		rt.Fatalf("scan from %q to %q, reverse %v: %q, want %q", from, to, reverse, got, want)
	}
	for k, v := range model {
		if got := tx.Get(store.Quarantine, []byte(k)); string(got) != v {
			rt.Fatalf("get %s: %.20q, want %.20q", k, got, v)
		}
	}
}

func orNil(s string) []byte {
	if s == "" {
		return nil
	}
	return []byte(s)
}
