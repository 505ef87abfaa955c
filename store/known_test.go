package store

import (
	"bytes"
	"encoding/binary"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
)

// addressKeys is a transaction that has nothing but keys in Addresses.
type addressKeys struct {
	Tx
	keys map[[16]byte]bool
}

func (a *addressKeys) Scan(_ Table, from, _ []byte, _ bool, fn func(k, v []byte) bool) {
	all := slices.SortedFunc(maps.Keys(a.keys), func(a, b [16]byte) int { return bytes.Compare(a[:], b[:]) })
	for _, key := range all {
		if bytes.Compare(key[:], from) >= 0 && !fn(key[:], nil) {
			return
		}
	}
}

// Whatever comes, is folded and is given up, and whichever transactions fail: no address that is in Addresses or in Recent is ever
// taken for new, before, while and after the filter is replaced; and most that are new are.
func TestKnownForgetsNobody(t *testing.T) {
	const commits, each = 120, 1000
	r := rand.New(rand.NewPCG(3, 9))
	s := &Store{recent: recent{m: map[[16]byte]place{}}}
	tx := &addressKeys{keys: map[[16]byte]bool{}}
	for range 3*knownAtOnce - 100 { // there before the process began
		tx.keys[randomKey(r)] = true
	}
	w := &work{s: s, tx: tx}
	fresh, filters, sure := 0, 0, 0
	for range commits {
		before := s.known.now
		w.counts.addresses = uint64(len(tx.keys) + len(s.recent.m))
		s.known.renew(w)
		if len(before) != len(s.known.now) || len(before) > 0 && &before[0] != &s.known.now[0] {
			filters++
		}
		added, gone, folded := map[[16]byte]bool{}, map[[16]byte]bool{}, map[[16]byte]bool{}
		for range each {
			key := randomKey(r)
			if fresh++; !s.known.mayHave(key) {
				sure++
			}
			s.known.add(key)
			added[key] = true
		}
		for key := range tx.keys {
			if gone[key] = true; len(gone) == each/2 {
				break
			}
		}
		for key := range s.recent.m {
			if folded[key] = true; len(folded) == each {
				break
			}
		}
		if r.IntN(4) > 0 { // else there was no space: all is as it was
			for key := range gone {
				delete(tx.keys, key)
			}
			for key := range folded {
				delete(s.recent.m, key)
				tx.keys[key] = true
			}
			for key := range added {
				s.recent.m[key] = place{}
			}
		}
		for key := range tx.keys {
			if !s.known.mayHave(key) {
				t.Fatalf("%x is in Addresses, and would be taken for new", key)
			}
		}
		for key := range s.recent.m {
			if !s.known.mayHave(key) {
				t.Fatalf("%x is in Recent, and would be taken for new", key)
			}
		}
	}
	if filters < 2 || sure < fresh*9/10 {
		t.Errorf("%d filters were made, and %d of %d new addresses known to be new: want 2 and nine in ten", filters, sure, fresh)
	}
}

func randomKey(r *rand.Rand) (key [16]byte) {
	binary.BigEndian.PutUint64(key[:], r.Uint64())
	binary.BigEndian.PutUint64(key[8:], r.Uint64())
	return key
}

// Where nobody new comes, no filter takes the place of another, though every address is in Addresses and in Recent.
func TestKnownIsNotReplacedForNothing(t *testing.T) {
	r := rand.New(rand.NewPCG(4, 9))
	s := &Store{recent: recent{m: map[[16]byte]place{}}}
	tx := &addressKeys{keys: map[[16]byte]bool{}}
	for range 20_001 {
		key := randomKey(r)
		tx.keys[key], s.recent.m[key] = true, place{}
	}
	w := &work{s: s, tx: tx}
	w.counts.addresses = uint64(len(tx.keys))
	for range 10 {
		s.known.renew(w)
	}
	if s.known.now == nil || s.known.next != nil {
		t.Error("a filter is being filled")
	}
}
