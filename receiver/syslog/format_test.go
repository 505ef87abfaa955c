package syslog

import (
	"bufio"
	"sync"
	"time"

	"gopkg.in/mcuadros/go-syslog.v2/format"

	"tattled/receiver"
	"tattled/receiver/wire"
)

// Format is tattled's framing and parsing as go-syslog's format.Format, so that its Server, an independent peer, can host
// them in tests. None of go-syslog's own framing and parsing, which panics on hostile input, takes part then.
type Format struct {
	maxLine int
	loc     *time.Location
	pool    sync.Pool // of *Parsed
}

// NewFormat returns a format for streams, whose frames are at most maxLine bytes (at most 32 KiB: the Server's scanner
// stops at 64 KiB), and whose timestamps without a zone are in loc.
func NewFormat(maxLine int, loc *time.Location) *Format {
	return &Format{maxLine: min(maxLine, 32<<10), loc: loc}
}

// GetSplitFunc implements format.Format. The Server asks once a connection.
func (f *Format) GetSplitFunc() bufio.SplitFunc {
	framer := wire.Framer{Max: f.maxLine}
	return func(data []byte, atEOF bool) (advance int, token []byte, err error) {
		frame, n, state := framer.Next(data, atEOF)
		if state == wire.More {
			return n, nil, nil
		}
		return n, frame, nil
	}
}

// GetParser implements format.Format. line is lent until the Server's handler has returned.
func (f *Format) GetParser(line []byte) format.LogParser {
	p, ok := f.pool.Get().(*Parsed)
	if !ok {
		p = &Parsed{format: f, parser: wire.NewParser(f.loc), parts: format.LogParts{}}
	}
	p.Frame = line
	return p
}

// partParsed is where a handler finds the *Parsed in the parts that the Server gives it.
const partParsed = "_"

// Parsed is one frame on its way through go-syslog's Server: format.LogParser. A handler takes it out of the parts with
// ParsedOf and gives it back with Free.
type Parsed struct {
	Frame  []byte          // lent by the Server
	Record receiver.Record // of the whole frame; sub-slices of Frame

	format *Format
	parser *wire.Parser
	parts  format.LogParts
}

// Parse implements format.LogParser. It never fails.
func (p *Parsed) Parse() error {
	p.parser.Parse(p.Frame, time.Now(), &p.Record)
	return nil
}

// Dump implements format.LogParser. The Server adds to the map.
func (p *Parsed) Dump() format.LogParts {
	p.parts[partParsed] = p
	return p.parts
}

// Location implements format.LogParser. The Server never calls it; the zone is the Format's.
func (p *Parsed) Location(loc *time.Location) { p.parser = wire.NewParser(loc) }

// ParsedOf returns the Parsed in parts, nil if they are not from a Format.
func ParsedOf(parts format.LogParts) *Parsed {
	p, _ := parts[partParsed].(*Parsed)
	return p
}

// Free gives p back to its Format. Neither p nor the parts that it came in may be used afterwards.
func (p *Parsed) Free() {
	p.Frame, p.Record = nil, receiver.Record{}
	p.format.pool.Put(p)
}
