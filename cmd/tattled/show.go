package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"tattled/event"
	"tattled/web"
	"tattled/web/client"
)

func showCommand() *cobra.Command {
	var flags controlFlags
	cmd := &cobra.Command{
		Use:   "show [--json] [--control PATH] IP",
		Short: "Show all that is known of an address: what it did, and what became of it",
		Long: `Show all that the running daemon knows of an address (of IPv6, of its /64): where it is and what it did, its newest events with their log
lines, who was notified of it and when, and each report and alert with its state and what the destination said.

Where nothing about it may be reported, or nothing may follow from one of its events, it says why.` + controlHelp,
		Example: `  tattled show 203.0.113.5
  tattled show 2001:db8:1:2::3
  tattled show --json 203.0.113.5 | jq '.items[] | {state, detail}'`,
		Args: needsOne("IP"),
		RunE: func(cmd *cobra.Command, args []string) error {
			addr, err := netip.ParseAddr(args[0])
			if err != nil {
				return usageError{fmt.Errorf("%q is not an IP address", event.Visible(args[0]))}
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), askLimit)
			defer cancel()
			return showAddress(ctx, &flags, addr.WithZone(""), cmd.OutOrStdout())
		},
		ValidArgsFunction: flags.completeAddress,
	}
	flags.add(cmd, "write all of it as one JSON object")
	return cmd
}

func showAddress(ctx context.Context, flags *controlFlags, addr netip.Addr, out io.Writer) error {
	c := client.New(flags.path)
	defer c.Close()
	var s web.StoryAnswer
	body, err := c.Read(ctx, "/api/v1/addresses/"+addr.String(), nil, &s)
	var refused *client.Refused
	switch {
	case errors.As(err, &refused) && refused.Status == http.StatusNotFound:
		return fmt.Errorf("nothing is known of %s: it was never seen, or so long ago that it was forgotten", addr)
	case err != nil:
		return err
	case flags.json:
		return writeJSON(out, body)
	}
	w := storyWriter{Writer: bufio.NewWriter(out), screen: screenOf(out)}
	w.write(&s)
	if err := w.Flush(); err != nil {
		return fmt.Errorf("write: %w", err)
	}
	return nil
}

// storyWriter writes what is known of an address for people.
type storyWriter struct {
	*bufio.Writer
	screen screen
}

func (w *storyWriter) heading(text string) { fmt.Fprintf(w, "\n%s\n", w.screen.paint(bold, text)) }

func (w *storyWriter) write(s *web.StoryAnswer) {
	w.head(s)
	w.windows(s)
	w.items(s)
	if len(s.Events) > 0 {
		w.heading("NEWEST EVENTS")
	}
	for i := range s.Events {
		e := &s.Events[i]
		fmt.Fprintf(w, "  %s\n", eventLine(&e.Event))
		if e.Line != "" {
			fmt.Fprintf(w, "      %s\n", w.screen.paint(dim, event.Visible(e.Line)))
		}
		if e.Refused != "" && e.Refused != s.Refused {
			w.sentence(6, "no report can follow from it, because "+e.Because)
		}
	}
}

// sentence writes text that may be longer than a line.
func (w *storyWriter) sentence(indent int, text string) {
	fmt.Fprintf(w, "%s%s\n", strings.Repeat(" ", indent), w.screen.wrap(event.Visible(text), indent, indent))
}

func (w *storyWriter) head(s *web.StoryAnswer) {
	place := []string{}
	if s.Country != "" {
		place = append(place, strings.TrimSpace(s.Country+" "+s.CountryName))
	}
	if s.ASN != 0 {
		place = append(place, strings.TrimSpace(fmt.Sprintf("AS%d %s", s.ASN, s.Org)))
	}
	if len(place) == 0 {
		place = append(place, "it is not known where it is")
	}
	fmt.Fprintf(w, "%s: %s\n", w.screen.paint(bold, event.Visible(s.Network)), event.Visible(strings.Join(place, ", ")))
	if s.AddressAnswer.Events > 0 {
		var kinds []string
		for _, kind := range slices.Sorted(maps.Keys(s.Kinds)) {
			kinds = append(kinds, fmt.Sprintf("%s %s", thousands(s.Kinds[kind]), event.Visible(kind)))
		}
		w.sentence(2, fmt.Sprintf("%s from %s to %s: %s", plural(s.AddressAnswer.Events, "event"), utc(s.First), utc(s.Last), strings.Join(kinds, ", ")))
	} else {
		w.sentence(2, "its events are forgotten")
	}
	if s.Score != nil {
		w.sentence(2, fmt.Sprintf("AbuseIPDB's score was %d (of reports of %d days) when it was asked for at %s", s.Score.Score, s.Score.MaxAgeDays, utc(s.Score.Asked)))
	}
	switch {
	case s.Refused != "":
		w.sentence(2, "it is not reported, because "+s.Because)
	case len(s.Reported) == 0 && len(s.Items) == 0:
		w.sentence(2, "it is not reported, because it has reached no policy (tattled check --policies)")
	}
}

// windows writes who was notified: as long as such a window is open, the address is not told there again.
func (w *storyWriter) windows(s *web.StoryAnswer) {
	if len(s.Reported) == 0 {
		return
	}
	w.heading("NOTIFIED")
	for _, r := range s.Reported {
		text := fmt.Sprintf("  %s %s", utc(r.Time), r.Destination)
		if r.Policy != "" {
			text += " by " + r.Policy
		}
		if r.DryRun {
			text += " (dry-run mode: nothing was sent)"
		}
		if r.Unproven {
			text += " (of events that may be forged)"
		}
		fmt.Fprintln(w, event.Visible(text))
	}
}

func (w *storyWriter) items(s *web.StoryAnswer) {
	if len(s.Items) == 0 {
		return
	}
	w.heading("REPORTS AND ALERTS")
	for i := range s.Items {
		w.item(&s.Items[i])
	}
}

func (w *storyWriter) item(i *web.Item) {
	fmt.Fprintf(w, "  %s %s\n", utc(i.Created), event.Visible(fmt.Sprintf("%s: %s by %s, %s of %s/%s, %s", i.Destination, i.State, i.Policy,
		plural(uint64(i.Events), "event"), i.Service, i.Rule, plural(uint64(i.Attempts), "attempt"))))
	if i.Detail != "" {
		w.sentence(6, i.Detail)
	}
	if i.NextAttempt != nil && i.Attempts > 0 {
		w.sentence(6, "it is tried again at "+utc(*i.NextAttempt))
	}
	if i.UnansweredSince != nil {
		w.sentence(6, "it may have arrived: no answer was seen since "+utc(*i.UnansweredSince))
	}
	if i.Settled != nil {
		w.sentence(6, "settled at "+utc(*i.Settled))
	}
}
