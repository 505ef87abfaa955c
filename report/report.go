// Package report delivers due reports to their destinations: a Courier takes items from the store's outbox,
// asks the address's reputation where a policy wants it, hands the report to a Sender and writes down what became
// of it. It keeps the pace, backs off, and stays closed where a destination said so. It judges nothing (policy does) and
// keeps nothing (store does). daemon starts one Courier a destination.
//
//	store.Outbox -> Courier -> Reputation -> Sender (abuseipdb, mail, webhook) -> destination
//	      ^------------ settle -----------------'
//
// What is promised and what is not: DESIGN.md.
package report

import (
	"context"
	"time"

	"tattled/event"
)

// Sender delivers reports to one destination. The implementations are this package's sub-packages; reporttest is the
// suite that each of them passes.
type Sender interface {
	// Destination returns the name under which reports for this sender lie in the outbox: "abuseipdb", "mail". It is a
	// metric's label and never changes.
	Destination() string

	// Send makes one attempt to deliver r and says what became of it. It does not retry, does not change r and keeps
	// nothing of it. It returns soon after ctx ends, and by itself after its own timeout; an attempt whose answer was not
	// seen is Later. One call is made at a time, of a BulkSender two. All text in r may be an attacker's.
	Send(ctx context.Context, r *event.Report) Outcome
}

// DuplicateWindow is what a Sender implements whose destination recognizes for a while that it got the same report before.
type DuplicateWindow interface {
	// DuplicateWindow returns for how long after an attempt another one for the same item comes out as Duplicate.
	DuplicateWindow() time.Duration
}

// BulkSender is a Sender whose destination takes many reports in one request as well.
type BulkSender interface {
	Sender

	// SendBulk makes one attempt to deliver all of reports in one request and says what became of each, in their order, and of the
	// request: Delivered if it was answered, whatever the answer says of single reports; zero if none was made. Reports beyond
	// what one request holds are Later, and not at fault. For each report holds what holds of Send.
	SendBulk(ctx context.Context, reports []*event.Report) (each []Outcome, request Outcome)

	// Bulk says what is known of the destination's bounds.
	Bulk() BulkBounds
}

// BulkBounds are what a destination allows today.
type BulkBounds struct {
	Reports  int   // how many reports one request holds; 0 if there are no such requests
	Requests int64 // how many such requests are left; -1 if that is not known
	Singles  int64 // how many attempts of Send are left; -1 if that is not known
}

// Outcome is what became of one attempt.
type Outcome struct {
	Result Result
	// Until is when to try again: the item alone for Later, the whole destination for Paused. Zero leaves it to the
	// Courier. It matters to no other result.
	Until time.Time
	// Unanswered says that the report may have arrived although the result is Later: it was on its way, and no answer was
	// seen.
	Unanswered bool
	// Detail tells a person why, in one line of at most MaxDetail bytes: harmless to show, and without any secret.
	Detail string
	// Remedy says what the operator can do where the destination takes nothing, as far as the answer shows it; "" leaves that to what is
	// known of the destination anyway.
	Remedy string
}

// MaxDetail bounds Outcome.Detail, in bytes.
const MaxDetail = 200

// Result is the sort of an Outcome. Its text form is a metric's label value.
type Result uint8

// The results. Zero is none. No sender answers with the last two, the Courier does.
const (
	Delivered Result = iota + 1 // the destination took it
	DryRun                      // not sent, because no key is configured; everything but the sending was done
	Duplicate                   // the destination has it already: as good as delivered
	Later                       // not now: the fault may pass
	Paused                      // the destination accepts nothing at present: quota, authentication, outage. The item is not at fault
	Rejected                    // the destination will never take this item
	Dismissed                   // not sent: by the time it was due, something spoke against it
	Expired                     // not sent again: nobody knows whether it arrived, and the configuration says to drop it then
	resultEnd
)

// Results lists every result, in order.
func Results() []Result {
	var all []Result
	for r := Delivered; r < resultEnd; r++ {
		all = append(all, r)
	}
	return all
}

func (r Result) String() string {
	switch r {
	case Delivered:
		return "delivered"
	case DryRun:
		return "dry-run"
	case Duplicate:
		return "duplicate"
	case Later:
		return "later"
	case Paused:
		return "closed"
	case Rejected:
		return "rejected"
	case Dismissed:
		return "dismissed"
	case Expired:
		return "expired"
	default:
		return "none"
	}
}

// proves says whether a result shows that the destination works.
func (r Result) proves() bool { return r == Delivered || r == Duplicate || r == Rejected }
