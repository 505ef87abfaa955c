package daemon

import (
	"context"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"tattled/detect"
	"tattled/event"
	"tattled/geoip"
	"tattled/policy"
	"tattled/receiver"
	"tattled/receiver/syslog"
)

// submitter takes what was detected; *store.Committer does.
type submitter interface {
	Submit(ctx context.Context, events []event.Event, stream string, cursor receiver.Cursor) error
}

// pipeline is the Handler of every receiver: detect, drop what is trusted, place, submit. It starts no goroutine; each
// receiver calls it in its own.
type pipeline struct {
	engine   *atomic.Pointer[engine] // swapped by a reload
	tally    *tally
	places   *geoip.Databases
	out      submitter
	raw      rawLogs
	named    namedLogs
	disputes disputes
	misfits  misfits
	repeats  repeats
	clocks   clocks
	parts    lineParts
	loggedIn func(e *event.Event)                    // is told of a successful login before it is submitted; may be nil. It must not wait
	attacked func(service string, column netip.Addr) // is told of a service that somebody attacks who cannot be told: see disputes; may be nil
	unformed func(source string)                     // is told of a source of which most lines are of another form than the declared one; may be nil
	spare    sync.Pool                               // of *scratch
}

// scratch is what one call of Handle needs, reused by later ones.
type scratch struct {
	events  []event.Event
	from    []int32 // the record that each of them is of
	repeats int     // how many of them are there for lines that say so
	reader  Reader
	finding detect.Finding
	names   names
}

// log names the log that r is a line of. What is read by way of a ring has the name that it has without one.
func (s *scratch) log(b *receiver.Batch, r *receiver.Record) rawLog {
	stream := b.Stream
	if strings.HasPrefix(stream, syslog.StreamPrefix) {
		stream = ""
	}
	return rawLog{b.Source, stream, s.names.intern(r.Program), s.names.intern(r.Host)}
}

func newPipeline(e *atomic.Pointer[engine], t *tally, places *geoip.Databases, out submitter) *pipeline {
	p := &pipeline{engine: e, tally: t, places: places, out: out}
	p.spare.New = func() any { return &scratch{} }
	return p
}

// Handle implements receiver.Handler.
func (p *pipeline) Handle(ctx context.Context, b *receiver.Batch) error {
	s := p.spare.Get().(*scratch)
	defer p.spare.Put(s)
	s.events, s.from, s.repeats = s.events[:0], s.from[:0], 0
	e := p.engine.Load()
	source, form := p.tally.source(b.Source), e.forms[b.Source]
	var o outcomes
	var formed, misfit uint64
	for i := range b.Records {
		r := &b.Records[i]
		wrapped := false
		verdict := e.rules.DetectKnown(r.Program, r.Message, detect.Known{Cut: r.Cut, Form: form}, &s.finding)
		if verdict != detect.Matched && s.reader.May(r, &s.finding) {
			verdict = s.reader.Within(e.rules, r, b, form, &s.finding)
			wrapped = s.reader.Wrapped
		}
		if wrapped {
			p.parts.note(r, b, &s.reader)
		} else if r.Cut || r.Framing != receiver.Whole {
			p.parts.lost(b)
		}
		if r.Cut && verdict == detect.Ignored {
			o.refused++
			p.tally.overlong.Add(1)
			continue
		}
		if s.finding.Formed {
			formed++
		}
		if s.finding.Raw {
			p.learn(s, r, b)
		}
		switch verdict {
		case detect.Matched:
			o.matched++
			e.matched[s.finding.Rule.Index].Add(1)
			if e.gate.Trusts(s.finding.Addr) {
				p.tally.trusted.Add(1)
				continue
			}
			s.finding.Addr = policy.Peer(s.finding.Addr)
			s.events, s.from = append(s.events, p.event(s, r, b)), append(s.from, int32(i))
			if s.finding.Rule.Kind == event.AuthSuccess && p.loggedIn != nil {
				p.loggedIn(&s.events[len(s.events)-1])
			}
			if r.Message[0] == 'm' {
				s.again(r)
			}
		case detect.Refused:
			o.refused++
			if s.finding.Refusal == detect.OtherForm {
				misfit++
			}
			p.refuse(e, &s.finding, b.Received)
		default:
			o.ignored++
			if n := timesLast(r.Message); n > 0 && b.Source != "journal" {
				p.lastAgain(s, b, i, n)
			}
			if s.finding.Service != nil {
				e.missed[s.finding.Service.Index].Add(1)
			} else {
				o.strange++
				if len(r.Program) == 0 {
					o.nameless++
				}
			}
		}
	}
	source.count(b, o)
	p.keepLast(s, b)
	if form != nil && p.misfits.note(b.Source, form, formed, misfit) && p.unformed != nil {
		p.unformed(b.Source)
	}
	return p.out.Submit(ctx, s.events, b.Stream, b.Cursor)
}

// Preview implements receiver.Previewer: it learns of logs in which peers can write whole lines before the first line is believed.
// That one may be a line that a peer has written, in a record whose beginning is not read.
func (p *pipeline) Preview(b *receiver.Batch) {
	s := p.spare.Get().(*scratch)
	defer p.spare.Put(s)
	e := p.engine.Load()
	for i := range b.Records {
		r := &b.Records[i]
		s.reader.Read(e.rules, r, b, e.forms[b.Source], &s.finding)
		p.learn(s, r, b)
	}
}

// learn remembers what a line says of its log. What can lead to no report needs no remembering, and would crowd out what can.
func (p *pipeline) learn(s *scratch, r *receiver.Record, b *receiver.Batch) {
	if r.Trust != event.TrustReport {
		return
	}
	if s.finding.Raw {
		p.raw.add(s.log(b, r), b.Received)
	}
	if s.finding.Named {
		p.named.note(b.Source, b.Received)
	}
}

// refuse counts a message that a rule describes and of which the peer cannot be told.
func (p *pipeline) refuse(e *engine, f *detect.Finding, now time.Time) {
	e.refused[f.Service.Index][f.Refusal].Add(1)
	if f.Attack && p.disputes.note(f.Service.Name, f.Column, now) && p.attacked != nil {
		p.attacked(f.Service.Name, f.Column)
	}
}

func (p *pipeline) event(s *scratch, r *receiver.Record, b *receiver.Batch) event.Event {
	f := &s.finding
	e := event.Event{
		Time: eventTime(r, f.Stamp, b), Received: b.Received,
		Kind: f.Rule.Kind, Service: f.Rule.Service.Name, Rule: f.Rule.Name, Categories: f.Rule.Categories,
		Addr: f.Addr, Port: f.Port, LocalPort: f.LocalPort, Proto: f.Proto,
		Handshake: f.Handshake() && whole(f, r) && !p.raw.has(s.log(b, r)), Stray: f.Stray, Forward: f.Forward, Session: f.Rule.Service.Session, Weak: f.Weak(),
		User: textOf(f.User, maxName), Path: textOf(f.Path, event.MaxPath), Program: s.names.intern(r.Program), PID: textOf(r.PID, maxName), Host: s.names.intern(r.Host),
		Source: b.Source, Reporter: b.Reporter, Trust: r.Trust,
		Place: p.places.Place(f.Addr),
		Line:  textOf(r.Message, event.MaxLine),
	}
	p.clocks.note(r, b, e.Host)
	if f.Rule.Handshake && !e.Handshake {
		e.Proto = event.ProtoUnknown // not even an operator who has unproven TCP reported means such
	}
	if e.Reporter == "" {
		e.Reporter = e.Host
	}
	return e
}

// whole reports whether no peer of the service can have written the record as a line of its own.
func whole(f *detect.Finding, r *receiver.Record) bool {
	return f.Rule.Service.Lines.Whole(r.Framing == receiver.FileLine, r.Framing == receiver.OutLine)
}

// maxDrift is how far a record's own time may be from its receipt. What is further off was stamped by a clock that was
// never set, or by an attacker.
const maxDrift = 10 * 365 * 24 * time.Hour

// eventTime is when it happened according to the record, its header or a stamp in the message of a log without headers;
// unless that has not come yet, is more than maxDrift ago, or came by syslog and is more than maxAge ago: a clock that runs ahead, or a zone that was guessed wrong,
// must not date a report into the future, and a made-up year must not be kept anywhere.
func eventTime(r *receiver.Record, stamp detect.Stamp, b *receiver.Batch) time.Time {
	at := r.Time
	if at.IsZero() {
		zone := b.Location
		if zone == nil {
			zone = time.Local
		}
		at, _ = stamp.Time(zone, b.Received)
	}
	if at.IsZero() || at.After(b.Received) || at.Before(b.Received.Add(-maxDrift)) || live(b.Source) && at.Before(b.Received.Add(-maxAge)) {
		return b.Received
	}
	return at
}

// textOf copies text, cut at limit bytes on a boundary of characters.
func textOf(text []byte, limit int) string { return string(cutOff(text, limit)) }

// cutOff returns the first limit bytes of text, or some less, so that no character is cut.
func cutOff(text []byte, limit int) []byte {
	if len(text) <= limit {
		return text
	}
	cut := limit
	for cut > limit-utf8.UTFMax && !utf8.RuneStart(text[cut]) {
		cut--
	}
	return text[:cut]
}

// The bounds of what is kept of names (hosts, programs, process ids, accounts), which come from the wire and may be made
// up: bytes of each, how many a cache has, and bytes of all of them.
const (
	maxName      = 255
	maxNames     = 1024
	maxNameBytes = 64 << 10
)

// names keeps one string for each host and program name, so that a thousand events of a host share it.
type names struct {
	kept  map[string]string
	bytes int
}

// intern returns b as a string, of at most maxName bytes.
func (n *names) intern(b []byte) string {
	b = cutOff(b, maxName)
	if s, ok := n.kept[string(b)]; ok {
		return s
	}
	if n.kept == nil || len(n.kept) >= maxNames || n.bytes+len(b) > maxNameBytes {
		n.kept, n.bytes = map[string]string{}, 0
	}
	s := string(b)
	n.kept[s] = s
	n.bytes += len(s)
	return s
}
