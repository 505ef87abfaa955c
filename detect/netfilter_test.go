package detect

import (
	"net/netip"
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
		"DROP IN=eth0 OUT=eth1 SRC=192.0.2.10 DST=192.0.2.11 IN=eth0 OUT= SRC=198.51.100.66 DST=192.0.2.10" + rest:   Ignored,
		"DROP IN=an-interface-with-a-long-name OUT= SRC=198.51.100.66 DST=192.0.2.10" + rest:                         Ignored,
	} {
		var f Finding
		if v := r.Detect([]byte("kernel"), []byte(line), &f); v != want || v == Matched && f.Addr != netip.MustParseAddr(truePeer) {
			t.Errorf("%q is %s", line, describe(v, &f))
		}
	}
}
