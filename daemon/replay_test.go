package daemon

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"tattled/event"
	"tattled/policy"
	"tattled/receiver"
	"tattled/receiver/replay"
	"tattled/receiver/tail"
	"tattled/report"
	"tattled/report/abuseipdb"
	"tattled/report/mail"
	"tattled/store"
)

// liveFeed is a source that hands over each line of a log when it was written.
type liveFeed struct {
	pipe
	text  string
	ended chan struct{}
}

func (f *liveFeed) Run(ctx context.Context, _ receiver.Positions, h receiver.Handler) error {
	lines := replay.NewLines(replay.Options{Source: f.name, Trust: event.TrustReport, Received: time.Now().AddDate(0, 6, 0)})
	cutter := replay.NewCutter(strings.NewReader(f.text), 0)
	var b replay.Block
	for cutter.Next(ctx, &b) == nil {
		if err := lines.Hand(ctx, &b, &waiting{h}); err != nil {
			return err
		}
	}
	close(f.ended)
	<-ctx.Done()
	return nil
}

// waiting hands each record on at its time.
type waiting struct{ receiver.Handler }

func (w *waiting) Handle(ctx context.Context, b *receiver.Batch) error {
	for i := range b.Records {
		if d := time.Until(b.Records[i].Time); d > 0 {
			select {
			case <-time.After(d):
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		one := *b
		one.Records, one.Received, one.Stream = b.Records[i:i+1], time.Now(), ""
		if err := w.Handler.Handle(ctx, &one); err != nil {
			return err
		}
	}
	return nil
}

// takesAll is a destination as a replay's is, by the clock of the machine.
type takesAll struct {
	name  string
	quota int
	day   time.Time
	used  int
}

func (s *takesAll) Destination() string { return s.name }

func (s *takesAll) Send(context.Context, *event.Report) report.Outcome {
	if day := dayOf(time.Now()); day != s.day {
		s.day, s.used = day, 0
	}
	if s.used++; s.quota > 0 && s.used > s.quota {
		s.used--
		return report.Outcome{Result: report.Paused, Until: s.day.AddDate(0, 0, 1)}
	}
	return report.Outcome{Result: report.Delivered}
}

// liveParts are the shipped parts with a source that has a log's lines when they were written, and destinations that take all.
func liveParts(f *liveFeed, quota int) *table {
	return &table{
		sources: []part[source]{each[tail.Files]("sources.files", func(at string, c *tail.Config) source {
			s := fileSource(at, c)
			s.open = func(*environment) (receiver.Receiver, error) { f.name = c.Source(); return f, nil }
			return s
		})},
		destinations: []part[destination]{
			always(abuseIPDBSection, func(at string, c *abuseipdb.Config) destination {
				d := abuseIPDBDestination(at, c)
				d.open = func(*Config, string) (report.Sender, error) { return &takesAll{name: d.name, quota: quota}, nil }
				return d
			}, abuseIPDBKey()),
			optional("alerts.mail", func(at string, c *mail.Config) destination {
				d := mailDestination(at, c)
				d.open = func(*Config, string) (report.Sender, error) { return &takesAll{name: d.name}, nil }
				return d
			}, mailPassword()),
		},
	}
}

// outcome is all that a run decided.
type outcome struct {
	Items     []string
	Decisions map[policy.Decision]uint64
	Refused   map[string]uint64
	Trusted   uint64
	Last      uint64 // how many events there were
}

func outcomeOf(t testing.TB, s *store.Store, c *policy.Counters, trusted uint64) outcome {
	t.Helper()
	o := outcome{Decisions: c.Decisions(), Refused: map[string]uint64{}, Trusted: trusted, Last: s.Stats().LastSeq}
	maps.DeleteFunc(o.Decisions, func(_ policy.Decision, n uint64) bool { return n == 0 })
	for _, r := range policy.Refusals() {
		if n := c.Refused(r); n > 0 {
			o.Refused[r.String()] = n
		}
	}
	items, err := s.Items(1 << 20)
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range items {
		r := &i.Report
		settled := i.Settled.UTC().Truncate(time.Second)
		o.Items = append(o.Items, fmt.Sprintf("%s %s %s %s %s: %d of %d users, %v, %s to %s, judged %s, %s %s", i.ID, r.Destination, r.Addr, r.Policy, r.Kind, r.Count, r.Users, r.Categories,
			r.First.UTC().Format(time.RFC3339), r.Last.UTC().Format(time.RFC3339), r.Judged.UTC().Format(time.RFC3339), i.State, settled.Format(time.RFC3339)))
	}
	slices.Sort(o.Items)
	return o
}

// liveOutcome runs the daemon while a log is written, in a time of its own: all of it but the page and what looks after the machine.
func liveOutcome(t *testing.T, config, text string, quota int) (o outcome) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		feed := &liveFeed{text: text, ended: make(chan struct{})}
		d, err := New(Options{Config: config, Version: "test", Log: slog.New(slog.DiscardHandler), parts: liveParts(feed, quota)})
		if err != nil {
			t.Fatal(err)
		}
		defer d.close()
		ctx, cancel := context.WithCancel(t.Context())
		committing, end := context.WithCancel(t.Context())
		var receivers, committer sync.WaitGroup
		committer.Go(func() { noError(t, d.committer.Run(committing)) })
		for _, o := range d.outlets {
			receivers.Go(func() { noError(t, o.courier.Run(ctx)) })
		}
		receivers.Go(func() { noError(t, feed.Run(ctx, nil, d.pipeline)) })
		<-feed.ended
		rest := min(afterLast, time.Until(dayOf(time.Now()).AddDate(0, 0, 1))-time.Second)
		<-time.After(rest)
		cancel()
		receivers.Wait()
		end()
		committer.Wait()
		o = outcomeOf(t, d.store, d.counters, d.tally.trusted.Load())
	})
	return o
}

func noError(t *testing.T, err error) {
	if err != nil {
		t.Error(err)
	}
}

// replayedAs replays the same log.
func replayedAs(t *testing.T, config, text string, quota int) outcome {
	t.Helper()
	r, err := shippedParts().replay(config, ReplayOptions{Quota: quota, Folder: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	log := filepath.Join(filepath.Dir(config), "auth.log")
	f, configured := r.ReplayFeed(log + ".2.gz")
	if !configured {
		t.Fatal("the configuration does not name the log")
	}
	f.Received, f.Location = bubble().AddDate(0, 6, 0), time.UTC
	f.Open = func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(text)), nil }
	if err := replay.Merge(t.Context(), []replay.Feed{f}, r); err != nil {
		t.Fatal(err)
	}
	r.finish()
	defer r.Close()
	if err := r.err(); err != nil {
		t.Fatal(err)
	}
	return outcomeOf(t, r.store, r.counters, r.tally.trusted.Load())
}

// bubble is when the time of synctest begins.
func bubble() time.Time { return time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC) }

func replayConfig(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	path := filepath.Join(dir, "tattled.yaml")
	text := fmt.Sprintf(`sources: {files: [{path: %[1]s/auth.log, timezone: UTC}]}
trusted: [45.148.10.9]
alerts: {mail: {from: tattled@example.org, to: [admin@example.org], mute: 6h}}
store: {path: %[1]s/state.db}
web: {listen: "127.0.0.1:0"}
policy:
  - {name: third-user, when: {kind: [auth-failure]}, threshold: 3, within: 2h, distinct: users, do: [alert]}
`, dir)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// randomLog is one of a server that some addresses attack, over days: more of them than the quota takes, in turns of theirs.
func randomLog(t *rapid.T) string {
	addrs := []string{"45.148.10.1", "45.148.10.2", "45.148.10.3", "45.148.10.4", "45.148.10.5", "45.148.10.9", "203.0.113.5", "192.168.1.7", "2a0e:db8:1:2::3", "2a0e:db8:1:2::4", "8.8.8.8"}
	messages := []string{
		"Failed password for root from %s port 40022 ssh2", "Failed password for invalid user %[2]s from %[1]s port 40022 ssh2", "Failed password for %[2]s from %[1]s port 40022 ssh2",
		"Invalid user %[2]s from %[1]s port 40022", "Accepted password for %[2]s from %[1]s port 40022 ssh2", "Server listening on 0.0.0.0 port 22.",
		"Connection closed by authenticating user %[2]s %[1]s port 40022 [preauth]",
	}
	var b bytes.Buffer
	at := bubble()
	for range rapid.IntRange(0, 40).Draw(t, "turns") {
		at = at.Add(time.Duration(rapid.SampledFrom([]int{1, 60, 3600, 9 * 3600, 26 * 3600}).Draw(t, "gap")) * time.Second)
		addr := rapid.SampledFrom(addrs).Draw(t, "address")
		for range rapid.IntRange(1, 25).Draw(t, "tries") {
			at = at.Add(time.Duration(rapid.SampledFrom([]int{1, 1, 7, 90, 1200}).Draw(t, "pause")) * time.Second)
			message := rapid.SampledFrom(messages).Draw(t, "message")
			user := fmt.Sprintf("user%d", rapid.IntRange(0, 9).Draw(t, "user"))
			fmt.Fprintf(&b, "%s web1 sshd[%d]: %s\n", at.Format(time.RFC3339), rapid.IntRange(1, 3000).Draw(t, "pid"), fmt.Sprintf(strings.ReplaceAll(message, "%s", "%[1]s")+"%.0[2]s", addr, user))
		}
	}
	// A replay's time ends with the last event, a daemon's goes on: the last line is one.
	fmt.Fprintf(&b, "%s web1 sshd[1]: Failed password for root from 45.148.10.8 port 40022 ssh2\n", at.Add(time.Second).Format(time.RFC3339))
	return b.String()
}

// The daemon and a replay decide the same about the same log: every report and alert with its counts, its times and what became of it,
// every decision of every policy, and every refusal of the gate. There is no quota: what joins a report that waits, and what is counted from
// then on, goes by which is first where both fall into the same moment, an event or the couriers' turn.
func TestReplayDecidesAsTheDaemon(t *testing.T) {
	reported := 0
	rapid.Check(t, func(rt *rapid.T) {
		text := randomLog(rt)
		want := liveOutcome(t, replayConfig(t), text, 0)
		got := replayedAs(t, replayConfig(t), text, 0)
		reported += len(want.Items)
		if diff := cmp.Diff(want, got); diff != "" {
			rt.Fatalf("the daemon (-) and the replay (+) differ:\n%s\nwith this log:\n%s", diff, text)
		}
	})
	if reported == 0 {
		t.Error("nothing was ever reported")
	}
}
