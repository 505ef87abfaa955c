// Package wire turns bytes into records: a Framer finds the frames in a stream, a Parser finds the header in a frame.
// Both are pure: no clock, no network, no memory of their own beyond a few words, no allocation. Any bytes are taken, and
// all that comes out are sub-slices of what went in. receiver/syslog and receiver/tail call it, and the commands that read
// lines (match, replay, explain). A Peeler takes off what is around the message of a record that no rule has read; what
// it has to write again, it keeps.
package wire

import (
	"bytes"
	"encoding/binary"
	"time"

	"tattled/receiver"
)

// Form is the header that a record was found to have.
type Form uint8

// The forms. A leading <PRI> is required for RFC5424 and optional for the others.
const (
	// None is a line without a header that Parse knows. It comes out whole as the message.
	None Form = iota
	// RFC3164 is "Nov  1 05:40:00 host tag[pid]: message", as daemons, log files and `journalctl -o short` have it, also
	// with a fraction (short-precise) and with a year ("Nov  1 2026 05:40:00", Cisco).
	RFC3164
	// RFC5424 is "<34>1 2026-11-01T05:40:00.1Z host app pid msgid [data] message".
	RFC5424
	// RFC3339 is RFC3164 with a timestamp of RFC 3339: rsyslog's RSYSLOG_ForwardFormat and RSYSLOG_FileFormat,
	// `journalctl -o short-iso`, whose offset has no colon, and short-iso-precise.
	RFC3339
	// Topics is what RouterOS sends with remote-log-format=default: "firewall,info message", without a time or a host. The
	// topics are the program.
	Topics
	// Stamped is one of the other timestamps that people's machines write, in front of a tag: see oddTime.
	Stamped
	// Bare is a <PRI> and a tag, with a host or without, and no time.
	Bare
)

func (f Form) String() string {
	switch f {
	case RFC3164:
		return "rfc3164"
	case RFC5424:
		return "rfc5424"
	case RFC3339:
		return "rfc3339"
	case Topics:
		return "topics"
	case Stamped:
		return "other timestamp"
	case Bare:
		return "without a time"
	default:
		return "none"
	}
}

// Parser reads the headers of records. It remembers the last timestamp, because log lines come many a second. One
// goroutine uses it at a time.
type Parser struct {
	loc  *time.Location
	bsd  bsdCache
	iso  isoCache
	host hostCache
}

// NewParser returns a parser that takes timestamps without a zone to be in loc; nil is UTC. The times that it gives are in
// loc too.
func NewParser(loc *time.Location) *Parser {
	if loc == nil {
		loc = time.UTC
	}
	return &Parser{loc: loc}
}

// Parse fills Time, Host, Program, PID and Message of r from one record without its line end (see Trim), and leaves its
// other fields alone, but for Trust: a header of the forms Stamped and Bare, or with a year or a zone after the time of RFC 3164,
// leads to no report. All slices are sub-slices of line. received is when the line was read; a timestamp without a year
// gets the year that makes it the latest that is not more than a day after received. Time is zero where there is no
// usable timestamp, as on the 31st of February.
//
// Parse never fails. What is ambiguous in RFC 3164 it decides so:
//   - The first word behind the timestamp is the tag if it ends in one colon, as in what syslog(3) writes to /dev/log,
//     which names no host. Else it is the host; "::" at its end belongs to an IPv6 address.
//   - A tag ends at ":" or "[pid]". Words without either are message, never a program: a program decides which rules judge
//     the line, so that none is guessed. RouterOS' topics alone ("firewall,info") are a tag as they are.
//   - A tag with a parenthesis in it, as "wordpress(example.org:443)[123]:", ends right before the first space.
//   - A host that is written twice, as UniFi OS does, counts once, with its domain or without.
//   - "<auth.info>" and "<10.5>" before the host, as FreeBSD's syslogd -v writes them, are skipped.
//   - "auth.info" and the like between host and tag, as BusyBox writes it, is skipped.
//   - One space behind the tag is dropped, further ones belong to the message.
//
// Where that finds no header, or none with a tag, the forms of odd.go and oddstamp.go are tried, which are stricter.
//
// The kernel's own "[   12.345678] " is kept out of the message of program kernel, as journald does.
func (p *Parser) Parse(line []byte, received time.Time, r *receiver.Record) Form {
	if p.bsd.stands(line, received) && p.usual(line[bsdLength+1:], r) {
		r.Time = p.bsd.t
		return RFC3164
	}
	return p.parse(line, received, r)
}

// parse is Parse for a line that does not begin with the stamp of the one before.
func (p *Parser) parse(line []byte, received time.Time, r *receiver.Record) Form {
	start := 0
	if len(line) > 0 && line[0] == '<' {
		start = priority(line)
	}
	rest := line[start:]
	if start > 0 && p.bsd.stands(rest, received) && p.usual(rest[bsdLength+1:], r) {
		r.Time = p.bsd.t
		return RFC3164
	}
	r.Time, r.Host, r.Program, r.PID, r.Message = time.Time{}, nil, nil, nil, line
	if len(rest) == 0 {
		return None
	}
	if rest[0] >= 'A' {
		if t, n := p.bsdTime(rest, received); n > 0 {
			r.Time = t
			if p.origin(rest[n:], r); r.Program == nil {
				p.late(rest[n:], t, r)
			}
			return RFC3164
		}
		if n := topics(rest); n > 0 {
			r.Program, r.Message = rest[:n], rest[n+1:]
			return Topics
		}
		return p.odd(line, start, received, r)
	}
	if start > 0 && p.parse5424(rest, r) {
		return RFC5424
	}
	if t, n := p.isoTime(rest); n > 0 && endsStamp(rest[n:]) {
		r.Time = t
		p.origin(rest[n:], r)
		return RFC3339
	}
	if skip := ciscoPrefix(rest); skip > 0 {
		if t, n := p.bsdTime(rest[skip:], received); n > 0 {
			r.Time = t
			if p.origin(rest[skip+n:], r); r.Program == nil {
				p.late(rest[skip+n:], t, r)
			}
			return RFC3164
		}
	}
	return p.odd(line, start, received, r)
}

// HasPriority reports whether line begins with a valid <PRI>: it was meant as syslog, whatever follows.
func HasPriority(line []byte) bool { return priority(line) > 0 }

// Priority returns the length of a valid <PRI> at the start of line, 0 if there is none.
func Priority(line []byte) int { return priority(line) }

// Trim drops what ends a line: LF, CR LF, and NULs, which some senders use in their place.
func Trim(line []byte) []byte {
	for len(line) > 0 {
		switch line[len(line)-1] {
		case '\n', '\r', 0:
			line = line[:len(line)-1]
		default:
			return line
		}
	}
	return line
}

// Blank reports whether there is nothing in line but white space and control characters.
func Blank(line []byte) bool {
	for _, c := range line {
		if c > ' ' && c != 0x7f {
			return false
		}
	}
	return true
}

// priority returns the length of "<PRI>" at the start of line: 0 if there is none, or one that RFC 5424 section 6.2.1 does
// not allow: above 191 or with a leading zero.
func priority(line []byte) int {
	if len(line) < 3 || line[0] != '<' || !digit(line[1]) {
		return 0
	}
	value := int(line[1] - '0')
	if line[2] == '>' {
		return 3
	}
	if value == 0 || !digit(line[2]) || len(line) < 4 {
		return 0
	}
	value = value*10 + int(line[2]-'0')
	if line[3] == '>' {
		return 4
	}
	if !digit(line[3]) || len(line) < 5 || line[4] != '>' || value*10+int(line[3]-'0') > 191 {
		return 0
	}
	return 5
}

// endsStamp reports whether a timestamp may end before rest. Cisco puts a colon there.
func endsStamp(rest []byte) bool { return len(rest) == 0 || rest[0] == ' ' || rest[0] == ':' }

// ciscoPrefix returns the length of what Cisco devices put before the timestamp: a sequence number ("45: "), and "*" or "."
// for a clock that is not to be trusted; a single space, too, which others put there.
func ciscoPrefix(rest []byte) int {
	i := 0
	for i < len(rest) && digit(rest[i]) {
		i++
	}
	if i > 0 {
		if i+1 >= len(rest) || rest[i] != ':' || rest[i+1] != ' ' {
			return 0
		}
		i += 2
	} else if len(rest) > 0 && rest[0] == ' ' {
		i++
	}
	if i < len(rest) && (rest[i] == '*' || rest[i] == '.') {
		i++
	}
	return i
}

// origin fills Host, Program, PID and Message from what follows the timestamp of RFC 3164: " host tag[pid]: message".
func (p *Parser) origin(rest []byte, r *receiver.Record) {
	if len(rest) == 0 {
		r.Message = rest
		return
	}
	after := rest[1:]
	if rest[0] == ':' { // Cisco: "Nov  1 05:40:00: %SYS-5-CONFIG_I: message"
		tag(bytes.TrimLeft(after, " "), r)
		return
	}
	if !p.usual(after, r) {
		unusual(after, r)
	}
}

// unusual reads "host tag[pid]: message" with whatever is missing of it, or odd about it.
func unusual(after []byte, r *receiver.Record) {
	after = after[bracketed(after):]
	n := 0 // of the first word; a loop, because host names are short
	for n < len(after) && after[n] != ' ' {
		n++
	}
	switch {
	case n > 1 && after[n-1] == ':' && after[n-2] != ':':
		tag(after, r)
		return
	case n > 0: // else there are two spaces: an empty host, as rsyslog writes it
		r.Host = after[:n]
	}
	if n == len(after) {
		r.Message = after[n:]
		return
	}
	after = after[n+1:]
	if second := bytes.IndexByte(after, ' '); n > 0 && second > 0 && sameHost(after[:second], r.Host) { // UniFi OS writes it twice; others add the domain
		after = after[second+1:]
	}
	tag(after[facility(after):], r)
}

// facility returns the length of "auth.info ", which syslogd of BusyBox writes between host and tag in its files
// (sysklogd/syslogd.c, timestamp_and_log); 0 if s does not begin so.
func facility(s []byte) int {
	end := 0
	for end < len(s) && (s[end]-'a' < 26 || digit(s[end]) || s[end] == '.') {
		end++
	}
	if end == len(s) || s[end] != ' ' || !facilityName(s[:end]) {
		return 0
	}
	return end + 1
}

// facilityName reports whether word is a facility and a level, like "auth.info".
func facilityName(word []byte) bool {
	dot := bytes.IndexByte(word, '.')
	if dot < 0 {
		return false
	}
	switch string(word[dot+1:]) {
	case "emerg", "alert", "crit", "err", "warn", "notice", "info", "debug", "error", "warning":
	default:
		return false
	}
	switch string(word[:dot]) {
	case "kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp", "security",
		"local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7":
		return true
	default:
		return false
	}
}

// tag fills Program, PID and Message from "tag[pid]: message".
func tag(rest []byte, r *receiver.Record) {
	if len(rest) > 1 && rest[0] == ':' && rest[1] == ' ' { // Cisco ASA: "host : %ASA-6-302013: message"
		rest = rest[2:]
	}
	end := 0
	for end < len(rest) && !endsTag[rest[end]] {
		end++
	}
	if program, pid, n := parenthesized(rest, end); n > 0 {
		r.Program, r.PID = program, pid
		message(unspace(rest[n:]), r)
		return
	}
	if end > 0 && end < len(rest) {
		switch rest[end] {
		case ':':
			r.Program = rest[:end]
			rest = unspace(rest[end+1:])
		case '[':
			if pid, n := bracket(rest[end:]); n > 0 {
				r.Program, r.PID = rest[:end], pid
				rest = unspace(rest[end+n:])
			}
		case ' ':
			if n := topics(rest[:end+1]); n > 0 {
				r.Program, rest = rest[:end], rest[end+1:]
			}
		}
	}
	message(rest, r)
}

// topics returns the length of RouterOS' topics at the start of s, 0 if there are none: lower-case words with commas
// between them, one of which is how grave the matter is, and a space behind them.
func topics(s []byte) int {
	end, commas := 0, 0
	for end < len(s) && (s[end]-'a' < 26 || s[end] == ',' || s[end] == '-' || digit(s[end])) {
		if s[end] == ',' {
			commas++
		}
		end++
	}
	if commas == 0 || end >= len(s) || s[end] != ' ' {
		return 0
	}
	for words := s[:end]; len(words) > 0; {
		word, rest, _ := bytes.Cut(words, []byte(","))
		switch string(word) {
		case "info", "warning", "error", "critical", "debug":
			return end
		}
		words = rest
	}
	return 0
}

// parenthesized reads a tag like "wordpress(example.org:443)[123]:" and returns its length, 0 if it is none. What is in the
// parentheses may be a peer's choice, such as the Host header of WP fail2ban's tag, and may have what else ends a tag, so
// that the messages would go to no program. But it has no space, and the tag's end is right before the first one.
// end is where a tag would end that has no parenthesis.
func parenthesized(rest []byte, end int) (program, pid []byte, n int) {
	if bytes.IndexByte(rest[:end], '(') <= 0 {
		return nil, nil, 0
	}
	word := rest
	if space := bytes.IndexByte(rest, ' '); space >= 0 {
		word = rest[:space]
	}
	program, found := bytes.CutSuffix(word, []byte{':'})
	if !found {
		return nil, nil, 0
	}
	if open := bytes.LastIndexByte(program, '['); open > 0 {
		if number, n := bracket(program[open:]); number != nil && open+n == len(program) {
			program, pid = program[:open], number
		}
	}
	if !bytes.HasSuffix(program, []byte{')'}) {
		return nil, nil, 0
	}
	return program, pid, len(word)
}

// endsTag has the bytes that may follow a tag.
var endsTag = [256]bool{':': true, '[': true, ' ': true}

// bracket reads "[123]:", or the same without the colon before a space or the end, at the start of s and returns its
// length, 0 if there is none. What is not all digits is no process id, but a bracket nevertheless.
func bracket(s []byte) (pid []byte, n int) {
	i := 1
	for i < len(s) && digit(s[i]) {
		i++
	}
	if i > 1 {
		pid = s[1:i]
	}
	if i < len(s) && s[i] != ']' {
		pid = nil
		for i < len(s) && s[i] != ']' {
			if s[i] == ' ' || s[i] == '[' {
				return nil, 0
			}
			i++
		}
	}
	switch {
	case i >= len(s):
		return nil, 0
	case i+1 == len(s) || s[i+1] == ' ':
		return pid, i + 1
	case s[i+1] == ':':
		return pid, i + 2
	default:
		return nil, 0
	}
}

// message sets Message to text, without a byte order mark, the kernel's clock or the message identifier of Solaris.
func message(text []byte, r *receiver.Record) {
	if len(text) > 0 && (text[0] == '[' || text[0] == 0xEF) {
		text = preface(text, r)
	}
	r.Message = text
}

// preface takes off what message leaves out.
func preface(text []byte, r *receiver.Record) []byte {
	if len(text) >= 3 && text[0] == 0xEF && text[1] == 0xBB && text[2] == 0xBF {
		text = text[3:]
	}
	if len(text) > 0 && text[0] == '[' {
		if string(r.Program) == "kernel" {
			text = text[kernelClock(text):]
		} else {
			text = text[messageID(text):]
		}
	}
	return text
}

// messageID returns the length of "[ID 800047 auth.info] ", which syslogd of Solaris and illumos puts before messages
// (msgid(1M)); 0 if text does not begin so.
func messageID(text []byte) int {
	const front = "[ID "
	if len(text) < len(front) || string(text[:len(front)]) != front {
		return 0
	}
	i := len(front)
	for i < len(text) && digit(text[i]) {
		i++
	}
	if i == len(front) || i == len(text) || text[i] != ' ' {
		return 0
	}
	for i++; i < len(text) && (text[i] == '.' || 'a' <= text[i] && text[i] <= 'z' || digit(text[i])); i++ {
	}
	if i+1 < len(text) && text[i] == ']' && text[i+1] == ' ' {
		return i + 2
	}
	return 0
}

// kernelClock returns the length of "[   12.345678] ", 0 if text does not begin so.
func kernelClock(text []byte) int {
	i, dots, digits := 1, 0, 0
	for i < len(text) && text[i] == ' ' {
		i++
	}
	if i+len("12345678.123456] ")+1 <= len(text) { // as Linux writes it (kernel/printk/printk.c, print_time)
		whole := digits8(binary.LittleEndian.Uint64(text[i:]))
		parts := text[i+whole : i+whole+9]
		if whole > 0 && parts[0] == '.' && digits8(binary.LittleEndian.Uint64(parts[1:])) == 6 && parts[7] == ']' && parts[8] == ' ' {
			return i + whole + 9
		}
	}
	for ; i < len(text); i++ {
		switch c := text[i]; {
		case digit(c):
			digits++
		case c == '.':
			dots++
		case c == ']' && dots == 1 && digits > 1 && i+1 < len(text) && text[i+1] == ' ':
			return i + 2
		default:
			return 0
		}
	}
	return 0
}

func unspace(b []byte) []byte {
	if len(b) > 0 && b[0] == ' ' {
		return b[1:]
	}
	return b
}

func digit(c byte) bool { return c-'0' <= 9 }
