package daemon

import (
	"fmt"
	"sync"
	"time"

	"tattled/event"
	"tattled/receiver"
)

// misstepFor is how long the last connection that was closed remains a problem.
const misstepFor = time.Hour

// missteps follows the connections that were closed because their counted frames got out of step (receiver.OutOfStep) or
// because they began with another protocol (receiver.WrongProtocol), and those whose lines have no line feed between them. A
// sender that does it loses records each time, and nothing but a problem on the page says so. Safe for concurrent use.
type missteps struct {
	mu   sync.Mutex
	seen map[missed]misstep // few
}

type missed struct{ source, why string }

type misstep struct {
	count uint64
	last  time.Time // when count was last found higher
}

// problems says what is wrong with the senders of a source. Of a listener that anybody reaches, those who speak
// another protocol are strangers; where only some may send (named), such a sender is one whose records are missing.
func (m *missteps) problems(source string, meter *receiver.Meter, named bool, now time.Time) []event.Problem {
	var all []event.Problem
	if n := m.recent(source, receiver.OutOfStep.String(), meter.Dropped(receiver.OutOfStep), now); n > 0 {
		all = append(all, event.Problem{
			What:   source + ": a sender's octet counts are wrong",
			Cause:  fmt.Sprintf("%d connections were closed because a count before a message was not its length in bytes, and records were lost", n),
			Remedy: "have the sender count bytes, not characters, or send lines; counts of characters are understood if a line feed follows each message",
		})
	}
	if n := m.recent(source, "carriage-returns", meter.CarriageReturns.Load(), now); n > 0 {
		all = append(all, event.Problem{
			What:   source + ": a sender separates lines by carriage returns",
			Cause:  fmt.Sprintf("the first line of %d connections held a carriage return and a priority after it, and was not read", n),
			Remedy: "have the sender end lines with line feeds, or count bytes before each message",
		})
	}
	if n := m.recent(source, receiver.WrongProtocol.String(), meter.Dropped(receiver.WrongProtocol), now); n > 0 && named {
		all = append(all, event.Problem{
			What:   source + ": a sender in allow does not speak syslog",
			Cause:  fmt.Sprintf("%d connections of senders in allow were closed because what they began with is not syslog (HTTP, TLS, mail, ...)", n),
			Remedy: "check that they send syslog without TLS, and with a priority such as <38> before each message",
		})
	}
	return all
}

// recent returns count, which is how many connections of a source there were for a reason; 0 if the last is too long ago.
func (m *missteps) recent(source, why string, count uint64, now time.Time) uint64 {
	if count == 0 {
		return 0
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.seen == nil {
		m.seen = map[missed]misstep{}
	}
	one := m.seen[missed{source, why}]
	if count != one.count {
		one = misstep{count, now}
		m.seen[missed{source, why}] = one
	}
	if now.Sub(one.last) >= misstepFor {
		return 0
	}
	return count
}
