package daemon

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
)

var update = flag.Bool("update", false, "write testdata/metrics.txt anew")

// Names, labels and meaning of the metrics are a contract with dashboards and alerts: a change shows up here.
func TestMetricsGolden(t *testing.T) {
	d := &Daemon{registry: prometheus.NewRegistry(), metrics: newMetrics()}
	if err := d.registerMetrics(); err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, c := range []prometheus.Collector{d.metrics, d.metrics.commits, d.metrics.latency, d.metrics.countries, d.metrics.events} {
		descs := make(chan *prometheus.Desc, 100)
		c.Describe(descs)
		close(descs)
		for desc := range descs {
			fmt.Fprintln(&b, desc)
		}
	}
	const golden = "testdata/metrics.txt"
	if *update {
		if err := os.WriteFile(golden, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), b.String()); diff != "" {
		t.Errorf("metrics changed (-want +got); go test ./daemon -update writes them anew:\n%s", diff)
	}
}

// What dashboards and alerts were promised is there.
func TestMetricsOfTheContract(t *testing.T) {
	golden, err := os.ReadFile("testdata/metrics.txt")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range strings.Fields(`receiver_records_total receiver_bytes_total receiver_dropped_total receiver_lag_seconds source_up
		source_last_record_timestamp_seconds events_total problems
		detect_matched_total detect_unmatched_total detect_drifting detect_refused_total policy_decisions_total policy_gate_refused_total
		store_commits_total store_commit_seconds store_bytes store_addresses store_evicted_total outbox_items reports_total
		report_latency_seconds abuseipdb_quota_remaining abuseipdb_quota_limit events_by_country_total alerts_total
		geoip_database_build_timestamp_seconds build_info reputation_lookups_total config_last_reload_successful`) {
		if !strings.Contains(string(golden), `fqName: "tattled_`+name+`"`) {
			t.Errorf("there is no tattled_%s", name)
		}
	}
}
