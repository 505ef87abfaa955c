package daemon

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"slices"
	"sync/atomic"
	"time"

	"tattled/event"
	"tattled/policy"
	"tattled/report"
)

// outlet is one destination: its courier, and the sender that the engine has for it. It is the courier's report.Sender.
type outlet struct {
	name    string
	action  policy.Action
	live    *atomic.Pointer[engine]
	courier *report.Courier
}

// sender returns the one that is in use.
func (o *outlet) sender() report.Sender { return o.live.Load().senders[o.name] }

// Destination implements report.Sender.
func (o *outlet) Destination() string { return o.name }

// Send implements report.Sender.
func (o *outlet) Send(ctx context.Context, r *event.Report) report.Outcome {
	return o.sender().Send(ctx, r)
}

// Scope tells the courier which account a closed destination is about, so that a new key opens it.
func (o *outlet) Scope() string {
	if s, ok := o.sender().(interface{ Scope() string }); ok {
		return s.Scope()
	}
	return ""
}

// DuplicateWindow implements report.DuplicateWindow: by the sender, 0 if it does not.
func (o *outlet) DuplicateWindow() time.Duration {
	if s, ok := o.sender().(report.DuplicateWindow); ok {
		return s.DuplicateWindow()
	}
	return 0
}

// Bulk implements report.BulkSender: by the sender, none if it does not.
func (o *outlet) Bulk() report.BulkBounds {
	if s, ok := o.sender().(report.BulkSender); ok {
		return s.Bulk()
	}
	return report.BulkBounds{}
}

// SendBulk implements report.BulkSender, for as long as the sender does: a reload may have changed it since Bulk.
func (o *outlet) SendBulk(ctx context.Context, reports []*event.Report) ([]report.Outcome, report.Outcome) {
	if s, ok := o.sender().(report.BulkSender); ok {
		return s.SendBulk(ctx, reports)
	}
	none := report.Outcome{Result: report.Later, Detail: "the destination has no bulk requests any more"}
	return slices.Repeat([]report.Outcome{none}, len(reports)), none
}

// dryRun says that the destination sends nothing for want of a key.
func (o *outlet) dryRun() bool { return isDryRun(o.sender()) }

func isDryRun(sender report.Sender) bool {
	s, ok := sender.(interface{ DryRun() bool })
	return ok && s.DryRun()
}

// problems says what is wrong with the destination, if anything is.
func (o *outlet) problems() []event.Problem {
	s := o.courier.Standing()
	if s.Open {
		return nil
	}
	return []event.Problem{{
		What:   o.name + " accepts nothing",
		Cause:  fmt.Sprintf("%s; it is tried again at %s", s.Detail, s.Until.UTC().Format(time.RFC3339)),
		Remedy: cmp.Or(s.Remedy, o.live.Load().destination(o.name).remedy),
		Since:  s.Since,
	}}
}

// expiryShown is for how long the page shows that reports were given up unsent.
const expiryShown = 24 * time.Hour

// outboxProblems says where reports were given up lately because too many waited.
func (d *Daemon) outboxProblems(now time.Time) []event.Problem {
	var all []event.Problem
	expired := d.store.Stats().Expired
	for _, o := range d.outlets {
		e := expired[o.name]
		if e.Reports == 0 || now.Sub(e.Last) > expiryShown {
			continue
		}
		all = append(all, event.Problem{
			What:   o.name + ": reports were given up unsent",
			Cause:  fmt.Sprintf("%d since the start, the last at %s, because too many were waiting", e.Reports, e.Last.UTC().Format(time.RFC3339)),
			Remedy: "raise store.waiting (or store.max_size, if the file is nearly full), let fewer policies report, or get a larger quota",
		})
	}
	return all
}

// dryRuns names the destinations that send nothing.
func dryRuns(senders map[string]report.Sender) map[string]bool {
	dry := map[string]bool{}
	for name, s := range senders {
		dry[name] = isDryRun(s)
	}
	return dry
}

// told tells the policy who is told of what, how often, and for whom it is a dry run.
func told(cfg *Config, dry map[string]bool) []policy.Destination {
	var all []policy.Destination
	for _, d := range cfg.destinations() {
		all = append(all, policy.Destination{Name: d.name, Action: d.action, Window: d.window, DryRun: dry[d.name]})
	}
	return all
}

// openDestinations makes the sender of every destination that cfg asks for: at start, at a reload, and for check. It finds all that is
// wrong with them.
func openDestinations(cfg *Config, version string) (map[string]report.Sender, Faults) {
	senders := map[string]report.Sender{}
	var faults Faults
	for _, d := range cfg.destinations() {
		sender, err := d.open(cfg, version)
		if err != nil {
			faults = append(faults, cfg.origin.located(err.Error()))
			continue
		}
		senders[d.name] = sender
	}
	return senders, faults
}

// openOutlets makes an outlet for every destination of the configuration, with its courier.
func (d *Daemon) openOutlets() {
	e := d.live.Load()
	d.scores = report.NewReputation(scores{&d.live}, d.store.Score, d.committer.PutScore)
	d.scores.Budget = &report.Budget{
		Limit: func() int { return d.live.Load().config.abuseIPDB().WithDefaults().Checks },
		Note:  d.store.Note, PutNote: d.committer.PutNote,
	}
	for _, one := range e.config.destinations() {
		o := &outlet{name: one.name, action: one.action, live: &d.live}
		o.courier = report.NewCourier(o, d.committer.Outbox(o.name), report.Options{
			Terms:      func() report.Terms { return d.live.Load().destination(o.name).terms },
			Reputation: d.scores,
			Allowed:    d.mayTell,
			Note:       d.store.Note, PutNote: d.committer.PutNote,
			OnSettled: d.settled(o), Observe: func(took time.Duration) { d.metrics.latency.Observe(took.Seconds()) }, Logger: d.log,
		})
		d.outlets = append(d.outlets, o)
	}
	if c := e.abuseIPDB(); c != nil && c.DryRun() {
		d.log.Warn("no AbuseIPDB key: this is a dry run, nothing is sent",
			"remedy", fmt.Sprintf("put the key into %s, mode 0640, and reload", keyFile(e.config)))
	}
}

func keyFile(cfg *Config) string {
	if f := cfg.abuseIPDB().KeyFile; f != "" {
		return f.String()
	}
	return "a file and name that as report.abuseipdb.key_file"
}

// scores asks whichever AbuseIPDB client is in use, about those whom the gate lets it ask about.
type scores struct{ live *atomic.Pointer[engine] }

// Check returns addr's score.
func (s scores) Check(ctx context.Context, addr netip.Addr, maxAge time.Duration) (int, report.Outcome) {
	e := s.live.Load()
	if refusal := e.gate.RefuseLookup(addr); refusal != policy.None {
		return 0, report.Outcome{Result: report.Dismissed, Detail: "nobody is asked, because " + refusal.Because()}
	}
	c := e.abuseIPDB()
	if c == nil {
		return 0, report.Outcome{Result: report.DryRun, Detail: "AbuseIPDB is not configured"}
	}
	return c.Check(ctx, addr, maxAge)
}

// Scope says which key and server the scores are asked with.
func (s scores) Scope() string {
	if c := s.live.Load().abuseIPDB(); c != nil {
		return c.Scope()
	}
	return ""
}
