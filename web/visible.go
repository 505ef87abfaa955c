package web

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// visible returns s as text that shows what is in it: control characters, bytes that are no UTF-8, characters that turn
// the direction of text around, join lines or cannot be seen are written as escapes (\n, \x1b, \xff, \u202e). What remains is
// harmless on a terminal and reads in the order in which it was written. A backslash of the text itself stays as it is.
func visible(s string) string {
	first := strings.IndexFunc(s, hidden)
	if first < 0 {
		return s
	}
	var b strings.Builder
	b.WriteString(s[:first])
	for i := first; i < len(s); {
		r, size := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && size == 1:
			fmt.Fprintf(&b, `\x%02x`, s[i])
		case !hidden(r):
			b.WriteRune(r)
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\r':
			b.WriteString(`\r`)
		case r == '\t':
			b.WriteString(`\t`)
		case r < 0x80:
			fmt.Fprintf(&b, `\x%02x`, r)
		case r < 0x10000:
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			fmt.Fprintf(&b, `\U%08x`, r)
		}
		i += size
	}
	return b.String()
}

// hidden reports whether r is to be escaped. unicode.IsPrint knows controls, format characters and odd spaces; it holds a
// few letters and marks for printable that show nothing.
func hidden(r rune) bool {
	switch {
	case ' ' <= r && r <= '~':
		return false
	case r == utf8.RuneError: // also what a byte that is no UTF-8 decodes to
		return true
	case r == 0x115F, r == 0x1160, r == 0x17B4, r == 0x17B5, r == 0x2800, r == 0x3164, r == 0xFFA0: // fillers and blanks
		return true
	case 0x180B <= r && r <= 0x180F, 0xFE00 <= r && r <= 0xFE0F, 0xE0100 <= r && r <= 0xE01EF: // variation selectors
		return true
	case r == 0x034F: // combining grapheme joiner
		return true
	}
	return !unicode.IsPrint(r)
}
