package detect

import (
	"tattled/detect/packet"
	"tattled/detect/parse"
	"tattled/detect/rulefile"
	"tattled/detect/stamp"
)

// What the rooms behind this package define, and its callers use, by the names that they know it by.

// Fault is something wrong with a rule file, a sample or an option.
type Fault = rulefile.Fault

// Netfilter is the configuration of the parser for lines of the kernel's packet filter (rules.netfilter).
type Netfilter = packet.Netfilter

// Refusal is a reason to refuse a message that a rule describes. Its text is a metric's label.
type Refusal = parse.Refusal

// The refusals, as parse has them.
const (
	NotRefused  = parse.NotRefused
	Ambiguous   = parse.Ambiguous
	BadAddress  = parse.BadAddress
	HostName    = parse.HostName
	Proxy       = parse.Proxy
	TooLong     = parse.TooLong
	AddressList = parse.AddressList
	OtherForm   = parse.OtherForm
)

// Refusals lists every reason, in order.
func Refusals() []Refusal { return parse.Refusals() }

// Shape is what the form of an access log's line was taken for.
type Shape = parse.Shape

// NoShape is the shape of what is no access log's line, or has a form that was declared; Shapes is how many there are.
const (
	NoShape = parse.NoShape
	Shapes  = parse.Shapes
)

// Stamp is when something happened by a message's own word.
type Stamp = stamp.Stamp
