package report

import (
	"net"
	"net/netip"
	"strings"
	"testing"
)

func TestDialControl(t *testing.T) {
	for address, allowed := range map[string]bool{
		"127.0.0.1:80": true, "[::1]:443": true, "10.0.0.1:8080": true, "198.51.100.7:443": true, "[2001:db8::1]:443": true, "[64:ff9b::c633:6407]:443": true,
		"169.254.169.254:80": false, "[fe80::1%eth0]:443": false, "[::ffff:169.254.169.254]:80": false, "[64:ff9b::a9fe:a9fe]:80": false,
		"[fd00:ec2::254]:80": false, "100.100.100.200:80": false, "192.0.0.192:80": false, "168.63.129.16:80": false, "[fd20:ce::254]:80": false,
		"224.0.0.1:80": false, "[ff02::1]:80": false, "0.0.0.0:80": false, "[::]:80": false,
		"name:80": false, "127.0.0.1": false, "": false,
	} {
		if err := DialControl("tcp", address, nil); (err == nil) != allowed {
			t.Errorf("%q: %v", address, err)
		}
	}
}

// The dialer asks after it resolved, so a name or a short form leads nowhere else.
func TestDialControlOfDialer(t *testing.T) {
	d := net.Dialer{Control: DialControl}
	for _, address := range []string{"169.254.169.254:80", net.JoinHostPort(netip.MustParseAddr("fe80::1").String(), "80")} {
		c, err := d.DialContext(t.Context(), "tcp", address)
		if err == nil {
			c.Close()
		}
		if err == nil || !strings.Contains(err.Error(), "link-local") {
			t.Errorf("%s: %v", address, err)
		}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := d.DialContext(t.Context(), "tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
}
