package daemon

import (
	"tattled/policy"
	"tattled/report"
	"tattled/report/abuseipdb"
	"tattled/report/mail"
	"tattled/store"
)

// reportMetrics is where a metric about what leaves tattled gets its line.
func (d *Daemon) reportMetrics() {
	m := d.metrics
	m.subject = subjectReports
	destination, endpoint := oneOf("destination", abuseipdb.Destination, mail.Destination), oneOf("endpoint", "report", "check")
	results := oneOf("result", textsOf(report.Results())...)
	m.gauge("outbox_items", "reports", "Reports and alerts in the outbox.", d.outbox, destination, oneOf("state", textsOf(store.States())...))
	m.gauge("outbox_oldest_seconds", "seconds", "Age of the oldest report that is pending or claimed; 0 if none is.", d.outboxOldest, destination)
	m.gauge("destination_up", yesNo, "Whether a destination accepts what is sent, as the last attempt showed: no while it fails, asks for a pause or refuses the key. In dry-run mode it is left out.",
		d.destinationsUp, destination)
	m.counter("reports_total", "attempts", "Attempts to report to a third party.", d.attempts(policy.Report), oneOf("destination", abuseipdb.Destination), results)
	m.counter("alerts_total", "attempts", "Attempts to alert the operator.", d.attempts(policy.Alert), oneOf("channel", mail.Destination), results)
	m.gauge("abuseipdb_quota_remaining", "requests", "Requests left today, as AbuseIPDB said last; left out until it did.",
		d.quota(func(limit, remaining int64) int64 { return remaining }), endpoint)
	m.gauge("abuseipdb_quota_limit", "requests", "Requests a day, as AbuseIPDB said last; left out until it did.",
		d.quota(func(limit, remaining int64) int64 { return limit }), endpoint)
	m.counter("reputation_lookups_total", "lookups", "Lookups of an address' score for a policy that asks for one.", d.lookups, oneOf("result", textsOf(report.Lookups())...))
	m.gauge("dry_run", yesNo, "Whether nothing is sent to AbuseIPDB because there is no key.", single(func(*scrape) float64 { return oneIf(d.dryRun()) }))
}

func (d *Daemon) outbox(s *scrape, emit emitter) {
	for _, o := range d.outlets {
		for _, state := range store.States() {
			emit(float64(s.stats.Items[o.name][state]), o.name, state.String())
		}
	}
}

func (d *Daemon) outboxOldest(s *scrape, emit emitter) {
	for _, o := range d.outlets {
		created, waits, err := d.store.OldestWaiting(o.name)
		if err != nil {
			continue // a state file that cannot be read ends the daemon, and says why
		}
		age := 0.0
		if waits {
			age = max(s.now.Sub(created).Seconds(), 0)
		}
		emit(age, o.name)
	}
}

func (d *Daemon) destinationsUp(_ *scrape, emit emitter) {
	for _, o := range d.outlets {
		if !o.dryRun() {
			emit(oneIf(o.courier.Standing().Open), o.name)
		}
	}
}

func (d *Daemon) attempts(action policy.Action) func(*scrape, emitter) {
	return func(_ *scrape, emit emitter) {
		for _, o := range d.outlets {
			if o.action != action {
				continue
			}
			for _, r := range report.Results() {
				emit(float64(o.courier.Count(r)), o.name, r.String())
			}
		}
	}
}

func (d *Daemon) quota(of func(limit, remaining int64) int64) func(*scrape, emitter) {
	return func(_ *scrape, emit emitter) {
		if c := d.live.Load().abuseIPDB(); c != nil {
			for _, q := range c.Quota() {
				emit(float64(of(q.Limit, q.Remaining)), q.Endpoint)
			}
		}
	}
}

func (d *Daemon) lookups(_ *scrape, emit emitter) {
	for _, l := range report.Lookups() {
		emit(float64(d.scores.Count(l)), l.String())
	}
}
