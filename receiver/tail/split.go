package tail

import (
	"bytes"
	"time"

	"tattled/event"
	"tattled/receiver"
	"tattled/receiver/wire"
)

// Splitter cuts blocks of a text log into records: it ends lines at LF or CR LF, lets go of NULs before a line (the hole
// that copytruncate leaves in the file of a writer that does not append), cuts what is too long, and parses the header.
// It is for one goroutine. The followed files of this package use it, and so does package replay.
type Splitter struct {
	// MaxLine is the longest line in bytes; what is longer comes out as its beginning with Record.Cut set.
	MaxLine int
	// Program, if not nil, is the program of every record, and the whole line is the message.
	Program []byte
	// Trust is the trust of every record.
	Trust event.Trust
	// KeepEmpty makes a record of each line, even of a blank one, so that records number lines.
	KeepEmpty bool
	// Parser reads the headers where Program is nil.
	Parser *wire.Parser
}

// Count says what Split took from a block.
type Count struct {
	Bytes int // of the lines taken, line ends included
	Blank int // lines that were left out because they are blank
	Cut   int // records that are only the beginning of their line
}

// Split makes records of the complete lines at the start of block, until block has no further line end or records is
// full: it never grows beyond its capacity. The records' bytes are block's. If it takes nothing although there is room,
// block holds no line end.
func (s *Splitter) Split(block []byte, received time.Time, records []receiver.Record) ([]receiver.Record, Count) {
	var c Count
	for len(records) < cap(records) {
		end := bytes.IndexByte(block[c.Bytes:], '\n')
		if end < 0 {
			break
		}
		line := block[c.Bytes : c.Bytes+end]
		c.Bytes += end + 1
		n := len(records)
		records = records[:n+1]
		if s.plain(line) {
			r := &records[n]
			r.Trust, r.Cut, r.Framing = s.Trust, false, receiver.Whole
			s.Parser.Parse(line, received, r)
		} else if !s.Record(line, received, &records[n]) {
			records = records[:n]
			c.Blank++
		} else if records[n].Cut {
			c.Cut++
		}
	}
	return records, c
}

// plain reports whether there is nothing to a line but its header and its message, as with nearly all.
func (s *Splitter) plain(line []byte) bool {
	n := len(line)
	return s.Program == nil && 0 < n && n <= s.MaxLine && ' ' < line[0] && line[0] < 0x7f && line[n-1] != '\r'
}

// Record makes a record of one line without its LF. It returns false, and r is undefined, if the line is blank and blank
// lines are not kept.
func (s *Splitter) Record(line []byte, received time.Time, r *receiver.Record) bool {
	if n := len(line); n > 0 && line[n-1] == '\r' {
		line = line[:n-1]
	}
	for len(line) > 0 && line[0] == 0 {
		line = line[1:]
	}
	if !s.KeepEmpty && blank(line) {
		return false
	}
	cut := len(line) > s.MaxLine
	if cut {
		line = line[:s.MaxLine]
	}
	if s.Program != nil {
		*r = receiver.Record{Program: s.Program, Message: line, Trust: s.Trust, Cut: cut, Framing: receiver.FileLine}
		return true
	}
	r.Trust, r.Cut, r.Framing = s.Trust, cut, receiver.Whole
	s.Parser.Parse(line, received, r)
	return true
}

// blank reports whether line has nothing but white space and control characters.
func blank(line []byte) bool {
	for _, c := range line {
		if c > ' ' && c != 0x7f {
			return false
		}
	}
	return true
}
