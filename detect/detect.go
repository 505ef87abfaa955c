// Package detect finds events in log messages: who attacked, by which rule, from which address. Its rules are data (see
// rules/ and Load), compiled to one matcher. It knows neither where a message came from nor what will be done about it,
// reads no clock and keeps no state between messages. The pipeline calls Detect for every record; `tattled check` and the
// tests call Run.
//
//	program -> the services that know it -> candidates by fixed text -> one reading of the line -> Finding
//
// This package decides which rules a message is shown to, and what the ways to read it make together. What reads it is in the
// rooms below: pattern, packet and weblog put what they read into a parse.Result; rulefile has the files as they are written, and
// stamp the times in messages.
//
// The rule of rules: no line may ever yield an address that its attacker wrote into a field. A line that can be read in
// two ways that name different peers is refused, never guessed.
package detect

import (
	"bytes"
	"io/fs"
	"net/netip"
	"sync"

	"tattled/detect/parse"
	"tattled/detect/pattern"
	"tattled/detect/rulefile"
	"tattled/detect/weblog"
	"tattled/event"
)

// Rules is a set of rules. It never changes, but for being compiled bit by bit as programs are first heard of, and is safe
// for concurrent use.
type Rules struct {
	services []*Service
	disabled []*Service // disabled ones with patterns, for the programs that others know too
	rules    []*Rule
	programs programs
	matchers []*matcher
	builtin  fs.FS
	options  Options

	building sync.Mutex // held while files are read and matchers built
	faults   []Fault    // of built-in files, found since Load
}

// Service is what one rule file describes: the log of one sort of server.
type Service struct {
	Index    int      // in Services
	Name     string   // unique
	Programs []string // syslog tags or identifiers; one * in a name stands for any bytes
	// Session says that all lines of one program and PID on one host tell of one connection, so that several lines about
	// one attempt are one attempt.
	Session bool
	// Raw says that a peer can put line ends into what the programs write, and so have whole lines of its own in their logs.
	// Each begins in a line that Finding.Raw tells of.
	Raw bool
	// Lines says where a peer can write whole lines of its own, and Proof how that is known.
	Lines Lines
	Proof string
	// Drift says that many lines of the programs in a row without a match are odd: a busy server of this sort always has
	// some that match, be it a log-in that succeeds.
	Drift bool
	File  string // where it was read: "sshd.yaml" for a built-in one, else its path

	builtin      bool
	parserName   string  // of its file, "" without one
	unread       bool    // its file was not read beyond its head: see Rules.read
	first, count int     // where its rules are in Rules.rules
	shadow       []*Rule // rules that are disabled: see loader.disable
	frame        pattern.Frame
	parser       parser // in place of patterns; nil without one
	stamped      bool   // a message may begin with a stamp of the service's own
	longest      int    // bytes of the longest message that is whole; 0 if the service never cuts one
}

// Rule is one sort of event of a service.
type Rule struct {
	Index      int // in All; -1 of one that is disabled
	Service    *Service
	Name       string     // unique within its service
	Kind       event.Kind // 0 for lines that are no events, described so that none can be taken for one: they are Ignored
	Handshake  bool       // the peer completed a handshake, so that its address is proven
	Raw        bool       // what such a line quotes of a peer keeps its line ends: see Finding.Raw
	Weak       bool       // a well-behaved peer fits it now and then
	Categories []int      // of AbuseIPDB; never written to
	Line       int        // in the service's file

	match   []rulefile.Text
	regex   []rulefile.Text
	samples []Sample // of a user's rule; those of the built-in ones are read when Run needs them
}

// String returns "service/rule".
func (r *Rule) String() string { return r.Service.Name + "/" + r.Name }

// Finding is what Detect made of a message.
type Finding struct {
	Service *Service // set whenever the program is known, also when nothing matched
	// Compound says, where no rule knows the program, that its name may be made of another one, or is none. It is not set where one does.
	Compound bool
	// Raw says that no line of this log proves a handshake. Either the message has the stamp of a Raw service that shares its
	// program with others: the lines after it may be made up, and look like any of them. Or it is a line of a web server's log
	// with a name where the peer's address should be: who writes such names may write addresses there, too. Or it has quotes or
	// control characters that no server writes which escapes what clients send. Or its rule is Raw.
	Raw bool
	// Named says that Raw is so because of what a web server writes: a name in the address's place, or characters of a client's
	// that are not escaped.
	Named bool
	// Unproven says that the line's form had to be guessed, so that the peer's own word may be in the address's place.
	Unproven bool
	// Fetched says that the request was made by a program that says it fetches what somebody else links to.
	Fetched bool

	Rule *Rule // set when the message matched or was refused, but for OtherForm

	Addr      netip.Addr // the peer: valid, no zone, never IPv4-mapped
	Port      uint16     // the peer's, 0 if unknown
	LocalPort uint16     // ours, 0 if unknown
	Proto     event.Proto
	Stray     bool   // a TCP packet that opens no connection
	Forward   bool   // a packet that came in and went on to another machine
	User      []byte // lent: a part of the message; nil where the rule has no user
	Stamp     Stamp  // when it happened by the message's own word, where its service writes that
	// Path is the path that a web server was asked for, without the query, decoded and resolved as a server does before it
	// looks for a file; at most MaxPath bytes. It is lent: a part of the message or of this Finding. nil where no parser of a
	// web server's log found one.
	Path []byte

	room [weblog.MaxPath]byte // for Path

	Shape Shape // what the form of a line of an access log was taken for, of one that matched or was refused
	// Formed says that the message is of the form that was declared for its log (Known.Form), whatever became of it.
	Formed bool

	Refusal Refusal // why a message that a rule describes is not counted
	// Attack says of a message that was refused as ambiguous that it tells of an attack by one reading, and of no honest event by
	// another: only whom it is by cannot be told. No honest peer writes an address with the words around it where he may write.
	Attack bool
	// Column is, of such a line of an access log, the address in its first column, or whom a trusted proxy named in its place.
	// Where the form is not what it was taken for, a client wrote it. It is the zero address where there is none.
	Column netip.Addr
}

// Handshake reports whether a message that matched proves its address: the peer completed a handshake. It knows nothing of
// Raw, which is about the log.
func (f *Finding) Handshake() bool { return f.Rule.Handshake && !f.Unproven }

// Weak reports whether a well-behaved peer causes such a message now and then.
func (f *Finding) Weak() bool { return f.Rule.Weak || f.Fetched }

// Verdict is what became of a message.
type Verdict uint8

// The verdicts.
const (
	Ignored Verdict = iota // no rule describes it
	Matched
	Refused // a rule describes it, but the peer cannot be told: see Finding.Refusal
)

func (v Verdict) String() string {
	switch v {
	case Matched:
		return "matched"
	case Refused:
		return "refused"
	default:
		return "ignored"
	}
}

// All returns every rule; the rule at i has Index i. Do not write to it.
func (r *Rules) All() []*Rule {
	r.building.Lock()
	defer r.building.Unlock()
	for _, s := range r.services {
		r.read(s)
	}
	return r.rules
}

// rulesOf returns the rules of a service.
func (r *Rules) rulesOf(s *Service) []*Rule {
	r.building.Lock()
	defer r.building.Unlock()
	r.read(s)
	return r.rules[s.first : s.first+s.count]
}

// Services returns every service, the built-in ones first; the service at i has Index i. Do not write to it.
func (r *Rules) Services() []*Service { return r.services }

// Detect judges one message of program. It sets all of f for a message that matched, and Service, Rule and Refusal for
// any. It takes any bytes, needs time linear in their number and allocates nothing (but twice for a line that a rule
// written as a regular expression matches, and at the first message of a program). A message that is known to be cut off
// must not be given to it: where it ends, its peer may have chosen.
func (r *Rules) Detect(program, message []byte, f *Finding) Verdict {
	return r.DetectKnown(program, message, Known{}, f)
}

// DetectKnown is Detect for a message of which more is known.
func (r *Rules) DetectKnown(program, message []byte, known Known, f *Finding) Verdict {
	f.Service, f.Rule, f.Refusal, f.Raw, f.Named, f.Unproven, f.Formed = nil, nil, NotRefused, false, false, false, false
	p, compound := r.programs.seek(program)
	if p != nil {
		return r.judge(p, message, known, f)
	}
	f.Compound = compound
	return Ignored
}

// judge is DetectKnown for a program that a service knows.
func (r *Rules) judge(p *program, message []byte, known Known, f *Finding) Verdict {
	f.Service = p.service
	var found parse.Result
	var stamp Stamp
	var begun *Rule // what a message that is too long begins to be
	one := message
	if len(message) > 0 && message[0] == 'm' {
		one = unwrapRepeated(message)
	}
	first := p.matcher.first.Load()
	if first == nil {
		r.build(p.matcher, true)
		first = p.matcher.first.Load()
	}
	if !p.access {
		known.Form = nil
	}
	for u := first; u != nil; u = u.next {
		text := one
		if u.object && !weblog.BeginsObject(text) { // several may know one program, and most lines are none
			continue
		}
		if known != (Known{}) {
			r.judgeKnown(u, text, known, f, &found)
			continue
		}
		if u.longest > 0 && len(message) > u.longest {
			if begun == nil {
				begun = r.begun(u, one)
			}
			continue
		}
		if u.stamped {
			n := stamp.Take(text)
			text = text[n:]
			f.Raw = f.Raw || u.raw && n > 0 && !weblog.BeginsWithDate(one)
		}
		if u.service != nil {
			if u.prefilter == nil || u.prefilter(text) {
				one := r.parserOf(u).Judge(text)
				if f.Named, f.Raw = f.Named || one.Named, f.Raw || one.Raw; one.Found {
					found.Join(&one)
				}
			}
			continue
		}
		u.index.ReadShown(message, one, text, &found)
	}
	f.Raw = f.Raw || f.Named || found.Raw
	if !found.Found || found.Rule < 0 {
		if f.Refusal == OtherForm {
			return Refused
		}
		if begun == nil {
			return Ignored
		}
		f.Rule, f.Service, f.Refusal = begun, begun.Service, TooLong
		return Refused
	}
	first.ask(message, one, &found)
	f.Rule = r.rules[found.Rule]
	f.Service = f.Rule.Service
	if f.Rule.Kind == 0 && (!found.Ambiguous || r.none(found.Rival-1)) { // no event's rule has read it
		f.Rule = nil
		return Ignored
	}
	f.Shape = found.Shape
	if found.Ambiguous {
		found.Refusal = Ambiguous
	}
	if f.Refusal = found.Refusal; f.Refusal != NotRefused {
		r.tellRefused(f, &found)
		return Refused
	}
	f.take(&found)
	if f.Service.stamped && !stamp.IsZero() {
		f.Stamp = stamp
	}
	return Matched
}

// tellRefused fills f with what is known of a message that is not counted, although its rule describes it.
func (r *Rules) tellRefused(f *Finding, found *parse.Result) {
	f.Attack, f.Column = found.Ambiguous && r.tellsOfAttack(found), netip.Addr{}
	if f.Attack && found.Rival == 0 && f.Service.parserName == accessParser {
		f.Column = found.Addr
	}
}

// take fills f with what was read of a message that its rule has matched.
func (f *Finding) take(found *parse.Result) {
	f.Addr, f.Port, f.LocalPort, f.User = found.Addr, found.Port, found.Local, found.User
	f.Proto, f.Stray, f.Forward, f.Stamp, f.Unproven = found.Proto, found.Stray, found.Forward, found.Stamp, found.Unproven
	f.Fetched = found.Weak
	if f.Path = nil; found.Asked.Text != nil {
		f.Path = weblog.Path(&found.Asked, &f.room)
	}
	if f.Rule.Handshake {
		f.Proto = event.TCP
	}
}

// judgeKnown reads an access line, or the beginning of an object, of which something is known beforehand.
func (r *Rules) judgeKnown(u *unit, text []byte, known Known, f *Finding, found *parse.Result) {
	if u.service == nil || u.prefilter != nil && known.Form == nil && !u.prefilter(text) {
		return
	}
	var one parse.Result
	switch reads := r.parserOf(u).(type) {
	case *weblog.Access:
		one = reads.JudgeKnown(text, known)
	case *weblog.JSON:
		if known.Form == nil {
			one = reads.JudgeKnown(text, known)
		}
	}
	if one.Misfit {
		f.Service, f.Refusal, f.Shape = u.service, OtherForm, NoShape
	}
	f.Formed = f.Formed || known.Form != nil && u.service.parserName == accessParser && !one.Misfit
	if f.Named, f.Raw = f.Named || one.Named, f.Raw || one.Raw; one.Found {
		found.Join(&one)
	}
}

// ask adds what the rules of kind none read in a message that a rule of an event has read.
func (u *unit) ask(message, one []byte, found *parse.Result) {
	for ; u != nil && !found.Ambiguous; u = u.next {
		if u.veto == nil || u.longest > 0 && len(message) > u.longest {
			continue
		}
		text := one
		if u.stamped {
			text = text[new(Stamp).Take(text):]
		}
		u.veto.ReadShown(message, one, text, found)
	}
}

// tellsOfAttack reports whether one of the two readings of an ambiguous message is of an attack, and neither of an honest event.
func (r *Rules) tellsOfAttack(found *parse.Result) bool {
	if found.Rival == 0 {
		return r.hostile(found.Rule)
	}
	rival := found.Rival - 1
	return r.hostile(found.Rule) && (r.hostile(rival) || r.none(rival)) || r.none(found.Rule) && r.hostile(rival)
}

// hostile reports whether a rule is about an attack.
func (r *Rules) hostile(rule int32) bool { return rule >= 0 && r.rules[rule].Kind.Hostile() }

// none reports whether a rule describes lines that are no events.
func (r *Rules) none(rule int32) bool { return rule >= 0 && r.rules[rule].Kind == 0 }

// unwrapRepeated takes off what rsyslog writes around a message that came several times in a row ($RepeatedMsgReduction on, as
// Ubuntu ships it): "message repeated 3 times: [ text]". How often it counts is the business of who asks.
func unwrapRepeated(m []byte) []byte {
	const front, middle = "message repeated ", " times: ["
	if !parse.HasPrefix(m, front) || m[len(m)-1] != ']' {
		return m
	}
	rest := m[len(front):]
	digits := 0
	for digits < len(rest) && rest[digits]-'0' <= 9 {
		digits++
	}
	if digits == 0 || !parse.HasPrefix(rest[digits:], middle) {
		return m
	}
	return bytes.TrimPrefix(rest[digits+len(middle):len(rest)-1], []byte(" "))
}
