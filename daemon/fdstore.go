package daemon

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// keeper keeps descriptors in systemd's file descriptor store (sd_pid_notify_with_fds(3), FileDescriptorStoreMax= in
// systemd/tattled.service): they outlive the process and come back, under their names, with the listening sockets. Where
// there is no systemd it keeps nothing.
//
// systemd's socket takes some ten messages at a time, so what is asked for waits in a queue of the keeper's own, and a
// goroutine that lives as long as the queue is not empty sends it. The queue is bounded by the limit of the store.
//
// systemd answers nothing. It drops what is beyond its maximum, which is why the keeper counts, and descriptors that hung up.
type keeper struct {
	socket int // connected to systemd; -1: there is none
	limit  int

	mu      sync.Mutex
	names   map[string]int // descriptors in the store and on their way there
	count   int
	size    int // of the names as the next process is given them, in bytes
	queue   []*storeMessage
	flying  *storeMessage // being sent, no longer in the queue
	working chan struct{} // closed when all is sent; nil while there is nothing to send
	broken  bool          // systemd's socket is gone: nothing more is sent, nothing comes back
}

// storeMessage asks for one descriptor to be stored, or for all of a name to be removed.
type storeMessage struct {
	name string
	fd   int           // ours to close; -1: remove
	gone chan struct{} // closed when systemd's socket has it, when it was called off, or when it could not be sent
	lost bool          // it could not be sent; to be read when gone is closed
}

const (
	// defaultStored is FileDescriptorStoreMax= of the unit, which systemd tells only from version 254 on ($FDSTORE).
	defaultStored = 4096
	// maxStoreNames bounds the names of all descriptors in bytes. The next process gets them in one variable, LISTEN_FDNAMES, and
	// Linux starts no process with one beyond 128 KiB. The rest is for the names of the sockets.
	maxStoreNames = 120 << 10
	// sendTimeout is how long one send(2) to systemd may wait.
	sendTimeout = 100 * time.Millisecond
	// settleTimeout is how long Settle waits.
	settleTimeout = time.Second
)

// newKeeper returns a keeper that counts the descriptors that systemd passed at start as stored. Those that are listening
// sockets do not count there, but they are few.
func newKeeper(passed ...*os.File) *keeper {
	k := &keeper{socket: connectManager(os.Getenv("NOTIFY_SOCKET")), names: map[string]int{}, limit: defaultStored}
	if limit, err := strconv.Atoi(os.Getenv("FDSTORE")); err == nil {
		k.limit = limit
	}
	for _, f := range passed {
		k.book(f.Name(), 1)
	}
	return k
}

// connectManager returns a socket that is connected to systemd's, -1 if there is none. It does not use package net, whose
// connected datagram sockets take no control messages.
func connectManager(path string) int {
	if !strings.HasPrefix(path, "/") && !strings.HasPrefix(path, "@") {
		return -1
	}
	socket, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1
	}
	wait := unix.NsecToTimeval(int64(sendTimeout))
	if errors.Join(
		unix.SetsockoptTimeval(socket, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &wait),
		unix.Connect(socket, &unix.SockaddrUnix{Name: path}), // which takes a leading @ for an abstract name
	) != nil {
		unix.Close(socket)
		return -1
	}
	return socket
}

// Keep has a copy of fd stored under name, which must be printable ASCII without a colon, at most 255 bytes. Several may
// have the same name. It reports whether there is room; it does not wait, see Settle.
func (k *keeper) Keep(name string, fd uintptr) bool {
	if k.socket < 0 || !validStoreName(name) {
		return false
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.broken || k.count >= k.limit || k.size+len(name)+1 > maxStoreNames {
		return false
	}
	copied, err := unix.FcntlInt(fd, unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return false
	}
	k.book(name, 1)
	k.queue = append(k.queue, &storeMessage{name: name, fd: copied, gone: make(chan struct{})})
	k.work()
	return true
}

// Forget has systemd close its copies under name. What has not reached systemd yet is called off.
func (k *keeper) Forget(name string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	kept := k.names[name]
	if kept == 0 {
		return
	}
	k.book(name, -kept)
	k.queue = slices.DeleteFunc(k.queue, func(m *storeMessage) bool {
		if m.name != name || m.fd < 0 {
			return false
		}
		kept--
		m.done()
		return true
	})
	if kept > 0 && k.socket >= 0 && !k.broken { // first, because it makes room
		k.queue = slices.Insert(k.queue, 0, &storeMessage{name: name, fd: -1, gone: make(chan struct{})})
		k.work()
	}
}

// Settle waits, a second at most, until systemd's socket has all that was asked about name, before anything
// else that waits. It reports whether it has: then it holds whenever this process dies.
func (k *keeper) Settle(name string) bool {
	timer := time.NewTimer(settleTimeout)
	defer timer.Stop()
	about, broken := k.hurry(name)
	if broken {
		return false // what systemd has, it may have for ever
	}
	for _, m := range about {
		select {
		case <-m.gone:
			if m.lost {
				return false
			}
		case <-timer.C:
			return false
		}
	}
	return true
}

// hurry moves the messages about name to the front, in their order, and returns them. broken is as in keeper.
func (k *keeper) hurry(name string) (about []*storeMessage, broken bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	var first, rest []*storeMessage
	for _, m := range k.queue {
		if m.name == name {
			first = append(first, m)
		} else {
			rest = append(rest, m)
		}
	}
	if len(first) > 0 {
		k.queue = slices.Concat(first, rest)
	}
	if k.flying != nil && k.flying.name == name {
		first = append(first, k.flying)
	}
	return first, k.broken
}

// book counts n more descriptors under name, fewer if n is negative.
func (k *keeper) book(name string, n int) {
	k.count += n
	k.size += n * (len(name) + 1)
	if k.names[name] += n; k.names[name] == 0 {
		delete(k.names, name)
	}
}

// work sees to it that somebody sends. k.mu is held.
func (k *keeper) work() {
	if k.working == nil {
		k.working = make(chan struct{})
		go k.sendAll()
	}
}

// sendAll sends until the queue is empty.
func (k *keeper) sendAll() {
	k.mu.Lock()
	defer k.mu.Unlock()
	for len(k.queue) > 0 {
		m := k.queue[0]
		k.queue, k.flying = k.queue[1:], m
		broken := k.broken
		k.mu.Unlock()
		if !broken {
			broken = m.send(k.socket) != nil
		}
		k.mu.Lock()
		m.lost = broken
		m.done()
		k.flying, k.broken = nil, broken
	}
	k.queue = nil
	close(k.working)
	k.working = nil
}

func (m *storeMessage) send(socket int) error {
	if m.fd < 0 {
		return sendManager(socket, "FDSTOREREMOVE=1\nFDNAME="+m.name, nil, time.Time{})
	}
	return sendManager(socket, "FDSTORE=1\nFDNAME="+m.name, unix.UnixRights(m.fd), time.Time{})
}

func (m *storeMessage) done() {
	if m.fd >= 0 {
		unix.Close(m.fd)
	}
	close(m.gone)
}

// sendManager waits for room until deadline, which may be zero.
func sendManager(socket int, message string, rights []byte, deadline time.Time) error {
	for {
		err := unix.Sendmsg(socket, []byte(message), rights, nil, unix.MSG_NOSIGNAL)
		switch err {
		case unix.EINTR, unix.EAGAIN: // EAGAIN: after sendTimeout
		case unix.ENOBUFS, unix.ENOMEM, unix.ETOOMANYREFS:
			_, _ = unix.Poll(nil, int(sendTimeout.Milliseconds()))
		default:
			return err
		}
		if !deadline.IsZero() && time.Now().After(deadline) {
			return err
		}
	}
}

// Close waits, patience at most, until systemd has worked through all that it was sent, and lets go of its socket. The
// error says that some of it may not have arrived. Nothing may be kept afterwards.
func (k *keeper) Close(patience time.Duration) error {
	if k.socket < 0 {
		return nil
	}
	deadline := time.Now().Add(patience)
	k.mu.Lock()
	working := k.working
	k.mu.Unlock()
	if working != nil {
		timer := time.NewTimer(patience)
		defer timer.Stop()
		select {
		case <-working:
		case <-timer.C:
			k.mu.Lock()
			defer k.mu.Unlock()
			return fmt.Errorf("systemd did not take %d messages in %s", len(k.queue)+1, patience)
		}
	}
	defer unix.Close(k.socket)
	return barrier(k.socket, deadline)
}

// barrier returns when systemd has worked through what it was sent: it closes the descriptor that comes with BARRIER=1
// (sd_notify_barrier(3)).
func barrier(socket int, deadline time.Time) error {
	var pipe [2]int
	if err := unix.Pipe2(pipe[:], unix.O_CLOEXEC); err != nil {
		return fmt.Errorf("make a pipe: %w", err)
	}
	defer unix.Close(pipe[0])
	err := sendManager(socket, "BARRIER=1", unix.UnixRights(pipe[1]), deadline)
	unix.Close(pipe[1])
	if err != nil {
		return fmt.Errorf("send BARRIER=1: %w", err)
	}
	for {
		hangUp := []unix.PollFd{{Fd: int32(pipe[0])}}
		ready, err := unix.Poll(hangUp, int(max(0, time.Until(deadline).Milliseconds())))
		switch {
		case err == unix.EINTR:
		case err != nil:
			return fmt.Errorf("wait for systemd: %w", err)
		case ready == 0:
			return errors.New("systemd did not answer BARRIER=1 in time")
		default:
			return nil
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
