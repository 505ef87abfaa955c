package syslog

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"syscall"

	"golang.org/x/sys/unix"

	"tattled/receiver"
)

// unixListener is a unix datagram socket that we made. Its senders wait while its queue is full, so that nothing is lost.
type unixListener struct {
	conn *net.UnixConn
	path string
	file os.FileInfo     // of the socket, to know it again
	uids map[uint32]bool // whose records may lead to a report
}

// listenUnix binds the socket. Each datagram brings its sender's user, by the kernel's word (SCM_CREDENTIALS).
func listenUnix(cfg *Config, path string) (*unixListener, error) {
	uids, err := cfg.uids()
	if err != nil {
		return nil, err
	}
	if err := removeStale(path); err != nil {
		return nil, err
	}
	lc := net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) error {
		var failed error
		err := raw.Control(func(fd uintptr) { failed = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_PASSCRED, 1) })
		return errors.Join(err, failed)
	}}
	conn, err := lc.ListenPacket(context.Background(), "unixgram", path)
	if err != nil {
		return nil, err
	}
	s := &unixListener{conn: conn.(*net.UnixConn), path: path, uids: uids}
	mode, _ := cfg.mode() // New checked it
	if err = os.Chmod(path, mode); err == nil {
		s.file, err = os.Lstat(path)
	}
	if err != nil {
		conn.Close()
		return nil, err
	}
	return s, nil
}

// run serves until ctx ends or the handler fails. The socket's file is removed then, so that senders notice.
func (s *unixListener) run(ctx context.Context, r *Receiver, h receiver.Handler) error {
	defer s.close()
	return r.runDatagrams(ctx, s.conn, false, h)
}

func (s *unixListener) close() {
	s.conn.Close()
	if info, err := os.Lstat(s.path); err == nil && os.SameFile(info, s.file) {
		os.Remove(s.path)
	}
}

// removeStale removes the socket that an earlier process left at path. It refuses where another one still listens, and
// where something else is.
func removeStale(path string) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case info.Mode().Type() != fs.ModeSocket:
		return fmt.Errorf("%s exists and is not a socket", path)
	}
	c, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: path, Net: "unixgram"})
	if err == nil {
		c.Close()
		return fmt.Errorf("another process listens on %s", path)
	}
	return os.Remove(path)
}
