package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"tattled/daemon"
	"tattled/detect"
	"tattled/policy"
)

func checkCommand() *cobra.Command {
	var (
		config   string
		rules    bool
		policies bool
	)
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Check the configuration and the rules, run the rules' samples and attack the rules",
		Long: `Check the configuration and the rules, and run every sample of every rule. Then attack the rules of your own files (with --rules
all rules): lines are made as a program would write them for a peer who wants somebody else to be blamed, and a rule that blames
the wrong address is an error. All errors are printed at once, one a line, as FILE:LINE: SETTING: what is wrong and what to write
instead; the exit code is then 78. A setting without effect, because of another or because one is missing, is a warning, and the exit
code is 0. As root, files are checked as the user that the service runs as. DNS
names of trusted and own are looked up, and what they are is printed; one that does not resolve is a warning. The state file and the sockets are not opened.

With --policies it prints the policies that come with tattled, as a part of a configuration, and checks nothing.`,
		Example: `  tattled check
  tattled check --config ./tattled.yaml --rules
  tattled check --policies`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			out := cmd.OutOrStdout()
			if policies {
				_, err := io.WriteString(out, policy.Shipped())
				return err
			}
			summary, err := daemon.Check(config, rules)
			for _, w := range summary.Warnings {
				fmt.Fprintln(cmd.ErrOrStderr(), "warning:", w)
			}
			if err != nil {
				return err
			}
			for _, name := range summary.Names {
				fmt.Fprintln(out, name)
			}
			if rules {
				writeServices(out, summary.Services)
			}
			attacks := ""
			if summary.Attacks > 0 {
				attacks = fmt.Sprintf(", %d attacks (seed %d), 0 of which blamed somebody else", summary.Attacks, summary.Seed)
			}
			_, err = fmt.Fprintf(out, "%s is OK: %d rules of %d services, %d samples%s\n", config, summary.Rules, len(summary.Services), summary.Samples, attacks)
			return err
		},
	}
	configFlag(cmd, &config)
	cmd.Flags().BoolVar(&rules, "rules", false, "attack all rules, and print rules, samples and attacks by service")
	cmd.Flags().BoolVar(&policies, "policies", false, "print the policies that come with tattled")
	return cmd
}

// writeServices writes a line for each service: its rules, their samples, and what became of the attacks.
func writeServices(out io.Writer, all []daemon.CheckedService) {
	w := screenOf(out)
	fmt.Fprintln(out, w.paint(bold, fmt.Sprintf("%-18s %5s %7s %7s %9s %7s %7s  %s",
		"SERVICE", "RULES", "SAMPLES", "ATTACKS", "TRUE PEER", "REFUSED", "IGNORED", "LINES")))
	undeclared := false
	for _, s := range all {
		a := s.Attack
		fmt.Fprintf(out, "%-18s %5d %7d %7d %9d %7d %7d  %s\n", s.Name, s.Rules, s.Samples, a.Lines, a.Found, a.Refused, a.Ignored, linesText(s.Lines))
		undeclared = undeclared || s.Lines == detect.LinesUnsaid
	}
	if undeclared {
		fmt.Fprintf(out, "%s: the file has no lines:, so that a whole line is believed wherever it was read.\n", linesText(detect.LinesUnsaid))
	}
}

// linesText is what a rule file says of where peers can write whole lines.
func linesText(l detect.Lines) string {
	if l == detect.LinesUnsaid {
		return "undeclared"
	}
	return l.String()
}
