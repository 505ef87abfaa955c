package event

import "time"

// Problem is something that is wrong and that the operator can mend. Its texts are for people, in plain words and without a
// period at the end; they may quote what a peer wrote, so whoever shows them makes them harmless first.
type Problem struct {
	// What is wrong. It stays the same as long as the problem lasts: by it the problem is known again.
	What string
	// Cause is why, as far as that is known, with the figures of the moment.
	Cause string
	// Remedy is what the operator can do about it.
	Remedy string
	// Since is when it began. Zero where nobody noted it: the daemon then fills in when it saw the problem first.
	Since time.Time
}

// String returns all of it but the time as one line.
func (p Problem) String() string {
	text := p.What
	if p.Cause != "" {
		text += ": " + p.Cause
	}
	if p.Remedy != "" {
		text += "; " + p.Remedy
	}
	return text
}
