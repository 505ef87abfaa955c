package main

import (
	"fmt"
	"net"
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"tattled/machine"
)

// smallDisk returns a folder on a file system of its own with room for so many megabytes. Only root can make one: for others
// it is a folder of the common disk, which no test may fill, and own is false.
func smallDisk(t *testing.T, megabytes int) (dir string, own bool) {
	t.Helper()
	dir = t.TempDir()
	if os.Geteuid() != 0 {
		machine.Partly(t, "only root can make a small file system")
		return dir, false
	}
	if err := unix.Mount("tmpfs", dir, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, fmt.Sprintf("size=%dm", megabytes)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir, true
}

// freePort returns an address of loopback that was free a moment ago, for a listener that must be found again after a restart.
func freePort(t *testing.T, network string) string {
	t.Helper()
	if network == "udp" {
		c, err := net.ListenPacket(network, "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		return c.LocalAddr().String()
	}
	l, err := net.Listen(network, "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}
