package daemon

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"tattled/detect"
	"tattled/event"
	"tattled/geoip"
	"tattled/policy"
	"tattled/receiver"
)

// submitter takes what was detected; *store.Committer does.
type submitter interface {
	Submit(ctx context.Context, events []event.Event, stream string, cursor receiver.Cursor) error
}

// pipeline is the Handler of every receiver: detect, drop what is trusted, place, submit. It starts no goroutine; each
// receiver calls it in its own.
type pipeline struct {
	engine atomic.Pointer[engine] // swapped by a reload
	tally  *tally
	places *geoip.Databases
	out    submitter
	raw    rawLogs
	spare  sync.Pool // of *scratch
}

// engine is what a reload replaces in one step.
type engine struct {
	rules   *detect.Rules
	gate    *policy.Gate
	matched []*atomic.Uint64 // by Rule.Index
	missed  []*atomic.Uint64 // by Service.Index: lines of a known program that matched nothing

	driftLines uint64 // how many of those in a row raise the alarm; 0 for never
}

// scratch is what one call of Handle needs, reused by later ones.
type scratch struct {
	events  []event.Event
	finding detect.Finding
	names   names
}

// log names the log that r is a line of.
func (s *scratch) log(b *receiver.Batch, r *receiver.Record) rawLog {
	return rawLog{b.Source, b.Stream, s.names.of(r.Program), s.names.of(r.Host)}
}

func newPipeline(e *engine, t *tally, places *geoip.Databases, out submitter) *pipeline {
	p := &pipeline{tally: t, places: places, out: out}
	p.spare.New = func() any { return &scratch{names: names{}} }
	p.engine.Store(e)
	return p
}

// Handle implements receiver.Handler.
func (p *pipeline) Handle(ctx context.Context, b *receiver.Batch) error {
	s := p.spare.Get().(*scratch)
	defer p.spare.Put(s)
	s.events = s.events[:0]
	e := p.engine.Load()
	source := p.tally.source(b.Source)
	var ignored, refused, matched uint64
	for i := range b.Records {
		r := &b.Records[i]
		if r.Cut {
			refused++
			p.tally.overlong.Add(1)
			continue
		}
		verdict := e.rules.Detect(r.Program, r.Message, &s.finding)
		if s.finding.Raw && r.Trust == event.TrustReport { // what can lead to no report needs no remembering, and would crowd out what can
			p.raw.add(s.log(b, r), b.Received)
		}
		switch verdict {
		case detect.Matched:
			matched++
			e.matched[s.finding.Rule.Index].Add(1)
			if e.gate.Trusts(s.finding.Addr) {
				p.tally.trusted.Add(1)
				continue
			}
			s.events = append(s.events, p.event(s, r, b))
		case detect.Refused:
			refused++
			p.tally.refused[s.finding.Refusal].Add(1)
		default:
			ignored++
			if s.finding.Service != nil {
				e.missed[s.finding.Service.Index].Add(1)
			}
		}
	}
	source.count(b, matched, ignored, refused)
	return p.out.Submit(ctx, s.events, b.Stream, b.Cursor)
}

func (p *pipeline) event(s *scratch, r *receiver.Record, b *receiver.Batch) event.Event {
	f := &s.finding
	e := event.Event{
		Time: eventTime(r, f.Stamp, b), Received: b.Received,
		Kind: f.Rule.Kind, Service: f.Rule.Service.Name, Rule: f.Rule.Name, Categories: f.Rule.Categories,
		Addr: f.Addr, Port: f.Port, LocalPort: f.LocalPort, Proto: f.Proto,
		Handshake: f.Rule.Handshake && !p.raw.has(s.log(b, r)), Stray: f.Stray, Session: f.Rule.Service.Session, Weak: f.Rule.Weak,
		User: string(f.User), Program: s.names.of(r.Program), PID: string(r.PID), Host: s.names.of(r.Host),
		Source: b.Source, Reporter: b.Reporter, Trust: r.Trust,
		Place: p.places.Place(f.Addr),
		Line:  lineOf(r.Message),
	}
	if e.Reporter == "" {
		e.Reporter = e.Host
	}
	return e
}

// eventTime is when it happened by the record's own word, be it its header's or a stamp in the message of a log without
// headers; unless that has not come yet: a clock that runs ahead, or a zone that was guessed wrong, must not date a report
// into the future.
func eventTime(r *receiver.Record, stamp detect.Stamp, b *receiver.Batch) time.Time {
	at := r.Time
	if at.IsZero() {
		zone := b.Location
		if zone == nil {
			zone = time.Local
		}
		at, _ = stamp.Time(zone, b.Received)
	}
	if at.IsZero() || at.After(b.Received) {
		return b.Received
	}
	return at
}

// lineOf copies the message, cut at event.MaxLine on a boundary of characters.
func lineOf(message []byte) string {
	if len(message) <= event.MaxLine {
		return string(message)
	}
	cut := event.MaxLine
	for cut > event.MaxLine-utf8.UTFMax && !utf8.RuneStart(message[cut]) {
		cut--
	}
	return string(message[:cut])
}

// names keeps one string for each host and program name, so that a thousand events of a host share it.
type names map[string]string

// maxNames bounds names: hosts come from the wire, and may be made up.
const maxNames = 1024

func (n names) of(b []byte) string {
	if s, ok := n[string(b)]; ok {
		return s
	}
	if len(n) >= maxNames {
		clear(n)
	}
	s := string(b)
	n[s] = s
	return s
}
