package daemon

import (
	"slices"

	"tattled/detect"
	"tattled/policy"
	"tattled/receiver"
)

// serviceLabel is a service's name.
func serviceLabel(name string) label { return label{name, "the service of a rule file, such as sshd"} }

// detectMetrics is where a metric about detection gets its line.
func (d *Daemon) detectMetrics() {
	m, source, service := d.metrics, sourceLabel(), serviceLabel("service")
	m.subject = subjectDetection
	m.counter("detect_matched_total", "records", "Records in which a rule found an event.",
		d.matched, service, label{"rule", "the rule's name in its file"})
	m.counter("detect_unmatched_total", "records", "Records of a known program in which no rule found anything.",
		d.unmatched, serviceLabel("program"))
	m.gauge("detect_drifting", yesNo, "Whether none of many records of a known program matched, or none as an attack: its format may have changed.",
		simple(d.drift.each), serviceLabel("program"))
	m.counter("detect_refused_total", "records", "Records that a rule describes and that name no peer for sure.",
		d.refused, label{"service", service.values + ", or other for records that were cut"}, oneOf("reason", slices.Concat(textsOf(detect.Refusals()), []string{"overlong"})...))
	m.gauge("detect_raw_logs", "logs", "Logs in which peers can write whole lines: none of their lines proves an address.",
		d.rawLogs(func(c rawCount) float64 { return float64(c.logs) }), source)
	m.counter("detect_raw_overflows_total", "bounds reached", "Bounds on such logs that were reached: all logs of a program, or of the source, count as such since.",
		d.rawLogs(func(c rawCount) float64 { return float64(c.overflows) }), source)
}

// policyMetrics is where a metric about judgement gets its line.
func (d *Daemon) policyMetrics() {
	m := d.metrics
	m.subject = subjectPolicies
	m.counter("policy_decisions_total", "decisions", "Policies that were reached, and what came of it.",
		d.decisions, label{"policy", "its name in the configuration"}, oneOf("action", policy.Outcomes()...))
	m.counter("policy_gate_refused_total", "refusals", "Reports to third parties, and alerts about addresses that are internal, that the gate refused.",
		d.gateRefused, oneOf("reason", textsOf(policy.Refusals())...))
	m.subject = subjectEvents
	m.gauge("attackers", "addresses", "Addresses (of IPv6: /64 networks) that attacked in the last 5 minutes, by the time of their events, since the start; at most 393216 are counted.",
		single(func(s *scrape) float64 { return float64(d.attackers.count(s.now)) }))
}

func (d *Daemon) rawLogs(value func(rawCount) float64) func(*scrape, emitter) {
	return d.eachSource(func(r receiver.Receiver, _ *scrape) float64 { return value(d.pipeline.raw.count(r.Source())) })
}

func (d *Daemon) matched(_ *scrape, emit emitter) {
	d.tally.eachRule(func(service, rule string, n uint64) { emit(float64(n), service, rule) })
}

func (d *Daemon) unmatched(_ *scrape, emit emitter) {
	for service, n := range d.tally.missedCounts() {
		emit(float64(n), service)
	}
}

func (d *Daemon) refused(_ *scrape, emit emitter) {
	d.tally.eachRefused(func(service string, reason detect.Refusal, n uint64) { emit(float64(n), service, reason.String()) })
	emit(float64(d.tally.overlong.Load()), "other", "overlong") // where a message was cut, so was what tells of its service
}

func (d *Daemon) decisions(_ *scrape, emit emitter) {
	for decision, n := range d.counters.Decisions() {
		emit(float64(n), decision.Policy, decision.Action)
	}
}

func (d *Daemon) gateRefused(_ *scrape, emit emitter) {
	for _, r := range policy.Refusals() {
		n := d.counters.Refused(r)
		if r == policy.Trusted {
			n += d.tally.trusted.Load() // dropped before they are judged
		}
		emit(float64(n), r.String())
	}
}
