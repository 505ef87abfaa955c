package bolt

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"time"

	"tattled/store"
)

// salvagedAtOnce is how many bytes of records go into one transaction of a salvage.
const salvagedAtOnce = 4 << 20

// maxSalvaged bounds what a page may say that overflows from it, in bytes.
const maxSalvaged = 16 << 20

// salvage puts what is sound of the damaged file aside into the file at temp, and the mark that this was done.
func salvage(temp, damaged string, now, upTo time.Time, done *Opened) (err error) {
	if damaged == "" {
		return mark(temp, now, upTo, done)
	}
	f, err := os.Open(damaged)
	if err != nil {
		return fmt.Errorf("salvage: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return fmt.Errorf("salvage: %w", err)
	}
	return into(temp, done, func(s *store.Salvage, update func(func(store.Tx) error) error) error {
		r := &salvager{check: check{file: f, size: info.Size()}, batch: func(records []salvagedRecord) error {
			return update(func(tx store.Tx) error {
				for _, one := range records {
					if err := s.Record(tx, one.table, one.key, one.value, one.last); err != nil {
						return err
					}
				}
				return nil
			})
		}}
		if err := r.run(); err != nil {
			return err
		}
		return update(func(tx store.Tx) error { return s.End(tx, now, upTo) })
	})
}

// mark puts into the file at temp that it was restored, and nothing else.
func mark(temp string, now, upTo time.Time, done *Opened) error {
	return into(temp, done, func(s *store.Salvage, update func(func(store.Tx) error) error) error {
		return update(func(tx store.Tx) error { return s.End(tx, now, upTo) })
	})
}

// into opens the file at temp, which nobody else knows, for a salvage. It is synced once, at the end.
func into(temp string, done *Opened, fn func(s *store.Salvage, update func(func(store.Tx) error) error) error) (err error) {
	b, err := openDB(temp, 0)
	if err != nil {
		return fmt.Errorf("open %s: %w", temp, err)
	}
	b.db.NoSync = true
	s := new(store.Salvage)
	if err = b.Update(s.Begin); err == nil {
		err = fn(s, b.Update)
	}
	done.Salvaged = s.Salvaged
	if err == nil {
		err = b.db.Sync()
	}
	if err != nil {
		done.Salvaged = store.Salvaged{}
	}
	return errors.Join(err, b.db.Close())
}

// salvagedRecord is a record of a damaged file.
type salvagedRecord struct {
	table      store.Table
	key, value []byte
	last       bool // it is what the file had last, not an older version
}

// salvager reads what it can of a damaged file: first the trees, as far as they hold together, then every page by itself.
// What lies in a tree is what the file had last; what lies elsewhere may be older. Positions come over only where it is
// known who was reported: else the logs are to be read again from the backup's, which tells who was seen.
type salvager struct {
	check
	batch   func([]salvagedRecord) error
	known   bool // of all addresses that were reported, by their states or by the reports
	records []salvagedRecord
	bytes   int
	err     error // of batch
}

func (r *salvager) run() error {
	m, err := r.meta()
	r.page = int64(m.page)
	if err != nil {
		r.page = int64(os.Getpagesize())
	}
	r.pages = uint64(r.size / r.page)
	r.seen = make([]uint64, r.pages/64+1)
	if err == nil {
		r.trees(m.root)
	}
	for id := uint64(2); id < r.pages && r.err == nil; id++ {
		if page := r.take(id); page != nil && native.Uint16(page[8:]) == sortLeaf {
			r.elements(page, func(key, value []byte, _ bool) {
				if t := tableOf(key, value); t != 0 && (t != store.Streams || r.known) {
					r.add(t, key, value, false)
				}
			})
		}
	}
	r.flush()
	return r.err
}

// trees reads the tables. Recent comes first: only where all of it is there, what lies in Addresses is the last word.
func (r *salvager) trees(root uint64) {
	buckets := map[string][]byte{}
	r.walk(root, 0, func(key, value []byte, isBucket bool) {
		if isBucket {
			buckets[string(key)] = bytes.Clone(value)
		}
	})
	recent := r.table(store.Recent, buckets, true)
	addresses := r.table(store.Addresses, buckets, recent) && recent
	r.known = r.table(store.Items, buckets, true) || addresses
	for _, t := range []store.Table{store.Events, store.Notes, store.Scores} {
		r.table(t, buckets, true)
	}
	if r.known {
		r.table(store.Streams, buckets, true)
	}
}

// table reads one table and reports whether all of it was there.
func (r *salvager) table(t store.Table, buckets map[string][]byte, last bool) bool {
	root, page, err := bucket(buckets[t.String()])
	if err != nil {
		return false
	}
	whole := true
	record := func(key, value []byte, _ bool) {
		if store.Verify(t, key, value) {
			r.add(t, key, value, last)
		} else {
			whole = false
		}
	}
	if root == 0 {
		return r.elements(page, record) && whole
	}
	return r.walk(root, 0, record) && whole
}

// walk reads the tree under a page, as far as it holds together, and reports whether all of it did.
func (r *salvager) walk(id uint64, depth int, record func(key, value []byte, isBucket bool)) bool {
	page := r.take(id)
	if page == nil || depth > maxDepth {
		return false
	}
	switch native.Uint16(page[8:]) {
	case sortLeaf:
		return r.elements(page, record)
	case sortBranch:
		whole := true
		n := int(native.Uint16(page[10:]))
		for i := range n {
			at := pageHeader + i*element
			if at+element > len(page) {
				return false
			}
			whole = r.walk(native.Uint64(page[at+8:]), depth+1, record) && whole
		}
		return whole && n > 0
	}
	return false
}

// take returns a page that nobody took before, with what overflows from it, nil if it is none. It is the caller's.
func (r *salvager) take(id uint64) []byte {
	head := make([]byte, pageHeader)
	if id < 2 || id >= r.pages || r.seen[id/64]&(1<<(id%64)) != 0 || r.readAt(head, id) != nil {
		return nil
	}
	more := uint64(native.Uint32(head[12:]))
	if native.Uint64(head) != id || more >= r.pages-id || int64(more) > maxSalvaged/r.page {
		return nil
	}
	page := make([]byte, int64(more+1)*r.page)
	if r.readAt(page, id) != nil {
		return nil
	}
	for ; more < r.pages; more, id = more-1, id+1 { // what overflows is no page of its own
		r.seen[id/64] |= 1 << (id % 64)
	}
	return page
}

// elements reads the records of a leaf page, as far as they lie within it, and reports whether all did.
func (r *salvager) elements(page []byte, record func(key, value []byte, isBucket bool)) bool {
	if len(page) < pageHeader || native.Uint16(page[8:]) != sortLeaf {
		return false
	}
	n, whole := int64(native.Uint16(page[10:])), true
	for i := range n {
		at := pageHeader + i*element
		if at+element > int64(len(page)) {
			return false
		}
		from := at + int64(native.Uint32(page[at+4:]))
		mid := from + int64(native.Uint32(page[at+8:]))
		to := mid + int64(native.Uint32(page[at+12:]))
		if to > int64(len(page)) || from == mid {
			whole = false
			continue
		}
		record(page[from:mid], page[mid:to], native.Uint32(page[at:]) == 1)
	}
	return whole
}

// tableOf finds out from a record's checksum which table it is of; 0 for none that is worth salvaging.
func tableOf(key, value []byte) store.Table {
	for _, t := range []store.Table{store.Addresses, store.Recent, store.Items, store.Streams, store.Notes} {
		if store.Verify(t, key, value) {
			return t
		}
	}
	return 0
}

func (r *salvager) add(t store.Table, key, value []byte, last bool) {
	r.records = append(r.records, salvagedRecord{t, bytes.Clone(key), bytes.Clone(value), last})
	if r.bytes += len(key) + len(value); r.bytes >= salvagedAtOnce {
		r.flush()
	}
}

func (r *salvager) flush() {
	if r.err == nil && len(r.records) > 0 {
		r.err = r.batch(r.records)
	}
	r.records, r.bytes = r.records[:0], 0
}
