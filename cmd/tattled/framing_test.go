package main

import (
	"bufio"
	"context"
	"flag"
	"fmt"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"tattled/machine"
	"tattled/report/abuseipdb/double"
)

var framingFor = flag.Duration("framing.for", 0, "how long each kind of stranger tries to have somebody reported; 0: 10m with TATTLED_FULL=1, else 4s")

// ownNetwork marks a process of this test that runs in a network namespace of its own.
const ownNetwork = "TATTLED_TEST_OWN_NETWORK"

// Where the daemon listens in TestNobodyIsFramed: the addresses of the shipped configuration, and one that the machines of a
// network may send datagrams to.
const (
	loopback    = "127.0.0.1:5514"
	allowedUDP  = "10.77.0.10:514"
	allowedPeer = "10.77.0.11" // whom a datagram can be made to come from
)

// TestNobodyIsFramed lets three kinds of strangers loose on the shipped configuration with a listener of every kind: who
// sends datagrams from anywhere, a user of this machine, and a web client of an application that logs what he sends. Nobody
// whom they name is reported, and a real attack beside them is, within two seconds. It needs root: a network namespace, and
// users to change to.
func TestNobodyIsFramed(t *testing.T) {
	besideOthers(t)
	kinds := map[string]func(*street){
		"udp":   (*street).datagrams,
		"local": (*street).localUser,
		"web":   (*street).webClient,
	}
	if os.Geteuid() != 0 {
		machine.Lacks(t, "needs root for a network namespace and other users: sudo -E env PATH=$PATH go test ./cmd/tattled -run TestNobodyIsFramed")
	}
	for _, name := range slices.Sorted(maps.Keys(kinds)) {
		t.Run(name, func(t *testing.T) {
			if os.Getenv(ownNetwork) == "" {
				t.Parallel()
				inOwnNetwork(t)
				return
			}
			s := newStreet(t)
			s.run(name, kinds[name])
		})
	}
}

// framingTime is how long one kind of stranger tries.
func framingTime() time.Duration {
	switch {
	case *framingFor > 0:
		return *framingFor
	case full():
		return 10 * time.Minute
	default:
		return 4 * time.Second
	}
}

// inOwnNetwork runs the calling subtest once more, in a process with a network namespace of its own.
func inOwnNetwork(t *testing.T) {
	t.Helper()
	pattern := "^" + strings.ReplaceAll(t.Name(), "/", "$/^") + "$"
	cmd := exec.Command(os.Args[0], "-test.run", pattern, "-test.v", "-framing.for", framingTime().String())
	cmd.Env = append(os.Environ(), ownNetwork+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	out, err := cmd.CombinedOutput()
	t.Logf("%s", out)
	if err != nil || !strings.Contains(string(out), "--- PASS: "+t.Name()) {
		t.Errorf("in its own network: %v", err)
	}
}

// street is a daemon, the double it reports to, and those who pass by.
type street struct {
	t      *testing.T
	dir    string // that every user may enter
	double *double.Double
	daemon *process
	config string

	journalMu sync.Mutex
	journal   *journalWriter
	root      net.Conn // root's way to the unix socket

	forged  sync.Map // innocent addresses that strangers named
	target  string   // the attacker of this moment, whom strangers name as well
	attacks []string
	late    []string
	slowest time.Duration
	mu      sync.Mutex

	over     context.Context // done when the strangers' time is over
	strolled sync.WaitGroup  // what they do here
	players  []func()        // ends a process of theirs
}

func newStreet(t *testing.T) *street {
	t.Helper()
	for _, args := range []string{
		"link set lo up", "addr add 10.77.0.10/24 dev lo",
		"route add local 0.0.0.0/0 dev lo table main", // every address may be a sender's, as in e2e/box
	} {
		if out, err := exec.Command("ip", strings.Fields(args)...).CombinedOutput(); err != nil {
			t.Fatalf("ip %s: %v\n%s", args, err, out)
		}
	}
	dir, err := os.MkdirTemp("", "street")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	s := &street{t: t, dir: dir, journal: newJournal(t)}
	var url string
	s.double, url = newDouble(t)
	s.config = s.shipped(url)
	s.daemon = start(t, "run", "--config", s.config).ready()
	if s.root, err = net.Dial("unixgram", s.unix()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.root.Close() })
	return s
}

// unix is the socket of root's group; open is one that everybody may write to.
func (s *street) unix() string { return s.dir + "/log" }
func (s *street) open() string { return s.dir + "/open" }

// shipped writes the packaged configuration: paths replaced, the double's address put in, and listeners added.
func (s *street) shipped(url string) string {
	s.t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "packaging", "tattled.yaml"))
	if err != nil {
		s.t.Fatal(err)
	}
	write(s.t, s.dir, "key", strings.Repeat("0123456789abcdef", 5))
	config := string(text)
	for _, r := range []struct{ old, with string }{
		{"  journal:\n", fmt.Sprintf("  journal:\n    directory: %s\n    helper: %s\n    since: 1h\n", s.journal.dir, buildHelper(s.t))},
		{"  syslog:\n", fmt.Sprintf("  syslog:\n    - listen: \"unix://%s\"\n    - {listen: \"unix://%s\", mode: \"0666\"}\n    - {listen: \"udp://%s\", allow: [10.77.0.0/24]}\n",
			s.unix(), s.open(), allowedUDP)},
		{"    key_file: /etc/tattled/abuseipdb.key", fmt.Sprintf("    url: %q\n    key_file: %s/key", url, s.dir)},
		{"  path: /var/lib/tattled/state.db", "  path: " + s.dir + "/state.db"},
		{"  directory: /etc/tattled/rules.d", "  directory: " + s.dir + "/rules.d"},
	} {
		if strings.Count(config, r.old) != 1 {
			s.t.Fatalf("packaging/tattled.yaml has %q %d times, want once", r.old, strings.Count(config, r.old))
		}
		config = strings.Replace(config, r.old, r.with, 1)
	}
	if err := os.MkdirAll(s.dir+"/rules.d", 0o755); err != nil {
		s.t.Fatal(err)
	}
	return write(s.t, s.dir, "tattled.yaml", strings.ReplaceAll(config, "/run/tattled/", s.dir+"/run-"))
}

// run lets strangers act and attackers attack beside them, and judges.
func (s *street) run(name string, strangers func(*street)) {
	t := s.t
	began := time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), framingTime())
	defer cancel()
	s.over = ctx
	strangers(s)
	every := max(time.Second, min(5*time.Second, framingTime()/10))
	tick := time.NewTicker(every)
	defer tick.Stop()
	for n := 0; ctx.Err() == nil; n++ {
		s.attack(n)
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
	s.strolled.Wait()
	for _, end := range s.players {
		end()
	}
	s.judge(name, time.Since(began))
}

// attack is a real one: five failed logins, logged by sshd in the journal or by root's own hand in the unix socket. The
// name that he tries is another's address.
func (s *street) attack(n int) {
	addr := attacker(n)
	s.mu.Lock()
	s.target = addr
	s.attacks = append(s.attacks, addr)
	s.mu.Unlock()
	pause := time.NewTicker(40 * time.Millisecond) // in which strangers name him too
	defer pause.Stop()
	for i := range 5 {
		<-pause.C
		pid := 20_000 + 5*n + i
		line := fmt.Sprintf("Failed password for invalid user x from %s port 22 ssh2 from %s port %d ssh2", s.innocent(n), addr, 1024+pid)
		if n%2 == 0 {
			s.journalMu.Lock()
			s.journal.sshd(pid, time.Now(), line)
			s.journal.flush()
			s.journalMu.Unlock()
		} else if _, err := fmt.Fprintf(s.root, "<38>%s web1 sshd[%d]: %s", time.Now().Format(time.Stamp), pid, line); err != nil {
			s.t.Fatalf("write to the unix socket: %v", err)
		}
	}
	last := time.Now()
	for time.Since(last) < patience() {
		for _, r := range s.double.Reports() {
			if r.IP == addr {
				s.slowest = max(s.slowest, r.ReceivedAt.Sub(last))
				return
			}
		}
		<-time.After(10 * time.Millisecond)
	}
	s.late = append(s.late, addr)
}

// patience is within what time an attacker must be reported beside strangers.
func patience() time.Duration {
	if raced {
		return 10 * time.Second
	}
	return 2 * time.Second
}

// innocent is the n-th address that strangers name, which the gate has nothing against.
func (s *street) innocent(n int) string {
	addr := fmt.Sprintf("91.200.%d.%d", n/50%4, 1+n%50)
	s.forged.Store(addr, true)
	return addr
}

func (s *street) now() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.target
}

// judge reads the double's ledger and the daemon's books.
func (s *street) judge(name string, took time.Duration) {
	t, p := s.t, s.daemon
	p.idle()
	p.settled()
	p.balanced()
	framed, twice, stained := map[string]bool{}, 0, 0
	seen := map[string]bool{}
	for _, r := range s.double.Reports() {
		if !slices.Contains(s.attacks, r.IP) {
			framed[r.IP] = true
		}
		if seen[r.IP] {
			twice++
		}
		seen[r.IP] = true
		if strings.Contains(r.Comment, forgedUser) || strings.Contains(r.Comment, fmt.Sprint(forgedPort)) {
			stained++
			t.Logf("a report holds what was forged: %s %q", r.IP, r.Comment)
		}
	}
	named := 0
	s.forged.Range(func(any, any) bool { named++; return true })
	if len(framed) > 0 {
		t.Errorf("%d addresses were reported because strangers named them, such as %v", len(framed), slices.Sorted(maps.Keys(framed))[:min(3, len(framed))])
	}
	if twice > 0 || stained > 0 {
		t.Errorf("%d addresses reported twice, %d reports with ports or accounts that were forged", twice, stained)
	}
	if len(s.late) > 0 {
		t.Errorf("%d of %d attackers were not reported within %v, such as %s", len(s.late), len(s.attacks), patience(), s.late[0])
	}
	for _, addr := range s.attacks {
		if !seen[addr] {
			t.Errorf("%s was not reported at all", addr)
		}
	}
	received := p.metric("tattled_receiver_records_total")
	matched := p.metric("tattled_detect_matched_total")
	if matched < float64(5*len(s.attacks)+named) {
		t.Errorf("%v records matched: the strangers' do not look like attacks, so this shows nothing", matched)
	}
	t.Logf("figure: framing: %s, %v: %.0f records (%.0f matched), %d innocents named, %d reported; %d of %d real attackers reported within %v, slowest %v",
		name, took.Round(time.Second), received, matched, named, len(framed), len(s.attacks)-len(s.late), len(s.attacks), patience(), s.slowest.Round(time.Millisecond))
	p.stop()
}

// play runs what strangers do in a process of their own, as another user: see roles.
func (s *street) play(role string, uid int) {
	s.t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), roleMark+"="+role, fmt.Sprintf("TATTLED_TEST_UID=%d", uid), "TATTLED_TEST_DIR="+s.dir)
	stdin, err := cmd.StdinPipe() // it ends with us
	if err != nil {
		s.t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		s.t.Fatal(err)
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	end := sync.OnceFunc(func() {
		stdin.Close()
		_ = cmd.Wait()
	})
	s.players = append(s.players, end)
	s.t.Cleanup(end)
	if line, err := bufio.NewReader(stdout).ReadString('\n'); err != nil {
		s.t.Fatalf("%s did not begin: %q, %v", role, line, err)
	}
}

// during runs f again and again, every so often, until the strangers' time is over.
func (s *street) during(every time.Duration, f func(n int)) {
	s.strolled.Go(func() { repeat(s.over, every, f) })
}

func repeat(ctx context.Context, every time.Duration, f func(n int)) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for n := 0; ; n++ {
		f(n)
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// idle waits until nothing more comes in.
func (p *process) idle() {
	p.t.Helper()
	last, since := -1.0, time.Now()
	eventually(p.t, time.Minute, "the last record to be received", func() bool {
		if now := p.metric("tattled_receiver_records_total"); now != last {
			last, since = now, time.Now()
		}
		return time.Since(since) > time.Second
	})
}
