// Package receiver is the contract between what reads logs and what makes sense of them: a Receiver turns a source into
// Batches of Records and hands each to a Handler. It knows no rule and no store. The implementations are its
// sub-packages (journal, syslog, tail, replay); receivertest is the suite that each of them passes; wire turns bytes
// into records.
//
//	socket, file, journal -> Receiver -> *Batch -> Handler (detect, place, submit)
package receiver

import (
	"context"
	"time"

	"tattled/event"
)

// Record is one log record. Its byte slices are lent: they are dead when Handler.Handle returns, so what is to be kept
// must be copied.
type Record struct {
	Time    time.Time // from the record's header; zero if it has none that is usable
	Host    []byte    // nil where the header has none
	Program []byte    // syslog tag without [pid], SYSLOG_IDENTIFIER, or the source's configured program
	PID     []byte    // digits as sent, nil if there is none
	Message []byte    // what follows the header, without the line's end
	Trust   event.Trust
	// Cut says that the record was longer than its source takes and Message is only its beginning. Whoever wrote it
	// chose where it ends, so detection must be told (detect.Known): it counts lines of access logs alone, where the cut is after
	// the status.
	Cut bool
	// Framing says what made the record one.
	Framing Framing
}

// Framing says how a program's message became a record, and so whether one with line ends in it is one record or several.
type Framing uint8

// The framings.
const (
	Whole    Framing = iota // one message of the program is one record: syslog, the journal's own interface, a line with a header
	FileLine                // a line of a file without headers, or of a stream of such lines that a listener takes
	OutLine                 // a line of the program's standard output or error, as journald parts it
)

// Batch is a run of records of one source in the order in which they were read. Batches cross boundaries, records never
// do. The receiver owns and reuses it.
type Batch struct {
	Source   string    // the source as the configuration names it: few, usable as a metric's label
	Reporter string    // the operator's label; "" means each record's host
	Received time.Time // when the batch was read
	Records  []Record

	// Location is the zone of time stamps within messages that name none; nil is this machine's.
	Location *time.Location

	// Stream and Cursor say how far this batch brings its stream: after a restart, reading goes on behind the last record
	// of the last batch whose cursor was committed. A source that cannot rewind leaves both empty. One source may have many
	// streams (a glob has one for each file).
	Stream string
	Cursor Cursor
}

// Cursor is a position in a stream: opaque to all but the receiver that made it, at most MaxCursor bytes. Like all bytes
// of a Batch it is lent.
type Cursor []byte

// MaxCursor bounds a cursor, in bytes.
const MaxCursor = 1024

// Handler takes batches. It is safe for concurrent use, and several goroutines of one receiver may call it at once. When
// Handle returns nil the batch is taken: its effects and its cursor will be committed in one transaction, or neither will
// be. It may block: that is the back-pressure, and a receiver that waits in it must stop reading its source. After an
// error the receiver must not go on with that stream: it returns the error from Run.
type Handler interface {
	Handle(ctx context.Context, b *Batch) error
}

// Previewer is a Handler that wants to know beforehand what a log is like. A receiver that begins to read in the middle of one
// shows it the last records that the log has then, and hands over later what is new of them: a preview counts nothing, reports
// nothing and moves no cursor.
type Previewer interface {
	Preview(b *Batch)
}

// Positions tells where a stream was left. It returns nil for a stream that was never committed.
type Positions interface {
	Position(stream string) Cursor
}

// Hurrier is a Positions that can be asked to commit soon what was handed over. A source that must hold on to what is not
// committed asks when it runs out of room. It does not wait, and is safe for concurrent use.
type Hurrier interface {
	Hurry()
}

// Receiver reads one configured source. Its constructor opens what may fail at start (sockets, the helper's program) and
// starts nothing.
type Receiver interface {
	// Source returns the name that its batches carry.
	Source() string

	// Run reads until ctx ends, and then returns nil when every goroutine that it started is gone. It goes on by itself
	// after faults that may pass (a missing file, a dying helper, a client that misbehaves) and counts them in its Meter. It
	// returns an error where going on makes no sense. It asks from for each stream as it opens it.
	Run(ctx context.Context, from Positions, h Handler) error

	// Meter returns the receiver's counters. It is the same Meter for life.
	Meter() *Meter
}
