package store

import (
	"fmt"
	"net/netip"
	"time"

	"tattled/event"
	"tattled/policy"
)

// Item is a report in the outbox: due to be sent, in the hands of a courier, or settled.
type Item struct {
	ID       string // of Report
	Report   event.Report
	State    State
	Rank     uint8 // while Pending: those of a lower rank are claimed first, 0 to MaxRank
	Attempts int   // how often it was claimed

	Created     time.Time // when it was judged, by the clock of the reading
	NextAttempt time.Time // while Pending: not to be claimed before
	Claimed     time.Time // the last claim; zero if there was none
	Settled     time.Time // the last settlement; zero if there was none
	Detail      string    // what the destination said last, at most MaxDetail bytes

	// UnansweredSince is the time of the first attempt after which nobody knows whether the item arrived; zero where that is known.
	UnansweredSince time.Time
}

// MaxRank is the rank of what can wait for longest.
const MaxRank = 15

// rank ranks an item by how severe it is, then by how much was seen. Alerts go in their order. So does what may have arrived,
// before all else: its destination knows it again for a short time only.
func (w *work) rank(i *Item) {
	i.Rank = 0
	if w.policy == nil || !w.policy.Reports(i.Report.Destination) || !i.UnansweredSince.IsZero() {
		return
	}
	much := 0
	for n := i.Report.Count; n >= 10 && much < 3; n /= 10 {
		much++
	}
	i.Rank = uint8(MaxRank - 4*i.Report.Kind.Severity() - much)
}

// MaxDetail bounds Item.Detail in bytes; a longer one is cut.
const MaxDetail = 500

// State is where an item stands. Its text form is a metric's label.
type State uint8

// The states. An item begins Pending; Claimed is the intent, durable before the request; all others are final.
const (
	Pending   State = iota + 1
	Claimed         // somebody is sending it, or was when the process died
	Delivered       // the destination took it
	DryRun          // all was done but the sending
	Duplicate       // the destination had it already
	Rejected        // the destination will never take it
	Dismissed       // its condition on the reputation does not hold
	Expired         // it was not sent in time, or the outbox was full, or its fate after a crash is unknown
	stateEnd
)

// States lists every state, in order.
func States() []State {
	var all []State
	for s := Pending; s < stateEnd; s++ {
		all = append(all, s)
	}
	return all
}

// Final reports whether nothing more will happen to an item in this state.
func (s State) Final() bool { return s > Claimed && s < stateEnd }

func (s State) String() string {
	switch s {
	case Pending:
		return "pending"
	case Claimed:
		return "claimed"
	case Delivered:
		return "delivered"
	case DryRun:
		return "dry-run"
	case Duplicate:
		return "duplicate"
	case Rejected:
		return "rejected"
	case Dismissed:
		return "dismissed"
	case Expired:
		return "expired"
	default:
		return fmt.Sprintf("state(%d)", uint8(s))
	}
}

// MarshalText writes the state's name.
func (s State) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Settlement is what became of a claimed item.
type Settlement struct {
	State   State     // a final one, or Pending to try again
	At      time.Time // when; zero stands for the time of the claim
	Detail  string    // for people
	RetryAt time.Time // with Pending: not to be claimed before

	UnansweredSince time.Time // Item.UnansweredSince from now on
}

// Uncertainty is how to deal with items of which nobody knows whether they arrived.
type Uncertainty struct {
	// Window is for how long after an attempt the destination recognizes the same item as a duplicate, so that it can be sent
	// again without harm; 0 for a destination that does not.
	Window time.Duration
	// After says what becomes of an item when Window is over.
	After Uncertain
}

// Resend reports whether an item that may have arrived at a time is to be sent again at now. Where the clock was set back, nobody
// knows how long ago that was.
func (u Uncertainty) Resend(at, now time.Time) bool {
	age := now.Sub(at)
	return u.After == Resend || age >= 0 && age < u.Window
}

// Score is an address' AbuseIPDB score as it was asked for.
type Score struct {
	Value  int           // 0 to 100
	MaxAge time.Duration // how old the reports were that it counts; whole days
	At     time.Time     // when it was asked for
}

// Uncertain says what to do with an item whose sending was cut off by a crash, so that nobody knows whether it arrived,
// and that is too old for the destination to tell a second one as a duplicate.
type Uncertain uint8

// Send it again, at the risk of telling twice, or drop it, at the risk of not telling.
const (
	Resend Uncertain = iota
	Drop
)

func (u Uncertain) String() string {
	if u == Drop {
		return "drop"
	}
	return "resend"
}

// MarshalText writes what UnmarshalText reads.
func (u Uncertain) MarshalText() ([]byte, error) { return []byte(u.String()), nil }

// UnmarshalText reads "resend" or "drop".
func (u *Uncertain) UnmarshalText(text []byte) error {
	switch string(text) {
	case "resend":
		*u = Resend
	case "drop":
		*u = Drop
	default:
		return fmt.Errorf("%q is neither resend nor drop", text)
	}
	return nil
}

// Address is what is known about one address; of IPv6, about its /64.
type Address struct {
	Network netip.Prefix // the address, or its /64

	First, Last time.Time             // the first and the last event, by their own time
	Counts      map[event.Kind]uint64 // events of each kind
	Place       event.Place           // as of the last event; only Country and ASN are kept
	Windows     []Window              // what was told of it to whom
	Events      []uint64              // Seq of its newest events, ascending, at most 16; retention may have dropped some
}

// Window is one telling to one destination.
type Window = policy.Window

// Total returns how many events of all kinds there were.
func (a *Address) Total() uint64 {
	var n uint64
	for _, c := range a.Counts {
		n += c
	}
	return n
}

// Recovered says what Outbox.Recover did.
type Recovered struct {
	Again   int // items that will be sent again
	Dropped int // items that were settled as Expired
}
