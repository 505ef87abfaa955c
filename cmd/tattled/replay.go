package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"tattled/daemon"
	"tattled/receiver"
	"tattled/receiver/replay"
)

// replayFlags are how `tattled replay` was called.
type replayFlags struct {
	config, compare, html    string
	chosen                   bool // --config was given
	json, journal            bool
	since, program, timezone string
	quota                    int
}

func replayCommand() *cobra.Command {
	var flags replayFlags
	cmd := &cobra.Command{
		Use:   "replay [--config FILE] [--compare FILE] [--json] [--html FILE] FILE...|- | --journal [--since WHEN]",
		Short: "Run old logs through the whole daemon and show what it would have reported",
		Long: `Run old logs, or the journal, through everything that the daemon does but sending: detection, trusted networks, GeoIP, policies, the
gate, windows, the outbox and its quota. The clock is that of the records, so a month takes seconds. Nothing is sent, no key is read, and
the state file is neither read nor written.

It answers: who would have been reported, and when; which alerts would have gone out; what the gate would have refused, and why; how
many reports were due on each day beside the quota, and how many would have waited; and how many attempts would not have happened if
each address had been blocked at its first report.

Several logs are read as one, in the order of their times; give the rotated ones too. Logs compressed by gzip, xz or zstd are read as
they are. A log that the configuration names in sources.files, or named before it was rotated, is read as it says there; of any other
one each line has a header, or with --program none. A line without a time has that of the line before it.

With --compare a second configuration judges the same records: the differences are shown, and which addresses only one of them reports.
Nobody is asked for scores: where a policy wants one, it is not known. Alerts are counted one by one, without digest.`,
		Example: `  tattled replay /var/log/auth.log*
  tattled replay --journal --since 30d
  tattled replay --compare ./stricter.yaml --html report.html /var/log/auth.log* /var/log/nginx/access.log*
  tattled replay --json /var/log/auth.log | jq -r '.addresses[].ip'
  tattled replay --quota 10000 --program nginx access.log.1.gz`,
		RunE: func(cmd *cobra.Command, args []string) error {
			flags.chosen = cmd.Flags().Changed("config")
			return runReplay(cmd.Context(), &flags, args, cmd.InOrStdin(), cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	configFlag(cmd, &flags.config)
	cmd.Flags().StringVar(&flags.compare, "compare", "", "judge by this configuration `FILE` too, and show the differences")
	cmd.Flags().BoolVar(&flags.json, "json", false, "write one JSON object")
	cmd.Flags().StringVar(&flags.html, "html", "", "write a page to `FILE` too; it needs nothing else")
	cmd.Flags().BoolVar(&flags.journal, "journal", false, "read this machine's journal, as sources.journal says, in place of files")
	cmd.Flags().StringVar(&flags.since, "since", "", "read the journal from `WHEN` on: 36h, 30d, 2026-11-01 or a time of RFC 3339 (default: all of it)")
	cmd.Flags().IntVar(&flags.quota, "quota", 1000, "how many reports AbuseIPDB takes a day: `N` is 1000 for the free plan, 10000 for Basic, 50000 for Premium; 0 stands for any number")
	cmd.Flags().StringVar(&flags.program, "program", "", "lines of logs that the configuration does not name have no header and are of the program `NAME`")
	cmd.Flags().StringVar(&flags.timezone, "timezone", "", "the `ZONE` of timestamps that name none, in those logs (default: this machine's)")
	_ = cmd.MarkFlagFilename("compare", "yaml", "yml")
	_ = cmd.MarkFlagFilename("html", "html")
	cmd.ValidArgsFunction = func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return nil, cobra.ShellCompDirectiveDefault // names of files
	}
	for _, name := range []string{"program", "quota", "since"} {
		_ = cmd.RegisterFlagCompletionFunc(name, cobra.NoFileCompletions)
	}
	return cmd
}

// check finds what is wrong with how the command was called.
func (f *replayFlags) check(files []string) error {
	switch {
	case f.journal && len(files) > 0:
		return usageError{errors.New("--journal and FILE exclude each other: replay them one after the other")}
	case !f.journal && len(files) == 0:
		return usageError{errors.New("the FILE to replay, - for standard input, or --journal is missing")}
	case f.since != "" && !f.journal:
		return usageError{errors.New("--since is for --journal: a FILE is read from its beginning")}
	case f.quota < 0:
		return usageError{fmt.Errorf("--quota: %d is not a number of reports: write 1 or more, or 0 for no bound", f.quota)}
	}
	return nil
}

func runReplay(ctx context.Context, flags *replayFlags, files []string, in io.Reader, out, errOut io.Writer) error {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(30) // most of the memory is what is known of addresses, which stays
	}
	if err := flags.check(files); err != nil {
		return err
	}
	since, err := sinceOf(flags.since, time.Now())
	if err != nil {
		return err
	}
	zone, err := zoneOf(flags.timezone)
	if err != nil {
		return err
	}
	var all replays
	defer all.close()
	if err := all.open(flags, errOut); err != nil {
		return err
	}
	began := time.Now()
	if flags.journal {
		err = all[0].Journal(ctx, since, &bareHandler{ctx, all})
	} else {
		err = all.files(ctx, flags, files, zone, in, errOut)
	}
	if ctx.Err() != nil {
		return errors.New("interrupted: nothing is shown, because it would be a part of the truth")
	}
	if err != nil {
		return err
	}
	results, err := all.finish()
	if err != nil {
		return err
	}
	return flags.show(&replayReport{
		Config: all.name(0), Compared: all.name(1), Quota: flags.quota, Seconds: time.Since(began).Seconds(), first: results[0], second: second(results),
	}, out)
}

func second(all []*daemon.Replayed) *daemon.Replayed {
	if len(all) > 1 {
		return all[1]
	}
	return nil
}

// show writes what came of it where it is wanted.
func (f *replayFlags) show(r *replayReport, out io.Writer) error {
	r.fill()
	if f.html != "" {
		if err := r.writePage(f.html); err != nil {
			return err
		}
	}
	var err error
	if f.json {
		e := json.NewEncoder(out)
		e.SetIndent("", "  ")
		err = e.Encode(r)
	} else {
		err = r.writeTable(out, screenOf(out))
	}
	if err != nil {
		return fmt.Errorf("write: %w", err)
	}
	return nil
}

// replayed is one Replay, and what judges in it.
type replayed struct {
	*daemon.Replay
	config string // "" for the shipped defaults
}

// replays are one Replay, or two that are compared.
type replays []replayed

func (all *replays) open(flags *replayFlags, errOut io.Writer) error {
	paths := []string{flags.config}
	if !flags.chosen {
		if _, err := os.Stat(flags.config); errors.Is(err, fs.ErrNotExist) {
			fmt.Fprintf(errOut, "note: there is no %s: the policies that come with tattled judge\n", flags.config)
			paths[0] = ""
		}
	}
	if flags.compare != "" {
		paths = append(paths, flags.compare)
	}
	for _, path := range paths {
		r, err := daemon.NewReplay(path, daemon.ReplayOptions{Quota: flags.quota})
		if err != nil {
			return err
		}
		*all = append(*all, replayed{r, path})
	}
	return nil
}

func (all replays) name(i int) string {
	if i >= len(all) {
		return ""
	}
	if all[i].config == "" {
		return "the shipped policies"
	}
	return all[i].config
}

func (all replays) close() {
	for _, r := range all {
		r.Close()
	}
}

func (all replays) finish() (results []*daemon.Replayed, err error) {
	for _, r := range all {
		result, err := r.Finish()
		if err != nil {
			return nil, err
		}
		results = append(results, result)
	}
	return results, nil
}

// bareHandler hands each batch to every replay.
type bareHandler struct {
	ctx context.Context
	all replays
}

// Handle implements receiver.Handler.
func (h *bareHandler) Handle(ctx context.Context, b *receiver.Batch) error {
	if err := h.ctx.Err(); err != nil {
		return err
	}
	for _, r := range h.all {
		if err := r.Handle(ctx, b); err != nil {
			return err
		}
	}
	return nil
}

// files replays files and standard input.
func (all replays) files(ctx context.Context, flags *replayFlags, names []string, zone *time.Location, in io.Reader, errOut io.Writer) error {
	h := &barHandler{bareHandler: bareHandler{ctx, all}}
	feeds := make([]replay.Feed, 0, len(names))
	var total int64
	for _, name := range names {
		f, size, err := h.feed(ctx, flags, name, zone, in)
		if err != nil {
			return err
		}
		feeds, total = append(feeds, f), total+size
	}
	h.bar = newProgress(errOut, total)
	defer h.bar.done()
	return replay.Merge(ctx, feeds, h)
}

// feed says how a file is read.
func (h *barHandler) feed(ctx context.Context, flags *replayFlags, name string, zone *time.Location, in io.Reader) (f replay.Feed, size int64, err error) {
	f, configured := h.all[0].ReplayFeed(name)
	if !configured {
		f.Program, f.Location = flags.program, zone
	}
	if name != "-" {
		info, err := os.Stat(name)
		if err != nil {
			return f, 0, err
		}
		if info.IsDir() {
			return f, 0, fmt.Errorf("read %s: it is a directory: name the logs in it", name)
		}
		if f.Reopens = info.Mode().IsRegular(); f.Reopens {
			f.Received, size = info.ModTime(), info.Size()
		}
	}
	f.Open = func() (io.ReadCloser, error) {
		log, err := openLog(ctx, name, in, func() {})
		if err == nil {
			h.logs = append(h.logs, log)
		}
		return log, err
	}
	return f, size, nil
}

// barHandler shows how far the logs were read as well.
type barHandler struct {
	bareHandler
	logs    []*logInput
	bar     *progress
	batches int
}

// Handle implements receiver.Handler.
func (h *barHandler) Handle(ctx context.Context, b *receiver.Batch) error {
	if h.batches++; h.batches%256 == 0 {
		var done int64
		for _, l := range h.logs {
			done += l.raw.n
		}
		h.bar.show(done)
	}
	return h.bareHandler.Handle(ctx, b)
}

// sinceOf reads --since: how long ago, in a unit of time or days, a day, or a time; zero for none.
func sinceOf(text string, now time.Time) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if days, isDays := strings.CutSuffix(text, "d"); isDays {
		if n, err := strconv.Atoi(days); err == nil && n > 0 && n <= 3650 {
			return now.AddDate(0, 0, -n), nil
		}
	}
	if ago, err := time.ParseDuration(text); err == nil && ago > 0 {
		return now.Add(-ago), nil
	}
	for _, layout := range []string{time.DateOnly, time.DateTime, time.RFC3339} {
		if at, err := time.ParseInLocation(layout, text, time.Local); err == nil {
			return at, nil
		}
	}
	return time.Time{}, usageError{fmt.Errorf("--since: %q is not a time: write 36h, 30d, 2026-11-01 or 2026-11-01T12:00:00Z", text)}
}
