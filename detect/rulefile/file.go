// Package rulefile reads rule files: what is written in them, with the line that each thing is on, and what is wrong with how it
// is written. File is the form of a file; what its values mean, and which of them go together, is for who compiles the rules.
// Decode reads YAML, and knows every key; ReadPlain reads the one plain style of the built-in files, which takes a start a fraction of the time.
package rulefile

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Text is a scalar of a rule file, with the line that it stands on.
type Text struct {
	Value string
	Line  int // 0: it is not there
}

// UnmarshalYAML takes a scalar of any type as it is written.
func (t *Text) UnmarshalYAML(n *yaml.Node) error {
	if n.Kind != yaml.ScalarNode {
		return &yaml.TypeError{Errors: []string{fmt.Sprintf("line %d: expected a string here", n.Line)}}
	}
	t.Value, t.Line = n.Value, n.Line
	return nil
}

// Lists is a mapping from names to one or several texts each.
type Lists struct {
	Line int // 0: it is not there
	All  []List
}

// List is a name and its texts, of which there is at least one.
type List struct {
	Name   Text
	Values []Text
}

// UnmarshalYAML takes a text for a list of one.
func (l *Lists) UnmarshalYAML(n *yaml.Node) error {
	if n.Kind != yaml.MappingNode {
		return &yaml.TypeError{Errors: []string{fmt.Sprintf("line %d: expected names with values here", n.Line)}}
	}
	l.Line = n.Line
	var problems []string
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		one := List{Name: Text{key.Value, key.Line}}
		if slices.ContainsFunc(l.All, func(other List) bool { return other.Name.Value == key.Value }) {
			problems = append(problems, fmt.Sprintf("line %d: %s appears twice", key.Line, key.Value))
		}
		values := []*yaml.Node{value}
		if value.Kind == yaml.SequenceNode {
			values = value.Content
		}
		for _, v := range values {
			if v.Kind != yaml.ScalarNode || v.Tag == "!!null" {
				problems = append(problems, fmt.Sprintf("line %d: expected a string, or a list of strings, for %s", v.Line, key.Value))
				continue
			}
			one.Values = append(one.Values, Text{v.Value, v.Line})
		}
		if len(values) == 0 {
			problems = append(problems, fmt.Sprintf("line %d: the list of %s is empty", key.Line, key.Value))
		}
		l.All = append(l.All, one)
	}
	if len(problems) > 0 {
		return &yaml.TypeError{Errors: problems}
	}
	return nil
}

// Values returns the texts that a field is to have one of; nil if it is not named.
func (l *Lists) Values(field string) []Text {
	for _, one := range l.All {
		if one.Name.Value == field {
			return one.Values
		}
	}
	return nil
}

// File is a rule file.
type File struct {
	// Service names the service. A user's file replaces the built-in service of that name.
	Service Text `yaml:"service"`
	// Programs are the syslog tags (SYSLOG_IDENTIFIER in the journal) that the service logs under. One * in a name, not at its
	// front, stands for any text, also none: "postfix*/smtpd".
	Programs []Text `yaml:"programs"`
	// Drift: false says that the programs log so much else that it means nothing if no rule matches for long. Default: true.
	Drift *bool `yaml:"drift"`
	// Raw says that a peer can put line ends into what the programs write, and so have whole lines of its own in their logs.
	// It goes with stamp, by which the lines are told that the program itself began. Other services of the same programs are
	// believed no handshake where such lines are.
	Raw bool `yaml:"raw"`
	// Lines says where a peer can write a whole line of its own: one of the names of Lines. A user's file may leave it out,
	// and is believed then.
	Lines Text `yaml:"lines"`
	// Proof says how that is known: version, source file and function.
	Proof Text `yaml:"proof"`
	// Session says that the lines of one program and PID tell of one connection, and one attempt may be several of them.
	Session bool `yaml:"session"`
	// Before are texts of which a message may begin with one, and After those of which it may end with one, without a
	// difference to the rules: "error: ". A pattern that does begin or end with one of them demands it.
	Before []Text `yaml:"before"`
	After  []Text `yaml:"after"`
	// Stamp says that a message may begin with a time stamp of the service's own, which neither Before nor patterns see.
	Stamp bool `yaml:"stamp"`
	// Longest is the length in bytes, stamp and all, of the longest message that the service writes whole. Where a longer
	// one ends, its peer may have chosen, so it is ignored.
	Longest Text `yaml:"longest"`
	// Parser takes the place of patterns: one of newParsers.
	Parser Text `yaml:"parser"`
	// Fields tells parser json where in an object its values are: a path, or several of which the first that is there wins.
	Fields Lists `yaml:"fields"`
	// PeerOnce tells parser json that its program writes the name of the peer's address in one place alone, and lets no client
	// choose names: a line that has it elsewhere was written by a client, and is refused.
	PeerOnce bool `yaml:"peer_once"`
	// Fetchers are User-Agents, with * for anything, of programs that fetch what somebody else links to. What they ask for by
	// GET or HEAD is weak by any rule. For parsers access and json.
	Fetchers []Text `yaml:"fetchers"`
	Rules    []Rule `yaml:"rules"`
}

// Rule is a rule. Match and Regex may be given together; the message must match one of all.
type Rule struct {
	// Name is unique in the file: lower-case letters, digits and hyphens. It is a metric's label.
	Name Text `yaml:"name"`
	// Kind is one of event.Kinds.
	Kind Text `yaml:"kind"`
	// Handshake says that the peer completed a TCP handshake, or its equal, before this could be logged.
	Handshake bool `yaml:"handshake"`
	// Raw says that what such a line quotes of a peer keeps its line ends: nothing is proven in a log that has such lines.
	Raw bool `yaml:"raw"`
	// Weak says that a well-behaved peer fits the rule now and then: policies weigh it by itself, if at all.
	Weak bool `yaml:"weak"`
	// Categories are those of AbuseIPDB, 1 to 23, at least one unless the kind is a success or an accepted packet.
	Categories []Text `yaml:"categories"`
	// Match are patterns (see rules/README.md), Regex are RE2 expressions with ^, $ and a group (?P<ip>...).
	Match []Text `yaml:"match"`
	Regex []Text `yaml:"regex"`
	// Where takes the place of patterns in a file with parser access or json: for each field the values of which it must
	// have one. Not has the same form; no field may have one of its values.
	Where Lists `yaml:"where"`
	Not   Lists `yaml:"not"`
	// Samples are real messages and what to find in them. At least one must match.
	Samples []Sample `yaml:"samples"`
}

// Sample is a message without its header. Without IP and Refused it must not match. What is left out is not checked.
type Sample struct {
	Line      Text `yaml:"line"`
	IP        Text `yaml:"ip"`
	Port      Text `yaml:"port"`
	LocalPort Text `yaml:"local_port"`
	User      Text `yaml:"user"`
	Proto     Text `yaml:"proto"`
	Stray     Text `yaml:"stray"`
	Refused   Text `yaml:"refused"` // the reason, instead of IP
	Program   Text `yaml:"program"` // default: the first of the file
}

// Number returns the number of a rule in its file, -1 if there is none of that name.
func (form *File) Number(name string) int {
	return slices.IndexFunc(form.Rules, func(r Rule) bool { return r.Name.Value == name })
}

// Line is where the rule is, as well as its parts tell.
func (r *Rule) Line() int {
	for _, t := range append([]Text{r.Name, r.Kind}, append(r.Match, r.Regex...)...) {
		if t.Line > 0 {
			return t.Line
		}
	}
	return 0
}

// NoConditions refuses where: and not: in a rule of a service whose parser knows no fields.
func (r *Rule) NoConditions(f *Faults) {
	for _, c := range []Lists{r.Where, r.Not} {
		if c.Line > 0 {
			f.Add(c.Line, "rule %q: where: and not: are for parser: access and parser: json", r.Name.Value)
		}
	}
}

// Fault is something wrong with a rule file, a sample or an option.
type Fault struct {
	File    string // "" where it is an option
	Line    int    // 0 where it is the whole file
	Problem string // what is wrong, and what to write instead
	Cover   string // the pattern that is missing in a rule of kind none, "" where it is not that
}

// String returns "file:line: problem", as compilers do.
func (f Fault) String() string {
	switch {
	case f.File == "":
		return f.Problem
	case f.Line == 0:
		return f.File + ": " + f.Problem
	default:
		return f.File + ":" + strconv.Itoa(f.Line) + ": " + f.Problem
	}
}

// Faults collects what is wrong with one file.
type Faults struct {
	File string
	All  []Fault
}

// Add adds a problem of a line, 0 for one of the whole file.
func (f *Faults) Add(line int, format string, args ...any) {
	f.All = append(f.All, Fault{File: f.File, Line: line, Problem: fmt.Sprintf(format, args...)})
}

// Decode reads a rule file. What it cannot read of it is in f; the rest is there.
func Decode(content []byte, f *Faults) (form File, ok bool) {
	d := yaml.NewDecoder(bytes.NewReader(content))
	d.KnownFields(true)
	err := d.Decode(&form)
	var several *yaml.TypeError
	switch {
	case errors.Is(err, io.EOF):
		f.Add(0, "the file is empty: a rule file begins with service:")
		return form, false
	case errors.As(err, &several):
		for _, problem := range several.Errors {
			f.addYAML(problem)
		}
		return form, false
	case err != nil:
		f.addYAML(strings.TrimPrefix(err.Error(), "yaml: "))
		return form, false
	}
	var more yaml.Node
	if err := d.Decode(&more); !errors.Is(err, io.EOF) {
		f.Add(more.Line, "there is a second document after ---: make it a file of its own")
		return form, false
	}
	return form, true
}

// addYAML adds what yaml says, which begins with "line 12: " where it knows.
func (f *Faults) addYAML(problem string) {
	line := 0
	if rest, found := strings.CutPrefix(problem, "line "); found {
		if number, rest, found := strings.Cut(rest, ": "); found {
			if n, err := strconv.Atoi(number); err == nil {
				line, problem = n, rest
			}
		}
	}
	if key, found := strings.CutPrefix(problem, "field "); found {
		if key, _, found := strings.Cut(key, " not found in type rulefile."); found {
			problem = "no such key: " + key
		}
	}
	f.Add(line, "%s", strings.ReplaceAll(problem, "\n", " "))
}
