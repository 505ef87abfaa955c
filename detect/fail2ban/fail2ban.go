package fail2ban

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"regexp"
	"regexp/syntax"
	"slices"
	"strings"

	"tattled/detect"
	"tattled/detect/attack"
	"tattled/event"
)

// Options say how to translate. The zero value leaves all to the filter.
type Options struct {
	Service    string     // default: "fail2ban-" and the filter's name, so that no built-in service is replaced
	Programs   []string   // default: what the filter tells
	Kind       event.Kind // default: guessed from the filter's name and texts
	Categories []int      // of AbuseIPDB; default: those of the kind
	Handshake  bool       // the service speaks TCP or the like, so that its log proves addresses
	Mode       string     // the filter's mode; default: its own
	// Known are programs that rules know already: names for a filter that describes its programs by an expression.
	Known []string
}

// Filter is a filter's translation.
type Filter struct {
	Service  string
	Programs []string
	Stamped  bool // the messages begin with a stamp of the service's own
	Rules    []*Rule
	Refused  []Refused // expressions that were not translated
	Covered  []Refused // expressions whose lines other rules describe already
	Notes    []string  // what is not translated besides, each a sentence without its end

	source    string
	handshake bool
	loaded    *detect.Rules // with the built-in rules, and without samples of a log
}

// Rule is the translation of one expression.
type Rule struct {
	Name       string
	Kind       event.Kind
	Categories []int
	Match      []string // patterns
	Regex      string   // where no pattern can
	Wider      bool     // a field holds more than the expression takes in its place
	File       string   // where the expression stands
	Line       int

	samples   []Sample
	generated Sample
	covers    []string // patterns of other lines that begin alike: see the rules of kind none in rules/README.md
}

// Sample is a message that a rule matches.
type Sample struct{ Program, Message, IP string }

// Refused is an expression that was not translated.
type Refused struct {
	File       string
	Line       int
	Expression string // as the filter has it, with everything written out
	Reason     string
}

// Translate reads the filter at path and translates it. Its error says why nothing of it could be read; that some or all
// expressions were refused is in the Filter.
func Translate(path string, o Options) (*Filter, error) {
	c, err := readConfig(path)
	if err != nil {
		return nil, err
	}
	name := strings.TrimSuffix(filepath.Base(path), filepath.Ext(path))
	f := &Filter{Service: o.Service, source: filepath.Base(path), handshake: o.Handshake}
	if f.Service == "" {
		f.Service = slug("fail2ban-" + name)
	}
	if o.Mode != "" {
		c.sections[definition]["mode"] = value{{text: o.Mode, file: f.source}}
		delete(c.sections[initial], "mode")
	}
	daemon, err := c.full("_daemon")
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	// The header of a log line is tattled's business.
	if header, there := c.sections[defaults]["__prefix_line"]; there {
		c.sections[defaults]["__prefix_line"] = value{{headerMark, header[0].file, header[0].at}}
	}
	settings := map[string]value{}
	for _, name := range []string{"prefregex", "failregex", "ignoreregex", "journalmatch", "datepattern"} {
		if settings[name], err = c.full(name); err != nil {
			return nil, fmt.Errorf("%s: %s: %w", path, name, err)
		}
	}
	f.note(settings)
	f.Programs = o.Programs
	if len(f.Programs) == 0 {
		f.findPrograms(name, daemon.String(), settings["journalmatch"], o.Known)
	}
	if len(f.Programs) == 0 {
		return nil, fmt.Errorf("%s: neither the filter nor its name says which program it is about: name one", path)
	}
	t := translation{filter: f, options: &o, name: name}
	if err := t.prefix(settings["prefregex"]); err != nil {
		t.broken = err
	}
	for _, l := range settings["failregex"] {
		if strings.TrimSpace(l.text) != "" {
			t.expression(l)
		}
	}
	f.Stamped = t.stamped
	if err := f.settle(); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	for _, list := range [][]Refused{f.Refused, f.Covered} {
		slices.SortStableFunc(list, func(a, b Refused) int { return a.Line - b.Line })
	}
	return f, nil
}

// note says what is left out besides expressions.
func (f *Filter) note(settings map[string]value) {
	if text := strings.TrimSpace(settings["ignoreregex"].String()); text != "" {
		f.Notes = append(f.Notes, "ignoreregex cannot be expressed: lines that it leaves out are counted here: "+strings.ReplaceAll(text, "\n", " | "))
	}
	if v := settings["datepattern"]; len(v) > 0 && v[0].file == f.source && strings.TrimSpace(v.String()) != "" {
		f.Notes = append(f.Notes, "datepattern is not used: tattled reads the stamps of headers, and those that rules/README.md lists")
	}
}

// settle loads the rules together, beside the built-in ones, and puts those aside whose lines others describe already.
// Names are made unique before.
func (f *Filter) settle() error {
	used := map[string]int{}
	for _, r := range f.Rules {
		if used[r.Name]++; used[r.Name] > 1 {
			r.Name = fmt.Sprintf("%s-%d", r.Name, used[r.Name])
		}
	}
	for len(f.Rules) > 0 {
		var err error
		if f.loaded, err = f.load(); err != nil {
			return err
		}
		i := slices.IndexFunc(f.Rules, func(r *Rule) bool {
			by, _ := f.find(r.generated.Program, r.generated.Message)
			return by != r
		})
		if i < 0 {
			break
		}
		f.cover(i)
	}
	return nil
}

// load compiles the translation beside the built-in rules.
func (f *Filter) load() (*detect.Rules, error) {
	rules, faults := detect.LoadFile(f.source, []byte(f.YAML()), true)
	if rules == nil {
		return nil, fmt.Errorf("the translation does not compile: %s", faults[0].Problem)
	}
	return rules, nil
}

// cover puts rule i aside, and says what is made of its sample without it.
func (f *Filter) cover(i int) {
	r := f.Rules[i]
	var found detect.Finding
	reason := f.loaded.Detect([]byte(r.generated.Program), []byte(r.generated.Message), &found).String()
	if found.Rule != nil {
		reason += " by " + found.Rule.String()
	}
	f.Rules = slices.Delete(f.Rules, i, i+1)
	f.Covered = append(f.Covered, Refused{r.File, r.Line, r.expression(), "its line is " + reason + " already"})
}

// Prove runs all samples and attacks the rules beside the built-in ones, as check does, and puts those aside that fail:
// beside which somebody could be blamed, or a built-in rule would no longer match its samples.
func (f *Filter) Prove(o attack.Options) error {
	named := regexp.MustCompile(`(?:rule|sample of) ([a-z0-9-]+)`) // the rule that a fault is about
	for len(f.Rules) > 0 {
		var err error
		if f.loaded, err = f.load(); err != nil {
			return err
		}
		faults := prove(f.loaded, o)
		if len(faults) == 0 {
			return nil
		}
		at := slices.IndexFunc(faults, func(fault detect.Fault) bool { return fault.File == f.source })
		if at < 0 {
			return f.dropHarmful(faults[0], o)
		}
		i := -1
		if m := named.FindStringSubmatch(faults[at].Problem); m != nil {
			i = slices.IndexFunc(f.Rules, func(r *Rule) bool { return r.Name == m[1] })
		}
		if i < 0 {
			return fmt.Errorf("the translation is wrong: %s", faults[at].Problem)
		}
		f.refuse(i, faults[at].Problem)
	}
	return nil
}

// prove returns what is wrong with rules. They are attacked only if their samples are right and nothing needs a cover.
func prove(rules *detect.Rules, o attack.Options) []detect.Fault {
	_, faults := rules.Run()
	if len(faults) == 0 {
		_, faults = attack.Run(rules, o)
	}
	return faults
}

// dropHarmful refuses each rule beside which a fault of a built-in one shows: two ways to read a line that name different
// peers make it ambiguous. A fault that shows without any of them is none of theirs.
func (f *Filter) dropHarmful(fault detect.Fault, o attack.Options) error {
	all := f.Rules
	f.Rules = nil
	for _, r := range all {
		alone := *f
		alone.Rules = []*Rule{r}
		rules, err := alone.load()
		if err != nil {
			return err
		}
		f.Rules = append(f.Rules, r)
		for _, one := range prove(rules, o) {
			if one.File == fault.File && one.Line == fault.Line {
				f.refuse(len(f.Rules)-1, "it would break a built-in rule: "+one.String())
				break
			}
		}
	}
	if len(f.Rules) == len(all) || len(f.Rules) == 0 {
		return nil
	}
	return f.Prove(o)
}

// refuse puts rule i aside.
func (f *Filter) refuse(i int, reason string) {
	r := f.Rules[i]
	f.Rules = slices.Delete(f.Rules, i, i+1)
	f.Refused = append(f.Refused, Refused{r.File, r.Line, r.expression(), reason})
}

// expression is what the rule matches, in one line.
func (r *Rule) expression() string { return strings.Join(r.Match, " | ") + r.Regex }

// find returns the filter's rule that matches a message, beside all others, and the address that it finds; nil if another one
// does, or none.
func (f *Filter) find(program, message string) (*Rule, netip.Addr) {
	var found detect.Finding
	if f.loaded.Detect([]byte(program), []byte(message), &found) != detect.Matched || found.Rule.Service.Name != f.Service {
		return nil, netip.Addr{}
	}
	i := slices.IndexFunc(f.Rules, func(r *Rule) bool { return r.Name == found.Rule.Name })
	return f.Rules[i], found.Addr
}

// Offer gives a message of a log to the rules: those that match it take it for a sample, and the sample that was made of
// the expression is dropped. It reports whether one does.
func (f *Filter) Offer(program, message string) bool {
	const most = 3 // samples of a rule
	if f.loaded == nil || !slices.Contains(f.Programs, program) {
		return false
	}
	r, peer := f.find(program, message)
	if r == nil {
		return false
	}
	s := Sample{program, message, peer.String()}
	if len(r.samples) < most && !slices.Contains(r.samples, s) {
		r.samples = append(r.samples, s)
	}
	return true
}

// translation is a Translate under way.
type translation struct {
	filter  *Filter
	options *Options
	name    string

	front, back string // of prefregex, around its content; RE2
	content     string // what the content must be; "" for anything
	hasPrefix   bool
	broken      error // prefregex cannot be translated: nothing can
	stamped     bool
}

// prefix takes prefregex apart at <F-CONTENT>.
func (t *translation) prefix(v value) error {
	text := strings.TrimSpace(v.String())
	if text == "" {
		return nil
	}
	t.hasPrefix = true
	front, rest, found := strings.Cut(text, "<F-CONTENT>")
	content, back, ended := strings.Cut(rest, "</F-CONTENT>")
	if !found || !ended {
		return errors.New("prefregex has no <F-CONTENT>")
	}
	var errs [3]error
	t.front, errs[0] = translate(front)
	t.content, errs[1] = translate(content)
	t.back, errs[2] = translate(back)
	if err := cmp.Or(errs[:]...); err != nil {
		return fmt.Errorf("prefregex: %w", err)
	}
	return nil
}

// expression translates a line of failregex, or notes why not.
func (t *translation) expression(l line) {
	refuse := func(text string, err error) {
		shown := strings.NewReplacer(headerMark, "%(__prefix_line)s", hostMark, "<HOST>")
		t.filter.Refused = append(t.filter.Refused, Refused{l.file, l.at, shown.Replace(text), shown.Replace(err.Error())})
	}
	resolved, err := resolveTags(l.text)
	switch {
	case t.broken != nil:
		refuse(l.text, t.broken)
		return
	case err != nil:
		refuse(l.text, err)
		return
	}
	for _, branch := range branches(resolved) {
		if err := t.branch(l, branch); err != nil {
			refuse(branch, err)
		}
	}
}

// maxExpression bounds an expression with everything in it written out, in bytes.
const maxExpression = 8 << 10

// branch translates an expression whose tags are resolved.
func (t *translation) branch(l line, text string) error {
	whole, err := t.whole(text)
	if err != nil {
		return err
	}
	if len(whole) > maxExpression {
		return fmt.Errorf("it is longer than %d bytes", maxExpression)
	}
	tree, err := parse(whole)
	if err != nil {
		return fmt.Errorf("it is not an RE2 expression: %w", err)
	}
	if bare, changed := withoutBlank(tree); changed {
		tree, t.stamped = bare, true
		whole = written(tree)
	}
	if n := strings.Count(whole, hostMark); n == 0 {
		return errors.New("it names no address: fail2ban takes it from another line of the same connection")
	}
	r := &Rule{File: l.file, Line: l.at}
	t.describe(r, tree)
	return t.choose(r, whole, tree)
}

// parse parses an expression of RE2. The address is in a group of its own: alternatives of one character become a class, in which
// its mark would be lost.
func parse(text string) (*syntax.Regexp, error) {
	if _, err := syntax.Parse(text, syntax.Perl); err != nil {
		return nil, err // which shows the expression as it was
	}
	return syntax.Parse(strings.ReplaceAll(text, hostMark, "("+hostMark+")"), syntax.Perl)
}

// whole makes one expression of prefregex and a line of failregex, anchored as it is, without the log's header.
func (t *translation) whole(text string) (string, error) {
	body, err := toRE2(text)
	if err != nil {
		return "", err
	}
	if t.hasPrefix {
		inner, found := strings.CutPrefix(body, "^")
		if !found {
			inner = ".*" + inner
		}
		if cut, found := cutEnd(inner); found {
			inner = cut
		} else {
			inner += ".*"
		}
		if t.back != "$" && strings.Contains(strings.ReplaceAll(inner, `\$`, ""), "$") {
			return "", errors.New("it ends in one of several ways, within prefregex")
		}
		body = t.front + "(?:" + inner + ")" + t.back
	}
	return t.message(body)
}

// cutEnd takes a $ from the end.
func cutEnd(text string) (string, bool) {
	cut, found := strings.CutSuffix(text, "$")
	if !found || (len(cut)-len(strings.TrimRight(cut, `\`)))%2 == 1 {
		return text, false
	}
	return cut, true
}

// leftover is what fail2ban leaves of a stamp that it has cut out of the front of a line, and tattled takes off.
const leftover = `^\^(?:: |\\s[*+?]?| [*+?]?|\\\[\\\](?:\\s[*+]?)?|\(\?:\\\[\\\]\)\?(?:\\s[*+]?)?|\(\?:\\\[\\\]\\s\+\)\?)+`

// message cuts off what stands before the message.
func (t *translation) message(body string) (string, error) {
	if front, rest, found := strings.Cut(body, headerMark); found {
		if strings.Trim(front, `^\s*+?(: `) != "" || strings.Contains(rest, headerMark) {
			return "", errors.New("the header of the log line is in its middle")
		}
		if depth := strings.Count(front, "("); depth > 0 {
			if rest, found = strings.CutPrefix(rest, strings.Repeat(")", depth)); !found {
				return "", errors.New("the header of the log line is a part of a group")
			}
		}
		return "^" + rest, nil
	}
	t.stamped = true
	body = regexp.MustCompile(leftover).ReplaceAllString(body, "^")
	return strings.ReplaceAll(body, `\[\]`, `\[[^\]]+\]`), nil // a stamp stood there
}

// withoutBlank takes a blank off the front of an expression: fail2ban leaves it behind a stamp, and tattled does not.
func withoutBlank(tree *syntax.Regexp) (bare *syntax.Regexp, changed bool) {
	if tree.Op != syntax.OpConcat || tree.Sub[0].Op != syntax.OpBeginText {
		return tree, false
	}
	rest, changed := frontBlank(tree.Sub[1:])
	if !changed {
		return tree, false
	}
	bare, err := syntax.Parse(concat(append([]*syntax.Regexp{tree.Sub[0]}, rest...)).String(), syntax.Perl)
	return bare, err == nil
}

// written is an expression as text, with its anchors as people write them.
func written(tree *syntax.Regexp) string {
	subs, back := tree.Sub[1:], ""
	if last := len(subs) - 1; last >= 0 && subs[last].Op == syntax.OpEndText {
		subs, back = subs[:last], "$"
	}
	return "^" + strings.NewReplacer(
		`(\x{e000})`, hostMark, `[^\t\n\f\r ]`, `\S`, `[\t\n\f\r ]`, `\s`, `[0-9A-Z_a-z]`, `\w`, `[0-9]`, `\d`, `(?-s:`, `(?:`, `(?i-s:`, `(?i:`,
	).Replace(concat(subs).String()) + back
}

// frontBlank is withoutBlank of a sequence without its anchor.
func frontBlank(subs []*syntax.Regexp) (out []*syntax.Regexp, changed bool) {
	if len(subs) == 0 {
		return subs, false
	}
	first, rest := subs[0], subs[1:]
	switch {
	case first.Op == syntax.OpLiteral && first.Rune[0] == ' ':
		less := *first
		if less.Rune = first.Rune[1:]; len(less.Rune) == 0 {
			return rest, true
		}
		return append([]*syntax.Regexp{&less}, rest...), true
	case blankOnly(first):
		return rest, true
	case (first.Op == syntax.OpStar || first.Op == syntax.OpPlus || first.Op == syntax.OpQuest) && blankOnly(first.Sub[0]):
		return rest, true
	case first.Op == syntax.OpConcat || first.Op == syntax.OpCapture && first.Name == "":
		inner := first.Sub
		if out, changed = frontBlank(inner); changed {
			return append(out[:len(out):len(out)], rest...), true
		}
	case first.Op == syntax.OpQuest:
		inner, _ := frontBlank([]*syntax.Regexp{first.Sub[0]})
		bare, blank := frontBlank(rest)
		switch {
		case firstWords(fixedText(first.Sub[0]), 1) == nil && blank: // a stamp that may stand there: it never does
			return bare, true
		case blank && len(bare) >= len(rest)-1:
			inner = append(inner[:len(inner):len(inner)], &syntax.Regexp{Op: syntax.OpLiteral, Rune: []rune{' '}})
			return append([]*syntax.Regexp{{Op: syntax.OpQuest, Sub: []*syntax.Regexp{concat(inner)}}}, bare...), true
		}
	case first.Op == syntax.OpAlternate:
		either := &syntax.Regexp{Op: syntax.OpAlternate, Flags: first.Flags}
		for _, sub := range first.Sub {
			one, is := frontBlank([]*syntax.Regexp{sub})
			changed = changed || is
			either.Sub = append(either.Sub, concat(one))
		}
		return append([]*syntax.Regexp{either}, rest...), changed
	}
	return subs, false
}

func concat(subs []*syntax.Regexp) *syntax.Regexp {
	if len(subs) == 0 {
		return &syntax.Regexp{Op: syntax.OpEmptyMatch}
	}
	return &syntax.Regexp{Op: syntax.OpConcat, Sub: subs}
}
