package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"tattled/daemon"
	"tattled/detect"
	"tattled/receiver"
	"tattled/receiver/replay"
)

// matchFlags are how `tattled match` was called.
type matchFlags struct {
	json, summary bool
	program       string
	rules         string
	timezone      string
}

func matchCommand() *cobra.Command {
	var flags matchFlags
	cmd := &cobra.Command{
		Use:   "match [--json | --summary] [--program NAME] FILE...|-",
		Short: "Say what would be detected in a log",
		Long: `Read finished logs, or standard input (-), and say what would be detected in them. Nothing is judged, stored or sent.

Lines may have any header that is known on the wire, that of a log file, or that of journalctl's short formats. With --program
they have none: the whole line is the message of that program.

By default each finding is a line for people; --json writes an object for each (line_no counts from 1 over all input), and
--summary counts by rule, with totals: lines, matched, refused, addresses, seconds.`,
		Example: `  tattled match /var/log/auth.log
  zcat /var/log/auth.log.*.gz | tattled match --summary -
  journalctl -o short-iso -t sshd | tattled match --json - | jq -r .ip | sort | uniq -c
  tattled match --program sshd --json - <<<'Invalid user admin from 203.0.113.5 port 40022'`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return match(cmd.Context(), &flags, args, cmd.InOrStdin(), cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	cmd.Flags().BoolVar(&flags.json, "json", false, "write one JSON object for each finding")
	cmd.Flags().BoolVar(&flags.summary, "summary", false, "count by rule")
	cmd.Flags().StringVar(&flags.program, "program", "", "the lines have no header and are of the program `NAME`")
	cmd.Flags().StringVar(&flags.rules, "rules", "", "also use the rule files in `DIRECTORY`")
	cmd.Flags().StringVar(&flags.timezone, "timezone", "", "the `ZONE` of timestamps that name none (default: this machine's)")
	cmd.MarkFlagsMutuallyExclusive("json", "summary")
	_ = cmd.MarkFlagDirname("rules")
	return cmd
}

func match(ctx context.Context, flags *matchFlags, files []string, in io.Reader, out, errOut io.Writer) error {
	zone, err := zoneOf(flags.timezone)
	if err != nil {
		return err
	}
	rules, problems := detect.Load(detect.Options{Directory: flags.rules})
	if len(problems) > 0 {
		return daemon.RuleFaults(problems)
	}
	w := bufio.NewWriterSize(out, 64<<10)
	s := &scan{rules: rules, began: time.Now(), print: printText}
	switch {
	case flags.json:
		s.print = printJSON
	case flags.summary:
		s.print = nil
		s.tally = newMatchTally(rules)
	}
	s.out = w
	for _, name := range files {
		if err := scanFile(ctx, s, flags, name, zone, in, errOut); err != nil {
			return errors.Join(w.Flush(), err)
		}
	}
	if s.tally != nil {
		s.tally.write(w, s)
	}
	if err := w.Flush(); err != nil {
		return fmt.Errorf("write: %w", err)
	}
	return nil
}

// scanFile brings one file, or standard input, to s.
func scanFile(ctx context.Context, s *scan, flags *matchFlags, name string, zone *time.Location, in io.Reader, errOut io.Writer) error {
	o := replay.Options{Source: name, Program: flags.program, Location: zone, EveryLine: true}
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return err
		}
		defer f.Close()
		info, err := f.Stat()
		if err != nil {
			return err
		}
		o.Received = info.ModTime()
		bar := newProgress(errOut, info.Size())
		o.Progress = bar.show
		defer bar.done()
		in = f
	}
	if err := replay.New(in, o).Run(ctx, nil, s); err != nil {
		return err
	}
	return ctx.Err()
}

// scan detects, and does with each finding what was asked for. It is a receiver.Handler for one goroutine.
type scan struct {
	rules   *detect.Rules
	out     *bufio.Writer
	print   func(s *scan, r *receiver.Record, f *detect.Finding) error
	tally   *matchTally
	began   time.Time
	lines   int64
	matched int64
	refused int64
	finding detect.Finding
	line    []byte // of output, reused
}

// Handle implements receiver.Handler.
func (s *scan) Handle(_ context.Context, b *receiver.Batch) error {
	for i := range b.Records {
		r := &b.Records[i]
		s.lines++
		if r.Cut {
			s.refused++
			continue
		}
		switch s.rules.Detect(r.Program, r.Message, &s.finding) {
		case detect.Matched:
			s.matched++
			if s.tally != nil {
				s.tally.count(&s.finding)
			}
			if s.print != nil {
				if err := s.print(s, r, &s.finding); err != nil {
					return fmt.Errorf("write: %w", err)
				}
			}
		case detect.Refused:
			s.refused++
		}
	}
	return nil
}
