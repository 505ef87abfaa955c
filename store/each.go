package store

import (
	"bytes"
	"fmt"
	"net/netip"
	"time"

	"tattled/policy"
)

// EachItem calls fn for each item of the outbox, the newest first, until fn returns false. fn must not keep the store waiting.
func (s *Store) EachItem(fn func(*Item) bool) error {
	return s.eachItem(nil, fn)
}

// ItemsOf returns up to limit items about an address (of IPv6, about its /64), the newest first. All items are looked at, but few of them
// are read.
func (s *Store) ItemsOf(addr netip.Addr, limit int) ([]Item, error) {
	var all []Item
	if !addr.IsValid() || limit <= 0 {
		return nil, nil
	}
	network := policy.Network(addr)
	err := s.eachItem(inRecord(network), func(i *Item) bool {
		if policy.Network(i.Report.Addr) == network {
			all = append(all, *i)
		}
		return len(all) < limit
	})
	return all, err
}

// NewestScore returns the AbuseIPDB score of addr that was asked for last, of reports of whatever age; false if there is none.
func (s *Store) NewestScore(addr netip.Addr) (newest Score, ok bool) {
	key := scoreKey(addr, 0)[:16]
	_ = s.backend.View(func(tx ReadTx) error { // a score that cannot be read is not known
		tx.Scan(Scores, key, nil, false, func(k, v []byte) bool {
			if !bytes.HasPrefix(k, key) {
				return false
			}
			payload, sound := unseal(Scores, k, v)
			d := decoder{b: payload}
			score := Score{Value: int(d.number(100)), At: d.time(), MaxAge: time.Duration(d.number(maxScoreDays)) * scoreDay}
			if sound && d.done() && (!ok || score.At.After(newest.At)) {
				newest, ok = score, true
			}
			return true
		})
		return nil
	})
	return newest, ok
}

// inRecord returns bytes that every record with an address of a network has somewhere: those in which an address is written down.
func inRecord(network netip.Prefix) []byte {
	raw := network.Addr().AsSlice()
	return raw[:min(len(raw), (network.Bits()+7)/8)]
}

// eachItem passes over records without part, if there is one.
func (s *Store) eachItem(part []byte, fn func(*Item) bool) error {
	err := s.backend.View(func(tx ReadTx) error {
		tx.Scan(Items, nil, nil, true, func(k, v []byte) bool {
			if part != nil && !bytes.Contains(v, part) {
				return true
			}
			item, ok := openItem(k, v)
			if !ok {
				s.bad(Items, k)
				return true
			}
			return fn(&item)
		})
		return nil
	})
	if err != nil {
		return fmt.Errorf("read outbox: %w", err)
	}
	return nil
}
