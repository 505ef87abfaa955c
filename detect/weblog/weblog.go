// Package weblog reads the logs of web servers: access logs in the forms that are known or declared (Access), and logs of which each
// line is one JSON object (JSON). What their rules ask for is not a pattern but conditions on the fields of a request (where: and
// not:), judged for all rules together. A client writes much of such a line, so every field is taken from where the server writes it;
// a form that had to be guessed proves less than one that was declared. For whoever tries the rules, both write lines of their logs.
package weblog

import (
	"net/netip"

	"tattled/detect/parse"
	"tattled/detect/rulefile"
)

// Known is what is known of a message besides its bytes.
type Known struct {
	// Cut says that the message is only the beginning of what was written, and whoever wrote it may have chosen where it ends.
	// All such are ignored but lines of access logs that have their request and their status before that, or at least the path
	// that was asked for, and objects that have all that a rule asks for.
	Cut bool
	// Form is the form of the access log that the message is a line of, as the operator declared it. It is only for programs
	// that write such logs.
	Form *Form
}

// webLog is what the parsers have in common: the rules of a file, whose conditions are about the fields of a request.
type webLog struct {
	file *rulefile.File
	*conditions
	proxies []netip.Prefix // of the operator's
}

// Bind takes the rules that are left when the operator's choice is done.
func (w *webLog) Bind(rules []parse.Rule) { w.bind(rules, w.file) }

// Number returns the number of a rule in its file, -1 if there is none of that name.
func (w *webLog) Number(rule string) int { return w.file.Number(rule) }

// Proxies returns the networks of the operator's reverse proxies. Do not write to it.
func (w *webLog) Proxies() []netip.Prefix { return w.proxies }
