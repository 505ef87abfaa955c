// Command abuseipdb-double serves a local AbuseIPDB: the API's report and check as far as they are known, what they were
// asked, and faults on demand. tattled talks to it when report.abuseipdb.url is http://127.0.0.1:8089/api/v2/. It is for
// trying and testing; nothing that it receives leaves the machine.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"tattled/report/abuseipdb/double"
)

const long = `abuseipdb-double is an AbuseIPDB of your own, on this machine only: it accepts reports and answers checks like the
real API v2, with its 15-minute rule, its daily quotas and its error answers, and it shows what it was sent.

Try tattled against it: set in /etc/tattled/tattled.yaml

    report:
      abuseipdb: {url: "http://127.0.0.1:8089/api/v2/", key_file: /etc/tattled/abuseipdb.key}

with any string as the key, and look at what arrives:

    curl -s http://127.0.0.1:8089/double/reports     what was accepted
    curl -s http://127.0.0.1:8089/double/requests    everything that was asked

Set what check answers, make it misbehave, move its clock:

    curl -X PUT -d '{"203.0.113.9": 80}'             http://127.0.0.1:8089/double/scores
    curl -X PUT -d '[{"mode": "500", "times": 3}]'   http://127.0.0.1:8089/double/faults
    curl -X PUT -d '{"step": "24h"}'                 http://127.0.0.1:8089/double/clock

Modes of faults: %s.
http://127.0.0.1:8089/ lists all of it. It keeps the newest 50,000 reports and requests in memory and forgets them when it
ends.`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	cmd := command()
	if err := cmd.ExecuteContext(ctx); err != nil {
		fmt.Fprintln(cmd.ErrOrStderr(), "abuseipdb-double:", err)
		os.Exit(1)
	}
}

func command() *cobra.Command {
	var listen string
	var o double.Options
	var modes []string
	for _, m := range double.Modes() {
		modes = append(modes, string(m))
	}
	cmd := &cobra.Command{
		Use:           "abuseipdb-double",
		Short:         "Serve a local AbuseIPDB for trying and testing",
		Long:          fmt.Sprintf(long, strings.Join(modes, ", ")),
		Example:       "  abuseipdb-double --listen 127.0.0.1:8089\n  abuseipdb-double --plan premium --key secret",
		Args:          cobra.NoArgs,
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return serve(cmd.Context(), listen, o, cmd.OutOrStdout())
		},
	}
	cmd.Flags().StringVar(&listen, "listen", "127.0.0.1:8089", "address and port to listen on; port 0 picks a free one")
	cmd.Flags().StringVar(&o.Plan, "plan", "standard", "plan that sets the daily quotas: "+strings.Join(double.Plans(), ", "))
	cmd.Flags().StringVar(&o.Key, "key", "", "the only key that is accepted (default: any)")
	cmd.Flags().BoolVar(&o.Eastern, "eastern", false, "reset the quotas at 05:00 UTC instead of 00:00 UTC")
	cmd.Flags().BoolVar(&o.FreeDuplicates, "free-duplicates", false, "do not count reports that the 15-minute rule refuses against the quota")
	return cmd
}

// serve serves until ctx ends. The first line that it writes to out tells the base URL, port included.
func serve(ctx context.Context, listen string, o double.Options, out io.Writer) error {
	d, err := double.New(o)
	if err != nil {
		return err
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", listen)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "listening: http://%s/api/v2/ (what it gets: http://%[1]s/double/reports)\n", l.Addr())
	server := &http.Server{Handler: d, ReadHeaderTimeout: 10 * time.Second, ReadTimeout: 30 * time.Second, MaxHeaderBytes: 64 << 10}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stopped := make(chan error, 1)
	go func() {
		<-ctx.Done()
		grace, end := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
		defer end()
		err := server.Shutdown(grace)
		server.Close()
		if errors.Is(err, context.DeadlineExceeded) {
			err = nil // what was still held, by a fault, is cut
		}
		stopped <- err
	}()
	if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return <-stopped
}
