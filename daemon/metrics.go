package daemon

import (
	"runtime"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"tattled/detect"
	"tattled/event"
	"tattled/policy"
	"tattled/receiver"
	"tattled/report"
	"tattled/store"
)

// metrics is the list of all metrics. Counters live in the packages that count; here they get their names. No label ever
// holds text of a log record: sources, rules, policies and destinations come from the configuration and the rule files,
// and countries are codes of two letters.
type metrics struct {
	commits   prometheus.Histogram
	latency   prometheus.Histogram
	countries *prometheus.CounterVec
	events    *prometheus.CounterVec
	list      []metric
}

// metric is a name and where its values come from, read at each scrape.
type metric struct {
	desc    *prometheus.Desc
	kind    prometheus.ValueType
	collect func(emit func(value float64, labels ...string))
}

func newMetrics() *metrics {
	histogram := func(name, help string, buckets []float64) prometheus.Histogram {
		return prometheus.NewHistogram(prometheus.HistogramOpts{
			Namespace: "tattled", Name: name, Help: help, Buckets: buckets, NativeHistogramBucketFactor: 1.1, NativeHistogramMaxBucketNumber: 100,
		})
	}
	return &metrics{
		commits: histogram("store_commit_seconds", "How long one commit to the state file took.",
			[]float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5}),
		latency: histogram("report_latency_seconds", "From the judgement until the destination accepted the report.",
			[]float64{.05, .1, .25, .5, 1, 2.5, 5, 10, 60, 600, 3600, 86400}),
		countries: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: "tattled", Name: "events_by_country_total", Help: "Events stored, by the country of the address (?? if unknown).",
		}, []string{"country", "kind"}),
		events: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: "tattled", Name: "events_total", Help: "Events stored, by service, kind and the reporter that the configuration gives their source (other: none).",
		}, []string{"service", "kind", "reporter"}),
	}
}

// otherReporter is the label of events of a source without a reporter: a record's host is whatever its sender wrote.
const otherReporter = "other"

// count takes in events that are durable. reporters are those of the configuration, by source.
func (m *metrics) count(events []event.Event, reporters map[string]string) {
	for i := range events {
		country := events[i].Place.Country
		if len(country) != 2 || country[0] < 'A' || country[0] > 'Z' || country[1] < 'A' || country[1] > 'Z' {
			country = policy.Unknown
		}
		m.countries.WithLabelValues(country, events[i].Kind.String()).Inc()
		reporter := reporters[events[i].Source]
		if reporter == "" {
			reporter = otherReporter
		}
		m.events.WithLabelValues(events[i].Service, events[i].Kind.String(), reporter).Inc()
	}
}

// registerMetrics is where a new metric gets its line.
func (d *Daemon) registerMetrics() error {
	m := d.metrics
	m.add(prometheus.CounterValue, "receiver_records_total", "Records received, whatever became of them.", d.eachSource(func(r receiver.Receiver) float64 {
		return float64(r.Meter().Records.Load())
	}), "source")
	m.add(prometheus.CounterValue, "receiver_bytes_total", "Bytes of the records received, framing and header included.", d.eachSource(func(r receiver.Receiver) float64 {
		return float64(r.Meter().Bytes.Load())
	}), "source")
	m.add(prometheus.CounterValue, "receiver_dropped_total", "Records received that went no further, by reason.", d.dropped, "source", "reason")
	m.add(prometheus.CounterValue, "receiver_outcomes_total", "Records received that were judged: matched, ignored or refused. With those dropped they are all that were received.", d.outcomes, "source", "outcome")
	m.add(prometheus.CounterValue, "receiver_errors_total", "Transient faults of a source: failed reads, helpers that died, clients that misbehaved.", d.eachSource(func(r receiver.Receiver) float64 {
		return float64(r.Meter().Errors.Load())
	}), "source")
	m.add(prometheus.CounterValue, "receiver_gaps_total", "Places where records were lost before they could be read.", d.eachSource(func(r receiver.Receiver) float64 {
		return float64(r.Meter().Gaps.Load())
	}), "source")
	m.add(prometheus.CounterValue, "receiver_cut_total", "Records longer than their source accepts.", d.eachSource(func(r receiver.Receiver) float64 {
		return float64(r.Meter().Cut.Load())
	}), "source")
	m.add(prometheus.CounterValue, "receiver_carriage_returns_total", "Connections whose lines are separated by carriage returns alone, and cannot be read.", d.eachSource(func(r receiver.Receiver) float64 {
		return float64(r.Meter().CarriageReturns.Load())
	}), "source")
	m.add(prometheus.CounterValue, "receiver_second_opinions_total", "Records whose header was left to go-syslog's parser, and whether it knew it.", d.secondOpinions, "source", "result")
	m.add(prometheus.GaugeValue, "source_up", "1 while a source can be read, 0 while it cannot be opened, is missing or may not be read, and is tried again.", d.eachSource(func(r receiver.Receiver) float64 {
		return oneIf(up(r))
	}), "source")
	m.add(prometheus.GaugeValue, "source_last_record_timestamp_seconds", "When the last record of a source was read; 0 if none was since the start.", d.eachSource(func(r receiver.Receiver) float64 {
		return float64(unixOrZero(d.tally.source(r.Source()).habit.lastRecord()))
	}), "source")
	m.add(prometheus.GaugeValue, "receiver_open", "Connections, files or helpers that are open.", d.eachSource(func(r receiver.Receiver) float64 {
		return float64(r.Meter().Open.Load())
	}), "source")
	m.add(prometheus.GaugeValue, "receiver_lag_seconds", "Between the time of the last record that had one and its reading.", d.eachSource(func(r receiver.Receiver) float64 {
		return float64(d.tally.source(r.Source()).lag.Load()) / 1e9
	}), "source")
	m.add(prometheus.CounterValue, "detect_matched_total", "Records in which a rule found an event.", d.matched, "service", "rule")
	m.add(prometheus.CounterValue, "detect_unmatched_total", "Records of a known program in which no rule found anything, by service.", d.unmatched, "program")
	m.add(prometheus.GaugeValue, "detect_drifting", "1 while none of many records of a known program matched, or none as an attack: its format may have changed.", d.drift.each, "program")
	m.add(prometheus.CounterValue, "detect_refused_total", "Records that a rule describes and that name no peer for sure, by service and reason.", d.refused, "service", "reason")
	m.add(prometheus.GaugeValue, "detect_raw_logs", "Logs in which peers can write whole lines: none of their lines proves an address.", d.rawLogs(func(c rawCount) float64 { return float64(c.logs) }), "source")
	m.add(prometheus.CounterValue, "detect_raw_overflows_total", "Bounds on such logs that were reached: all logs of a program, or of the source, count as such since.", d.rawLogs(func(c rawCount) float64 { return float64(c.overflows) }), "source")
	m.add(prometheus.CounterValue, "policy_decisions_total", "Policies that were reached, and what came of it.", d.decisions, "policy", "action")
	m.add(prometheus.CounterValue, "policy_gate_refused_total", "Reports to third parties, and alerts about addresses that are internal, that the gate refused.", d.gateRefused, "reason")
	m.add(prometheus.CounterValue, "store_commits_total", "Transactions committed.", d.fromStore(func(s *store.Stats) float64 { return float64(s.Commits) }))
	m.add(prometheus.GaugeValue, "store_bytes", "Bytes of the state file in use.", d.fromStore(func(s *store.Stats) float64 { return float64(s.Usage.Used) }))
	m.add(prometheus.GaugeValue, "store_file_bytes", "Size of the state file.", d.fromStore(func(s *store.Stats) float64 { return float64(s.Usage.Size) }))
	m.add(prometheus.GaugeValue, "store_events", "Events kept.", d.fromStore(func(s *store.Stats) float64 { return float64(s.Events) }))
	m.add(prometheus.GaugeValue, "store_addresses", "Addresses (of IPv6: /64 networks) kept.", d.fromStore(func(s *store.Stats) float64 { return float64(s.Addresses) }))
	m.add(prometheus.CounterValue, "store_damaged_total", "Records of the state file that failed their checksum and were quarantined.", d.fromStore(func(s *store.Stats) float64 { return float64(s.Damaged) }))
	m.add(prometheus.CounterValue, "store_reports_held_total", "Reports that were held back because the state file was restored and their addresses may have been reported before.", d.fromStore(func(s *store.Stats) float64 { return float64(s.Held) }))
	m.add(prometheus.CounterValue, "store_backups_total", "Backups of the state file: made, skipped for lack of space, or failed.", d.backups.each, "result")
	m.add(prometheus.CounterValue, "store_evicted_total", "What retention and limits removed.", d.evicted, "what")
	m.add(prometheus.GaugeValue, "store_full", "1 while there is no space left and nothing is accepted.", func(emit func(float64, ...string)) {
		emit(oneIf(d.committer.Full()))
	})
	m.add(prometheus.GaugeValue, "store_commit_waiting_seconds", "How long the current commit has been running: long when the disk does not respond.", func(emit func(float64, ...string)) {
		emit(d.committer.Committing().Seconds())
	})
	m.add(prometheus.GaugeValue, "outbox_items", "Reports in the outbox, by state.", d.outbox, "destination", "state")
	m.add(prometheus.CounterValue, "reports_total", "Attempts to report to a third party, by result.", d.attempts(policy.Report), "destination", "result")
	m.add(prometheus.CounterValue, "alerts_total", "Attempts to alert the operator, by result.", d.attempts(policy.Alert), "channel", "result")
	m.add(prometheus.GaugeValue, "abuseipdb_quota_remaining", "Requests left today, as AbuseIPDB said last.", d.quota(func(limit, remaining int64) int64 { return remaining }), "endpoint")
	m.add(prometheus.GaugeValue, "abuseipdb_quota_limit", "Requests a day, as AbuseIPDB said last.", d.quota(func(limit, remaining int64) int64 { return limit }), "endpoint")
	m.add(prometheus.GaugeValue, "geoip_database_build_timestamp_seconds", "When a GeoIP database in use was built.", func(emit func(float64, ...string)) {
		for name, at := range d.places.Builds() {
			emit(float64(at.Unix()), name)
		}
	}, "database")
	d.registerReload()
	m.add(prometheus.GaugeValue, "problems", "Current problems: /healthz names each with cause and remedy.", func(emit func(float64, ...string)) {
		emit(float64(len(d.health().Problems)))
	})
	m.add(prometheus.GaugeValue, "dry_run", "1 while nothing is sent to AbuseIPDB because there is no key.", func(emit func(float64, ...string)) { emit(oneIf(d.dryRun())) })
	m.add(prometheus.GaugeValue, "build_info", "Always 1; the labels say what runs.", func(emit func(float64, ...string)) {
		emit(1, d.options.Version, runtime.Version())
	}, "version", "goversion")
	return m.register(d.registry)
}

// register makes a registry show all of it, and what the process is like.
func (m *metrics) register(registry *prometheus.Registry) error {
	for _, c := range []prometheus.Collector{
		m, m.commits, m.latency, m.countries, m.events,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	} {
		if err := registry.Register(c); err != nil {
			return err
		}
	}
	return nil
}

// registerReload is about what a reload rebuilds, and scores.
func (d *Daemon) registerReload() {
	m := d.metrics
	m.add(prometheus.CounterValue, "reputation_lookups_total", "Lookups of an address' score for a policy that asks for one, by result.", func(emit func(float64, ...string)) {
		for _, l := range report.Lookups() {
			emit(float64(d.scores.Count(l)), l.String())
		}
	}, "result")
	m.add(prometheus.GaugeValue, "config_last_reload_successful", "1 if the last reload of the configuration took effect, or there was none; 0 if it failed and changed nothing.", func(emit func(float64, ...string)) {
		emit(oneIf(d.reloads.ok()))
	})
}

func (m *metrics) add(kind prometheus.ValueType, name, help string, collect func(emit func(float64, ...string)), labels ...string) {
	m.list = append(m.list, metric{prometheus.NewDesc("tattled_"+name, help, labels, nil), kind, collect})
}

// Describe implements prometheus.Collector.
func (m *metrics) Describe(out chan<- *prometheus.Desc) {
	for _, one := range m.list {
		out <- one.desc
	}
}

// Collect implements prometheus.Collector.
func (m *metrics) Collect(out chan<- prometheus.Metric) {
	for _, one := range m.list {
		one.collect(func(value float64, labels ...string) {
			out <- prometheus.MustNewConstMetric(one.desc, one.kind, value, labels...)
		})
	}
}

func unixOrZero(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.Unix()
}

func oneIf(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}

type emitter = func(value float64, labels ...string)

func (d *Daemon) eachSource(value func(receiver.Receiver) float64) func(emitter) {
	return func(emit emitter) {
		for _, r := range d.receivers {
			emit(value(r), r.Source())
		}
	}
}

func (d *Daemon) rawLogs(value func(rawCount) float64) func(emitter) {
	return d.eachSource(func(r receiver.Receiver) float64 { return value(d.pipeline.raw.count(r.Source())) })
}

func (d *Daemon) dropped(emit emitter) {
	for _, r := range d.receivers {
		for _, reason := range receiver.Reasons() {
			emit(float64(r.Meter().Dropped(reason)), r.Source(), reason.String())
		}
	}
}

func (d *Daemon) outcomes(emit emitter) {
	for _, r := range d.receivers {
		t := d.tally.source(r.Source())
		emit(float64(t.matched.Load()), r.Source(), "matched")
		emit(float64(t.ignored.Load()), r.Source(), "ignored")
		emit(float64(t.refused.Load()), r.Source(), "refused")
	}
}

// secondOpinions are asked of listeners alone: see receiver/syslog.
func (d *Daemon) secondOpinions(emit emitter) {
	for _, r := range d.receivers {
		if l, ok := opened(r).(interface {
			SecondOpinions() (asked, known, panicked uint64)
		}); ok {
			asked, known, panicked := l.SecondOpinions()
			emit(float64(known), r.Source(), "known")
			emit(float64(asked-known-panicked), r.Source(), "unknown")
			emit(float64(panicked), r.Source(), "panicked")
		}
	}
}

func (d *Daemon) matched(emit emitter) {
	for name, n := range d.tally.ruleCounts() {
		emit(float64(n), name.service, name.rule)
	}
}

func (d *Daemon) unmatched(emit emitter) {
	for service, n := range d.tally.missedCounts() {
		emit(float64(n), service)
	}
}

func (d *Daemon) refused(emit emitter) {
	d.tally.eachRefused(func(service string, reason detect.Refusal, n uint64) { emit(float64(n), service, reason.String()) })
	emit(float64(d.tally.overlong.Load()), "other", "overlong") // where a message was cut, so was what tells of its service
}

func (d *Daemon) decisions(emit emitter) {
	for decision, n := range d.counters.Decisions() {
		emit(float64(n), decision.Policy, decision.Action)
	}
}

func (d *Daemon) gateRefused(emit emitter) {
	for _, r := range policy.Refusals() {
		n := d.counters.Refused(r)
		if r == policy.Trusted {
			n += d.tally.trusted.Load() // dropped before they are judged
		}
		emit(float64(n), r.String())
	}
}

func (d *Daemon) fromStore(value func(*store.Stats) float64) func(emitter) {
	return func(emit emitter) {
		s := d.store.Stats()
		emit(value(&s))
	}
}

func (d *Daemon) evicted(emit emitter) {
	for what, n := range d.store.Stats().Evicted {
		emit(float64(n), what)
	}
}

func (d *Daemon) outbox(emit emitter) {
	items := d.store.Stats().Items
	for _, o := range d.outlets {
		for _, state := range store.States() {
			emit(float64(items[o.name][state]), o.name, state.String())
		}
	}
}

func (d *Daemon) attempts(action policy.Action) func(emitter) {
	return func(emit emitter) {
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

func (d *Daemon) quota(of func(limit, remaining int64) int64) func(emitter) {
	return func(emit emitter) {
		if c := d.live.Load().abuseIPDB(); c != nil {
			for _, q := range c.Quota() {
				emit(float64(of(q.Limit, q.Remaining)), q.Endpoint)
			}
		}
	}
}
