package receiver

import "sync/atomic"

// Reason says why a record that was received went no further.
type Reason uint8

// The reasons. They are a metric's label values.
const (
	NotAllowed    Reason = iota // the peer is not in the listener's allow list
	Empty                       // nothing in it but white space and control characters
	BadFrame                    // the framing was broken: what was read of the frame was let go
	TooMany                     // beyond a limit on connections or rate
	WrongProtocol               // the peer speaks something else: HTTP, TLS, mail
	OutOfStep                   // counted frames whose counts are wrong: the connection was closed
	reasons
)

func (r Reason) String() string {
	switch r {
	case NotAllowed:
		return "not-allowed"
	case Empty:
		return "empty"
	case BadFrame:
		return "bad-frame"
	case TooMany:
		return "too-many"
	case WrongProtocol:
		return "wrong-protocol"
	case OutOfStep:
		return "out-of-step"
	default:
		return "unknown"
	}
}

// Lost reports whether what is dropped for r is lost: somebody may miss it. The rest nobody meant for us to judge: empty records, and
// those of strangers.
func (r Reason) Lost() bool { return r == BadFrame || r == TooMany || r == OutOfStep }

// Reasons lists every reason, in order.
func Reasons() []Reason {
	var all []Reason
	for r := range reasons {
		all = append(all, r)
	}
	return all
}

// Meter counts what one source did. The books balance: Records is the sum of Skipped, of Dropped over all reasons and of the
// records handed to Handle. Safe for concurrent use; add once a batch where you can.
type Meter struct {
	Records atomic.Uint64 // received, whatever became of them
	Bytes   atomic.Uint64 // of those records, framing and header included
	Skipped atomic.Uint64 // of those records: written by tattled itself, never read on, or it would feed itself
	Errors  atomic.Uint64 // faults that passed: a failed read, a helper that died, an accept that failed
	Gaps    atomic.Uint64 // places where the source had lost records before we read them (rotation, vacuum, kernel buffer)
	Cut     atomic.Uint64 // records that were longer than the source takes
	Open    atomic.Int64  // connections, files or helpers open now

	// CarriageReturns counts connections that part lines by carriage returns alone. Such a stream has no frame.
	CarriageReturns atomic.Uint64

	dropped [reasons]atomic.Uint64
}

// Drop counts n records that go no further, for reason r. They must be counted in Records too.
func (m *Meter) Drop(r Reason, n uint64) { m.dropped[r].Add(n) }

// Dropped returns how many records went no further for reason r.
func (m *Meter) Dropped(r Reason) uint64 { return m.dropped[r].Load() }
