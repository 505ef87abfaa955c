package store

import (
	"bytes"
	"fmt"
	"time"
)

// Audit looks at every record of a file before the file is trusted, for a Backend that reads it with care. Records that
// fail their checksum are quarantined; more than a few, or other numbers of records than were written, and the file is
// damaged as a whole.
type Audit struct {
	// Bad is how many records failed their checksum.
	Bad int

	seen   [tableEnd]uint64
	counts []byte
	schema bool
	bad    []badRecord
}

type badRecord struct {
	table Table
	key   []byte
}

// Record takes a record. Meta's come first. An error that is ErrNewer says that the file is not ours to judge; there is no
// other one. Nothing is kept of the slices.
func (a *Audit) Record(t Table, key, value []byte) error {
	if t == 0 || t >= tableEnd {
		return nil
	}
	a.seen[t]++
	if t == Meta && string(key) == SchemaKey {
		if a.schema = Verify(t, key, value); a.schema {
			return CheckSchema(value)
		}
	}
	if !Verify(t, key, value) {
		if a.Bad++; len(a.bad) < maxQuarantined {
			a.bad = append(a.bad, badRecord{t, bytes.Clone(key)})
		}
		return nil
	}
	if t == Meta && string(key) == CountsKey {
		a.counts = bytes.Clone(value[sealSize:])
	}
	return nil
}

// Verdict comes after the last record. An error that is ErrDamaged says that the file as a whole must not be trusted.
func (a *Audit) Verdict() error {
	switch {
	case !a.schema:
		return fmt.Errorf("%w: there is no schema in it", ErrDamaged)
	case a.Bad >= maxQuarantined:
		return fmt.Errorf("%w: %d records fail their checksum", ErrDamaged, a.Bad)
	}
	c, ok := decodeCounts(a.counts)
	if !ok {
		return nil // New counts again
	}
	for _, t := range counted() {
		if a.seen[t] != c.records[t] {
			return fmt.Errorf("%w: there are %d records in %s, and %d were written", ErrDamaged, a.seen[t], t, c.records[t])
		}
	}
	return nil
}

// Quarantine takes the bad records out of their tables. Addresses among them are known from now on as such whose state was
// lost.
func (a *Audit) Quarantine(tx Tx, now time.Time) error {
	for _, b := range a.bad {
		raw := bytes.Clone(tx.Get(b.table, b.key))
		if raw == nil {
			continue
		}
		if err := loseStates(tx, b.table, b.key, raw, now); err != nil {
			return fmt.Errorf("quarantine: %w", err)
		}
		if b.table != Addresses || len(b.key) != 16 {
			if err := tx.Delete(b.table, b.key); err != nil {
				return fmt.Errorf("quarantine: %w", err)
			}
		}
		if err := tx.Put(Quarantine, quarantineKey(b.table, b.key), raw); err != nil {
			return fmt.Errorf("quarantine: %w", err)
		}
	}
	if err := tx.Delete(Meta, []byte(CountsKey)); err != nil { // New counts again
		return fmt.Errorf("quarantine: %w", err)
	}
	return nil
}

// loseStates puts down whose state a bad record had: its own address, or those that a record of Recent names, as far as
// that is to be read.
func loseStates(tx Tx, t Table, key, raw []byte, now time.Time) error {
	var err error
	lose := func(key [16]byte, _ int, _ []byte) {
		var a address
		payload, ok := unseal(Addresses, key[:], tx.Get(Addresses, key[:]))
		if !ok || !a.decode(payload) {
			a = address{first: milli(now), last: milli(now)}
		}
		a.lost = milli(now)
		if err == nil {
			err = tx.Put(Addresses, key[:], seal(nil, Addresses, key[:], a.append(nil)))
		}
	}
	switch {
	case t == Addresses && len(key) == 16:
		lose([16]byte(key), 0, nil)
	case t == Recent && len(raw) > sealSize:
		eachVersion(raw[sealSize:], lose)
	}
	return err
}
