package trusted

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// zone is name servers: what they answer by "ip4 name." or "ip6 name."; what is not in it does not exist.
type zone map[string]any

func (z zone) lookup(_ context.Context, network, host string) ([]netip.Addr, error) {
	switch answer := z[network+" "+host].(type) {
	case string:
		var all []netip.Addr
		for _, a := range strings.Fields(answer) {
			all = append(all, netip.MustParseAddr(a))
		}
		return all, nil
	case int:
		all := make([]netip.Addr, answer)
		for i := range all {
			raw := [4]byte{45, 1}
			binary.BigEndian.PutUint16(raw[2:], uint16(i))
			all[i] = netip.AddrFrom4(raw)
		}
		return all, nil
	case error:
		return nil, answer
	default:
		return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
	}
}

const vpn = "vpn.example.org"

// Both families are asked for; the last good answer is kept when a look-up fails, of each family, and when the answer cannot be used.
func TestNames(t *testing.T) {
	timeout := &net.DNSError{Err: "i/o timeout", Server: "192.0.2.53:53", IsTimeout: true, IsTemporary: true}
	z := zone{}
	n := NewNames(z.lookup)
	for _, step := range []struct {
		v4, v6, want, why string
		fail4, fail6      any
	}{
		{want: "", why: "does not exist"},
		{fail4: timeout, fail6: timeout, want: "", why: "i/o timeout (name server 192.0.2.53:53)"},
		{v4: "0.0.0.0", want: "", why: "0.0.0.0"},
		{v4: "203.0.113.5", v6: "2001:db8::5", want: "203.0.113.5 2001:db8::5"},
		{fail4: timeout, fail6: timeout, want: "203.0.113.5 2001:db8::5", why: "i/o timeout"},
		{v4: "203.0.113.6", fail6: timeout, want: "203.0.113.6 2001:db8::5", why: "i/o timeout"},
		{fail4: timeout, v6: "2001:db8::6", want: "203.0.113.6 2001:db8::6", why: "i/o timeout"},
		{fail4: timeout, want: "203.0.113.6 2001:db8::6", why: "i/o timeout"},
		{want: "203.0.113.6 2001:db8::6", why: "no address"},
		{v4: "0.0.0.0 127.0.0.1 224.0.0.1 255.255.255.255 169.254.1.1 240.0.0.1", v6: ":: ::1 fe80::1 ff02::1", want: "203.0.113.6 2001:db8::6", why: "no address that a host"},
		{v4: "10.0.0.1", v6: "fd00::1", want: "203.0.113.6 2001:db8::6", why: "private addresses alone (10.0.0.1)"},
		{fail4: 10_000, want: "203.0.113.6 2001:db8::6", why: "10000 addresses"},
		{fail4: 33, want: "203.0.113.6 2001:db8::6", why: "33 addresses, and at most 32"},
		{v4: "203.0.113.7 127.0.0.1 203.0.113.7 10.0.0.1", want: "10.0.0.1 203.0.113.7"},
		{v6: "2001:db8::8 ::ffff:203.0.113.9", want: "2001:db8::8"},
		{fail4: errors.New("\x1b[31mred\n" + strings.Repeat("x", 1000)), fail6: timeout, want: "2001:db8::8", why: "?[31mred?x"},
	} {
		for network, say := range map[string][2]any{"ip4": {step.v4, step.fail4}, "ip6": {step.v6, step.fail6}} {
			key := network + " " + vpn + "."
			delete(z, key)
			if say[1] != nil {
				z[key] = say[1]
			} else if say[0] != "" {
				z[key] = say[0]
			}
		}
		before := fmt.Sprint(n.Addrs([]string{vpn}))
		changed := n.Ask(t.Context(), []string{vpn})
		after := fmt.Sprint(n.Addrs([]string{vpn}))
		if after != "["+step.want+"]" || changed != (before != after) {
			t.Errorf("%+v: %v (changed: %v)", step, after, changed)
		}
		if why := n.Failure(vpn); (why == "") != (step.why == "") || !strings.Contains(why, step.why) || len(why) > 300 || strings.ContainsAny(why, "\n\x1b") {
			t.Errorf("%+v: it says %q", step, why)
		}
	}
}

// A name that never resolved is a problem at once, one that did after an hour, and an answer that cannot be used at once. A name that is
// not asked for any more is forgotten.
func TestNamesProblems(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		z := zone{"ip4 vpn.example.org.": "203.0.113.5"}
		n := NewNames(z.lookup)
		names := []string{"gone.example.org", vpn}
		n.Ask(t.Context(), names)
		first := time.Now()
		say := func() string {
			var all []string
			for _, p := range n.Problems(names, time.Now()) {
				if p.Cause == "" || p.Remedy == "" || p.Since.IsZero() {
					t.Errorf("%+v", p)
				}
				all = append(all, strings.SplitN(p.What, ":", 2)[0])
			}
			return strings.Join(all, " ")
		}
		if got := say(); got != "gone.example.org" {
			t.Errorf("at first: %q", got)
		}
		z["ip4 vpn.example.org."] = errors.New("refused")
		z["ip6 vpn.example.org."] = errors.New("refused")
		for _, want := range []string{"gone.example.org", "gone.example.org vpn.example.org"} {
			n.Ask(t.Context(), names)
			if got := say(); got != want {
				t.Errorf("%v after the start: %q, want %q", time.Since(first), got, want)
			}
			<-time.After(time.Hour)
		}
		delete(z, "ip6 vpn.example.org.")
		z["ip4 vpn.example.org."] = "203.0.113.5"
		n.Ask(t.Context(), names)
		z["ip4 vpn.example.org."] = 500
		n.Ask(t.Context(), names)
		if got := say(); got != "gone.example.org vpn.example.org" {
			t.Errorf("with an answer of 500 addresses: %q", got)
		}
		if !n.Ask(t.Context(), names[:1]) || len(n.Addrs(names)) != 0 {
			t.Error("a name that is not configured any more is not forgotten")
		}
	})
}

// A look-up that hangs ends, many run at once, and the end of the daemon changes nothing.
func TestNamesHang(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hang := func(ctx context.Context, _, _ string) ([]netip.Addr, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}
		n := NewNames(hang)
		var names []string
		for i := range MaxNames {
			names = append(names, fmt.Sprintf("n%d.example.org", i))
		}
		begin := time.Now()
		n.Ask(t.Context(), names)
		if took := time.Since(begin); took > 4*time.Minute {
			t.Errorf("it took %v", took)
		}
		n = NewNames(hang)
		n.Restore(map[string]answer{vpn: {V4: []netip.Addr{netip.MustParseAddr("203.0.113.5")}, At: begin}})
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		n.Ask(ctx, []string{vpn})
		if got := n.Addrs([]string{vpn}); len(got) != 1 || n.Failure(vpn) != "" {
			t.Errorf("%v, %q", got, n.Failure(vpn))
		}
	})
}
