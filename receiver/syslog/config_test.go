package syslog

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"tattled/setting"
)

func network(t *testing.T, text string) setting.Network {
	t.Helper()
	var n setting.Network
	if err := n.UnmarshalText([]byte(text)); err != nil {
		t.Fatal(err)
	}
	return n
}

// Every fault is told, all at once, at the setting that has it.
func TestCheck(t *testing.T) {
	local := []setting.Network{network(t, "127.0.0.0/8")}
	for name, c := range map[string]struct {
		cfg    Config
		faults []string
	}{
		"udp":            {Config{Listen: "udp://127.0.0.1:5514"}, nil},
		"all addresses":  {Config{Listen: "udp://:514"}, nil},
		"IPv6":           {Config{Listen: "tcp://[::1]:5514", Allow: local, Trust: "report", Timezone: "Europe/Brussels"}, nil},
		"unix":           {Config{Listen: "unix:///run/tattled/log", Mode: "0666"}, nil},
		"nothing":        {Config{}, []string{"listen"}},
		"no scheme":      {Config{Listen: "127.0.0.1:514"}, []string{"listen"}},
		"name":           {Config{Listen: "udp://localhost:514"}, []string{"listen"}},
		"no port":        {Config{Listen: "udp://127.0.0.1"}, []string{"listen"}},
		"IPv6, no bars":  {Config{Listen: "udp://::1:514"}, []string{"listen"}},
		"port too large": {Config{Listen: "udp://127.0.0.1:65536"}, []string{"listen"}},
		"tls":            {Config{Listen: "tls://127.0.0.1:6514"}, []string{"listen"}},
		"relp":           {Config{Listen: "relp://127.0.0.1:2514"}, []string{"listen"}},
		"http":           {Config{Listen: "http://127.0.0.1:80"}, []string{"listen"}},
		"relative path":  {Config{Listen: "unix://run/log"}, []string{"listen"}},
		"crooked path":   {Config{Listen: "unix:///run/../log"}, []string{"listen"}},
		"allow on unix":  {Config{Listen: "unix:///run/log", Allow: local}, []string{"allow"}},
		"mode":           {Config{Listen: "unix:///run/log", Mode: "rw"}, []string{"mode"}},
		"mode on udp":    {Config{Listen: "udp://127.0.0.1:514", Mode: "0660"}, []string{"mode"}},
		"program":        {Config{Listen: "udp://127.0.0.1:514", Program: "mikrotik"}, nil},
		"program, words": {Config{Listen: "udp://127.0.0.1:514", Program: "my router"}, []string{"program"}},
		"lines":          {Config{Listen: "udp://127.0.0.1:514", Datagrams: "lines"}, nil},
		"records":        {Config{Listen: "unix:///run/log", Datagrams: "record", Trust: "report"}, nil},
		"lines, report":  {Config{Listen: "udp://127.0.0.1:514", Datagrams: "lines", Trust: "report"}, []string{"trust"}},
		"lines, count":   {Config{Listen: "unix:///run/log", Datagrams: "lines", Trust: "count"}, nil},
		"lines on tcp":   {Config{Listen: "tcp://127.0.0.1:514", Datagrams: "lines"}, []string{"datagrams"}},
		"datagrams":      {Config{Listen: "udp://127.0.0.1:514", Datagrams: "many"}, []string{"datagrams"}},
		"peers":          {Config{Listen: "unix:///run/log", Peers: []string{"root", "4242"}}, nil},
		"peers, unknown": {Config{Listen: "unix:///run/log", Peers: []string{"no-such-user"}}, []string{"peers"}},
		"peers, nobody":  {Config{Listen: "unix:///run/log", Peers: []string{"root", "nobody"}}, []string{"peers"}},
		"peers, 65534":   {Config{Listen: "unix:///run/log", Peers: []string{"65534"}}, []string{"peers"}},
		"peers on udp":   {Config{Listen: "udp://127.0.0.1:514", Peers: []string{"root"}}, []string{"peers"}},
		"all at once": {
			Config{Listen: "x", Trust: "yes", Timezone: "Atlantis", MaxLine: 5, MaxConnections: -1, MaxPerPeer: 2, IdleTimeout: setting.Duration(time.Second), ReceiveBuffer: 1},
			[]string{"idle_timeout", "listen", "max_connections", "max_line", "max_per_peer", "receive_buffer", "timezone", "trust"},
		},
		"more a peer than in all": {Config{Listen: "tcp://127.0.0.1:514", MaxConnections: 10, MaxPerPeer: 11}, []string{"max_per_peer"}},
		"few connections":         {Config{Listen: "tcp://127.0.0.1:514", MaxConnections: 10}, nil},
	} {
		var faults []string
		c.cfg.Check(func(path, problem string) {
			faults = append(faults, path)
			if problem == "" {
				t.Errorf("%s: %s without a word", name, path)
			}
		})
		slices.Sort(faults)
		if !slices.Equal(faults, c.faults) {
			t.Errorf("%s: faults at %q, want %q", name, faults, c.faults)
		}
		if _, err := New(c.cfg, nil); len(c.faults) > 0 && err == nil {
			t.Errorf("%s: New takes it", name)
		}
	}
}

func TestPeerKey(t *testing.T) {
	for in, want := range map[string]string{
		"192.0.2.7": "192.0.2.7", "2001:db8:1:2:3:4:5:6": "2001:db8:1:2::", "fe80::1%eth0": "fe80::",
	} {
		if got := peerKey(netip.MustParseAddr(in)).String(); got != want {
			t.Errorf("%s: %s, want %s", in, got, want)
		}
	}
}

func TestLosses(t *testing.T) {
	own, passed := dropCounter{known: true}, dropCounter{}
	for _, c := range []struct {
		total       uint32
		own, passed uint64
	}{{5, 5, 0}, {5, 0, 0}, {7, 2, 2}, {^uint32(0), uint64(^uint32(0) - 7), uint64(^uint32(0) - 7)}, {3, 4, 4}} {
		if a, b := own.add(c.total), passed.add(c.total); a != c.own || b != c.passed {
			t.Errorf("at %d: %d and %d, want %d and %d", c.total, a, b, c.own, c.passed)
		}
	}
}
