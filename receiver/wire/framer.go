package wire

import "bytes"

// State says what Framer.Next found.
type State uint8

// The states.
const (
	More  State = iota // no frame: more bytes are needed
	Frame              // a whole frame
	Cut                // the first Max bytes of a frame that is longer; the rest of it will be skipped
	Bad                // a counted frame that ended before its count
	Lost               // the stream is out of step: where its next frame begins cannot be told, now or later
	Held               // More, but if no more comes, what is there is a frame: see Release
)

// Framer finds the frames in a stream of syslog, RFC 6587: lines, or messages with their length before them ("octet
// counting"). The two are told apart at each frame. It holds no bytes; one Framer follows one stream.
//
// A count is one to six digits without a leading zero, then a space, then the message's "<". Anything else is a line. A
// count beyond Max is believed as long as the stream had no line (such a frame comes out Cut), else it begins a line: text
// with a line feed in it must not be able to hide much of what follows.
//
// A stream of counted frames stays one: what follows a frame is a count or a line end, and anything else is Lost. Its
// sender's counts are wrong, and what is read next is the middle of a message, that is, text which a stranger may have
// chosen. To look there for something that could be a frame would let the stranger write one. The caller ends the stream;
// the sender's next connection begins in step. One error is understood, because it says exactly where the frame ends: a
// count of characters (see extent).
// Blank lines are frames and make no stream of lines, because some senders put a line end after each counted frame.
//
// NUL ends a line as LF does if it was the first of the two to end one that is not blank; some devices do that. In other
// streams it is text.
type Framer struct {
	Max int // longest frame in bytes, without its count and its line end; at least 1

	skipping   bool // until the end of the line
	left       int  // bytes of a counted frame to skip
	lines, nul bool // a line was seen that is not blank; it ended in NUL
	counts     bool // a counted frame was seen
	unit       Unit // what they count
	lost       bool
}

// Need is how many bytes of the stream a caller must be able to show Next at once, so that it can always get on.
func (f *Framer) Need() int { return f.Max + 2*(maxDigits+2) }

// Release is called after Held when no more bytes come for a while. The next Next gives the frame: by a sender that counts
// characters, the rest of it would have come along.
func (f *Framer) Release() { f.unit = Bytes }

const maxDigits = 6

// Next finds the next frame in buf, which holds the stream from behind what earlier calls were done with. It is done with
// the first n bytes of buf. For Frame, Cut and Bad, frame is a sub-slice of buf, without its line end, perhaps empty. For
// More and Held, n may be above 0 too: the bytes were skipped. After Lost, Next returns nothing else. With eof, buf is the
// end of the stream, and the last line needs no end. The frames do not depend on how the stream is cut into calls, as long
// as nothing that is held is released.
func (f *Framer) Next(buf []byte, eof bool) (frame []byte, n int, s State) {
	if f.lost {
		return nil, 0, Lost
	}
	n = f.skip(buf)
	if f.skipping || f.left > 0 {
		return nil, n, More
	}
	for n < len(buf) && buf[n] == 0 { // what is left of "\n\0"
		n++
	}
	rest := buf[n:]
	if len(rest) == 0 {
		return nil, n, More
	}
	if rest[0] > '0' && rest[0] <= '9' {
		head, count, undecided := f.count(rest)
		if undecided && !eof {
			return nil, n, More
		}
		if head > 0 {
			f.counts = true
			frame, m, s := f.counted(rest, head, count, eof)
			return frame, n + m, s
		}
	}
	if f.counts && !f.lines {
		ends, undecided := lineEnds(rest)
		if undecided && !eof {
			return nil, n, More
		}
		if !ends {
			f.lost = true
			return nil, n, Lost
		}
	}
	frame, m, s := f.line(rest, eof)
	return frame, n + m, s
}

// lineEnds reports whether buf begins with a line end: some senders put one after a counted frame without counting it.
// undecided says that buf ends too early to know.
func lineEnds(buf []byte) (ends, undecided bool) {
	if buf[0] == '\r' {
		return len(buf) > 1 && buf[1] == '\n', len(buf) == 1
	}
	return buf[0] == '\n', false
}

// skip lets go what is left of a frame that was cut, and returns how much that was.
func (f *Framer) skip(buf []byte) int {
	switch {
	case f.left > 0:
		n := min(f.left, len(buf))
		f.left -= n
		return n
	case f.skipping:
		end := f.lineEnd(buf)
		if end < 0 {
			return len(buf)
		}
		f.skipping = false
		return end + 1
	default:
		return 0
	}
}

// count reads "123 <" at the start of buf: head is the length of "123 ". undecided says that buf ends too early to know.
func (f *Framer) count(buf []byte) (head, count int, undecided bool) {
	i := 0
	for i < len(buf) && i < maxDigits && digit(buf[i]) {
		count = count*10 + int(buf[i]-'0')
		i++
	}
	switch {
	case i == len(buf):
		return 0, 0, true
	case buf[i] != ' ':
		return 0, 0, false
	case i+1 == len(buf):
		return 0, 0, true
	case buf[i+1] != '<' || count > f.Max && f.lines:
		return 0, 0, false
	}
	return i + 1, count, false
}

func (f *Framer) counted(buf []byte, head, count int, eof bool) ([]byte, int, State) {
	have := len(buf) - head
	switch {
	case count > f.Max && have >= f.Max:
		f.left = count - f.Max
		return buf[head : head+f.Max], head + f.Max, Cut
	case have >= count:
		end, next, s := f.extent(buf[head:], count, eof)
		switch s {
		case Frame:
			return Trim(buf[head : head+end]), head + next, Frame
		case Lost:
			f.lost = true
		}
		return nil, 0, s
	case eof:
		return buf[head:], len(buf), Bad
	default:
		return nil, 0, More
	}
}

func (f *Framer) line(buf []byte, eof bool) ([]byte, int, State) {
	end := f.lineEnd(buf[:min(len(buf), f.Max+1)])
	switch {
	case end >= 0:
		line := Trim(buf[:end])
		if !f.lines && !Blank(line) {
			f.lines, f.nul = true, buf[end] == 0
		}
		return line, end + 1, Frame
	case len(buf) > f.Max:
		f.lines, f.skipping = true, true
		return buf[:f.Max], f.Max, Cut
	case eof:
		f.lines = true
		return Trim(buf), len(buf), Frame
	default:
		return nil, 0, More
	}
}

// lineEnd finds the first line end in buf, -1 if there is none. The first line of a stream settles whether NUL is one.
func (f *Framer) lineEnd(buf []byte) int {
	end := bytes.IndexByte(buf, '\n')
	if f.lines && !f.nul {
		return end
	}
	head := buf
	if end >= 0 {
		head = buf[:end]
	}
	if nul := bytes.IndexByte(head, 0); nul >= 0 {
		return nul
	}
	return end
}
