package main

import (
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"github.com/spf13/cobra"

	"tattled/daemon"
)

func runCommand() *cobra.Command {
	var options daemon.Options
	cmd := &cobra.Command{
		Use:   "run",
		Short: "Run the daemon in the foreground",
		Long: `Run the daemon in the foreground until SIGTERM or SIGINT. SIGHUP reads the configuration again: rules, policy, trusted
networks, GeoIP databases and secrets take effect at once, and a bad file changes nothing; what needs a restart is named in the log.

Sockets that systemd passes (tattled.socket, tattled-web.socket) are used for the listeners, and the page, with the same address;
the others are opened here. One that cannot be opened is tried again while the others run.`,
		Example: `  tattled run --config /etc/tattled/tattled.yaml`,
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if os.Getenv("GOGC") == "" {
				debug.SetGCPercent(50) // under a flood half of the memory would be what waits for the collector; it costs a few per cent of CPU
			}
			options.Version = version
			options.Log = daemon.NewLogger(cmd.ErrOrStderr())
			hangup := make(chan os.Signal, 1) // before anything is opened: else a reload during the start would end it
			signal.Notify(hangup, syscall.SIGHUP)
			defer signal.Stop(hangup)
			d, err := daemon.New(options)
			if err != nil {
				return err
			}
			return d.Run(cmd.Context(), hangup)
		},
	}
	configFlag(cmd, &options.Config)
	return cmd
}
