package detect

import (
	"bytes"
	"embed"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"tattled/detect/parse"
	"tattled/detect/pattern"
	"tattled/detect/rulefile"
	"tattled/event"
)

// builtin holds the rules that tattled comes with.
//
//go:embed rules/*.yaml
var builtin embed.FS

// maxFile bounds a rule file in bytes.
const maxFile = 1 << 20

// Options say which rules to load.
type Options struct {
	Directory string    // of the user's rule files (*.yaml), "" for none
	Disable   []string  // services and rules to leave out, as "service" or "service/rule"
	Netfilter Netfilter // for the netfilter parser
	// TrustedProxies are networks of reverse proxies. Where the peer of a web server is in one, the parsers access and json
	// take the peer from the X-Forwarded-For that the server logged; else they never look at it.
	TrustedProxies []netip.Prefix
}

// Load compiles the built-in rules and those in o.Directory, of which a file for a service that is built in takes its
// place. It returns every fault that it finds, and Rules only if there is none. It does not run the samples: Run does.
func Load(o Options) (*Rules, []Fault) { return loadWith(builtin, o) }

// loadWith is Load with built in what is in files.
func loadWith(files fs.FS, o Options) (*Rules, []Fault) {
	l := loader{options: o, builtin: files}
	l.content.Grow(96 << 10) // for the longest of the built-in files
	l.addAll(files, "rules", "", false)
	if o.Directory != "" {
		l.addAll(os.DirFS(o.Directory), ".", o.Directory, true)
	}
	l.disable()
	r := l.compile()
	if len(l.faults) > 0 {
		slices.SortStableFunc(l.faults, func(a, b Fault) int {
			if a.File != b.File {
				return strings.Compare(a.File, b.File)
			}
			return a.Line - b.Line
		})
		return nil, slices.Compact(l.faults) // a service whose programs others know too is compiled with each of them
	}
	return r, nil
}

// loader is a Load under way.
type loader struct {
	options  Options
	builtin  fs.FS
	services []*Service
	disabled []*Service // see Rules
	rules    map[*Service][]*Rule
	users    map[string]string // service -> the user's file that has it
	faults   []Fault
	content  bytes.Buffer // of the file that is being read
}

// addAll reads every rule file of a directory. A fault names a file by its path under shown.
func (l *loader) addAll(files fs.FS, dir, shown string, user bool) {
	entries, err := fs.ReadDir(files, dir)
	if err != nil {
		l.faults = append(l.faults, Fault{File: shown, Problem: fmt.Sprintf("cannot read the directory of rules: %v", err)})
		return
	}
	for _, e := range entries {
		name := e.Name()
		if strings.HasPrefix(name, ".") || path.Ext(name) != ".yaml" {
			continue
		}
		f := rulefile.Faults{File: filepath.Join(shown, name)}
		content, err := readFile(files, path.Join(dir, name), &l.content)
		if err != nil {
			f.Add(0, "cannot read the file: %v", err)
		} else if !user {
			l.addHead(content, &f)
		} else if form, ok := rulefile.Decode(content, &f); ok {
			l.add(&form, user, &f)
		}
		l.faults = append(l.faults, f.All...)
	}
}

// readFile reads a file into a buffer, and returns what it then holds.
func readFile(files fs.FS, name string, into *bytes.Buffer) ([]byte, error) {
	info, err := fs.Stat(files, name)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a regular file", name)
	}
	if info.Size() > maxFile {
		return nil, fmt.Errorf("it is larger than %d bytes: split it", maxFile)
	}
	file, err := files.Open(name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	into.Reset()
	into.Grow(int(info.Size()) + bytes.MinRead)
	_, err = into.ReadFrom(file)
	return into.Bytes(), err
}

// addHead takes a service from its built-in file, of which it reads what stands before the rules. It counts them by how
// they begin (TestHeads holds the files to it), so that they have their numbers from the start.
func (l *loader) addHead(content []byte, f *rulefile.Faults) {
	head, rules, _ := bytes.Cut(content, []byte("\nrules:"))
	form, ok := decodeBuiltin(head, f)
	if !ok {
		return
	}
	s := newService(&form, false, f)
	s.unread, s.count = true, bytes.Count(rules, []byte("\n  - name:"))
	l.put(s, nil, false, form.Service.Line, f)
	if form.Parser.Line > 0 && l.options.forParsers() {
		l.read(s, f) // what is wrong with the options is to be told now
	}
}

// decodeBuiltin reads a built-in file, or the head of one. Samples may be missing.
func decodeBuiltin(content []byte, f *rulefile.Faults) (rulefile.File, bool) {
	if form, ok := rulefile.ReadPlain(content); ok {
		return form, true
	}
	return rulefile.Decode(content, f)
}

// forParsers reports whether any option is for parsers.
func (o *Options) forParsers() bool {
	return len(o.Netfilter.Block)+len(o.Netfilter.Accept)+len(o.TrustedProxies)+len(o.Netfilter.Unprefixed) > 0
}

// read reads the rules of a built-in service, unless that was done.
func (l *loader) read(s *Service, f *rulefile.Faults) {
	if !s.unread {
		return
	}
	s.unread = false
	content, err := readFile(l.builtin, path.Join("rules", s.File), &l.content)
	if err != nil {
		f.Add(0, "cannot read the file: %v", err)
		return
	}
	if form, ok := decodeBuiltin(content, f); ok {
		l.rules[s] = l.newRules(s, &form, f)
		s.count = len(l.rules[s])
	}
}

// read reads the rules of a built-in service, unless that was done. Most machines run few of all services.
func (r *Rules) read(s *Service) {
	if !s.unread {
		return
	}
	count, f := s.count, rulefile.Faults{File: s.File}
	l := loader{options: r.options, builtin: r.builtin, rules: map[*Service][]*Rule{}}
	l.read(s, &f)
	rules := l.rules[s]
	if len(rules) != count {
		f.Add(0, "it has %d rules, but %d lines that begin with two spaces, a hyphen, a space and name:", len(rules), count)
	}
	s.count = min(len(rules), count)
	r.number(s, rules[:s.count])
	r.faults = append(r.faults, f.All...)
}

// number gives rules their places.
func (r *Rules) number(s *Service, rules []*Rule) {
	left := make([]parse.Rule, 0, len(rules))
	for i, rule := range rules {
		rule.Index = s.first + i
		r.rules[rule.Index] = rule
		left = append(left, parse.Rule{Name: rule.Name, Kind: rule.Kind, Index: rule.Index})
	}
	if s.parser != nil {
		s.parser.Bind(left)
	}
}

// add takes a service from its file.
func (l *loader) add(form *rulefile.File, user bool, f *rulefile.Faults) {
	s := newService(form, user, f)
	l.put(s, l.newRules(s, form, f), user, form.Service.Line, f)
}

// newService makes a service of what a file has before its rules.
func newService(form *rulefile.File, user bool, f *rulefile.Faults) *Service {
	s := &Service{Name: form.Service.Value, Session: form.Session, Raw: form.Raw, Drift: form.Drift == nil || *form.Drift, File: f.File, builtin: !user, stamped: form.Stamp, parserName: form.Parser.Value}
	if !isName(s.Name) {
		f.Add(form.Service.Line, "service: %q is not a name: write lower-case letters, digits and hyphens", s.Name)
	}
	for _, p := range form.Programs {
		if p.Value == "" || slices.Contains(s.Programs, p.Value) {
			f.Add(p.Line, "programs: %q is empty or listed twice", p.Value)
		}
		if strings.IndexByte(p.Value, wildcard) == 0 || strings.Count(p.Value, string(wildcard)) > 1 {
			f.Add(p.Line, "programs: %q: one * stands for any text, but not at the front, and once", p.Value)
		}
		s.Programs = append(s.Programs, p.Value)
	}
	if form.Raw && !form.Stamp && form.Parser.Value != accessParser {
		f.Add(form.Service.Line, "raw: it goes with stamp: true or parser: access, because a stamp marks the lines that the program itself began")
	}
	s.readLines(form, f)
	if len(s.Programs) == 0 {
		f.Add(form.Service.Line, "programs: there is none: list the syslog tags that the service logs under")
	}
	if form.Longest.Line > 0 {
		var err error
		if s.longest, err = strconv.Atoi(form.Longest.Value); err != nil || s.longest < 1 {
			f.Add(form.Longest.Line, "longest: %q is not a number of bytes", form.Longest.Value)
		}
	}
	s.frame = pattern.Frame{Before: frameTexts("before", form.Before, f), After: frameTexts("after", form.After, f)}
	return s
}

// newRules makes the rules of a service, and its parser.
func (l *loader) newRules(s *Service, form *rulefile.File, f *rulefile.Faults) []*Rule {
	var rules []*Rule
	for i := range form.Rules {
		rules = append(rules, newRule(s, &form.Rules[i], f))
		for _, other := range rules[:i] {
			if other.Name == rules[i].Name {
				f.Add(rules[i].Line, "name: %q is the name of the rule in line %d", other.Name, other.Line)
			}
		}
	}
	if len(rules) == 0 {
		f.Add(form.Service.Line, "rules: there is none")
	}
	l.parser(form, s, rules, f)
	return rules
}

// put adds a service, or lets it take the place of the built-in one.
func (l *loader) put(s *Service, rules []*Rule, user bool, line int, f *rulefile.Faults) {
	if l.rules == nil {
		l.rules, l.users = map[*Service][]*Rule{}, map[string]string{}
	}
	l.rules[s] = rules
	at := slices.IndexFunc(l.services, func(other *Service) bool { return other.Name == s.Name })
	switch {
	case at < 0:
		l.services = append(l.services, s)
	case !user || l.users[s.Name] != "":
		f.Add(line, "service: %s has the service %q already", l.services[at].File, s.Name)
	default:
		l.services[at] = s
	}
	if user {
		l.users[s.Name] = s.File
	}
}

func frameTexts(key string, list []rulefile.Text, f *rulefile.Faults) []string {
	var all []string
	for _, t := range list {
		if t.Value == "" {
			f.Add(t.Line, "%s: an empty string", key)
		}
		all = append(all, t.Value)
	}
	return all
}

// noEvent is the kind of a rule whose lines are no events. A line that could be one of them and another rule's is refused.
const noEvent = "none"

// newRule reads a rule; patterns are compiled later.
func newRule(s *Service, form *rulefile.Rule, f *rulefile.Faults) *Rule {
	r := &Rule{
		Service: s, Name: form.Name.Value, Handshake: form.Handshake, Raw: form.Raw, Weak: form.Weak, Line: form.Line(),
		match: form.Match, regex: form.Regex,
	}
	if r.Handshake && (s.Lines == LinesRaw || s.Lines == LinesUnknown) {
		f.Add(r.Line, "handshake: no line of this log proves an address, as its lines are %s: leave handshake out", s.Lines)
	}
	if !isName(r.Name) {
		f.Add(r.Line, "name: %q is not a name: write lower-case letters, digits and hyphens", r.Name)
	}
	if form.Kind.Value == noEvent {
		if r.Handshake || r.Weak || len(form.Categories) > 0 {
			f.Add(r.Line, "kind: lines that are not events have neither handshake, weak nor categories")
		}
	} else if err := r.Kind.UnmarshalText([]byte(form.Kind.Value)); err != nil {
		f.Add(max(form.Kind.Line, r.Line), "kind: %v", err)
	}
	for _, c := range form.Categories {
		n, err := strconv.Atoi(c.Value)
		if err != nil || n < 1 || n > 23 || slices.Contains(r.Categories, n) {
			f.Add(c.Line, "categories: %q is not a category, or listed twice: AbuseIPDB has 1 to 23", c.Value)
		}
		r.Categories = append(r.Categories, n)
	}
	if len(r.Categories) == 0 && form.Kind.Value != noEvent && r.Kind != event.AuthSuccess && r.Kind != event.FirewallAccept {
		f.Add(r.Line, "categories: rule %q has none, so it could never be reported: see https://www.abuseipdb.com/categories", r.Name)
	}
	if !s.builtin {
		r.samples = newSamples(form, f)
	}
	return r
}

func isName(s string) bool {
	if s == "" || len(s) > 64 || s[0] == '-' {
		return false
	}
	return !strings.ContainsFunc(s, func(c rune) bool { return c != '-' && (c < '0' || c > '9') && (c < 'a' || c > 'z') })
}

// disable makes shadow rules of those that the options say. A shadow rule names no event, but it still reads its lines: what
// a peer wrote into one of them may look like a line of another rule, and only the two together tell that the line is
// ambiguous.
func (l *loader) disable() {
	for _, name := range l.options.Disable {
		service, rule, one := strings.Cut(name, "/")
		at := slices.IndexFunc(l.services, func(s *Service) bool { return s.Name == service })
		if at < 0 || one && !l.disableRules(l.services[at], func(r *Rule) bool { return r.Name == rule }) {
			l.faults = append(l.faults, Fault{Problem: fmt.Sprintf("rules.disable: there is no %q, or it is listed twice: write service or service/rule", name)})
			continue
		}
		if !one {
			l.disabled = append(l.disabled, l.services[at])
			l.services = slices.Delete(l.services, at, at+1)
		}
	}
	l.disabled = slices.DeleteFunc(l.disabled, func(s *Service) bool { // nobody asks for it, or it has no pattern
		return s.parserName != "" || !slices.ContainsFunc(l.services, s.shares)
	})
	for _, s := range l.disabled {
		l.disableRules(s, func(*Rule) bool { return true })
	}
}

// disableRules disables the rules of a service that are meant, and reports whether there is any.
func (l *loader) disableRules(s *Service, meant func(*Rule) bool) bool {
	f, before := rulefile.Faults{}, len(s.shadow)
	l.read(s, &f)
	l.faults = append(l.faults, f.All...)
	l.rules[s] = slices.DeleteFunc(l.rules[s], func(r *Rule) bool {
		if !meant(r) {
			return false
		}
		r.Index = -1
		s.shadow = append(s.shadow, r)
		return true
	})
	return len(s.shadow) > before
}
