package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"tattled/daemon"
	"tattled/event"
	"tattled/receiver"
	"tattled/receiver/replay"
	"tattled/receiver/wire"
)

// explainFlags are how `tattled explain` was called.
type explainFlags struct {
	json     bool
	program  string
	config   string
	source   string
	timezone string
	chosen   bool // --config was given
}

func explainCommand() *cobra.Command {
	var flags explainFlags
	cmd := &cobra.Command{
		Use:   "explain [--json] [--program NAME] [--source NAME] LINE...|-",
		Short: "Explain why a log line is matched, refused or ignored, and what would follow",
		Long: `Show for each LINE what every stage of tattled would make of it: which header it has, which rules know its program, which
rule matches it or why none does, and what the policy and the gate for reports would say. The first line is the verdict.
With - lines are read from standard input, and each is explained. Quote a LINE for the shell, or use - and paste it.

Where nothing matches, the pattern that comes closest is shown, with a mark where the two differ. A line without
a known header needs --program, as the file that it comes from has in the configuration.

Each line is judged in isolation: policies count events over time, and what was counted before is not considered. The
configuration is read for disabled rules, trusted networks and policies; without one, the shipped defaults apply.
Nothing is stored or sent. The exit code is 0 whatever the verdict is. All text of a log is shown with its control
characters escaped.`,
		Example: `  tattled explain 'Nov 22 05:40:00 web1 sshd[123]: Failed password for root from 203.0.113.5 port 40022 ssh2'
  tattled explain --program sshd 'Invalid user admin from 203.0.113.5 port 40022'
  journalctl -o short -t sshd -n 20 | tattled explain -
  grep 203.0.113.5 /var/log/auth.log | tattled explain --json - | jq -r '.verdict + " " + .reason'`,
		Args: needs("the LINE to explain, or - for standard input,"),
		RunE: func(cmd *cobra.Command, args []string) error {
			flags.chosen = cmd.Flags().Changed("config")
			return explain(cmd.Context(), &flags, args, cmd.InOrStdin(), cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	configFlag(cmd, &flags.config)
	cmd.Flags().BoolVar(&flags.json, "json", false, "write one JSON object for each line")
	cmd.Flags().StringVar(&flags.program, "program", "", "the lines have no header and are of the program `NAME`")
	cmd.Flags().StringVar(&flags.source, "source", "", "judge as if read from the source `NAME` of the configuration, with its trust")
	cmd.Flags().StringVar(&flags.timezone, "timezone", "", "the `ZONE` of timestamps that name none (default: this machine's)")
	return cmd
}

func explain(ctx context.Context, flags *explainFlags, args []string, in io.Reader, out, errOut io.Writer) error {
	zone, err := zoneOf(flags.timezone)
	if err != nil {
		return err
	}
	path := flags.config
	if !flags.chosen {
		switch f, err := os.Open(path); {
		case errors.Is(err, fs.ErrNotExist):
			path = ""
		case err != nil:
			fmt.Fprintf(errOut, "tattled: %v: the shipped defaults are used\n", err)
			path = ""
		default:
			f.Close()
		}
	}
	x, err := daemon.NewExplainer(path)
	if err != nil {
		return err
	}
	if flags.source, err = sourceOf(x, flags.source, path); err != nil {
		return err
	}
	w := bufio.NewWriter(out)
	e := &explaining{flags: flags, explainer: x, config: path, zone: zone, parser: wire.NewParser(zone), out: w, screen: screenOf(out)}
	for _, line := range args {
		if line == "-" {
			err = replay.New(in, replay.Options{Program: "-", Location: zone, EveryLine: true}).Run(ctx, nil, e)
		} else {
			err = e.line([]byte(line), false, time.Now())
		}
		if err != nil {
			return errors.Join(w.Flush(), err)
		}
	}
	if err := w.Flush(); err != nil {
		return fmt.Errorf("write: %w", err)
	}
	return ctx.Err()
}

// sourceOf finds the source that --source means: "" for none.
func sourceOf(x *daemon.Explainer, name, config string) (string, error) {
	if name == "" {
		return "", nil
	}
	source, known := x.Source(name)
	switch {
	case known:
		return source, nil
	case config == "":
		return "", usageError{fmt.Errorf("--source: there is no configuration that %q could be a source of: give one with --config, or write journal", name)}
	default:
		return "", usageError{fmt.Errorf("--source: %q is not a source of %s: it has %s", name, config, strings.Join(x.Sources(), ", "))}
	}
}

// zoneOf finds a time zone by the flag --timezone.
func zoneOf(name string) (*time.Location, error) {
	if name == "" {
		return time.Local, nil
	}
	zone, err := time.LoadLocation(name)
	if err != nil {
		return nil, usageError{fmt.Errorf("--timezone: %q is not a time zone of this system", name)}
	}
	return zone, nil
}

// explaining explains lines one after another. It is a receiver.Handler for one goroutine, whose records are whole lines.
type explaining struct {
	flags     *explainFlags
	explainer *daemon.Explainer
	config    string // "" for the shipped defaults
	zone      *time.Location
	parser    *wire.Parser
	out       *bufio.Writer
	screen    screen
	count     int
}

// Handle implements receiver.Handler.
func (e *explaining) Handle(_ context.Context, b *receiver.Batch) error {
	for i := range b.Records {
		if err := e.line(b.Records[i].Message, b.Records[i].Cut, b.Received); err != nil {
			return err
		}
	}
	return e.out.Flush() // somebody may be typing
}

// line explains one line, of which the end may have been cut off.
func (e *explaining) line(line []byte, cut bool, received time.Time) error {
	e.count++
	line = wire.Trim(line)
	r := receiver.Record{Program: []byte(e.flags.program), Message: line}
	header := ""
	if e.flags.program == "" {
		header = e.parser.Parse(line, received, &r).String()
	} else if e.flags.source != "journal" {
		r.Framing = receiver.FileLine // as a file or a listener with program: reads it
	}
	var condition string
	r.Trust, condition = e.explainer.Trust(e.flags.source)
	r.Cut = cut
	a := newAnswer(&r, e.explainer.Explain(&r, &receiver.Batch{Source: e.flags.source, Received: received, Location: e.zone}), header)
	a.LineNo, a.Config = e.count, e.config
	if a.Gate != nil {
		a.Gate.Condition = condition
	}
	var text []byte
	if e.flags.json {
		var b bytes.Buffer
		encoder := json.NewEncoder(&b)
		encoder.SetEscapeHTML(false) // patterns are full of <fields>
		if err := encoder.Encode(a); err != nil {
			return err
		}
		text = append(event.AppendVisibleJSON(nil, bytes.TrimSuffix(b.Bytes(), []byte("\n"))), '\n')
	} else {
		var b bytes.Buffer
		if e.count > 1 {
			b.WriteByte('\n')
		}
		a.write(&b, e.screen)
		text = b.Bytes()
	}
	if _, err := e.out.Write(text); err != nil {
		return fmt.Errorf("write: %w", err)
	}
	return nil
}
