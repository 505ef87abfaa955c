package wire

import "bytes"

const escape = 0x1b

// unescape appends text to room without the escape sequences of terminals that colour it, move in it, set a title or make a link: CSI
// and OSC of ECMA-48. It reports false if there is any other, and then nothing is taken off.
//
// A peer may have written some of them, if the program lets control characters pass. So a sequence takes nothing with it that a
// program may have written as words: parameters of CSI are digits, OSC has no blank in it, and both are short. And where one is
// gone, no two texts become one: two parts of a word or of an address stay apart by a blank, which no pattern reads over.
func unescape(room, text []byte) ([]byte, bool) {
	for {
		at := bytes.IndexByte(text, escape)
		if at < 0 {
			return append(room, text...), true
		}
		n := sequence(text[at:])
		if n == 0 {
			return nil, false
		}
		room = append(room, text[:at]...)
		for text = text[at+n:]; len(text) > 0 && text[0] == escape; text = text[n:] {
			if n = sequence(text); n == 0 {
				return nil, false
			}
		}
		if len(room) > 0 && len(text) > 0 && joins(room, text) {
			room = append(room, ' ')
		}
	}
}

// sequence returns the length of the escape sequence with which s begins, 0 if it is none that is known.
func sequence(s []byte) int {
	const mostParameters, mostText = 24, 256
	if len(s) < 3 {
		return 0
	}
	switch s[1] {
	case '[':
		i := 2
		for i < len(s) && i < mostParameters && (digit(s[i]) || s[i] == ';' || s[i] == ':' || s[i] == '?') {
			i++
		}
		if i < len(s) && bytes.IndexByte([]byte("mKJHGABCDhl"), s[i]) >= 0 {
			return i + 1
		}
	case ']':
		for i := 2; i < len(s) && i < mostText; i++ {
			switch {
			case s[i] == 0x07:
				return i + 1
			case s[i] == escape && i+1 < len(s) && s[i+1] == '\\':
				return i + 2
			case s[i] <= ' ' || s[i] == 0x7f:
				return 0
			}
		}
	case '(': // which character set: "\e(B" of tput sgr0
		if s[2] == 'B' || s[2] == '0' {
			return 3
		}
	}
	return 0
}

// joins reports whether the end of one text and the beginning of another are parts of a word or of an address if nothing is between
// them.
func joins(before, after []byte) bool {
	a, b := before[len(before)-1], after[0]
	if inWord(a) && inWord(b) {
		return true
	}
	if a != ':' && b != ':' { // parts of IPv6
		return false
	}
	return colons(before, after) > 1 && (hexadecimal(a) || a == ':') && (hexadecimal(b) || b == ':')
}

// colons counts those of the hexadecimal digits, points and colons around the place between two texts.
func colons(before, after []byte) (n int) {
	const longest = 40 // bytes of an address
	for i := 1; i <= min(len(before), longest) && inAddress(before[len(before)-i]); i++ {
		if before[len(before)-i] == ':' {
			n++
		}
	}
	for i := 0; i < min(len(after), longest) && inAddress(after[i]); i++ {
		if after[i] == ':' {
			n++
		}
	}
	return n
}

// inWord reports whether c is a part of words, names, and addresses of IPv4.
func inWord(c byte) bool {
	return c|0x20 >= 'a' && c|0x20 <= 'z' || digit(c) || c == '.' || c == '-' || c == '_' || c == '%' || c >= 0x80
}

func hexadecimal(c byte) bool { return digit(c) || c|0x20 >= 'a' && c|0x20 <= 'f' }

func inAddress(c byte) bool { return hexadecimal(c) || c == ':' || c == '.' }
