package daemon

import (
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"tattled/event"
)

// rawLogs remembers logs of which no line proves a handshake (detect.Finding.Raw): those in which a peer can write whole
// lines, because a Raw service's lines are found beside what other services of the same program read, and those of web
// servers with names where addresses should be. A made-up line always comes after the beginning of the line that it was cut
// out of, so whoever has seen none is safe to believe a handshake.
//
// What is remembered is bounded for each source, since hosts may be made up. Where a program has too many of them in one
// stream, all hosts of that program and stream count as raw; where a source has too many in all, the whole source does. No
// source affects another one. Each mark is handed to keep before the batch in which it was found is submitted, so it is
// durable no later than the cursor after it.
type rawLogs struct {
	keep     func(mark string) error      // stores a mark; nil keeps nothing over a restart
	overflow func(source, program string) // is called once for each overflow; program is "" for a whole source; may be nil

	any     atomic.Bool
	mu      sync.RWMutex
	sources map[string]*rawSource
}

// rawLog is a program's log on one host, as it came in by one stream of one source.
type rawLog struct{ source, stream, program, host string }

// rawSource is what is remembered of one source. all is zero, or when the whole source was last seen to be raw; then there
// is nothing else.
type rawSource struct {
	programs  map[rawProgram]*rawHosts
	size      int // programs and hosts
	overflows uint64
	all       time.Time
}

type rawProgram struct{ stream, program string }

// rawHosts are a program's hosts, with the time at which each mark was last kept. all is as in rawSource.
type rawHosts struct {
	hosts map[string]time.Time
	all   time.Time
}

const (
	maxRawHosts  = 128  // of one program in one stream
	maxRawSource = 4096 // programs and hosts of one source
	maxRawText   = 255  // bytes of a host's or a program's name that tell it from others

	// rawKeptFor is how long a mark is not stored again. The store forgets one that was not stored for store.Options.MarkAge.
	rawKeptFor = 24 * time.Hour
)

// add remembers log, seen at now.
func (l *rawLogs) add(log rawLog, now time.Time) { l.note(rawMark{ofHost, log.cut()}, now) }

// note remembers m, which may stand for more than one log.
func (l *rawLogs) note(m rawMark, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.source(m.source)
	if m.scope == ofSource || !s.all.IsZero() {
		l.noteSource(s, m.source, now)
		return
	}
	key := rawProgram{m.stream, m.program}
	p := s.programs[key]
	if p == nil {
		if s.size >= maxRawSource {
			l.noteSource(s, m.source, now)
			return
		}
		p = &rawHosts{hosts: map[string]time.Time{}}
		s.programs[key] = p
		s.size++
	}
	if m.scope == ofProgram || !p.all.IsZero() {
		l.noteProgram(s, p, m.rawLog, now)
		return
	}
	kept, known := p.hosts[m.host]
	switch {
	case !known && len(p.hosts) >= maxRawHosts:
		l.noteProgram(s, p, m.rawLog, now)
		return
	case !known && s.size >= maxRawSource:
		l.noteSource(s, m.source, now)
		return
	case !known:
		s.size++
	}
	l.renew(&kept, m, now)
	p.hosts[m.host] = kept
}

// source returns what is remembered of a source, made if there is nothing.
func (l *rawLogs) source(name string) *rawSource {
	if l.sources == nil {
		l.sources = map[string]*rawSource{}
	}
	s := l.sources[name]
	if s == nil {
		s = &rawSource{programs: map[rawProgram]*rawHosts{}}
		l.sources[name] = s
	}
	l.any.Store(true)
	return s
}

// noteProgram remembers that all hosts of a program in a stream count as raw.
func (l *rawLogs) noteProgram(s *rawSource, p *rawHosts, log rawLog, now time.Time) {
	if p.all.IsZero() {
		s.size -= len(p.hosts)
		p.hosts = nil
		l.overflowed(s, log.source, log.program)
	}
	l.renew(&p.all, rawMark{ofProgram, rawLog{source: log.source, stream: log.stream, program: log.program}}, now)
}

// noteSource remembers that the whole source counts as raw.
func (l *rawLogs) noteSource(s *rawSource, name string, now time.Time) {
	if s.all.IsZero() {
		s.programs, s.size = nil, 0
		l.overflowed(s, name, "")
	}
	l.renew(&s.all, rawMark{ofSource, rawLog{source: name}}, now)
}

func (l *rawLogs) overflowed(s *rawSource, source, program string) {
	s.overflows++
	if l.overflow != nil {
		l.overflow(source, program)
	}
}

// renew stores the mark unless it was stored a short time before.
func (l *rawLogs) renew(kept *time.Time, m rawMark, now time.Time) {
	if age := now.Sub(*kept); !kept.IsZero() && age < rawKeptFor && age > -rawKeptFor {
		return
	}
	*kept = now
	if l.keep != nil {
		_ = l.keep(m.text()) // a committer that takes no mark takes no batch either, which ends the receiver
	}
}

// has reports whether a peer can write whole lines into log.
func (l *rawLogs) has(log rawLog) bool {
	if !l.any.Load() { // as on nearly every server
		return false
	}
	log = log.cut()
	l.mu.RLock()
	defer l.mu.RUnlock()
	s := l.sources[log.source]
	if s == nil {
		return false
	}
	if !s.all.IsZero() {
		return true
	}
	p := s.programs[rawProgram{log.stream, log.program}]
	if p == nil {
		return false
	}
	_, known := p.hosts[log.host]
	return known || !p.all.IsZero()
}

// restore takes up the marks of earlier runs. They are not stored again before a line of their log is seen again.
func (l *rawLogs) restore(marks []string) {
	keep := l.keep
	l.keep = nil
	for _, text := range marks {
		if m, ok := parseRawMark(text); ok {
			l.note(m, time.Unix(1, 0))
		}
	}
	l.keep = keep
}

// rawCount is what rawLogs knows of one source.
type rawCount struct {
	logs      int    // marks that are remembered
	overflows uint64 // times that a bound was reached, those of earlier runs that still hold included
}

func (l *rawLogs) count(source string) rawCount {
	l.mu.RLock()
	defer l.mu.RUnlock()
	s := l.sources[source]
	if s == nil {
		return rawCount{}
	}
	c := rawCount{logs: s.size, overflows: s.overflows}
	for _, p := range s.programs {
		if len(p.hosts) > 0 {
			c.logs-- // the program's own entry
		}
	}
	if !s.all.IsZero() {
		c.logs = 1
	}
	return c
}

// problems says which sources have reached a bound: at most one for each source.
func (l *rawLogs) problems() []event.Problem {
	l.mu.RLock()
	defer l.mu.RUnlock()
	const remedy = "give each host a file, tag or listener of its own, and find out whether somebody makes up host names; what is known is forgotten 30 days after the last such line, at a restart"
	var all []event.Problem
	for _, source := range slices.Sorted(maps.Keys(l.sources)) {
		s := l.sources[source]
		what := source + ": peers can write whole lines into its logs"
		if !s.all.IsZero() {
			all = append(all, event.Problem{
				What:   what,
				Cause:  fmt.Sprintf("more than %d of its logs are such, so no line of it proves an address and nothing is reported from it", maxRawSource),
				Remedy: remedy,
			})
			continue
		}
		programs := map[string]bool{}
		for key, p := range s.programs {
			if !p.all.IsZero() {
				programs[key.program] = true
			}
		}
		if len(programs) == 0 {
			continue
		}
		first := slices.Min(slices.Collect(maps.Keys(programs)))
		all = append(all, event.Problem{
			What: what,
			Cause: fmt.Sprintf("the logs of %q (%d programs in all) on more than %d hosts are such, so no line of them proves an address and nothing is reported from them",
				first, len(programs), maxRawHosts),
			Remedy: remedy,
		})
	}
	return all
}

// cut bounds the names that come from records.
func (r rawLog) cut() rawLog {
	r.host, r.program = r.host[:min(len(r.host), maxRawText)], r.program[:min(len(r.program), maxRawText)]
	return r
}

// rawScope says how much a mark stands for.
type rawScope byte

const (
	ofHost    rawScope = 'h' // one log
	ofProgram rawScope = 'p' // all hosts of a program in a stream
	ofSource  rawScope = 's' // a source
)

// rawMark is what the store keeps of rawLogs.
type rawMark struct {
	scope rawScope
	rawLog
}

// rawPrefix begins every mark of rawLogs among those that the store keeps.
const rawPrefix = "raw/"

// text is the form in which the store keeps m: rawPrefix, the scope, and each name after its length.
func (m rawMark) text() string {
	b := append([]byte(rawPrefix), byte(m.scope))
	for _, name := range []string{m.source, m.stream, m.program, m.host} {
		b = binary.AppendUvarint(b, uint64(len(name)))
		b = append(b, name...)
	}
	return string(b)
}

// parseRawMark reads what text wrote.
func parseRawMark(text string) (rawMark, bool) {
	rest, found := strings.CutPrefix(text, rawPrefix)
	if !found || rest == "" {
		return rawMark{}, false
	}
	m := rawMark{scope: rawScope(rest[0])}
	b := []byte(rest[1:])
	for _, name := range []*string{&m.source, &m.stream, &m.program, &m.host} {
		size, n := binary.Uvarint(b)
		if n <= 0 || size > uint64(len(b)-n) {
			return rawMark{}, false
		}
		*name = string(b[n : n+int(size)])
		b = b[n+int(size):]
	}
	known := m.scope == ofHost || m.scope == ofProgram || m.scope == ofSource
	return m, known && len(b) == 0
}
