package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"tattled/report/abuseipdb/double"
)

var (
	dashboardFor     = flag.Duration("dashboard.for", 30*time.Second, "how long the dashboards' daemon is busy")
	dashboardAnswers = flag.String("dashboard.answers", "", "a file for what Prometheus said, for tools/dashboard")
)

// A real Prometheus scrapes two real daemons, one of which has everything to do, and answers all queries of the dashboards: none of their panels
// is empty. What is compared with last week is compared with a week that was made up.
func TestDashboards(t *testing.T) {
	b := newBusy(t)
	base := startPrometheus(t, b.since, map[string]string{"web1.example.org": b.web, "web2.example.org": b.otherWeb})
	began := time.Now()
	b.work(*dashboardFor)
	documentedQuery(t, base)
	span := time.Since(began).Truncate(time.Second) / 2 // the first half is what the second is compared with
	file := *dashboardAnswers
	if file == "" {
		file = t.TempDir() + "/answers.json"
	}
	cmd := exec.CommandContext(t.Context(), "go", "run", ".", "ask", "-prometheus", base, "-span", span.String(), "-scrape", "1s", "-answers", file)
	cmd.Dir = "../../tools/dashboard"
	says := b.figures()
	out, err := cmd.CombinedOutput()
	t.Logf("%v of work:\n%s", *dashboardFor, out)
	if err != nil {
		t.Error(err)
	}
	b.judge(file, says)
	b.p.stop()
	b.other.stop()
}

// shown is what a panel shows for one of its queries.
type shown struct {
	Dashboard, Title, Ref string
	Series                []struct {
		Labels map[string]string
		Points [][2]float64
	}
}

// figures are what the daemons themselves say to what some panels show.
func (b *busy) figures() map[string]float64 {
	return map[string]float64{
		"Reports today": b.p.metric(`tattled_reports_total{destination="abuseipdb",result="delivered"}`),
		"Alerts today":  b.p.metric(`tattled_alerts_total{channel="mail",result="delivered"}`),
		"Attackers now": b.p.metric("tattled_attackers") + b.other.metric("tattled_attackers"),
	}
}

// judge compares some of the answers with that, and with what was done.
func (b *busy) judge(file string, says map[string]float64) {
	b.t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		b.t.Fatal(err)
	}
	var all []shown
	if err := json.Unmarshal(text, &all); err != nil {
		b.t.Fatal(err)
	}
	find := func(title, ref string) shown {
		i := slices.IndexFunc(all, func(s shown) bool { return s.Title == title && s.Ref == ref })
		if i < 0 {
			b.t.Fatalf("there is no panel %s", title)
		}
		return all[i]
	}
	sum := func(s shown) (sum float64) {
		for _, one := range s.Series {
			sum += one.Points[len(one.Points)-1][1]
		}
		return sum
	}
	for title, want := range says {
		if got := sum(find(title, "A")); math.Abs(got-want) > want/10 { // the last scrape is a second old
			b.t.Errorf("%s: the dashboard says %v, tattled says %v", title, got, want)
		}
	}
	if got := sum(find("Countries", "B")); math.Abs(got-1) > 1e-6 {
		b.t.Errorf("the countries' shares make %v", got)
	}
	for title, rows := range map[string]int{"Sources": 8, "Hosts": 2, "Versions": 2} {
		if got := len(find(title, "A").Series); got != rows {
			b.t.Errorf("%s has %d lines, want %d", title, got, rows)
		}
	}
	for _, s := range find("Up", "A").Series {
		down, up := s.Points[0][1] == 0, s.Points[len(s.Points)-1][1] == 1
		if late := strings.HasSuffix(s.Labels["source"], "late.log"); !up || down != late {
			b.t.Errorf("%v: down at first %v, up at last %v", s.Labels, down, up)
		}
	}
}

// documentedQuery asks whether tattled is scraped as docs/grafana.md says.
func documentedQuery(t *testing.T, base string) {
	t.Helper()
	text, err := os.ReadFile("../../docs/grafana.md")
	if err != nil {
		t.Fatal(err)
	}
	command := regexp.MustCompile(`(?m)^    (curl .+)$`).FindStringSubmatch(string(text))
	if command == nil {
		t.Fatal("docs/grafana.md asks nothing of Prometheus")
	}
	out, err := exec.CommandContext(t.Context(), "sh", "-c", strings.ReplaceAll(command[1], "http://127.0.0.1:9090", base)).CombinedOutput()
	if err != nil || !strings.Contains(string(out), `"1"]`) {
		t.Errorf("%s: %v\n%s", command[1], err, out)
	}
}

// busy is a daemon that reads from everywhere, and another that has little to do.
type busy struct {
	t             *testing.T
	dir           string
	config        string
	since         time.Time
	p, other      *process
	web, otherWeb string
	otherConfig   string
	double        *double.Double
	journal       *journalWriter
	tcp, strict   string
	udp           string
	conn          net.Conn
	round         int
}

const busyConfig = `
sources:
  journal: {directory: %[1]s, helper: %[2]s, since: 1h, reporter: web1}
  files:
    - {path: %[3]s/auth.log, reporter: bastion}
    - {path: %[3]s/late.log, reporter: late}
    - {path: %[3]s/access.log, program: nginx, form: combined, reporter: shop}
  syslog:
    - {listen: "tcp://%[4]s", trust: report, reporter: mail}
    - {listen: "tcp://%[5]s", allow: [192.0.2.0/24]}
    - {listen: "udp://%[6]s", trust: report, reporter: edge}
policy:
  - {name: every-failure, when: {kind: [auth-failure]}, threshold: 1, within: 1h, do: [count]}
  - name: accept-unexpected-country
    when: {kind: [firewall-accept], country_not: [BE, NL]}
    reputation: {max_score: 50, max_age: 90d}
    do: [alert]
trusted: [45.139.0.0/16]
report: {abuseipdb: {url: %[7]q, rate: 100}}
alerts: {mail: {server: %[8]q, from: tattled@example.org, to: [admin@example.org], mute: 1m, rate: 100}}
geoip: {city: %[9]s}
store: {path: %[3]s/state.db}
web: {listen: %[10]q}
`

// countries of the made-up attackers, by the second number of their addresses.
func countries() map[string]string {
	return map[string]string{"45.140.0.0/16": "CN", "45.141.0.0/16": "US", "45.142.0.0/16": "BR", "45.143.0.0/16": "VN", "45.144.0.0/16": "NL", "45.145.0.0/16": "KP"}
}

func newBusy(t *testing.T) *busy {
	t.Helper()
	b := &busy{t: t, dir: t.TempDir(), since: time.Now(), journal: newJournal(t)}
	var url string
	b.double, url = newDouble(t)
	b.tcp, b.strict, b.udp, b.web, b.otherWeb = freePort(t, "tcp"), freePort(t, "tcp"), freePort(t, "udp"), freePort(t, "tcp"), freePort(t, "tcp")
	write(t, b.dir, "access.log", "")
	b.config = write(t, b.dir, "tattled.yaml", fmt.Sprintf(busyConfig,
		b.journal.dir, buildHelper(t), b.dir, b.tcp, b.strict, b.udp, url, newMailServer(t).addr, places(t, countries()), b.web))
	b.p = startReporting(t, "run", "--config", b.config).ready()
	b.otherConfig = write(t, t.TempDir(), "tattled.yaml", fmt.Sprintf(`
sources: {syslog: [{listen: "tcp://127.0.0.1:0", reporter: web2}]}
store: {path: %s/state.db}
web: {listen: %q}
`, t.TempDir(), b.otherWeb))
	b.other = start(t, "run", "--config", b.otherConfig).ready()
	var err error
	if b.conn, err = net.Dial("tcp", b.tcp); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.conn.Close() })
	return b
}

// work lets attackers come for so long, and has things go wrong meanwhile.
func (b *busy) work(limit time.Duration) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.t.Context(), limit)
	defer cancel()
	at := func(part float64) time.Duration { return time.Duration(part * float64(limit)) }
	faults := []struct {
		at time.Duration
		do func()
	}{
		{at(0.1), b.reload},
		{at(0.5), func() { // an outage that ends by itself: how long the courier waits after a failure is chance
			b.double.SetFaults(double.Fault{Mode: double.Internal, Endpoint: "report", Times: 3}, double.Fault{Mode: double.Internal, Endpoint: "check", Times: 2})
		}},
		{at(0.6), func() { write(b.t, b.dir, "late.log", "") }}, // a source that was missing until now
		{at(0.65), b.spoil},
		{at(0.7), b.restartOther},
		{at(0.8), b.fix},
		{at(0.85), func() { b.double.Step(16 * time.Minute) }},
		{at(0.9), b.reload},
	}
	began, tick := time.Now(), time.NewTicker(250*time.Millisecond)
	defer tick.Stop()
	for {
		for len(faults) > 0 && time.Since(began) >= faults[0].at {
			faults[0].do()
			faults = faults[1:]
		}
		b.attack()
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// attack is a quarter of a second of attacks, from each source of another kind; more of them at some times than at others.
func (b *busy) attack() {
	b.round++
	for n := range 2 + (b.round/8)%5 {
		addr := fmt.Sprintf("45.%d.%d.%d", 140+(b.round*b.round+n)%6, b.round/250, 1+b.round%250)
		for i := range 6 * (1 - min(n, 1)) { // one of them guesses on, and is reported
			b.journal.sshd(1000+i, time.Now(), fmt.Sprintf("Failed password for root from %s port 4002%d ssh2", addr, i))
		}
		b.file(addr, n)
		b.syslog(addr, n)
	}
	b.journal.flush()
	if b.round%4 == 0 {
		b.misbehave()
		other := b.other.dial()
		fmt.Fprintf(other, "<38>%s web2 sshd[1]: %s\n", time.Now().Format(time.Stamp), sshLine("45.141.7.7", b.round))
		other.Close()
	}
}

// file appends to the two logs.
func (b *busy) file(addr string, n int) {
	appendLines(b.t, b.dir+"/auth.log", []string{
		sshLine(addr, n), "Accepted password for dan from 45.144.9.9 port 4711 ssh2",
		"Failed password for root from host.example.org port 40022 ssh2", // which names no address: refused
		"Server listening on 0.0.0.0 port 22.",                           // which no rule knows
	}, 2000)
	appendTo(b.t, b.dir+"/access.log", fmt.Sprintf(`%s - - [%s] "GET /.env?%d HTTP/1.1" 404 162 "-" "curl/8.5.0"`+"\n",
		addr, time.Now().Format("02/Jan/2006:15:04:05 -0700"), b.round))
}

// syslog sends what a mail server and a packet filter log.
func (b *busy) syslog(addr string, n int) {
	now := time.Now().Format(time.Stamp)
	fmt.Fprintf(b.conn, "<22>%s mail postfix/smtpd[%d]: warning: unknown[%s]: SASL LOGIN authentication failed: UGFzc3dvcmQ6, sasl_username=u%d@example.org\n", now, n, addr, n)
	fmt.Fprintf(b.conn, "<22>%s mail postfix/smtpd[%d]: warning: unknown[10.1.2.%d]: SASL LOGIN authentication failed: UGFzc3dvcmQ6\n", now, n, n)
	if n == 0 {
		fmt.Fprint(b.conn, acceptLine(addr, 3306))
	}
	packet, err := net.Dial("udp", b.udp)
	if err != nil {
		b.t.Fatal(err)
	}
	defer packet.Close()
	fmt.Fprintf(packet, "<4>%s edge kernel: [ 8123.456789] [UFW BLOCK] IN=eth0 OUT= MAC=52:54:00:12:34:56:52:54:00:65:43:21:08:00 SRC=%s DST=192.0.2.10 "+
		"LEN=40 TOS=0x00 PREC=0x00 TTL=244 ID=54321 PROTO=TCP SPT=40022 DPT=%d WINDOW=1024 RES=0x00 SYN URGP=0 ", now, addr, 20+n)
}

// misbehave is what senders do that are strangers, or broken.
func (b *busy) misbehave() {
	for where, text := range map[string]string{
		b.strict: "<38>Jan  1 00:00:00 h sshd[1]: a stranger\n",
		b.tcp:    "GET / HTTP/1.1\r\nHost: 192.0.2.10\r\n\r\n",
	} {
		if c, err := net.Dial("tcp", where); err == nil {
			_, _ = io.WriteString(c, text)
			c.Close()
		}
	}
	fmt.Fprint(b.conn, "\n   \n")
	if b.round%8 != 0 {
		return
	}
	if c, err := net.Dial("tcp", b.tcp); err == nil {
		_, _ = io.WriteString(c, "400 <38>Jan  1 00:00:00 h a: it ends too soon")
		c.Close()
	}
}

func (b *busy) reload() { b.hup(b.p) }

func (b *busy) hup(p *process) {
	if err := p.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		b.t.Fatal(err)
	}
}

// spoil breaks the configuration, and fix repairs it: the reload fails in between.
func (b *busy) spoil() {
	appendTo(b.t, b.config, "polcy: []\n")
	b.reload()
}

func (b *busy) fix() {
	text, err := os.ReadFile(b.config)
	if err != nil {
		b.t.Fatal(err)
	}
	write(b.t, b.dir, "tattled.yaml", strings.TrimSuffix(string(text), "polcy: []\n"))
	b.reload()
}

func (b *busy) restartOther() {
	b.other.stop()
	b.other = start(b.t, "run", "--config", b.otherConfig).ready()
}

// startPrometheus starts one that scrapes targets each second, by their names, and knows of a week before since. It returns its URL.
func startPrometheus(t *testing.T, since time.Time, targets map[string]string) string {
	t.Helper()
	dir, listen := t.TempDir(), freePort(t, "tcp")
	lastWeek(t, dir, since.Add(-7*24*time.Hour), targets)
	var scraped strings.Builder
	for name, addr := range targets {
		fmt.Fprintf(&scraped, "      - {targets: [%q], labels: {instance: %q}}\n", addr, name)
	}
	config := write(t, dir, "prometheus.yml", "global: {scrape_interval: 1s, scrape_timeout: 1s}\nscrape_configs:\n  - job_name: tattled\n    static_configs:\n"+scraped.String())
	cmd := exec.Command("prometheus", "--config.file="+config, "--storage.tsdb.path="+dir+"/data", "--web.listen-address="+listen)
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatalf("this test needs it: apt-get install prometheus (%v)", err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
		if text, _ := os.ReadFile(log.Name()); t.Failed() {
			t.Logf("Prometheus said:\n%s", text)
		}
	})
	all := fmt.Sprintf(`"%d"]`, len(targets))
	eventually(t, 30*time.Second, "the first scrapes", func() bool { // Prometheus takes some seconds to begin
		res, err := (&http.Client{Timeout: time.Second}).Get("http://" + listen + "/api/v1/query?query=sum(up)")
		if err != nil {
			return false
		}
		defer res.Body.Close()
		answer, err := io.ReadAll(res.Body)
		return err == nil && strings.Contains(string(answer), all)
	})
	return "http://" + listen
}

// lastWeek puts a quieter time like this one into Prometheus' database.
func lastWeek(t *testing.T, dir string, at time.Time, targets map[string]string) {
	t.Helper()
	var text strings.Builder
	text.WriteString("# TYPE tattled_events counter\n")
	for name := range targets {
		for i, kind := range []string{"auth-failure", "auth-success", "firewall-block", "firewall-accept", "web-attack"} {
			for s := 0; s < 60+int(2*dashboardFor.Seconds()); s++ {
				fmt.Fprintf(&text, "tattled_events_total{instance=%q,job=\"tattled\",kind=%q,reporter=\"web1\",service=\"sshd\"} %d %d\n",
					name, kind, s*(9-i)/2, at.Unix()+int64(s))
			}
		}
	}
	text.WriteString("# EOF\n")
	file := write(t, dir, "last-week", text.String())
	if out, err := exec.Command("promtool", "tsdb", "create-blocks-from", "openmetrics", file, dir+"/data").CombinedOutput(); err != nil {
		t.Fatalf("this test needs it: apt-get install prometheus (%v)\n%s", err, out)
	}
}

// The addresses of the made-up attackers are in the networks of the made-up countries.
func TestBusyCountries(t *testing.T) {
	for network := range countries() {
		if p := netip.MustParsePrefix(network); p.Addr().As4()[1] < 140 || p.Addr().As4()[1] > 145 {
			t.Errorf("no attacker is in %v", p)
		}
	}
}
