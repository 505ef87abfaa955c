package journal

import (
	"time"

	"tattled/event"
)

// trouble is why the journal cannot be read.
type trouble struct {
	text  string
	since time.Time
}

// sound is how long a child must run before it is believed to read, where it has brought nothing: that takes less than this
// to fail.
const sound = 5 * time.Second

// began notes that a child was started.
func (r *Receiver) began() { r.begun.Store(time.Now().UnixNano()) }

// ended notes that it is gone.
func (r *Receiver) ended() {
	r.trouble.Store(r.current())
	r.begun.Store(0)
}

// failed notes why there is no child.
func (r *Receiver) failed(err error) {
	next := &trouble{text: err.Error(), since: time.Now()}
	if before := r.trouble.Load(); before != nil {
		next.since = before.since
	}
	r.trouble.Store(next)
}

// current returns why the journal cannot be read, nil if it can.
func (r *Receiver) current() *trouble {
	if begun := r.begun.Load(); begun != 0 && time.Since(time.Unix(0, begun)) >= sound {
		return nil
	}
	return r.trouble.Load()
}

// Reads reports whether the journal can be read, as far as is known.
func (r *Receiver) Reads() bool { return r.current() == nil }

// Problems says why the journal cannot be read, if it cannot.
func (r *Receiver) Problems() []event.Problem {
	t := r.current()
	if t == nil {
		return nil
	}
	return []event.Problem{{
		What:  "the journal is not read",
		Cause: t.text + "; it is tried again every " + mostPause.String() + " or sooner",
		Remedy: "check that there is a journal, that the daemon's user is in group systemd-journal, and that libsystemd0 is installed; " +
			"or take sources.journal out of the configuration",
		Since: t.since,
	}}
}
