package fail2ban

import (
	"regexp"
	"regexp/syntax"
	"slices"
	"strings"

	"tattled/event"
)

// guesses tell what sort of service a filter is about, by words of its name.
var guesses = []struct {
	words      []string
	kind       event.Kind // 0: by the text of each expression
	categories []int      // added to those of the kind
}{
	{[]string{"recidive"}, event.Ban, []int{15}},
	{[]string{"portsentry", "scanlogd"}, event.Probe, []int{14}},
	{[]string{"ssh", "dropbear"}, 0, []int{22}},
	{[]string{"ftp"}, 0, []int{5}},
	{[]string{"asterisk", "freeswitch", "sip"}, 0, []int{8}},
	{[]string{"apache", "nginx", "lighttpd", "haproxy", "traefik", "php", "url", "bots", "suhosin", "http"}, event.WebAttack, []int{21}},
	{[]string{"postfix", "exim", "sendmail", "qmail", "smtp", "assp", "spam", "domino", "kerio"}, event.MailAbuse, []int{11}},
}

// Words of lines about failed logins; where mail is concerned, every line has users.
const (
	authentication     = `(?i)auth|login|log in|password|user|account|credential|sasl`
	mailAuthentication = `(?i)authenticat|auth fail|login|password|credential|sasl`
)

// describe names a rule and guesses its kind.
func (t *translation) describe(r *Rule, tree *syntax.Regexp) {
	text := fixedText(tree)
	r.Name = slug(strings.Join(firstWords(text, 5), "-"))
	if r.Name == "" {
		r.Name = "line"
	}
	r.Kind, r.Categories = t.options.Kind, t.options.Categories
	var extra []int
	guessed := event.Kind(0)
	for _, g := range guesses {
		if slices.ContainsFunc(g.words, func(w string) bool { return strings.Contains(t.name, w) }) {
			guessed, extra = g.kind, g.categories
			break
		}
	}
	words := authentication
	if guessed == event.MailAbuse {
		words = mailAuthentication
	}
	if guessed != event.Ban && (regexp.MustCompile(words).MatchString(text) || strings.Contains(t.name, "auth")) {
		guessed = event.AuthFailure
	}
	if guessed == 0 {
		guessed = event.Probe
	}
	if r.Kind == 0 {
		r.Kind = guessed
	}
	if r.Categories != nil {
		return
	}
	switch r.Kind {
	case event.AuthFailure:
		r.Categories = []int{18}
	case event.Probe:
		r.Categories = []int{15}
	case event.FirewallBlock:
		r.Categories = []int{14}
	case event.WebAttack:
		r.Categories = []int{21}
	case event.MailAbuse:
		r.Categories = []int{11}
	case event.Ban:
		r.Categories = []int{15}
	}
	for _, c := range extra {
		if !slices.Contains(r.Categories, c) && r.Kind != event.AuthSuccess && r.Kind != event.FirewallAccept {
			r.Categories = append(r.Categories, c)
		}
	}
	slices.Sort(r.Categories)
}

// fixedText is what of an expression is text, with blanks for the rest. Of alternatives it is the first.
func fixedText(re *syntax.Regexp) string {
	switch re.Op {
	case syntax.OpLiteral:
		return strings.ReplaceAll(string(re.Rune), hostMark, " ")
	case syntax.OpConcat:
		var b strings.Builder
		for _, sub := range re.Sub {
			b.WriteString(fixedText(sub))
		}
		return b.String()
	case syntax.OpCapture, syntax.OpPlus, syntax.OpAlternate:
		return fixedText(re.Sub[0])
	default:
		return " "
	}
}

func firstWords(text string, most int) []string {
	return regexp.MustCompile(`[A-Za-z][A-Za-z0-9]+`).FindAllString(text, most)
}

// slug makes a name of a text: lower-case letters, digits and hyphens.
func slug(text string) string {
	var b strings.Builder
	for _, c := range strings.ToLower(text) {
		switch {
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9':
			b.WriteRune(c)
		case b.Len() > 0 && !strings.HasSuffix(b.String(), "-"):
			b.WriteByte('-')
		}
	}
	name := b.String()
	return strings.Trim(name[:min(len(name), 48)], "-")
}

// findPrograms finds the programs that the filter is about: those that the journal is asked for, those that the daemon's
// expression takes of what is known, those that it spells out; else the filter's name.
func (f *Filter) findPrograms(name, daemon string, journal value, known []string) {
	add := func(program string) {
		if program != "" && !strings.ContainsAny(program, " \t/\\") && !slices.Contains(f.Programs, program) {
			f.Programs = append(f.Programs, program)
		}
	}
	unit := ""
	for _, l := range journal {
		for _, match := range strings.Fields(l.text) {
			match = strings.Trim(match, `"'`)
			if program, found := strings.CutPrefix(match, "SYSLOG_IDENTIFIER="); found {
				add(program)
			}
			if program, found := strings.CutPrefix(match, "_COMM="); found {
				add(program)
			}
			if name, found := strings.CutPrefix(match, "_SYSTEMD_UNIT="); found {
				unit = strings.TrimSuffix(name, ".service")
			}
		}
	}
	// "\S*" and "\S+" stand for any daemon: only the file that fail2ban reads tells which.
	if daemon = strings.TrimSpace(daemon); daemon != "" && daemon != `\S*` && daemon != `\S+` {
		spelled := f.spelledOut(daemon, known)
		if len(spelled) == 0 {
			f.Notes = append(f.Notes, "programs: which ones "+daemon+" stands for is not known: complete the list")
		}
		for _, p := range spelled {
			if !slices.Contains(f.Programs, p) {
				f.Programs = append(f.Programs, p)
			}
		}
	}
	if len(f.Programs) == 0 {
		add(strings.TrimSuffix(unit, "@"))
	}
	if len(f.Programs) == 0 {
		for _, suffix := range []string{"-auth", "-spam", "-common", "-reject"} {
			name = strings.TrimSuffix(name, suffix)
		}
		if front, _, found := strings.Cut(name, "-"); found && slices.Contains([]string{"nginx", "apache", "php"}, front) {
			name = front
		}
		add(name)
		f.Notes = append(f.Notes, "programs: the filter does not name any: write the log's tag, or program: of a followed file")
	}
}

// spelledOut lists the programs that an expression stands for.
func (f *Filter) spelledOut(daemon string, known []string) (all []string) {
	text, err := translate(daemon)
	if err != nil {
		return nil
	}
	whole, err := regexp.Compile("^(?:" + text + ")$")
	if err != nil {
		return nil
	}
	for _, p := range known {
		if whole.MatchString(p) && !slices.Contains(all, p) {
			all = append(all, p)
		}
	}
	tree, err := syntax.Parse(text, syntax.Perl)
	if err != nil {
		return all
	}
	for variation := range 32 {
		g := generator{choice: variation}
		g.plain = true
		if name := strings.TrimSpace(g.line(tree)); name != "" && !g.odd && whole.MatchString(name) && !slices.Contains(all, name) {
			all = append(all, name)
		}
	}
	return all
}
