// Command abuseipdb-double serves a local AbuseIPDB: the API as far as it is known, what it was asked, and faults on demand.
// tattled talks to it when report.abuseipdb.url is http://127.0.0.1:8089/api/v2/. It is for trying and testing; nothing that it
// receives leaves the machine.
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
	"golang.org/x/sync/errgroup"

	"tattled/report/abuseipdb/double"
)

const long = `abuseipdb-double is an AbuseIPDB of your own, on this machine only: it answers all endpoints of the API v2 (report,
bulk-report, check, check-block, reports, blacklist, clear-address) as the real one does, with its 15-minute rule, its daily
quotas and its error answers, and it shows what it was sent.

Try tattled against it: set in /etc/tattled/tattled.yaml

    report:
      abuseipdb: {url: "http://127.0.0.1:8089/api/v2/", key_file: /etc/tattled/abuseipdb.key}

with any string as the key, and look at what arrives:

    curl -s http://127.0.0.1:8089/double/reports     what was accepted
    curl -s http://127.0.0.1:8089/double/requests    everything that was asked
    curl -s http://127.0.0.1:8089/double/files       the bulk files
    curl -s http://127.0.0.1:8089/double/quota       what is used up of today's quotas

Set what check and blacklist answer, and move its clock, by which quotas and the 15-minute rule go:

    curl -X PUT -d '{"203.0.113.9": 80}'             http://127.0.0.1:8089/double/scores
    curl -X PUT -d '{"203.0.113.9": {"score": 80, "country": "DE", "usage_type": "Library"}}' http://127.0.0.1:8089/double/addresses
    curl -X PUT -d '{"step": "24h"}'                 http://127.0.0.1:8089/double/clock

Make it misbehave: a script of faults is a list in JSON, here or in the file of --faults. Each request takes the first fault that
fits it; [] ends them all.

    curl -X PUT -d '[{"mode": "500", "times": 3}, {"mode": "pass", "times": 10}, {"mode": "401"}]' http://127.0.0.1:8089/double/faults

    mode        one of the list below
    endpoint    only requests to this one: report, bulk-report, check, ...
    address     only requests about this address or network
    skip        let so many of the requests that fit pass first
    times       hit so many requests, then be gone; without it, hit all
    delay       how long delay and hold wait, and slow after each byte: "30s"
    status, header, body    what the mode answer sends

http://127.0.0.1:8089/ lists all paths. The newest 50,000 reports and requests are kept, in memory and, with --state, in a file, which
is written a second after a change and at the end.

Modes of faults:

%s
How sure is what it does? "documented" is what AbuseIPDB says itself, "observed" is what others recorded of the real API, and
"synthetic" is a guess from which nothing may be concluded:

%s`

// teach returns the help.
func teach() string {
	var modes, behaviours strings.Builder
	for _, m := range double.Describe() {
		fmt.Fprintf(&modes, "    %-14s %s\n", m.Mode, m.What)
	}
	for _, b := range double.Behaviours() {
		fmt.Fprintf(&behaviours, "    %-10s  %s: %s\n", b.Mark, b.Name, b.What)
	}
	return fmt.Sprintf(long, modes.String(), strings.TrimRight(behaviours.String(), "\n"))
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	cmd := command()
	if err := cmd.ExecuteContext(ctx); err != nil {
		fmt.Fprintln(cmd.ErrOrStderr(), "abuseipdb-double:", err)
		os.Exit(1)
	}
}

// settings are the flags.
type settings struct {
	listen, redirect    string
	clock, faults, path string
	double              double.Options
}

func command() *cobra.Command {
	var s settings
	cmd := &cobra.Command{
		Use:           "abuseipdb-double",
		Short:         "Serve a local AbuseIPDB for trying and testing",
		Long:          teach(),
		Example:       "  abuseipdb-double --listen 127.0.0.1:8089\n  abuseipdb-double --plan premium --key secret --state double.json\n  abuseipdb-double --clock 2026-01-01T23:59:00Z --faults faults.json",
		Args:          cobra.NoArgs,
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			d, err := s.open()
			if err != nil {
				return err
			}
			return s.serve(cmd.Context(), d, cmd.OutOrStdout())
		},
	}
	cmd.AddCommand(manCommands()...)
	f := cmd.Flags()
	f.StringVar(&s.listen, "listen", "127.0.0.1:8089", "address and port to listen on; port 0 picks a free one")
	f.StringVar(&s.redirect, "redirect", "", "address and port that answer everything with 302 to --listen, as the API's port for plain http does")
	f.StringVar(&s.double.Plan, "plan", "standard", "plan that sets the daily quotas: "+strings.Join(double.Plans(), ", "))
	f.StringVar(&s.double.Key, "key", "", "the only key that is accepted (default: any)")
	f.BoolVar(&s.double.Eastern, "eastern", false, "reset the quotas at 05:00 UTC instead of 00:00 UTC")
	f.BoolVar(&s.double.FreeDuplicates, "free-duplicates", false, "do not count reports that the 15-minute rule refuses against the quota")
	f.StringVar(&s.clock, "clock", "", "what the clock shows at the start, like 2026-01-02T03:04:05Z (default: the time)")
	f.StringVar(&s.faults, "faults", "", "file with a script of faults, as PUT /double/faults takes it")
	f.StringVar(&s.path, "state", "", "file that keeps everything over a restart (default: nothing is kept)")
	return cmd
}

// open makes the double that the flags describe.
func (s *settings) open() (*double.Double, error) {
	if s.clock != "" {
		start, err := time.Parse(time.RFC3339, s.clock)
		if err != nil {
			return nil, fmt.Errorf("--clock: %q is not a time like 2026-01-02T03:04:05Z", s.clock)
		}
		s.double.Start = start
	}
	d, err := double.New(s.double)
	if err != nil {
		return nil, err
	}
	if s.path != "" {
		if err := d.Load(s.path); err != nil {
			return nil, fmt.Errorf("--state: %w", err)
		}
	}
	if s.faults != "" {
		text, err := os.ReadFile(s.faults)
		if err != nil {
			return nil, fmt.Errorf("--faults: %w", err)
		}
		faults, err := double.ReadFaults(text)
		if err != nil {
			return nil, fmt.Errorf("--faults: %s: %w", s.faults, err)
		}
		d.SetFaults(faults...)
	}
	return d, nil
}

// serve serves until ctx ends. The first line that it writes to out tells the base URL, port included.
func (s *settings) serve(ctx context.Context, d *double.Double, out io.Writer) error {
	var listen net.ListenConfig
	l, err := listen.Listen(ctx, "tcp", s.listen)
	if err != nil {
		return err
	}
	defer l.Close()
	servers := map[net.Listener]http.Handler{l: d}
	redirect := ""
	if s.redirect != "" {
		r, err := listen.Listen(ctx, "tcp", s.redirect)
		if err != nil {
			return err
		}
		defer r.Close()
		servers[r] = double.Redirect("http://" + l.Addr().String())
		redirect = fmt.Sprintf("redirecting: http://%s/api/v2/\n", r.Addr())
	}
	fmt.Fprintf(out, "listening: http://%s/api/v2/ (what it gets: http://%[1]s/double/reports)\n%s", l.Addr(), redirect)
	group, ctx := errgroup.WithContext(ctx)
	for l, handler := range servers {
		group.Go(func() error { return serveOn(ctx, l, handler) })
	}
	group.Go(func() error { return s.keep(ctx, d) })
	err = group.Wait()
	if s.path != "" {
		err = errors.Join(err, d.Save(s.path))
	}
	return err
}

// keep writes what changed to the state file until ctx ends.
func (s *settings) keep(ctx context.Context, d *double.Double) error {
	if s.path == "" {
		return nil
	}
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			if err := d.Save(s.path); err != nil {
				return err
			}
		}
	}
}

// serveOn serves on one listener until ctx ends.
func serveOn(ctx context.Context, l net.Listener, handler http.Handler) error {
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second, ReadTimeout: 30 * time.Second, MaxHeaderBytes: 64 << 10}
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
