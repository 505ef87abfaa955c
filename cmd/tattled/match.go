package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"tattled/daemon"
	"tattled/detect"
	"tattled/receiver/replay"
)

// matchFlags are how `tattled match` was called.
type matchFlags struct {
	json, summary bool
	jobs          int
	program       string
	rules         string
	timezone      string
	form          string
}

func matchCommand() *cobra.Command {
	var flags matchFlags
	cmd := &cobra.Command{
		Use:   "match [--json | --summary] [--program NAME] FILE...|-",
		Short: "Show what would be detected in a log",
		Long: `Read finished logs, or standard input (-), and show what would be detected in them. Nothing is judged, stored or sent.

Lines may have any header that is known on the wire, that of a log file, or that of journalctl's short formats. With --program
they have none: the whole line is the message of that program. Logs compressed by gzip, xz or zstd are read as they are, whatever
their names.

The form of an access log is guessed for each line, and named on standard error; --form declares it, as form: does in the
configuration, and is then taken exactly.

By default each finding is a human-readable line; --json writes an object for each (line_no counts from 1 over all input), and
--summary counts by rule, with totals: lines, matched, refused, addresses, seconds. An interrupt ends the reading; what was
found until then is still written.

Logs of more than 256 MiB keep all processors busy, and with --jobs shorter ones do as well. What is written, and in which order, does not depend on it.`,
		Example: `  tattled match /var/log/auth.log
  tattled match --summary /var/log/auth.log*
  journalctl -o short-iso -t sshd | tattled match --json - | jq -r .ip | sort | uniq -c
  tattled match --program sshd --json - <<<'Invalid user admin from 203.0.113.5 port 40022'`,
		Args: needs("the FILE to read, or - for standard input,"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return match(cmd.Context(), &flags, args, cmd.InOrStdin(), cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	cmd.Flags().BoolVar(&flags.json, "json", false, "write one JSON object for each finding")
	cmd.Flags().BoolVar(&flags.summary, "summary", false, "count by rule")
	cmd.Flags().IntVar(&flags.jobs, "jobs", 0, "keep `N` processors busy (default: all, from 256 MiB of a log on)")
	cmd.Flags().StringVar(&flags.program, "program", "", "the lines have no header and are of the program `NAME`")
	cmd.Flags().StringVar(&flags.form, "form", "", "the `FORM` of an access log: combined, common, vhost_combined, or the string of LogFormat or log_format")
	cmd.Flags().StringVar(&flags.rules, "rules", "", "also use the rule files in `DIRECTORY`")
	cmd.Flags().StringVar(&flags.timezone, "timezone", "", "the `ZONE` of timestamps that name none (default: this machine's)")
	_ = cmd.MarkFlagDirname("rules")
	cmd.ValidArgsFunction = func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return nil, cobra.ShellCompDirectiveDefault // names of files
	}
	_ = cmd.RegisterFlagCompletionFunc("program", cobra.NoFileCompletions)
	return cmd
}

func match(ctx context.Context, flags *matchFlags, files []string, in io.Reader, out, errOut io.Writer) error {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(400) // a process that ends soon: what it keeps are rules, and what it drops was needed to read them
	}
	zone, err := zoneOf(flags.timezone)
	if err != nil {
		return err
	}
	if flags.json && flags.summary {
		return usageError{errors.New("--json and --summary exclude each other: give one of them")}
	}
	if flags.jobs < 0 {
		return usageError{fmt.Errorf("--jobs: %d is not a number of processors: write 1 or more, or leave it out for all", flags.jobs)}
	}
	form, err := formOf(flags)
	if err != nil {
		return err
	}
	rules, problems := detect.Load(detect.Options{Directory: flags.rules})
	if len(problems) > 0 {
		return daemon.RuleFaults(problems)
	}
	noteProgram(errOut, rules, flags.program)
	began, jobs := time.Now(), flags.jobs
	if jobs == 0 {
		jobs = runtime.GOMAXPROCS(0)
	}
	w := bufio.NewWriterSize(out, 64<<10)
	s := newScan(rules, jobs, w)
	s.form = form
	if flags.jobs == 0 {
		s.inline = manyBlocks
	}
	switch {
	case flags.json:
		s.print = printJSON
	case flags.summary:
		s.tally = newMatchTally()
	default:
		s.print = printText
	}
	for _, name := range files {
		if err = matchFile(ctx, s, flags, name, zone, in, errOut); err != nil {
			break
		}
	}
	if s.tally != nil && (err == nil || s.lines > 0) {
		s.tally.write(w, s, began)
	}
	if flushed := w.Flush(); flushed != nil && err == nil {
		err = fmt.Errorf("write: %w", flushed)
	}
	s.tellShapes(errOut)
	if ctx.Err() != nil {
		return fmt.Errorf("interrupted after %d lines", s.lines)
	}
	return err
}

// noteProgram says that no rule knows a program: nothing will be found then, and nothing else tells why.
func noteProgram(errOut io.Writer, rules *detect.Rules, program string) {
	if program == "" || rules.Knows(program) {
		return
	}
	help := ""
	if similar := rules.Similar(program); len(similar) > 0 {
		help = fmt.Sprintf(": did you mean %s?", strings.Join(similar, " or "))
	}
	fmt.Fprintf(errOut, "note: no rule knows the program %q, so nothing is found in its lines%s\n", program, help)
}

// formOf reads --form.
func formOf(flags *matchFlags) (*detect.Form, error) {
	if flags.form == "" {
		return nil, nil
	}
	form, err := detect.ParseForm(flags.form)
	if err != nil {
		return nil, usageError{fmt.Errorf("--form: %w", err)}
	}
	return form, nil
}

// tellShapes says as what lines of access logs were read whose form nobody declared, and how many are not of the form that somebody did.
func (s *scan) tellShapes(errOut io.Writer) {
	if s.misfit > 0 {
		fmt.Fprintf(errOut, "note: %d lines are not of the form that --form declares: nothing is found in them\n", s.misfit)
	}
	for shape := detect.NoShape + 1; int(shape) < detect.Shapes; shape++ {
		if n := s.shapes[shape]; n > 0 {
			fmt.Fprintf(errOut, "note: the form of %d lines was taken for %v: --form says which it is\n", n, shape)
		}
	}
}

// matchFile brings one file, or standard input, to s.
func matchFile(ctx context.Context, s *scan, flags *matchFlags, name string, zone *time.Location, in io.Reader, errOut io.Writer) error {
	log, err := openLog(ctx, name, in, s.beginWait)
	if err != nil {
		return err
	}
	defer log.Close()
	bar := newProgress(errOut, log.size)
	defer bar.done()
	o := replay.Options{Source: name, Program: flags.program, Location: zone, Received: log.written, EveryLine: true}
	if o.Received.IsZero() {
		o.Received = time.Now() // once, for all judges
	}
	err = s.run(ctx, log, o, func() { bar.show(log.raw.n) })
	if err != nil && s.err == nil {
		err = fmt.Errorf("read %s: %w", name, err)
	}
	return err
}
