package packet

import (
	"strings"
	"testing"

	"tattled/detect/parse"
)

// truePeer is who sent the packets of the tests.
const truePeer = "203.0.113.5"

// TestHostPort says how an address and its port are told apart.
func TestHostPort(t *testing.T) {
	for text, want := range map[string]struct {
		host string
		port uint16
	}{
		"203.0.113.5:22": {"203.0.113.5", 22}, "203.0.113.5": {"203.0.113.5", 0}, "[2001:db8::5]:22": {"2001:db8::5", 22}, "[2001:db8::5]": {"2001:db8::5", 0},
		"2001:db8::5": {}, "2001:db8::5:22": {}, "[2001:db8::5:22": {}, "[2001:db8::5]22": {}, "[a]b:22": {}, "203.0.113.5:": {}, "203.0.113.5:99999": {}, "[": {}, "": {},
	} {
		if host, port := hostPort([]byte(text)); string(host) != want.host || port != want.port {
			t.Errorf("%q is %q and %d", text, host, port)
		}
	}
}

// TestExplainOtherPackets says what is told of a packet's line: its peer where there is one, else why it cannot match.
func TestExplainOtherPackets(t *testing.T) {
	words, _ := newVerdictWords(Netfilter{})
	k := mikrotik{words}
	const flow = " in:ether1 out:(unknown 0), proto TCP (SYN), 203.0.113.5:40022->192.0.2.10:22, len 40"
	for _, c := range []struct {
		got          parse.Parsed
		peer, failed string
	}{
		{k.explain([]byte("DROP input:" + flow)), truePeer, ""},
		{k.explain([]byte("DROP forward:" + flow)), "", "it is not a line about a packet to the router itself"},
		{k.explain([]byte("input:" + flow)), "", "no word of the prefix"},
		{k.explain([]byte("AUDIT input:" + flow)), truePeer, "looked at"},
		{k.explain([]byte("ACCEPT DROP input:" + flow)), truePeer, "words that mean a refused packet and words"},
		{k.explain([]byte("DROP input: in:ether1 out:(unknown 0), proto TCP (SYN")), "", "not in the order"},
		{filterlog{}.explain([]byte("5,,,1,em0,match,block,in,4,0x0,,1,1,0,none,6,tcp,40,203.0.113.5,192.0.2.10,1,2,0,S,,,,,")), truePeer, ""},
		{filterlog{}.explain([]byte("5,,,1,em0,match,block,out,4,0x0")), "", "its direction is"},
		{filterlog{}.explain([]byte("5,,,1,em0,match,rdr,in,4,0x0")), "", "the action"},
		{filterlog{}.explain([]byte("5,,,1,em0,match,block,in,4,0x0")), "", "was cut off"},
	} {
		if c.got.Peer != c.peer || c.failed == "" && c.got.Failed != "" || !strings.Contains(c.got.Failed, c.failed) {
			t.Errorf("%+v, not %q and %q", c.got, c.peer, c.failed)
		}
	}
}

// TestProxmoxFront says what pvefw-logger writes before the words of a rule, and that nothing else passes for it.
func TestProxmoxFront(t *testing.T) {
	const front = "117 6 tap117i0-IN 22/Nov/2026:10:00:00 +0100 "
	for line, want := range map[string]int{
		front + "policy DROP: IN=vmbr0": len(front), "0 3 PVEFW-HOST-IN 22/Nov/2026:10:00:00 -0700 DROP": 45, front: len(front),
		"117 8 tap117i0-IN 22/Nov/2026:10:00:00 +0100 DROP": 0, "1 17 6 tap117i0-IN 22/Nov/2026:10:00:00 +0100 DROP": 0, "117 6  22/Nov/2026:10:00:00 +0100 DROP": 0,
		"117 6 tap117i0-IN-that-nobody-could-make 22/Nov/2026:10:00:00 +0100 DROP": 0, "117 6 tap117i0-IN 22/Nov/2026 10:00:00 +0100 DROP": 0,
		"117 6 tap117i0-IN 22/Nov/2026:10:00:00 CET DROP": 0, "117 6 tap117i0-IN 22/Nov/2026:10:00:00": 0, "12345678901 6 x 22/Nov/2026:10:00:00 +0100 DROP": 0, "1": 0, "": 0, "x": 0,
	} {
		if got := proxmoxFront([]byte(line)); got != want {
			t.Errorf("%q has %d bytes before the words, not %d", line, got, want)
		}
	}
	for i := range len(front) {
		if got := proxmoxFront([]byte(front[:i])); got != 0 {
			t.Errorf("%q has %d bytes before the words", front[:i], got)
		}
	}
}
