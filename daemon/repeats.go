package daemon

import (
	"bytes"
	"sync"
	"sync/atomic"
	"time"

	"tattled/event"
	"tattled/receiver"
)

// Syslog daemons write one line for several that are the same:
//
//	sshd[1]: message repeated 5 times: [ Failed password ...]    rsyslog, in place of the further ones
//	last message repeated 5 times                                syslogd of BSD, sysklogd, BusyBox; rsyslog with a tag before it
//
// Each stands for so many events. Who can write such a line can write the lines that it stands for, but for less: so no more is believed
// of it than the time since the line before allows, and the second form counts only right behind a line of the same host that is
// known to be an event, and leads to no report: it names no program, so that an application whose peers choose what a line of its log
// begins with may have written it. The journal has no such lines of its own.
const (
	// maxRepeats bounds what one line stands for, repeatsASecond what a service can log about one peer.
	maxRepeats     = 64
	repeatsASecond = 10
	// maxRepeatsABatch bounds what the lines of one batch stand for in all, which is committed at once.
	maxRepeatsABatch = 1024
	// repeatsReach is how many records of other programs may stand between.
	repeatsReach = 64
)

// repeats remembers of each stream the event that its last record was.
type repeats struct {
	any  atomic.Bool
	mu   sync.Mutex
	last map[string]event.Event // by source and stream
}

const maxRepeatStreams = 1024

func (p *repeats) keep(b *receiver.Batch, e *event.Event) {
	if e == nil && !p.any.Load() {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	key := b.Source + "\x00" + b.Stream
	if e == nil {
		delete(p.last, key)
		return
	}
	if p.last == nil || len(p.last) >= maxRepeatStreams {
		p.last = map[string]event.Event{}
	}
	p.last[key] = *e
	p.any.Store(true)
}

func (p *repeats) of(b *receiver.Batch) (event.Event, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	e, known := p.last[b.Source+"\x00"+b.Stream]
	return e, known
}

// keepLast remembers what the last record of a batch was.
func (p *pipeline) keepLast(s *scratch, b *receiver.Batch) {
	if n := len(s.events); n > 0 && int(s.from[n-1]) == len(b.Records)-1 {
		p.repeats.keep(b, &s.events[n-1])
		return
	}
	p.repeats.keep(b, nil)
}

// times returns how often a message of rsyslog's says that it came, 0 if it is no such message.
func times(m []byte) int {
	rest, found := bytes.CutPrefix(m, []byte("message repeated "))
	if !found {
		return 0
	}
	n, rest := leadingNumber(rest)
	if !bytes.HasPrefix(rest, []byte(" times: [")) {
		return 0
	}
	return n
}

// timesLast returns how often a message says that the one before it came again, 0 if it is no such message.
func timesLast(m []byte) int {
	if len(m) == 0 || m[0] != 'l' && m[0] != '-' {
		return 0
	}
	m = bytes.TrimSuffix(bytes.TrimPrefix(m, []byte("--- ")), []byte(" ---"))
	rest, found := bytes.CutPrefix(m, []byte("last message repeated "))
	if !found {
		return 0
	}
	n, rest := leadingNumber(rest)
	switch string(rest) {
	case " times", " time", " times.":
		return n
	}
	return 0
}

// leadingNumber reads a number of at most six digits.
func leadingNumber(m []byte) (n int, rest []byte) {
	i := 0
	for i < len(m) && i < 6 && m[i]-'0' <= 9 {
		n = n*10 + int(m[i]-'0')
		i++
	}
	return n, m[i:]
}

// believed returns how many of n repetitions are counted that end at at, where the event before them was at before.
func believed(n int, before, at time.Time) int {
	allowed := repeatsASecond
	if !before.IsZero() && at.After(before) {
		if seconds := at.Sub(before) / time.Second; seconds < maxRepeats {
			allowed += repeatsASecond * int(seconds)
		} else {
			allowed = maxRepeats
		}
	}
	return min(n, allowed, maxRepeats)
}

// again counts the further events that a matched record stands for, of which one is there already. before is the event that the stream
// had right before it.
func (s *scratch) again(r *receiver.Record) {
	n := times(r.Message)
	if n < 2 {
		return
	}
	one := s.events[len(s.events)-1]
	before := time.Time{}
	if len(s.events) > 1 {
		if e := &s.events[len(s.events)-2]; e.Addr == one.Addr && e.Rule == one.Rule && e.Host == one.Host {
			before = e.Time
		}
	}
	s.repeat(&one, s.from[len(s.from)-1], believed(n, before, one.Time)-1)
}

// repeat adds n events that are like e, as far as the batch may have them.
func (s *scratch) repeat(e *event.Event, from int32, n int) {
	n = min(n, maxRepeatsABatch-s.repeats)
	s.repeats += max(n, 0)
	for range n {
		s.events, s.from = append(s.events, *e), append(s.from, from)
	}
}

// lastAgain counts the events that record i of b stands for, which says that the one before it came n times more.
func (p *pipeline) lastAgain(s *scratch, b *receiver.Batch, i, n int) {
	e, known := p.before(s, b, i)
	r := &b.Records[i]
	if !known || e.Host != string(cutOff(r.Host, maxName)) || len(r.Program) > 0 && e.Program != string(cutOff(r.Program, maxName)) {
		return
	}
	at := eventTime(r, s.finding.Stamp, b)
	n = believed(n, e.Time, at)
	e.Time, e.Received, e.Trust = at, b.Received, min(e.Trust, r.Trust, event.TrustCount)
	s.repeat(&e, int32(i), n)
}

// before returns the event that the record before record i was, of the same host and, where i names one, of the same program. It may be
// one of those that such a record stands for, so that each is believed what the time since the last allows.
func (p *pipeline) before(s *scratch, b *receiver.Batch, i int) (event.Event, bool) {
	r := &b.Records[i]
	for j := i - 1; j >= 0 && j >= i-repeatsReach; j-- {
		other := &b.Records[j]
		if !bytes.Equal(other.Host, r.Host) || len(r.Program) > 0 && !bytes.Equal(other.Program, r.Program) {
			continue
		}
		for k := len(s.from) - 1; k >= 0 && int(s.from[k]) >= j; k-- {
			if int(s.from[k]) == j {
				return s.events[k], true
			}
		}
		if timesLast(other.Message) > 0 { // syslogd says it again and again, while it goes on
			continue
		}
		return event.Event{}, false
	}
	if i > repeatsReach {
		return event.Event{}, false
	}
	return p.repeats.of(b)
}
