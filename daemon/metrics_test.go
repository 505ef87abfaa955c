package daemon

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"tattled/store"
)

var update = flag.Bool("update", false, "write docs/metrics.md again")

// allMetrics returns the metrics of a daemon that has nothing.
func allMetrics(t *testing.T) *metrics {
	t.Helper()
	d := &Daemon{registry: prometheus.NewRegistry(), metrics: newMetrics(func() store.Stats { return store.Stats{} })}
	if err := d.registerMetrics(); err != nil {
		t.Fatal(err)
	}
	return d.metrics
}

const metricsPageHead = `# Metrics

tattled serves these on ` + "`/metrics`" + ` of its page (by default http://127.0.0.1:9817/metrics), as text, as OpenMetrics and as protobuf. Histograms
are classic and native at once. Beside them are the collectors ` + "`go_*`" + ` and ` + "`process_*`" + ` of the Prometheus client, of which
` + "`process_start_time_seconds`" + `, ` + "`process_resident_memory_bytes`" + ` and ` + "`process_cpu_seconds_total`" + ` show restarts, memory and CPU time, and
` + "`promhttp_*`" + ` about the page itself.

No label ever holds an address, a user, a program or a host of a log line: their values come from the configuration, the rule files
and the lists below. So the number of series does not grow with what attackers do.

This page is generated: ` + "`go test ./daemon -run TestMetricsPage -update`" + ` writes it.
`

// metricsPage is docs/metrics.md.
func metricsPage(specs []spec) string {
	var b strings.Builder
	b.WriteString(metricsPageHead)
	var subjects []string
	for _, s := range specs {
		if !slices.Contains(subjects, s.subject) {
			subjects = append(subjects, s.subject)
		}
	}
	slices.SortStableFunc(specs, func(a, b spec) int { return slices.Index(subjects, a.subject) - slices.Index(subjects, b.subject) })
	subject := ""
	for _, s := range specs {
		if s.subject != subject {
			subject = s.subject
			fmt.Fprintf(&b, "\n## %s\n\n| Metric | Type | Unit | Labels | Meaning |\n|---|---|---|---|---|\n", subject)
		}
		var labels []string
		for _, l := range s.labels {
			labels = append(labels, "`"+l.name+"`: "+l.values)
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s |\n", s.name, s.kind, s.unit, strings.Join(labels, "; "), s.meaning)
	}
	return b.String()
}

// Names, labels and meaning of the metrics are a contract with dashboards and alerts: a change shows up in docs/metrics.md.
func TestMetricsPage(t *testing.T) {
	got := metricsPage(allMetrics(t).specs)
	const page = "../docs/metrics.md"
	if *update {
		if err := os.WriteFile(page, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("metrics changed (-want +got); go test ./daemon -run TestMetricsPage -update writes the page again:\n%s", diff)
	}
}

// What is registered is what is listed: no metric without a line on the page.
func TestMetricsAreListed(t *testing.T) {
	m := allMetrics(t)
	described := map[string]bool{}
	for _, c := range []prometheus.Collector{m, m.commits, m.latency, m.countries, m.events} {
		descs := make(chan *prometheus.Desc, 100)
		c.Describe(descs)
		close(descs)
		for desc := range descs {
			described[desc.String()] = true
		}
	}
	for _, s := range m.specs {
		desc := prometheus.NewDesc(s.name, s.help(), s.labelNames(), nil).String()
		if !described[desc] {
			t.Errorf("%s is listed and not registered as such", s.name)
		}
		delete(described, desc)
		if s.unit == "" || !strings.HasSuffix(s.meaning, ".") || strings.ContainsAny(s.help(), "|\n") {
			t.Errorf("%s: unit %q, meaning %q", s.name, s.unit, s.meaning)
		}
		for _, l := range s.labels {
			if l.values == "" {
				t.Errorf("%s: nothing is said of the values of %s", s.name, l.name)
			}
		}
	}
	for desc := range described {
		t.Errorf("not listed: %s", desc)
	}
}

// What dashboards and alerts were promised is there.
func TestMetricsOfTheContract(t *testing.T) {
	there := map[string]bool{}
	for _, s := range allMetrics(t).specs {
		there[strings.TrimPrefix(s.name, "tattled_")+"{"+strings.Join(s.labelNames(), ",")+"}"] = true
	}
	for _, name := range strings.Fields(`receiver_records_total{source} receiver_bytes_total{source} receiver_dropped_total{source,reason}
		receiver_skipped_total{source} receiver_outcomes_total{source,outcome} receiver_lag_seconds{source} receiver_gaps_total{source}
		receiver_connections{source} receiver_files{source} receiver_helpers{source}
		source_up{source} source_last_record_timestamp_seconds{source} events_total{service,kind,reporter} events_by_country_total{country,kind}
		problems{} attackers{} detect_matched_total{service,rule} detect_unmatched_total{program} detect_drifting{program}
		detect_refused_total{service,reason} policy_decisions_total{policy,action} policy_gate_refused_total{reason}
		store_commits_total{} store_commit_seconds{} store_bytes{} store_file_bytes{} store_limit_bytes{} store_addresses{} store_evicted_total{what}
		store_full{} store_damaged_total{} store_commit_waiting_seconds{}
		outbox_items{destination,state} outbox_oldest_seconds{destination} destination_up{destination} reports_total{destination,result}
		report_latency_seconds{} alerts_total{channel,result} abuseipdb_quota_remaining{endpoint} abuseipdb_quota_limit{endpoint}
		geoip_database_build_timestamp_seconds{database} build_info{version,goversion} reputation_lookups_total{result}
		config_last_reload_successful{} config_last_reload_success_timestamp_seconds{} dry_run{}`) {
		if !there[name] {
			t.Errorf("there is no tattled_%s", name)
		}
	}
}
