package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"tattled/report/abuseipdb/double"
)

var soakFor = flag.Duration("soak.for", 20*time.Second, "how long the soak lasts: 1h in `make nightly`, 24h when there is time")

// TestSoak runs tattled for long under steady traffic of four ways, with scrapes and a fault a minute. In the first quarter
// the process is killed now and then; after that one process has to live through everything else. In the end every attacker
// was reported once and nobody else, every line of the file and of the journal was counted once, the books balanced at
// every stop, and that last process has grown by no more than 1 MB an hour and holds as many descriptors as it did.
func TestSoak(t *testing.T) {
	besideOthers(t)
	s := newSoak(t)
	every := max(min(time.Minute, *soakFor/10), 2*time.Second)
	faults := []struct {
		name string
		do   func()
	}{
		{"kill", s.kill}, {"reload", s.reload}, {"rotate", s.rotate}, {"outage", s.outage}, {"full", s.full}, {"clock", s.clock}, {"stop", s.stopAndGo},
	}
	ctx, cancel := context.WithCancel(t.Context())
	traffic := s.traffic(ctx)
	began := time.Now()
	tick := time.NewTicker(every)
	defer tick.Stop()
	counts, lastLife := map[string]int{}, false
	for n := 0; time.Since(began) < *soakFor; n++ {
		<-tick.C
		fault := faults[n%len(faults)]
		if !lastLife && time.Since(began) > *soakFor/4 {
			lastLife = true
			s.warmUp()
		}
		switch {
		case fault.name == "kill" && lastLife:
			continue
		case fault.name == "full" && !s.ownDisk:
			t.Log("no full disk: only root can make one that is small")
			continue
		}
		fault.do()
		counts[fault.name]++
		s.quiet()
		// Of go test -v: how far it has come.
		t.Logf("%v: %s; %d lines, %d attackers; %.1f MB, %d descriptors", time.Since(began).Round(time.Second), fault.name,
			s.lines.Load(), s.attackers(), float64(s.last().rss)/1e6, s.last().fds)
		if t.Failed() {
			break
		}
	}
	cancel()
	traffic.Wait()
	s.judge(time.Since(began), counts)
}

// soak is the daemon under test and those around it.
type soak struct {
	t      *testing.T
	double *double.Double
	config string
	dir    string // of the log file
	disk   string // where the state file is
	ways   []*soakWay

	ownDisk bool     // the state file's disk is small and its own, so that it may be full
	ledger  campaign // numbered lines of file and journal, see crash_test.go

	daemon  *process
	moment  sync.RWMutex // held by whoever writes lines; taken to make it quiet
	skew    atomic.Int64 // of the clock of the senders by syslog
	lines   atomic.Int64
	listMu  sync.Mutex
	attacks []soakAttack

	life   []soakSample // of the process that runs
	killed []time.Time  // when the process was
}

// soakWay is a way by which lines come in. What can rewind loses nothing when the daemon is killed; by the others, an
// attacker who was at it then goes on.
type soakWay struct {
	name    string
	rewinds bool
	mu      sync.Mutex
	write   func(messages []string)
}

type soakAttack struct {
	addr string
	way  *soakWay
	at   time.Time
}

type soakSample struct {
	at  time.Time
	rss int64 // anonymous memory in bytes
	fds int
}

func newSoak(t *testing.T) *soak {
	t.Helper()
	s := &soak{t: t, dir: t.TempDir()}
	s.disk, s.ownDisk = smallDisk(t, 256+64*int(soakFor.Hours()))
	var err error
	if s.double, err = double.New(double.Options{Plan: "premium"}); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(s.double)
	server.Config.SetKeepAlivesEnabled(false) // or a connection that idles would come and go among the descriptors
	server.Start()
	t.Cleanup(server.Close)
	journal := newJournal(t)
	s.ledger = campaign{t: t, journal: journal, file: s.dir + "/auth.log"}
	tcp, udp := freePort(t, "tcp"), freePort(t, "udp")
	s.config = write(t, s.dir, "tattled.yaml", fmt.Sprintf(`
sources:
  journal: {directory: %s, helper: %s, since: 1h}
  files: [{path: %s, start: beginning}]
  syslog:
    - {listen: "tcp://%s", trust: report}
    - {listen: "udp://%s", trust: report}
report: {abuseipdb: {url: %q, rate: 100}}
store: {path: %s/state.db, events: 1000000}
web: {listen: "127.0.0.1:0"}
`, journal.dir, buildHelper(t), s.ledger.file, tcp, udp, server.URL+"/api/v2/", s.disk))
	s.ways = []*soakWay{
		{name: "file", rewinds: true, write: func(messages []string) {
			appendLines(t, s.ledger.file, messages, 100)
		}},
		{name: "journal", rewinds: true, write: func(messages []string) {
			for i, m := range messages {
				journal.sshd(100+i, time.Now(), m)
			}
			journal.flush()
		}},
		{name: "tcp", write: s.sender("tcp", tcp, "\n")},
		{name: "udp", write: s.sender("udp", udp, "")},
	}
	s.begin()
	return s
}

// begin starts the daemon, and a life.
func (s *soak) begin() {
	s.t.Helper()
	s.daemon = startReporting(s.t, "run", "--config", s.config).ready()
	s.life = nil
}

// sender returns how to write by syslog: one record a message, over a connection that is made again when it breaks.
func (s *soak) sender(network, to, end string) func(messages []string) {
	var conn net.Conn
	s.t.Cleanup(func() {
		if conn != nil {
			conn.Close()
		}
	})
	return func(messages []string) {
		for i, m := range messages {
			if conn == nil {
				var err error
				if conn, err = net.DialTimeout(network, to, time.Second); err != nil {
					conn = nil
					return // the daemon is down: who must be seen comes again
				}
			}
			at := time.Now().Add(time.Duration(s.skew.Load())).Format(time.RFC3339)
			if _, err := fmt.Fprintf(conn, "<38>1 %s web2 sshd %d - - %s%s", at, 100+i, m, end); err != nil {
				conn.Close()
				conn = nil
			}
		}
	}
}

// traffic writes lines by every way and asks the page for everything until ctx is done.
func (s *soak) traffic(ctx context.Context) *sync.WaitGroup {
	var wg sync.WaitGroup
	for i, w := range s.ways {
		wg.Go(func() {
			repeat(ctx, 2*time.Second, func(n int) {
				s.moment.RLock()
				defer s.moment.RUnlock()
				if n%4 == 0 {
					s.attack(w, soakAddress(140, 4*n+i))
				}
				s.send(w, soakAddress(144, 4*n+i), 4) // one failure less than it takes
			})
		})
	}
	wg.Go(func() {
		repeat(ctx, 5*time.Second, func(int) {
			s.moment.RLock()
			defer s.moment.RUnlock()
			for _, path := range []string{"/metrics", "/healthz", "/", "/api/v1/events", "/api/v1/summary"} {
				s.ask(ctx, path)
			}
		})
	})
	return &wg
}

// soakAddress is the n-th address of a series: that of attackers begins at 45.140, that of others further up.
func soakAddress(second, n int) string {
	return fmt.Sprintf("45.%d.%d.%d", second+n/62_500, n/250%250, 1+n%250)
}

// ask fetches path, as a scraper does: it does not mind a daemon that is down.
func (s *soak) ask(ctx context.Context, path string) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	s.listMu.Lock()
	to := "http://" + s.daemon.addr["web"] + path
	s.listMu.Unlock()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, to, nil)
	if err != nil {
		s.t.Error(err)
		return
	}
	req.Close = true
	client := http.Client{}
	if res, err := client.Do(req); err == nil {
		_, _ = io.Copy(io.Discard, res.Body)
		res.Body.Close()
	}
}

// attack sends what must lead to one report of addr.
func (s *soak) attack(w *soakWay, addr string) {
	s.listMu.Lock()
	s.attacks = append(s.attacks, soakAttack{addr, w, time.Now()})
	s.listMu.Unlock()
	s.send(w, addr, 5)
}

// attackers returns how many there were until now.
func (s *soak) attackers() int {
	s.listMu.Lock()
	defer s.listMu.Unlock()
	return len(s.attacks)
}

// send writes n failures of addr by way w, and one harmless line after each. Lines of ways that rewind are numbered.
func (s *soak) send(w *soakWay, addr string, n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	var messages []string
	for i := range n {
		user := "guest"
		if w.rewinds {
			s.listMu.Lock()
			user = fmt.Sprintf("u%d", s.ledger.written)
			s.ledger.written++
			s.listMu.Unlock()
		}
		messages = append(messages,
			fmt.Sprintf("Failed password for invalid user %s from %s port %d ssh2", user, addr, 1024+(int(s.lines.Load())+i)%60_000),
			fmt.Sprintf("pam_unix(sshd:session): session opened for user deploy(uid=%d) by (uid=0)", 1000+i))
	}
	w.write(messages)
	s.lines.Add(int64(len(messages)))
}

// warmUp sends a failure of each of many addresses, so that buffers have their size, and in a long soak so many that what the
// daemon keeps in memory of the latest ones is full: it writes them to their place in the file when 32,768 have come together.
// From here on nothing has a reason to grow, so that samples begin anew.
func (s *soak) warmUp() {
	addresses := 10_000
	if *soakFor > time.Minute {
		addresses = 40_000
	}
	for n := range addresses {
		s.send(s.ways[0], soakAddress(200, n), 1)
	}
	s.life = nil
}

// quiet stops the traffic for a moment, in which the books must balance, and notes what the process takes.
func (s *soak) quiet() {
	s.t.Helper()
	s.moment.Lock()
	defer s.moment.Unlock()
	s.daemon.idle()
	s.daemon.balanced()
	s.life = append(s.life, s.sample())
}

func (s *soak) last() soakSample {
	if len(s.life) == 0 {
		return soakSample{}
	}
	return s.life[len(s.life)-1]
}

// sample reads the process's memory and descriptors. Connections that nobody uses any more have half a minute to go, and the
// file that was rotated last may stay open as long as its writer may still write to it.
func (s *soak) sample() soakSample {
	s.t.Helper()
	pid := s.daemon.cmd.Process.Pid
	sample := soakSample{at: time.Now()}
	settled, limit := 0, time.Now().Add(30*time.Second)
	for settled < 10 && time.Now().Before(limit) {
		open := slices.DeleteFunc(descriptors(pid), func(target string) bool { return target == s.ledger.file+".1" })
		if settled++; len(open) != sample.fds {
			settled = 0
		}
		if len(s.life) > 0 && len(open) > s.last().fds {
			settled = 0
		}
		sample.fds = len(open)
		<-time.After(10 * time.Millisecond)
	}
	if len(s.life) > 0 && sample.fds > s.last().fds {
		s.t.Logf("one descriptor more: %s", strings.Join(descriptors(pid), ", "))
	}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		s.t.Fatal(err)
	}
	_, after, _ := strings.Cut(string(status), "RssAnon:")
	if _, err := fmt.Sscan(after, &sample.rss); err != nil {
		s.t.Fatalf("no RssAnon in %s", status)
	}
	sample.rss *= 1024
	return sample
}

// descriptors lists what a process has open.
func descriptors(pid int) []string {
	dir := fmt.Sprintf("/proc/%d/fd", pid)
	open, _ := os.ReadDir(dir)
	var all []string
	for _, fd := range open {
		target, _ := os.Readlink(dir + "/" + fd.Name())
		all = append(all, target)
	}
	return all
}

// --- the faults -----------------------------------------------------------------------------------------------------

// kill kills the process while lines come in, and starts it again. Who attacked by a way that cannot rewind goes on.
func (s *soak) kill() {
	s.t.Helper()
	killed := time.Now()
	s.daemon.kill()
	p := startReporting(s.t, "run", "--config", s.config).ready()
	s.listMu.Lock()
	s.daemon, s.life = p, nil
	var again []soakAttack
	for _, a := range s.attacks {
		if !a.way.rewinds && a.at.After(killed.Add(-5*time.Second)) {
			again = append(again, a)
		}
	}
	s.listMu.Unlock()
	for _, a := range again {
		s.send(a.way, a.addr, 5) // over the broken connection, which shows only now
		s.send(a.way, a.addr, 5)
	}
	s.killed = append(s.killed, killed)
}

// inKill reports whether an attack came around a kill by a way that cannot rewind without systemd: it may be lost with the
// process or with the connection (rows 5 and 6 are about that).
func (s *soak) inKill(a soakAttack) bool {
	return !a.way.rewinds && slices.ContainsFunc(s.killed, func(at time.Time) bool { return a.at.Sub(at).Abs() < 5*time.Second })
}

func (s *soak) reload() {
	s.t.Helper()
	before := strings.Count(s.daemon.text(), "msg=reloaded")
	s.signal(syscall.SIGHUP)
	eventually(s.t, 20*time.Second, "the reload", func() bool { return strings.Count(s.daemon.text(), "msg=reloaded") != before })
}

// rotate renames the log file, as logrotate does, and writes to a new one.
func (s *soak) rotate() {
	s.t.Helper()
	w := s.ways[0]
	w.mu.Lock()
	err := os.Rename(s.ledger.file, s.ledger.file+".1")
	w.mu.Unlock()
	if err != nil {
		s.t.Fatal(err)
	}
	s.send(w, soakAddress(150, int(s.lines.Load())), 4)
}

// outage has AbuseIPDB fail, each time in another way.
func (s *soak) outage() {
	modes := []double.Mode{double.Internal, double.Drop, double.Garbage, double.BadGateway, double.DropAfter}
	mode := modes[s.attackers()%len(modes)]
	s.double.SetFaults(double.Fault{Mode: mode})
	defer s.double.SetFaults()
	<-time.After(min(20*time.Second, *soakFor/20))
}

// full leaves no room on the disk of the state file until tattled says so, and takes it back.
func (s *soak) full() {
	s.t.Helper()
	filler := s.disk + "/filler"
	f, err := os.Create(filler)
	if err != nil {
		s.t.Fatal(err)
	}
	defer f.Close()
	defer os.Remove(filler)
	for block := make([]byte, 1<<20); len(block) > 0; {
		if _, err := f.Write(block); err != nil {
			block = block[:len(block)/2]
		}
	}
	n := 0
	eventually(s.t, time.Minute, "tattled to say that its disk is full", func() bool {
		s.send(s.ways[0], soakAddress(150, int(s.lines.Load())), 4) // what there is no room for
		n++
		return s.daemon.metric("tattled_store_full") == 1
	})
	if err := os.Remove(filler); err != nil {
		s.t.Fatal(err)
	}
	f.Close()
	eventually(s.t, 10*time.Second, "tattled to go on when there is room", func() bool { return s.daemon.metric("tattled_store_full") == 0 })
}

// clock puts the clock of those who send by syslog off, for as long as a fault lasts, and then right.
func (s *soak) clock() {
	off := []time.Duration{3 * time.Hour, -3 * time.Hour, 10 * 365 * 24 * time.Hour}
	s.skew.Store(int64(off[int(s.lines.Load())%len(off)]))
	defer s.skew.Store(0)
	<-time.After(min(20*time.Second, *soakFor/20))
}

// stopAndGo stops the process for three seconds, as a hypervisor that moves the machine does.
func (s *soak) stopAndGo() {
	s.t.Helper()
	s.signal(syscall.SIGSTOP)
	<-time.After(min(3*time.Second, *soakFor/20))
	s.signal(syscall.SIGCONT)
}

func (s *soak) signal(sig os.Signal) {
	s.t.Helper()
	if err := s.daemon.cmd.Process.Signal(sig); err != nil {
		s.t.Fatal(err)
	}
}

// --- the judgement --------------------------------------------------------------------------------------------------

func (s *soak) judge(took time.Duration, counts map[string]int) {
	t := s.t
	t.Helper()
	var want, maybe []string
	for _, a := range s.attacks {
		if s.inKill(a) {
			maybe = append(maybe, a.addr)
		} else {
			want = append(want, a.addr)
		}
	}
	slices.Sort(want)
	s.daemon.idle()
	lateBy := time.Now().Add(2 * time.Minute)
	for len(reported(s.double)) < len(want) && time.Now().Before(lateBy) {
		<-time.After(100 * time.Millisecond)
	}
	s.daemon.settled()
	s.quiet()
	got := reported(s.double)
	twice := len(got) - len(slices.Compact(slices.Clone(got)))
	lost, others := missing(want, got), slices.DeleteFunc(missing(got, want), func(addr string) bool { return slices.Contains(maybe, addr) })
	if len(lost) > 0 || len(others) > 0 || twice > 0 {
		t.Errorf("of %d attackers %d were not reported %v; %d others were %v; %d twice", len(want), len(lost), lost[:min(3, len(lost))], len(others), others[:min(3, len(others))], twice)
	}
	growth, span, fds := s.grown()
	// A minute says nothing of an hour: below half an hour the growth itself is held to what an hour may bring.
	// In the seconds of the short form what one garbage collection more or less leaves, and the race detector, is more than that.
	perHour, most := growth, 1.0
	switch {
	case span > 30*time.Minute:
		perHour = growth / span.Hours()
	case span < 2*time.Minute:
		most = 8
	}
	if perHour > most {
		t.Errorf("the process grew by %.2f MB in %v", growth, span.Round(time.Second))
	}
	if fds != 0 {
		t.Errorf("the process holds %+d descriptors", fds)
	}
	s.daemon.stop()
	s.judgeLines()
	faults := 0
	for _, n := range counts {
		faults += n
	}
	t.Logf("figure: row 25: %v, %d lines by file, journal, TCP and UDP, %d faults %v: %d of %d attackers reported, %d twice, %d others; %+.2f MB in the last %v, descriptors %+d",
		took.Round(time.Second), s.lines.Load(), faults, counts, len(want)-len(lost), len(want), twice, len(others), growth, span.Round(time.Second), fds)
}

// judgeLines reads the state file: every numbered line is there, once.
func (s *soak) judgeLines() {
	s.t.Helper()
	seen := make([]int, s.ledger.written)
	for _, e := range readEvents(s.t, s.disk+"/state.db") {
		var n int
		if _, err := fmt.Sscanf(e.User, "u%d", &n); err == nil && n < len(seen) {
			seen[n]++
		}
	}
	s.ledger.seenOnce(seen)
}

// grown compares the beginning of the last life, after a third of it for warming up, with its end: megabytes, over what
// time, and descriptors.
func (s *soak) grown() (mb float64, span time.Duration, fds int) {
	s.t.Helper()
	warm := s.life[len(s.life)/3:]
	part := max(1, len(warm)/3)
	first, last := warm[:part], warm[len(warm)-part:]
	middle := func(samples []soakSample) int64 {
		var rss []int64
		for _, sample := range samples {
			rss = append(rss, sample.rss)
		}
		slices.Sort(rss)
		return rss[len(rss)/2]
	}
	span = last[len(last)/2].at.Sub(first[len(first)/2].at)
	return float64(middle(last)-middle(first)) / 1e6, span, last[len(last)-1].fds - first[0].fds
}

// missing returns what is in a and not in b; both are sorted.
func missing(a, b []string) []string {
	var out []string
	for _, x := range slices.Compact(slices.Clone(a)) {
		if _, found := slices.BinarySearch(b, x); !found {
			out = append(out, x)
		}
	}
	return out
}
