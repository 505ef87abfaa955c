package store

import (
	"bytes"
	"fmt"
	"slices"
	"time"
)

// A mark is a fact that must outlive a restart and be known no later than what follows from it. Nothing but its text is
// kept, and when it was put last. Marks are in the table Notes, under keys that no note has.

// maxMark bounds a mark in bytes: the names of a source, a stream, a program and a host fit in.
const maxMark = 16 << 10

// whatMarks is how Stats and the metrics call marks that were evicted.
const whatMarks = "marks"

// PutMark adds mark, of 1 to 16384 bytes, to the next group. It will be durable no later than anything that the same
// goroutine submits afterwards. To put it again renews its age. It returns before anything is durable and never blocks: the
// caller bounds how many marks it makes.
func (c *Committer) PutMark(mark string) error {
	if mark == "" || len(mark) > maxMark {
		return fmt.Errorf("put mark: it has %d bytes (1 to %d are possible)", len(mark), maxMark)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return c.err
	}
	c.open.marks = append(c.open.marks, mark)
	if c.urgent.IsZero() {
		c.urgent = time.Now()
		c.wakeUp()
	}
	return nil
}

// putMarks writes the marks of a group.
func (w *work) putMarks(marks []string) error {
	for _, mark := range marks {
		w.buf = appendTime(w.buf[:0], w.now)
		if err := w.put(Notes, markKey(mark), w.buf); err != nil {
			return err
		}
	}
	return nil
}

// Marks returns all marks, in ascending order. Damaged ones are counted and left out; the error says that the store could
// not be read.
func (s *Store) Marks() ([]string, error) {
	var all []string
	err := s.backend.View(func(tx ReadTx) error {
		tx.Scan(Notes, markKey(""), marksEnd(), false, func(k, v []byte) bool {
			if _, ok := markTime(k, v); ok {
				all = append(all, string(k[1:]))
			} else {
				s.bad(Notes, k)
			}
			return true
		})
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read marks: %w", err)
	}
	return all, nil
}

// retainMarks forgets marks that were not put for long, and the oldest tenth where there are too many. Age is looked at in
// the first transaction alone, because a mark serves the whole run of whoever has read it.
func (w *work) retainMarks(o *Options) error {
	tooMany := o.Marks > 0 && w.counts.records[Notes] > uint64(o.Marks)
	if !tooMany && w.s.commits > 0 {
		return nil
	}
	type mark struct {
		key []byte
		at  time.Time
	}
	var all []mark
	w.tx.Scan(Notes, markKey(""), marksEnd(), false, func(k, v []byte) bool {
		at, _ := markTime(k, v)
		all = append(all, mark{bytes.Clone(k), at})
		return true
	})
	slices.SortFunc(all, func(a, b mark) int { return a.at.Compare(b.at) })
	over := 0
	if o.Marks > 0 && len(all) > o.Marks {
		over = len(all) - o.Marks + o.Marks/10
	}
	before := w.before(o.MarkAge)
	for i, m := range all {
		if i >= over && m.at.UnixMilli() >= before {
			break
		}
		if err := w.delete(Notes, m.key); err != nil {
			return err
		}
		w.evict[whatMarks]++
	}
	return nil
}

// markTime returns when a mark was put last, by its record.
func markTime(key, record []byte) (time.Time, bool) {
	payload, ok := unseal(Notes, key, record)
	d := decoder{b: payload}
	at := d.time()
	return at, ok && d.done()
}

// markKey is the key of a mark: notes begin with 'n'.
func markKey(mark string) []byte { return append([]byte{'m'}, mark...) }

// marksEnd is after all keys of marks.
func marksEnd() []byte { return []byte{'m' + 1} }
