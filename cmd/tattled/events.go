package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"tattled/event"
	"tattled/web"
	"tattled/web/client"
)

// The bounds of events.
const (
	eventsAtOnce = 1000
	usualEvents  = 50
	usualBefore  = 10 // with --follow
	// rejoinEvery and rejoinFor are for a daemon that restarts while its events are followed.
	rejoinEvery = time.Second
	rejoinFor   = time.Minute
)

// eventsFlags are how `tattled events` was called.
type eventsFlags struct {
	controlFlags
	follow bool
	lines  bool
	limit  int
	since  string
	until  string
	fields map[string]*[]string
}

// eventFields are the filters that are flags of the same names, with their help.
var eventFields = []struct{ name, help string }{
	{"kind", "of this `KIND`: auth-failure, auth-success, firewall-block, firewall-accept, ban, probe, web-attack or mail-abuse"},
	{"service", "of this `SERVICE`, as in tattled rules"},
	{"rule", "of this `RULE` of a service"},
	{"address", "by this `ADDRESS`, or by those in a network like 192.0.2.0/24"},
	{"country", "from this `COUNTRY`, two letters; ?? is one that is not known"},
	{"as", "from the autonomous system of this `NUMBER`"},
	{"source", "by this `SOURCE`, as in tattled status"},
	{"reporter", "by sources with this `LABEL`"},
	{"host", "logged by this `MACHINE`"},
	{"program", "logged by this `PROGRAM`"},
	{"user", "about this `ACCOUNT`"},
	{"port", "to this port of ours, a `NUMBER`"},
	{"text", "whose line has this `TEXT` in it, in upper or lower case"},
}

func eventsCommand() *cobra.Command {
	flags := eventsFlags{fields: map[string]*[]string{}}
	cmd := &cobra.Command{
		Use:   "events [--follow] [--kind KIND] [--service SERVICE] [--address ADDRESS] [--since 1h] [--limit N] ...",
		Short: "List the events that were detected, or follow them as they come",
		Long: `List the newest events that the running daemon detected, the oldest of them first, or follow them as they come.

A flag that names a field restricts the list to events with that value; given several times, to those with one of the values. Different flags
must all fit. Times are UTC.` + controlHelp,
		Example: `  tattled events
  tattled events --follow --kind auth-success
  tattled events --address 198.51.100.0/24 --since 24h --lines
  tattled events --service sshd --user root --limit 0 --json | jq -r .address | sort | uniq -c`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return listEvents(cmd.Context(), cmd, &flags)
		},
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	flags.add(cmd, "write one JSON object for each event")
	cmd.Flags().BoolVarP(&flags.follow, "follow", "f", false, "go on with events as they come, until interrupted")
	cmd.Flags().BoolVar(&flags.lines, "lines", false, "show the log lines as well")
	cmd.Flags().IntVarP(&flags.limit, "limit", "n", usualEvents, "the newest `N` events, 1 to 1000; 0 for all that are kept")
	cmd.Flags().StringVar(&flags.since, "since", "", "since a `TIME`, like 2026-11-22T14:00:00Z, or for so long, like 90s, 10m, 24h or 7d")
	cmd.Flags().StringVar(&flags.until, "until", "", "before a `TIME`, like 2026-11-22T15:00:00Z")
	for _, f := range eventFields {
		values := new([]string)
		flags.fields[f.name] = values
		cmd.Flags().StringArrayVar(values, f.name, nil, f.help)
	}
	completeEvents(cmd, &flags)
	return cmd
}

func completeEvents(cmd *cobra.Command, flags *eventsFlags) {
	var kinds []string
	for _, k := range event.Kinds() {
		kinds = append(kinds, k.String())
	}
	of := map[string]func(e *web.Event) string{
		"service": func(e *web.Event) string { return e.Service }, "rule": func(e *web.Event) string { return e.Rule },
		"address": func(e *web.Event) string { return e.Address }, "country": func(e *web.Event) string { return e.Country },
		"reporter": func(e *web.Event) string { return e.Reporter }, "host": func(e *web.Event) string { return e.Host },
		"program": func(e *web.Event) string { return e.Program },
	}
	for name, field := range of {
		_ = cmd.RegisterFlagCompletionFunc(name, flags.completeFrom(field))
	}
	_ = cmd.RegisterFlagCompletionFunc("kind", cobra.FixedCompletions(kinds, cobra.ShellCompDirectiveNoFileComp))
	_ = cmd.RegisterFlagCompletionFunc("source", flags.completeSources)
}

// query is what the daemon is asked for.
func (f *eventsFlags) query() url.Values {
	q := url.Values{}
	for name, values := range f.fields {
		if len(*values) > 0 {
			q[name] = *values
		}
	}
	if f.since != "" {
		q.Set("from", f.since)
	}
	if f.until != "" {
		q.Set("to", f.until)
	}
	return q
}

func listEvents(ctx context.Context, cmd *cobra.Command, flags *eventsFlags) error {
	if flags.limit < 0 || flags.limit > eventsAtOnce {
		return usageError{fmt.Errorf("--limit must be a number from 0 to %d", eventsAtOnce)}
	}
	if flags.follow && !cmd.Flags().Changed("limit") {
		flags.limit = usualBefore
	}
	c := client.New(flags.path)
	defer c.Close()
	out := cmd.OutOrStdout()
	w := eventsWriter{Writer: bufio.NewWriter(out), screen: screenOf(out), json: flags.json, lines: flags.lines, errOut: cmd.ErrOrStderr()}
	last, err := w.kept(ctx, c, flags)
	if err == nil && flags.follow {
		err = w.follow(ctx, c, last, flags.query())
	}
	if flushed := w.Flush(); err == nil && flushed != nil {
		err = fmt.Errorf("write: %w", flushed)
	}
	var refused *client.Refused
	if errors.As(err, &refused) && refused.Status == http.StatusBadRequest {
		return usageError{err}
	}
	return err
}

// eventsWriter writes events for people, or for programs.
type eventsWriter struct {
	*bufio.Writer
	screen screen
	json   bool
	lines  bool
	errOut io.Writer
}

// kept writes the events that are there already, and returns the newest that there is.
func (w *eventsWriter) kept(ctx context.Context, c *client.Client, flags *eventsFlags) (last uint64, err error) {
	q := flags.query()
	q.Set("limit", strconv.Itoa(flags.limit))
	if flags.limit == 0 {
		q.Set("limit", strconv.Itoa(eventsAtOnce))
		q.Set("after", "0")
	}
	for {
		var page struct {
			Events  []json.RawMessage
			Next    uint64
			LastSeq uint64 `json:"last_seq"`
			Partial bool
		}
		ask, cancel := context.WithTimeout(ctx, askLimit)
		_, err := c.Read(ask, "/api/v1/events", q, &page)
		cancel()
		if err != nil {
			return 0, err
		}
		for _, e := range page.Events {
			if err := w.one(e); err != nil {
				return 0, err
			}
		}
		before := q.Get("after")
		q.Set("after", strconv.FormatUint(page.Next, 10))
		switch {
		case flags.limit > 0:
			if page.Partial {
				fmt.Fprintln(w.errOut, "tattled: the search ended at a bound: there may be older events (--limit 0 looks at all)")
			}
			return page.LastSeq, nil
		case page.Next >= page.LastSeq, q.Get("after") == before:
			return page.LastSeq, nil
		}
	}
}

// follow writes events as they come, also over a restart of the daemon.
func (w *eventsWriter) follow(ctx context.Context, c *client.Client, last uint64, q url.Values) error {
	q.Del("from") // what comes is new
	var lost time.Time
	for {
		if err := w.Flush(); err != nil {
			return fmt.Errorf("write: %w", err)
		}
		err := c.Follow(ctx, last, q, func(e []byte) error {
			lost = time.Time{}
			var head struct{ Seq uint64 }
			if json.Unmarshal(e, &head) == nil {
				last = head.Seq
			}
			if err := w.one(e); err != nil {
				return err
			}
			return w.Flush()
		}, func(n uint64) { fmt.Fprintf(w.errOut, "tattled: %d events came too fast and are not shown\n", n) })
		var absent *client.Unreachable
		if err == nil || ctx.Err() != nil {
			return nil
		}
		if !errors.As(err, &absent) {
			return err
		}
		now := time.Now()
		switch {
		case lost.IsZero():
			lost = now
			fmt.Fprintf(w.errOut, "tattled: %v; it is tried again for a minute\n", err)
		case now.Sub(lost) > rejoinFor:
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(rejoinEvery):
		}
	}
}

// one writes an event, which is a JSON object.
func (w *eventsWriter) one(object []byte) error {
	if w.json {
		return writeJSON(w, bytes.TrimSpace(object))
	}
	var e web.Event
	if err := json.Unmarshal(object, &e); err != nil {
		return fmt.Errorf("the daemon's answer cannot be read (is it of another version?): %w", err)
	}
	fmt.Fprintln(w, eventLine(&e))
	if w.lines && e.Line != "" {
		fmt.Fprintf(w, "    %s\n", w.screen.paint(dim, event.Visible(e.Line)))
	}
	return nil
}

// eventLine is an event on one line.
func eventLine(e *web.Event) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %-15s %-15s %s/%s", utc(e.Time), event.Visible(e.Address), event.Visible(e.Kind), event.Visible(e.Service), event.Visible(e.Rule))
	if e.LocalPort != 0 {
		fmt.Fprintf(&b, " port %d", e.LocalPort)
	}
	if e.User != "" {
		fmt.Fprintf(&b, " user \"%s\"", event.Visible(e.User))
	}
	if e.Country != "" {
		fmt.Fprintf(&b, " from %s", event.Visible(e.Country))
	}
	if by := event.Visible(e.Reporter); by != "" {
		fmt.Fprintf(&b, " by %s", by)
	}
	return b.String()
}
