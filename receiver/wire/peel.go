package wire

import (
	"bytes"
	"time"

	"tattled/event"
	"tattled/receiver"
)

// Peeler takes off what other programs have put around a record's message, one layer at a time, where no rule has read it as it
// is: colours, a container's wrapper, a header within the message. One goroutine uses it at a time.
//
// Who can write such a text? Each layer answers that for itself, and all keep these rules:
//
//   - A layer is looked for at the front of a message alone. A peer's text that is not there can be none, and a program whose
//     messages begin with a peer's text gives it the front of every pattern anyhow.
//   - Source, stream and host stay those of the record.
//   - Another program's name than the record's is taken only where the record's own says that its messages are another
//     program's: see carrier. Where that could be a third party's text, or where the tag is not what the record is trusted for,
//     the record can no longer lead to a report.
//   - Two texts never grow together: see unescape.
type Peeler struct {
	parser *Parser
	rooms  [2][]byte // for texts that are not a part of the record
	held   int       // which of them has the message that is read
	// Stderr says of the wrapper that was taken off last that it was of a line of the standard error.
	Stderr bool
}

// In has timestamps without a zone taken to be in loc; nil is UTC.
func (p *Peeler) In(loc *time.Location) {
	if loc == nil {
		loc = time.UTC
	}
	if p.parser == nil || p.parser.loc != loc {
		p.parser = NewParser(loc)
	}
}

// Layer is what Peel took off.
type Layer uint8

// The layers.
const (
	NoLayer  Layer = iota
	Colours        // escape sequences of a terminal
	Wrapper        // a container runtime's
	Part           // the same, of a line that the runtime has cut
	Header         // a header in front of a message whose program is known already, or the program's own second one
	Carried        // another program's tag
	Instance       // what stands behind the name in a tag
	Module         // a PAM module's name as it was written once
)

// MaxLayers is how many are worth to be taken off one record.
const MaxLayers = 5

// Layered reports whether there may be a layer to take off. known says that a rule knows the program of r. It is asked for every
// record that no rule has read, so it is quick, and it may say so in vain.
func (p *Peeler) Layered(r *receiver.Record, known bool) bool {
	m := r.Message
	if len(m) <= bsdLength || r.Cut {
		return false
	}
	if !known {
		return p.unknown(r)
	}
	switch c := m[0]; {
	case digit(c): // most lines of access logs, which no program colours: "203.0.113.5 - - ["
		return mayStamp(m)
	case string(r.Program) == "kernel" && r.Framing == receiver.Whole: // which writes no colours
		return c >= 'a' && bytes.IndexByte(m[:bsdLength], '[') > 0
	case mayBegin(m, r.Program), r.Framing != receiver.Whole && mayWrap(m):
		return true
	default:
		at, _ := introduced(m)
		return at >= 0 || bytes.IndexByte(m, escape) >= 0
	}
}

// unknown is Layered for a record of which no rule knows the program.
func (p *Peeler) unknown(r *receiver.Record) bool {
	switch carrier(r.Program) {
	case noCarrier:
		return false
	case anybodys:
		return mayTag(r.Message)
	default:
		return true
	}
}

// mayBegin reports whether a message that begins with no digit may begin with a header of its own. It has more than bsdLength bytes.
func mayBegin(m, program []byte) bool {
	switch c := m[0]; {
	case c == program[0] && m[1] == program[1%len(program)]: // "sshd[58]: "
		return true
	case c == '[':
		return digit(m[1]) || m[1] == ' '
	case c == '(':
		return m[1] == 'p'
	default:
		return m[9] == ':' && m[12] == ':' || m[13] == ':' && m[10] == ' '
	}
}

// mayStamp reports whether what begins with a digit may be a timestamp; it knows addresses from one at once.
func mayStamp(m []byte) bool {
	if digit(m[3]) && (m[4] == m[7] && m[4] <= ':' || m[10] == ' ' || m[10] == '.') {
		return true
	}
	return m[2] == m[6] && (m[2] == ' ' || m[2] == '-' || m[2] == '/')
}

// mayWrap reports whether a line without a header may have one, or a wrapper.
func mayWrap(m []byte) bool {
	if m[0] == '{' {
		return m[2] == 'l' && m[5] == '"'
	}
	return m[0] != '"' && m[0] != '-'
}

// mayTag reports whether a message may begin with a tag, or with a timestamp that one follows. Docker's own begin with "time=".
func mayTag(m []byte) bool {
	if m[4] == '=' {
		return false
	}
	space := bytes.IndexByte(m, ' ')
	return space > 0 && m[space-1] == ':' || digit(m[0]) || m[9] == ':'
}

// Peel takes the outermost layer off r, and says which it was. What r holds then is r's own, or p's until two further layers were taken
// off. known says that a rule knows the program of r, received is when it was read.
func (p *Peeler) Peel(r *receiver.Record, known bool, received time.Time) Layer {
	if len(r.Message) == 0 || r.Cut {
		return NoLayer
	}
	if bytes.IndexByte(r.Message, escape) >= 0 {
		if p.colours(r, received) {
			return Colours
		}
		if r.Framing == receiver.Whole {
			return NoLayer
		} // else a wrapper is to be seen all the same, as it may say that the line was cut
	} else if (known || len(r.Program) == 0) && p.written(r, received) {
		return Colours
	}
	switch {
	case len(r.Program) == 0:
		return p.nameless(r, received)
	case !known && r.Framing != receiver.Whole: // the configuration's word, or that of who opened a stream
		return NoLayer
	case !known:
		return p.carried(r, received)
	case r.Framing != receiver.Whole:
		if layer := p.wrapped(r); layer != NoLayer {
			return layer
		}
		if p.before(r, received) {
			return Header
		}
		return NoLayer
	case string(r.Program) == "kernel":
		return p.carried(r, received)
	case p.twice(r, received):
		return Header
	default:
		return p.module(r)
	}
}

// colours takes off the escape sequences, if all of them are known.
func (p *Peeler) colours(r *receiver.Record, received time.Time) bool {
	text, ok := unescape(p.room(len(r.Message)), r.Message)
	if !ok {
		return false
	}
	p.uncoloured(r, text, received)
	return true
}

// written takes off those that something on the way has made text of.
func (p *Peeler) written(r *receiver.Record, received time.Time) bool {
	at, _ := introduced(r.Message)
	if at < 0 {
		return false
	}
	text, ok := unwrite(p.room(len(r.Message)), r.Message)
	if !ok {
		return false
	}
	p.uncoloured(r, text, received)
	return true
}

// uncoloured gives r its message without colours, which is in the room.
func (p *Peeler) uncoloured(r *receiver.Record, text []byte, received time.Time) {
	p.keep()
	if r.Message = text; len(r.Program) == 0 && r.Host == nil {
		p.again(r, received)
	}
}

// room returns an empty slice with room for n bytes, which does not hold the message that is read.
func (p *Peeler) room(n int) []byte {
	i := 1 - p.held
	if cap(p.rooms[i]) < n {
		p.rooms[i] = make([]byte, 0, n)
	}
	return p.rooms[i][:0]
}

// keep says that what was put into the room is the message now.
func (p *Peeler) keep() { p.held = 1 - p.held }

// again parses a line of which colours or a wrapper hid the header. A host and a time that were there stay. Nobody knows who put it
// there, so it leads to no report.
func (p *Peeler) again(r *receiver.Record, received time.Time) {
	inner := *r
	if p.parser.Parse(r.Message, received, &inner) == None || inner.Program == nil {
		return
	}
	if r.Host != nil {
		inner.Host = r.Host
	}
	if !r.Time.IsZero() {
		inner.Time = r.Time
	}
	*r = inner
	doubt(r)
}

// nameless takes off the wrapper of a line without a program: what is inside may have a header. It is a line of a container's
// standard output, to which each of its programs writes what it likes: it is counted, shown and alerted on. Who gives the
// file a program says whose line it is.
func (p *Peeler) nameless(r *receiver.Record, received time.Time) Layer {
	if layer := p.wrapped(r); layer != NoLayer {
		r.Trust = min(r.Trust, event.TrustCount)
		p.again(r, received)
		return layer
	}
	// "[sshd] message", as some daemons of devices write their names.
	name, text, found := bytes.Cut(r.Message, []byte("]"))
	if !found || r.Host == nil && r.Time.IsZero() || len(name) < 2 || name[0] != '[' || !plainWord(name[1:]) {
		return NoLayer
	}
	r.Program, r.Message = name[1:], unspace(bytes.TrimPrefix(text, []byte(":")))
	doubt(r) // an application may write its peer's name in brackets
	return Carried
}

// before takes a header off a line of a file or a listener whose program the configuration names: the line has one after all. The
// program stays: a header of another one is no header. So does the host, by which logs are told apart in which peers can write lines: who
// can write a whole line of this log could make up another log's name.
func (p *Peeler) before(r *receiver.Record, received time.Time) bool {
	inner := *r
	if p.parser.Parse(r.Message, received, &inner) == None {
		n := 0
		if bytes.HasPrefix(r.Message, []byte(bom)) {
			n = len(bom)
		}
		n += Priority(r.Message[n:])
		r.Message = r.Message[n:]
		return n > 0
	}
	if inner.Program != nil && !fitsProgram(inner.Program, r.Program) {
		return false
	}
	if r.Trust = min(r.Trust, inner.Trust); inner.Program == nil { // what stands in the host's place may be the first of a peer's words
		doubt(r)
	}
	r.Message = inner.Message
	if r.PID = inner.PID; r.Time.IsZero() {
		r.Time = inner.Time
	}
	return true
}

// fitsProgram reports whether a tag is that of a program as the configuration calls it: nginx for nginx-access, postfix/smtpd for
// postfix, httpd/backend1 for httpd, sshd-session for sshd.
func fitsProgram(tag, program []byte) bool {
	return extends(tag, program) || extends(program, tag)
}

// extends reports whether a name is another one, or that with more behind it that no name goes on with.
func extends(name, front []byte) bool {
	rest, found := bytes.CutPrefix(name, front)
	return found && (len(rest) == 0 || rest[0] == '-' || rest[0] == '/' || rest[0] == '(')
}

// twice takes off a second header of the record's own program: the Debian package of dropbear 2022 writes "[pid] Nov  1 05:40:00 "
// in front of what it gives to syslog(3), and what runs in a container logs with a time and a tag to a syslog that adds its own.
func (p *Peeler) twice(r *receiver.Record, received time.Time) bool {
	rest := r.Message
	if rest[0] == '[' {
		if pid, n := bracket(rest); pid != nil {
			rest = unspace(rest[n:])
		}
	}
	n := p.stamp(rest, received)
	if n == 0 && len(rest) < len(r.Message) {
		return false
	}
	rest = bytes.TrimLeft(bytes.TrimPrefix(rest[n:], []byte(":")), " ")
	inner, framing := receiver.Record{}, receiver.OutLine // a tag within a tag: what had a standard output for its log
	if ownTag(rest, r.Program) {
		tag(rest, &inner)
	} else if _, after, _ := bytes.Cut(rest, []byte(" ")); n > 0 && ownTag(after, r.Program) {
		tag(after, &inner)
	} else {
		inner.Message, framing = rest, r.Framing
	}
	if len(inner.Message) == len(r.Message) {
		return false
	}
	r.Framing = framing
	r.Message = inner.Message
	if inner.PID != nil {
		r.PID = inner.PID
	}
	return true
}

// ownTag reports whether s begins with a program's tag.
func ownTag(s, program []byte) bool {
	rest, found := bytes.CutPrefix(s, program)
	if !found || len(rest) == 0 {
		return false
	}
	if rest[0] == '[' {
		pid, n := bracket(rest)
		return pid != nil && n > 0 && rest[n-1] == ':'
	}
	return rest[0] == ':' && len(rest) > 1 && rest[1] == ' '
}

// stamp returns the length of a timestamp at the start of s in any form that a header may have, 0 if there is none.
func (p *Peeler) stamp(s []byte, received time.Time) int {
	if _, n := p.parser.bsdTime(s, received); n > 0 {
		return n
	}
	if _, n := p.parser.isoTime(s); n > 0 && endsStamp(s[n:]) {
		return n
	}
	_, n := p.parser.oddTime(s, received)
	return n
}

// module writes the name of a PAM module as Linux-PAM does since 0.99: "sshd(pam_unix)[1]: failure" and "sshd[1]: (pam_unix)
// failure" are "sshd[1]: pam_unix(sshd:auth): failure". The program writes these words, whatever its peer does.
func (p *Peeler) module(r *receiver.Record) Layer {
	rest, found := bytes.CutPrefix(r.Message, []byte("(pam_"))
	name, text, ended := bytes.Cut(rest, []byte(") "))
	if !found || !ended || !plainWord(name) {
		return NoLayer
	}
	return p.spell(r, name, text)
}

func (p *Peeler) spell(r *receiver.Record, module, text []byte) Layer {
	m := p.room(len("pam_(:auth): ") + len(module) + len(r.Program) + len(text))
	m = append(append(append(m, "pam_"...), module...), '(')
	m = append(append(append(m, r.Program...), ":auth): "...), text...)
	p.keep()
	r.Message = m
	return Module
}
