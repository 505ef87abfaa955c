package tail

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/fnv"
	"io"
	"os"
	"syscall"
	"time"

	"tattled/receiver"
)

// A cursor has, after a version byte, the follower's seen and the marks of the files that are still read, the oldest first.
const (
	cursorVersion = 1
	maxMarks      = 8   // more files than this are not held for one path; bounds the cursor to about 350 bytes
	printLength   = 256 // bytes of a file's beginning that tell it from another
)

var errCursor = errors.New("not a cursor of a file")

// mark is a position in one file, and what the file is known by. The device is no part of it: its number may be another
// after a reboot, and all candidates lie in one folder.
type mark struct {
	inode  uint64
	offset int64 // of the first byte that was not handed over: always the beginning of a line
	print  fingerprint
}

// fingerprint is a hash of the first length bytes of a file, which were all handed over: they do not change while the
// file only grows.
type fingerprint struct {
	length int
	sum    uint64
}

// takeFingerprint reads the first bytes of f, up to offset.
func takeFingerprint(f io.ReaderAt, offset int64) (fingerprint, error) {
	p := fingerprint{length: int(min(offset, printLength))}
	var head [printLength]byte
	if n, err := f.ReadAt(head[:p.length], 0); n < p.length {
		return fingerprint{}, err
	}
	hash := fnv.New64a()
	hash.Write(head[:p.length])
	p.sum = hash.Sum64()
	return p, nil
}

// fits reports whether f still begins as it did. A file that cannot be read or is shorter does not fit.
func (p fingerprint) fits(f io.ReaderAt) bool {
	if p.length == 0 {
		return true
	}
	now, err := takeFingerprint(f, int64(p.length))
	return err == nil && now == p
}

func appendCursor(b []byte, seen int64, marks []mark) receiver.Cursor {
	b = append(b, cursorVersion, byte(len(marks)))
	b = binary.AppendVarint(b, seen)
	for _, m := range marks {
		b = binary.AppendUvarint(b, m.inode)
		b = binary.AppendUvarint(b, uint64(m.offset))
		b = binary.AppendUvarint(b, uint64(m.print.length))
		b = binary.BigEndian.AppendUint64(b, m.print.sum)
	}
	return b
}

func parseCursor(c receiver.Cursor) (seen int64, marks []mark, err error) {
	if len(c) < 2 || c[0] != cursorVersion || c[1] > maxMarks {
		return 0, nil, errCursor
	}
	marks = make([]mark, c[1])
	rest := bytes.NewReader(c[2:])
	seen, err = binary.ReadVarint(rest)
	number := func() (n uint64) {
		if err == nil {
			n, err = binary.ReadUvarint(rest)
		}
		return n
	}
	for i := range marks {
		m := &marks[i]
		m.inode, m.offset, m.print.length = number(), int64(number()), int(min(number(), printLength+1))
		var sum [8]byte
		if n, _ := rest.Read(sum[:]); err != nil || n < len(sum) || m.print.length > printLength || int64(m.print.length) > m.offset {
			return 0, nil, errCursor
		}
		m.print.sum = binary.BigEndian.Uint64(sum[:])
	}
	if err != nil || rest.Len() > 0 {
		return 0, nil, errCursor
	}
	return seen, marks, nil
}

// inode returns a file's inode number; os.FileInfo of a real file always has one here.
func inode(info os.FileInfo) uint64 {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return st.Ino
	}
	return 0
}

func modified(info os.FileInfo) int64 { return info.ModTime().UnixNano() }

// changed is what tells that a file was written to since it was last looked at.
type changed struct {
	size int64
	when time.Time
}

func changeOf(info os.FileInfo) changed { return changed{info.Size(), info.ModTime()} }
