package journal

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"tattled/receiver"
)

const (
	readSize = 64 << 10
	// maxBatch bounds the entries of a batch where there is a choice: journalctl gives a position with each entry.
	maxBatch = 1024
	// maxUnplaced and maxArena bound what is kept of entries that no position has come for. The helper gives one each 512
	// entries, or 64 KiB and an entry.
	maxUnplaced = 4096
	maxArena    = 1 << 20
	fullArena   = 256 << 10
	// maxBinary is more than journald takes for a field (768 MiB). Whoever claims more has lost the thread.
	maxBinary = 1 << 30
	// maxPosition is what the marks of broken lines leave of a cursor's room.
	maxPosition = receiver.MaxCursor - 1 - maxBreaks*breakSize
)

// errFormat is wrapped by every error about what a reader of the journal wrote.
var errFormat = errors.New("is not journal export format")

// span is a place in the arena. One of length 0 is a field that the entry does not have.
type span struct{ at, n int }

// entry is one entry of the journal.
type entry struct {
	values    [fieldCount]span
	have      [fieldCount]bool // the first of several fields of one name counts: libsystemd hands out that one as well
	size      int              // bytes of the stream
	cut       bool             // the message is only a part: it was longer than MaxMessage, or journald broke its line
	container bool             // a container engine wrote it: see runtimeWrote
	real      bool             // there is a field of an entry in it: it is no mere position
}

// parser reads the journal export format, see https://systemd.io/JOURNAL_EXPORT_FORMATS. It keeps the values that are of
// use in an arena, until take has handed over the entries up to a position. It does so before each read that may block,
// so that nothing waits for what comes next.
type parser struct {
	in    *bufio.Reader
	take  func(*parser) error // hands over entries[:placed] with cursor, and counts gaps
	arena []byte

	entries []entry
	placed  int // how many of entries are not behind the last position
	covered int // the end of their values in the arena
	gaps    int
	refused bool // take failed

	current       entry
	currentCursor bool // a position came with it
	currentGap    bool
	cursor        []byte // the last position of a whole entry
	next          []byte // the position that came with current

	// skipTo is the position behind which reading goes on, of a reader that begins with its entry: that one was read before.
	// If it is not the first to come, it is gone, and others with it.
	skipTo []byte
}

func newParser(in io.Reader, take func(*parser) error) *parser {
	p := &parser{take: take}
	p.in = bufio.NewReaderSize(gate{in, p.handOver}, readSize)
	return p
}

// gate calls before ahead of each read.
type gate struct {
	in     io.Reader
	before func() error
}

func (g gate) Read(b []byte) (int, error) {
	if err := g.before(); err != nil {
		return 0, err
	}
	return g.in.Read(b)
}

// run reads until the end, and returns nil there. What came behind the last position is not handed over.
func (p *parser) run() error {
	var err error
	for err == nil {
		err = p.line()
	}
	if !p.refused { // what is whole is good, whatever comes behind it
		if err := p.handOver(); err != nil {
			return err
		}
	}
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// line reads a field, or the empty line behind an entry.
func (p *parser) line() error {
	line, err := p.in.ReadSlice('\n')
	whole := err == nil
	if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
		return err
	}
	p.current.size += len(line)
	if whole {
		if line = line[:len(line)-1]; len(line) == 0 {
			return p.end()
		}
	}
	name, value, text := bytes.Cut(line, []byte("="))
	field := fieldNamed(name)
	if field == unknown && !isFieldName(name) {
		return fmt.Errorf("a field's name, %.64q, %w", name, errFormat)
	}
	if !text {
		return p.binary(field)
	}
	keep := p.open(field)
	p.keep(field, &keep, value)
	for !whole {
		line, err = p.in.ReadSlice('\n')
		whole = err == nil
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			return err
		}
		p.current.size += len(line)
		if whole {
			line = line[:len(line)-1]
		}
		p.keep(field, &keep, line)
	}
	return p.close(field, keep)
}

// binary reads the value of a field that may hold anything: its length in eight bytes, the bytes, a line feed.
func (p *parser) binary(field Field) error {
	var length [8]byte
	if err := p.full(length[:]); err != nil {
		return err
	}
	left := binary.LittleEndian.Uint64(length[:])
	if left > maxBinary {
		return fmt.Errorf("a field of %d bytes %w", left, errFormat)
	}
	keep := p.open(field)
	for left > 0 {
		if _, err := p.in.Peek(1); err != nil {
			return err
		}
		chunk, _ := p.in.Peek(int(min(left, uint64(p.in.Buffered()))))
		p.keep(field, &keep, chunk)
		left -= uint64(len(chunk))
		p.current.size += len(chunk)
		_, _ = p.in.Discard(len(chunk)) // they are there
	}
	if err := p.full(length[:1]); err != nil {
		return err
	}
	if length[0] != '\n' {
		return fmt.Errorf("a field without an end %w", errFormat)
	}
	return p.close(field, keep)
}

// full reads len(b) bytes. An end in between is an end like any other: the reader died there.
func (p *parser) full(b []byte) error {
	for i := range b {
		c, err := p.in.ReadByte()
		if err != nil {
			return err
		}
		b[i] = c
	}
	p.current.size += len(b)
	return nil
}

// kept is what is being kept of a value.
type kept struct {
	room int // bytes that may still come
	n    int
	over bool
}

func (p *parser) open(field Field) kept {
	switch {
	case field == Message && !p.current.have[Message]:
		return kept{room: MaxMessage}
	case field < fieldCount && !p.current.have[field]:
		return kept{room: maxValue}
	case field == cursorField:
		p.next = p.next[:0]
		return kept{room: maxPosition}
	default:
		return kept{}
	}
}

func (p *parser) keep(field Field, k *kept, value []byte) {
	if len(value) > k.room {
		value, k.over = value[:k.room], true
	}
	k.room -= len(value)
	k.n += len(value)
	if field == cursorField {
		p.next = append(p.next, value...)
	} else {
		p.arena = append(p.arena, value...)
	}
}

// close ends a field.
func (p *parser) close(field Field, k kept) error {
	e := &p.current
	switch {
	case field == cursorField && (k.over || k.n == 0):
		return fmt.Errorf("a position of more than %d bytes, or of none, %w", maxPosition, errFormat)
	case field == cursorField:
		p.currentCursor = true
		return nil
	case field == gapField:
		p.currentGap = true
		return nil
	}
	e.real = true
	if field >= fieldCount || e.have[field] {
		return nil
	}
	e.have[field] = true
	at := len(p.arena) - k.n
	switch {
	case field == Message:
		e.cut = k.over
	case k.over && field != Identifier: // a beginning proves nothing; an identifier proves nothing anyway
		p.arena = p.arena[:at]
		return nil
	}
	e.values[field] = span{at, k.n}
	return nil
}

// end ends an entry.
func (p *parser) end() error {
	if p.currentGap {
		p.gaps++
	}
	if p.current.real && !p.seen() {
		p.entries = append(p.entries, p.current)
	}
	if p.currentCursor {
		p.cursor = append(p.cursor[:0], p.next...)
		p.placed, p.covered = len(p.entries), len(p.arena)
	}
	p.current, p.currentCursor, p.currentGap = entry{}, false, false
	switch {
	case p.placed >= maxBatch || p.placed > 0 && len(p.arena) > fullArena:
		return p.handOver()
	case len(p.entries) > maxUnplaced || len(p.arena) > maxArena:
		return fmt.Errorf("%d entries of %d bytes without a position: it %w", len(p.entries), len(p.arena), errFormat)
	}
	return nil
}

// seen reports whether the current entry is the one that reading goes on behind.
func (p *parser) seen() bool {
	if len(p.skipTo) == 0 {
		return false
	}
	same := p.currentCursor && bytes.Equal(p.next, p.skipTo)
	p.skipTo = nil
	if !same {
		p.gaps++
	}
	return same
}

// handOver hands over the entries up to the last position, and forgets them.
func (p *parser) handOver() error {
	if len(p.cursor) == 0 {
		return nil
	}
	if err := p.take(p); err != nil {
		p.refused = true
		return err
	}
	p.gaps, p.cursor = 0, p.cursor[:0]
	if p.placed == 0 {
		return nil
	}
	p.arena = p.arena[:copy(p.arena, p.arena[p.covered:])]
	p.entries = p.entries[:copy(p.entries, p.entries[p.placed:])]
	for i := range p.entries {
		p.entries[i].shift(p.covered)
	}
	p.current.shift(p.covered)
	p.placed, p.covered = 0, 0
	return nil
}

func (e *entry) shift(by int) {
	for i := range e.values {
		e.values[i].at -= by
	}
}

// value returns a field of an entry, nil if it has none.
func (p *parser) value(e *entry, f Field) []byte {
	s := e.values[f]
	if s.n == 0 {
		return nil
	}
	return p.arena[s.at : s.at+s.n : s.at+s.n]
}
