package store

import (
	"bytes"
	"fmt"
	"net/netip"
	"time"
)

// Salvage merges what is sound of a damaged file into the one that takes its place, for a Backend that found both. What
// says most of whom was told wins: of an address its newest state, of a report that it was sent, of a stream the position
// that lies ahead. Begin comes first, then Record for each record that is left, then End. Each may be in a transaction of
// its own.
type Salvage struct {
	Salvaged

	sure map[string]bool // records that the damaged file had last: items, streams and notes, by quarantineKey
}

// Salvaged is how many records came over.
type Salvaged struct {
	Addresses, Reports, Positions, Events int
	// Dropped is how many reports were settled as Expired, because nobody knows whether they were sent.
	Dropped int
}

// unknownFate is the detail of a report that Salvage drops.
const unknownFate = "the state file was damaged, and nobody knows whether this was sent: dropped"

// Begin prepares the file that takes the place: what is known about addresses goes where Record finds it, and of no address
// it is said any more that its state is the one before the damage.
func (s *Salvage) Begin(tx Tx) error {
	s.sure = map[string]bool{}
	var r recent
	r.load(tx)
	for key, at := range r.m {
		record, _, ok := at.read(tx, key)
		if !ok {
			continue
		}
		if err := tx.Put(Addresses, key[:], seal(nil, Addresses, key[:], record)); err != nil {
			return fmt.Errorf("salvage: %w", err)
		}
	}
	var kept [][]byte
	tx.Scan(Addresses, nil, nil, false, func(k, v []byte) bool {
		if payload, ok := unseal(Addresses, k, v); ok && len(payload) > 0 && payload[0] == addressKept {
			kept = append(kept, bytes.Clone(k))
		}
		return true
	})
	for _, k := range kept {
		payload := bytes.Clone(tx.Get(Addresses, k)[sealSize:])
		payload[0] = addressForm
		if err := tx.Put(Addresses, k, seal(nil, Addresses, k, payload)); err != nil {
			return fmt.Errorf("salvage: %w", err)
		}
	}
	if err := tx.Delete(Meta, []byte(CountsKey)); err != nil { // New counts again
		return fmt.Errorf("salvage: %w", err)
	}
	return clearTables(tx, Recent)
}

// Record takes one record of the damaged file, of any table; those that fail their checksum it passes over. last says that
// it is what the file had under that key when it was damaged, and not an older version that lies about. Nothing is kept of
// the slices.
func (s *Salvage) Record(tx Tx, t Table, key, value []byte, last bool) error {
	payload, ok := unseal(t, key, value)
	if !ok {
		return nil
	}
	var err error
	switch t {
	case Addresses:
		if len(key) == 16 {
			err = s.address(tx, [16]byte(key), payload, last)
		}
	case Recent:
		eachVersion(payload, func(key [16]byte, _ int, record []byte) {
			if err == nil && len(record) > 0 {
				err = s.address(tx, key, record, last)
			}
		})
	case Items:
		err = s.item(tx, key, value, last)
	case Streams:
		err = s.stream(tx, key, value, last)
	case Notes, Scores:
		if last || tx.Get(t, key) == nil {
			err = tx.Put(t, key, value)
		}
	case Events:
		if last && tx.Get(Events, key) == nil {
			s.Events += eventsIn(value)
			err = tx.Put(Events, key, value)
		}
	}
	if err != nil {
		return fmt.Errorf("salvage: %w", err)
	}
	return nil
}

// address puts a state where there is none or an older one.
func (s *Salvage) address(tx Tx, key [16]byte, record []byte, last bool) error {
	var found, there address
	if !found.decode(record) {
		return nil
	}
	payload, ok := unseal(Addresses, key[:], tx.Get(Addresses, key[:]))
	known := ok && there.decode(payload)
	newer := !known || found.last > there.last || found.last == there.last && found.total > there.total
	same := known && found.last == there.last && found.total == there.total
	if !newer && (!same || !last || there.kept) {
		return nil
	}
	if newer {
		s.Addresses++
	}
	found.kept = last
	return tx.Put(Addresses, key[:], seal(nil, Addresses, key[:], found.append(nil)))
}

// progress grows with everything that becomes of an item.
func (i *Item) progress() int {
	switch {
	case i.State.Final():
		return 1 << 40
	case i.State == Claimed:
		return 2 * i.Attempts
	}
	return 2*i.Attempts + 1
}

func (s *Salvage) item(tx Tx, key, value []byte, last bool) error {
	found, ok := openItem(key, value)
	if !ok || s.sure[string(quarantineKey(Items, key))] {
		return nil
	}
	if last {
		s.sure[string(quarantineKey(Items, key))] = true
	}
	there, known := openItem(key, tx.Get(Items, key))
	if known && (there.ID != found.ID || !last && there.progress() >= found.progress()) {
		return nil
	}
	if !known || there.State != found.State {
		s.Reports++
	}
	return tx.Put(Items, key, value)
}

func (s *Salvage) stream(tx Tx, key, value []byte, last bool) error {
	if s.sure[string(quarantineKey(Streams, key))] {
		return nil
	}
	if last {
		s.sure[string(quarantineKey(Streams, key))] = true
	}
	if payload, ok := unseal(Streams, key, tx.Get(Streams, key)); ok && !last {
		there, found := decoder{b: payload}, decoder{b: value[sealSize:]}
		if !found.time().After(there.time()) {
			return nil
		}
	}
	s.Positions++
	return tx.Put(Streams, key, value)
}

// End puts the outbox in order and leaves the mark that the store was restored: at is when, upTo the time up to which
// events may have been judged and the judgement lost.
func (s *Salvage) End(tx Tx, at, upTo time.Time) error {
	if err := clearTables(tx, ItemIDs, Due, Done); err != nil {
		return err
	}
	type entry struct {
		seq  []byte
		item Item
	}
	var all []entry
	tx.Scan(Items, nil, nil, false, func(k, v []byte) bool {
		if item, ok := openItem(k, v); ok {
			all = append(all, entry{bytes.Clone(k), item})
		}
		return true
	})
	for i := range all {
		if err := s.settle(tx, all[i].seq, &all[i].item, at); err != nil {
			return fmt.Errorf("salvage: %w", err)
		}
	}
	mark := appendTime(appendTime([]byte{0}, at), upTo)
	key := noteKey(restoredNote)
	if err := tx.Put(Notes, key, seal(nil, Notes, key, mark)); err != nil {
		return fmt.Errorf("salvage: %w", err)
	}
	return nil
}

// settle gives an item its places, and sees to it that its address is known: whoever was told of lately is not new.
func (s *Salvage) settle(tx Tx, seq []byte, i *Item, at time.Time) error {
	if tx.Get(ItemIDs, []byte(i.ID)) != nil {
		return tx.Delete(Items, seq)
	}
	if !i.State.Final() && !s.sure[string(quarantineKey(Items, seq))] {
		s.Dropped++
		i.State, i.Settled, i.Detail = Expired, at, unknownFate
		if err := tx.Put(Items, seq, seal(nil, Items, seq, appendItem(nil, i))); err != nil {
			return err
		}
	}
	if err := tx.Put(ItemIDs, []byte(i.ID), seal(nil, ItemIDs, []byte(i.ID), seq)); err != nil {
		return err
	}
	place, table := dueKey(i, seq), Due
	if i.State.Final() {
		place, table = doneKey(i, seq), Done
	}
	if err := tx.Put(table, place, seal(nil, table, place, nil)); err != nil {
		return err
	}
	const lately = 32 * 24 * time.Hour // no window is longer
	if !i.Report.Addr.IsValid() || at.Sub(i.Report.Judged) > lately {
		return nil
	}
	return s.acquaint(tx, i.Report.Addr, i)
}

// acquaint puts down an address that nothing is known about but a report.
func (s *Salvage) acquaint(tx Tx, addr netip.Addr, i *Item) error {
	key := key16(addr)
	if tx.Get(Addresses, key[:]) != nil {
		return nil
	}
	a := address{
		first: milli(i.Report.First), last: milli(i.Report.Last), total: uint64(max(i.Report.Count, 1)), notified: max(milli(i.Report.Judged), 0),
		country: cut(i.Report.Place.Country, 2), asn: i.Report.Place.ASN,
	}
	return tx.Put(Addresses, key[:], seal(nil, Addresses, key[:], a.append(nil)))
}

// clearTables takes all records out of tables.
func clearTables(tx Tx, tables ...Table) error {
	for _, t := range tables {
		var keys [][]byte
		tx.Scan(t, nil, nil, false, func(k, _ []byte) bool {
			keys = append(keys, bytes.Clone(k))
			return true
		})
		for _, k := range keys {
			if err := tx.Delete(t, k); err != nil {
				return fmt.Errorf("salvage: %w", err)
			}
		}
	}
	return nil
}
