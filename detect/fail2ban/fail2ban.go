package fail2ban

import (
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"regexp/syntax"
	"slices"
	"strings"

	"tattled/detect"
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
	Notes    []string  // what is not translated besides, each a sentence without its end

	source    string
	handshake bool
	loaded    *detect.Rules // without samples of a log
	lookup    map[string]*Rule
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
	f := &Filter{Service: o.Service, source: filepath.Base(path), handshake: o.Handshake, lookup: map[string]*Rule{}}
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
	for _, name := range []string{"prefregex", "failregex", "ignoreregex", "journalmatch", "datepattern", "maxlines"} {
		if settings[name], err = c.full(name); err != nil {
			return nil, fmt.Errorf("%s: %s: %w", path, name, err)
		}
	}
	f.note(settings)
	f.Programs = o.Programs
	if len(f.Programs) == 0 {
		f.findPrograms(name, daemon.String(), settings["journalmatch"], o.Known)
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
	f.settle()
	return f, nil
}

// note says what is left out besides expressions.
func (f *Filter) note(settings map[string]value) {
	if text := strings.TrimSpace(settings["ignoreregex"].String()); text != "" {
		f.Notes = append(f.Notes, "ignoreregex cannot be expressed: lines that it leaves out are counted here: "+strings.ReplaceAll(text, "\n", " | "))
	}
	if text := strings.TrimSpace(settings["datepattern"].String()); text != "" {
		f.Notes = append(f.Notes, "datepattern is not used: tattled reads the stamps of headers, and those that rules/README.md lists")
	}
}

// settle loads the rules together. Names were made unique, so that no fault is left that single ones did not have.
func (f *Filter) settle() {
	used := map[string]int{}
	for _, r := range f.Rules {
		if used[r.Name]++; used[r.Name] > 1 {
			r.Name = fmt.Sprintf("%s-%d", r.Name, used[r.Name])
		}
		f.lookup[r.Name] = r
	}
	if len(f.Rules) == 0 {
		return
	}
	f.loaded, _ = detect.LoadFile(f.source, []byte(f.YAML()))
}

// Offer gives a message of a log to the rules: those that match it take it for a sample, and the sample that was made of
// the expression is dropped. It reports whether one does.
func (f *Filter) Offer(program, message string) bool {
	const most = 3 // samples of a rule
	if f.loaded == nil || !slices.Contains(f.Programs, program) {
		return false
	}
	var found detect.Finding
	if f.loaded.Detect([]byte(program), []byte(message), &found) != detect.Matched {
		return false
	}
	r := f.lookup[found.Rule.Name]
	s := Sample{program, message, found.Addr.String()}
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
	var err error
	if t.front, err = translate(front); err != nil {
		return fmt.Errorf("prefregex: %w", err)
	}
	if t.content, err = translate(content); err != nil {
		return fmt.Errorf("prefregex: %w", err)
	}
	if t.back, err = translate(back); err != nil {
		return fmt.Errorf("prefregex: %w", err)
	}
	return nil
}

// expression translates a line of failregex, or notes why not.
func (t *translation) expression(l line) {
	for _, branch := range branches(l.text) {
		if err := t.branch(l, branch); err != nil {
			shown := strings.NewReplacer(headerMark, "%(__prefix_line)s", hostMark, "<HOST>").Replace(branch)
			t.filter.Refused = append(t.filter.Refused, Refused{l.file, l.at, shown, err.Error()})
		}
	}
}

func (t *translation) branch(l line, text string) error {
	if t.broken != nil {
		return t.broken
	}
	whole, err := t.whole(text)
	if err != nil {
		return err
	}
	tree, err := syntax.Parse(whole, syntax.Perl)
	if err != nil {
		return fmt.Errorf("it is no expression of RE2: %w", err)
	}
	if n := strings.Count(whole, hostMark); n == 0 {
		return errors.New("it names no address: fail2ban takes it from another line of the same connection")
	}
	r := &Rule{File: l.file, Line: l.at}
	t.describe(r, tree)
	return t.choose(r, whole, tree)
}

// whole makes one expression of prefregex and a line of failregex, anchored as it is, without the log's header.
func (t *translation) whole(text string) (string, error) {
	body, err := translate(text)
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
var leftover = regexp.MustCompile(`^\^(?:\\s[*+?]?| [*+?]?|\\\[\\\](?:\\s[*+]?)?|\(\?:\\\[\\\]\)\?(?:\\s[*+]?)?|\(\?:\\\[\\\]\\s\+\)\?)+`)

// message cuts off what stands before the message.
func (t *translation) message(body string) (string, error) {
	if front, rest, found := strings.Cut(body, headerMark); found {
		if strings.Trim(front, `^\s*+?(: `) != "" || strings.Contains(rest, headerMark) {
			return "", errors.New("the header of the log line stands in its middle")
		}
		if depth := strings.Count(front, "("); depth > 0 {
			if rest, found = strings.CutPrefix(rest, strings.Repeat(")", depth)); !found {
				return "", errors.New("the header of the log line is a part of a group")
			}
		}
		return "^" + rest, nil
	}
	t.stamped = true
	body = leftover.ReplaceAllString(body, "^")
	return strings.ReplaceAll(body, `\[\]`, `\[[^\]]+\]`), nil // a stamp stood there
}
