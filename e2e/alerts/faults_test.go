package alerts

import (
	"bytes"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/emersion/go-smtp"
	"github.com/maxmind/mmdbwriter"

	"tattled/report/abuseipdb/double"
)

// fault is one that is really made, the alert that it must lead to, and its end.
type fault struct {
	alert     string
	of        *tattled // nil: of none
	what      string
	make, end func()
}

func (f *fault) name() string {
	if f.of == nil {
		return f.alert
	}
	return f.alert + " " + f.of.web
}

// passes says whether the fault is over before long and may be made again, for a machine that is too slow to see it at once.
func (f *fault) passes() bool {
	return slices.Contains([]string{
		"TattledRestarts", "TattledCommitsSlow", "TattledInDoubt", "TattledSendersRefused", "TattledRecordsDropped", "TattledLags", "TattledEvicts",
	}, f.alert)
}

// Faults that are really made of real daemons let the alerts fire on Debian's Prometheus, by the packaged rules at a faster pace;
// the alerts end when the faults do. Nothing fires before.
func TestFaults(t *testing.T) {
	lackTools(t, "prometheus", "promtool")
	c := newCast(t)
	p := startPrometheus(t, quickRules(t), c.targets())
	w := watch(t, p)
	nobody := []fault{{alert: "TattledNotScraped", what: "no target is a tattled"}}
	w.await(nobody, false)
	c.start()
	w.await(nobody, true)
	within(t, 30*time.Second, "all to be scraped", func() bool { return p.query("up == 1") == len(c.targets()) })
	for name, description := range w.firing() {
		if !c.expected(name) {
			t.Errorf("before any fault there is %s: %s", name, description)
		}
	}
	checkMetrics(t, c.files.web)
	c.logRegularly() // once it is scraped: what is to fall silent must have been seen
	for _, round := range c.faults() {
		w.forget(round)
		for _, f := range round {
			f.make()
		}
		w.await(round, false)
		for _, f := range round {
			f.end()
		}
		w.await(round, true)
	}
}

// checkMetrics lets promtool judge a scrape.
func checkMetrics(t *testing.T, web string) {
	t.Helper()
	code, text := get(t, "http://"+web+"/metrics")
	cmd := exec.CommandContext(t.Context(), "promtool", "check", "metrics")
	cmd.Stdin = strings.NewReader(text)
	if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 || code != http.StatusOK {
		t.Errorf("promtool check metrics: status %d, %v\n%s", code, err, out)
	}
}

// Where Prometheus takes native histograms, it leaves the classic ones out: the rules work with what there is.
func TestNativeHistograms(t *testing.T) {
	lackTools(t, "prometheus")
	d := newTattled(t, buildTattled(t), "native", "sources: {files: [{path: DIR/auth.log}]}\n")
	d.logs("auth.log", attackers(5)...)
	d.run()
	p := startPrometheus(t, quickRules(t), []string{d.web}, "--enable-feature=native-histograms")
	const recorded = "instance:tattled_store_commit_seconds:p99_10m > 0"
	n := 0
	within(t, 30*time.Second, "a quantile of commits", func() bool {
		n++
		d.logs("auth.log", sshLine("45.149.0.1", n)) // something to commit
		return p.query(recorded) == 1
	})
	if p.query("tattled_store_commit_seconds_bucket") != 0 {
		t.Error("the classic histogram was scraped: this shows nothing about the native one")
	}
}

// cast is who takes part.
type cast struct {
	t *testing.T

	files, key, quota, away, listener, disk, near, slow, broken, restless *tattled

	keyDouble, quotaDouble *double.Double
	awayAt, mailAt         string
	plain, late            string // addresses of listener
	small, frozen          string // folders for the state of disk and slow, each on a file system of its own; "" if that cannot be made
}

func newCast(t *testing.T) *cast {
	t.Helper()
	binary := buildTattled(t)
	c := &cast{t: t, awayAt: freePort(t), mailAt: freePort(t), plain: freePort(t), late: freePort(t)}
	const report = "policy_defaults: false\npolicy: [{name: any, when: {kind: [auth-failure]}, threshold: 1, do: [report%s]}]\n" +
		"report: {abuseipdb: {url: %q, key_file: DIR/key, rate: 100}}\n"
	const auth = "sources: {files: [{path: DIR/auth.log, start: beginning}]}\n"
	newDouble := func(options double.Options) (*double.Double, string) {
		d, err := double.New(options)
		if err != nil {
			t.Fatal(err)
		}
		server := httptest.NewServer(d)
		t.Cleanup(server.Close)
		return d, server.URL + "/api/v2/"
	}
	daemon := func(name, config string) *tattled { return newTattled(t, binary, name, config) }
	_, premium := newDouble(double.Options{Plan: "premium"})
	c.files = daemon("files", "sources: {files: [{path: DIR/auth.log}, {path: DIR/app.log}]}\n"+
		fmt.Sprintf(report, ", alert", premium)+
		"alerts: {mail: {server: \""+c.mailAt+"\", from: tattled@example.org, to: [admin@example.org], rate: 100, timeout: 2s}}\ngeoip: {city: DIR/city.mmdb}\n")
	c.writeCity(time.Now())
	var at string
	c.keyDouble, at = newDouble(double.Options{Plan: "premium"})
	c.key = daemon("key", auth+fmt.Sprintf(report, "", at))
	c.quotaDouble, at = newDouble(double.Options{Plan: "standard"})
	c.quota = daemon("quota", auth+fmt.Sprintf(report, "", at))
	c.away = daemon("away", auth+fmt.Sprintf(report, "", "http://"+c.awayAt+"/api/v2/")+"store: {path: DIR/state.db, waiting: 100}\n")
	c.listener = daemon("listener", "sources:\n  files: [{path: DIR/access.log, program: nginx}]\n  syslog:\n    - {listen: \"tcp://"+c.plain+"\", allow: [127.0.0.1/32]}\n    - {listen: \"tcp://"+c.late+"\"}\n"+
		"store: {path: DIR/state.db, addresses: 2000}\n")
	c.small, c.frozen = smallDisk(t), loopDisk(t)
	c.disk = daemon("disk", auth+stateIn(c.small))
	c.slow = daemon("slow", auth+stateIn(c.frozen))
	c.near = daemon("near", auth+fmt.Sprintf(report, "", "http://"+freePort(t)+"/api/v2/")+"store: {path: DIR/state.db, max_size: 16, waiting: 1000000}\n")
	c.thawed()
	c.broken = daemon("broken", auth)
	c.restless = daemon("restless", auth)
	for _, d := range c.all() {
		for _, name := range []string{"auth.log", "app.log", "access.log"} {
			d.write(name, "")
		}
	}
	return c
}

func (c *cast) all() []*tattled {
	return []*tattled{c.files, c.key, c.quota, c.away, c.listener, c.disk, c.near, c.slow, c.broken, c.restless}
}

func (c *cast) targets() (all []string) {
	for _, d := range c.all() {
		all = append(all, d.web)
	}
	return all
}

func (c *cast) start() {
	for _, d := range c.all() {
		d.run()
	}
}

// logRegularly is a program that logs what no rule knows; it falls silent when this is not called again.
func (c *cast) logRegularly() {
	var lines []string
	for i := range 50 {
		lines = append(lines, time.Now().Format(time.Stamp)+fmt.Sprintf(" web1 app[1]: line %d", i))
	}
	c.files.logs("app.log", lines...)
}

// expected says whether an alert is there without a fault: daemons that are to report nothing have no key, and on the small file systems
// there is no room for a backup.
func (c *cast) expected(alert string) bool {
	name, web, _ := strings.Cut(alert, " ")
	return slices.ContainsFunc(c.all(), func(d *tattled) bool {
		return d.web == web && (name == "TattledDryRun" && !strings.Contains(d.config, "key_file") || name == "TattledProblems" && (d == c.disk || d == c.slow))
	})
}

// writeCity puts a GeoIP database in its place that was built at a time.
func (c *cast) writeCity(built time.Time) {
	c.t.Helper()
	w, err := mmdbwriter.New(mmdbwriter.Options{DatabaseType: "GeoLite2-City", BuildEpoch: built.Unix(), RecordSize: 24})
	if err != nil {
		c.t.Fatal(err)
	}
	var b bytes.Buffer
	if _, err := w.WriteTo(&b); err != nil {
		c.t.Fatal(err)
	}
	c.files.write("city.new", b.String())
	if err := os.Rename(c.files.dir+"/city.new", c.files.dir+"/city.mmdb"); err != nil {
		c.t.Fatal(err)
	}
}

// faults returns them in rounds: those of one round are there at the same time.
func (c *cast) faults() [][]fault {
	first := append(append(c.faultsOfFiles(), c.faultsOfReports()...), c.faultsOfListener()...)
	first = append(first, c.faultsOfStore()...)
	first = append(first, fault{"TattledSourceDown", c.restless, "its log is removed; one that was there may be away for minutes while it runs", func() {
		c.restless.rename("auth.log", "elsewhere")
	}, func() { c.restless.write("auth.log", "") }})
	first = append(first, fault{"TattledRestarts", c.restless, "killed and started again, three times", func() {
		for range 3 {
			c.restless.signal(syscall.SIGKILL)
			c.restless.start() // not ready without a log
			c.scraped(c.restless)
		}
	}, func() {}})
	second := []fault{
		{"TattledDown", c.restless, "killed", func() { c.restless.signal(syscall.SIGKILL) }, c.restless.run},
		{"TattledQuotaUsedUp", c.quota, "no request is left, and a report waits", func() {
			c.use(60)
			c.quota.logs("auth.log", sshLine("45.149.1.9", 1))
		}, func() { // a new key has a quota of its own
			c.quota.write("key", strings.Repeat("9", 80))
			c.quota.signal(syscall.SIGHUP)
		}},
	}
	if c.frozen != "" {
		second = append(second, fault{"TattledCommitsSlow", c.slow, "one commit waits for three seconds (fsfreeze)", func() {
			freeze(c.t, c.frozen, fiFreeze)
			c.slow.logs("auth.log", attackers(10)...)
			<-time.After(3 * time.Second)
			freeze(c.t, c.frozen, fiThaw)
		}, func() {}})
	}
	return [][]fault{first, second}
}

// scraped waits until a daemon answers, and then for longer than there is between two scrapes.
func (c *cast) scraped(d *tattled) {
	c.t.Helper()
	within(c.t, 30*time.Second, "an answer", func() bool {
		code, _ := get(c.t, "http://"+d.web+"/metrics")
		return code == http.StatusOK
	})
	<-time.After(1200 * time.Millisecond)
}

func (c *cast) faultsOfFiles() []fault {
	d := c.files
	return []fault{
		{"TattledMailFails", d, "the mail server is not there", func() { d.logs("auth.log", sshLine("45.149.3.1", 1)) }, c.startMail},
		{"TattledGeoIPOld", d, "a database that was built 100 days ago", func() { c.writeCity(time.Now().Add(-100 * 24 * time.Hour)) }, func() { c.writeCity(time.Now()) }},
		{"TattledDryRun", d, "the key is removed, and a reload", func() {
			c.refused(d, "mail")
			d.rename("key", "key.away")
			d.signal(syscall.SIGHUP)
		}, func() {}},
		{"TattledReloadFailed", d, "a reload of a file with an error", func() {
			within(c.t, 10*time.Second, "the dry run", func() bool { return d.metric("tattled_dry_run 1") })
			d.write("tattled.yaml", d.config+"nonsense: 1\n")
			d.signal(syscall.SIGHUP)
		}, func() { // ends both
			d.write("tattled.yaml", d.config)
			d.rename("key.away", "key")
			d.signal(syscall.SIGHUP)
		}},
		{"TattledSourceSilent", d, "what logged every now and then logs no more", func() {}, c.logRegularly},
	}
}

// refused waits until a destination has not answered.
func (c *cast) refused(d *tattled, destination string) {
	c.t.Helper()
	within(c.t, 20*time.Second, "an attempt at "+destination, func() bool { return d.metric(`tattled_destination_up{destination="` + destination + `"} 0`) })
}

// startMail runs a mail server that takes everything.
func (c *cast) startMail() {
	c.t.Helper()
	l, err := new(net.ListenConfig).Listen(c.t.Context(), "tcp", c.mailAt)
	if err != nil {
		c.t.Fatal(err)
	}
	s := smtp.NewServer(sink{})
	s.Domain = "localhost"
	served := make(chan struct{})
	go func() { defer close(served); _ = s.Serve(l) }()
	c.t.Cleanup(func() { _ = s.Close(); <-served })
}

func (c *cast) faultsOfReports() []fault {
	return []fault{
		{"TattledKeyRefused", c.key, "the double refuses the key (401)", func() {
			c.keyDouble.SetFaults(double.Fault{Mode: double.Revoked})
			c.key.logs("auth.log", attackers(3)...)
		}, func() { c.keyDouble.SetFaults() }},
		{"TattledProblems", c.key, "the refused key is one", func() {}, func() {}},
		{"TattledReportsRejected", c.quota, "the double refuses one report (422)", func() {
			c.quotaDouble.SetFaults(double.Fault{Mode: double.Invalid, Times: 1})
			c.quota.logs("auth.log", sshLine("45.149.2.1", 1))
			within(c.t, 20*time.Second, "the refusal", func() bool {
				return c.quota.metric(`tattled_reports_total{destination="abuseipdb",result="rejected"} 1`)
			})
		}, func() {}},
		{"TattledQuotaLow", c.quota, "950 of 1000 requests are used, and some go on", func() {
			c.use(950)
			for i := range 3 {
				c.quota.logs("auth.log", sshLine(fmt.Sprintf("45.149.1.%d", 1+i), i))
				c.scraped(c.quota)
			}
		}, func() {}},
		{"TattledDestinationDown", c.away, "nobody answers", func() { c.away.logs("auth.log", attackers(300)...) }, func() {
			d, err := double.New(double.Options{Plan: "premium"})
			if err != nil {
				c.t.Fatal(err)
			}
			l, err := new(net.ListenConfig).Listen(c.t.Context(), "tcp", c.awayAt)
			if err != nil {
				c.t.Fatal(err)
			}
			server := httptest.NewUnstartedServer(d)
			server.Listener.Close()
			server.Listener = l
			server.Start()
			c.t.Cleanup(server.Close)
		}},
		{"TattledReportsWait", c.away, "reports have waited for longer than the copy of the rules allows", func() {}, func() {}},
		{"TattledReportsGivenUp", c.away, "300 wait where 100 may", func() {}, func() {}},
	}
}

// use takes requests of the quota by the same key.
func (c *cast) use(n int) {
	c.t.Helper()
	for i := range n {
		form := url.Values{"ip": {fmt.Sprintf("45.150.%d.%d", i/250, 1+i%250)}, "categories": {"22"}}
		req := httptest.NewRequestWithContext(c.t.Context(), http.MethodPost, "/api/v2/report", strings.NewReader(form.Encode()))
		req.Header.Set("Key", key)
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		c.quotaDouble.ServeHTTP(httptest.NewRecorder(), req)
	}
}

func (c *cast) faultsOfListener() []fault {
	syslog := func(at time.Time, addr string) string {
		return fmt.Sprintf("<38>1 %s web1 sshd 1 - - Failed password for root from %s port 1 ssh2\n", at.Format(time.RFC3339), addr)
	}
	ambiguous := fmt.Sprintf(`198.51.100.66 - 203.0.113.5 - - [%s] "GET /.env HTTP/1.1" 404 9 "-" "-"`, time.Now().Format("02/Jan/2006:15:04:05 -0700"))
	return []fault{
		{"TattledInDoubt", c.listener, "60 lines of which a client wrote the middle", func() {
			c.listener.logs("access.log", strings.Split(strings.Repeat(ambiguous+"\n", 59)+ambiguous, "\n")...)
		}, func() {}},
		{"TattledSendersRefused", c.listener, "a sender that allow does not name", func() { send(c.t, "127.0.0.2", c.plain, "<38>x\n") }, func() {}},
		{"TattledRecordsDropped", c.listener, "a counted frame that ends early", func() { send(c.t, "127.0.0.1", c.plain, "99 <38>Nov 30 10:00:00 web1 x: y") }, func() {}},
		{"TattledLags", c.listener, "lines that are ten minutes old", func() { send(c.t, "127.0.0.1", c.late, syslog(time.Now().Add(-10*time.Minute), "45.149.4.1")) },
			func() { send(c.t, "127.0.0.1", c.late, syslog(time.Now(), "45.149.4.1")) }},
		{"TattledEvicts", c.listener, "10000 addresses where 2000 may be kept", func() {
			var b strings.Builder
			for i := range 10_000 {
				b.WriteString(syslog(time.Now(), fmt.Sprintf("45.%d.%d.%d", 151+i/62500, i/250%250, 1+i%250)))
			}
			send(c.t, "127.0.0.1", c.plain, b.String())
		}, func() {}},
	}
}

func (c *cast) faultsOfStore() []fault {
	all := []fault{
		{"TattledStoreDamaged", c.broken, "bytes of its records are changed while it is down", func() {
			c.broken.logs("auth.log", attackers(50)...)
			within(c.t, 20*time.Second, "the events", func() bool { return c.broken.metric("tattled_store_events 50") })
			c.broken.signal(syscall.SIGTERM)
			c.damage(c.broken.dir + "/state.db")
			// Its log is also rotated away meanwhile.
			c.broken.logs("auth.log", sshLine("45.149.5.1", 1))
			if err := os.Remove(c.broken.dir + "/auth.log"); err != nil {
				c.t.Fatal(err)
			}
			c.broken.write("auth.log", "")
			c.broken.run()
		}, func() {}},
		{"TattledGaps", c.broken, "its log is replaced while it is down", func() {}, func() {}},
	}
	all = append(all, fault{"TattledStoreNearLimit", c.near, "20,000 reports wait where 16 MiB are for all", func() {
		c.near.logs("auth.log", attackers(20_000)...)
	}, func() { // as its remedy says
		c.near.write("tattled.yaml", strings.Replace(c.near.config, "max_size: 16", "max_size: 256", 1))
		c.near.signal(syscall.SIGTERM)
		c.near.run()
	}})
	if c.small != "" {
		ballast := filepath.Join(c.small, "ballast")
		all = append(all, fault{"TattledStoreFull", c.disk, "its file system of 48 MB is full", func() {
			fill(c.t, ballast)
			c.disk.logs("auth.log", attackers(5_000)...)
		}, func() {
			if err := os.Remove(ballast); err != nil {
				c.t.Fatal(err)
			}
		}})
	}
	if c.frozen != "" {
		all = append(all, fault{"TattledDiskStuck", c.slow, "its file system does not respond (fsfreeze)", func() {
			freeze(c.t, c.frozen, fiFreeze)
			c.slow.logs("auth.log", attackers(10)...)
		}, func() { freeze(c.t, c.frozen, fiThaw) }})
	}
	return all
}

// damage changes a byte of each place where a state file has the name of a host.
func (c *cast) damage(path string) {
	c.t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		c.t.Fatal(err)
	}
	n := bytes.Count(text, []byte("web1"))
	if err := os.WriteFile(path, bytes.ReplaceAll(text, []byte("web1"), []byte("web2")), 0o600); err != nil || n == 0 {
		c.t.Fatalf("%d places, %v", n, err)
	}
}

// thawed sees to it that the frozen file system is let go before its daemon is ended: nothing ends a process that waits for it.
func (c *cast) thawed() {
	if c.frozen != "" {
		c.t.Cleanup(func() { _ = ioctl(c.frozen, fiThaw) })
	}
}

// stateIn returns the setting of a state file in a folder, "" for the usual one.
func stateIn(dir string) string {
	if dir == "" {
		return ""
	}
	return "store: {path: " + dir + "/state.db}\n"
}
