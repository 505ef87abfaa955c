package journal

import (
	"encoding/binary"
	"errors"
	"hash/fnv"
	"slices"
	"strconv"

	"tattled/receiver"
)

// journald makes an entry of each line that a service writes to its standard output or error. Where a line is longer than
// LineMax= (48 KiB), has a NUL in it, or is still without an end when another process writes to the same stream, it makes
// several of it. The second begins wherever a peer who had a say in the line wants it to, and has the service's trust like
// the first. So neither is whole: the first has a _LINE_BREAK, and the next of its stream is known by a mark.

// maxBreaks bounds the marks. Only streams that may lead to a report have any; the oldest is dropped if there are too many.
const maxBreaks = 24

// breakSize is the encoded size of a mark.
const breakSize = 8 + 4

// anyStream is the stream of a mark that the very next entry takes up. journald says what its rate limit dropped right before
// the first entry that it takes again.
const anyStream = 0

var errBreaks = errors.New("not the marks of broken lines")

// lineBreak marks a stream: its next entry does not begin where a line begins.
type lineBreak struct {
	stream uint64 // a hash of its ID
	pid    uint32 // of which process the next entry must be; 0: of any
}

// breaks are the marks that no entry has taken up yet, the oldest first.
type breaks []lineBreak

// broken reports whether an entry is only a part of a line, takes up its stream's marks, and leaves those that follow from
// it if what it says could be believed.
func (b *breaks) broken(p *parser, e *entry, trusted bool) bool {
	if e.container {
		return b.parted(p, e, trusted)
	}
	if suppressed(p, e) { // what was dropped may have been the first part of what comes next
		b.add(lineBreak{stream: anyStream})
		return false
	}
	after := len(*b) > 0 && b.take(func(m lineBreak) bool { return m.stream == anyStream })
	stream := streamOf(p, e)
	if stream == anyStream {
		return false
	}
	number, _ := strconv.ParseUint(string(p.value(e, PID)), 10, 32) // 0 for what is not a number
	pid := uint32(number)
	continued := len(*b) > 0 && b.take(func(m lineBreak) bool { return m.stream == stream && (m.pid == 0 || m.pid == pid) })
	if !e.have[LineBreak] {
		return continued || after
	}
	why := string(p.value(e, LineBreak))
	if !trusted || why == "eof" { // nothing comes after the end
		return true
	}
	b.add(lineBreak{stream: stream})
	if why == "pid-change" && pid != 0 { // the process may go on with its line after the others'
		b.add(lineBreak{stream, pid})
	}
	return true
}

// parted is broken for a line of a container, by its engine's word: the engines cut long lines, and those that a program does not end for a
// while. Docker names each part, podman all but the last one. The streams of a container are told apart by their priority.
func (b *breaks) parted(p *parser, e *entry, trusted bool) bool {
	if len(p.value(e, ContainerID)) == 0 {
		return true // an engine names it always
	}
	hash := fnv.New64a()
	_, _ = hash.Write(p.value(e, ContainerID)) // never fails
	_, _ = hash.Write(p.value(e, Priority))
	stream := max(hash.Sum64(), anyStream+1)
	continued := len(*b) > 0 && b.take(func(m lineBreak) bool { return m.stream == stream || m.stream == anyStream })
	if e.have[PartialMessage] {
		if trusted {
			b.add(lineBreak{stream: stream})
		}
		return true
	}
	return continued || e.have[PartialID]
}

// take removes marks and reports whether there were any.
func (b *breaks) take(which func(lineBreak) bool) bool {
	before := len(*b)
	*b = slices.DeleteFunc(*b, which)
	return len(*b) < before
}

func (b *breaks) add(m lineBreak) {
	if slices.Contains(*b, m) {
		return
	}
	if len(*b) == maxBreaks {
		*b = slices.Delete(*b, 0, 1)
	}
	*b = append(*b, m)
}

// streamOf returns a hash of the ID of the stream that an entry was written to; anyStream if it came another way.
func streamOf(p *parser, e *entry) uint64 {
	id := p.value(e, StreamID)
	if len(id) == 0 {
		return anyStream
	}
	hash := fnv.New64a()
	_, _ = hash.Write(id) // never fails
	return max(hash.Sum64(), anyStream+1)
}

// appendPosition appends the position that is committed: libsystemd's cursor, then the marks, if any, after a NUL.
func appendPosition(to []byte, cursor []byte, b breaks) []byte {
	to = append(to, cursor...)
	if len(b) == 0 {
		return to
	}
	to = append(to, 0)
	for _, m := range b {
		to = binary.BigEndian.AppendUint64(to, m.stream)
		to = binary.BigEndian.AppendUint32(to, m.pid)
	}
	return to
}

// parsePosition takes a committed position apart. It keeps nothing of it.
func parsePosition(position receiver.Cursor) (cursor string, b breaks, err error) {
	end := slices.Index(position, 0)
	if end < 0 {
		return string(position), nil, nil
	}
	rest := position[end+1:]
	if len(rest) == 0 || len(rest)%breakSize != 0 || len(rest)/breakSize > maxBreaks {
		return "", nil, errBreaks
	}
	for ; len(rest) > 0; rest = rest[breakSize:] {
		b = append(b, lineBreak{binary.BigEndian.Uint64(rest), binary.BigEndian.Uint32(rest[8:])})
	}
	return string(position[:end]), b, nil
}
