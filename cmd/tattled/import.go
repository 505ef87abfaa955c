package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"tattled/daemon"
	"tattled/detect"
	"tattled/detect/fail2ban"
	"tattled/event"
	"tattled/receiver"
	"tattled/receiver/replay"
)

func importCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "import",
		Short: "Convert rules of other programs to rule files",
		Args:  onlyCommands,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	fail2ban := importFail2banCommand()
	fail2ban.Args = asUsage(fail2ban.Args)
	cmd.AddCommand(fail2ban)
	return cmd
}

// importFlags are how `tattled import fail2ban` was called.
type importFlags struct {
	output  string
	log     string
	kind    string
	options fail2ban.Options
}

func importFail2banCommand() *cobra.Command {
	var flags importFlags
	cmd := &cobra.Command{
		Use:   "fail2ban [--log FILE] [-o FILE] FILTER.conf",
		Short: "Convert a fail2ban filter to a rule file",
		Long: `Read a filter of fail2ban with all that it includes, and write a rule file to standard output, or with -o to a new file.

No rule describes a line that the filter's expression does not, unless a comment says so: an expression becomes a pattern
where one can be found, else it stays a regular expression, anchored at both ends. What RE2 cannot do (look-around,
back-references, conditions), what spans several lines and what would let a peer choose who is blamed is refused; each
such line is in a comment of the rule file, with the reason, and the totals go to standard error.

Every rule needs a sample. With --log, lines of a real log that a rule matches become its samples; without it, a line is made
from the expression, and a comment says so. The rule file is compiled and its samples are run before it is written.

The service is called fail2ban-NAME, so that no built-in rule is replaced: many filters are about services that tattled
knows already, with rules that extract more. Give --handshake if the service speaks TCP: without it nothing is reported,
because nothing proves the addresses. The exit code is 1 where nothing was translated.`,
		Example: `  tattled import fail2ban /etc/fail2ban/filter.d/gitlab.conf
  tattled import fail2ban --handshake --log /var/log/mail.log -o /etc/tattled/rules.d/my-imap.yaml my-imap.conf
  tattled check && systemctl reload tattled`,
		Args: needsOne("the FILTER.conf to translate"),
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return []string{"conf"}, cobra.ShellCompDirectiveFilterFileExt
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			return importFail2ban(cmd.Context(), &flags, args[0], cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	f := cmd.Flags()
	f.StringVarP(&flags.output, "output", "o", "", "write to the new `FILE`; one that exists is not overwritten")
	f.StringVar(&flags.log, "log", "", "take samples from the log `FILE`")
	f.StringVar(&flags.options.Service, "service", "", "the `NAME` of the service (default: fail2ban- and the filter's name)")
	f.StringArrayVar(&flags.options.Programs, "program", nil, "the `NAME` of a program whose lines the rules judge; may be repeated")
	f.StringVar(&flags.kind, "kind", "", "the `KIND` of all events (default: guessed)")
	f.IntSliceVar(&flags.options.Categories, "categories", nil, "AbuseIPDB's `CATEGORIES` of all events (default: by kind)")
	f.BoolVar(&flags.options.Handshake, "handshake", false, "a completed TCP handshake proves the addresses in this log")
	f.StringVar(&flags.options.Mode, "mode", "", "the filter's `MODE`, for a filter that has some")
	_ = cmd.MarkFlagFilename("log")
	_ = cmd.MarkFlagFilename("output", "yaml")
	return cmd
}

func importFail2ban(ctx context.Context, flags *importFlags, path string, out, errOut io.Writer) error {
	if flags.kind != "" {
		if err := flags.options.Kind.UnmarshalText([]byte(flags.kind)); err != nil {
			return usageError{fmt.Errorf("--kind: %w", err)}
		}
	}
	rules, problems := detect.Load(detect.Options{})
	if len(problems) > 0 {
		return daemon.RuleFaults(problems)
	}
	for _, s := range rules.Services() {
		flags.options.Known = append(flags.options.Known, s.Programs...)
	}
	filter, err := fail2ban.Translate(path, flags.options)
	if err != nil {
		return err
	}
	if flags.log != "" {
		if err := takeSamples(ctx, filter, flags.log, errOut); err != nil {
			return err
		}
	}
	if err := filter.Prove(daemon.RuleAttack()); err != nil {
		return err
	}
	if len(filter.Rules) == 0 {
		summarize(errOut, filter)
		if len(filter.Refused) == 0 && len(filter.Covered) > 0 {
			return errors.New("nothing was translated: rules that tattled has already describe all of it")
		}
		return errors.New("nothing was translated")
	}
	if err := writeNew(flags.output, filter.YAML(), out); err != nil {
		return err
	}
	summarize(errOut, filter)
	return nil
}

// summarize sums up what was translated and what was not.
func summarize(w io.Writer, f *fail2ban.Filter) {
	for _, r := range slices.Concat(f.Refused, f.Covered) {
		fmt.Fprintf(w, "line %d of %s: %s\n", r.Line, event.Visible(r.File), event.Visible(r.Reason))
	}
	for _, n := range f.Notes {
		fmt.Fprintln(w, event.Visible(n))
	}
	fmt.Fprintf(w, "%s: %d expressions translated, %d refused, %d known already\n", f.Service, len(f.Rules), len(f.Refused), len(f.Covered))
}

// writeNew writes text to a file that is not there yet, or to out where no path is given.
func writeNew(path, text string, out io.Writer) error {
	if path == "" {
		if _, err := io.WriteString(out, text); err != nil {
			return fmt.Errorf("write: %w", err)
		}
		return nil
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	_, err = io.WriteString(f, text)
	return errors.Join(err, f.Close())
}

// takeSamples offers every line of a log to the filter's rules.
func takeSamples(ctx context.Context, filter *fail2ban.Filter, path string, errOut io.Writer) error {
	log, err := os.Open(path)
	if err != nil {
		return err
	}
	defer log.Close()
	info, err := log.Stat()
	if err != nil {
		return err
	}
	bar := newProgress(errOut, info.Size())
	defer bar.done()
	o := replay.Options{Source: path, Location: time.Local, Received: info.ModTime(), Progress: bar.show}
	return replay.New(log, o).Run(ctx, nil, &offering{filter: filter})
}

// offering offers records to a filter's rules. It is a receiver.Handler for one goroutine.
type offering struct{ filter *fail2ban.Filter }

// Handle implements receiver.Handler.
func (o *offering) Handle(_ context.Context, b *receiver.Batch) error {
	for i := range b.Records {
		r := &b.Records[i]
		program, message := string(r.Program), strings.ToValidUTF8(string(r.Message), "?")
		switch {
		case r.Cut:
		case program == "": // a log without headers, as its service writes it
			o.filter.Offer(o.filter.Programs[0], message)
		default:
			o.filter.Offer(program, message)
		}
	}
	return nil
}
