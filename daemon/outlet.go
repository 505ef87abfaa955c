package daemon

import (
	"context"
	"fmt"
	"net/netip"
	"sync/atomic"
	"time"

	"tattled/event"
	"tattled/policy"
	"tattled/report"
	"tattled/report/abuseipdb"
)

// outlet is one destination: its courier, and a sender that a reload can replace under it. It is the courier's
// report.Sender.
type outlet struct {
	name    string
	action  policy.Action
	sender  atomic.Pointer[report.Sender]
	courier *report.Courier
}

// Destination implements report.Sender.
func (o *outlet) Destination() string { return o.name }

// Send implements report.Sender.
func (o *outlet) Send(ctx context.Context, r *event.Report) report.Outcome {
	return (*o.sender.Load()).Send(ctx, r)
}

// Scope tells the courier which account a closed destination is about, so that a new key opens it.
func (o *outlet) Scope() string {
	if s, ok := (*o.sender.Load()).(interface{ Scope() string }); ok {
		return s.Scope()
	}
	return ""
}

// dryRun says that the destination sends nothing for want of a key.
func (o *outlet) dryRun() bool {
	s, ok := (*o.sender.Load()).(interface{ DryRun() bool })
	return ok && s.DryRun()
}

// client returns the AbuseIPDB client behind o, nil if o is another destination.
func (o *outlet) client() *abuseipdb.Client {
	c, _ := (*o.sender.Load()).(*abuseipdb.Client)
	return c
}

// problem says in words what is wrong with the destination, "" if nothing is.
func (o *outlet) problem() string {
	s := o.courier.Standing()
	if s.Open {
		return ""
	}
	return fmt.Sprintf("%s takes nothing since %s, next try %s: %s", o.name,
		s.Since.UTC().Format(time.RFC3339), s.Until.UTC().Format(time.RFC3339), s.Detail)
}

// expiryShown is for how long the page shows that reports were given up unsent.
const expiryShown = 24 * time.Hour

// outboxProblems says where reports were given up lately because too many waited.
func (d *Daemon) outboxProblems(now time.Time) []string {
	var all []string
	expired := d.store.Stats().Expired
	for _, o := range d.outlets {
		e := expired[o.name]
		if e.Reports == 0 || now.Sub(e.Last) > expiryShown {
			continue
		}
		all = append(all, fmt.Sprintf("%s: %d reports were given up unsent since the start, the last at %s, because too many were waiting: "+
			"raise store.waiting (or store.max_size, if the file is nearly full), let fewer policies report, or get a larger quota",
			o.name, e.Reports, e.Last.UTC().Format(time.RFC3339)))
	}
	return all
}

// dryRuns names the destinations that send nothing.
func (d *Daemon) dryRuns() map[string]bool {
	dry := map[string]bool{}
	for _, o := range d.outlets {
		dry[o.name] = o.dryRun()
	}
	return dry
}

// destinations tells the policy who is notified, how often, and for whom it is a dry run.
func destinations(cfg *Config, dry map[string]bool) []policy.Destination {
	var all []policy.Destination
	for _, p := range senderParts() {
		if p.action == policy.Alert && cfg.Alerts.Mail == nil {
			continue
		}
		all = append(all, policy.Destination{Name: p.name, Action: p.action, Window: p.terms(cfg).window.D(), DryRun: dry[p.name]})
	}
	return all
}

// newSenders makes the sender of every destination that cfg asks for.
func newSenders(cfg *Config, version string) (map[string]report.Sender, error) {
	senders := map[string]report.Sender{}
	for _, p := range senderParts() {
		s, err := p.open(cfg, version)
		if err != nil {
			return nil, err
		}
		if s != nil {
			senders[p.name] = s
		}
	}
	return senders, nil
}

// openOutlets makes an outlet for every destination of the configuration; openCouriers completes them.
func (d *Daemon) openOutlets() error {
	senders, err := newSenders(d.config, d.options.Version)
	if err != nil {
		return Faults{d.config.origin.located(err.Error())} // which trying again does not mend
	}
	for _, p := range senderParts() {
		if s := senders[p.name]; s != nil {
			o := &outlet{name: p.name, action: p.action}
			o.sender.Store(&s)
			d.outlets = append(d.outlets, o)
			if c := o.client(); c != nil && c.DryRun() {
				d.log.Warn("no AbuseIPDB key: this is a dry run, nothing is sent",
					"remedy", fmt.Sprintf("put the key into %s (mode 0640) and reload", keyFile(d.config)))
			}
		}
	}
	return nil
}

func keyFile(cfg *Config) string {
	if f := cfg.Report.AbuseIPDB.KeyFile; f != "" {
		return f.String()
	}
	return "a file, name it as report.abuseipdb.key_file"
}

func (d *Daemon) openCouriers() {
	d.scores = report.NewReputation(scores{d}, d.store.Score, d.committer.PutScore)
	for _, p := range senderParts() {
		for _, o := range d.outlets {
			if o.name != p.name {
				continue
			}
			t := p.terms(d.config)
			o.courier = report.NewCourier(o, d.committer.Outbox(o.name), report.Options{
				Rate: t.rate, Uncertain: t.uncertain, Reputation: d.scores, Allowed: d.allowed,
				Note: d.store.Note, PutNote: d.committer.PutNote,
				OnSettled: d.settled(o), Observe: func(took time.Duration) { d.metrics.latency.Observe(took.Seconds()) }, Logger: d.log,
			})
		}
	}
}

// allowed is asked before every attempt: what is trusted now is not told to anybody, whenever it was judged.
func (d *Daemon) allowed(r *event.Report) string {
	if d.pipeline.engine.Load().gate.Trusts(r.Addr) {
		return "the address lies in a trusted network now"
	}
	return ""
}

// scores asks whichever AbuseIPDB client is in use.
type scores struct{ d *Daemon }

// Check returns addr's score.
func (s scores) Check(ctx context.Context, addr netip.Addr, maxAge time.Duration) (int, report.Outcome) {
	for _, o := range s.d.outlets {
		if c := o.client(); c != nil {
			return c.Check(ctx, addr, maxAge)
		}
	}
	return 0, report.Outcome{Result: report.DryRun}
}
