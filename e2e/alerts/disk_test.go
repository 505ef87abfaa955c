package alerts

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"tattled/machine"
)

// smallDisk returns a folder on a file system of 48 MB, "" where none can be made.
func smallDisk(t *testing.T) string {
	t.Helper()
	if os.Geteuid() != 0 {
		machine.Partly(t, "only root can make a small file system")
		return ""
	}
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "size=48m"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unmount(t, dir) })
	return dir
}

// loopDisk returns a folder on an ext4 that can be frozen, "" where none can be made: containers often have no loop devices, and two of
// the alerts are left out for that.
func loopDisk(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	image, mounted := filepath.Join(dir, "image"), filepath.Join(dir, "disk")
	for _, args := range [][]string{
		{"truncate", "--size=64M", image}, {"mkfs.ext4", "-q", image}, {"mkdir", mounted}, {"mount", "-o", "loop", image, mounted},
	} {
		if out, err := exec.CommandContext(t.Context(), args[0], args[1:]...).CombinedOutput(); err != nil {
			t.Logf("left out: a file system on a loop device cannot be made: %s: %v: %s", args[0], err, out)
			return ""
		}
	}
	t.Cleanup(func() { unmount(t, mounted) })
	return mounted
}

func unmount(t *testing.T, dir string) {
	if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
		t.Error(err)
	}
}

// The requests of fsfreeze(8), see linux/fs.h.
const (
	fiFreeze = 0xC0045877
	fiThaw   = 0xC0045878
)

// freeze stops all writes to a file system, or lets them go on.
func freeze(t *testing.T, dir string, request uint) {
	t.Helper()
	if err := ioctl(dir, request); err != nil {
		t.Fatal(err)
	}
}

func ioctl(dir string, request uint) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	return unix.IoctlSetInt(int(f.Fd()), request, 0)
}

// fill writes a file until there is no space left.
func fill(t *testing.T, path string) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for block := make([]byte, 64<<10); len(block) > 0; {
		if _, err := f.Write(block); err != nil {
			block = block[:len(block)/2]
		}
	}
}
