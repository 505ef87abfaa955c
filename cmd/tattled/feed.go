package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"

	"github.com/spf13/cobra"

	"tattled/setting"
	"tattled/web"
	"tattled/web/client"
)

func feedCommand() *cobra.Command {
	var flags controlFlags
	var format, policy, since string
	var least int
	cmd := &cobra.Command{
		Use:   "feed [--format FORMAT] [--policy NAME] [--since 24h] [--min-count N]",
		Short: "List addresses to block, for a packet filter",
		Long: `List addresses to block: those that were reported lately (in dry-run mode, that would have been), or that reached one policy. IPv6 addresses
are listed as their /64. Trusted, own, private and shared addresses never are, whatever they were when they were reported; a /64 with
such an address in it is not listed either, but the addresses of the attackers alone.

An address stays for --since after the last event that was counted; twice as long for each report more within 30 days, and 30 days at most.
Blocking itself is the work of others: /usr/share/doc/tattled/docs/blocking.md shows nftables, fail2ban, OPNsense and MikroTik taking it.

Formats: plain (one address a line), json, nftables (for nft -f), ipset (for ipset restore), mikrotik (for /import), pfsense (URL tables of
pfSense and OPNsense, external dynamic lists). The same is at /api/v1/feed of the page.` + controlHelp,
		Example: `  tattled feed
  tattled feed --format nftables | nft -f -
  tattled feed --policy web-probing --since 7d --min-count 20
  tattled feed --json | jq -r '.entries[] | select(.reports > 3) | .network'`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if flags.json {
				if cmd.Flags().Changed("format") && format != "json" {
					return usageError{errors.New("--json and --format exclude each other")}
				}
				format = "json"
			}
			q := url.Values{"format": {format}, "since": {since}, "min_count": {strconv.Itoa(least)}}
			if policy != "" {
				q.Set("policy", policy)
			}
			return writeFeed(cmd, flags.path, q)
		},
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	flags.add(cmd, "the same as --format json")
	cmd.Flags().StringVar(&format, "format", "plain", "the `FORMAT`")
	cmd.Flags().StringVar(&policy, "policy", "", "those that reached the policy of this `NAME`, also one that only alerts; of events that nobody can have forged")
	cmd.Flags().StringVar(&since, "since", setting.Duration(web.UsualSince).String(), "how long an address that was reported once stays, a `DURATION` from 1m to 30d")
	cmd.Flags().IntVar(&least, "min-count", 1, "those with `N` events or more in their reports")
	_ = cmd.RegisterFlagCompletionFunc("format", cobra.FixedCompletions(web.FeedFormats(), cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

func writeFeed(cmd *cobra.Command, path string, q url.Values) error {
	ctx, cancel := context.WithTimeout(cmd.Context(), askLimit)
	defer cancel()
	c := client.New(path)
	defer c.Close()
	body, err := c.Get(ctx, "/api/v1/feed", q)
	var refused *client.Refused
	switch {
	case errors.As(err, &refused) && refused.Status == http.StatusBadRequest:
		return usageError{err}
	case err != nil:
		return err
	}
	if _, err := cmd.OutOrStdout().Write(body); err != nil {
		return fmt.Errorf("write: %w", err)
	}
	return nil
}
