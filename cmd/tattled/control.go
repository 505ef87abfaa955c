package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/url"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"tattled/event"
	"tattled/web"
	"tattled/web/client"
)

// exitNoDaemon is of the commands that ask the daemon: the init scripts' code for a program that is not running.
const exitNoDaemon = 3

// askLimit is how long the daemon may take to answer, and completeLimit where a person waits at a prompt.
const (
	askLimit      = 30 * time.Second
	completeLimit = 300 * time.Millisecond
)

// silentError is an exit code whose reason was printed already.
type silentError struct{ code int }

func (e silentError) Error() string { return fmt.Sprintf("exit code %d", e.code) }

// controlFlags are those of every command that asks the daemon.
type controlFlags struct {
	path string
	json bool
}

// add gives them to a command; jsonHelp is that of --json, "" for a command without.
func (f *controlFlags) add(cmd *cobra.Command, jsonHelp string) {
	cmd.Flags().StringVar(&f.path, "control", web.DefaultControl, "the daemon's control socket, `PATH` (control.path in its configuration)")
	_ = cmd.MarkFlagFilename("control", "sock")
	if jsonHelp != "" {
		cmd.Flags().BoolVar(&f.json, "json", false, jsonHelp)
	}
}

// controlHelp ends the help of these commands.
const controlHelp = `

It asks the running daemon by its control socket. root may, and the members of the socket's group, which is tattled. Exit codes: 0 OK,
1 failure, 2 usage, 3 no daemon answers.`

// writeJSON writes what the daemon sent, so that no terminal obeys it.
func writeJSON(out io.Writer, value []byte) error {
	text := event.AppendVisibleJSON(nil, bytes.TrimSuffix(value, []byte("\n")))
	if _, err := out.Write(append(text, '\n')); err != nil {
		return fmt.Errorf("write: %w", err)
	}
	return nil
}

// completeFrom completes with what the newest events of the daemon have in a field.
func (f *controlFlags) completeFrom(field func(e *web.Event) string) func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	return func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		ctx, cancel := context.WithTimeout(context.Background(), completeLimit)
		defer cancel()
		c := client.New(f.path)
		defer c.Close()
		var answer web.EventsAnswer
		if _, err := c.Read(ctx, "/api/v1/events", url.Values{"limit": {"1000"}}, &answer); err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		seen := map[string]bool{}
		for i := range answer.Events {
			if text := event.Visible(field(&answer.Events[i])); text != "" {
				seen[text] = true
			}
		}
		return slices.Sorted(maps.Keys(seen)), cobra.ShellCompDirectiveNoFileComp
	}
}

// completeSources completes with the names of the daemon's sources.
func (f *controlFlags) completeSources(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	ctx, cancel := context.WithTimeout(context.Background(), completeLimit)
	defer cancel()
	c := client.New(f.path)
	defer c.Close()
	var answer web.SourcesAnswer
	if _, err := c.Read(ctx, "/api/v1/sources", nil, &answer); err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var all []string
	for _, s := range answer.Sources {
		all = append(all, event.Visible(s.Name))
	}
	return all, cobra.ShellCompDirectiveNoFileComp
}

// utc writes a time as these commands do.
func utc(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05Z") }

// quoteJSON writes text as a JSON string that is harmless to show.
func quoteJSON(text string) string {
	b, _ := json.Marshal(text) // a string always encodes
	return string(event.AppendVisibleJSON(nil, b))
}
