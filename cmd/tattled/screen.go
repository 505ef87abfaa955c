package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"golang.org/x/term"
)

// screen is what output may look like. The zero screen is for a pipe or a file: lines of any length, and no colour.
type screen struct {
	width  int // characters of a line; 0 for any number
	colour bool
}

// leastWidth is the narrowest terminal that anything is wrapped for.
const leastWidth = 40

// screenOf looks whether w is a terminal. NO_COLOR (no-color.org) and TERM=dumb take the colour away.
func screenOf(w io.Writer) screen {
	f, ok := w.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return screen{}
	}
	s := screen{colour: os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"}
	if width, _, err := term.GetSize(int(f.Fd())); err == nil && width > 0 {
		s.width = max(width, leastWidth)
	}
	return s
}

// The styles of paint (ECMA-48, Select Graphic Rendition).
const (
	bold   = "1"
	dim    = "2"
	red    = "1;31"
	yellow = "1;33"
)

// paint gives text a style where there is colour. The text must be harmless.
func (s screen) paint(style, text string) string {
	if !s.colour || text == "" {
		return text
	}
	return "\x1b[" + style + "m" + text + "\x1b[0m"
}

// wrap breaks text at spaces so that its lines fit, of which the first begins at column used and the others with indent spaces.
// A word that does not fit is left whole, for the terminal to break.
func (s screen) wrap(text string, used, indent int) string {
	if s.width == 0 {
		return text
	}
	var b strings.Builder
	column, line := used, 0 // line: how many words this one has
	for i, word := range strings.Split(text, " ") {
		n := utf8.RuneCountInString(word)
		switch {
		case i == 0:
		case line > 0 && column+1+n > s.width:
			b.WriteString("\n" + strings.Repeat(" ", indent))
			column, line = indent, 0
		default:
			b.WriteByte(' ')
			column++
		}
		b.WriteString(word)
		column += n
		line++
	}
	return b.String()
}

// reflow wraps the paragraphs of a text that was wrapped for another width. Lines that begin with a space stay as they are.
func (s screen) reflow(text string) string {
	if s.width == 0 {
		return text
	}
	var all []string
	for _, paragraph := range strings.Split(text, "\n\n") {
		if !strings.HasPrefix(paragraph, " ") {
			paragraph = s.wrap(strings.ReplaceAll(paragraph, "\n", " "), 0, 0)
		}
		all = append(all, paragraph)
	}
	return strings.Join(all, "\n\n")
}

// showHelp is cobra's help, in the width of the terminal and with its headings in bold there.
func showHelp(cmd *cobra.Command, _ []string) {
	out := cmd.OutOrStdout()
	s := screenOf(out)
	text := cmd.Long
	if text == "" {
		text = cmd.Short
	}
	if s.width > 0 {
		cmd.SetUsageTemplate(strings.ReplaceAll(cmd.UsageTemplate(), ".FlagUsages", fmt.Sprintf(".FlagUsagesWrapped %d", s.width)))
	}
	fmt.Fprintf(out, "%s\n\n%s", s.reflow(strings.TrimSpace(text)), s.usage(cmd.UsageString()))
}

// usage fits cobra's text to the screen: headings in bold, descriptions wrapped below where they begin. Examples stay as they
// are, for they are there to be copied.
func (s screen) usage(text string) string {
	lines := strings.Split(text, "\n")
	heading := ""
	for i, line := range lines {
		switch {
		case strings.HasSuffix(line, ":") && !strings.HasPrefix(line, " "):
			heading, lines[i] = line, s.paint(bold, line)
		case heading != "Examples:":
			indent := 0
			if at := strings.LastIndex(line, "  "); at >= 0 {
				indent = at + len("  ")
			}
			lines[i] = line[:indent] + s.wrap(line[indent:], indent, indent)
		}
	}
	return strings.Join(lines, "\n")
}
