// Command tattled detects attacks in logs and reports each attacker to AbuseIPDB once per window. This package is the
// command line alone: each subcommand has a file, what it does is in package daemon and below.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	_ "time/tzdata" // a timezone in the configuration must not depend on what is installed

	"github.com/spf13/cobra"

	"tattled/daemon"
	"tattled/web/client"
)

// Exit codes, as sysexits.h and the shell know them.
const (
	exitOK      = 0
	exitFailure = 1
	exitUsage   = 2
	exitConfig  = 78
)

// version is set by the build: -ldflags "-X main.version=1.2.3".
var version = "devel"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// run is the whole program but for the process: tests call it.
func run(ctx context.Context, args []string, in io.Reader, out, errOut io.Writer) int {
	root := rootCommand()
	root.SetArgs(args)
	root.SetIn(in)
	root.SetOut(out)
	root.SetErr(errOut)
	cmd, err := root.ExecuteContextC(ctx)
	return exitCode(errOut, cmd.CommandPath(), err)
}

// exitCode says what went wrong with the command of that name, and returns the exit code.
func exitCode(errOut io.Writer, command string, err error) int {
	var (
		usage  usageError
		faults daemon.Faults
		silent silentError
		absent *client.Unreachable
	)
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &faults):
		fmt.Fprintln(errOut, faults)
		return exitConfig
	case errors.As(err, &usage):
		fmt.Fprintf(errOut, "%s: %v\nSee '%s --help'.\n", command, err, command)
		return exitUsage
	case errors.As(err, &silent):
		return silent.code
	case errors.As(err, &absent):
		fmt.Fprintln(errOut, "tattled:", err)
		return exitNoDaemon
	default:
		fmt.Fprintln(errOut, "tattled:", err)
		return exitFailure
	}
}

func rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "tattled",
		Short: "Detect attacks in logs and report each attacker to AbuseIPDB once per window",
		Long: `tattled reads the systemd journal, log files and remote syslog, detects attacks in what it reads, reports each
attacker to AbuseIPDB once per window, and alerts the operator by mail to what deserves a look. A live page and
Prometheus metrics show all of it.

Without an AbuseIPDB key it runs in dry-run mode: it does everything but send.`,
		Example: `  tattled check                                   is the configuration valid?
  tattled run                                     the daemon, as systemd starts it
  tattled status                                  how is the running daemon?
  tattled show 203.0.113.5                        what did an address do, and what became of it?
  tattled match --summary /var/log/auth.log       what would be detected?
  journalctl -o short | tattled match --json -`,
		Version:       version,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          onlyCommands,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetVersionTemplate("{{.Version}}\n")
	root.SetHelpFunc(showHelp)
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	root.AddCommand(runCommand(), checkCommand(), matchCommand(), replayCommand(), explainCommand(), rulesCommand(), importCommand(), versionCommand())
	root.AddCommand(statusCommand(), eventsCommand(), showCommand(), feedCommand(), reportCommand(), retractCommand(), backupCommand())
	root.AddCommand(manCommands()...)
	for _, c := range root.Commands() {
		c.Args = asUsage(c.Args)
	}
	root.Args = asUsage(root.Args)
	return root
}

// configFlag adds --config, and completes it with YAML files.
func configFlag(cmd *cobra.Command, path *string) {
	cmd.Flags().StringVarP(path, "config", "c", "/etc/tattled/tattled.yaml", "the configuration `FILE`")
	_ = cmd.MarkFlagFilename("config", "yaml", "yml")
}
