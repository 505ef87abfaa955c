package report

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Harmless makes one line of at most limit bytes of a text that an attacker may have chosen, for a mail, a log or a
// terminal. Control characters (C0, DEL, C1: line ends, NUL, ESC), bidirectional and other format characters, the line
// separators of Unicode and bytes that are no UTF-8 come out as visible escapes (\x1b, \u{202e}); everything else stays as
// it was. What does not fit is cut between characters and marked with three dots.
func Harmless(text string, limit int) string {
	var b strings.Builder
	for i := 0; i < len(text); {
		r, size := utf8.DecodeRuneInString(text[i:])
		part := text[i : i+size]
		switch {
		case r == utf8.RuneError && size == 1, r < ' ', r == 0x7f:
			part = fmt.Sprintf(`\x%02x`, text[i])
		case hostile(r):
			part = fmt.Sprintf(`\u{%x}`, r)
		}
		if b.Len()+len(part) > limit {
			return cut(b.String(), limit)
		}
		b.WriteString(part)
		i += size
	}
	return b.String()
}

// hostile tells of a character beyond ASCII that moves other text, breaks a line or shows as nothing.
func hostile(r rune) bool {
	return unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp, unicode.Co) || r == 0x115f || r == 0x1160 || r == 0x3164
}

// cut ends text, which has at most limit bytes, with three dots within limit.
func cut(text string, limit int) string {
	const dots = "..."
	if limit < len(dots) {
		return ""
	}
	end := min(len(text), limit-len(dots))
	for end > 0 && end < len(text) && !utf8.RuneStart(text[end]) {
		end--
	}
	return text[:end] + dots
}
