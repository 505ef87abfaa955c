package syslog

import (
	"net/netip"
	"testing"
	"time"
)

// The last senders that were refused are known, however many there are.
func TestRefusedIsBounded(t *testing.T) {
	r := &Receiver{}
	now := time.Now()
	for i := range 10_000 {
		r.strangers.note(netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), now.Add(time.Duration(i)))
	}
	last := netip.MustParseAddr("10.0.39.15")
	r.strangers.note(netip.AddrFrom16(last.As16()), now.Add(time.Hour)) // as a socket for both families names it
	all := r.Refused()
	if len(all) != maxRefused || all[0].Addr != last || all[0].Count != 2 || !all[0].First.Before(all[0].Last) {
		t.Errorf("%d, the first %+v", len(all), all[0])
	}
	if n := testing.AllocsPerRun(100, func() { r.strangers.note(last, now) }); n > 0 {
		t.Errorf("a refused record allocates %v times", n)
	}
}
