package bolt

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tattled/event"
	"tattled/receiver"
	"tattled/store"
	"tattled/store/storetest"
)

// What these tell a test binary is the folder or the file that it is to use as that child.
const (
	fullDisk  = "TATTLED_TEST_FULL_DISK"
	floodFile = "TATTLED_TEST_FLOOD_FILE"
)

// child runs this binary as another process and returns what it said, by the first word of each line.
func child(t *testing.T, variable, path string, attributes *syscall.SysProcAttr) map[string]int {
	t.Helper()
	c := exec.Command(os.Args[0])
	c.Env = append(os.Environ(), variable+"="+path)
	c.SysProcAttr = attributes
	out, err := c.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	said := map[string]int{}
	for line := range strings.Lines(string(out)) {
		word, n, _ := strings.Cut(strings.TrimSpace(line), " ")
		said[word], _ = strconv.Atoi(n)
	}
	return said
}

// TestFullDisk lives on a file system of 1 MB that something else fills, and that is emptied later.
func TestFullDisk(t *testing.T) {
	own := &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS}
	if os.Getuid() != 0 {
		own.Cloneflags |= syscall.CLONE_NEWUSER
		own.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
	}
	said := child(t, fullDisk, t.TempDir(), own)
	figure(t, 12, "disk of 1 MB full: said after %d ms, %d events durable before; room again: going on after %d ms, %d events durable", said["full"], said["before"], said["resumed"], said["durable"])
	if said["full"] > 10_000 || said["resumed"] > 10_000 || said["before"] == 0 || said["durable"] <= said["before"] {
		t.Errorf("%v", said)
	}
}

// within waits until a condition holds, and returns after how many milliseconds it did.
func within(limit time.Duration, holds func() bool) (int, error) {
	began := time.Now()
	for !holds() {
		if time.Since(began) > limit {
			return 0, fmt.Errorf("it did not come within %s", limit)
		}
		<-time.After(5 * time.Millisecond)
	}
	return int(time.Since(began).Milliseconds()), nil
}

func liveOnAFullDisk(dir string) error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=1m"); err != nil {
		return fmt.Errorf("mount: %w", err)
	}
	path, filler := filepath.Join(dir, "state.db"), filepath.Join(dir, "filler")
	if err := os.WriteFile(filler, make([]byte, 600<<10), 0o600); err != nil {
		return err
	}
	b, _, err := Open(path, Options{})
	if err != nil {
		return err
	}
	s, err := store.New(b, storetest.Options())
	if err != nil {
		return err
	}
	c := store.NewCommitter(s, storetest.Policy(), store.CommitterOptions{Linger: time.Millisecond, MaxGroup: 20})
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	ran, fed := make(chan error, 1), make(chan error, 1)
	go func() { ran <- c.Run(ctx) }()
	go func() { fed <- feedSlowly(ctx, c) }()
	// Full is the alarm: on the page, in the metrics and in /readyz. It is timed from the last event that became durable.
	before, last := uint64(0), time.Now()
	_, err = within(time.Minute, func() bool {
		full := c.Full()
		if n := s.Stats().LastSeq; n != before {
			before, last = n, time.Now()
		}
		return full
	})
	if err != nil {
		return err
	}
	say("full", time.Since(last).Milliseconds())
	say("before", before)
	if _, err := s.Latest(100); err != nil || s.Stats().LastSeq != before { // it serves, and takes nothing
		return fmt.Errorf("while it is full: %w, %d events", err, s.Stats().LastSeq)
	}
	if _, err := b.Backup(now, 2); !errors.Is(err, store.ErrFull) {
		return fmt.Errorf("a backup on a full disk: %w", err)
	}
	if err := os.Remove(filler); err != nil {
		return err
	}
	took, err := within(time.Minute, func() bool { return s.Stats().LastSeq > before && !c.Full() })
	if err != nil {
		return err
	}
	say("resumed", took)
	cancel()
	if err := <-fed; err != nil && !errors.Is(err, context.Canceled) && !errors.Is(err, store.ErrStopped) {
		return err
	}
	if err := <-ran; err != nil {
		return err
	}
	n, _ := strconv.ParseUint(string(s.Position("log")), 10, 64)
	if stats := s.Stats(); stats.LastSeq != n || stats.Events != n {
		return fmt.Errorf("the position is %d, there are %d events up to %d", n, stats.Events, stats.LastSeq)
	}
	say("durable", n)
	return s.Close()
}

// feedSlowly submits events one at a time, until ctx ends, at most 2000 a second.
func feedSlowly(ctx context.Context, c *store.Committer) error {
	for n := 0; ; n++ {
		if err := c.Submit(ctx, []event.Event{storetest.Event(n)}, "log", receiver.Cursor(strconv.Itoa(n+1))); err != nil {
			return err
		}
		select {
		case <-time.After(500 * time.Microsecond):
		case <-ctx.Done():
			return nil
		}
	}
}

const (
	floodMax = 256 << 20 // of the file
	worst    = 100       // attackers that come again and again within the flood
)

// TestFloodOfAddresses lets as many addresses come once as the store remembers at all. It stays within its memory and its
// file, and those who come again and again are reported.
func TestFloodOfAddresses(t *testing.T) {
	said := child(t, floodFile, filepath.Join(t.TempDir(), "state.db"), nil)
	figure(t, 20, "%d addresses, every second one IPv6: %d MiB of memory at most (%d with the file's pages), file %d MiB of %d, %d of %d attackers reported, %d others, %d addresses kept, in %d ms",
		said["addresses"], said["memory"], said["rss"], said["file"], floodMax>>20, said["worst"], worst, said["others"], said["kept"], said["took"])
	if said["memory"] > 256 || said["file"] > (floodMax+allocSize)>>20 || said["worst"] != worst || said["others"] != 0 || said["kept"] == 0 {
		t.Errorf("%v", said)
	}
}

// flooded is the n-th address of the flood.
func flooded(n int) netip.Addr {
	if n%2 == 0 {
		return netip.AddrFrom4([4]byte{45, byte(n >> 17), byte(n >> 9), byte(n >> 1)})
	}
	return netip.AddrFrom16([16]byte{0x2a, 1, 0, 9, 0, byte(n >> 17), byte(n >> 9), byte(n >> 1), 8: 1, 15: byte(n)})
}

func drown(path string) error {
	b, _, err := Open(path, Options{MaxSize: floodMax})
	if err != nil {
		return err
	}
	s, err := store.New(b, store.Config{}.Options())
	if err != nil {
		return err
	}
	reported, others := map[netip.Addr]bool{}, 0
	c := store.NewCommitter(s, storetest.Policy(), store.CommitterOptions{OnCommit: func(_ []event.Event, due []event.Report) {
		for _, r := range due {
			if a := r.Addr.As4(); r.Destination == "abuseipdb" && a[0] == 77 {
				reported[r.Addr] = true
			} else if r.Destination == "abuseipdb" {
				others++
			}
		}
	}})
	ctx, cancel := context.WithCancel(context.Background())
	ran := make(chan error, 1)
	go func() { ran <- c.Run(ctx) }()
	began, n := time.Now(), often(60_000, 1_000_000)
	memory, rss := 0, 0
	var batch []event.Event
	for i := range n {
		e := storetest.Event(0)
		e.Addr, e.Received = flooded(i), time.Now()
		e.Time = e.Received
		batch = append(batch, e)
		if i%(n/(5*worst)) == 0 {
			e.Addr = netip.AddrFrom4([4]byte{77, 1, 1, byte(i / (n / (5 * worst)) % worst)})
			batch = append(batch, e)
		}
		if len(batch) < 200 {
			continue
		}
		if err := c.Submit(ctx, batch, "log", receiver.Cursor(strconv.Itoa(i))); err != nil {
			cancel()
			return errors.Join(err, <-ran)
		}
		if batch = batch[:0]; i%10_000 < 200 {
			m, r := memoryNow()
			memory, rss = max(memory, m), max(rss, r)
		}
	}
	cancel()
	if err := <-ran; err != nil {
		return err
	}
	u := s.Stats()
	for word, n := range map[string]int{
		"addresses": n, "memory": memory, "rss": rss, "file": int(u.Usage.Size >> 20), "worst": len(reported), "others": others,
		"kept": int(u.Addresses), "took": int(time.Since(began).Milliseconds()),
	} {
		say(word, n)
	}
	return s.Close()
}

// memoryNow returns this process's memory without and with the pages of files, in MiB.
func memoryNow() (anonymous, resident int) {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 1 << 20, 1 << 20 // which no limit allows
	}
	for line := range strings.Lines(string(status)) {
		name, rest, _ := strings.Cut(line, ":")
		kib, _ := strconv.Atoi(strings.TrimSuffix(strings.TrimSpace(rest), " kB"))
		switch name {
		case "RssAnon":
			anonymous = kib >> 10
		case "VmRSS":
			resident = kib >> 10
		}
	}
	return anonymous, resident
}
