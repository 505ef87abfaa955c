package detect

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"time"
)

// line is a message of the corpus: what a busy server logs, and the truth about it.
type line struct {
	program, message string
	class            string // "" for one that no rule should match
	peer             string
}

// corpus makes lines, the same ones for the same seed. Addresses are of the documentation and benchmark ranges.
type corpus struct{ *rand.Rand }

func newCorpus(seed uint64) corpus { return corpus{rand.New(rand.NewPCG(seed, 1))} }

func (g corpus) pick(from ...string) string { return from[g.IntN(len(from))] }

func (g corpus) name() string {
	return g.pick("admin", "test", "ubuntu", "oracle", "postgres", "git", "pi", "guest", "solana", "debian", "user name")
}

func (g corpus) addr() string {
	if g.IntN(10) == 0 {
		return fmt.Sprintf("2001:db8:%x:%x::%x:%x", g.IntN(65536), g.IntN(65536), 1+g.IntN(65535), 1+g.IntN(65535))
	}
	return fmt.Sprintf("198.%d.%d.%d", 18+g.IntN(2), g.IntN(256), g.IntN(256))
}

func (g corpus) hex(n int) string {
	var b strings.Builder
	for range n {
		fmt.Fprintf(&b, "%x", g.IntN(16))
	}
	return b.String()
}

// ssh is a line about a failed log-in.
func (g corpus) ssh() line {
	addr := g.addr()
	from := fmt.Sprintf("%s port %d", addr, 1024+g.IntN(64511))
	l := line{program: g.pick("sshd", "sshd", "sshd-session"), peer: addr}
	const pam = "pam_unix(sshd:auth): authentication failure; logname= uid=0 euid=0 tty=ssh ruser= rhost="
	switch k := g.IntN(100); {
	case k < 22:
		l.class, l.message = "ssh-failed", "Failed password for invalid user "+g.name()+" from "+from+" ssh2"
	case k < 42:
		l.class, l.message = "ssh-failed", "Failed password for root from "+from+" ssh2"
	case k < 60:
		l.class, l.message = "ssh-invalid", "Invalid user "+g.name()+" from "+from
	case k < 68:
		l.class, l.message = "ssh-closed", "Connection closed by authenticating user root "+from+" [preauth]"
	case k < 72:
		l.class, l.message = "ssh-closed", "Connection closed by invalid user "+g.name()+" "+from+" [preauth]"
	case k < 78:
		l.class, l.message = "ssh-disconnected", "Disconnected from authenticating user root "+from+" [preauth]"
	case k < 82:
		l.class, l.message = "ssh-disconnected", "Disconnected from invalid user "+g.name()+" "+from+" [preauth]"
	case k < 87:
		l.class, l.message = "ssh-bye", "Received disconnect from "+from+":11: Bye Bye [preauth]"
	case k < 94:
		l.class, l.message = "ssh-pam", pam+addr+"  user=root"
	default:
		l.class, l.message = "ssh-pam", pam+addr+" "
	}
	return l
}

// auth is a line of an auth.log that tells of no failure.
func (g corpus) auth() line {
	user, addr := g.pick("deploy", "alice", "bob"), fmt.Sprintf("192.168.%d.%d", g.IntN(4), 10+g.IntN(20))
	switch k := g.IntN(100); {
	case k < 15:
		return line{"sshd", fmt.Sprintf("Accepted publickey for %s from %s port %d ssh2: ED25519 SHA256:%s", user, addr, 1024+g.IntN(60000), g.hex(43)), "login", addr}
	case k < 27:
		return line{"sshd", "pam_unix(sshd:session): session opened for user " + user + "(uid=1000) by (uid=0)", "", ""}
	case k < 39:
		return line{"sshd", "pam_unix(sshd:session): session closed for user " + user, "", ""}
	case k < 68:
		return line{"CRON", "pam_unix(cron:session): session opened for user root(uid=0) by (uid=0)", "", ""}
	case k < 76:
		return line{"systemd", fmt.Sprintf("Started session-%d.scope - Session of User %s.", g.IntN(99999), user), "", ""}
	case k < 86:
		return line{"systemd-logind", fmt.Sprintf("New session %d of user %s.", g.IntN(99999), user), "", ""}
	default:
		return line{"sudo", fmt.Sprintf("  %s : TTY=pts/1 ; PWD=/home/%s ; USER=root ; COMMAND=/usr/bin/systemctl status nginx", user, user), "", ""}
	}
}

// packet is a line of the packet filter, with or without the kernel's stamp.
func (g corpus) packet() line {
	addr := g.addr()
	l := line{program: "kernel", class: "fw-block", peer: addr}
	prefix := "[UFW BLOCK] "
	switch k := g.IntN(80); {
	case k < 10:
		l.class, prefix = "fw-accept", "[UFW ALLOW] "
	case k < 25:
		prefix = "nft-drop: "
	case k < 35:
		prefix = "iptables denied: "
	}
	if g.IntN(2) == 0 {
		prefix = fmt.Sprintf("[%12.6f] ", g.Float64()*1e6) + prefix
	}
	s := prefix + "IN=eth0 OUT= MAC=" + strings.TrimSuffix(strings.Repeat(g.hex(2)+":", 14), ":") + " SRC=" + addr
	v6 := strings.Contains(addr, ":")
	if v6 {
		s += fmt.Sprintf(" DST=2001:db8:0:1::10 LEN=%d TC=0 HOPLIMIT=%d FLOWLBL=%d ", 40+g.IntN(80), 40+g.IntN(60), g.IntN(1000000))
	} else {
		s += fmt.Sprintf(" DST=192.168.1.10 LEN=%d TOS=0x00 PREC=0x00 TTL=%d ID=%d %s", 40+g.IntN(80), 40+g.IntN(200), g.IntN(65536), g.pick("", "", "DF "))
	}
	switch k := g.IntN(10); {
	case k < 8:
		s += fmt.Sprintf("PROTO=TCP SPT=%d DPT=%d WINDOW=%d RES=0x00 SYN URGP=0 ", 1024+g.IntN(64511), 1+g.IntN(65535), g.IntN(65536))
	case k < 9:
		s += fmt.Sprintf("PROTO=UDP SPT=%d DPT=%d LEN=%d ", 1024+g.IntN(64511), 1+g.IntN(65535), 8+g.IntN(60))
	case v6:
		s += "PROTO=ICMPv6 TYPE=128 CODE=0 ID=1 SEQ=1 "
	default:
		s += "PROTO=ICMP TYPE=8 CODE=0 ID=1 SEQ=1 "
	}
	l.message = s
	return l
}

// kernel is a line of the kernel that tells of no packet.
func (g corpus) kernel() line {
	return line{"kernel", g.pick(
		"veth1a2b3c4: entered promiscuous mode",
		"docker0: port 3(veth1a2b3c4) entered forwarding state",
		"IPv6: ADDRCONF(NETDEV_CHANGE): veth1a2b3c4: link becomes ready",
		`audit: type=1400 audit(1795310000.123:45): apparmor="STATUS" operation="profile_replace" profile="unconfined" name="docker-default" pid=4711`,
		"EXT4-fs (sda1): re-mounted. Opts: errors=remount-ro. Quota mode: none.",
		"perf: interrupt took too long (2600 > 2500), lowering kernel.perf_event_max_sample_rate to 79750",
	), "", ""}
}

// other is a line of a program that no rule knows.
func (g corpus) other() line {
	return line{g.pick("nginx", "dockerd", "app", "dhclient", "dbus-daemon", "postfix/smtpd"),
		`192.168.0.10 - - "GET /api/v1/items/4711 HTTP/1.1" 200 512 "-" "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36"`, "", ""}
}

// TestRecall says that every line about an attack, a login or a packet matches with the right peer, and nothing else does.
func TestRecall(t *testing.T) {
	r := load(t, Options{})
	g := newCorpus(1)
	makers := []func() line{g.ssh, g.auth, g.packet, g.kernel, g.other}
	seen := map[string]int{}
	var f Finding
	for i := range 100_000 {
		l := makers[i%len(makers)]()
		seen[l.class]++
		verdict := r.Detect([]byte(l.program), []byte(l.message), &f)
		if (verdict == Matched) != (l.class != "") {
			t.Fatalf("%s line is %v: %s: %s", l.class, verdict, l.program, l.message)
		}
		if verdict == Matched && f.Addr != netip.MustParseAddr(l.peer) {
			t.Fatalf("found %v, not %s: %s", f.Addr, l.peer, l.message)
		}
	}
	if len(seen) != 10 {
		t.Errorf("the corpus has classes %v", seen)
	}
}

// lines makes n lines, as the bytes that Detect takes.
func lines(n int, next func() line) (programs, messages [][]byte) {
	for range n {
		l := next()
		programs, messages = append(programs, []byte(l.program)), append(messages, []byte(l.message))
	}
	return programs, messages
}

// thousandRules is a user's rule file of a thousand rules for the programs of the corpus.
func thousandRules() string {
	var b strings.Builder
	b.WriteString("service: extra\nprograms: [sshd, sshd-session, kernel]\nrules:\n")
	for i := range 1000 {
		match := fmt.Sprintf(`match: ["application %d refused <user> from <ip>"]`, i)
		sample := fmt.Sprintf("application %d refused root from 203.0.113.5", i)
		switch i % 5 {
		case 1:
			match = fmt.Sprintf(`match: ["<word> bad thing number %d by <ip>"]`, i)
			sample = fmt.Sprintf("a bad thing number %d by 203.0.113.5", i)
		case 2:
			match = fmt.Sprintf(`regex: ['^.*: failure %d of (?P<ip>[0-9.]+)$']`, i)
			sample = fmt.Sprintf("x: failure %d of 203.0.113.5", i)
		case 3:
			match = fmt.Sprintf(`match: ["Failed <word> with code-%d for <user> from <ip>"]`, i)
			sample = fmt.Sprintf("Failed it with code-%d for a from 203.0.113.5", i)
		}
		fmt.Fprintf(&b, "  - name: rule-%d\n    kind: probe\n    categories: [15]\n    %s\n    samples: [{line: %q, ip: 203.0.113.5}]\n", i, match, sample)
	}
	return b.String()
}

func BenchmarkDetect(b *testing.B) {
	g := newCorpus(1)
	mixed := func() line {
		switch k := g.IntN(100); {
		case k < 6:
			return g.ssh()
		case k < 10:
			return g.packet()
		case k < 25:
			return g.auth()
		default:
			return g.other()
		}
	}
	classes := []struct {
		name string
		next func() line
	}{{"ssh", g.ssh}, {"auth-other", g.auth}, {"packet", g.packet}, {"kernel-other", g.kernel}, {"unknown", g.other}, {"mixed", mixed}}
	rules := map[string]*Rules{"builtin": load(b, Options{}), "plus-1000": load(b, Options{Directory: userRules(b, "extra.yaml", thousandRules())})}
	for _, set := range []string{"builtin", "plus-1000"} {
		for _, c := range classes {
			programs, messages := lines(256, c.next)
			b.Run(set+"/"+c.name, func(b *testing.B) {
				var f Finding
				r := rules[set]
				b.ReportAllocs()
				start := cpuTime(b)
				for i := 0; b.Loop(); i++ {
					r.Detect(programs[i%256], messages[i%256], &f)
				}
				b.ReportMetric(float64(cpuTime(b)-start)/float64(b.N), "cpu-ns/op")
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "lines/s")
			})
		}
	}
}

// cpuTime is what this process has used so far. On a busy machine it says more than the wall clock.
func cpuTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// TestNoAllocations says that judging a line allocates nothing, whatever the line is.
func TestNoAllocations(t *testing.T) {
	r := load(t, Options{})
	g := newCorpus(2)
	for _, next := range []func() line{g.ssh, g.auth, g.packet, g.kernel, g.other} {
		programs, messages := lines(64, next)
		programs = append(programs, []byte("sshd"), []byte("sshd"), []byte("kernel"))
		messages = append(messages, []byte("Failed password for root from host.example port 1 ssh2"), bytes.Repeat([]byte("Failed "), 9000), bytes.Repeat([]byte("IN= "), 9000))
		var f Finding
		if n := testing.AllocsPerRun(20, func() {
			for i := range programs {
				r.Detect(programs[i], messages[i], &f)
			}
		}); n != 0 {
			t.Errorf("%v allocations for %d lines like %q", n, len(programs), messages[0])
		}
	}
}
