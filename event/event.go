// Package event is the vocabulary of tattled: what was seen (Event), of what kind it is (Kind), where its address is
// (Place), and what is due to be reported to whom (Report). It holds values only: nothing here reads a clock, a disk or a
// network, and nothing of tattled is imported. Every other package speaks it.
package event

import (
	"net/netip"
	"time"
)

// MaxLine bounds Event.Line in bytes. A longer log line is cut there, on a UTF-8 boundary where there is one.
const MaxLine = 1024

// MaxPath bounds Event.Path in bytes, on a UTF-8 boundary where there is one.
const MaxPath = 255

// Event is one thing that a log record told about one peer. All text in it came from a log and may have been chosen by
// an attacker: show it as text only, never as markup, a label, a file name or a header.
type Event struct {
	Seq      uint64    // position in the store, from 1; 0 before it was committed
	Time     time.Time // when it happened: the record's own time where it is usable, else Received
	Received time.Time // when tattled read it

	Kind       Kind
	Service    string // from the rule file: "sshd", "netfilter"
	Rule       string // from the rule file: "failed-password"
	Categories []int  // of AbuseIPDB; shared with the rule, never written to

	Addr      netip.Addr // the peer: valid, no zone, never IPv4-mapped
	Port      uint16     // the peer's port, 0 if unknown
	LocalPort uint16     // the port on our side, 0 if unknown
	Proto     Proto
	Handshake bool // the peer completed a handshake, so that its address is proven
	Stray     bool // a TCP packet that opens no connection: left-over traffic, not an attempt
	Forward   bool // a packet that was to go on to another machine: what it is about is not this one
	Session   bool // lines of one (Host, PID) tell of one connection: several lines about one attempt count once
	Weak      bool // of a sort that well-behaved peers cause as well: it takes very many to mean something

	User    string // the account that was tried, as the peer wrote it
	Path    string // of at most MaxPath bytes: what a web server was asked for, without the query, decoded and resolved; "" elsewhere. Not stored
	Program string
	PID     string
	Host    string // the machine that logged it, as the record says

	Source   string // the configured source that it came by: one of few
	Reporter string // the operator's label for that source; the host where there is none
	Trust    Trust

	Place Place
	Line  string // the record's message, at most MaxLine bytes; stays on this machine and in the operator's mail
}

// Place is where an address lies, as far as the GeoIP databases know. Its zero value means unknown.
type Place struct {
	Country     string // ISO 3166-1 alpha-2, "" if unknown
	CountryName string // in English
	City        string // in English
	ASN         uint32 // autonomous system number, 0 if unknown
	Org         string // the autonomous system's organisation
	Lat, Lon    float32
}

// Trust says what may follow from a record, judged by how it reached us and not by what it says.
type Trust uint8

// The zero Trust is the least.
const (
	TrustCount  Trust = iota // count it, show it, alert on it
	TrustReport              // it may also lead to a report to a third party
)

func (t Trust) String() string {
	if t == TrustReport {
		return "report"
	}
	return "count"
}

// Proto is the transport that a peer used.
type Proto uint8

// The transports that matter to a decision.
const (
	ProtoUnknown Proto = iota
	TCP
	UDP
	ICMP
	ProtoOther
)

func (p Proto) String() string {
	switch p {
	case TCP:
		return "tcp"
	case UDP:
		return "udp"
	case ICMP:
		return "icmp"
	case ProtoOther:
		return "other"
	default:
		return ""
	}
}
