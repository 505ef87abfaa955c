package fail2ban

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// Characters of Unicode's private use stand for what is no text while an expression is worked on.
const (
	hostMark   = "\ue000" // the address
	headerMark = "\ue001" // the header of the log line, which tattled takes off
)

// address is the expression for an address. It is narrower than <HOST>, which takes names too: those are never resolved.
const address = `(?P<ip>(?:[0-9]{1,3}\.){3}[0-9]{1,3}|[0-9A-Fa-f:]*:[0-9A-Fa-f:.]+)`

var errSeveralLines = errors.New("it spans several lines: tattled judges each line separately")

// resolveTags replaces fail2ban's tags by marks and groups.
func resolveTags(text string) (string, error) {
	if front, rest, found := strings.Cut(text, "<F-MLFID>"); found { // it names a connection, which the PID does here
		if id, back, ended := strings.Cut(rest, "</F-MLFID>"); ended && len(branches(id)) == 1 {
			text = front + id + back
		}
	}
	open := map[string]bool{}
	var fault error
	fail := func(format string, args ...any) {
		if fault == nil {
			fault = fmt.Errorf(format, args...)
		}
	}
	names := regexp.MustCompile(`</?[\w\-]+/?>`) // what fail2ban takes for a tag of its own
	out := names.ReplaceAllStringFunc(text, func(tag string) string {
		name := tag[1 : len(tag)-1]
		switch name {
		case "HOST", "ADDR", "IP4", "IP6", "SUBNET", "F-ADDR/", "F-IP4/", "F-IP6/", "F-SUBNET/":
			return hostMark
		case "CIDR", "F-CIDR/":
			return `\d+`
		case "F-PORT/":
			return `(?P<port>\d+)`
		case "DNS", "F-DNS/":
			fail("<%s> is a host's name: names are never resolved", name)
		case "F-ID/", "F-ID", "/F-ID":
			fail("<%s> bans what is not an address", name)
		case "SKIPLINES":
			fail("%w", errSeveralLines)
		case "F-NOFAIL":
			fail("<F-NOFAIL>: it counts no failure, and only helps other lines of the filter to their address or user")
		case "F-MLFGAINED":
			fail("<F-MLFGAINED>: it is about a success")
		}
		switch end, isEnd := strings.CutPrefix(name, "/"); {
		case isEnd && open[end]:
			return ")"
		case isEnd || !strings.HasPrefix(name, "F-") || strings.ToUpper(name) != name:
			return tag // no tag of fail2ban's: text
		}
		open[name] = true
		switch {
		case name == "F-USER":
			return "(?P<user>"
		case strings.HasPrefix(name, "F-ALT_USER"):
			return "(?P<other>"
		default:
			return "(?:"
		}
	})
	return out, fault
}

// translate makes RE2 of an expression with fail2ban's tags.
func translate(text string) (string, error) {
	text, err := resolveTags(text)
	if err != nil {
		return "", err
	}
	return toRE2(text)
}

// toRE2 makes RE2 of an expression of Python's module re, or says what RE2 cannot do. Names of groups are made different:
// RE2 wants each once.
func toRE2(text string) (string, error) {
	if flags := regexp.MustCompile(`^\(\?[a-z]*x[a-z]*\)`).FindString(text); flags != "" {
		text = strings.Replace(flags, "x", "", 1) + withoutLayout(text[len(flags):])
		text = strings.TrimPrefix(text, "(?)")
	}
	s := scanner{rest: text}
	for s.rest != "" {
		if err := s.next(); err != nil {
			return "", err
		}
	}
	return s.out.String(), nil
}

// scanner copies an expression and changes what Python writes otherwise.
type scanner struct {
	rest       string
	out        strings.Builder
	quantified bool // what was copied last is a quantifier
	groups     int
}

func (s *scanner) copy(n int) {
	s.out.WriteString(s.rest[:n])
	s.rest = s.rest[n:]
}

func (s *scanner) next() error {
	quantified := s.quantified
	s.quantified = false
	switch s.rest[0] {
	case '\\':
		return s.escape()
	case '[':
		return s.class()
	case '(':
		return s.group()
	case '*', '+', '?':
		if quantified && s.rest[0] == '+' {
			return errors.New("possessive repetition is not possible in RE2")
		}
		s.quantified = !quantified // a "?" behind one belongs to it
		s.copy(1)
	case '{':
		if m := regexp.MustCompile(`^\{(\d*)(,?)(\d*)\}`).FindStringSubmatch(s.rest); m != nil && m[1]+m[3] != "" {
			if m[1] == "" {
				m[1] = "0"
			}
			s.out.WriteString("{" + m[1] + m[2] + m[3] + "}")
			s.rest = s.rest[len(m[0]):]
			s.quantified = true
			return nil
		}
		s.out.WriteString(`\{`)
		s.rest = s.rest[1:]
	case '}':
		s.out.WriteString(`\}`)
		s.rest = s.rest[1:]
	case '\n':
		return errSeveralLines
	default:
		s.copy(1)
	}
	return nil
}

func (s *scanner) escape() error {
	if len(s.rest) == 1 {
		return errors.New("it ends in a backslash")
	}
	switch c := s.rest[1]; {
	case '1' <= c && c <= '9':
		return errors.New("a back-reference is not possible in RE2")
	case c == 'n' || c == 'r':
		return errSeveralLines
	case c == 'Z':
		s.out.WriteString(`\z`)
		s.rest = s.rest[2:]
	case c == 'u' && len(s.rest) >= 6:
		s.out.WriteString(`\x{` + s.rest[2:6] + `}`)
		s.rest = s.rest[6:]
	case c >= 0x80:
		s.rest = s.rest[1:]
	default:
		s.copy(2)
	}
	return nil
}

// class copies a [class].
func (s *scanner) class() error {
	i := 1
	if strings.HasPrefix(s.rest[i:], "^") {
		i++
	}
	s.copy(i)
	for first := true; s.rest != ""; first = false {
		switch {
		case s.rest[0] == ']' && !first:
			s.copy(1)
			return nil
		case s.rest[0] == '[', s.rest[0] == ']':
			s.out.WriteByte('\\')
			s.copy(1)
		case strings.HasPrefix(s.rest, `\b`):
			s.out.WriteString(`\x08`)
			s.rest = s.rest[2:]
		case s.rest[0] == '\\' && len(s.rest) > 1 && s.rest[1] < 0x80:
			s.copy(2)
		case s.rest[0] == '\\':
			s.rest = s.rest[1:]
		default:
			s.copy(1)
		}
	}
	return errors.New("a [ is never closed")
}

// group copies what begins a group.
func (s *scanner) group() error {
	if !strings.HasPrefix(s.rest, "(?") {
		s.copy(1)
		return nil
	}
	rest := s.rest[2:]
	for front, name := range map[string]string{
		"=": "look-ahead", "!": "look-ahead", "<=": "look-behind", "<!": "look-behind", "P=": "a back-reference", "(": "a condition", ">": "an atomic group",
	} {
		if strings.HasPrefix(rest, front) {
			return fmt.Errorf("%s is not possible in RE2: (?%.20s", name, rest)
		}
	}
	if strings.HasPrefix(rest, "#") {
		end := strings.IndexByte(rest, ')')
		if end < 0 {
			return errors.New("a comment is never closed")
		}
		s.rest = rest[end+1:]
		return nil
	}
	if strings.HasPrefix(rest, "P<") {
		name, after, found := strings.Cut(rest[2:], ">")
		if !found {
			return errors.New("the name of a group is never closed")
		}
		switch name {
		case "host", "ip4", "ip6", "dns", "fid", "ip":
			return fmt.Errorf("the group %s has an expression of its own for the address: write <HOST>", name)
		case "user", "other", "port":
			s.groups++
			fmt.Fprintf(&s.out, "(?P<%s%d>", name, s.groups)
		default:
			s.out.WriteString("(?:")
		}
		s.rest = after
		return nil
	}
	if m := regexp.MustCompile(`^\(\?([aiLmsux]*)(-[imsx]+)?([:)])`).FindStringSubmatch(s.rest); m != nil {
		if strings.ContainsAny(m[1]+m[2], "xm") {
			return fmt.Errorf("the flags %s are not understood here", m[0])
		}
		flags := strings.NewReplacer("a", "", "L", "", "u", "").Replace(m[1]) + m[2]
		if flags != "" || m[3] == ":" {
			s.out.WriteString("(?" + flags + m[3])
		}
		s.rest = s.rest[len(m[0]):]
		return nil
	}
	return fmt.Errorf("(?%.10s is not understood", rest)
}

// withoutLayout drops what (?x) lets people write for readability: white space, and comments.
func withoutLayout(text string) string {
	var out strings.Builder
	class := false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '\\' && i+1 < len(text):
			out.WriteString(text[i : i+2])
			i++
			continue
		case c == '[':
			class = true
		case c == ']':
			class = false
		case !class && c == '#':
			return out.String()
		case !class && (c == ' ' || c == '\t'):
			continue
		}
		out.WriteByte(text[i])
	}
	return out.String()
}

// branches cuts an expression at the | outside of all groups.
func branches(text string) []string {
	var all []string
	depth, from, class := 0, 0, false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '\\':
			i++
		case class:
			class = c != ']' || text[i-1] == '[' || strings.HasSuffix(text[:i], "[^")
		case c == '[':
			class = true
		case c == '(':
			depth++
		case c == ')':
			depth--
		case c == '|' && depth == 0:
			all = append(all, text[from:i])
			from = i + 1
		}
	}
	return append(all, text[from:])
}
