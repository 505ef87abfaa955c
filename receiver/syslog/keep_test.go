package syslog

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"tattled/receiver"
	"tattled/receiver/wire"
	"tattled/setting"
)

// inCharacters frames a record as senders do that take the length of a string for that of its bytes.
func inCharacters(out []byte, record string) []byte {
	return fmt.Appendf(out, "%d %s\n", len([]rune(record)), record)
}

// A stream is cut at every byte by the end of a process, and nothing of it is lost, comes twice or is torn.
func TestKeptAtEveryByte(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	for name, frame := range map[string]func([]byte, string) []byte{
		"lines": lines, "counted": counted, "counted in characters": inCharacters, "NUL": func(out []byte, record string) []byte { return append(append(out, record...), 0) },
	} {
		t.Run(name, func(t *testing.T) {
			u, w := newUnit(t, Config{}), newWatch()
			r, stop := u.start(w)
			c := dial(t, r)
			var stream []byte
			var want []string
			for i := range 3 {
				want = append(want, fmt.Sprintf("m\u00e9ssage %d \x01", i))
				stream = frame(stream, header+want[i])
			}
			for i := range stream {
				send(t, c, string(stream[i:i+1]))
				if i == 0 { // later it is kept already, wherever the byte is
					until(t, "the connection to be accepted", func() bool { return r.Meter().Open.Load() == 1 })
					arrived(t, c)
				}
				stop()
				if n := len(u.names()); n != 1 {
					t.Fatalf("%d kept after byte %d", n, i)
				}
				_, stop = u.start(w)
			}
			w.wait(t, len(want))
			stop()
			if got := w.messages(); !slices.Equal(got, want) {
				t.Errorf("%q", got)
			}
		})
	}
}

// Bulk, in writes of any size, while processes come and go: more than the kernel's buffers hold, so that bytes are taken
// out of them.
func TestKeptUnderLoad(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	for name, frame := range map[string]func([]byte, string) []byte{"lines": lines, "counted": counted} {
		t.Run(name, func(t *testing.T) {
			u, w := newUnit(t, Config{}), newWatch()
			r, stop := u.start(w)
			const clients, records = 3, 10000
			for i := range clients {
				c := dial(t, r)
				send(t, c, string(frame(nil, header+"hello")))
				go func() {
					random := rand.New(rand.NewPCG(uint64(i), 1))
					var stream []byte
					for n := range records {
						stream = frame(stream, fmt.Sprintf("%s%d %d %s", header, i, n, strings.Repeat("x", random.IntN(300))))
					}
					for len(stream) > 0 {
						n := min(len(stream), 1+random.IntN(1<<(4+random.IntN(14))))
						if _, err := c.Write(stream[:n]); err != nil {
							t.Errorf("the client's connection broke: %v", err)
							return
						}
						stream = stream[n:]
					}
				}()
			}
			w.wait(t, clients)
			const rounds = 30
			for i := range rounds {
				w.wait(t, min(clients*(records+1)*(i+1)/rounds, clients*records)) // spread over the stream
				stop()
				_, stop = u.start(w)
			}
			w.wait(t, clients*(records+1))
			stop()
			next := [clients]int{}
			for _, message := range w.messages() {
				if message == "hello" {
					continue
				}
				var client, n int
				if _, err := fmt.Sscan(message, &client, &n); err != nil || n != next[client] {
					t.Fatalf("client %d: expected %d, got %.40q", client, next[client], message)
				}
				next[client]++
			}
			if next != [clients]int{records, records, records} {
				t.Errorf("%v", next)
			}
		})
	}
}

// The beginning of a record that was taken out of the kernel goes to the next process, a killed one's too.
func TestKeptNote(t *testing.T) {
	u, w := newUnit(t, Config{MaxLine: 64 << 10}), newWatch()
	raw, err := u.listener.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	err = raw.Control(func(fd uintptr) { unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, 64<<10) })
	if err != nil { // without it the buffer would grow
		t.Fatal(err)
	}
	r, stop := u.start(w)
	c := dial(t, r)
	send(t, c, header+"first\n")
	w.wait(t, 1)
	until(t, "the connection to be kept", func() bool { return len(u.names()) == 1 })
	noted := func() bool { return bytes.HasPrefix(u.note(), []byte(header+"half")) }
	half := header + "half" + strings.Repeat("h", 40<<10)
	for sent := 1; sent < 3; sent++ { // a note that was used does not stay
		send(t, c, half)
		until(t, "a note", noted)
		send(t, c, " and half\n")
		w.wait(t, sent+1)
		until(t, "the note to be gone", func() bool { return len(u.note()) == 0 })
	}
	send(t, c, half)
	until(t, "a note", noted)
	stop()
	_, stop = u.start(w)
	send(t, c, " and half\n"+header+"last\n")
	got := w.wait(t, 5)
	stop()
	for _, r := range got[1:4] {
		if r.message != half[len(header):]+" and half" {
			t.Errorf("%.60q of %d bytes", r.message, len(r.message))
		}
	}
	if got[4].message != "last" || len(got) != 5 {
		t.Errorf("%.100q", got[4:])
	}
	if note := u.note(); len(note) != 0 {
		t.Errorf("the note is still there: %q", note)
	}
}

// What a killed process had not been told to be done with is read again by the next, from the beginning of the record.
func TestKeptAfterFailure(t *testing.T) {
	u, w := newUnit(t, Config{}), newWatch()
	r := u.open()
	failure := errors.New("disk on fire")
	ended := make(chan error, 1)
	go func() {
		ended <- r.Run(t.Context(), u.ledger, u.commits(handlerFunc(func(ctx context.Context, b *receiver.Batch) error {
			if bytes.HasPrefix(b.Records[0].Message, []byte("poison")) {
				return failure
			}
			return w.Handle(ctx, b)
		})))
	}()
	c := dial(t, r)
	send(t, c, header+"first\n")
	w.wait(t, 1)
	until(t, "the connection to be kept", func() bool { return len(u.names()) == 1 })
	send(t, c, header+"poison\n"+header+"half")
	if err := <-ended; !errors.Is(err, failure) {
		t.Fatalf("Run: %v", err)
	}
	_, stop := u.start(w)
	send(t, c, " and half\n")
	w.wait(t, 3)
	stop()
	if got := w.messages(); !slices.Equal(got, []string{"first", "poison", "half and half"}) {
		t.Errorf("%q", got)
	}
}

// What the peer or a limit ends is forgotten, and the peer is told.
func TestKeptIsForgotten(t *testing.T) {
	for name, end := range map[string]func(testing.TB, *Receiver, net.Conn){
		"closed":     func(_ testing.TB, _ *Receiver, c net.Conn) { c.Close() },
		"half close": func(t testing.TB, _ *Receiver, c net.Conn) { c.(*net.TCPConn).CloseWrite(); closed(t, c) },
		"reset":      func(_ testing.TB, _ *Receiver, c net.Conn) { c.(*net.TCPConn).SetLinger(0); c.Close() },
		"bad frame": func(t testing.TB, _ *Receiver, c net.Conn) {
			send(t, c, "99 <1>")
			c.(*net.TCPConn).CloseWrite()
			closed(t, c)
		},
	} {
		t.Run(name, func(t *testing.T) {
			u, w := newUnit(t, Config{}), newWatch()
			r, _ := u.start(w)
			c := dial(t, r)
			send(t, c, header+"x\n")
			w.wait(t, 1)
			until(t, "the connection to be kept", func() bool { return len(u.names()) == 1 })
			end(t, r, c)
			until(t, "it to be forgotten", func() bool { return len(u.names()) == 0 && r.Meter().Open.Load() == 0 })
		})
	}
	t.Run("idle", func(t *testing.T) {
		u, w := newUnit(t, Config{IdleTimeout: setting.Duration(10e9)}), newWatch()
		r := u.open()
		r.cfg.IdleTimeout = setting.Duration(50e6)
		c := dial(t, r)
		send(t, c, header+"x\n")
		run(t, r, w) // only now: on a busy machine the record could come when the time is up
		closed(t, c)
		until(t, "it to be forgotten", func() bool { return len(u.names()) == 0 && u.total == 1 })
	})
}

// Connections that never send a record cost systemd nothing: none while the process runs, and when it stops, one message
// for those that have sent something.
func TestSilentAreNotKept(t *testing.T) {
	u, w := newUnit(t, Config{MaxPerPeer: 300}), newWatch()
	r, stop := u.start(w)
	var half net.Conn
	for i := range 200 {
		c := from(t, r, i)
		if i == 0 {
			half = c
			send(t, c, header+"be")
		}
	}
	send(t, dial(t, r), header+"x\n")
	w.wait(t, 1)
	until(t, "all of them", func() bool { return r.Meter().Open.Load() == 201 })
	arrived(t, half)
	until(t, "one to be kept", func() bool { return len(u.names()) == 1 })
	stop()
	if u.total != 2 {
		t.Errorf("kept %d times", u.total)
	}
	r, stop = u.start(w)
	until(t, "the two", func() bool { return r.Meter().Open.Load() == 2 })
	send(t, half, "gun\n")
	if got := w.wait(t, 2); got[1].message != "begun" {
		t.Errorf("%q", got)
	}
	stop()
}

// Without room in the store the connection ends with the process, as ever, and what was begun is counted.
func TestKeeperFull(t *testing.T) {
	u, w := newUnit(t, Config{}), newWatch()
	u.setFull(true)
	r, stop := u.start(w)
	c := dial(t, r)
	send(t, c, header+"x\n"+header+"half")
	w.wait(t, 1)
	stop()
	closed(t, c)
	if n := r.Meter().Dropped(receiver.BadFrame); n != 1 {
		t.Errorf("%d dropped, want the half", n)
	}
}

// Room at the last moment is enough.
func TestKeptAtStop(t *testing.T) {
	u, w := newUnit(t, Config{}), newWatch()
	u.setFull(true)
	r, stop := u.start(w)
	c := dial(t, r)
	send(t, c, header+"x\n"+header+"half")
	w.wait(t, 1)
	u.setFull(false)
	stop()
	_, stop = u.start(w)
	send(t, c, " and half\n")
	if got := w.wait(t, 2); got[1].message != "half and half" {
		t.Errorf("%q", got)
	}
	stop()
}

// In the middle of a record that is cut, nobody else could go on: the connection is taken back, and ends with the process.
func TestCutIsNotKept(t *testing.T) {
	u, w := newUnit(t, Config{MaxLine: 512}), newWatch()
	r, stop := u.start(w)
	c := dial(t, r)
	send(t, c, header+"x\n")
	w.wait(t, 1)
	until(t, "the connection to be kept", func() bool { return len(u.names()) == 1 })
	send(t, c, header+strings.Repeat("y", 600))
	w.wait(t, 2)
	until(t, "it to be taken back", func() bool { return len(u.names()) == 0 })
	send(t, c, "yy\n"+header+"after\n")
	w.wait(t, 3)
	send(t, c, header+strings.Repeat("z", 600))
	w.wait(t, 4)
	stop()
	closed(t, c)
	if n := len(u.names()); n != 0 {
		t.Errorf("%d kept", n)
	}
}

// The limits of the new configuration hold for the connections of the old.
func TestResumedMayBeRefused(t *testing.T) {
	for name, change := range map[string]func(*Config){
		"not allowed": func(c *Config) { c.Allow = []setting.Network{network(t, "192.0.2.1")} },
		"too many":    func(c *Config) { c.MaxPerPeer = 1 },
	} {
		t.Run(name, func(t *testing.T) {
			u, w := newUnit(t, Config{}), newWatch()
			r, stop := u.start(w)
			a, b := dial(t, r), dial(t, r)
			send(t, a, header+"a\n")
			send(t, b, header+"b\n")
			w.wait(t, 2)
			stop()
			change(&u.cfg)
			r, stop = u.start(w)
			want := int64(u.cfg.MaxPerPeer)
			until(t, "the others to go", func() bool { return r.Meter().Open.Load() == want && int64(len(u.names())) == want })
			stop()
			if m := r.Meter(); m.Records.Load() != uint64(2-want) {
				t.Errorf("%d records", m.Records.Load())
			}
		})
	}
}

// Connections whose listener is gone, or that nobody understands, are closed and forgotten; broken ones too.
func TestDisown(t *testing.T) {
	u, w := newUnit(t, Config{}), newWatch()
	r, stop := u.start(w)
	c := dial(t, r)
	send(t, c, header+"a\n")
	w.wait(t, 1)
	stop()
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	at := r.identity()
	for _, name := range []string{
		keptPrefix, keptPrefix + "llater-version", oldPrefix + "-l-", keptPrefix + "q" + listenerName(at) + "01234567",
		oldPrefix + "-l-0123456789abcdef-127.0.0.1_x",
		keptName(framingLF, at), // no socket
		keptName(framingLF, netip.MustParseAddrPort("[::]:514")),
	} {
		u.Keep(name, null.Fd())
	}
	raw, err := u.listener.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	if err := raw.Control(func(fd uintptr) { u.Keep(keptName(framingLF, at), fd) }); err != nil { // listens
		t.Fatal(err)
	}
	u.cfg.Listen = "tcp://127.0.0.1:0"
	passed := u.pass(dup(t, int(null.Fd()), "null"))
	other, err := New(u.cfg, passed)
	if err != nil {
		t.Fatal(err)
	}
	defer other.tcp.Close()
	if len(other.resumed) != 0 {
		t.Errorf("%d resumed by another listener", len(other.resumed))
	}
	if n := passed.Disown(); n != 9 {
		t.Errorf("%d disowned, want 9", n)
	}
	closed(t, c)
	if left := passed.Left(); len(left) != 1 || len(u.names()) != 0 {
		t.Errorf("left %v, kept %v", left, u.names())
	} else {
		left[0].Close()
	}
}

// A connection that broke while nobody ran is forgotten without a word.
func TestBrokenMeanwhile(t *testing.T) {
	u, w := newUnit(t, Config{}), newWatch()
	r, stop := u.start(w)
	reset, ended := dial(t, r), dial(t, r)
	send(t, reset, header+"a\n")
	send(t, ended, header+"b\n")
	w.wait(t, 2)
	stop()
	reset.(*net.TCPConn).SetLinger(0)
	reset.Close()
	send(t, ended, header+"last\n"+header+"words")
	ended.Close()
	r, stop = u.start(w)
	w.wait(t, 4)
	until(t, "both to be forgotten", func() bool { return len(u.names()) == 0 && r.Meter().Open.Load() == 0 })
	stop()
	if got := w.messages()[2:]; !slices.Equal(got, []string{"last", "words"}) {
		t.Errorf("%q", got)
	}
}

// A framer that was taught goes on as the one that learnt, whatever the stream.
func TestTaught(t *testing.T) {
	const limit = 512
	pieces := []string{"<1>a\n", "5 <1>bc", "\n", "\x00", "<1>c\x00", "<1>d\x00e\n", "9999 <1>f\n", "7 <1>g", "6 <1>x\u00e9", "5 <1>y\u00e9", "z\n", "22", " ", "<1>h", "0", strings.Repeat("y", 100), strings.Repeat("z", 600)}
	rest := func(f *wire.Framer, stream string) (all []string) {
		for {
			frame, n, state := f.Next([]byte(stream), true)
			if state == wire.More || state == wire.Lost || state == wire.Held {
				return append(all, fmt.Sprint(state))
			}
			all, stream = append(all, fmt.Sprint(state, string(frame))), stream[n:]
		}
	}
	random := rand.New(rand.NewPCG(1, 2))
	text := func(n int) string {
		var b strings.Builder
		for range n {
			b.WriteString(pieces[random.IntN(len(pieces))])
		}
		return b.String()
	}
	skipped := 0
	for range 20000 {
		before, after := text(random.IntN(12)), text(random.IntN(8))
		f := wire.Framer{Max: limit}
		for {
			_, n, state := f.Next([]byte(before), false)
			if before = before[n:]; state == wire.More || state == wire.Lost || state == wire.Held {
				break
			}
		}
		how, whole := framingOf(f)
		if !whole {
			skipped++
			continue
		}
		next := restoreFramer(limit, how)
		if a, b := rest(&f, before+after), rest(&next, before+after); !slices.Equal(a, b) {
			t.Fatalf("%q: %q by the first, %q by the next (%c)", before+after, a, b, how)
		}
	}
	if skipped == 0 || skipped > 6000 {
		t.Errorf("%d streams ended out of step or in the middle of a cut record", skipped)
	}
}

// A note that no process of ours wrote does no harm.
func TestReadNote(t *testing.T) {
	head := func(base, begin, end uint64) string {
		var b []byte
		for _, field := range []uint64{base, begin, end} {
			b = binary.BigEndian.AppendUint64(b, field)
		}
		return string(b)
	}
	for _, c := range []struct{ note, want string }{
		{"", ""}, {head(0, 0, 0), ""}, {head(7, 7, 9) + "ab", "ab"}, {head(7, 7, 9) + "abc", "ab"}, {head(6, 7, 9) + "xab", "ab"},
		{head(7, 7, 12) + "abcde", "ab"}, // not yet taken out of the kernel
		{head(5, 5, 8) + "abc", ""},      // of a record that was finished
		{head(7, 7, 9)[:23], "fault"}, {head(7, 7, 9) + "a", "fault"}, {head(8, 7, 9) + "ab", "fault"},
		{head(7, 9, 7) + "ab", ""}, {head(10, 10, 12) + "ab", "fault"}, {head(0, 0, 9) + "abcdefghi", "fault"},
		{head(0, 1<<62, 1<<63) + "ab", "fault"}, {strings.Repeat("\xff", 24), ""},
	} {
		f := memory(t, c.note)
		got, err := (&spill{file: f}).read(9, 3)
		if (err != nil) != (c.want == "fault") || err == nil && string(got) != c.want {
			t.Errorf("%q: %q, %v", c.note, got, err)
		}
	}
	for note, want := range map[string]string{
		"": "", "\x00\x00\x00\x00": "", "\x00\x00\x00\x02ab": "ab", "\x00\x00\x00\x02abc": "ab",
		"\x00\x00\x00": "fault", "\x00\x00\x00\x02a": "fault", "\xff\xff\xff\xff": "fault", "\x00\x00\x00\x04abcd": "fault",
	} {
		got, err := readOldNote(io.NewSectionReader(strings.NewReader(note), 0, int64(len(note))), 3)
		if (err != nil) != (want == "fault") || err == nil && string(got) != want {
			t.Errorf("%q: %q, %v", note, got, err)
		}
	}
}

func memory(t testing.TB, content string) *os.File {
	m, err := newSpill("test")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.file.Close() })
	if _, err := m.file.WriteString(content); err != nil {
		t.Fatal(err)
	}
	return m.file
}
