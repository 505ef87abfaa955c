package event

import (
	"net/netip"
	"time"
)

// MaxComment bounds Report.Comment in bytes.
const MaxComment = 1000

// Report is what is due to be told about one address to one destination: counts, times and ports, judged by a policy.
// What a destination makes of it is the destination's business; AbuseIPDB, for one, never sees Line, User, Host or
// Reporter.
type Report struct {
	// ID names the report for ever: the same judgement, made again after a crash, has the same ID.
	ID          string
	Destination string // "abuseipdb", "mail", "webhook"
	Policy      string // the policy that was reached
	Judged      time.Time
	DryRun      bool // judged while nothing was sent to the destination: it never is, whatever changed since

	Addr       netip.Addr
	Kind       Kind // of the event that reached the policy, and of all that were counted unless Kinds has more
	Kinds      []Kind
	Service    string // of the event that reached the policy, as Rule and Categories are
	Rule       string
	Categories []int

	First, Last time.Time // the span of the events counted, by their own time
	Count       int       // events counted, of Kind or of Kinds; at least 1
	Prior       *Prior    // what came before, for a policy about a sequence; nil for any other
	Users       int       // distinct accounts tried, as far as they were kept apart
	Ports       []uint16  // ports of ours that were tried, ascending, at most 16
	Proto       Proto
	Place       Place

	Reputation *Reputation // a condition on the address's score, to be asked before sending; nil for none
	// Score is the address's AbuseIPDB confidence score as it was found before sending, 0 to 100; nil if it was not asked
	// for or is not known, and then ScoreMissing says why it is not known. The courier sets both for the sender; the store keeps
	// neither.
	Score        *int
	ScoreMissing string

	// Comment is what the operator wrote for a report by hand, which is sent as it is; "" for all others.
	Comment string

	// For the operator's eyes only.
	User     string
	Host     string
	Reporter string
	Line     string // the record that reached the threshold
}

// Prior is the events that came before the one of a Report, within the time of a policy about a sequence.
type Prior struct {
	Kinds []Kind // of the events: one or more
	Count int
	More  bool      // there were at least Count: no more are remembered
	First time.Time // the first of those that are remembered, by its own time
}

// Reputation is a condition on an address's AbuseIPDB confidence score.
type Reputation struct {
	MinScore int           // 0 to 100
	MaxScore int           // MinScore to 100
	MaxAge   time.Duration // how old the reports behind the score may be: 1 to 365 days
	// DropUnknown says that the report is dropped where the score is not known; else it is sent without.
	DropUnknown bool
}

// Holds reports whether score lies within the condition.
func (r Reputation) Holds(score int) bool { return score >= r.MinScore && score <= r.MaxScore }
