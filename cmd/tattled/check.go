package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"tattled/daemon"
)

func checkCommand() *cobra.Command {
	var (
		config string
		rules  bool
	)
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Check the configuration and the rules, and run the rules' samples",
		Long: `Check the configuration and the rules, and run every sample of every rule. All faults are printed at once, one a line, as
FILE:LINE: SETTING: what is wrong and what to write instead; the exit code is then 78. Nothing is opened but the files that are read.`,
		Example: `  tattled check
  tattled check --config ./tattled.yaml --rules`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			summary, err := daemon.Check(config)
			if err != nil {
				return err
			}
			out := cmd.OutOrStdout()
			if rules {
				for _, s := range summary.Services {
					fmt.Fprintf(out, "%-16s %4d rules %5d samples\n", s.Name, s.Rules, s.Samples)
				}
			}
			for _, w := range summary.Warnings {
				fmt.Fprintln(cmd.ErrOrStderr(), "warning:", w)
			}
			_, err = fmt.Fprintf(out, "%s is good: %d rules of %d services, %d samples\n", config, summary.Rules, len(summary.Services), summary.Samples)
			return err
		},
	}
	configFlag(cmd, &config)
	cmd.Flags().BoolVar(&rules, "rules", false, "also print rules and samples by service")
	return cmd
}
