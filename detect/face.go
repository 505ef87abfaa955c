package detect

import (
	"tattled/detect/packet"
	"tattled/detect/parse"
	"tattled/detect/rulefile"
	"tattled/detect/stamp"
	"tattled/detect/weblog"
)

// What the rooms behind this package define, and its callers use, by the names that they know it by.

// Fault is something wrong with a rule file, a sample or an option.
type Fault = rulefile.Fault

// Form is the form of an access log as the operator declared it.
type Form = weblog.Form

// ParseForm reads a form: a name (common, combined, vhost_combined), the string of Apache's LogFormat, or that of nginx'
// log_format. What a line of such a log cannot prove is an error.
func ParseForm(text string) (*Form, error) { return weblog.ParseForm(text) }

// Known is what is known of a message besides its bytes.
type Known = weblog.Known

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
