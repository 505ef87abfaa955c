package bolt

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// faultyDisk tells a test binary to put its disk into the hands of its parent before it becomes the child that writes.
const faultyDisk = "TATTLED_TEST_FAULTY_DISK"

// sector is what a disk writes whole or not at all, in bytes.
const sector = 512

// disk stands between a child and its files: every pwrite64, ftruncate, fdatasync and fsync of the child comes here
// (seccomp's user notification) and is done, or refused, or the child dies before it. It remembers what was written since
// the last sync of each file, and a power cut takes a random part of that back, by sectors and in any order, as a disk with
// a volatile cache does. What happens to names (creating, renaming) takes effect at once and for good.
type disk struct {
	dir    string
	inodes map[uint64]*inode
	die    int // before the n-th call; 0 is never
	writes fault
	syncs  fault
	calls  int
}

// fault strikes the n-th call of a sort.
type fault struct{ at, n int }

func (f *fault) strikes() bool {
	f.n++
	return f.n == f.at
}

// inode is one file, whatever it is called by now.
type inode struct {
	file    *os.File
	size    int64 // at the last sync
	pending []pendingWrite
}

// pendingWrite is a write since the last sync; one without bytes made the file longer.
type pendingWrite struct {
	at       int64
	old, new []byte // old is shorter where the file was
}

// handOver gives the calling thread's system calls to whoever is at the other end of the socket, and becomes program anew,
// with them in all its threads.
func handOver(socket int) error {
	runtime.LockOSThread()
	var code []unix.SockFilter
	code = append(code, unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS}) // the number of the call
	calls := []uint32{unix.SYS_PWRITE64, unix.SYS_FTRUNCATE, unix.SYS_FDATASYNC, unix.SYS_FSYNC}
	for i, nr := range calls {
		code = append(code, unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jt: uint8(len(calls) - i), K: nr})
	}
	code = append(code, unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW},
		unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_USER_NOTIF})
	program := unix.SockFprog{Len: uint16(len(code)), Filter: &code[0]}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("no new privileges: %w", err)
	}
	fd, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_NEW_LISTENER, uintptr(unsafe.Pointer(&program)))
	if errno != 0 {
		return fmt.Errorf("seccomp: %w", errno)
	}
	if err := unix.Sendmsg(socket, []byte{0}, unix.UnixRights(int(fd)), nil, 0); err != nil {
		return fmt.Errorf("send the listener: %w", err)
	}
	if err := os.Unsetenv(faultyDisk); err != nil {
		return err
	}
	return syscall.Exec("/proc/self/exe", os.Args, os.Environ())
}

// run runs the child that writes to path until it ends, and returns what it said.
func (d *disk) run(t *testing.T, path string, env ...string) string {
	t.Helper()
	d.calls, d.writes.n, d.syncs.n = 0, 0, 0
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	ours, theirs := os.NewFile(uintptr(pair[0]), "ours"), os.NewFile(uintptr(pair[1]), "theirs")
	defer ours.Close()
	child := exec.Command(os.Args[0])
	child.Env = append(append(os.Environ(), childFile+"="+path, faultyDisk+"=1"), env...)
	child.ExtraFiles = []*os.File{theirs}
	var out strings.Builder
	child.Stdout, child.Stderr = &out, &out
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	theirs.Close()
	listener, err := receiveFile(pair[0])
	if err != nil {
		_ = child.Wait()
		t.Fatalf("%v; the child said %s", err, &out)
	}
	defer listener.Close()
	served := make(chan error, 1)
	go func() { served <- d.serve(int(listener.Fd()), child.Process) }()
	_ = child.Wait() // it was killed, or it failed: what it left is what counts
	if err := <-served; err != nil {
		t.Fatalf("%v; the child said %s", err, &out)
	}
	return out.String()
}

func receiveFile(socket int) (*os.File, error) {
	buf, control := make([]byte, 1), make([]byte, unix.CmsgSpace(4))
	_, n, _, _, err := unix.Recvmsg(socket, buf, control, unix.MSG_CMSG_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("receive the listener: %w", err)
	}
	messages, err := unix.ParseSocketControlMessage(control[:n])
	if err != nil {
		return nil, fmt.Errorf("receive the listener: %w", err)
	}
	if len(messages) != 1 {
		return nil, errors.New("the listener did not come")
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fds[0]), "listener"), nil
}

// notification is struct seccomp_notif; answer is struct seccomp_notif_resp.
type notification struct {
	id       uint64
	pid      uint32
	_        uint32
	nr       int32
	_        uint32
	_        uint64
	argument [6]uint64
}

type answer struct {
	id    uint64
	value int64
	errno int32
	_     uint32
}

// serve answers the child's calls until it is gone.
func (d *disk) serve(listener int, child *os.Process) error {
	for {
		poll := []unix.PollFd{{Fd: int32(listener), Events: unix.POLLIN}}
		if _, err := unix.Poll(poll, -1); err != nil {
			if errors.Is(err, unix.EINTR) {
				continue
			}
			return err
		}
		if poll[0].Revents&unix.POLLIN == 0 {
			return nil // nobody is left
		}
		var n notification
		_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(listener), unix.SECCOMP_IOCTL_NOTIF_RECV, uintptr(unsafe.Pointer(&n)))
		if errno == unix.ENOENT || errno == unix.EINTR { // it died meanwhile
			continue
		}
		if errno != 0 {
			return fmt.Errorf("receive a call: %w", errno)
		}
		value, err := d.call(&n, child)
		a := answer{id: n.id, value: value}
		var fail syscall.Errno
		if errors.As(err, &fail) {
			a.value, a.errno = 0, -int32(fail)
		} else if err != nil {
			_ = child.Kill()
			return err
		}
		_, _, errno = unix.Syscall(unix.SYS_IOCTL, uintptr(listener), unix.SECCOMP_IOCTL_NOTIF_SEND, uintptr(unsafe.Pointer(&a)))
		if errno != 0 && errno != unix.ENOENT && errno != unix.EINTR {
			return fmt.Errorf("answer a call: %w", errno)
		}
	}
}

// call does one call of the child.
func (d *disk) call(n *notification, child *os.Process) (int64, error) {
	name := fmt.Sprintf("/proc/%d/fd/%d", n.pid, n.argument[0])
	target, err := os.Readlink(name)
	if err != nil {
		return 0, syscall.EBADF // it is dead
	}
	inside := strings.HasPrefix(target, d.dir) && !strings.HasSuffix(target, lockSuffix)
	if inside {
		if d.calls++; d.calls == d.die {
			_ = child.Kill()
			return 0, syscall.EIO
		}
	}
	i, err := d.inode(name, inside)
	if err != nil || i == nil {
		return 0, err
	}
	switch n.nr {
	case unix.SYS_PWRITE64:
		if inside && d.writes.strikes() {
			return 0, syscall.EIO
		}
		return i.write(n)
	case unix.SYS_FTRUNCATE:
		if inside && d.writes.strikes() {
			return 0, syscall.EIO
		}
		i.begin()
		i.pending = append(i.pending, pendingWrite{at: int64(n.argument[1])})
		return 0, i.file.Truncate(int64(n.argument[1]))
	}
	if inside && d.syncs.strikes() {
		return 0, syscall.EIO
	}
	i.pending = nil
	return 0, nil
}

// inode returns the file behind a name in /proc, nil for a folder. Others than the state file's are served and not
// remembered.
func (d *disk) inode(name string, inside bool) (*inode, error) {
	info, err := os.Stat(name)
	if err != nil {
		return nil, syscall.EBADF
	}
	if info.IsDir() {
		return nil, nil
	}
	id := info.Sys().(*syscall.Stat_t).Ino
	if i := d.inodes[id]; i != nil {
		return i, nil
	}
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		return nil, fmt.Errorf("open the child's file: %w", err)
	}
	i := &inode{file: f}
	if inside {
		d.inodes[id] = i
	}
	return i, nil
}

// begin remembers how long the file is before anything is pending.
func (i *inode) begin() {
	if len(i.pending) > 0 {
		return
	}
	if info, err := i.file.Stat(); err == nil {
		i.size = info.Size()
	}
}

func (i *inode) write(n *notification) (int64, error) {
	data := make([]byte, n.argument[2])
	local := []unix.Iovec{{Base: &data[0]}}
	local[0].SetLen(len(data))
	_, err := unix.ProcessVMReadv(int(n.pid), local, []unix.RemoteIovec{{Base: uintptr(n.argument[1]), Len: len(data)}}, 0)
	if err != nil {
		return 0, syscall.EFAULT // it is dead
	}
	i.begin()
	w := pendingWrite{at: int64(n.argument[3]), old: make([]byte, len(data)), new: data}
	m, _ := i.file.ReadAt(w.old, w.at) // short at the end of the file
	w.old = w.old[:m]
	i.pending = append(i.pending, w)
	m, err = i.file.WriteAt(data, w.at)
	return int64(m), err
}

// cut is a power cut. It returns how many writes were pending and how many of their sectors are lost.
func (d *disk) cut(t *testing.T, random *rand.Rand) (pending, lost int) {
	t.Helper()
	for id, i := range d.inodes {
		n, err := i.cut(random)
		if err != nil {
			t.Fatal(err)
		}
		pending, lost = pending+len(i.pending), lost+n
		i.file.Close()
		delete(d.inodes, id)
	}
	return pending, lost
}

// cut takes a file back to its last sync, then lets some sectors of what was pending reach it after all.
func (i *inode) cut(random *rand.Rand) (lost int, err error) {
	if len(i.pending) == 0 {
		return 0, nil
	}
	for n := len(i.pending) - 1; n >= 0; n-- {
		if _, err := i.file.WriteAt(i.pending[n].old, i.pending[n].at); err != nil {
			return 0, err
		}
	}
	if err := i.file.Truncate(i.size); err != nil {
		return 0, err
	}
	for _, n := range random.Perm(len(i.pending)) {
		w := i.pending[n]
		if w.new == nil && w.at > i.size && random.IntN(2) == 0 {
			if err := i.file.Truncate(w.at); err != nil {
				return 0, err
			}
		}
		for at := 0; at < len(w.new); at += sector {
			if random.IntN(2) == 0 {
				lost++
			} else if _, err := i.file.WriteAt(w.new[at:min(at+sector, len(w.new))], w.at+int64(at)); err != nil {
				return 0, err
			}
		}
	}
	return lost, nil
}

// close lets go of the files.
func (d *disk) close() error {
	var all []error
	for _, i := range d.inodes {
		all = append(all, i.file.Close())
	}
	return errors.Join(all...)
}

func newDisk(t *testing.T) (d *disk, path string) {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return &disk{dir: dir, inodes: map[uint64]*inode{}}, filepath.Join(dir, "state.db")
}
