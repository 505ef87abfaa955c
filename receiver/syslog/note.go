package syslog

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// spill is a file in memory that is kept beside a connection. It has the beginning of a record that was taken out of the
// kernel: those bytes of the stream from one position up to another.
//
// A process may be killed between any two system calls. What the next one finds is judged by the position up to which the
// kernel has given the stream away: bytes of the spill beyond it were noted and not yet taken, and a spill that ends before
// it is of a record that was finished. So a record is neither torn nor glued to another, wherever the process died.
//
// The file is: base, begin and end as 64 bits each, then the bytes from base on. The head is written in one go and last.
type spill struct {
	file  *os.File
	base  uint64
	empty bool // nothing is noted
}

const (
	spillHead = 3 * 8
	// maxSpill bounds what is before the beginning, which only a stream of bad frames makes grow.
	maxSpill = 1 << 20
)

func newSpill(name string) (*spill, error) {
	fd, err := unix.MemfdCreate("tattled-record", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("make a file in memory: %w", err)
	}
	return &spill{file: os.NewFile(uintptr(fd), name), empty: true}, nil
}

// write notes begun, which is at position begin of the stream. Without begun nothing is noted.
func (m *spill) write(begin uint64, begun []byte) error {
	end := begin + uint64(len(begun))
	switch {
	case len(begun) == 0:
		m.base, begin, end = 0, 0, 0
	case m.empty:
		m.base = begin
	case begin < m.base || begin-m.base > maxSpill:
		return errors.New("a note grows without end")
	}
	if _, err := m.file.WriteAt(begun, int64(spillHead+begin-m.base)); err != nil {
		return err
	}
	m.empty = len(begun) == 0
	var head []byte
	for _, field := range []uint64{m.base, begin, end} {
		head = binary.BigEndian.AppendUint64(head, field)
	}
	_, err := m.file.WriteAt(head, 0)
	return err
}

// read returns what is noted of the stream before position at, of at most limit bytes.
func (m *spill) read(at uint64, limit int) (begun []byte, err error) {
	var head [spillHead]byte
	if n, err := m.file.ReadAt(head[:], 0); n == 0 && err == io.EOF {
		return nil, nil // the process died before it wrote
	} else if n < len(head) {
		return nil, err
	}
	base, begin, end := binary.BigEndian.Uint64(head[:]), binary.BigEndian.Uint64(head[8:]), binary.BigEndian.Uint64(head[16:])
	switch {
	case begin == end || at > end: // nothing, or of a record that was finished
		return nil, nil
	case base > begin || begin > end || begin-base > maxSpill || at < begin || at-begin > uint64(limit):
		return nil, fmt.Errorf("a note of the bytes from %d to %d of a stream that was read up to %d", begin, end, at)
	}
	begun = make([]byte, at-begin)
	if n, err := m.file.ReadAt(begun, int64(spillHead+begin-base)); n < len(begun) {
		return nil, err
	}
	m.base, m.empty = base, false
	return begun, nil
}

// readOldNote returns what the version before noted, of at most limit bytes: a length of 32 bits, then the bytes.
func readOldNote(file io.ReaderAt, limit int) ([]byte, error) {
	var head [4]byte
	if n, err := file.ReadAt(head[:], 0); n == 0 && err == io.EOF {
		return nil, nil
	} else if n < len(head) {
		return nil, err
	}
	length := binary.BigEndian.Uint32(head[:])
	if length == 0 {
		return nil, nil
	}
	if int64(length) > int64(limit) {
		return nil, fmt.Errorf("a record's beginning of %d bytes", length)
	}
	begun := make([]byte, length)
	if n, err := file.ReadAt(begun, int64(len(head))); n < len(begun) {
		return nil, err
	}
	return begun, nil
}

// position returns up to where the kernel has given a connection's stream away: what it received less what is unread. It
// reports false if it cannot tell. The socket needs SO_OOBINLINE, or unread would end at an urgent byte.
func position(fd uintptr) (at uint64, ok bool) {
	for range 100 { // more may arrive between two calls
		before, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO)
		if err != nil {
			return 0, false
		}
		unread, err := unix.IoctlGetInt(int(fd), unix.TIOCINQ)
		if err != nil {
			return 0, false
		}
		after, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO)
		if err != nil {
			return 0, false
		}
		if before.Bytes_received != after.Bytes_received || before.State != after.State {
			continue
		}
		end := after.Bytes_received
		switch after.State {
		case unix.BPF_TCP_CLOSE_WAIT, unix.BPF_TCP_LAST_ACK, unix.BPF_TCP_CLOSING, unix.BPF_TCP_TIME_WAIT:
			end-- // the peer's FIN counts as a byte received, and not as unread
		}
		return end - uint64(unread), end >= uint64(unread)
	}
	return 0, false
}
