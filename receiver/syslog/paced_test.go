package syslog

import (
	"context"
	"errors"
	"net"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// pacedPair returns a paced socket with a receive buffer of about that many bytes, and a sender to it.
func pacedPair(t *testing.T, buffer int, gathers bool) (*paced, net.Conn) {
	t.Helper()
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	if err := conn.SetReadBuffer(buffer); err != nil {
		t.Fatal(err)
	}
	sender, err := net.Dial("udp4", conn.LocalAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	p, err := newPaced(conn, gathers)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.Close()
		sender.Close()
	})
	return p, sender
}

// took returns how long gather waits after n datagrams since the last read.
func took(ctx context.Context, p *paced, n int, since time.Duration) time.Duration {
	begin := time.Now()
	p.last = begin.Add(-since)
	p.gather(ctx, n, begin)
	return time.Since(begin)
}

// A reader waits where many datagrams come, and only where its buffer has room for them.
func TestPacedWaits(t *testing.T) {
	const large, small = 208 << 10, 4 << 10 // what any process may ask for, and too little
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	for name, c := range map[string]struct {
		ctx     context.Context
		buffer  int
		gathers bool
		n       int
		since   time.Duration
		waits   bool
	}{
		"many":                        {t.Context(), large, true, 10, time.Millisecond, true},
		"few":                         {t.Context(), large, true, 1, time.Millisecond, false},
		"more are there":              {t.Context(), large, true, maxDatagrams, 10 * time.Millisecond, false},
		"more than the buffer holds":  {t.Context(), large, true, 60, 100 * time.Microsecond, false},
		"a buffer for very few":       {t.Context(), small, true, 10, time.Millisecond, false},
		"senders that would wait":     {t.Context(), large, false, 10, time.Millisecond, false},
		"the end":                     {canceled, large, true, 10, time.Millisecond, false},
		"the first after a long time": {t.Context(), large, true, 10, time.Hour, false},
	} {
		t.Run(name, func(t *testing.T) {
			p, _ := pacedPair(t, c.buffer, c.gathers)
			if d := took(c.ctx, p, c.n, c.since); (d >= paceWait) != c.waits {
				t.Errorf("it waited for %v", d)
			}
		})
	}
}

// What comes while nobody is to be woken is there for the next Read, and what comes later wakes it.
func TestPacedLosesNothing(t *testing.T) {
	p, sender := pacedPair(t, 208<<10, true)
	got := make(chan string)
	read := func() {
		buf := make([]byte, 100)
		var n int
		err := p.Read(func(uintptr) bool {
			var err error
			if n, _, err = unix.Recvfrom(p.fd, buf, unix.MSG_DONTWAIT); err == unix.EAGAIN {
				p.arm(true)
			}
			return err != unix.EAGAIN
		})
		if err != nil {
			t.Error(err)
		}
		got <- string(buf[:n])
	}
	send := func(text string) {
		if _, err := sender.Write([]byte(text)); err != nil {
			t.Error(err)
		}
	}
	expect := func(want string) {
		t.Helper()
		select {
		case text := <-got:
			if text != want {
				t.Errorf("%q came, not %q", text, want)
			}
		case <-time.After(10 * time.Second):
			t.Fatalf("%q did not come", want)
		}
	}
	for _, gathered := range []string{"first", "second"} {
		p.arm(false)
		send(gathered)
		go read()
		expect(gathered)
		go read() // nothing is there: it waits, armed
		<-time.After(20 * time.Millisecond)
		send("later")
		expect("later")
	}
	ended := make(chan error, 1)
	go func() { ended <- p.Read(func(uintptr) bool { return false }) }()
	if err := p.SetReadDeadline(longAgo()); err != nil {
		t.Error(err)
	}
	if err := <-ended; !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("a Read that ends: %v", err)
	}
}
