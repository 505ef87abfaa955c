package daemon

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"tattled/receiver"
	"tattled/receiver/syslog"
)

// storeManager plays systemd: it reads $NOTIFY_SOCKET and keeps what it is given.
type storeManager struct {
	t      testing.TB
	conn   *net.UnixConn
	synced chan struct{}
	gone   chan struct{}

	mu       sync.Mutex
	stored   map[string][]int
	stores   int // FDSTORE=1 messages so far
	barriers int
}

func newStoreManager(t testing.TB, address string) *storeManager {
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: address, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("NOTIFY_SOCKET", address)
	t.Setenv("FDSTORE", "")
	return &storeManager{t: t, conn: conn, synced: make(chan struct{}), gone: make(chan struct{}), stored: map[string][]int{}}
}

// start begins to read; the test's end ends it.
func (m *storeManager) start() {
	go func() {
		defer close(m.gone)
		for m.receive() {
		}
	}()
	m.t.Cleanup(m.close)
}

func (m *storeManager) close() {
	m.conn.Close()
	<-m.gone
	for name := range m.stored {
		m.remove(name)
	}
}

func (m *storeManager) receive() bool {
	data, oob := make([]byte, 4096), make([]byte, unix.CmsgSpace(4*8))
	n, oobn, _, _, err := m.conn.ReadMsgUnix(data, oob)
	if err != nil {
		return false
	}
	text := string(data[:n])
	_, name, _ := strings.Cut(text, "\nFDNAME=")
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case text == "SYNC=1":
		m.synced <- struct{}{}
	case text == "BARRIER=1":
		m.barriers++
		for _, fd := range m.descriptors(oob[:oobn]) {
			unix.Close(fd)
		}
	case strings.HasPrefix(text, "FDSTORE=1\n"):
		m.stores++
		m.stored[name] = append(m.stored[name], m.descriptors(oob[:oobn])...)
	case strings.HasPrefix(text, "FDSTOREREMOVE=1\n"):
		m.remove(name)
	default:
		m.t.Errorf("message %q", text)
	}
	return true
}

func (m *storeManager) descriptors(oob []byte) []int {
	messages, err := unix.ParseSocketControlMessage(oob)
	if err != nil || len(messages) != 1 {
		m.t.Errorf("%d control messages, %v", len(messages), err)
		return nil
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil || len(fds) != 1 {
		m.t.Errorf("descriptors %v, %v", fds, err)
	}
	return fds
}

func (m *storeManager) remove(name string) {
	for _, fd := range m.stored[name] {
		unix.Close(fd)
	}
	delete(m.stored, name)
}

// names are those in the store when all messages sent so far were read.
func (m *storeManager) names() []string {
	m.t.Helper()
	c, err := net.DialUnix("unixgram", nil, m.conn.LocalAddr().(*net.UnixAddr))
	if err != nil {
		m.t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Write([]byte("SYNC=1")); err != nil { // waits for room
		m.t.Fatal(err)
	}
	<-m.synced
	m.mu.Lock()
	defer m.mu.Unlock()
	var all []string
	for name := range m.stored {
		all = append(all, name)
	}
	slices.Sort(all)
	return all
}

// pass is what a new process is given: the listener and the store.
func (m *storeManager) pass(listener *os.File) []*os.File {
	m.names()
	m.mu.Lock()
	defer m.mu.Unlock()
	files := []*os.File{m.dup(listener.Fd(), "syslog")}
	for name, fds := range m.stored {
		for _, fd := range fds {
			files = append(files, m.dup(uintptr(fd), name))
		}
	}
	return files
}

func (m *storeManager) dup(fd uintptr, name string) *os.File {
	copied, err := unix.FcntlInt(fd, unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		m.t.Fatal(err)
	}
	return os.NewFile(uintptr(copied), name)
}

// heard is a handler that keeps messages.
type heard struct {
	mu       sync.Mutex
	messages []string
	arrived  chan struct{}
}

func (h *heard) Handle(_ context.Context, b *receiver.Batch) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, r := range b.Records {
		h.messages = append(h.messages, string(r.Message))
	}
	select {
	case h.arrived <- struct{}{}:
	default:
	}
	return nil
}

func (h *heard) wait(t testing.TB, n int) []string {
	t.Helper()
	for deadline := time.After(20 * time.Second); ; {
		h.mu.Lock()
		all := slices.Clone(h.messages)
		h.mu.Unlock()
		if len(all) >= n {
			return all
		}
		select {
		case <-h.arrived:
		case <-deadline:
			t.Fatalf("%d of %d messages arrived", len(all), n)
		}
	}
}

// process is one life of the daemon as far as a syslog listener goes, wired as openReceivers does it.
func process(t testing.TB, m *storeManager, listener *os.File, address string, h receiver.Handler) (stop func()) {
	t.Helper()
	files := m.pass(listener)
	passed := syslog.NewPassed(files...)
	k := newKeeper(files...)
	passed.Keeper = k
	r, err := syslog.New(syslog.Config{Listen: "tcp://" + address}, passed)
	if err != nil {
		t.Fatal(err)
	}
	if n := passed.Disown(); n != 0 || len(passed.Left()) != 0 {
		t.Errorf("%d disowned, %d left", n, len(passed.Left()))
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx, nil, h) }()
	return sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if err := k.Close(20 * time.Second); err != nil {
			t.Error(err)
		}
	})
}

// Connections outlive processes, with real descriptors by a real $NOTIFY_SOCKET, however the stream is cut.
func TestConnectionsSurvive(t *testing.T) {
	const header = "<38>Nov 22 05:40:00 web1 sshd[7]: "
	for framing, frame := range map[string]func(string) string{
		"lines":   func(s string) string { return s + "\n" },
		"counted": func(s string) string { return fmt.Sprintf("%d %s", len(s), s) },
	} {
		for kind, address := range map[string]string{
			"path": filepath.Join(t.TempDir(), "notify"), "abstract": fmt.Sprintf("@tattled-test-%d-%s", os.Getpid(), framing),
		} {
			t.Run(framing+" "+kind, func(t *testing.T) {
				defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
				m := newStoreManager(t, address)
				m.start()
				defer m.close()
				l, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
				if err != nil {
					t.Fatal(err)
				}
				defer l.Close()
				listener, err := l.File()
				if err != nil {
					t.Fatal(err)
				}
				defer listener.Close()
				h := &heard{arrived: make(chan struct{}, 1)}
				stop := process(t, m, listener, l.Addr().String(), h)
				c, err := net.Dial("tcp", l.Addr().String())
				if err != nil {
					t.Fatal(err)
				}
				defer c.Close()
				write := func(s string) {
					t.Helper()
					if _, err := c.Write([]byte(s)); err != nil {
						t.Fatal(err)
					}
				}
				want := []string{"0"}
				write(frame(header + "0"))
				h.wait(t, 1)
				for i := 1; i < 60; i++ {
					message := fmt.Sprint(i, strings.Repeat("x", i))
					want = append(want, message)
					record := frame(header + message)
					write(record[:i%len(record)])
					stop()
					if names := m.names(); len(names) != 1 {
						t.Fatalf("stored: %q", names)
					}
					if i%2 == 0 { // while nobody runs, too
						write(record[i%len(record):])
						record = ""
					}
					stop = process(t, m, listener, l.Addr().String(), h)
					if record != "" {
						write(record[i%len(record):])
					}
				}
				if got := h.wait(t, len(want)); !slices.Equal(got, want) {
					t.Errorf("%q", got)
				}
				if m.stores > 3 {
					t.Errorf("%d messages for one connection", m.stores)
				}
				c.Close()
				tick := time.NewTicker(2 * time.Millisecond)
				defer tick.Stop()
				for deadline := time.Now().Add(20 * time.Second); len(m.names()) > 0; <-tick.C {
					if time.Now().After(deadline) {
						t.Fatal("the connection is still stored")
					}
				}
				stop()
			})
		}
	}
}

func TestKeeperBounds(t *testing.T) {
	m := newStoreManager(t, filepath.Join(t.TempDir(), "notify"))
	m.start()
	t.Setenv("FDSTORE", "4")
	inherited := m.dup(m.file(t).Fd(), "inherited")
	defer inherited.Close()
	k := newKeeper(inherited)
	fd := inherited.Fd()
	settle := func() {
		k.mu.Lock()
		working := k.working
		k.mu.Unlock()
		if working != nil {
			<-working
		}
		m.names()
	}
	for _, name := range []string{"", "a:b", "a\nb", "a\x7f", "é", strings.Repeat("x", 256)} {
		if k.Keep(name, fd) {
			t.Errorf("%q was kept", name)
		}
	}
	long := strings.Repeat("x", 255)
	for i, name := range []string{"a b", "a b", long, "beyond"} {
		if kept := k.Keep(name, fd); kept != (i < 3) {
			t.Errorf("%q: %v", name, kept)
		}
	}
	k.Forget("never kept")
	k.Forget("inherited")
	if !k.Keep("c", fd) || k.Keep("beyond", fd) {
		t.Error("forgotten and kept do not add up")
	}
	k.Forget("a b")
	settle()
	if names := m.names(); !slices.Equal(names, []string{"c", long}) {
		t.Errorf("%q", names)
	}
	if !k.Keep("d", fd) || !k.Keep("e", fd) || k.Keep("beyond", fd) {
		t.Error("both under one name should have gone")
	}
}

func (m *storeManager) file(t testing.TB) *os.File {
	f, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// A systemd that is slow makes nobody wait, and a burst is kept all the same: what its socket does not take waits. What was
// called off meanwhile never reaches it, and what it has must go before anything else.
func TestKeeperBurst(t *testing.T) {
	m := newStoreManager(t, filepath.Join(t.TempDir(), "notify"))
	k := newKeeper()
	fd := m.file(t).Fd()
	const burst = 1000
	for i := range burst {
		if !k.Keep(fmt.Sprint(i), fd) {
			t.Fatalf("%d of %d kept", i, burst)
		}
	}
	for full := false; !full; { // the socket takes a few messages that nobody reads
		out := []unix.PollFd{{Fd: int32(k.socket), Events: unix.POLLOUT}}
		n, err := unix.Poll(out, 0)
		full = err == nil && n == 0
	}
	if k.Settle(fmt.Sprint(burst - 1)) {
		t.Error("settled, although nobody reads")
	}
	k.Forget("0")   // systemd's socket has it
	k.Forget("500") // it waits
	m.start()
	for _, name := range []string{"0", "500", "501"} {
		if !k.Settle(name) {
			t.Errorf("%s is not settled", name)
		}
	}
	if err := k.Close(20 * time.Second); err != nil {
		t.Error(err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.stored) != burst-2 || m.stores != burst-1 || m.barriers != 1 || k.count != burst-2 {
		t.Errorf("%d stored by %d messages, %d barriers, %d counted", len(m.stored), m.stores, m.barriers, k.count)
	}
}

// Who stops is not held up for ever by a systemd that does not read.
func TestKeeperCloseIsBounded(t *testing.T) {
	m := newStoreManager(t, filepath.Join(t.TempDir(), "notify"))
	defer m.conn.Close()
	k := newKeeper()
	if err := k.Close(200 * time.Millisecond); err == nil {
		t.Error("nobody answered the barrier")
	}
	k = newKeeper()
	for i := range 100 {
		k.Keep(fmt.Sprint(i), os.Stdin.Fd())
	}
	if err := k.Close(200 * time.Millisecond); err == nil {
		t.Error("nobody took the messages")
	}
}

// The names of all that is kept fit into the environment of the next process, whatever the limit of the store.
func TestKeeperNamesFit(t *testing.T) {
	m := newStoreManager(t, filepath.Join(t.TempDir(), "notify"))
	t.Setenv("FDSTORE", "100000")
	m.start()
	k := newKeeper()
	fd := m.file(t).Fd()
	size, kept := len("LISTEN_FDNAMES=syslog:syslog:web"), 0
	for ; k.Keep(fmt.Sprintf("tattled2%015d", kept), fd); kept++ {
		size += 24
	}
	if kept < defaultStored || size >= 128<<10 {
		t.Errorf("%d kept, their names take %d bytes", kept, size)
	}
	k.Forget("tattled2" + strings.Repeat("0", 15))
	if !k.Keep(strings.Repeat("x", 23), fd) || k.Keep("y", fd) {
		t.Error("forgotten and kept do not add up")
	}
	if err := k.Close(20 * time.Second); err != nil {
		t.Error(err)
	}
}

// Outside of systemd nothing is kept and nothing is tried.
func TestNoKeeper(t *testing.T) {
	for _, address := range []string{"", "vsock:2:1234", filepath.Join(t.TempDir(), "nobody")} {
		t.Setenv("NOTIFY_SOCKET", address)
		k := newKeeper()
		if k.Keep("a", 0) {
			t.Errorf("%q: kept", address)
		}
		k.Forget("a")
	}
}

// Where systemd's socket is gone, nothing is settled: what was asked for never reached it, and what it has it keeps.
func TestKeeperWithoutReader(t *testing.T) {
	path := filepath.Join(t.TempDir(), "notify")
	m := newStoreManager(t, path)
	k := newKeeper()
	if err := m.conn.Close(); err != nil {
		t.Fatal(err)
	}
	if !k.Keep("a", m.file(t).Fd()) {
		t.Fatal("there was room")
	}
	until(t, "the message to fail", func() bool {
		k.mu.Lock()
		defer k.mu.Unlock()
		return k.broken
	})
	if k.Settle("a") {
		t.Error("settled, although nothing was sent")
	}
	k.Forget("a")
	if k.Settle("a") || k.Keep("b", m.file(t).Fd()) {
		t.Error("it goes on as if systemd were there")
	}
}
