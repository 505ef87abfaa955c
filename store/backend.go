// Package store keeps everything that must survive: events, what is known about each address, reports on their way out
// (the outbox), how far each log was read, scores and notes. Its Committer gathers what happens into groups and makes
// each group durable in one transaction, so that a crash at any instant takes back cursor and effects together. It judges
// by package policy inside that transaction. It sends nothing and reads no log.
//
//	Submit ─┐                     ┌─ events, addresses, reports, cursors ─┐
//	Submit ─┼─► group ─► Judge ─► │           one transaction             │ ─► OnCommit, Outbox.Changed
//	Do     ─┘                     └───────────────────────────────────────┘
//
// Backend is what a database must do for it: bolt keeps a file, mem keeps nothing beyond the process; storetest is the
// suite that both pass. Every record carries a checksum over its table, its key and its value. A record that fails it is
// quarantined and counted, and never trusted.
//
// What is known about addresses is written twice. A group's addresses go into dense records first (Recent), and memory has where
// they are; later, many at a time and in the order of their keys, they are folded into the table Addresses. With a million
// addresses, writing each to its own page at once would cost a scattered page a claim.
//
// What bounds memory, whatever is submitted: two groups of events, of 4 MiB each; the states of 1,024 addresses; the places of
// those that are not folded (about 50 bytes each, some 65,000 of them); what says which addresses are new (4 bytes for each that is
// known, 8 while another is filled); and the pages that one transaction writes.
package store

import (
	"errors"
	"fmt"
)

// Errors that callers tell apart.
var (
	// ErrFull says that there is no space for a transaction: the disk, the quota or Options.MaxSize is exhausted. Nothing of
	// the transaction was applied.
	ErrFull = errors.New("no space left for the store")
	// ErrDamaged says that stored bytes are not what was written.
	ErrDamaged = errors.New("the store is damaged")
	// ErrNewer says that a newer version of the program wrote the store. It is left alone.
	ErrNewer = errors.New("the store was written by a newer version")
	// ErrStopped is what Submit returns once the committer has ended.
	ErrStopped = errors.New("the committer has stopped")
	// ErrNotClaimed is what Settle returns for an item that nobody is sending.
	ErrNotClaimed = errors.New("the item is not claimed")
)

// Table names one ordered set of records.
type Table uint8

// The tables.
const (
	Meta       Table = iota + 1 // "schema" and "counts"
	Events                      // sequence of the last one -> events
	Addresses                   // key of an address -> what is known about it
	Recent                      // commit, part -> addresses that are newer than in Addresses
	Items                       // sequence -> item of the outbox
	ItemIDs                     // ID -> sequence
	Due                         // destination, state, time, sequence: items that wait or are claimed
	Done                        // time, sequence: items that are settled
	Streams                     // name of a stream -> cursor
	Scores                      // address, days of reports -> score
	Notes                       // name -> note
	Quarantine                  // table, key -> a record that failed its checksum
	tableEnd
)

// Tables lists every table.
func Tables() []Table {
	var all []Table
	for t := Meta; t < tableEnd; t++ {
		all = append(all, t)
	}
	return all
}

func (t Table) String() string {
	switch t {
	case Meta:
		return "meta"
	case Events:
		return "events"
	case Addresses:
		return "addresses"
	case Recent:
		return "recent"
	case Items:
		return "items"
	case ItemIDs:
		return "item-ids"
	case Due:
		return "due"
	case Done:
		return "done"
	case Streams:
		return "streams"
	case Scores:
		return "scores"
	case Notes:
		return "notes"
	case Quarantine:
		return "aside"
	default:
		return fmt.Sprintf("table(%d)", uint8(t))
	}
}

// Ascending reports whether new keys of the table mostly lie behind all others, so that its pages may be packed full.
func (t Table) Ascending() bool { return t == Events || t == Recent || t == Items || t == Done }

// ReadTx reads one consistent state of a Backend. Slices that it hands out are lent: they are dead when the transaction
// ends, and after a write to the same table, and must not be written to.
type ReadTx interface {
	// Get returns the value under key, nil if there is none. Values are never empty.
	Get(t Table, key []byte) []byte

	// Scan calls fn for each record with from <= key < to, in ascending order or in reverse, until fn returns false. A nil
	// from is the first key, a nil to lies behind the last. fn must not write.
	Scan(t Table, from, to []byte, reverse bool, fn func(key, value []byte) bool)
}

// Tx writes as well. It keeps nothing of key and value: both may be used again once Put has returned.
type Tx interface {
	ReadTx

	// Put writes a record, over the one under the same key if there is one. Neither key nor value is empty.
	Put(t Table, key, value []byte) error

	// Delete removes a record. One that is not there is no error.
	Delete(t Table, key []byte) error
}

// Backend keeps tables of records. Several goroutines may use it at once.
type Backend interface {
	// Update runs fn in the one transaction that may write. When it returns nil, what fn wrote is durable. When fn fails,
	// nothing of it is applied and its error comes back. When the transaction fails with an error that is ErrFull, nothing
	// of it is applied and the backend goes on. After any other error it is unknown whether it was applied: close the
	// backend, open it again and look.
	Update(fn func(Tx) error) error

	// View runs fn on the state of the last Update that succeeded when View began. It does not wait for an Update longer
	// than a moment.
	View(fn func(ReadTx) error) error

	// Usage returns the space that is taken. It is cheap.
	Usage() Usage

	// Close waits for running transactions and releases everything.
	Close() error
}

// Usage is space in bytes.
type Usage struct {
	Used int64 // by records, with the overhead of keeping them
	Size int64 // of the file
	Max  int64 // the file will not grow beyond; 0 for no bound
}
