// Package parse is what all that reads messages has in common: the Result that a way to read a message is put into, the reasons
// to refuse one, and how addresses and ports are read. Two ways to read a message that name different peers make it ambiguous
// (Result.Join), whoever found them. It knows no rule and no form of line: pattern, packet and weblog read messages, and detect
// makes a finding of their results. Nothing that reads bytes allocates here, for an attacker chooses how often it is called.
package parse

import (
	"net/netip"

	"tattled/detect/stamp"
	"tattled/event"
)

// Result is what was made of a message so far. What it holds of the message is lent.
type Result struct {
	Found     bool    // a rule describes the message; without, only Raw, Named and Misfit mean something
	Ambiguous bool    // it can be read in two ways that name different peers
	Raw       bool    // a rule that is raw has read the message
	Refusal   Refusal // why the peer cannot be told; the zero Refusal where it can
	Port      uint16  // the peer's, 0 if unknown
	Local     uint16  // ours, 0 if unknown
	Order     int32   // of two ways that name the same peer, the smaller one's rule is named
	Rule      int32   // by its number among all rules, negative for one that is disabled
	Rival     int32   // one more than the rule of another way to read the message that made it ambiguous; 0 for none
	Addr      netip.Addr
	User      []byte // nil without one

	// What only parsers know.
	Proto    event.Proto
	Stray    bool // a TCP packet that opens no connection
	Forward  bool // a packet that went on to another machine
	Stamp    stamp.Stamp
	Unproven bool // the address may be a peer's word: the line's form had to be guessed
	Named    bool // a name is in the peer's place, or the server escapes nothing; said of lines that no rule describes as well
	Weak     bool // whatever the rule says: see rulefile.File.Fetchers
	Misfit   bool // the line is not of the form that was declared for its log
	Asked    Asked
	Shape    Shape
}

// Asked is where a message has the path of a request: a part of it, as it is written there.
type Asked struct {
	Text  []byte // nil: it tells of no request with a path
	How   uint8  // how text is written: weblog's coding
	Whole bool   // text is a target, or a request with a method before it, and the path is yet to be cut out of it
}

// Join takes another way to read the message. Two ways that name different peers make it ambiguous, and so do two of
// which one has something else where the other has an address: which of them the program meant cannot be known.
func (r *Result) Join(other *Result) {
	raw := r.Raw || other.Raw
	switch {
	case !r.Found:
		*r = *other
	case other.Ambiguous, r.Addr != other.Addr: // the address of a refused way is the zero one
		r.Ambiguous, r.Rival = true, other.Rule+1
		if other.Order < r.Order {
			r.Order, r.Rule, r.Rival = other.Order, other.Rule, r.Rule+1
		}
	case other.Order <= r.Order:
		ambiguous, rival := r.Ambiguous, r.Rival
		*r = *other
		r.Ambiguous, r.Rival = ambiguous, rival
	}
	r.Raw = raw
}

// Rule is what a parser is told of a rule that is left when the operator's choice is done.
type Rule struct {
	Name  string // unique within the service
	Kind  event.Kind
	Index int // its number among all rules
}

// Parsed is what a parser says of a message that somebody asks about, for people.
type Parsed struct {
	Fields []Field // what it could read, in the order of the message
	Peer   string  // what stands where the address belongs
	Failed string  // why no rule matched, as a sentence without its end; "" where one did
}

// Field is a part of a message that has a name.
type Field struct{ Name, Value string }
