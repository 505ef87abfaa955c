package daemon

import (
	"time"

	"tattled/detect"
	"tattled/event"
	"tattled/receiver"
	"tattled/receiver/wire"
)

// Reader looks within records that no rule has read as they are: what other programs have put around the message is taken off
// (wire.Peeler), and if rules read what is inside, the record is changed to that. The daemon, match and explain read records with it.
// One goroutine uses it at a time.
type Reader struct {
	peeler wire.Peeler
	// Wrapped says of the record that Within was given last that it was a line of a container's output in a runtime's wrapper, Part that the runtime has
	// cut that line, so that the next record of its stream does not begin with the beginning of one.
	Wrapped, Part bool
	Stderr        bool // it was of the standard error
}

// Read is detect.Rules.DetectKnown for a record of b.
func (x *Reader) Read(rules *detect.Rules, r *receiver.Record, b *receiver.Batch, form *detect.Form, f *detect.Finding) detect.Verdict {
	verdict := rules.DetectKnown(r.Program, r.Message, detect.Known{Cut: r.Cut, Form: form}, f)
	if verdict != detect.Matched && x.May(r, f) {
		return x.Within(rules, r, b, form, f)
	}
	return verdict
}

// May reports whether there may be something within a record that did not match. It costs next to nothing; Within does not.
func (x *Reader) May(r *receiver.Record, f *detect.Finding) bool {
	return (f.Service != nil || f.Compound) && x.peeler.Layered(r, f.Service != nil)
}

// Within takes off one layer after another until rules read what is inside, or nothing is left to take off: then r is as it was.
func (x *Reader) Within(rules *detect.Rules, r *receiver.Record, b *receiver.Batch, form *detect.Form, f *detect.Finding) detect.Verdict {
	x.Wrapped, x.Part = false, false
	if f.Refusal != detect.NotRefused && f.Refusal != detect.OtherForm {
		return detect.Refused
	}
	zone := b.Location
	if zone == nil {
		zone = time.Local
	}
	x.peeler.In(zone)
	whole := *r
	for range wire.MaxLayers {
		layer := x.peeler.Peel(r, f.Service != nil, b.Received)
		if layer == wire.NoLayer {
			break
		}
		x.Part = x.Part || layer == wire.Part
		if layer == wire.Part || layer == wire.Wrapper {
			x.Wrapped, x.Stderr = true, x.peeler.Stderr
		}
		if b.Source == "journal" && string(r.Program) != string(whole.Program) {
			r.Trust = min(r.Trust, event.TrustCount) // it was trusted as the program that it named: see receiver/journal's trusted
		}
		known := detect.Known{Cut: r.Cut, Form: form}
		inner := rules.DetectKnown(r.Program, r.Message, known, f)
		if inner != detect.Ignored && f.Refusal != detect.OtherForm || f.Raw || f.Named { // what a line says of its log is to be learned
			return inner
		}
	}
	cut := r.Cut
	*r = whole
	verdict := rules.DetectKnown(r.Program, r.Message, detect.Known{Cut: r.Cut, Form: form}, f)
	r.Cut = cut
	return verdict
}
