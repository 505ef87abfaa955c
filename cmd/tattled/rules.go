package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"tattled/daemon"
	"tattled/detect"
	"tattled/event"
	"tattled/setting"
)

// rulesFlags are how `tattled rules` was called.
type rulesFlags struct {
	json  bool
	rules string
}

func rulesCommand() *cobra.Command {
	var flags rulesFlags
	cmd := &cobra.Command{
		Use:   "rules [--json] [--rules DIRECTORY] [SERVICE[/RULE]]",
		Short: "List what is known: services, their rules, and lines that each rule matches",
		Long: `List the services whose logs tattled reads. With a SERVICE, list its rules: of which kind each is, what it is worth, its
categories at AbuseIPDB, and a line that it matches. With SERVICE/RULE, show its patterns and all its samples, also those of lines
that must not match.

handshake: the peer completed one, so that its address is proven; without, nothing is reported unless the configuration says so.
weak: a well-behaved peer causes such a line now and then, so that policies ask for more than it. raw: what the line quotes of a
peer keeps its line ends, so that lines after it may be made up. Rules of the kind none describe lines that are not events.

The rules are those that come with tattled, and with --rules those of your own.`,
		Example: `  tattled rules
  tattled rules sshd
  tattled rules sshd/failed-password
  tattled rules --json | jq -r 'select(.weak) | .rule'`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 1 {
				return fmt.Errorf("unexpected argument %q: the command takes one, SERVICE or SERVICE/RULE", args[1])
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			return listRules(&flags, append(args, "")[0], cmd.OutOrStdout())
		},
		ValidArgsFunction: func(_ *cobra.Command, args []string, begun string) ([]string, cobra.ShellCompDirective) {
			if len(args) > 0 {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			return completeRules(flags.rules, begun)
		},
	}
	cmd.Flags().BoolVar(&flags.json, "json", false, "write one JSON object for each rule")
	cmd.Flags().StringVar(&flags.rules, "rules", "", "also use the rule files in `DIRECTORY`")
	_ = cmd.MarkFlagDirname("rules")
	return cmd
}

// completeRules completes the name of a service, and behind its slash that of a rule.
func completeRules(directory, begun string) ([]string, cobra.ShellCompDirective) {
	rules, faults := detect.Load(detect.Options{Directory: directory})
	if len(faults) > 0 {
		return nil, cobra.ShellCompDirectiveError
	}
	var all []string
	if strings.Contains(begun, "/") {
		for _, r := range rules.All() {
			all = append(all, r.String())
		}
	} else {
		all = serviceNames(rules)
	}
	return all, cobra.ShellCompDirectiveNoFileComp
}

func serviceNames(rules *detect.Rules) (all []string) {
	for _, s := range rules.Services() {
		all = append(all, s.Name)
	}
	return all
}

// listRules writes what is known of name: a service, or one of its rules, or all if it is "".
func listRules(flags *rulesFlags, name string, out io.Writer) error {
	rules, faults := detect.Load(detect.Options{Directory: flags.rules})
	if len(faults) > 0 {
		return daemon.RuleFaults(faults)
	}
	chosen, err := chooseRules(rules, name)
	if err != nil {
		return err
	}
	samples, faults := rules.Samples()
	if len(faults) > 0 {
		return daemon.RuleFaults(faults)
	}
	w := bufio.NewWriter(out)
	l := rulesList{Writer: w, screen: screenOf(out), samples: samples}
	switch {
	case flags.json:
		err = l.json(chosen)
	case name == "":
		l.services(rules, chosen)
	case strings.Contains(name, "/"):
		l.whole(chosen[0])
	default:
		l.service(chosen)
	}
	if flushed := w.Flush(); err == nil && flushed != nil {
		err = fmt.Errorf("write: %w", flushed)
	}
	return err
}

// chooseRules returns the rules that name means, of one service or of all: at least one.
func chooseRules(rules *detect.Rules, name string) ([]*detect.Rule, error) {
	service, _, one := strings.Cut(name, "/")
	var chosen []*detect.Rule
	var names []string
	for _, r := range rules.All() {
		if r.Service.Name == service {
			names = append(names, r.String())
		}
		if name == "" || r.Service.Name == name || one && r.String() == name {
			chosen = append(chosen, r)
		}
	}
	if len(chosen) > 0 {
		return chosen, nil
	}
	what, known, all := "service", serviceNames(rules), "tattled rules"
	if len(names) > 0 {
		what, known, all = "rule", names, "tattled rules "+service
	}
	help := fmt.Sprintf(": '%s' lists those that there are", all)
	if near := setting.Nearest(name, known); near != "" {
		help = fmt.Sprintf(": did you mean %s?", near)
	} else if knowing := knowingProgram(rules, name); len(knowing) > 0 {
		help = fmt.Sprintf(": it is a program of %s", strings.Join(knowing, " and "))
	}
	return nil, usageError{fmt.Errorf("there is no %s %q%s", what, name, help)}
}

// knowingProgram returns the services that have a program of that name.
func knowingProgram(rules *detect.Rules, program string) (all []string) {
	for _, s := range rules.Services() {
		if slices.Contains(s.Programs, program) {
			all = append(all, s.Name)
		}
	}
	return all
}

// rulesList writes rules for people, or for programs.
type rulesList struct {
	*bufio.Writer
	screen  screen
	samples map[*detect.Rule][]detect.Sample
}

// services writes a line for each service.
func (l *rulesList) services(rules *detect.Rules, all []*detect.Rule) {
	counts := map[*detect.Service]int{}
	for _, r := range all {
		counts[r.Service]++
	}
	fmt.Fprintln(l, l.screen.paint(bold, fmt.Sprintf("%-20s %5s  %-10s %s", "SERVICE", "RULES", "LINES", "PROGRAMS")))
	for _, s := range rules.Services() {
		fmt.Fprintf(l, "%-20s %5d  %-10s %s\n", s.Name, counts[s], linesText(s.Lines), fewPrograms(s.Programs))
	}
}

// fewPrograms names as many programs as a line has room for.
func fewPrograms(programs []string) string {
	const room = 80 - len("12345678901234567890 12345  1234567890 ")
	text := programs[0]
	for i, p := range programs[1:] {
		more := fmt.Sprintf(" +%d", len(programs)-i-1)
		if len(text)+len(", ")+len(p)+len(" +99") > room && len(programs) > i+1 {
			return text + more
		}
		text += ", " + p
	}
	return text
}

// service writes the rules of one service, and of each a line that it matches.
func (l *rulesList) service(all []*detect.Rule) {
	s := all[0].Service
	fmt.Fprintf(l, "%s (%s)\n", l.screen.paint(bold, s.Name), event.Visible(s.File))
	l.field("programs", strings.Join(s.Programs, ", "))
	l.field("lines", linesText(s.Lines))
	if s.Proof != "" {
		l.field("proof", s.Proof)
	}
	fmt.Fprintf(l, "\n%s\n", l.screen.paint(bold, fmt.Sprintf("%-30s %-15s %-16s %s", "RULE", "KIND", "WORTH", "CATEGORIES")))
	for _, r := range all {
		fmt.Fprintf(l, "%-30s %-15s %-16s %s\n", r.Name, kindOf(r), orDash(worthOf(r)), orDash(categoriesOf(r)))
		for _, sample := range l.samples[r] {
			if sample.Addr.IsValid() {
				fmt.Fprintf(l, "  %s\n", l.screen.paint(dim, event.Visible(sample.Form.Line.Value)))
				break
			}
		}
	}
}

// whole writes all of one rule.
func (l *rulesList) whole(r *detect.Rule) {
	fmt.Fprintf(l, "%s (%s:%d)\n", l.screen.paint(bold, r.String()), event.Visible(r.Service.File), r.Line)
	l.field("programs", strings.Join(r.Service.Programs, ", "))
	l.field("kind", kindOf(r))
	l.field("worth", orDash(worthOf(r)))
	l.field("categories", orDash(categoriesOf(r)))
	match, regex := r.Patterns()
	for _, p := range match {
		l.field("match", p.Value)
	}
	for _, p := range regex {
		l.field("regex", p.Value)
	}
	for _, s := range l.samples[r] {
		l.field("sample", s.Form.Line.Value)
		l.field("", "-> "+outcome(&s))
	}
}

// field writes a name and a value, which comes from a file.
func (l *rulesList) field(name, value string) {
	const column = len("  categories  ")
	fmt.Fprintf(l, "  %-*s%s\n", column-2, name, l.screen.wrap(event.Visible(value), column, column))
}

// outcome is what becomes of a sample.
func outcome(s *detect.Sample) string {
	switch {
	case s.Form.Refused.Value != "":
		return "refused: " + s.Form.Refused.Value
	case !s.Addr.IsValid():
		return "no match"
	}
	text := s.Addr.String()
	for _, f := range [][2]string{{"port", s.Form.Port.Value}, {"local port", s.Form.LocalPort.Value}, {"user", s.Form.User.Value}} {
		if f[1] != "" {
			text += ", " + f[0] + " " + f[1]
		}
	}
	return text
}

func kindOf(r *detect.Rule) string {
	if r.Kind == 0 {
		return "none"
	}
	return r.Kind.String()
}

// worthOf says what a line of the rule is worth.
func worthOf(r *detect.Rule) string {
	var all []string
	for _, one := range []struct {
		is   bool
		name string
	}{{r.Handshake, "handshake"}, {r.Weak, "weak"}, {r.Raw, "raw"}} {
		if one.is {
			all = append(all, one.name)
		}
	}
	return strings.Join(all, ", ")
}

func categoriesOf(r *detect.Rule) string {
	var all []string
	for _, c := range r.Categories {
		all = append(all, strconv.Itoa(c))
	}
	return strings.Join(all, ", ")
}

func orDash(text string) string {
	if text == "" {
		return "-"
	}
	return text
}

// listedRule is a rule as --json writes it. Absent fields are left out.
type listedRule struct {
	Rule       string         `json:"rule"` // service/rule
	Kind       string         `json:"kind"`
	Handshake  bool           `json:"handshake"`
	Weak       bool           `json:"weak"`
	Raw        bool           `json:"raw"`
	Categories []int          `json:"categories,omitempty"`
	Programs   []string       `json:"programs"`
	Lines      string         `json:"lines,omitempty"`
	File       string         `json:"file"`
	Line       int            `json:"line"`
	Match      []string       `json:"match,omitempty"`
	Regex      []string       `json:"regex,omitempty"`
	Samples    []listedSample `json:"samples,omitempty"`
}

// listedSample is a line, and the address that must be found in it or why none is.
type listedSample struct {
	Line    string `json:"line"`
	IP      string `json:"ip,omitempty"`
	Refused string `json:"refused,omitempty"`
}

func (l *rulesList) json(all []*detect.Rule) error {
	enc := json.NewEncoder(l)
	enc.SetEscapeHTML(false)
	for _, r := range all {
		one := listedRule{
			Rule: r.String(), Kind: kindOf(r), Handshake: r.Handshake, Weak: r.Weak, Raw: r.Raw, Categories: r.Categories,
			Programs: r.Service.Programs, Lines: r.Service.Lines.String(), File: r.Service.File, Line: r.Line,
		}
		match, regex := r.Patterns()
		for _, p := range match {
			one.Match = append(one.Match, p.Value)
		}
		for _, p := range regex {
			one.Regex = append(one.Regex, p.Value)
		}
		for _, s := range l.samples[r] {
			sample := listedSample{Line: s.Form.Line.Value, Refused: s.Form.Refused.Value}
			if s.Addr.IsValid() {
				sample.IP = s.Addr.String()
			}
			one.Samples = append(one.Samples, sample)
		}
		if err := enc.Encode(one); err != nil {
			return fmt.Errorf("write: %w", err)
		}
	}
	return nil
}
