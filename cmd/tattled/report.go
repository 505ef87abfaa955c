package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"time"

	"github.com/spf13/cobra"

	"tattled/event"
	"tattled/report/abuseipdb"
	"tattled/web"
	"tattled/web/client"
)

// handLimit is how long the daemon may take: AbuseIPDB may be asked.
const handLimit = 90 * time.Second

func reportCommand() *cobra.Command {
	var flags controlFlags
	var asked web.HandReport
	cmd := &cobra.Command{
		Use:   "report --category CATEGORY [--comment TEXT] [--json] [--control PATH] IP",
		Short: "Report an address to AbuseIPDB by hand, through the same gate",
		Long: `Report an address to AbuseIPDB by hand. The running daemon asks the same gate as for its own reports (no trusted, own, private or shared
address), sends at most one report of an address in a window, and queues it with the others. What became of it, tattled show IP says.

Without a comment the report says how often the address did what, and when, as far as the daemon knows. A comment is sent as it is, and
everybody can read it: write no names of your machines, accounts or people into it.` + controlHelp,
		Example: `  tattled report 203.0.113.5 --category brute-force --category ssh
  tattled report 203.0.113.5 --category 21 --comment "tried to upload a web shell"`,
		Args: needsOne("IP"),
		RunE: func(cmd *cobra.Command, args []string) error {
			asked.Address = args[0]
			if len(asked.Categories) == 0 {
				return usageError{errors.New("--category is missing: a number, or a name like port-scan or ssh")}
			}
			var got web.HandReceipt
			return flags.byHand(cmd, "/api/v1/report", args[0], &asked, &got, func() string {
				if got.DryRun {
					return got.Address + " would be reported: this is dry-run mode, nothing is sent"
				}
				return fmt.Sprintf("%s will be reported (tattled show %[1]s)", got.Address)
			})
		},
		ValidArgsFunction: flags.completeAddress,
	}
	flags.add(cmd, "write the receipt as one JSON object")
	cmd.Flags().StringArrayVar(&asked.Categories, "category", nil, "a `CATEGORY` of AbuseIPDB, by number or name; may be given several times")
	cmd.Flags().StringVar(&asked.Comment, "comment", "", "what the address did, as `TEXT` of 1000 bytes at most")
	_ = cmd.RegisterFlagCompletionFunc("category", cobra.FixedCompletions(abuseipdb.CategoryNames(), cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

func retractCommand() *cobra.Command {
	var flags controlFlags
	cmd := &cobra.Command{
		Use:   "retract [--json] [--control PATH] IP",
		Short: "Take back what was reported about an address",
		Long: `Take back what was reported about an address: reports that wait are not sent, AbuseIPDB deletes those that it has of this account, and the
address is held back, so that it is not reported again for a window. It leaves the feed of addresses to block as well.

AbuseIPDB takes few such requests a day (5 on the free plan). An address that is never to be reported belongs into trusted: of the
configuration.` + controlHelp,
		Example: `  tattled retract 203.0.113.5`,
		Args:    needsOne("IP"),
		RunE: func(cmd *cobra.Command, args []string) error {
			var got web.Retraction
			return flags.byHand(cmd, "/api/v1/retract", args[0], web.HandRetraction{Address: args[0]}, &got, func() string {
				deleted := "AbuseIPDB deleted " + plural(uint64(max(got.Deleted, 0)), "report")
				if got.DryRun {
					deleted = "AbuseIPDB was not asked, because this is dry-run mode"
				}
				return fmt.Sprintf("%s: %s, %s not sent, held back until %s", got.Address, deleted, plural(uint64(max(got.Withdrawn, 0)), "report"), utc(got.HeldUntil))
			})
		},
		ValidArgsFunction: flags.completeAddress,
	}
	flags.add(cmd, "write what was done as one JSON object")
	return cmd
}

// completeAddress completes the one argument of a command with addresses that the daemon saw.
func (f *controlFlags) completeAddress(cmd *cobra.Command, args []string, begun string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return f.completeFrom(func(e *web.Event) string { return e.Address })(cmd, args, begun)
}

// byHand has the daemon do something, reads what it did into got, and writes that.
func (f *controlFlags) byHand(cmd *cobra.Command, path, ip string, asked, got any, text func() string) error {
	if addr, err := netip.ParseAddr(ip); err != nil || addr.Zone() != "" {
		return usageError{fmt.Errorf("%q is not an IP address", event.Visible(ip))}
	}
	body, err := json.Marshal(asked)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), handLimit)
	defer cancel()
	c := client.New(f.path)
	defer c.Close()
	answer, err := c.Send(ctx, path, body, got)
	var refused *client.Refused
	switch {
	case errors.As(err, &refused) && refused.Status == http.StatusBadRequest:
		return usageError{err}
	case err != nil:
		return err
	case f.json:
		return writeJSON(cmd.OutOrStdout(), answer)
	}
	if _, err := fmt.Fprintln(cmd.OutOrStdout(), event.Visible(text())); err != nil {
		return fmt.Errorf("write: %w", err)
	}
	return nil
}
