package parse

import "bytes"

// Port reads a port: one to five digits, of which the value is at most 65535.
func Port(b []byte) (uint16, bool) {
	if len(b) == 0 || len(b) > 5 {
		return 0, false
	}
	n := 0
	for _, c := range b {
		d := c - '0'
		if d > 9 {
			return 0, false
		}
		n = n*10 + int(d)
	}
	if n > 65535 {
		return 0, false
	}
	return uint16(n), true
}

// CutPort parts an address, b[from:to], from its port, which is what follows the last colon. The address may stand in
// brackets; one bracket alone stays with it and makes it none.
func CutPort(b []byte) (from, to int, port uint16, ok bool) {
	colon := bytes.LastIndexByte(b, ':')
	if colon < 0 {
		return 0, 0, 0, false
	}
	if port, ok = Port(b[colon+1:]); !ok {
		return 0, 0, 0, false
	}
	if colon >= 2 && b[0] == '[' && b[colon-1] == ']' {
		return 1, colon - 1, port, true
	}
	return 0, colon, port, true
}

// HasPrefix reports whether m begins with a text.
func HasPrefix(m []byte, text string) bool {
	return len(m) >= len(text) && string(m[:len(text)]) == text
}

// HasSuffix reports whether m ends with a text.
func HasSuffix(m []byte, text string) bool {
	return len(m) >= len(text) && string(m[len(m)-len(text):]) == text
}

// LongestBehind is how long a message may be, in bytes, whose address stands behind what a peer chose. Syslog's relays and
// receivers cut a record where it is too long for them, the first at 1024 bytes with its header (RFC 3164 section 4.1),
// and where a line was cut, its peer has chosen what it ends in.
const LongestBehind = 900
