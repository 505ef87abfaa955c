package syslog

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tattled/event"
	"tattled/receiver"
	"tattled/setting"
)

// forged is what a stranger has an application log: a line feed, and a record of the stranger's choice.
const forged = "<14>Nov 22 05:40:00 web1 shop[1]: no such user bob\n" +
	"<38>Nov 22 05:40:00 web1 sshd[1]: Failed password for root from 203.0.113.5 port 4022 ssh2"

// What may lead to a report is decided by the way in, never by what a record says.
func TestTrust(t *testing.T) {
	const count, report = event.TrustCount, event.TrustReport
	lan := []setting.Network{network(t, "192.0.2.0/24")}
	all := []setting.Network{network(t, "0.0.0.0/0"), network(t, "::/0")}
	own := &ownAddresses{when: time.Now().Add(time.Hour), addrs: map[netip.Addr]bool{
		netip.MustParseAddr("192.0.2.1"): true, netip.MustParseAddr("192.0.2.2"): true, netip.MustParseAddr("fe80::1"): true,
	}}
	for _, c := range []struct {
		peer, local, trust string
		allow              []setting.Network
		want               event.Trust
	}{
		{"127.3.2.1", "127.0.0.1", "", nil, count},
		{"127.3.2.1", "127.0.0.1", "", all, count},
		{"::1", "::1", "", all, count},
		{"127.3.2.1", "127.0.0.1", "report", nil, report},
		{"192.0.2.7", "192.0.2.1", "", lan, report},
		{"192.0.2.7", "192.0.2.1", "", nil, count},
		{"192.0.2.7", "192.0.2.1", "report", nil, report},
		{"192.0.2.7", "192.0.2.1", "count", lan, count},
		{"192.0.2.1", "192.0.2.1", "", lan, count}, // a user of this machine
		{"192.0.2.2", "192.0.2.1", "", lan, count}, // from another address of it
		{"192.0.2.2", "127.0.0.1", "", lan, count},
		{"192.0.2.9", "192.0.2.9", "", lan, count}, // an address that it does not list
		{"fe80::1%eth0", "fe80::2%eth0", "", all, count},
		{"fe80::7%eth0", "fe80::1%eth0", "", []setting.Network{network(t, "fe80::/10")}, report},
		{"198.51.100.7", "192.0.2.1", "", all, count}, // who names everybody names nobody
		{"198.51.100.7", "192.0.2.1", "", append(all, network(t, "198.51.100.0/24")), report},
	} {
		own.when = time.Now()
		cfg := Config{Trust: c.trust, Allow: c.allow}
		if got := cfg.trustTCP(netip.MustParseAddr(c.peer), netip.MustParseAddr(c.local), own); got != c.want {
			t.Errorf("%+v: %v", c, got)
		}
	}
	for _, c := range []struct {
		cfg        Config
		udp, local event.Trust
	}{
		{Config{}, count, report},
		{Config{Allow: lan}, count, report},
		{Config{Trust: "count"}, count, count},
		{Config{Trust: "report"}, report, report},
		{Config{Datagrams: "lines"}, count, count},
		{Config{Datagrams: "lines", Trust: "report"}, count, count}, // which check refuses
	} {
		if udp, local := c.cfg.trustUDP(), c.cfg.trustUnix(0, true, map[uint32]bool{0: true}); udp != c.udp || local != c.local {
			t.Errorf("%+v: UDP %v, unix %v", c.cfg, udp, local)
		}
	}
	cfg := Config{}
	if uids := (map[uint32]bool{0: true}); cfg.trustUnix(1000, true, uids) != count || cfg.trustUnix(0, false, uids) != count {
		t.Error("a unix socket trusts those it does not know")
	}
}

// What is said of a listener without a peer is what its most trusted peer gets.
func TestMostTrust(t *testing.T) {
	lan, loop := []setting.Network{network(t, "192.0.2.0/24")}, []setting.Network{network(t, "127.0.0.0/8"), network(t, "::1")}
	for _, c := range []struct {
		cfg  Config
		want bool
	}{
		{Config{Listen: "udp://127.0.0.1:5514"}, false},
		{Config{Listen: "udp://0.0.0.0:514", Allow: lan}, false},
		{Config{Listen: "udp://0.0.0.0:514", Allow: lan, Trust: "report"}, true},
		{Config{Listen: "tcp://127.0.0.1:5514"}, false},
		{Config{Listen: "tcp://127.0.0.1:5514", Allow: lan}, false},
		{Config{Listen: "tcp://127.0.0.1:5514", Trust: "report"}, true},
		{Config{Listen: "tcp://0.0.0.0:514"}, false},
		{Config{Listen: "tcp://0.0.0.0:514", Allow: loop}, false},
		{Config{Listen: "tcp://0.0.0.0:514", Allow: append(loop, lan...)}, true},
		{Config{Listen: "tcp://0.0.0.0:514", Allow: lan, Trust: "count"}, false},
		{Config{Listen: "unix:///run/log"}, true},
		{Config{Listen: "unix:///run/log", Datagrams: "lines"}, false},
	} {
		trust, condition := c.cfg.MostTrust()
		if (trust == event.TrustReport) != c.want || (condition != "") != (c.want && c.cfg.Trust == "") {
			t.Errorf("%+v: %v if %q", c.cfg, trust, condition)
		}
	}
}

// The addresses of this machine are known, and looked up again.
func TestOwnAddresses(t *testing.T) {
	var own ownAddresses
	now := time.Now()
	if !own.has(netip.MustParseAddr("127.0.0.1"), now) || own.has(netip.MustParseAddr("203.0.113.5"), now) {
		t.Errorf("%v, %v", own.addrs, own.err)
	}
	own.addrs[netip.MustParseAddr("203.0.113.5")] = true
	if !own.has(netip.MustParseAddr("203.0.113.5"), now) || own.has(netip.MustParseAddr("203.0.113.5"), now.Add(time.Second)) {
		t.Error("they are not looked up once a second")
	}
	own.err = os.ErrPermission
	if !own.has(netip.MustParseAddr("203.0.113.6"), now.Add(time.Second)) {
		t.Error("where they are not known, peers are trusted")
	}
}

// One datagram is one record, whatever is in it: a line feed in a stranger's text begins no other. Where lines are asked
// for, none of them leads to a report.
func TestDatagramIsOneRecord(t *testing.T) {
	for _, network := range []string{"udp", "unix"} {
		for _, datagrams := range []string{"", "record", "lines"} {
			address := "127.0.0.1:0"
			if network == "unix" {
				address = filepath.Join(t.TempDir(), "log")
			}
			cfg := Config{Listen: network + "://" + address, Datagrams: datagrams, Trust: "report"}
			if datagrams == "lines" {
				cfg.Trust = ""
			}
			if network == "unix" {
				cfg.Peers = []string{strconv.Itoa(os.Getuid())}
			}
			r := listen(t, cfg)
			w := newWatch()
			stop := run(t, r, w)
			send(t, dial(t, r), forged+"\n\x00\r\n")
			got := w.wait(t, 1)
			stop()
			if datagrams == "lines" {
				if len(got) != 2 || got[1].program != "sshd" || got[0].trust != "count" || got[1].trust != "count" {
					t.Errorf("%s, lines: %+v", network, got)
				}
				continue
			}
			if len(got) != 1 || got[0].program != "shop" || !strings.HasSuffix(got[0].message, "port 4022 ssh2") || got[0].trust != "report" {
				t.Errorf("%s, %q: %+v", network, datagrams, got)
			}
		}
	}
}

// A line feed in a counted frame is text as well.
func TestCountedFrameIsOneRecord(t *testing.T) {
	r := listen(t, Config{Listen: "tcp://127.0.0.1:0"})
	w := newWatch()
	run(t, r, w)
	c := dial(t, r)
	send(t, c, fmt.Sprintf("%d %s5 <38>x", len(forged), forged))
	if got := w.wait(t, 2); got[0].program != "shop" || got[1].message != "<38>x" {
		t.Errorf("%+v", got)
	}
}

// By the shipped configuration nothing that a local user or a web page sends leads to a report: not to loopback, and not
// to another address of this machine, even where an allow list has it.
func TestLoopbackCounts(t *testing.T) {
	loop := []setting.Network{network(t, "127.0.0.0/8"), network(t, "::1")}
	for _, c := range []struct {
		cfg  Config
		want string
	}{
		{Config{Listen: "udp://127.0.0.1:0"}, "count"},
		{Config{Listen: "udp://127.0.0.1:0", Allow: loop}, "count"},
		{Config{Listen: "udp://127.0.0.1:0", Trust: "report"}, "report"},
		{Config{Listen: "tcp://127.0.0.1:0"}, "count"},
		{Config{Listen: "tcp://127.0.0.1:0", Allow: loop}, "count"},
		{Config{Listen: "tcp://[::1]:0", Allow: loop}, "count"},
		{Config{Listen: "tcp://127.0.0.1:0", Trust: "report"}, "report"},
	} {
		r := listen(t, c.cfg)
		w := newWatch()
		stop := run(t, r, w)
		send(t, dial(t, r), header+"x\n")
		if got := w.wait(t, 1); got[0].trust != c.want {
			t.Errorf("%+v: %s", c.cfg, got[0].trust)
		}
		stop()
	}
}

// The kernel says who writes to the unix socket; only users in peers may have an address reported. Descriptors that a
// sender puts into a datagram stay out.
func TestUnixPeers(t *testing.T) {
	for peers, want := range map[string]string{strconv.Itoa(os.Getuid()): "report", "4294967290": "count"} {
		r := listen(t, Config{Listen: "unix://" + filepath.Join(t.TempDir(), "log"), Peers: []string{peers}})
		w := newWatch()
		stop := run(t, r, w)
		c := dial(t, r).(*net.UnixConn)
		send(t, c, header+"first")
		w.wait(t, 1)
		before := descriptors(t)
		raw, err := c.SyscallConn()
		if err != nil {
			t.Fatal(err)
		}
		for range 10 {
			var failed error
			if err := raw.Control(func(fd uintptr) {
				failed = unix.Sendmsg(int(fd), []byte(header+"with descriptors"), unix.UnixRights(int(fd), int(fd), int(fd)), nil, 0)
			}); err != nil || failed != nil {
				t.Fatal(err, failed)
			}
		}
		got := w.wait(t, 11)
		if after := descriptors(t); after > before { // what other tests have left is closed now and then
			t.Errorf("%d descriptors, %d before", after, before)
		}
		stop()
		for _, record := range got {
			if record.trust != want {
				t.Errorf("peers %s: %+v", peers, record)
			}
		}
	}
}

func descriptors(t testing.TB) int {
	t.Helper()
	all, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(all)
}

// A peer that speaks another protocol is shown the door, and nothing of what it sends becomes a record, however it comes
// in pieces: not the lines in the body of a web page's request either.
func TestWrongProtocol(t *testing.T) {
	body := strings.Repeat(header+"Failed password for root from 203.0.113.5 port 4022 ssh2\n", 5)
	for name, stream := range map[string]string{
		"a web page":   "POST / HTTP/1.1\r\nHost: 127.0.0.1:5514\r\nContent-Length: 450\r\n\r\n" + body,
		"after a line": "\r\n\r\nPOST / HTTP/1.1\r\n\r\n" + body,
		"pipelined":    "GET / HTTP/1.1\r\n\r\nPOST / HTTP/1.1\r\n\r\n" + body,
		"no version":   "GET /\r\n" + body,
		"odd method":   "BREW /" + strings.Repeat("a", 1000) + " HTTP/1.1\r\n\r\n" + body,
		"tls":          "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\n" + body,
		"smtp":         "EHLO x\r\n" + body,
		"ssh":          "SSH-2.0-OpenSSH_9.2p1\r\n" + body,
		"redis":        "*3\r\n$3\r\nSET\r\n" + body,
		"binary":       "\x00\x00\x00\x08\x04\xd2\x16\x2f\n" + body,
	} {
		for _, at := range []int{0, 1, 3, 12} { // where the first packet ends
			r := listen(t, Config{Listen: "tcp://127.0.0.1:0", Trust: "report", MaxLine: 512})
			w := newWatch()
			stop := run(t, r, w)
			c := dial(t, r)
			c.(*net.TCPConn).SetNoDelay(true)
			send(t, c, stream[:at])
			if at > 0 {
				arrived(t, c)
			}
			_, _ = c.Write([]byte(stream[at:])) // which may find the connection closed
			closed(t, c)
			stop()
			wrong, received := r.Meter().Dropped(receiver.WrongProtocol), r.Meter().Records.Load()-r.Meter().Dropped(receiver.Empty)
			if got := len(w.records); got != 0 || wrong != 1 || received != 1 {
				t.Errorf("%s in two pieces at %d: %d records, %d of a wrong protocol, %d received", name, at, got, wrong, received)
			}
		}
	}
}

// A line of another protocol in the middle is text: a stranger whose text is logged must not be able to end a connection.
func TestOtherProtocolsText(t *testing.T) {
	r := listen(t, Config{Listen: "tcp://127.0.0.1:0"})
	w := newWatch()
	run(t, r, w)
	send(t, dial(t, r), header+"a\nGET / HTTP/1.1\n"+header+"b\n")
	if got := w.wait(t, 3); got[2].message != "b" {
		t.Errorf("%+v", got)
	}
}

// A sender that counts characters, and ends its frames with nothing else, is out of step at the first that is none of ASCII. Its
// connection is closed, which it notices, and counted; what it sends by the next one is understood. No text in the middle of a
// message becomes a record, and no message without its end, in which an address may be.
func TestOutOfStep(t *testing.T) {
	r := listen(t, Config{Listen: "tcp://127.0.0.1:0", Trust: "report"})
	w := newWatch()
	stop := run(t, r, w)
	c := dial(t, r)
	good := func(i int) string {
		text := fmt.Sprintf("%sgood %03d", header, i)
		return fmt.Sprintf("%d %s", len(text), text)
	}
	bad := header + "caf\u00e9 " + forged[strings.Index(forged, "\n")+1:] + " [preauth]" // has what the stranger would have us see
	bad = fmt.Sprintf("%d %s", len([]rune(bad)), bad)
	var all strings.Builder
	all.WriteString(good(0) + bad)
	for i := range 500 {
		all.WriteString(good(i))
	}
	_, _ = c.Write([]byte(all.String()))
	closed(t, c)
	until(t, "the count", func() bool { return r.Meter().Dropped(receiver.OutOfStep) == 1 })
	if got := w.wait(t, 1); len(got) != 1 || got[0].message != "good 000" {
		t.Errorf("%+v", got)
	}
	again := dial(t, r)
	for i := range 500 {
		send(t, again, good(i))
	}
	w.wait(t, 501)
	stop()
}

// A sender may end its counted frames with LF. It is out of step all the same when its count is wrong, and a frame that is
// longer than max_line is let go by its count: no line begins in the middle of a message.
func TestOutOfStepWithLineEnds(t *testing.T) {
	made := forged[strings.Index(forged, "\n")+1:]
	frame := func(count int, text string) string { return fmt.Sprintf("%d %s\n", count, text) }
	first := header + "first"
	long := header + strings.Repeat("x", 2000) + "\n" + made
	wrong := header + "caf\u00e9"
	stream := frame(len(first), first) + frame(len(long), long) + frame(len(first), first) + frame(len(wrong)-1, wrong+made)
	r := listen(t, Config{Listen: "tcp://127.0.0.1:0", Trust: "report", MaxLine: 1024})
	w := newWatch()
	stop := run(t, r, w)
	c := dial(t, r)
	_, _ = c.Write([]byte(stream))
	closed(t, c)
	until(t, "the count", func() bool { return r.Meter().Dropped(receiver.OutOfStep) == 1 })
	for _, record := range w.wait(t, 3) {
		if record.program == "sshd" && strings.HasPrefix(record.message, "Failed password") {
			t.Errorf("a record that a stranger wrote: %+v", record)
		}
	}
	stop()
}

// A sender that counts characters and ends its frames with a line end is understood: where a frame ends is known.
func TestCountedInCharacters(t *testing.T) {
	r := listen(t, Config{Listen: "tcp://127.0.0.1:0", Trust: "report"})
	w := newWatch()
	stop := run(t, r, w)
	c := dial(t, r)
	for range 6 {
		text := header + "Failed password for invalid user jos\u00e9 from 203.0.113.7 port 40022 ssh2"
		send(t, c, fmt.Sprintf("%d %s\n", len([]rune(text)), text))
	}
	for _, got := range w.wait(t, 6) {
		if got.program != "sshd" || !strings.HasSuffix(got.message, " ssh2") {
			t.Errorf("%+v", got)
		}
	}
	c.Close()
	stop()
	if n := r.Meter().Dropped(receiver.OutOfStep); n != 0 {
		t.Errorf("%d connections out of step", n)
	}
}

// A sender that parts lines by carriage returns alone is counted at once. What it sends is no record: one would have the beginning of
// the first of its messages and the end of the last.
func TestPartedByCR(t *testing.T) {
	line := header + "Failed password for root from 203.0.113.7 port 40022 ssh2"
	for name, c := range map[string]struct {
		stream string
		want   uint64
		lines  int
	}{
		"CR":                  {strings.Repeat(line+"\r", 6), 1, 0},
		"CR, then LF":         {strings.Repeat(line+"\r", 6) + "\n" + line + "\n", 1, 1},
		"CR LF":               {strings.Repeat(line+"\r\n", 6), 0, 6},
		"CR in a later line":  {line + "\n" + line + "\r" + line + "\n", 0, 2},
		"CR in the text":      {line + "\rfor <nobody>\n" + line + "\n", 0, 2},
		"CR in a counted one": {fmt.Sprintf("%d %s\r%s", 2*len(line)+1, line, line), 0, 1},
	} {
		r := listen(t, Config{Listen: "tcp://127.0.0.1:0", Trust: "report"})
		w := newWatch()
		stop := run(t, r, w)
		conn := dial(t, r)
		send(t, conn, c.stream)
		until(t, "the count", func() bool { return r.Meter().CarriageReturns.Load() == c.want })
		conn.Close()
		w.wait(t, c.lines)
		until(t, "the end", func() bool { return r.Meter().Records.Load() > 0 && r.Meter().Open.Load() == 0 })
		stop()
		if n := r.Meter().CarriageReturns.Load(); n != c.want || len(w.messages()) != c.lines || r.Meter().Dropped(receiver.BadFrame) != c.want {
			t.Errorf("%s: %d counted, records %q, %d dropped", name, n, w.messages(), r.Meter().Dropped(receiver.BadFrame))
		}
	}
}

// The first message of a sender that is not all ASCII waits for what comes after it, but not for long; later ones wait for nothing.
func TestHeld(t *testing.T) {
	r := listen(t, Config{Listen: "tcp://127.0.0.1:0", Trust: "report"})
	w := newWatch()
	stop := run(t, r, w)
	c := dial(t, r)
	text := header + "jos\u00e9"
	for i := range 3 {
		began := time.Now()
		send(t, c, fmt.Sprintf("%d %s", len(text), text))
		w.wait(t, i+1)
		if took := time.Since(began); (took < heldFor) != (i > 0) {
			t.Errorf("message %d took %v", i, took)
		}
	}
	stop()
	if n := r.Meter().Dropped(receiver.OutOfStep) + r.Meter().Dropped(receiver.BadFrame); n != 0 {
		t.Errorf("%d dropped", n)
	}
}

// A message that is held when the listener stops is not lost: it is handed on, or the next process gets it.
func TestHeldAtStop(t *testing.T) {
	text := header + "jos\u00e9"
	message := fmt.Sprintf("%d %s", len(text), text)
	r := listen(t, Config{Listen: "tcp://127.0.0.1:0", Trust: "report"})
	w := newWatch()
	stop := run(t, r, w)
	c := dial(t, r)
	send(t, c, message)
	until(t, "the message to be read", func() bool { return r.Meter().Open.Load() == 1 })
	arrived(t, c)
	stop()
	if got := w.messages(); len(got) != 1 || got[0] != "jos\u00e9" {
		t.Errorf("%q", got)
	}

	u, w := newUnit(t, Config{}), newWatch()
	r, stop = u.start(w)
	c = dial(t, r)
	send(t, c, message)
	until(t, "the message to be read", func() bool { return r.Meter().Open.Load() == 1 })
	arrived(t, c)
	stop()
	_, stop = u.start(w)
	w.wait(t, 1)
	stop()
}

// An IPv4 literal opens IPv4 alone; no address opens both.
func TestFamily(t *testing.T) {
	for listenOn, want := range map[string][2]bool{ // by IPv4, by IPv6
		"tcp://0.0.0.0:0": {true, false}, "tcp://:0": {true, true}, "udp://0.0.0.0:0": {true, false}, "udp://:0": {true, true},
	} {
		r := listen(t, Config{Listen: listenOn})
		w := newWatch()
		stop := run(t, r, w)
		_, port, err := net.SplitHostPort(r.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		for i, host := range []string{"127.0.0.1", "::1"} {
			if got := reaches(r.Addr().Network(), net.JoinHostPort(host, port)); got != want[i] {
				t.Errorf("%s by %s: %v", listenOn, host, got)
			}
		}
		stop()
	}
}

// reaches reports whether somebody listens.
func reaches(network, address string) bool {
	c, err := net.Dial(network, address)
	if err != nil {
		return false
	}
	defer c.Close()
	if network == "tcp" {
		return true
	}
	for range 2 { // the second brings the answer that the port is closed
		if _, err := c.Write([]byte(header + "x")); err != nil {
			return false
		}
	}
	_ = c.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
	_, err = c.Read(make([]byte, 1))
	return os.IsTimeout(err)
}

// TestTrustOfHeaders has a listener that may report. A tag without a time may be an application's text, so that it reports nobody,
// unless the operator has said whose messages those of the listener are.
func TestTrustOfHeaders(t *testing.T) {
	for _, c := range []struct {
		program, line string
		want          event.Trust
	}{
		{"", header + "x", event.TrustReport},
		{"", "<38>sshd[1]: x", event.TrustCount},
		{"", "<38>2026-11-22 05:40:00 web1 sshd[1]: x", event.TrustCount},
		{"kernel", "<4>DROP input: IN=eth0 x", event.TrustReport},
		{"sshd", "<38>sshd[1]: x", event.TrustReport},
		{"sshd", "<38>Failed password x", event.TrustReport},
		{"sshd", "<38>2026-11-22 05:40:00 web1 nginx[1]: x", event.TrustCount},
	} {
		r := listen(t, Config{Listen: "udp://127.0.0.1:0", Program: c.program, Trust: "report"})
		w := newWatch()
		stop := run(t, r, w)
		send(t, dial(t, r), c.line)
		got := w.wait(t, 1)[0]
		stop()
		if got.trust != c.want.String() {
			t.Errorf("%q to a listener of %q: %v", c.line, c.program, got.trust)
		}
	}
}
