package daemon

import (
	"fmt"
	"net"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"tattled/receiver"
	"tattled/report"
	"tattled/report/abuseipdb/double"
)

// valuesAt returns what a scrape at now would say of a metric, by the values of its labels.
func (m *metrics) valuesAt(t testing.TB, name string, now time.Time) map[string]float64 {
	t.Helper()
	for _, one := range m.list {
		if strings.Contains(one.desc.String(), `"tattled_`+name+`"`) {
			values := map[string]float64{}
			one.collect(&scrape{now, m.stats()}, func(value float64, labels ...string) { values[strings.Join(labels, ",")] = value })
			return values
		}
	}
	t.Fatalf("there is no metric %s", name)
	return nil
}

// value is what a scrape would say now of a metric with such labels; -1 for nothing.
func (d *Daemon) value(t *testing.T, name string, labels ...string) float64 {
	t.Helper()
	if v, ok := d.metrics.valuesAt(t, name, time.Now())[strings.Join(labels, ",")]; ok {
		return v
	}
	return -1
}

// becomes waits until a metric has a value.
func (d *Daemon) becomes(t *testing.T, want float64, name string, labels ...string) {
	t.Helper()
	waitFor(t, fmt.Sprint(name, labels, " to be ", want), func() bool { return d.value(t, name, labels...) == want },
		func() string { return fmt.Sprint(d.value(t, name, labels...)) })
}

// tattled's own lines are skipped: neither dropped nor lost, on the page, in the API and in the metrics.
func TestOwnLinesAreSkipped(t *testing.T) {
	b := newBusy(t)
	b.becomes(t, 2, "receiver_skipped_total", "journal")
	b.becomes(t, 3, "receiver_records_total", "journal")
	b.becomes(t, 1, "receiver_outcomes_total", "journal", "matched")
	for labels, n := range b.metrics.valuesAt(t, "receiver_dropped_total", time.Now()) {
		if n != 0 || strings.Contains(labels, "own") {
			t.Errorf("dropped: %s %v", labels, n)
		}
	}
	if summary := get(t, b.page+"/api/v1/sources"); !strings.Contains(summary, `"name":"journal","reporter":"here","up":true,"records":3,"skipped":2,"dropped":0,"lost":0`) {
		t.Errorf("the API says %s", summary)
	}
	if page := get(t, b.page+"/"); strings.Contains(page, `class="alarm"`) || !strings.Contains(page, `data-f="skipped">2<`) {
		t.Error("the page shows own lines as lost, or not at all")
	}
}

// Connections, files and helpers are three metrics, each of the sources that have such.
func TestOpenThings(t *testing.T) {
	b := newBusy(t)
	names := map[string]string{} // of sources by kind
	for _, r := range b.receivers {
		kind, _, _ := strings.Cut(r.Source(), ":")
		names[kind] = r.Source()
	}
	for _, c := range []struct{ metric, kind string }{{"receiver_helpers", "journal"}, {"receiver_files", "file"}} {
		b.becomes(t, 1, c.metric, names[c.kind])
	}
	at := opened(b.receivers[slices.IndexFunc(b.receivers, func(r receiver.Receiver) bool { return r.Source() == names["tcp"] })]).(interface{ Addr() net.Addr })
	b.becomes(t, 0, "receiver_connections", names["tcp"])
	conn, err := net.Dial("tcp", at.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	b.becomes(t, 1, "receiver_connections", names["tcp"])
	conn.Close()
	b.becomes(t, 0, "receiver_connections", names["tcp"])
	for _, metric := range []string{"receiver_helpers", "receiver_files", "receiver_connections"} {
		if values := b.metrics.valuesAt(t, metric, time.Now()); len(values) != 1 {
			t.Errorf("%s: %v, want one source", metric, values)
		}
	}
}

// The lag of a source is that of its last record, and ends when nothing has come for a minute.
func TestLagEnds(t *testing.T) {
	b := newBusy(t)
	const source = "tcp://127.0.0.1:0"
	now := time.Now()
	late := receiver.Record{Program: []byte("sshd"), Message: []byte("x"), Time: now.Add(-40 * time.Second)}
	if err := b.pipeline.Handle(t.Context(), &receiver.Batch{Source: source, Received: now, Records: []receiver.Record{late}}); err != nil {
		t.Fatal(err)
	}
	for after, want := range map[time.Duration]float64{0: 40, 59 * time.Second: 40, time.Minute: 0, time.Hour: 0} {
		if lag := b.metrics.valuesAt(t, "receiver_lag_seconds", now.Add(after))[source]; lag != want {
			t.Errorf("%s after the last record the lag is %v, want %v", after, lag, want)
		}
	}
	if lag := b.value(t, "receiver_lag_seconds", "unix://"); lag > 0 {
		t.Errorf("a source of which nothing came has a lag of %v", lag)
	}
}

// A destination is down while it refuses the key, and up again once there is another one. What waits meanwhile has an age. In dry-run
// mode nobody can tell, and nothing is said.
func TestDestinationRefusesTheKey(t *testing.T) {
	r := startRuns(t)
	if up := r.d.value(t, "destination_up", "abuseipdb"); up != -1 {
		t.Errorf("destination_up is %v in dry-run mode", up)
	}
	r.reload(true)
	r.d.becomes(t, 1, "destination_up", "abuseipdb")
	r.double.SetFaults(double.Fault{Mode: double.Revoked})
	r.attack("45.148.10.1")
	r.d.becomes(t, 0, "destination_up", "abuseipdb")
	if age := r.d.metrics.valuesAt(t, "outbox_oldest_seconds", time.Now().Add(time.Hour))["abuseipdb"]; age < 3600 || age > 3660 {
		t.Errorf("the oldest report is of %v seconds in an hour", age)
	}
	r.double.SetFaults()
	r.write("key", strings.Repeat("fedcba9876543210", 5))
	r.hangup <- syscall.SIGHUP
	r.d.becomes(t, 1, "destination_up", "abuseipdb")
	r.d.becomes(t, 0, "outbox_oldest_seconds", "abuseipdb")
	until(t, "the report that waited, delivered", func() bool { return r.settled(report.Delivered) == 1 }) // counted once it is durable
}

// Mail is down while its server refuses, and up again when it accepts.
func TestDestinationMailFails(t *testing.T) {
	b := newBusy(t)
	b.becomes(t, 1, "destination_up", "mail")
	b.mail.close(true)
	b.attack(t, 1)
	b.becomes(t, 0, "destination_up", "mail")
	if up := b.value(t, "destination_up", "abuseipdb"); up != 1 {
		t.Errorf("AbuseIPDB is %v while mail fails", up)
	}
	b.mail.close(false)
	b.becomes(t, 1, "destination_up", "mail")
	b.becomes(t, 0, "outbox_oldest_seconds", "mail")
}

// When the configuration took effect last is the start, or the last reload that succeeded. The limit of the state file is the
// configured one.
func TestReloadSuccessTime(t *testing.T) {
	before := float64(time.Now().UnixNano()) / 1e9
	d, configure := idle(t, "")
	start := d.value(t, "config_last_reload_success_timestamp_seconds")
	if start < before || start > float64(time.Now().UnixNano())/1e9 {
		t.Errorf("the start is at %v", start)
	}
	configure("polcy: []\n")
	d.reload()
	if at := d.value(t, "config_last_reload_success_timestamp_seconds"); at != start || d.value(t, "config_last_reload_successful") != 0 {
		t.Errorf("a reload that failed counts: %v after %v", at, start)
	}
	configure("")
	d.reload()
	if at := d.value(t, "config_last_reload_success_timestamp_seconds"); at <= start || d.value(t, "config_last_reload_successful") != 1 {
		t.Errorf("a reload that succeeded does not count: %v after %v", at, start)
	}
	if limit := d.value(t, "store_limit_bytes"); limit != 1024<<20 {
		t.Errorf("the state file's limit is %v by default", limit)
	}
	if limit := newBusy(t).value(t, "store_limit_bytes"); limit != 256<<20 {
		t.Errorf("the state file's limit is %v, want 256 MiB", limit)
	}
}

// A reporter is what the configuration calls a source, and never a host that a line names.
func TestReportersAreConfigured(t *testing.T) {
	b := newBusy(t)
	var want []string
	for i, r := range b.receivers {
		var records []receiver.Record
		for n := range 50 {
			records = append(records, receiver.Record{
				Program: []byte("sshd"), Host: fmt.Appendf(nil, "shop\"} 1\nx{host%d", n), Message: fmt.Appendf(nil, "Failed password for root from 45.1.%d.%d port 22 ssh2", i, n),
			})
		}
		b.handle(t, r.Source(), records)
		if reporter := b.reporters[r.Source()]; reporter != "" {
			want = append(want, reporter)
		}
	}
	want = append(want, otherReporter)
	slices.Sort(want)
	waitFor(t, "the events", func() bool { return b.store.Stats().Addresses >= 250 }, func() string { return "" })
	var got []string
	for _, one := range b.scrape(t, acceptPlain).families(t)["tattled_events_total"].Metric {
		for _, l := range one.Label {
			if l.GetName() == "reporter" && !slices.Contains(got, l.GetValue()) {
				got = append(got, l.GetValue())
			}
		}
	}
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("reporters %q, want %q", got, want)
	}
}

// The attackers of the last minutes are counted once each.
func TestAttackersOfADaemon(t *testing.T) {
	b := newBusy(t)
	b.attack(t, 1000)
	b.attack(t, 1000)
	b.becomes(t, 1001, "attackers") // and the one of the journal
	if n := b.metrics.valuesAt(t, "attackers", time.Now().Add(5*time.Minute))[""]; n != 0 {
		t.Errorf("%v attackers five minutes later", n)
	}
}
