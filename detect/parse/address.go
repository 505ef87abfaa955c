package parse

import (
	"bytes"
	"net/netip"
)

// Addr reads an address as strictly as netip.ParseAddr does, without a zone and without allocating: netip's own
// parser allocates its error, and an attacker chooses how often that happens. An IPv4-mapped address comes out as IPv4.
func Addr(b []byte) (netip.Addr, bool) {
	const tag = "IPv6:" // of RFC 5321 section 4.1.3, as Sendmail writes addresses
	if len(b) > 0 && b[0] == tag[0] && HasPrefix(b, tag) {
		b = b[len(tag):]
	} else if a, ok := parse4(b); ok {
		return netip.AddrFrom4(a), true
	}
	if len(b) < 2 || len(b) > 45 {
		return netip.Addr{}, false
	}
	a, ok := parse6(b)
	if !ok {
		return netip.Addr{}, false
	}
	return netip.AddrFrom16(a).Unmap(), true
}

// parse4 reads four decimal numbers without leading zeros: what looks octal to one program and decimal to the next names
// no one address.
func parse4(b []byte) (a [4]byte, ok bool) {
	if len(b) < 7 || len(b) > 15 {
		return a, false
	}
	i := 0
	for part := range a {
		if part > 0 {
			if i >= len(b) || b[i] != '.' {
				return a, false
			}
			i++
		}
		if i >= len(b) || b[i]-'0' > 9 {
			return a, false
		}
		value := int(b[i] - '0')
		i++
		for last := i + 2; i < len(b) && i < last && b[i]-'0' <= 9; i++ {
			if value == 0 {
				return a, false
			}
			value = value*10 + int(b[i]-'0')
		}
		if value > 255 {
			return a, false
		}
		a[part] = byte(value)
	}
	return a, i == len(b)
}

// parse6 reads the forms of RFC 4291 section 2.2.
func parse6(b []byte) (a [16]byte, ok bool) {
	filled, gap := 0, -1
	if b[0] == ':' {
		if b[1] != ':' {
			return a, false
		}
		gap, b = 0, b[2:]
	}
	for len(b) > 0 {
		if filled == 16 {
			return a, false
		}
		value, n := hexGroup(b)
		if n == 0 {
			return a, false
		}
		if n < len(b) && b[n] == '.' {
			tail, ok := parse4(b)
			if !ok || filled > 12 || gap < 0 && filled != 12 {
				return a, false
			}
			filled += copy(a[filled:], tail[:])
			break
		}
		a[filled], a[filled+1] = byte(value>>8), byte(value)
		filled += 2
		if b = b[n:]; len(b) == 0 {
			break
		}
		if b[0] != ':' || len(b) == 1 {
			return a, false
		}
		if b = b[1:]; b[0] == ':' {
			if gap >= 0 {
				return a, false
			}
			gap, b = filled, b[1:]
		}
	}
	if gap < 0 {
		return a, filled == 16
	}
	if filled == 16 {
		return a, false
	}
	tail := filled - gap
	copy(a[16-tail:], a[gap:filled])
	clear(a[gap : 16-tail])
	return a, true
}

// hexGroup reads up to four hexadecimal digits and returns how many there are, 0 if there are more than four.
func hexGroup(b []byte) (value, n int) {
	for ; n < len(b); n++ {
		var d byte
		switch c := b[n]; {
		case c-'0' <= 9:
			d = c - '0'
		case c-'a' <= 5:
			d = c - 'a' + 10
		case c-'A' <= 5:
			d = c - 'A' + 10
		default:
			return value, n
		}
		if n == 4 {
			return 0, 0
		}
		value = value<<4 | int(d)
	}
	return value, n
}

// RefusalOf says why b, which stands where an address should be, is none.
func RefusalOf(b []byte) Refusal {
	if string(b) == "UNKNOWN" { // what sshd writes when getpeername fails
		return BadAddress
	}
	if IsList(b) {
		return AddressList
	}
	letter := false
	for _, c := range b {
		switch {
		case 'a' <= c|0x20 && c|0x20 <= 'z', c == '-', c == '_':
			letter = true
		case c-'0' <= 9, c == '.':
		default:
			return BadAddress
		}
	}
	if letter {
		return HostName
	}
	return BadAddress
}

// NoPeer reports whether b is surely neither an address nor a name: it has a colon, and letters that no address has before the
// name of a zone.
func NoPeer(b []byte) bool {
	colon, letter := false, false
	for _, c := range b {
		if c == '%' {
			break
		}
		colon = colon || c == ':'
		letter = letter || 'g' <= c|0x20 && c|0x20 <= 'z'
	}
	return colon && letter
}

// IsList reports whether a column has several addresses, as X-Forwarded-For has them: "198.51.100.66, 203.0.113.5".
func IsList(column []byte) bool { return bytes.IndexByte(column, ',') >= 0 }
