package daemon

import (
	"github.com/prometheus/client_golang/prometheus"

	"tattled/event"
	"tattled/policy"
)

// counted are the metrics that are counted when something happens, not read at a scrape.
type counted struct {
	commits   prometheus.Histogram
	latency   prometheus.Histogram
	countries *prometheus.CounterVec
	events    *prometheus.CounterVec

	// What was looked up in the vectors, for the committer alone: it counts every event.
	byCountry map[countryKey]prometheus.Counter
	byService map[serviceKey]prometheus.Counter
}

// countryKey is a country's code and a kind of event, of both of which there are few.
type countryKey struct {
	code [2]byte
	kind event.Kind
}

// serviceKey is a service of the rules, a kind of event and a source.
type serviceKey struct {
	service, source string
	kind            event.Kind
}

func newCounted(m *metrics) *counted {
	histogram := func(subject, name, meaning string, buckets []float64) prometheus.Histogram {
		m.subject = subject
		s := m.describe(name, "histogram", "seconds", meaning, nil)
		return prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: s.name, Help: s.help(), Buckets: buckets, NativeHistogramBucketFactor: 1.1, NativeHistogramMaxBucketNumber: 100,
		})
	}
	vector := func(name, unit, meaning string, labels ...label) *prometheus.CounterVec {
		s := m.describe(name, "counter", unit, meaning, labels)
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: s.name, Help: s.help()}, s.labelNames())
	}
	kind := oneOf("kind", textsOf(event.Kinds())...)
	return &counted{
		events: vector("events_total", "events", "Events stored.", serviceLabel("service"), kind,
			label{"reporter", "what the configuration calls their source (reporter), else " + otherReporter}),
		countries: vector("events_by_country_total", "events", "Events stored, by the country of the address.",
			label{"country", "a code of two letters, or " + policy.Unknown + " if it is unknown"}, kind),
		commits: histogram(subjectStore, "store_commit_seconds", "How long one commit to the state file took.",
			[]float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5}),
		latency: histogram(subjectReports, "report_latency_seconds", "From the judgement until the destination accepted the report.",
			[]float64{.05, .1, .25, .5, 1, 2.5, 5, 10, 60, 600, 3600, 86400}),
		byCountry: map[countryKey]prometheus.Counter{}, byService: map[serviceKey]prometheus.Counter{},
	}
}

// otherReporter is the label of events of a source without a reporter: a record's host is whatever its sender wrote.
const otherReporter = "other"

// count takes in events that are durable. reporters are those of the configuration, by source.
func (c *counted) count(events []event.Event, reporters map[string]string) {
	for i := range events {
		c.countCountry(&events[i])
		c.countService(&events[i], reporters)
	}
}

func (c *counted) countCountry(e *event.Event) {
	code := e.Place.Country
	if len(code) != 2 || code[0] < 'A' || code[0] > 'Z' || code[1] < 'A' || code[1] > 'Z' {
		code = policy.Unknown
	}
	key := countryKey{[2]byte{code[0], code[1]}, e.Kind}
	counter := c.byCountry[key]
	if counter == nil {
		counter = c.countries.WithLabelValues(code, e.Kind.String())
		c.byCountry[key] = counter
	}
	counter.Inc()
}

func (c *counted) countService(e *event.Event, reporters map[string]string) {
	key := serviceKey{e.Service, e.Source, e.Kind}
	counter := c.byService[key]
	if counter == nil {
		reporter := reporters[e.Source]
		if reporter == "" {
			reporter = otherReporter
		}
		counter = c.events.WithLabelValues(e.Service, e.Kind.String(), reporter)
		c.byService[key] = counter
	}
	counter.Inc()
}
