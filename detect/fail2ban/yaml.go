package fail2ban

import (
	"fmt"
	"slices"
	"strings"
	"unicode"
)

// YAML writes the rule file.
func (f *Filter) YAML() string {
	var b strings.Builder
	fmt.Fprintf(&b, "# Made from fail2ban's filter %s by `tattled import fail2ban`. Read it before use: what kind of event\n", f.source)
	b.WriteString("# each rule is, its categories and whether its log proves addresses (handshake) are guesses or options.\n")
	for _, n := range f.Notes {
		comment(&b, "", n)
	}
	fmt.Fprintf(&b, "service: %s\n", f.Service)
	fmt.Fprintf(&b, "programs: [%s]\n", strings.Join(quoteAll(f.Programs), ", "))
	if f.Stamped {
		b.WriteString("stamp: true\n")
	}
	b.WriteString("rules:\n")
	for _, r := range f.Rules {
		f.rule(&b, r)
	}
	f.alike(&b)
	for _, list := range []struct {
		title string
		all   []Refused
	}{{"What could not be translated:", f.Refused}, {"What other rules describe already:", f.Covered}} {
		if len(list.all) > 0 {
			b.WriteString("\n# " + list.title + "\n")
		}
		for _, r := range list.all {
			comment(&b, "", fmt.Sprintf("line %d of %s: %s", r.Line, r.File, r.Reason))
			comment(&b, "", "    "+r.Expression)
		}
	}
	return b.String()
}

// alike writes the rule of kind none: what a line that begins like one of the above must not be taken for.
func (f *Filter) alike(b *strings.Builder) {
	var covers []string
	for _, r := range f.Rules {
		for _, cover := range r.covers {
			if !slices.Contains(covers, cover) {
				covers = append(covers, cover)
			}
		}
	}
	if len(covers) == 0 {
		return
	}
	b.WriteString("  # Other lines that begin alike, in which a peer may have written all of one of the above\n")
	b.WriteString("  - name: alike\n    kind: none\n    match:\n")
	for _, cover := range covers {
		fmt.Fprintf(b, "      - %s\n", quote(cover))
	}
}

func (f *Filter) rule(b *strings.Builder, r *Rule) {
	comment(b, "  ", fmt.Sprintf("line %d of %s", r.Line, r.File))
	if r.Wider {
		b.WriteString("  # Its fields hold more than the expression takes there: lines of another sort may match as well.\n")
	}
	fmt.Fprintf(b, "  - name: %s\n    kind: %s\n", r.Name, r.Kind)
	if f.handshake {
		b.WriteString("    handshake: true\n")
	}
	if len(r.Categories) > 0 {
		fmt.Fprintf(b, "    categories: %s\n", strings.ReplaceAll(fmt.Sprint(r.Categories), " ", ", "))
	}
	if len(r.Match) > 0 {
		b.WriteString("    match:\n")
		for _, p := range r.Match {
			fmt.Fprintf(b, "      - %s\n", quote(p))
		}
	}
	if r.Regex != "" {
		fmt.Fprintf(b, "    regex: [%s]\n", quote(r.Regex))
	}
	b.WriteString("    samples:\n")
	samples := r.samples
	if len(samples) == 0 {
		b.WriteString("      # made of the expression: put a real line in its place\n")
		samples = []Sample{r.generated}
	}
	for _, s := range samples {
		program := ""
		if s.Program != f.Programs[0] {
			program = ", program: " + quote(s.Program)
		}
		fmt.Fprintf(b, "      - {line: %s, ip: %s%s}\n", quote(s.Message), quote(s.IP), program)
	}
}

// comment writes text as one comment; what would end it, or a terminal might obey, is escaped.
func comment(b *strings.Builder, indent, text string) {
	b.WriteString(indent + "# ")
	for _, c := range text {
		if unicode.IsControl(c) || unicode.Is(unicode.Bidi_Control, c) || c == '\u2028' || c == '\u2029' || c == unicode.ReplacementChar {
			fmt.Fprintf(b, `\u%04x`, c)
		} else {
			b.WriteRune(c)
		}
	}
	b.WriteByte('\n')
}

func quoteAll(texts []string) (all []string) {
	for _, t := range texts {
		all = append(all, quote(t))
	}
	return all
}

// quote writes a scalar of YAML.
func quote(text string) string {
	plain := text != ""
	single := true
	for _, c := range text {
		plain = plain && (c < 0x80 && (unicode.IsLetter(c) || unicode.IsDigit(c)) || strings.ContainsRune("-_./", c))
		single = single && unicode.IsPrint(c)
	}
	switch {
	case plain && unicode.IsLetter(rune(text[0])):
		return text
	case single:
		return "'" + strings.ReplaceAll(text, "'", "''") + "'"
	}
	var b strings.Builder
	b.WriteByte('"')
	for _, c := range text {
		switch {
		case c == '"' || c == '\\':
			b.WriteString(`\` + string(c))
		case unicode.IsPrint(c):
			b.WriteRune(c)
		case c <= 0xffff:
			fmt.Fprintf(&b, `\u%04x`, c)
		default:
			fmt.Fprintf(&b, `\U%08x`, c)
		}
	}
	b.WriteByte('"')
	return b.String()
}
