package daemon

import (
	"sync"
	"sync/atomic"
)

// rawLogs remembers logs in which a peer can write whole lines: those in which a Raw service's lines are found beside what
// other services of the same program read (detect.Finding.Raw). A made-up line always comes behind the beginning of the
// line that it was cut out of, so whoever has seen none is safe to believe a handshake.
type rawLogs struct {
	any  atomic.Bool
	mu   sync.RWMutex
	seen map[rawLog]bool
}

// rawLog is a program's log on one host, as it came in by one stream of one source.
type rawLog struct{ source, stream, host, program string }

// maxRawLogs bounds rawLogs, since hosts may be made up. Beyond it every log counts as raw.
const maxRawLogs = 4096

func (l *rawLogs) add(log rawLog) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.seen == nil {
		l.seen = map[rawLog]bool{}
	}
	if len(l.seen) < maxRawLogs {
		l.seen[log] = true
	}
	l.any.Store(true)
}

func (l *rawLogs) has(log rawLog) bool {
	if !l.any.Load() { // as on nearly every server
		return false
	}
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.seen[log] || len(l.seen) >= maxRawLogs
}
