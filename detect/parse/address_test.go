package parse

import (
	"net/netip"
	"strings"
	"testing"
)

// TestParseAddr compares with the standard library.
func TestParseAddr(t *testing.T) {
	for _, s := range []string{
		"0.0.0.0", "255.255.255.255", "256.0.0.0", "1.2.3", "1.2.3.4.5", "1.2.3.", ".1.2.3", "01.2.3.4", "1.2.3.00", "1..2.3", "0x1.2.3.4",
		"::", "::1", "1::", "1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7", "1:2:3:4:5:6:7:8:9", "1::2::3", ":1", "1:", ":::", "::1.2.3.4", "::ffff:1.2.3.4",
		"1:2:3:4:5:6:1.2.3.4", "1:2:3:4:5:6:7:1.2.3.4", "1:2:3:4:5:1.2.3.4", "::1.2.3.04", "12345::", "g::", "fe80::1%eth0", "2001:DB8::A", "1:2:3:4:5:6:7::", "::2:3:4:5:6:7:8", "1::3:4:5:6:7:8", "", "1", ":", "1:2:3:4::5:6:7:8",
		"IPv6:2001:db8::5", "IPv6:::1", "IPv6:", "IPv6::", "IPv6:1", "IPv6:1.2.3.4", "IPv6:::ffff:1.2.3.4", "IPv6:fe80::1%eth0", "ipv6:::1", "I", "IPv6:IPv6:::1",
	} {
		sameAddr(t, s)
	}
	for _, one := range []string{"", "0", "00", "7", "07", "42", "042", "255", "256", "300", "999", "1000", "a", "1a", "\xb1", "-1", "+1", " 1"} {
		for i := range 4 {
			four := []string{"1", "23", "145", "6"}
			four[i] = one
			sameAddr(t, strings.Join(four, "."))
		}
	}
}

func sameAddr(t *testing.T, s string) {
	t.Helper()
	got, ok := Addr([]byte(s))
	for _, behind := range []string{".1", "11.1.1.1.1.1.1.1.1", "................", "/"} { // in a message, memory goes on
		if again, okAgain := Addr([]byte(s + behind)[:len(s)]); again != got || okAgain != ok {
			t.Errorf("%q is %v, %v, but %v, %v before %q", s, got, ok, again, okAgain, behind)
		}
	}
	text, tagged := strings.CutPrefix(s, "IPv6:")
	want, err := netip.ParseAddr(text)
	if err != nil || want.Zone() != "" || tagged && want.Is4() {
		want = netip.Addr{}
	}
	if got != want.Unmap() || ok != want.IsValid() {
		t.Errorf("%q is %v, %v, not %v", s, got, ok, want)
	}
}

func FuzzParseAddr(f *testing.F) {
	for _, s := range []string{"1.2.3.4", "::1", "1:2:3:4:5:6:1.2.3.4", "fe80::1%x", "IPv6:::1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) { sameAddr(t, s) })
}
