package syslog

import (
	"io"
	"net"
	"net/netip"
	"testing"
	"time"

	"tattled/setting"
)

// A peer is one of ours only where allow names it: not by a network of everybody, nor by one so wide that a stranger may have an address
// there, and not by an address that is never reported anyway.
func TestWhoIsAPeerInParticular(t *testing.T) {
	for _, c := range []struct {
		allow []string
		peer  string
		want  bool
	}{
		{nil, "45.9.20.7", false},
		{[]string{"0.0.0.0/0"}, "45.9.20.7", false},
		{[]string{"0.0.0.0/1", "128.0.0.0/1"}, "45.9.20.7", false},
		{[]string{"45.0.0.0/8"}, "45.9.20.7", false},
		{[]string{"45.9.0.0/15"}, "45.9.20.7", false},
		{[]string{"45.9.0.0/16"}, "45.9.20.7", true},
		{[]string{"45.9.20.7"}, "::ffff:45.9.20.7", true},
		{[]string{"0.0.0.0/0", "45.9.21.0/24"}, "45.9.20.7", false},
		{[]string{"::/0", "2a02:6b8::/32"}, "2a02:6b8::7", false},
		{[]string{"2a02:6b8::/48"}, "2a02:6b8::7", true},
		{[]string{"10.0.0.0/24"}, "10.0.0.7", false},
	} {
		var cfg Config
		for _, text := range c.allow {
			var n setting.Network
			if err := n.UnmarshalText([]byte(text)); err == nil {
				cfg.Allow = append(cfg.Allow, n)
			} else if p, err := netip.ParsePrefix(text); err == nil {
				cfg.Allow = append(cfg.Allow, setting.Network(p.Masked()))
			}
		}
		if got := cfg.particular(netip.MustParseAddr(c.peer)); got != c.want {
			t.Errorf("%+v: %v", c, got)
		}
	}
}

// Forged senders fill the list and no more; those that are in it stay, and what is an hour old makes room. A sender that goes on costs no
// allocation.
func TestPeersAreBounded(t *testing.T) {
	r := &Receiver{cfg: Config{Allow: []setting.Network{network(t, "45.9.0.0/16")}}}
	now := time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
	r.senders.turn(now)
	real := netip.MustParseAddr("45.9.255.1")
	r.heardFrom(&r.senders, real, now)
	for i := range 10_000 {
		r.heardFrom(&r.senders, netip.AddrFrom4([4]byte{45, 9, byte(i >> 8), byte(i)}), now.Add(time.Second))
	}
	r.heardFrom(&r.senders, netip.MustParseAddr("198.51.100.7"), now)
	r.heardFrom(&r.senders, netip.Addr{}, now)
	all := r.Peers()
	if len(all) != maxPeers || all[len(all)-1] != (Peer{real, now, true}) {
		t.Errorf("%d, the last %+v", len(all), all[len(all)-1])
	}
	r.senders.turn(now.Add(renewEvery - time.Second)) // not yet
	r.heardFrom(&r.senders, real, now.Add(renewEvery-time.Second))
	r.senders.turn(now.Add(renewEvery))
	r.heardFrom(&r.senders, real, now.Add(renewEvery))
	if all = r.Peers(); !all[len(all)-1].Last.Equal(now.Add(renewEvery)) {
		t.Errorf("%+v", all[len(all)-1])
	}
	r.senders.turn(now.Add(peerFor + 30*time.Second))
	late := netip.MustParseAddr("45.9.254.1")
	r.heardFrom(&r.senders, late, now.Add(peerFor+30*time.Second))
	if all = r.Peers(); len(all) != 2 {
		t.Errorf("%v", all)
	}
	if n := testing.AllocsPerRun(100, func() { r.heardFrom(&r.senders, late, now.Add(peerFor+31*time.Second)) }); n > 0 {
		t.Errorf("a datagram allocates %v times", n)
	}
}

// Whose records are taken is known, by TCP and by datagrams: not who connects and sends none, or another protocol's, nor anybody where
// allow is of everybody.
func TestPeersOfListeners(t *testing.T) {
	ours, everybody := []setting.Network{network(t, "127.0.0.0/16")}, []setting.Network{network(t, "0.0.0.0/0")}
	for name, c := range map[string]struct {
		listen string
		allow  []setting.Network
		send   string
		want   int
	}{
		"a record by TCP":          {"tcp://127.0.0.1:0", ours, header + "x\n", 1},
		"a connection alone":       {"tcp://127.0.0.1:0", ours, "", 0},
		"a last record, no LF":     {"tcp://127.0.0.1:0", ours, header + "x", 1},
		"empty lines":              {"tcp://127.0.0.1:0", ours, "\n\r\n", 0},
		"a web page":               {"tcp://127.0.0.1:0", ours, "GET / HTTP/1.1\r\n\r\n" + header + "x\n", 0},
		"everybody may, by TCP":    {"tcp://127.0.0.1:0", everybody, header + "x\n", 0},
		"no allow, by TCP":         {"tcp://127.0.0.1:0", nil, header + "x\n", 0},
		"a datagram":               {"udp://127.0.0.1:0", ours, header + "x", 1},
		"everybody may, by UDP":    {"udp://127.0.0.1:0", everybody, header + "x", 0},
		"a datagram, refused":      {"udp://127.0.0.1:0", []setting.Network{network(t, "192.0.2.0/24")}, header + "x", 0},
		"no allow, by a datagram":  {"udp://127.0.0.1:0", nil, header + "x", 0},
		"refused, by a connection": {"tcp://127.0.0.1:0", []setting.Network{network(t, "192.0.2.0/24")}, header + "x\n", 0},
	} {
		t.Run(name, func(t *testing.T) {
			r := listen(t, Config{Listen: c.listen, Allow: c.allow})
			stop := run(t, r, newWatch())
			conn, err := net.Dial(r.Addr().Network(), r.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			_, _ = conn.Write([]byte(c.send))
			if tcp, is := conn.(*net.TCPConn); is {
				tcp.CloseWrite()
				_, _ = io.Copy(io.Discard, conn) // until it was taken, and the listener closes
			} else {
				for r.Meter().Records.Load() == 0 {
					<-time.After(time.Millisecond)
				}
			}
			conn.Close()
			stop()
			all := r.Peers()
			if len(all) != c.want || c.want > 0 && (all[0].Addr != netip.MustParseAddr("127.0.0.1") || all[0].Datagram != (r.udp != nil) || all[0].Last.IsZero()) {
				t.Errorf("%+v", all)
			}
		})
	}
}

func BenchmarkHeardFrom(b *testing.B) {
	r := &Receiver{cfg: Config{Allow: []setting.Network{setting.Network(netip.MustParsePrefix("45.9.0.0/16"))}}}
	now := time.Now()
	for i := range b.N {
		r.heardFrom(&r.senders, netip.AddrFrom4([4]byte{45, 9, 1, byte(i % 16)}), now)
	}
}
