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

// PortAt reads a port at m[at:] and returns where it ends; negative if there is none, or more digits than a port has.
func PortAt(m []byte, at int) (port uint16, end int) {
	n, from := uint(0), at
	for ; at < len(m) && m[at]-'0' <= 9; at++ {
		if n = n*10 + uint(m[at]-'0'); at-from == 5 {
			return 0, -1
		}
	}
	if at == from || n > 65535 {
		return 0, -1
	}
	return uint16(n), at
}

// PortBack is PortAt for a port that ends at m[:end]; it returns where it begins.
func PortBack(m []byte, end int) (port uint16, at int) {
	n, place := uint(0), uint(1)
	for at = end; at > 0 && m[at-1]-'0' <= 9; at-- {
		if end-at == 5 {
			return 0, -1
		}
		n += place * uint(m[at-1]-'0')
		place *= 10
	}
	if at == end || n > 65535 {
		return 0, -1
	}
	return uint16(n), at
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
