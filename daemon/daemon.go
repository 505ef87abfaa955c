// Package daemon is tattled as one object: it reads the configuration, wires receivers, detection, policy, store,
// couriers and page together, runs them, stops them in the order of the flow, and swaps what can be swapped on SIGHUP. It
// is the only package that knows all the others. cmd/tattled calls it; docs/ARCHITECTURE.md has the picture.
package daemon

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/coreos/go-systemd/v22/activation"
	"github.com/prometheus/client_golang/prometheus"

	"tattled/daemon/trusted"
	"tattled/detect"
	"tattled/event"
	"tattled/geoip"
	"tattled/policy"
	"tattled/receiver"
	"tattled/receiver/syslog"
	"tattled/receiver/tail"
	"tattled/report"
	"tattled/setting"
	"tattled/store"
	"tattled/web"
)

// Options is what New needs to know besides the configuration.
type Options struct {
	Config  string // path of the configuration file; reread on SIGHUP
	Version string
	Log     *slog.Logger

	parts  *table         // nil means the shipped ones
	lookup trusted.Lookup // of DNS names; nil means this machine's name servers
}

// Daemon is a wired tattled. Its goroutines are:
//
//	1 receivers   one or a few for each source: read, detect, place, submit
//	2 couriers    one for each destination: claim, send, settle
//	3 committer   one: judges and commits
//	4 page        HTTP server, SSE clients
//	5 chores      watchdog, own addresses, trusted files and names, GeoIP files, signals
//
// They stop in this order: what flows downstream finds somebody who takes it.
type Daemon struct {
	options Options
	log     *slog.Logger
	config  *Config                // as it was at start
	live    atomic.Pointer[engine] // all that a reload rebuilds
	reloads reloads
	manager manager
	trust   *trust
	own     ownLook

	tally     *tally
	counters  *policy.Counters
	pipeline  *pipeline
	places    *geoip.Databases
	scores    *report.Reputation
	backup    backuper
	copyState func(begin func(size int64) io.Writer) error
	backups   backups
	hold      map[string]time.Duration // holdFor at start: a reload does not change it
	repairs   []string                 // what was done to the state file at start
	store     *store.Store
	committer *store.Committer
	receivers []receiver.Receiver
	keeper    *keeper
	webSocket net.Listener      // from systemd; nil: none
	doubles   []string          // log files that count twice
	named     map[string]bool   // listeners that only some may send to
	reporters map[string]string // as configured, by source
	opens     map[string]opens  // by source
	outlets   []*outlet
	registry  *prometheus.Registry
	metrics   *metrics
	attackers attackers
	page      *web.Server
	control   *web.Control
	drift     drift
	missteps  missteps
	away      away
	dates     dates
}

// New reads the configuration and opens all that it names: state file, sockets, databases. It starts nothing. Its error is
// Faults where the configuration is at fault.
func New(o Options) (*Daemon, error) {
	if o.parts == nil {
		o.parts = shippedParts()
	}
	cfg, err := o.parts.read(o.Config)
	if err != nil {
		return nil, err
	}
	d := &Daemon{options: o, log: o.Log, config: cfg, tally: newTally(), counters: &policy.Counters{}, registry: prometheus.NewRegistry(), trust: newTrust(o.lookup)}
	e, err := d.prepare(cfg)
	if err != nil {
		return nil, err
	}
	d.live.Store(e)
	d.reloads.took(time.Now())
	if err := d.wire(); err != nil {
		d.close()
		return nil, err
	}
	return d, nil
}

func (d *Daemon) wire() error {
	cfg := d.config.GeoIP
	cfg.Logger = d.log
	d.places = geoip.New(cfg)
	if err := d.places.Load(); err != nil {
		d.log.Warn("a GeoIP database cannot be used; its places stay unknown until it can", "error", err)
	}
	if err := d.openStore(); err != nil {
		return err
	}
	d.metrics = newMetrics(d.store.Stats)
	d.hold = holdFor(d.config)
	d.committer = store.NewCommitter(d.store, nil, store.CommitterOptions{
		Policy:        func() *policy.Policy { return d.live.Load().policy },
		Hold:          d.hold,
		OnCommit:      d.committed,
		ObserveCommit: func(took time.Duration) { d.metrics.commits.Observe(took.Seconds()) },
	})
	d.restoreTrust()
	d.openOutlets()
	d.pipeline = newPipeline(&d.live, d.tally, d.places, d.committer)
	d.pipeline.loggedIn = d.noteLogin
	if err := d.openRawLogs(); err != nil {
		return err
	}
	d.openReceivers()
	var err error
	d.page, err = web.New(d.config.Web, web.Deps{
		Store: d.store, Gatherer: d.registry, Health: d.health, Credits: d.places.Credits, Version: d.options.Version, Logger: d.log,
		Listener: d.webSocket, Gate: gatekeeper{&d.live}, FeedToken: func() setting.Secret { return d.live.Load().feedToken },
	})
	if err != nil {
		return err
	}
	d.control = d.page.Control(d.config.Control, web.Hands{Backup: d.copyState, Report: d.reportByHand, Retract: d.retract})
	return d.registerMetrics()
}

func (d *Daemon) openStore() error {
	defer d.manager.extend("checking the state file", maxCheck)()
	backend, repairs, err := openBackend(d.config.Store)
	if err != nil {
		return err
	}
	for _, note := range repairs {
		d.log.Warn("the state file was repaired", "note", note)
	}
	d.backup, d.copyState, d.repairs = backend, backend.Copy, repairs
	d.store, err = store.New(backend, d.config.Store.Options()) // which closes the backend if it fails
	return err
}

// openRawLogs takes up what earlier runs knew of logs with lines of peers' own, and keeps what this one learns.
func (d *Daemon) openRawLogs() error {
	marks, err := d.store.Marks()
	if err != nil {
		return err
	}
	raw := &d.pipeline.raw
	raw.restore(marks)
	raw.keep = d.committer.PutMark
	d.pipeline.attacked = func(service string, column netip.Addr) {
		d.log.Warn("many lines show an attack but not the attacker: a client writes what looks like another part of them", "service", service,
			"first_column", column, "remedy", "tattled explain 'one of the lines'; for an access log declare its form")
	}
	d.pipeline.unformed = func(source string) {
		d.log.Warn("most lines of a source are not of the form that is declared for it, so that nothing is found in them", "source", source,
			"remedy", "form: of the source must be the LogFormat or log_format of the server; try it with tattled match --form")
	}
	raw.overflow = func(source, program string) {
		d.log.Warn("too many logs of one source have lines that peers can write: no line of theirs proves an address any more, and nothing is reported from them",
			"source", source, "program", program, "remedy", "give each host a file, tag or listener of its own; see the problem on the page")
	}
	return nil
}

// openReceivers opens the page's socket and every source. One that cannot be opened does not keep the others waiting.
func (d *Daemon) openReceivers() {
	files := activation.Files(true)
	sockets := syslog.NewPassed(files...)
	d.keeper = newKeeper(files...)
	sockets.Keeper = d.keeper
	if at, err := d.config.Web.Address(); err == nil {
		d.webSocket = sockets.Listener(at)
	}
	known := func(program []byte) bool { return d.live.Load().rules.Knows(string(program)) }
	env := environment{sockets: sockets, files: tail.NewShared(), log: d.log, known: known}
	disown := func() {
		if n := sockets.Disown(); n > 0 {
			d.log.Warn("connections of the last run were closed, because their listener is no longer configured", "connections", n)
		}
	}
	var missing atomic.Int64
	missing.Add(1)
	arrived := func() { // connections wait for the listener that they came in by
		if missing.Add(-1) == 0 {
			disown()
		}
	}
	d.named, d.reporters, d.opens = map[string]bool{}, map[string]string{}, map[string]opens{}
	for _, s := range d.config.sources() {
		o := opener{s.name, func() (receiver.Receiver, error) { return s.open(&env) }}
		r, err := o.open()
		if err != nil {
			missing.Add(1)
			r = newLate(o, fmt.Errorf("open %s: %w", s.at, err), d.log, arrived)
		}
		d.receivers = append(d.receivers, r)
		d.named[s.name], d.reporters[s.name], d.opens[s.name] = s.named, s.reporter, s.opens
	}
	arrived()
	d.doubles = doubleSources(d.config)
	for _, problem := range d.doubles {
		d.log.Warn("a source is read twice", "problem", problem)
	}
	for _, f := range sockets.Left() { // it would fill up unread
		d.log.Warn("systemd passed a socket that the configuration does not name; it is closed here, and systemd still has it", "name", f.Name(),
			"remedy", remedyForSocket(f.Name()))
		f.Close()
	}
}

// remedyForSocket goes by FileDescriptorName= of our socket units.
func remedyForSocket(name string) string {
	if name == "web" {
		return "set the address in web.listen with `systemctl edit tattled-web.socket`, or `systemctl disable --now tattled-web.socket`"
	}
	return "add its address to sources.syslog, or take it out of tattled.socket"
}

// committed is told of every group that is durable.
func (d *Daemon) committed(events []event.Event, _ []event.Report) {
	d.page.Feed().Publish(events)
	d.metrics.count(events, d.reporters)
	d.attackers.note(events, time.Now())
	for _, o := range d.away.began(d.store.Outages()) {
		d.log.Warn("addresses that logged in before all fail now: reports about such are held back", "service", o.Service, "addresses", o.Addresses,
			"remedy", awayRemedy)
	}
}

// RuleFaults gives the faults of rule files the form of all faults.
func RuleFaults(problems []detect.Fault) Faults {
	var faults Faults
	for _, p := range problems {
		faults = append(faults, Fault{File: p.File, Line: p.Line, Problem: p.Problem})
	}
	return faults
}

// Run runs until ctx ends and returns nil when all has stopped and nothing that was taken is lost. Each signal on reloads
// reloads the configuration. An error means that the daemon could not go on: start it again.
func (d *Daemon) Run(ctx context.Context, reloads <-chan os.Signal) error {
	defer d.close()
	if err := d.refreshOwn(); err != nil {
		return err
	}
	var receivers, couriers []func(context.Context) error
	for _, r := range d.receivers {
		receivers = append(receivers, func(ctx context.Context) error {
			if err := r.Run(ctx, positions{d.store, d.committer}, d.pipeline); err != nil {
				return fmt.Errorf("%s: %w", r.Source(), err)
			}
			return nil
		})
	}
	for _, o := range d.outlets {
		couriers = append(couriers, d.afterNames(o.courier.Run))
	}
	d.log.Info("ready", d.listeners()...)
	d.manager.ready(d.status())
	defer context.AfterFunc(ctx, d.manager.stopping)()
	err := runStages(ctx, []stage{
		{"receivers", receivers},
		{"couriers", couriers},
		{"store", []func(context.Context) error{d.committer.Run}},
		{"page", []func(context.Context) error{d.page.Run, d.control.Run}},
		{"chores", []func(context.Context) error{
			func(ctx context.Context) error {
				return d.manager.watchdog(ctx, d.committer.Beat, d.committer.Committing)
			},
			func(ctx context.Context) error { return d.handleReloads(ctx, reloads) },
			d.followOwn, d.followTrust, d.resolveNames, d.watchDisk, d.keepBackups, d.watchDrift, d.watchSources, d.places.Run,
		}},
	})
	if kept := d.keeper.Close(keepPatience); kept != nil {
		d.log.Warn("connections may not survive this stop", "error", kept)
	}
	if err == nil {
		d.log.Info("stopped")
	}
	return err
}

// positions is where the sources were left, for receivers that may be in need of a commit.
type positions struct {
	*store.Store
	committer *store.Committer
}

// Hurry implements receiver.Hurrier.
func (p positions) Hurry() { p.committer.Hurry() }

// keepPatience is how long a stop waits for systemd to store connections. A burst of thousands takes a second or two.
const keepPatience = 5 * time.Second

// listeners names the addresses that were opened, for people and for tests that asked for port 0.
func (d *Daemon) listeners() []any {
	attrs := []any{"version", d.options.Version, "web", d.page.Addr().String(), "page", d.page.URL(), "dry_run", d.dryRun()}
	if path := d.control.Path(); path != "" {
		attrs = append(attrs, "control", path)
	}
	for _, r := range d.receivers {
		if l, ok := opened(r).(interface{ Addr() net.Addr }); ok {
			attrs = append(attrs, l.Addr().Network(), l.Addr().String())
		}
	}
	return attrs
}

func (d *Daemon) status() string {
	if d.dryRun() {
		return fmt.Sprintf("dry-run (no AbuseIPDB key), %d sources", len(d.receivers)) + d.reloads.status()
	}
	return fmt.Sprintf("reporting, %d sources", len(d.receivers)) + d.reloads.status()
}

// handleReloads reloads on every signal.
func (d *Daemon) handleReloads(ctx context.Context, reloads <-chan os.Signal) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-reloads:
			d.manager.reloading()
			d.reload()
			d.manager.ready(d.status())
		}
	}
}

// close lets go of what New opened.
func (d *Daemon) close() {
	if d.store != nil {
		if err := d.store.Close(); err != nil {
			d.log.Error("the state file was not closed cleanly", "error", err)
		}
	}
}

func (d *Daemon) dryRun() bool {
	for _, o := range d.outlets {
		if o.action == policy.Report && o.dryRun() {
			return true
		}
	}
	return false
}

// health is what the page, /healthz and /readyz say.
func (d *Daemon) health() web.Health {
	now := time.Now()
	h := web.Health{Live: true, Ready: d.anyOpen(), DryRun: d.dryRun()}
	add := func(problems ...event.Problem) { h.Problems = append(h.Problems, problems...) }
	if len(d.repairs) > 0 {
		add(event.Problem{What: "the state file was repaired at the start", Cause: strings.Join(d.repairs, "; "), Remedy: "check the disk for errors; this problem is gone after the next start"})
	}
	stuck := d.diskProblems()
	if d.committer.Full() {
		stuck = append(stuck, event.Problem{What: "no space left for the state file", Cause: "nothing is accepted until there is", Remedy: "make room on its file system, or raise store.max_size"})
	}
	h.Ready = h.Ready && len(stuck) == 0
	add(stuck...)
	add(d.page.Problems()...)
	add(d.control.Problems()...)
	add(restoredProblems(d.store.Restored(), d.store.Stats().Held, d.hold, now)...)
	add(d.backups.problems()...)
	add(d.reloads.problems()...)
	for _, o := range d.outlets {
		add(o.problems()...)
	}
	add(d.outboxProblems(now)...)
	add(d.scores.Problems(now)...)
	add(d.trustProblems(now)...)
	if err := d.places.Err(); err != nil {
		add(event.Problem{What: "a GeoIP database cannot be used", Cause: strings.ReplaceAll(err.Error(), "\n", "; "), Remedy: "put an intact file in its place (geoip.city, geoip.asn): it is picked up automatically"})
	}
	add(awayProblems(d.store.Outages(), now)...)
	add(d.drift.problems()...)
	add(d.pipeline.raw.problems()...)
	add(d.pipeline.named.problems(now)...)
	add(d.pipeline.disputes.problems(d.live.Load().rules, now)...)
	add(d.pipeline.clocks.problems(now)...)
	add(d.pipeline.misfits.problems(d.live.Load().forms)...)
	add(d.sourceProblems()...)
	add(d.sourceTroubles(now)...)
	add(d.refusedSenders(now)...)
	add(sharedProblems(d.live.Load().gate)...)
	for _, r := range d.receivers {
		h.Sources = append(h.Sources, d.sourceHealth(r, now))
	}
	d.dates.fill(h.Problems, now)
	return h
}

// anyOpen reports whether a source is open. A daemon without sources is as ready as it will be.
func (d *Daemon) anyOpen() bool {
	return len(d.receivers) == 0 || slices.ContainsFunc(d.receivers, func(r receiver.Receiver) bool { return opened(r) != nil })
}

func (d *Daemon) sourceHealth(r receiver.Receiver, now time.Time) web.Source {
	m, t := r.Meter(), d.tally.source(r.Source())
	s := web.Source{
		Name: r.Source(), Reporter: d.reporters[r.Source()], Up: up(r), Records: m.Records.Load(), Skipped: m.Skipped.Load(), Open: m.Open.Load(), Errors: m.Errors.Load(),
		Gaps: m.Gaps.Load(), Lag: t.lagAt(now), LastRecord: t.habit.lastRecord(),
	}
	for _, reason := range receiver.Reasons() {
		s.Dropped += m.Dropped(reason)
		if reason.Lost() {
			s.Lost += m.Dropped(reason)
		}
	}
	return s
}

// settled is told of everything that a courier did.
func (d *Daemon) settled(o *outlet) func(store.Item, report.Outcome) {
	return func(item store.Item, outcome report.Outcome) {
		r := &item.Report
		d.log.Info("report", "destination", o.name, "result", outcome.Result.String(), "ip", r.Addr.String(), "policy", r.Policy,
			"service", r.Service, "count", r.Count, "detail", outcome.Detail)
	}
}
