package daemon

import (
	"fmt"
	"sync"
	"time"

	"tattled/receiver"
)

// misstepFor is how long the last connection that was closed out of step remains a problem.
const misstepFor = time.Hour

// missteps follows the connections that were closed because their counted frames got out of step (receiver.OutOfStep). A
// sender that does it loses records each time, and nothing but a problem on the page says so. Safe for concurrent use.
type missteps struct {
	mu   sync.Mutex
	seen map[string]misstep // by source: few
}

type misstep struct {
	count uint64
	last  time.Time // when count was last found higher
}

// problem says in words what is wrong with the senders of a source, "" if nothing is.
func (m *missteps) problem(source string, meter *receiver.Meter, now time.Time) string {
	count := meter.Dropped(receiver.OutOfStep)
	if count == 0 {
		return ""
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.seen == nil {
		m.seen = map[string]misstep{}
	}
	one := m.seen[source]
	if count != one.count {
		one = misstep{count, now}
		m.seen[source] = one
	}
	if now.Sub(one.last) >= misstepFor {
		return ""
	}
	return fmt.Sprintf("%s: %d connections were closed because a count before a message was not its length in bytes, and records were lost: have the sender count bytes, not characters, or send lines", source, count)
}
