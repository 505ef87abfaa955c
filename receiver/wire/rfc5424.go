package wire

import (
	"bytes"

	"tattled/receiver"
)

// parse5424 fills r from what follows the <PRI> of RFC 5424 section 6: version, timestamp, host, application, process,
// message id, structured data, message. It reports whether the version and the timestamp are there; from there on it is
// lenient: fields longer than the RFC allows are taken, missing ones are absent, and what should be structured data and is
// not begins the message, so that no text of a sender that leaves it out is lost.
func (p *Parser) parse5424(rest []byte, r *receiver.Record) bool {
	version := 0
	for version < len(rest) && digit(rest[version]) {
		version++
	}
	// A version is one or two digits without a leading zero, and then comes a timestamp or "-".
	if version == 0 || version > 2 || rest[0] == '0' || len(rest) < version+2 || rest[version] != ' ' {
		return false
	}
	rest = rest[version+1:]
	t, n := p.isoTime(rest)
	if n == 0 && rest[0] == '-' {
		n = 1
	}
	if n == 0 || n < len(rest) && rest[n] != ' ' {
		return false
	}
	r.Time = t
	rest = unspace(rest[n:])
	r.Host, rest = field(rest)
	r.Program, rest = field(rest)
	r.PID, rest = field(rest)
	if !allDigits(r.PID) {
		r.PID = nil
	}
	_, rest = field(rest) // MSGID
	// rsyslog's RSYSLOG_SyslogProtocol23Format writes what stood behind "tag:", its space included, behind a space of its own.
	message(unspace(structured(rest)), r)
	return true
}

// field takes a word off rest; it is nil if there is none or "-".
func field(rest []byte) (word, after []byte) {
	space := bytes.IndexByte(rest, ' ')
	if space < 0 {
		word, after = rest, rest[len(rest):]
	} else {
		word, after = rest[:space], rest[space+1:]
	}
	if len(word) == 0 || len(word) == 1 && word[0] == '-' {
		word = nil
	}
	return word, after
}

// structured returns the message behind the structured data with which rest begins: "-", or elements without a space
// between them. It returns rest if that is no structured data.
func structured(rest []byte) []byte {
	i := 0
	if len(rest) > 0 && rest[0] == '-' {
		i = 1
	} else {
		for i < len(rest) && rest[i] == '[' {
			n := element(rest[i:])
			if n == 0 {
				return rest
			}
			i += n
		}
	}
	if i < len(rest) && (rest[i] != ' ' || i == 0) {
		return rest
	}
	return unspace(rest[i:])
}

// element returns the length of the SD-ELEMENT with which s, which begins with "[", begins: [id name="value" ...], where
// a backslash in a value takes the next byte's meaning away (RFC 5424 section 6.3.3). It returns 0 if it is not one: then
// it is text, like "[UFW BLOCK] IN=eth0".
func element(s []byte) int {
	i := name(s, 1)
	if i == 1 {
		return 0
	}
	for i < len(s) {
		switch s[i] {
		case ']':
			return i + 1
		case ' ':
		default:
			return 0
		}
		start := i + 1
		i = name(s, start)
		if i == start || i+1 >= len(s) || s[i] != '=' || s[i+1] != '"' {
			return 0
		}
		for i += 2; i < len(s) && s[i] != '"'; i++ {
			if s[i] == '\\' {
				i++
			}
		}
		i++ // the closing quote
	}
	return 0
}

// name returns where the SD-NAME that begins at i of s ends: before "=", " ", "]" or a quote.
func name(s []byte, i int) int {
	for i < len(s) && s[i] > ' ' && s[i] != '=' && s[i] != ']' && s[i] != '"' {
		i++
	}
	return i
}

func allDigits(b []byte) bool {
	for _, c := range b {
		if !digit(c) {
			return false
		}
	}
	return len(b) > 0
}
