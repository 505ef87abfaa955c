package wire

import "bytes"

// introducers are how ESC and "[" are written where something on the way makes text of control characters: rsyslog's #033, and what
// shells, C and JSON have for it.
var introducers = [...]string{"#033[", "^[[", `\x1b[`, `\x1B[`, `\u001b[`, `\u001B[`, `\033[`, `\e[`}

// introduced returns where a written escape sequence begins in text, and how long its introducer is; -1 if there is none.
func introduced(text []byte) (at, length int) {
	for from := 0; ; {
		i := bytes.IndexByte(text[from:], '[')
		if i < 0 {
			return -1, 0
		}
		end := from + i + 1
		if end > 2 {
			switch text[end-2] {
			case '3', '[', 'b', 'B', 'e':
				for _, intro := range introducers {
					if bytes.HasSuffix(text[:end], []byte(intro)) {
						return end - len(intro), len(intro)
					}
				}
			}
		}
		from = end
	}
}

// unwrite appends text to room without the escape sequences that are written out in it and colour it. It reports false if there are others
// or none, and then nothing is taken off.
//
// These are plain characters, so every peer can write them. What is taken off is therefore less than of real ones (see unescape): only
// CSI that colours or ends a line, nothing after a backslash, which may be what makes the next character text, and nothing where two
// parts of a word or of an address would meet: not even with a blank between them, as a peer who may write none would have one then. What
// is left of a peer's text is what he could have written at once, and of the program's nothing is gone.
func unwrite(room, text []byte) ([]byte, bool) {
	at, length := introduced(text)
	if at < 0 {
		return nil, false
	}
	for ; at >= 0; at, length = introduced(text) {
		n := coloured(text[at+length:])
		if n == 0 {
			return nil, false
		}
		if at > 0 && len(room) > 0 && joins(room, text) {
			return nil, false
		}
		room = append(room, text[:at]...)
		if len(room) > 0 && room[len(room)-1] == '\\' {
			return nil, false
		}
		text = text[at+length+n:]
	}
	if len(room) > 0 && len(text) > 0 && joins(room, text) {
		return nil, false
	}
	return append(room, text...), true
}

// coloured returns the length of what follows the introducer of a sequence that colours or ends a line, 0 if it is another one.
func coloured(s []byte) int {
	const mostParameters = 24
	for i := 0; i < len(s) && i < mostParameters; i++ {
		switch c := s[i]; {
		case c == 'm' || c == 'K':
			return i + 1
		case !digit(c) && c != ';':
			return 0
		}
	}
	return 0
}
