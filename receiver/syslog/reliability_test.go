package syslog

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tattled/receiver"
	"tattled/receiver/receivertest"
)

// resident returns what the process holds of memory now, in bytes, after what is garbage was given back.
func resident(t testing.TB) int64 {
	t.Helper()
	debug.FreeOSMemory()
	return statm(t)
}

func statm(t testing.TB) int64 {
	t.Helper()
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		t.Fatal(err)
	}
	pages, err := strconv.ParseInt(strings.Fields(string(text))[1], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return pages * int64(os.Getpagesize())
}

// manyDescriptors lets the process have n descriptors.
func manyDescriptors(t testing.TB, n uint64) {
	t.Helper()
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	limit.Max = max(limit.Max, n) // which takes root where it is more
	limit.Cur = limit.Max
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatalf("raise the limit of descriptors to %d (ulimit -Hn): %v", n, err)
	}
}

// TestMain is the process of the slow clients where a test asks for it: so many sockets that they need one of their own.
func TestMain(m *testing.M) {
	if at, n := os.Getenv("SLOW_CLIENTS_OF"), os.Getenv("SLOW_CLIENTS"); at != "" {
		if err := slowClients(at, n); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// slowClients sends half a line on each of n connections, says that it did, and holds them until its input ends. Twenty
// have an address each.
func slowClients(at, number string) error {
	n, err := strconv.Atoi(number)
	if err != nil {
		return err
	}
	held := make([]net.Conn, n)
	for i := range held {
		k := i / 20
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 1, byte(k/250), byte(1+k%250))}}
		if held[i], err = d.Dial("tcp", at); err != nil {
			return err
		}
		_, _ = held[i].Write([]byte(header + "half a li")) // which fails where it had to go already
	}
	if _, err = os.Stdout.WriteString("all\n"); err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, os.Stdin)
	runtime.KeepAlive(held)
	return err
}

// Row 18: ten thousand clients that each hold half a line, in a listener that has room for all of them and in one that has
// not. An honest one is counted within a second, memory stays in bounds, and every descriptor comes back.
func TestSlowClients(t *testing.T) {
	clients := receivertest.Size(1000, 10000)
	manyDescriptors(t, uint64(clients+200))
	for name, room := range map[string]int{"room for all": clients + 10, "room for few": 100} {
		t.Run(name, func(t *testing.T) {
			r := listen(t, Config{Listen: "tcp://127.0.0.1:0", MaxConnections: room})
			fds := descriptors(t)
			w := newWatch()
			stop := run(t, r, w)
			before := resident(t)
			cmd := exec.CommandContext(t.Context(), os.Args[0])
			cmd.Env = append(os.Environ(), "SLOW_CLIENTS_OF="+r.Addr().String(), fmt.Sprintf("SLOW_CLIENTS=%d", clients))
			cmd.Stderr = os.Stderr
			in, err := cmd.StdinPipe()
			if err != nil {
				t.Fatal(err)
			}
			out, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			if said, err := bufio.NewReader(out).ReadString('\n'); said != "all\n" {
				t.Fatalf("the clients say %q, %v", said, err)
			}
			until(t, "all of them", func() bool {
				return int(r.Meter().Open.Load())+int(r.Meter().Dropped(receiver.TooMany)) == clients
			})
			start := time.Now()
			honest := from(t, r, 0)
			send(t, honest, header+"HONEST\n")
			got := w.wait(t, 1)
			took := time.Since(start)
			grown := resident(t) - before
			honest.Close()
			in.Close()
			if err := cmd.Wait(); err != nil {
				t.Error(err)
			}
			until(t, "the end of all", func() bool { return r.Meter().Open.Load() == 0 })
			left := descriptors(t) - fds - 2 // what Go's runtime opens once: its poller
			stop()
			t.Logf("figure: row 18: %d half lines, %s: honest after %v, RSS + %.1f MB, descriptors + %d", clients, name, took.Round(time.Microsecond), float64(grown)/1e6, max(0, left))
			if got[0].message != "HONEST" || took > time.Second || grown > 100e6 || left > 0 {
				t.Errorf("%+v after %v, %d bytes, %d descriptors left", got[0], took, grown, left)
			}
		})
	}
}

// Row 19: a line of a gigabyte, the largest datagrams, bytes that are not UTF-8, NUL and terminal escapes. Memory grows by
// at most 8 MB, what is too long is one counted record, and the next line is seen.
func TestHostileInput(t *testing.T) {
	for name, listen1 := range map[string]string{"tcp": "tcp://127.0.0.1:0", "udp": "udp://127.0.0.1:0"} {
		t.Run(name, func(t *testing.T) {
			r := listen(t, Config{Listen: listen1})
			h := &tally{after: make(chan struct{}, 1)}
			ctx, cancel := context.WithCancel(context.Background())
			ended := make(chan error, 1)
			go func() { ended <- r.Run(ctx, nil, h) }()
			c := dial(t, r)
			send(t, c, header+"warm\n")
			until(t, "the first", func() bool { return r.Meter().Records.Load() == 1 })
			before := resident(t)
			most := before
			watchRSS := func() { most = max(most, statm(t)) }
			var hostile int
			if name == "tcp" {
				hostile = giantLine(t, c, watchRSS)
			} else {
				hostile = giantDatagrams(t, r, c, watchRSS)
			}
			for _, odd := range []string{"\xff\xfe\x80", "a\x00b", "\x1b[2J\x1b]0;x\x07", strings.Repeat("\xc3", 2000)} {
				send(t, c, header+odd+"\n")
			}
			send(t, c, header+"AFTER\n")
			select {
			case <-h.after:
			case <-time.After(20 * time.Second):
				t.Fatal("the next line is not seen")
			}
			watchRSS()
			cancel()
			if err := <-ended; err != nil {
				t.Error(err)
			}
			m := r.Meter()
			t.Logf("figure: row 19: %s, %d MB: RSS + %.1f MB, %d records cut, next line seen", name, m.Bytes.Load()>>20, float64(most-before)/1e6, m.Cut.Load())
			if m.Cut.Load() != uint64(hostile) || m.Records.Load() != uint64(hostile+6) || most-before > 8e6 {
				t.Errorf("%d cut of %d, %d records, %d bytes more", m.Cut.Load(), hostile, m.Records.Load(), most-before)
			}
		})
	}
}

// giantLine sends one line of a gigabyte. It returns how many records that must be.
func giantLine(t testing.TB, c net.Conn, each func()) int {
	block := []byte(strings.Repeat("A", 64<<10))
	send(t, c, header)
	for i := range receivertest.Size(64<<20, 1<<30) / len(block) {
		if _, err := c.Write(block); err != nil {
			t.Fatal(err)
		}
		if i%64 == 0 {
			each()
		}
	}
	send(t, c, "\n")
	return 1
}

// giantDatagrams sends datagrams of the largest size, no faster than they are taken.
func giantDatagrams(t testing.TB, r *Receiver, c net.Conn, each func()) int {
	n := receivertest.Size(200, 2000)
	text := header + strings.Repeat("A", 65507-len(header))
	for i := range n {
		send(t, c, text)
		until(t, "the datagram", func() bool { return r.Meter().Records.Load() == uint64(i+2) })
		each()
	}
	return n
}

// tally is a handler that keeps nothing.
type tally struct{ after chan struct{} }

func (h *tally) Handle(_ context.Context, b *receiver.Batch) error {
	for i := range b.Records {
		if string(b.Records[i].Message) == "AFTER" {
			h.after <- struct{}{}
		}
	}
	return nil
}
