package setting

import (
	"fmt"
	"strings"
	"unicode"
)

const (
	// tokenLength is how long a run of letters and digits may be before Redact takes it for a secret.
	tokenLength = 20
	// tokenMix is how many digits and how many other characters such a run has at least: names of people and things have
	// fewer of the one or the other.
	tokenMix = 4
)

// Redact returns text with what may be a secret taken out: the user and the password of a URL, and each long run of letters
// and digits, such as an API key. Whatever quotes a value of the configuration goes through it before it is shown, because
// an operator may have put the secret itself where something else belongs.
func Redact(text string) string {
	var out strings.Builder
	for rest := redactUser(text); rest != ""; {
		n := strings.IndexFunc(rest, func(r rune) bool { return !inToken(r) })
		if n < 0 {
			n = len(rest)
		}
		out.WriteString(redactToken(rest[:n]))
		rest = rest[n:]
		n = strings.IndexFunc(rest, inToken)
		if n < 0 {
			n = len(rest)
		}
		out.WriteString(rest[:n])
		rest = rest[n:]
	}
	return out.String()
}

// inToken tells whether keys and tokens have such a character. A point, a colon and a slash are left out, so that
// addresses, host names and paths stay readable.
func inToken(r rune) bool {
	return r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || strings.ContainsRune("+=_~-", r)
}

func redactToken(run string) string {
	digits := 0
	for _, r := range run {
		if unicode.IsDigit(r) {
			digits++
		}
	}
	if len(run) < tokenLength || digits < tokenMix || len(run)-digits < tokenMix {
		return run
	}
	return fmt.Sprintf("(%d characters, not shown)", len(run))
}

// redactUser takes out what is before the @ of each URL.
func redactUser(text string) string {
	var out strings.Builder
	for {
		before, after, found := strings.Cut(text, "://")
		out.WriteString(before)
		if !found {
			return out.String()
		}
		out.WriteString("://")
		end := strings.IndexFunc(after, func(r rune) bool { return r == '/' || r == '"' || unicode.IsSpace(r) })
		if end < 0 {
			end = len(after)
		}
		if at := strings.LastIndexByte(after[:end], '@'); at >= 0 {
			out.WriteString("(not shown)")
			after = after[at:]
		}
		text = after
	}
}
