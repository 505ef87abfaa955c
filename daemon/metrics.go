package daemon

import (
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"tattled/store"
)

// metrics is the list of all metrics. Counters live in the packages that count; here they get their names, by subject: metrics_*.go. No
// label ever holds text of a log record: sources, rules, policies and destinations come from the configuration and the rule files, and
// countries are codes of two letters. docs/metrics.md is generated from the list.
type metrics struct {
	*counted
	subject string
	specs   []spec   // of all, in the order of docs/metrics.md
	list    []metric // those that are read at each scrape
	stats   func() store.Stats
}

// spec is what is said of a metric.
type spec struct {
	subject    string
	name, kind string
	unit       string // what one of it is
	meaning    string
	labels     []label
}

// The subjects of docs/metrics.md.
const (
	subjectEvents    = "Events"
	subjectSources   = "Sources"
	subjectDetection = "Detection"
	subjectPolicies  = "Policies"
	subjectStore     = "The state file"
	subjectReports   = "Reports and alerts"
	subjectDaemon    = "The daemon"
)

// label is a label of a metric, and its values in words.
type label struct{ name, values string }

// help is what /metrics and docs/metrics.md say of a metric.
func (s *spec) help() string {
	text := s.meaning + " Unit: " + s.unit + "."
	for i, l := range s.labels {
		if i == 0 {
			text += " Labels: "
		} else {
			text += "; "
		}
		text += l.name + " is " + l.values
	}
	if len(s.labels) > 0 {
		text += "."
	}
	return text
}

// labelNames returns the names of the labels alone.
func (s *spec) labelNames() []string {
	var all []string
	for _, l := range s.labels {
		all = append(all, l.name)
	}
	return all
}

// oneOf is a label with values that are known.
func oneOf(name string, values ...string) label {
	n := len(values) - 1
	if n == 0 {
		return label{name, values[0]}
	}
	return label{name, strings.Join(values[:n], ", ") + " or " + values[n]}
}

// textsOf returns what values are called.
func textsOf[S ~[]V, V interface{ String() string }](values S) []string {
	var all []string
	for _, v := range values {
		all = append(all, v.String())
	}
	return all
}

// metric is a metric and where its values come from, read at each scrape.
type metric struct {
	desc    *prometheus.Desc
	kind    prometheus.ValueType
	collect func(s *scrape, emit emitter)
}

// scrape is what several metrics of one scrape have in common.
type scrape struct {
	now   time.Time
	stats store.Stats
}

type emitter = func(value float64, labels ...string)

func newMetrics(stats func() store.Stats) *metrics {
	m := &metrics{stats: stats, subject: subjectEvents}
	m.counted = newCounted(m)
	return m
}

// registerMetrics lists everything that is read at each scrape. Where a new metric gets its line, its subject says.
func (d *Daemon) registerMetrics() error {
	d.sourceMetrics()
	d.detectMetrics()
	d.policyMetrics()
	d.storeMetrics()
	d.reportMetrics()
	d.daemonMetrics()
	return d.metrics.register(d.registry)
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

// describe takes a metric into the list of all.
func (m *metrics) describe(name, kind, unit, meaning string, labels []label) *spec {
	m.specs = append(m.specs, spec{m.subject, "tattled_" + name, kind, unit, meaning, labels})
	return &m.specs[len(m.specs)-1]
}

func (m *metrics) counter(name, unit, meaning string, collect func(*scrape, emitter), labels ...label) {
	m.add(m.describe(name, "counter", unit, meaning, labels), prometheus.CounterValue, collect)
}

func (m *metrics) gauge(name, unit, meaning string, collect func(*scrape, emitter), labels ...label) {
	m.add(m.describe(name, "gauge", unit, meaning, labels), prometheus.GaugeValue, collect)
}

func (m *metrics) add(s *spec, kind prometheus.ValueType, collect func(*scrape, emitter)) {
	m.list = append(m.list, metric{prometheus.NewDesc(s.name, s.help(), s.labelNames(), nil), kind, collect})
}

// Describe implements prometheus.Collector.
func (m *metrics) Describe(out chan<- *prometheus.Desc) {
	for _, one := range m.list {
		out <- one.desc
	}
}

// Collect implements prometheus.Collector.
func (m *metrics) Collect(out chan<- prometheus.Metric) {
	s := &scrape{time.Now(), m.stats()}
	for _, one := range m.list {
		one.collect(s, func(value float64, labels ...string) {
			out <- prometheus.MustNewConstMetric(one.desc, one.kind, value, labels...)
		})
	}
}

// yesNo is the unit of a gauge that is 1 or 0.
const yesNo = "1 for yes, 0 for no"

// simple is a metric that shares nothing with others.
func simple(collect func(emitter)) func(*scrape, emitter) {
	return func(_ *scrape, emit emitter) { collect(emit) }
}

// unixTime is the unit of a time.
const unixTime = "seconds since 1970"

// single is a metric without labels.
func single(value func(s *scrape) float64) func(*scrape, emitter) {
	return func(s *scrape, emit emitter) { emit(value(s)) }
}

func unixOrZero(t time.Time) float64 {
	if t.IsZero() {
		return 0
	}
	return float64(t.Unix())
}

func oneIf(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}
