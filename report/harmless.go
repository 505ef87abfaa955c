package report

import (
	"strings"
	"unicode/utf8"

	"tattled/event"
)

// Harmless makes one line of at most limit bytes of a text that an attacker may have chosen, for a mail, a log or a
// terminal: it is event.Visible of text. What does not fit is cut between characters and marked with three dots.
func Harmless(text string, limit int) string {
	var b strings.Builder
	for rest := text; rest != ""; {
		shown, size := event.VisibleRune(rest)
		if b.Len()+len(shown) > limit {
			return cut(b.String(), limit)
		}
		b.WriteString(shown)
		rest = rest[size:]
	}
	return b.String()
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
