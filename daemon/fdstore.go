package daemon

import (
	"os"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// keeper keeps descriptors in systemd's file descriptor store (sd_pid_notify_with_fds(3), FileDescriptorStoreMax= in
// systemd/tattled.service): they outlive the process and come back, under their names, with the listening sockets. Where
// there is no systemd it keeps nothing. It never waits for systemd, so it may be called where records are received.
//
// systemd answers nothing. It drops what is beyond its maximum, which is why the keeper counts, and descriptors that hung up.
type keeper struct {
	address *unix.SockaddrUnix // nil: no systemd

	mu     sync.Mutex
	socket int            // -1 until it is needed
	names  map[string]int // descriptors in the store
	count  int
	limit  int
	owed   []string // forgotten here; systemd had no room for the message yet
}

// defaultStored is FileDescriptorStoreMax= of the unit, which systemd tells only from version 254 on ($FDSTORE).
const defaultStored = 4096

// newKeeper returns a keeper that counts the descriptors that systemd passed at start as stored. Those that are listening
// sockets do not count there, but they are few.
func newKeeper(passed ...*os.File) *keeper {
	k := &keeper{socket: -1, names: map[string]int{}, limit: defaultStored}
	if path := os.Getenv("NOTIFY_SOCKET"); strings.HasPrefix(path, "/") || strings.HasPrefix(path, "@") {
		k.address = &unix.SockaddrUnix{Name: path} // which takes a leading @ for an abstract name
	}
	if limit, err := strconv.Atoi(os.Getenv("FDSTORE")); err == nil {
		k.limit = limit
	}
	for _, f := range passed {
		k.names[f.Name()]++
		k.count++
	}
	return k
}

// Keep stores a copy of fd under name, which must be printable ASCII without a colon, at most 255 bytes. Several may have the
// same name. It reports whether the message went out.
func (k *keeper) Keep(name string, fd uintptr) bool {
	if k.address == nil || !validStoreName(name) {
		return false
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.count >= k.limit || !k.settle() || !k.send("FDSTORE=1\nFDNAME="+name, unix.UnixRights(int(fd))) {
		return false
	}
	k.names[name]++
	k.count++
	return true
}

// Forget has systemd close its copies under name. If there is no room for the message now, a later call sends it.
func (k *keeper) Forget(name string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	n := k.names[name]
	if n == 0 {
		return
	}
	delete(k.names, name)
	k.count -= n
	if k.address != nil {
		k.owed = append(k.owed, name)
		k.settle()
	}
}

// settle sends what is owed and reports whether all of it went out.
func (k *keeper) settle() bool {
	for len(k.owed) > 0 {
		if !k.send("FDSTOREREMOVE=1\nFDNAME="+k.owed[0], nil) {
			return false
		}
		k.owed = k.owed[1:]
	}
	k.owed = nil
	return true
}

// send does not use package net, whose connected datagram sockets take no control messages.
func (k *keeper) send(message string, rights []byte) bool {
	if k.socket < 0 {
		socket, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return false
		}
		k.socket = socket
	}
	for {
		err := unix.Sendmsg(k.socket, []byte(message), rights, k.address, unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL)
		if err != unix.EINTR {
			return err == nil
		}
	}
}

// validStoreName goes by systemd's fdname_is_valid.
func validStoreName(name string) bool {
	if name == "" || len(name) > 255 {
		return false
	}
	for _, c := range []byte(name) {
		if c < ' ' || c >= 0x7f || c == ':' {
			return false
		}
	}
	return true
}
