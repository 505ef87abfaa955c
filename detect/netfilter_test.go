package detect

import (
	"net/netip"
	"strings"
	"testing"
)

// TestNetfilterOrder says that an address is taken from where the kernel writes it, in its order, and from nowhere else.
func TestNetfilterOrder(t *testing.T) {
	r := load(t, Options{})
	const rest = " LEN=60 PROTO=TCP SPT=40022 DPT=22 SYN URGP=0 "
	for line, want := range map[string]Verdict{
		"DROP IN=eth0 OUT= MAC=x SRC=203.0.113.5 DST=192.0.2.10" + rest:                                              Matched,
		"DROP SRC=198.51.100.66 IN=eth0 OUT= MAC=x SRC=203.0.113.5 DST=192.0.2.10" + rest:                            Matched,
		"DROP IN=eth0 OUT= SRC=203.0.113.5 DST=192.0.2.10" + rest + "[SRC=198.51.100.66 DST=192.0.2.10" + rest + "]": Matched,
		"DROP IN=eth0 OUT= MAC=x DST=192.0.2.10 SRC=198.51.100.66 DST=192.0.2.10" + rest:                             Ignored,
		"DROP IN=eth0 OUT= MAC=x PROTO=TCP SRC=198.51.100.66 DST=192.0.2.10" + rest:                                  Ignored,
		"DROP IN=eth0 OUT= MAC=x [SRC=198.51.100.66 DST=192.0.2.10" + rest + "]":                                     Ignored,
		"DROP IN=eth0 OUT= MAC=x [ SRC=198.51.100.66 DST=192.0.2.10" + rest + "]":                                    Ignored,
		"DROP IN=eth0 OUT= MAC=x ARP IPSRC=198.51.100.66 DST=192.0.2.10" + rest:                                      Ignored,
		"DROP IN=eth0 OUT= SRC=198.51.100.66 LEN=60 DST=192.0.2.10" + rest:                                           Ignored,
		"DROP IN=eth0 OUT= SRC=198.51.100.66 DST=192.0.2.10 LEN=60 [PROTO=TCP SPT=1 DPT=2 ]":                         Ignored,
		"DROP IN= OUT=eth0 SRC=192.0.2.10 DST=198.51.100.66 IN=eth0 OUT= SRC=198.51.100.66 DST=192.0.2.10" + rest:    Ignored,
		"DROP IN=eth0 OUT=eth1 SRC=203.0.113.5 DST=192.0.2.11 IN=eth0 OUT= SRC=198.51.100.66 DST=192.0.2.10" + rest:  Matched,
		"DROP IN=eth0 MAC=x SRC=203.0.113.5 DST=192.0.2.10" + rest:                                                   Matched,
		"DROP IN=eth0 PHYSIN=x SRC=203.0.113.5 DST=192.0.2.10" + rest:                                                Matched,
		"DROP IN=eth0 SRC=203.0.113.5 DST=192.0.2.10" + rest:                                                         Matched,
		"DROP IN= MAC=x SRC=198.51.100.66 DST=192.0.2.10" + rest:                                                     Ignored,
		"DROP IN=eth0 DST=192.0.2.10 SRC=198.51.100.66" + rest:                                                       Ignored,
		"DROP IN=an-interface-with-a-long-name OUT= SRC=198.51.100.66 DST=192.0.2.10" + rest:                         Ignored,
	} {
		var f Finding
		if v := r.Detect([]byte("kernel"), []byte(line), &f); v != want || v == Matched && f.Addr != netip.MustParseAddr(truePeer) {
			t.Errorf("%q is %s", line, describe(v, &f))
		}
	}
}

// longestPrefix is how many bytes a log prefix may have: NF_LOG_PREFIXLEN less one.
const longestPrefix = 127

// TestKernelText says that what strangers name, which the kernel prints, is no packet, and that what operators have for a
// prefix is one.
func TestKernelText(t *testing.T) {
	r := load(t, Options{})
	const packet = "IN=eth0 OUT= MAC=x SRC=203.0.113.5 DST=192.0.2.10 LEN=60 TOS=0x00 PREC=0x00 TTL=51 ID=1 DF PROTO=TCP SPT=40022 DPT=22 WINDOW=1 RES=0x00 SYN URGP=0"
	for _, line := range []string{
		"usb 1-1: Product: [UFW BLOCK] " + packet,
		"usb 1-1: Product: DROP " + packet,
		"usb 1-1: Product: DROP: " + packet,
		"usb 3-10.4: Manufacturer: [UFW BLOCK] " + packet + " ",
		"usb 1-1: SerialNumber: drop" + packet,
		"[ 1234.567890] usb 1-1: SerialNumber: [UFW BLOCK] " + packet,
		"hid-generic 0003:046D:C31C.0001: input,hidraw0: USB HID v1.11 Keyboard [DROP " + packet + "] on usb-0000:00:14.0-1/input0",
		"input: [UFW BLOCK] " + packet + " as /devices/pci0000:00/0000:00:14.0/usb1/1-1/1-1:1.0/0003:046D:C31C.0001/input/input7",
		"BTRFS: device label [UFW BLOCK] " + packet + " devid 1 transid 7 /dev/sdb1 scanned by mount (123)",
		"UDF-fs: INFO Mounting volume '[UFW BLOCK] " + packet + "', timestamp 2026/11/22 10:00 (103c)",
		"EXT4-fs (sdb1): [UFW BLOCK] " + packet,
		"EXT4-fs error (device dm-0): ext4_lookup: drop " + packet,
		"scsi 2:0:0:0: Direct-Access     DROP " + packet,
		"process '/home/dan/drop " + packet + "' started with executable stack",
		"cgroup: fork rejected by pids controller in /user.slice/user-1000.slice/drop " + packet,
		"e1000e 0000:00:19.0 eth0: DROP " + packet,
		"[812345.678901] usb usb1-port2: over-current: DROP " + packet,
		strings.Repeat("x", longestPrefix) + " DROP " + packet,
	} {
		var f Finding
		if v := r.Detect([]byte("kernel"), []byte(line), &f); v != Ignored {
			t.Errorf("%q is %s", line, describe(v, &f))
		}
	}
	for _, prefix := range []string{
		"", "[UFW BLOCK] ", "DROP: ", "iptables denied: ", "Firewall: *TCP_IN Blocked* ", "DROP wan/22: ", "nft: drop: ", "Rule 5: DROP ", "INPUT: DROP ", "ip6tables: DROP: ", "input: drop: ",
		"DROP-eth0-1: ", "drop 10.0.0.0/8 ", "Drop: v4 ", "IPT/DROP: in ", "[ 1234.567890] DROP: ", "[1234.567890] [UFW BLOCK] ", "[12] DROP: ", "'drop' ", strings.Repeat("x", longestPrefix-5) + " DROP", `[WAN_LOCAL-D-2000] DESCR="Drop all: a/b" `,
	} {
		for _, end := range []string{"", " ", " MARK=0x1 ", " URGP=0 OPT (020405B40402080A) ", " UID=0 GID=0"} {
			line := prefix + packet + end
			var f Finding
			want := Matched
			if prefix == "" {
				want = Ignored // no word says what became of it
			}
			if v := r.Detect([]byte("kernel"), []byte(line), &f); v != want {
				t.Errorf("%q is %s", line, describe(v, &f))
			}
		}
	}
}

// TestClientNameInRouterOS says that the name which a client of RouterOS' DHCP server gives itself is no packet.
func TestClientNameInRouterOS(t *testing.T) {
	r := load(t, Options{})
	for _, front := range []string{"dhcp1 assigned 192.168.88.5 for 52:54:00:12:34:56 ", "dhcp,info dhcp1 deassigned 192.168.88.5 for 52:54:00:12:34:56 DROP "} {
		line := front + "drop input: in:ether1 out:(unknown 0), connection-state:new proto TCP (SYN), 203.0.113.5:40022->192.0.2.10:22, len 40"
		var f Finding
		if v := r.Detect([]byte("mikrotik"), []byte(line), &f); v != Ignored {
			t.Errorf("%q is %s", line, describe(v, &f))
		}
	}
}

// What a line without a log prefix means is the operator's word; a prefix that says nothing is not meant by it.
func TestNetfilterUnprefixed(t *testing.T) {
	const packet = "IN=eth0 OUT= MAC= SRC=203.0.113.5 DST=192.0.2.10 LEN=60 TOS=0x00 PREC=0x00 TTL=51 ID=1 DF PROTO=TCP SPT=51234 DPT=22 WINDOW=65535 RES=0x00 SYN URGP=0 "
	for unprefixed, want := range map[string]string{"": "", "ignore": "", "block": "block", "accept": "accept"} {
		r, problems := Load(Options{Netfilter: Netfilter{Unprefixed: unprefixed}})
		if len(problems) > 0 {
			t.Fatal(problems)
		}
		for line, want := range map[string]string{
			packet:                              want,
			"[812345.678901] " + packet:         want,
			"odd: " + packet:                    "",
			"DROP " + packet:                    "block",
			"usb 1-1: Product: " + packet:       "",
			packet[:len(packet)-len("URGP=0 ")]: want,
		} {
			var f Finding
			got := ""
			if v := r.Detect([]byte("kernel"), []byte(line), &f); v == Matched {
				got = f.Rule.Name
			}
			if got != want {
				t.Errorf("unprefixed: %q: %q is %q, want %q", unprefixed, line, got, want)
			}
		}
	}
	if _, problems := Load(Options{Netfilter: Netfilter{Unprefixed: "drop"}}); len(problems) != 1 {
		t.Errorf("%v", problems)
	}
}

// A packet that goes on says so, and whoever sent it is told as of one that stays.
func TestNetfilterForward(t *testing.T) {
	r := load(t, Options{})
	const rest = "SRC=203.0.113.5 DST=192.0.2.10 LEN=60 PROTO=TCP SPT=51234 DPT=22 WINDOW=65535 RES=0x00 SYN URGP=0 "
	for line, want := range map[string]bool{"DROP IN=eth0 OUT=br0 " + rest: true, "DROP IN=eth0 OUT= " + rest: false, "DROP IN=eth0 " + rest: false} {
		var f Finding
		if v := r.Detect([]byte("kernel"), []byte(line), &f); v != Matched || f.Forward != want {
			t.Errorf("%q: %v, forward %v", line, v, f.Forward)
		}
	}
}
