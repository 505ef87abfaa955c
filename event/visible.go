package event

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// Visible returns text as it may be shown on a page, in a mail, in a log or on a terminal, although an attacker may have chosen
// it. Control characters, bytes that are not UTF-8, and characters that reverse the direction of text, join lines or cannot be seen
// (zero-width, bidirectional and filler characters) become escapes: \n, \x1b, \xff, \u202e. What remains is harmless on a terminal
// and reads in the order in which it was written. A backslash of the text itself stays as it is. The result is valid UTF-8, at most
// four times as long, and Visible of it is the same again.
func Visible(text string) string {
	first := strings.IndexFunc(text, hidden)
	if first < 0 {
		return text
	}
	var b strings.Builder
	b.WriteString(text[:first])
	for rest := text[first:]; rest != ""; {
		shown, size := VisibleRune(rest)
		b.WriteString(shown)
		rest = rest[size:]
	}
	return b.String()
}

// VisibleRune returns the first character of text as Visible shows it, and how many bytes of text it was. text is not empty.
func VisibleRune(text string) (shown string, size int) {
	r, size := utf8.DecodeRuneInString(text)
	switch {
	case !hidden(r):
		return text[:size], size
	case r == utf8.RuneError && size == 1:
		return fmt.Sprintf(`\x%02x`, text[0]), 1
	case r == '\n':
		return `\n`, size
	case r == '\r':
		return `\r`, size
	case r == '\t':
		return `\t`, size
	case r < 0x80:
		return fmt.Sprintf(`\x%02x`, r), size
	case r < 0x10000:
		return fmt.Sprintf(`\u%04x`, r), size
	default:
		return fmt.Sprintf(`\U%08x`, r), size
	}
}

// AppendVisibleJSON appends json, which is one JSON value on one line, to b. Characters that Visible would escape are written as
// JSON's own escapes, so that it is the same value and nothing in it is hidden from who reads it on a terminal.
func AppendVisibleJSON(b, json []byte) []byte {
	for len(json) > 0 {
		r, size := utf8.DecodeRune(json)
		switch {
		case !hidden(r):
			b = append(b, json[:size]...)
		case r < 0x10000:
			b = fmt.Appendf(b, `\u%04x`, r)
		default:
			high, low := utf16.EncodeRune(r)
			b = fmt.Appendf(b, `\u%04x\u%04x`, high, low)
		}
		json = json[size:]
	}
	return b
}

// hidden reports whether r is to be escaped. unicode.IsPrint knows controls, format characters and unusual spaces; it takes a
// few letters and marks that show nothing for printable.
func hidden(r rune) bool {
	switch {
	case ' ' <= r && r <= '~':
		return false
	case r == utf8.RuneError: // also what a byte that is not UTF-8 decodes to
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
