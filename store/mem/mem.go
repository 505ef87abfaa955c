// Package mem is a store.Backend that lives and dies with the process: for replays, for trying things, and for tests. It
// is the simplest thing that fulfils the contract.
package mem

import (
	"bytes"
	"fmt"
	"slices"
	"sort"
	"sync"

	"tattled/store"
)

// Backend keeps records in memory.
type Backend struct {
	max    int64
	values *arena // nil where values are on the heap

	mu     sync.RWMutex
	tables map[store.Table]*table
	used   int64
}

var _ store.Backend = (*Backend)(nil)

// New makes an empty backend that takes at most maxSize bytes of records; 0 is no bound.
func New(maxSize int64) *Backend {
	b := &Backend{max: maxSize, tables: map[store.Table]*table{}}
	for _, t := range store.Tables() {
		b.tables[t] = new(table)
	}
	return b
}

// Mapped makes an empty backend whose values are in a temporary file of a folder ("" for the system's): what is kept is memory that the
// system can take back. Close lets go of it.
func Mapped(folder string) (*Backend, error) {
	values, err := newArena(folder)
	if err != nil {
		return nil, err
	}
	b := New(0)
	b.values = values
	return b, nil
}

// Update implements store.Backend.
func (b *Backend) Update(fn func(store.Tx) error) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	tx := &tx{b: b}
	err := fn(tx)
	if err == nil && b.max > 0 && b.used > b.max && tx.grew > 0 {
		err = fmt.Errorf("%w: %d bytes of records, at most %d", store.ErrFull, b.used, b.max)
	}
	if err != nil {
		tx.rollBack()
	} else {
		tx.letGo()
	}
	return err
}

// View implements store.Backend.
func (b *Backend) View(fn func(store.ReadTx) error) error {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return fn(&tx{b: b})
}

// Usage implements store.Backend.
func (b *Backend) Usage() store.Usage {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return store.Usage{Used: b.used, Size: b.used, Max: b.max}
}

// Close implements store.Backend. What New's kept stays readable, so that a test can open it again.
func (b *Backend) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.values == nil {
		return nil
	}
	b.tables = New(0).tables
	return b.values.close()
}

// tx is a transaction; undo holds what it replaced, in order.
type tx struct {
	b    *Backend
	undo []change
	grew int64
}

type change struct {
	table store.Table
	entry entry // the value before; nil where there was none
}

func (t *tx) Get(table store.Table, key []byte) []byte {
	return t.b.tables[table].get(string(key))
}

func (t *tx) Scan(table store.Table, from, to []byte, reverse bool, fn func(k, v []byte) bool) {
	t.b.tables[table].scan(from, to, reverse, fn)
}

func (t *tx) Put(table store.Table, key, value []byte) error {
	if len(key) == 0 || len(value) == 0 {
		return fmt.Errorf("put into %s: a key of %d bytes and a value of %d", table, len(key), len(value))
	}
	kept, err := t.keep(value)
	if err != nil {
		return err
	}
	t.set(table, entry{string(key), kept})
	return nil
}

// keep copies a value to where it stays.
func (t *tx) keep(value []byte) ([]byte, error) {
	if t.b.values == nil {
		return bytes.Clone(value), nil
	}
	return t.b.values.keep(value)
}

// letGo gives back the places of values that were replaced: not before the transaction is over, because it may have to put them back.
func (t *tx) letGo() {
	if t.b.values == nil {
		return
	}
	for _, c := range t.undo {
		t.b.values.giveBack(c.entry.value)
	}
}

func (t *tx) Delete(table store.Table, key []byte) error {
	t.set(table, entry{key: string(key)})
	return nil
}

func (t *tx) set(name store.Table, e entry) {
	before := t.b.tables[name].set(e)
	t.undo = append(t.undo, change{name, entry{e.key, before}})
	t.account(e, before)
}

func (t *tx) account(e entry, before []byte) {
	grew := int64(len(e.value) - len(before))
	if (before == nil) != (e.value == nil) {
		if sign := int64(len(e.key)); before == nil {
			grew += sign
		} else {
			grew -= sign
		}
	}
	t.b.used += grew
	t.grew += grew
}

func (t *tx) rollBack() {
	slices.Reverse(t.undo)
	for _, c := range t.undo {
		if written := t.b.tables[c.table].set(c.entry); t.b.values != nil {
			t.b.values.giveBack(written)
		}
	}
	t.b.used -= t.grew
}

// chunk bounds how many entries lie in one slice of a table.
const chunk = 512

type entry struct {
	key   string
	value []byte // nil is no entry
}

// table is entries in order, in slices of at most chunk, so that putting one in moves few.
type table struct{ chunks [][]entry }

// find returns where key is, or would be, and whether it is there.
func (t *table) find(key string) (c, i int, found bool) {
	c = max(sort.Search(len(t.chunks), func(c int) bool { return t.chunks[c][0].key > key })-1, 0)
	if c >= len(t.chunks) {
		return 0, 0, false
	}
	i, found = slices.BinarySearchFunc(t.chunks[c], key, func(e entry, key string) int {
		switch {
		case e.key < key:
			return -1
		case e.key > key:
			return 1
		}
		return 0
	})
	return c, i, found
}

func (t *table) get(key string) []byte {
	if c, i, found := t.find(key); found {
		return t.chunks[c][i].value
	}
	return nil
}

// set puts e in its place, or takes it away where it has no value, and returns the value before.
func (t *table) set(e entry) (before []byte) {
	c, i, found := t.find(e.key)
	switch {
	case found && e.value != nil:
		before, t.chunks[c][i].value = t.chunks[c][i].value, e.value
	case found:
		before = t.chunks[c][i].value
		if t.chunks[c] = slices.Delete(t.chunks[c], i, i+1); len(t.chunks[c]) == 0 {
			t.chunks = slices.Delete(t.chunks, c, c+1)
		}
	case e.value != nil && len(t.chunks) == 0:
		t.chunks = [][]entry{{e}}
	case e.value != nil:
		t.chunks[c] = slices.Insert(t.chunks[c], i, e)
		if whole := t.chunks[c]; len(whole) > chunk {
			t.chunks[c] = slices.Clip(whole[:chunk/2])
			t.chunks = slices.Insert(t.chunks, c+1, slices.Clone(whole[chunk/2:]))
		}
	}
	return before
}

func (t *table) scan(from, to []byte, reverse bool, fn func(k, v []byte) bool) {
	if len(t.chunks) == 0 {
		return
	}
	c, i, _ := t.find(string(from))
	if reverse {
		if c, i = len(t.chunks), 0; to != nil {
			c, i, _ = t.find(string(to))
		}
		t.back(c, i, string(from), fn)
		return
	}
	for ; c < len(t.chunks); c, i = c+1, 0 {
		for ; i < len(t.chunks[c]); i++ {
			e := t.chunks[c][i]
			if to != nil && e.key >= string(to) || !fn([]byte(e.key), e.value) {
				return
			}
		}
	}
}

// back calls fn for what lies before the place c, i, down to from.
func (t *table) back(c, i int, from string, fn func(k, v []byte) bool) {
	for ; c >= 0; c-- {
		if c < len(t.chunks) {
			for i--; i >= 0; i-- {
				e := t.chunks[c][i]
				if e.key < from || !fn([]byte(e.key), e.value) {
					return
				}
			}
		}
		if c > 0 {
			i = len(t.chunks[c-1])
		}
	}
}
