package syslog

import (
	"context"
	"fmt"
	"net"
	"os"
	"strings"
	"sync/atomic"
	"testing"

	"tattled/receiver"
	"tattled/setting"
)

const header = "<38>Nov 22 05:40:00 web1 sshd[7]: "

// Where a datagram may be several lines, each is a record; hostile ones are counted and harm nobody.
func TestUDP(t *testing.T) {
	r := listen(t, Config{Listen: "udp://127.0.0.1:0", MaxLine: 512, Datagrams: "lines"})
	w := newWatch()
	stop := run(t, r, w)
	c := dial(t, r)
	for _, d := range []string{
		header + "one",
		header + "two\n" + header + "three\r\n\n" + header + "four\n",
		"", "\n", "\x00\x01 \t",
		"<13>",                              // kills go-syslog's parser
		"<13>May  1 20:51:40 myhostname",    // and this
		"-1 x",                              // kills its framing
		header + strings.Repeat("x", 600),   // longer than a record may be
		header + strings.Repeat("y", 65000), // the largest there are
		"<13>1 - h app 5 - - five",
		"<13>0 - h app 5 - - known to go-syslog only",
		"<13>Nov 22 05:40:00; sshd Failed: no program is guessed",
		header + "last",
	} {
		send(t, c, d)
	}
	records := w.wait(t, 13)
	stop()
	for i, want := range map[int]string{0: "one", 1: "two", 2: "three", 3: "four", 4: "<13>", 5: "", 6: "-1 x", 9: "five", 10: "known to go-syslog only", 12: "last"} {
		if records[i].message != want {
			t.Errorf("record %d is %+v, want %q", i, records[i], want)
		}
	}
	if len(records) != 13 || w.cut != 2 || r.Meter().Cut.Load() != 2 {
		t.Errorf("%d records, %d cut", len(records), w.cut)
	}
	if got := r.Meter().Dropped(receiver.Empty); got != 4 { // the line between three and four is one
		t.Errorf("%d empty, want 4", got)
	}
	if records[11].program != "" {
		t.Errorf("%+v", records[11])
	}
	if records[0].program != "sshd" || records[0].host != "web1" || records[0].pid != "7" || records[0].trust != "count" {
		t.Errorf("%+v", records[0])
	}
	if asked, known, panicked := r.SecondOpinions(); asked != 3 || known != 1 || panicked != 1 {
		t.Errorf("second opinions: asked %d, known %d, panicked %d", asked, known, panicked)
	}
}

// Only a message that names no program is the listener's.
func TestUDPProgram(t *testing.T) {
	r := listen(t, Config{Listen: "udp://127.0.0.1:0", Program: "mikrotik"})
	w := newWatch()
	stop := run(t, r, w)
	c := dial(t, r)
	wants := map[string]string{
		"<30>Nov 22 05:40:00 gw DROP input: in:ether1": "mikrotik", "DROP input: in:ether1": "mikrotik", "<30>DROP input: in:ether1": "mikrotik",
		"firewall,info DROP input: in:ether1": "firewall,info", "<38>Nov 22 05:40:00 web1 sshd[1]: x": "sshd", "<34>1 - gw - - - - x": "mikrotik",
		"<30>input: in:ether1": "mikrotik", "<30>mikrotik: login failure for user a": "mikrotik", "<30>gw mikrotik: login failure for user b": "mikrotik",
	}
	for line := range wants {
		send(t, c, line)
	}
	records := w.wait(t, len(wants))
	stop()
	got := map[string]int{}
	for _, record := range records {
		got[record.program]++
		if strings.HasPrefix(record.message, "<") || strings.HasPrefix(record.message, "mikrotik") {
			t.Errorf("a header is left in %q", record.message)
		}
	}
	if got["mikrotik"] != 7 || got["firewall,info"] != 1 || got["sshd"] != 1 {
		t.Errorf("programs %v", got)
	}
}

// Who is not in the allow list is not heard, and counted.
func TestUDPNotAllowed(t *testing.T) {
	r := listen(t, Config{Listen: "udp://127.0.0.1:0", Allow: []setting.Network{network(t, "127.0.0.2")}})
	w := newWatch()
	stop := run(t, r, w)
	send(t, dial(t, r), header+"stranger")
	c, err := net.DialUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 2)}, r.Addr().(*net.UDPAddr))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	send(t, c, header+"friend")
	records := w.wait(t, 1)
	stop()
	if len(records) != 1 || records[0].message != "friend" || r.Meter().Dropped(receiver.NotAllowed) != 1 {
		t.Errorf("%+v, %d not allowed", records, r.Meter().Dropped(receiver.NotAllowed))
	}
}

// What arrived together is handed on together.
func TestUDPBatches(t *testing.T) {
	r := listen(t, Config{Listen: "udp://127.0.0.1:0"})
	c := dial(t, r)
	for range 60 {
		send(t, c, header+"x")
	}
	w := newWatch()
	stop := run(t, r, w)
	w.wait(t, 60)
	stop()
	if w.batches != 1 {
		t.Errorf("60 waiting datagrams came in %d batches", w.batches)
	}
}

// What the kernel had to drop is counted: nothing is lost in silence.
func TestUDPLossesAreCounted(t *testing.T) {
	r := listen(t, Config{Listen: "udp://127.0.0.1:0"})
	if err := r.udp.SetReadBuffer(4096); err != nil {
		t.Fatal(err)
	}
	c := dial(t, r)
	const sent = 500
	for range sent {
		send(t, c, header+strings.Repeat("x", 500))
	}
	w := newWatch()
	stop := run(t, r, w)
	w.wait(t, 1)
	for m := r.Meter(); m.Records.Load()+m.Gaps.Load() < sent; {
		before := len(w.wait(t, 0))
		send(t, c, header+"tells of the loss") // the kernel says its count with the next datagram
		w.wait(t, before+1)
		if m.Gaps.Load() > 0 {
			break
		}
	}
	stop()
	m := r.Meter()
	if m.Gaps.Load() == 0 || m.Records.Load()+m.Gaps.Load() < sent {
		t.Errorf("%d sent, %d received, %d lost", sent, m.Records.Load(), m.Gaps.Load())
	}
}

// A socket that systemd passed is used, with what waits in it, and the others are left.
func TestPassedUDP(t *testing.T) {
	file := func(network, addr string) *os.File {
		c, err := net.ListenPacket(network, addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		f, err := c.(*net.UDPConn).File()
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	mine, other := file("udp", "127.0.0.1:0"), file("udp", "127.0.0.1:0")
	probe, err := net.FilePacketConn(mine)
	if err != nil {
		t.Fatal(err)
	}
	addr := probe.LocalAddr().String()
	probe.Close()
	c, err := net.Dial("udp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	send(t, c, header+"while nobody ran")

	passed := NewPassed(other, mine)
	r, err := New(Config{Listen: "udp://" + addr}, passed)
	if err != nil {
		t.Fatal(err)
	}
	if left := passed.Left(); len(left) != 1 || left[0] != other {
		t.Errorf("left: %v", left)
	}
	w := newWatch()
	run(t, r, w)
	if got := w.wait(t, 1); got[0].message != "while nobody ran" {
		t.Errorf("%+v", got)
	}
	other.Close()
}

type counting struct{ records, batches atomic.Uint64 }

func (c *counting) Handle(_ context.Context, b *receiver.Batch) error {
	c.records.Add(uint64(len(b.Records)))
	c.batches.Add(1)
	return nil
}

// Receiving, framing and parsing allocate nothing, and the ring neither.
func TestUDPAllocatesNothing(t *testing.T) {
	for _, kept := range []bool{false, true} {
		u, h := newUDPUnit(t, Config{}), new(counting)
		r := u.open()
		defer r.closeSockets()
		if kept {
			r.spool = r.openSpool(u.ledger)
			defer r.spool.close()
		}
		c := dial(t, r)
		raw, err := r.udp.SyscallConn()
		if err != nil {
			t.Fatal(err)
		}
		mem, release, err := r.stageMemory()
		if err != nil {
			t.Fatal(err)
		}
		defer release()
		d, b, l := newDatagrams(mem), newBatcher(r), dropCounter{}
		d.prepareAll()
		payload := []byte(header + "Failed password for root from 198.51.100.9 port 40022 ssh2")
		receive := func(fd uintptr) { d.receive(fd) }
		const runs = 50
		allocs := testing.AllocsPerRun(runs, func() {
			for range 32 {
				if _, err := c.Write(payload); err != nil {
					t.Error(err)
				}
			}
			if err := raw.Control(receive); err != nil {
				t.Error(err)
			}
			if err := r.handleDatagrams(context.Background(), h, d, b, &l); err != nil {
				t.Error(err)
			}
		})
		if allocs != 0 {
			t.Errorf("%v allocations for 32 datagrams (with a ring: %v)", allocs, kept)
		}
		if got := h.records.Load(); got != 32*(runs+1) {
			t.Errorf("%d records", got)
		}
	}
}

func BenchmarkUDP(b *testing.B) {
	for _, kept := range []bool{false, true} {
		b.Run(fmt.Sprintf("ring=%v", kept), func(b *testing.B) { benchmarkUDP(b, kept) })
	}
}

// start runs the next process on u for a benchmark, with a ring or without.
func (u *unit) bench(h receiver.Handler, kept bool) (r *Receiver, end func() error) {
	r = u.open()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() {
		if kept {
			ended <- r.Run(ctx, u.ledger, u.commits(h))
		} else {
			ended <- r.Run(ctx, nil, h)
		}
	}()
	return r, func() error { cancel(); return <-ended }
}

func benchmarkUDP(b *testing.B, kept bool) {
	h := new(counting)
	r, end := newUDPUnit(b, Config{}).bench(h, kept)
	c := dial(b, r)
	payload := []byte(header + strings.Repeat("x", 200-len(header)))
	b.SetBytes(int64(len(payload)))
	b.ReportAllocs()
	n := uint64(0)
	for b.Loop() {
		if _, err := c.Write(payload); err != nil {
			b.Fatal(err)
		}
		n++
	}
	until(b, "the last datagram", func() bool { return h.records.Load()+r.meter.Gaps.Load() >= n || r.meter.Gaps.Load() > 0 })
	if err := end(); err != nil {
		b.Error(err)
	}
	b.ReportMetric(float64(n-h.records.Load())*100/float64(n), "%lost")
	b.ReportMetric(float64(n)/float64(max(1, h.batches.Load())), "records/batch")
}

// What people's devices send in a datagram, beside what the RFCs say, names its program and its host.
func TestUDPOddHeaders(t *testing.T) {
	r := listen(t, Config{Listen: "udp://127.0.0.1:0"})
	w := newWatch()
	stop := run(t, r, w)
	c := dial(t, r)
	const said = "Failed password for root from 203.0.113.5 port 40022 ssh2"
	headers := []string{
		"<38>2026-11-22 05:40:00 web1 sshd[7]: ", "<38>1795326000 web1 sshd[7]: ", "<38>Sun Nov 22 05:40:00 2026 web1 sshd[7]: ",
		"\xef\xbb\xbf<38>Nov 22 05:40:00 web1 sshd[7]: ", "101 <38>1 2026-11-22T05:40:00Z web1 sshd 7 - - ", "<38>2026:11:22-05:40:00 web1 sshd[7]: ",
		"<38>web1 sshd[7]: ", "<38>Nov 22 05:40:00 web1 web1.example.org sshd[7]: ", "<38>Okt 22 05:40:00 web1 sshd[7]: ",
	}
	for _, h := range headers {
		send(t, c, h+said)
	}
	records := w.wait(t, len(headers))
	stop()
	for i, record := range records {
		if record.program != "sshd" || record.host != "web1" || record.pid != "7" || record.message != said {
			t.Errorf("%q: %+v", headers[i], record)
		}
	}
}
