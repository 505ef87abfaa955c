package main

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"tattled/machine"
)

// blackHole is a name server on loopback that takes every question, by UDP and TCP, and answers none. It returns its address,
// and how many questions it has got.
func blackHole(t *testing.T) (addr string, asked func() int) {
	t.Helper()
	addr = fmt.Sprintf("127.53.%d.%d", os.Getpid()>>8&0xff, 1+os.Getpid()&0x7f)
	udp, err := net.ListenPacket("udp", addr+":53")
	if errors.Is(err, os.ErrPermission) {
		machine.Lacks(t, "port 53 is for root")
	} else if err != nil {
		t.Fatal(err)
	}
	tcp, err := net.Listen("tcp", addr+":53") // accepted by the kernel alone
	if err != nil {
		t.Fatal(err)
	}
	questions := make(chan int, 1)
	questions <- 0
	done := make(chan struct{})
	go func() {
		defer close(done)
		for buf := make([]byte, 512); ; {
			if _, _, err := udp.ReadFrom(buf); err != nil {
				return
			}
			questions <- 1 + <-questions
		}
	}()
	t.Cleanup(func() { udp.Close(); tcp.Close(); <-done })
	return addr, func() int { n := <-questions; questions <- n; return n }
}

// inNamespace is a command that runs tattled in a mount namespace of its own, in which the resolver is the one at addr.
func inNamespace(t *testing.T, addr string) []string {
	t.Helper()
	dir := t.TempDir()
	resolv := write(t, dir, "resolv.conf", "nameserver "+addr+"\n")
	if err := os.Chmod(resolv, 0o644); err != nil {
		t.Fatal(err)
	}
	nsswitch := write(t, dir, "nsswitch.conf", "hosts: files dns\n") // no other way to a name
	script := fmt.Sprintf(`mount --bind %s "$(readlink -f /etc/resolv.conf)" && { [ ! -e /etc/nsswitch.conf ] || mount --bind %s /etc/nsswitch.conf; } && exec "$@"`, resolv, nsswitch)
	prefix := []string{"unshare", "--mount", "--propagation", "private", "sh", "-c", script, "sh"}
	if out, err := exec.Command(prefix[0], append(prefix[1:], "grep", "-q", addr, "/etc/resolv.conf")...).CombinedOutput(); err != nil {
		machine.Lacks(t, "no mount namespace of its own: ", err, " ", string(out))
	}
	return prefix
}

// burst sends lines by TCP, every tenth an attack, and returns how many a second were taken and how long it took until a new
// connection was accepted and closed meanwhile.
func (p *process) burst(lines, round int) (aSecond float64, accept time.Duration) {
	p.t.Helper()
	conn := p.dial()
	before := p.metric("tattled_receiver_records_total")
	began := time.Now()
	out := bufio.NewWriterSize(conn, 64<<10)
	stamp := time.Now().Format(time.Stamp)
	for i := range lines {
		if i%10 == 0 {
			fmt.Fprintf(out, "<38>%s web1 sshd[%d]: %s\n", stamp, i, sshLine(attacker(i/10%1000), round))
		} else {
			fmt.Fprintf(out, "<30>%s web1 systemd[1]: Started session-%d.scope - Session %d of User deploy.\n", stamp, i, i)
		}
		if i == lines/2 {
			at := time.Now()
			second := p.dial()
			if _, err := fmt.Fprintf(second, "<38>%s web1 sshd[1]: Server listening on 0.0.0.0 port 22.\n", stamp); err != nil {
				p.t.Fatal(err)
			}
			second.Close()
			accept = time.Since(at)
		}
	}
	if err := out.Flush(); err != nil {
		p.t.Fatal(err)
	}
	eventually(p.t, time.Minute, "the lines", func() bool { return p.metric("tattled_receiver_records_total") >= before+float64(lines)+1 })
	took := time.Since(began)
	conn.Close()
	return float64(lines) / took.Seconds(), accept
}

// median sorts all, and returns the one in the middle.
func median(all []float64) float64 {
	slices.Sort(all)
	return all[len(all)/2]
}

// A resolver that does not answer (for an hour with TATTLED_FULL=1) holds up no line and no connection: only what is sent
// waits, and health says so.
func TestNoDNS(t *testing.T) {
	besideOthers(t)
	if testing.Short() {
		t.Skip("it measures")
	}
	lines, rounds, every := 100_000, 3, time.Duration(0)
	if full() {
		rounds, every = 60, time.Minute
	}
	addr, asked := blackHole(t)
	prefix := inNamespace(t, addr)
	config := func(url, mail string) string {
		return quick(t, fmt.Sprintf("report: {abuseipdb: {url: %q}}\nalerts: {mail: {server: %q, from: a@example.org, to: b@example.org}}\n"+
			"policy_defaults: false\npolicy: [{name: all, when: {kind: [auth-failure]}, threshold: 5, within: 1h, do: [report, alert]}]\n", url, mail))
	}
	_, url := newDouble(t)
	sound := startReporting(t, "run", "--config", config(url, "127.0.0.1:9")).ready()
	deaf := startIn(t, prefix, "run", "--config", config("https://api.abuseipdb.com/api/v2/", "mail.example.org:25")).ready()
	var with, without, ratios []float64 // of each round: one burst directly after the other, so that what else the machine does slows both
	var slowest time.Duration
	for round := range rounds {
		next := time.After(every)
		a, _ := sound.burst(lines, round)
		b, accept := deaf.burst(lines, round)
		with, without, ratios = append(with, a), append(without, b), append(ratios, b/a)
		slowest = max(slowest, accept)
		<-next
	}
	if ratio := median(ratios); ratio < 0.7 {
		t.Errorf("without a resolver %.2f times as many lines a second as with one: %.0f, %.0f", ratio, without, with)
	}
	if slowest > time.Second {
		t.Errorf("a connection waited %v", slowest)
	}
	eventually(t, 30*time.Second, "the resolver to be asked", func() bool { return asked() > 0 })
	eventually(t, 60*time.Second, "the problem", func() bool {
		_, body := deaf.get("/healthz")
		return strings.Contains(body, "abuseipdb accepts nothing")
	})
	deaf.balanced()
	deaf.stop()
	sound.stop()
	t.Logf("figure: row 17: the resolver silent (%d questions): %.0f lines a second, %.0f with one; a connection accepted after %v at most; health names the destination",
		asked(), median(without), median(with), slowest.Round(time.Millisecond))
}
