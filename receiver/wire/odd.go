package wire

import (
	"bytes"
	"time"

	"tattled/event"
	"tattled/receiver"
)

// What is in this file is asked about lines that the usual reading has no header for, or one without a program: it need not be
// fast. It is stricter than the usual reading. Application logs begin with dates of all sorts, and texts behind a <PRI> may be
// anything, so that such a beginning is a header only if a tag stands in it.
//
// Applications put a date of such a form before their words, and their peers' words may come right after it: "2026-11-22 10:00:00,123
// sshd: ...". So a record with such a header is counted, shown and alerted on, and leads to no report (Record.Trust). What is inside
// of a message is not looked at here; see Peeler.

// bom is the byte order mark in UTF-8.
const bom = "\xef\xbb\xbf"

// odd reads the rare headers. start is where the priority ends, 0 if there is none. r has been filled as for None.
func (p *Parser) odd(line []byte, start int, received time.Time, r *receiver.Record) Form {
	if start == 0 {
		if n := front(line); n > 0 {
			return p.behind(line, n, received, r)
		}
	}
	rest := bytes.TrimLeft(line[start:], " ")
	if t, n := p.oddTime(rest, received); n > 0 && p.stamped(rest[n:], t, r) {
		return Stamped
	}
	if n := monotonic(rest); n > 0 && p.stamped(rest[n:], time.Time{}, r) {
		return Stamped
	}
	if start > 0 && bare(rest, r) {
		doubt(r)
		return Bare
	}
	r.Time, r.Host, r.Program, r.PID, r.Message = time.Time{}, nil, nil, nil, line
	return None
}

// behind reads the header that follows the first n bytes of a line.
func (p *Parser) behind(line []byte, n int, received time.Time, r *receiver.Record) Form {
	if front(line[n:]) == 0 {
		if form := p.Parse(line[n:], received, r); form != None && r.Program != nil {
			return form
		}
	}
	r.Time, r.Host, r.Program, r.PID, r.Message = time.Time{}, nil, nil, nil, line
	return None
}

// front returns the length of what may stand before a header: a byte order mark, or the octet count of RFC 6587 in a datagram, where
// it says nothing that the datagram's own end does not say better, and is wrong often enough (characters for bytes, a line end that is gone).
func front(line []byte) int {
	if bytes.HasPrefix(line, []byte(bom)) {
		return len(bom)
	}
	head, count := counted(line)
	if head == 0 {
		return 0
	}
	if left := line[head:]; count < len(left) {
		if next, _ := counted(bytes.TrimLeft(left[count:], "\r\n")); next > 0 { // several records in one datagram: which words are whose is not guessed
			return 0
		}
	}
	return head
}

// counted reads "123 " before a priority at the start of line, and returns how long that is.
func counted(line []byte) (head, count int) {
	for head < len(line) && head < maxDigits && digit(line[head]) {
		count = count*10 + int(line[head]-'0')
		head++
	}
	if head == 0 || line[0] == '0' || head+1 >= len(line) || line[head] != ' ' || priority(line[head+1:]) == 0 {
		return 0, 0
	}
	return head + 1, count
}

// stamped reads what is behind an odd timestamp, and reports whether there is a tag.
func (p *Parser) stamped(rest []byte, t time.Time, r *receiver.Record) bool {
	if len(rest) > 0 && rest[0] == ':' {
		rest = rest[1:]
	}
	rest = bytes.TrimLeft(rest, " ")
	r.Time, r.Host, r.Program, r.PID = t, nil, nil, nil
	if n := facility(rest); n > 0 { // logread of OpenWrt names no host
		tag(rest[n:], r)
	} else if !p.usual(rest, r) {
		unusual(rest, r)
	}
	if !isTag(r.Program) {
		return false
	}
	doubt(r)
	return true
}

// doubt takes from a record that it may lead to a report.
func doubt(r *receiver.Record) { r.Trust = min(r.Trust, event.TrustCount) }

// late reads what follows a usual timestamp once more, where it showed no tag: a year or a zone may stand in the host's place. t is
// what the timestamp gave.
func (p *Parser) late(rest []byte, t time.Time, r *receiver.Record) {
	s := stampTail{t: t, loc: p.loc}
	n := s.read(rest)
	if n == 0 || !endsStamp(rest[n:]) {
		return
	}
	before := *r
	if !p.stamped(rest[n:], s.t, r) {
		*r = before
	}
}

// bare reads "tag[pid]: message" and "host tag[pid]: message", and reports whether it is one of them.
func bare(rest []byte, r *receiver.Record) bool {
	first, after, _ := bytes.Cut(rest, []byte(" "))
	if tagWord(first) {
		tag(rest, r)
		return isTag(r.Program)
	}
	second, _, _ := bytes.Cut(after, []byte(" "))
	if !hostWord(first) || !tagWord(second) {
		return false
	}
	r.Host = first
	tag(after, r)
	return isTag(r.Program)
}

// tagWord reports whether word is a tag with its colon.
func tagWord(word []byte) bool {
	name, found := bytes.CutSuffix(word, []byte(":"))
	if !found {
		return false
	}
	if open := bytes.LastIndexByte(name, '['); open > 0 && name[len(name)-1] == ']' {
		name = name[:open]
	}
	return isTag(name)
}

// maxTag is the longest tag that is believed where it is all that makes a header.
const maxTag = 64

// isTag reports whether name may be a program's: not any word is.
func isTag(name []byte) bool {
	if len(name) == 0 || len(name) > maxTag {
		return false
	}
	for i, c := range name {
		switch {
		case c|0x20 >= 'a' && c|0x20 <= 'z', i == 0 && c == '%', digit(c): // "%ASA-4-106023", and a UniFi device's "788a20aabbcc,U7PG2-4.3"
		case i == 0:
			return false
		case bytes.IndexByte([]byte("._-/+@(),%#"), c) < 0:
			return false
		}
	}
	return true
}

// hostWord reports whether word may be the name or the address of a host.
func hostWord(word []byte) bool {
	if len(word) == 0 || len(word) > 255 {
		return false
	}
	for _, c := range word {
		if c|0x20 < 'a' || c|0x20 > 'z' {
			if !digit(c) && bytes.IndexByte([]byte("._-:[]%"), c) < 0 {
				return false
			}
		}
	}
	return word[len(word)-1] != ':'
}

// monotonic returns the length of "[ 1234.567890]", which journalctl -o short-monotonic has in the timestamp's place; 0 if rest
// begins otherwise.
func monotonic(rest []byte) int {
	if len(rest) == 0 || rest[0] != '[' {
		return 0
	}
	return max(kernelClock(rest)-1, 0)
}

// bracketed returns the length of "<auth.info> " and "<10.5> ", which syslogd -v of FreeBSD writes before the host
// (usr.sbin/syslogd/syslogd.c, fprintlog_bsd); 0 if s does not begin so.
func bracketed(s []byte) int {
	const longest = len("<authpriv.warning> ")
	end := bytes.IndexByte(s[:min(len(s), longest)], '>')
	if len(s) == 0 || s[0] != '<' || end < 0 || end+1 >= len(s) || s[end+1] != ' ' {
		return 0
	}
	name, level, found := bytes.Cut(s[1:end], []byte("."))
	if !found || !plainWord(name) || !plainWord(level) {
		return 0
	}
	return end + 2
}

// plainWord reports whether s is lower-case letters and digits.
func plainWord(s []byte) bool {
	for _, c := range s {
		if c-'a' >= 26 && !digit(c) {
			return false
		}
	}
	return len(s) > 0
}

// sameHost reports whether one of two words is the other with a domain behind it.
func sameHost(one, other []byte) bool {
	if len(one) > len(other) {
		one, other = other, one
	}
	return bytes.HasPrefix(other, one) && (len(one) == len(other) || other[len(one)] == '.')
}
