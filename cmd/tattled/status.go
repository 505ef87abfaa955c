package main

import (
	"context"
	"fmt"
	"io"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"tattled/event"
	"tattled/web"
	"tattled/web/client"
)

func statusCommand() *cobra.Command {
	var flags controlFlags
	cmd := &cobra.Command{
		Use:   "status [--json] [--control PATH]",
		Short: "Show on one screen how the daemon is, with an exit code for scripts",
		Long: `Show on one screen (80 columns, 24 lines) how the running daemon is: what is wrong and what to do about it, what became of reports and
alerts, its sources, and the addresses with the most of the newest events.

Exit codes, for scripts: 0 healthy, 1 there are problems (or it is still starting), 2 usage, 3 no daemon answers.

It asks the daemon by its control socket. root may, and the members of the socket's group, which is tattled.`,
		Example: `  tattled status
  tattled status --json | jq -r '.problems[] | .what + ": " + .remedy'
  tattled status > /dev/null || mail -s "tattled needs attention" admin@example.org`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, cancel := context.WithTimeout(cmd.Context(), askLimit)
			defer cancel()
			return showStatus(ctx, &flags, cmd.OutOrStdout())
		},
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	flags.add(cmd, "write the daemon's figures as one JSON object")
	return cmd
}

func showStatus(ctx context.Context, flags *controlFlags, out io.Writer) error {
	c := client.New(flags.path)
	defer c.Close()
	var s web.SummaryAnswer
	body, err := c.Read(ctx, "/api/v1/summary", nil, &s)
	if err != nil {
		return err
	}
	if flags.json {
		err = writeJSON(out, body)
	} else {
		var top web.Top
		if _, err := c.Read(ctx, "/api/v1/top", url.Values{"limit": {"8"}}, &top); err != nil {
			return err
		}
		_, err = io.WriteString(out, newStatusScreen(screenOf(out)).render(&s, &top))
	}
	switch {
	case err != nil:
		return fmt.Errorf("write: %w", err)
	case !healthy(&s):
		return silentError{exitFailure}
	}
	return nil
}

func healthy(s *web.SummaryAnswer) bool { return s.Live && s.Ready && len(s.Problems) == 0 }

// The size of a screen; the last line is left to the prompt.
const (
	statusWidth = 80
	statusLines = 23
	// What the parts have at most, where all of them have much to say.
	problemLines = 8
	outboxLines  = 4
	sourceLines  = 5
)

// statusScreen writes lines, none of which is longer than the screen is wide, and no more of them than it has.
type statusScreen struct {
	screen
	lines []string
}

func newStatusScreen(s screen) *statusScreen {
	if s.width == 0 || s.width > statusWidth {
		s.width = statusWidth
	}
	return &statusScreen{screen: s}
}

// add writes a line in a style; "" is none.
func (s *statusScreen) add(style, text string) {
	text = fit(event.Visible(text), s.width)
	if style != "" {
		text = s.paint(style, text)
	}
	s.lines = append(s.lines, strings.TrimRight(text, " "))
}

// fit cuts text to so many characters, and shows that it did.
func fit(text string, width int) string {
	runes := []rune(text)
	if len(runes) <= width {
		return text
	}
	return string(runes[:width-3]) + "..."
}

// pad makes text exactly so many characters.
func pad(text string, width int) string {
	text = fit(event.Visible(text), width)
	return text + strings.Repeat(" ", width-len([]rune(text)))
}

func (s *statusScreen) left() int { return statusLines - len(s.lines) }

func (s *statusScreen) render(sum *web.SummaryAnswer, top *web.Top) string {
	s.head(sum)
	s.problems(sum.Problems)
	s.outbox(sum.Outbox)
	s.sources(sum)
	s.top(top)
	return strings.Join(s.lines, "\n") + "\n"
}

func (s *statusScreen) head(sum *web.SummaryAnswer) {
	is, style := "healthy", bold
	switch {
	case !sum.Live:
		is, style = "failing", red
	case !sum.Ready:
		is, style = "starting, or no source is open", yellow
	case len(sum.Problems) == 1:
		is, style = "1 problem", yellow
	case len(sum.Problems) > 1:
		is, style = strconv.Itoa(len(sum.Problems))+" problems", yellow
	}
	mode := "reporting"
	if sum.DryRun {
		mode = "dry-run mode: nothing is sent"
	}
	s.add(style, fmt.Sprintf("tattled %s: %s", sum.Version, is))
	s.add("", fmt.Sprintf("%s, at %s", mode, utc(sum.Time)))
	s.add("", fmt.Sprintf("%s and %s are kept, in %s", plural(sum.Events, "event"), plural(sum.Addresses, "address"), bytesText(sum.Bytes)))
}

// problems shows as many as fit, and how many there are more.
func (s *statusScreen) problems(all []web.ProblemAnswer) {
	room := problemLines
	for i, p := range all {
		text := strings.Split(screen{width: s.width - 2}.wrap(event.Visible(p.What+": "+p.Cause), 0, 0), "\n")
		remedy := strings.Split(screen{width: s.width - 4}.wrap(event.Visible(p.Remedy), 0, 0), "\n")
		text, remedy = few(text, 2), few(remedy, 2)
		if room -= len(text) + len(remedy); room < 0 {
			s.add(dim, fmt.Sprintf("  and %d more: tattled status --json", len(all)-i))
			return
		}
		for n, line := range text {
			s.add(yellow, []string{"! ", "  "}[min(n, 1)]+line)
		}
		for n, line := range remedy {
			s.add("", []string{"  > ", "    "}[min(n, 1)]+line)
		}
	}
}

// few returns the first lines, and shows in the last one that there were more.
func few(lines []string, most int) []string {
	if len(lines) <= most {
		return lines
	}
	lines = lines[:most]
	lines[most-1] += " ..."
	return lines
}

// outbox shows a line for each destination.
func (s *statusScreen) outbox(counts []web.OutboxCount) {
	if len(counts) == 0 {
		return
	}
	var names []string
	of := map[string]*[4]uint64{}
	for _, c := range counts {
		if of[c.Destination] == nil {
			names = append(names, c.Destination)
			of[c.Destination] = new([4]uint64)
		}
		column := 3
		switch c.State {
		case "pending", "claimed":
			column = 0
		case "delivered", "duplicate":
			column = 1
		case "dry-run":
			column = 2
		}
		of[c.Destination][column] += c.Items
	}
	s.add(bold, fmt.Sprintf("%-32s %11s %11s %11s %11s", "DESTINATION", "WAITING", "SENT", "DRY-RUN", "NOT SENT"))
	for i, name := range names {
		if i == outboxLines-1 && len(names) > outboxLines {
			s.add(dim, fmt.Sprintf("and %d more", len(names)-i))
			return
		}
		n := of[name]
		s.add("", fmt.Sprintf("%s %11s %11s %11s %11s", pad(name, 32), thousands(n[0]), thousands(n[1]), thousands(n[2]), thousands(n[3])))
	}
}

func (s *statusScreen) sources(sum *web.SummaryAnswer) {
	s.add(bold, fmt.Sprintf("%-32s %-4s %15s %11s  %s", "SOURCE", "", "RECORDS", "LOST", "LAST RECORD"))
	for i, one := range sum.Sources {
		if i == sourceLines-1 && len(sum.Sources) > sourceLines {
			s.add(dim, fmt.Sprintf("and %d more", len(sum.Sources)-i))
			return
		}
		state, style, last := "up", "", "none yet"
		if !one.Up {
			state, style = "DOWN", yellow
		}
		if one.LastRecord != nil {
			last = ago(sum.Time.Sub(*one.LastRecord))
		}
		s.add(style, fmt.Sprintf("%s %-4s %15s %11s  %s", pad(one.Name, 32), state, thousands(one.Records), thousands(one.Lost+one.Gaps), last))
	}
}

// top shows the addresses with the most events, as far as there is room.
func (s *statusScreen) top(top *web.Top) {
	if len(top.Addresses) == 0 || s.left() < 3 {
		return
	}
	s.add(bold, fmt.Sprintf("%-32s %4s  %s", fmt.Sprintf("ADDRESS (of %s events)", thousands(uint64(top.Window.Events))), "", "EVENTS"))
	for _, a := range top.Addresses[:min(len(top.Addresses), s.left())] {
		s.add("", fmt.Sprintf("%s %-4s %7s  %s", pad(a.Address, 32), event.Visible(a.Country), thousands(uint64(a.Events)), event.Visible(a.Org)))
	}
}

// thousands writes a number with commas.
func thousands(n uint64) string {
	text := strconv.FormatUint(n, 10)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}

// plural writes how many there are of something.
func plural(n uint64, what string) string {
	switch {
	case n == 1:
	case strings.HasSuffix(what, "s"):
		what += "es"
	default:
		what += "s"
	}
	return thousands(n) + " " + what
}

func bytesText(n int64) string {
	if n < 1<<20 {
		return fmt.Sprintf("%d KiB", (n+1023)/1024)
	}
	return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
}

// ago writes roughly how long ago something was.
func ago(d time.Duration) string {
	switch {
	case d < 2*time.Second:
		return "now"
	case d < 2*time.Minute:
		return fmt.Sprintf("%d s ago", int(d.Seconds()))
	case d < 2*time.Hour:
		return fmt.Sprintf("%d min ago", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h ago", int(d.Hours()))
	default:
		return fmt.Sprintf("%d d ago", int(d.Hours()/24))
	}
}
