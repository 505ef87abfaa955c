package daemon

import (
	"context"
	"net"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// hearManager plays systemd and returns what it is told.
func hearManager(t *testing.T) <-chan string {
	address := filepath.Join(t.TempDir(), "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: address, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("NOTIFY_SOCKET", address)
	told := make(chan string, 1000)
	go func() {
		defer close(told)
		for buf := make([]byte, 4096); ; {
			n, err := conn.Read(buf)
			if err != nil {
				return
			}
			told <- string(buf[:n])
		}
	}()
	t.Cleanup(func() { conn.Close() })
	return told
}

// The watchdog is fed while the committer makes progress, and while a commit waits for the disk, which killing does not
// hurry; not by one that is stuck otherwise, nor beyond the limit.
func TestWatchdog(t *testing.T) {
	told := hearManager(t)
	t.Setenv("WATCHDOG_USEC", "30000")
	var beat atomic.Uint64
	var waits atomic.Int64
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	go func() {
		if err := (manager{}).watchdog(ctx, beat.Load, func() time.Duration { return time.Duration(waits.Load()) }); err != nil {
			t.Error(err)
		}
	}()
	pinged := func(within time.Duration) string {
		select {
		case text := <-told:
			return text
		case <-time.After(within):
			return ""
		}
	}
	silent := func(why string) {
		t.Helper()
		for pinged(100*time.Millisecond) != "" { // what was on its way
		}
		if text := pinged(200 * time.Millisecond); text != "" {
			t.Errorf("%s, and systemd is told %q", why, text)
		}
	}
	silent("there is no progress")
	beat.Add(1)
	if text := pinged(20 * time.Second); text != "WATCHDOG=1" {
		t.Errorf("progress: %q", text)
	}
	silent("there is no more progress")
	waits.Store(int64(time.Minute))
	for range 3 {
		if text := pinged(20 * time.Second); text != "WATCHDOG=1\n"+extendBy {
			t.Errorf("a commit waits for the disk: %q", text)
		}
	}
	waits.Store(int64(maxCommit))
	silent("the commit waits for longer than a disk may take")
}

// While the state file is checked, systemd is asked to wait.
func TestExtend(t *testing.T) {
	told := hearManager(t)
	stop := manager{}.extend("checking", time.Minute)
	if text := <-told; !strings.HasPrefix(text, extendBy+"\n") || !strings.Contains(text, "STATUS=checking") {
		t.Errorf("%q", text)
	}
	stop()
}
