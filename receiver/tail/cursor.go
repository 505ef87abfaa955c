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

// A cursor has, after a version byte and two counts, the follower's seen, the marks of the files that are still read, the
// oldest first, and those of the last files that were closed. Version 1 had no closed ones, nor their count.
const (
	cursorVersion = 2
	maxMarks      = 8   // more files than this are not held for one path; bounds the cursor to about 600 bytes
	maxPast       = 8   // closed files whose marks are kept
	printLength   = 256 // bytes of a file's beginning that tell it from another
)

var errCursor = errors.New("not a cursor of a file")

// mark is a position in one file, and what the file is known by. The device is not part of it: its number may be another
// after a reboot, and all candidates are in one folder.
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

func appendCursor(b []byte, seen int64, marks, past []mark) receiver.Cursor {
	b = append(b, cursorVersion, byte(len(marks)), byte(len(past)))
	b = binary.AppendVarint(b, seen)
	return appendMarks(appendMarks(b, marks), past)
}

func appendMarks(b []byte, marks []mark) []byte {
	for _, m := range marks {
		b = binary.AppendUvarint(b, m.inode)
		b = binary.AppendUvarint(b, uint64(m.offset))
		b = binary.AppendUvarint(b, uint64(m.print.length))
		b = binary.BigEndian.AppendUint64(b, m.print.sum)
	}
	return b
}

func parseCursor(c receiver.Cursor) (seen int64, marks, past []mark, err error) {
	if len(c) < 3 {
		return 0, nil, nil, errCursor
	}
	head := 3
	switch {
	case c[0] == 1:
		head = 2
	case c[0] != cursorVersion || c[2] > maxPast:
		return 0, nil, nil, errCursor
	default:
		past = make([]mark, c[2])
	}
	if c[1] > maxMarks {
		return 0, nil, nil, errCursor
	}
	marks = make([]mark, c[1])
	rest := bytes.NewReader(c[head:])
	if seen, err = binary.ReadVarint(rest); err != nil {
		return 0, nil, nil, errCursor
	}
	if !readMarks(rest, marks) || !readMarks(rest, past) || rest.Len() > 0 {
		return 0, nil, nil, errCursor
	}
	return seen, marks, past, nil
}

// readMarks fills marks and reports whether that could be done.
func readMarks(from *bytes.Reader, marks []mark) bool {
	var err error
	number := func() (n uint64) {
		if err == nil {
			n, err = binary.ReadUvarint(from)
		}
		return n
	}
	for i := range marks {
		m := &marks[i]
		m.inode, m.offset, m.print.length = number(), int64(number()), int(min(number(), printLength+1))
		var sum [8]byte
		if n, _ := from.Read(sum[:]); err != nil || n < len(sum) || m.print.length > printLength || int64(m.print.length) > m.offset {
			return false
		}
		m.print.sum = binary.BigEndian.Uint64(sum[:])
	}
	return true
}

// inode returns a file's inode number; os.FileInfo of a real file always has one here.
func inode(info os.FileInfo) uint64 {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return st.Ino
	}
	return 0
}

// statusChanged returns when a file was last written to, renamed, or given other rights.
func statusChanged(info os.FileInfo) time.Time {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return time.Unix(st.Ctim.Unix())
	}
	return info.ModTime()
}

func modified(info os.FileInfo) int64 { return info.ModTime().UnixNano() }

// changed is what tells that a file was written to since it was last looked at.
type changed struct {
	size int64
	when time.Time
}

func changeOf(info os.FileInfo) changed { return changed{info.Size(), info.ModTime()} }
