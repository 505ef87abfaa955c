package syslog

import (
	"bytes"
	"context"
	"time"

	"tattled/event"
	"tattled/receiver"
	"tattled/receiver/wire"
)

// maxBatch bounds the records of a batch. Lines may be two bytes long, so that the bytes do not bound them.
const maxBatch = 1024

// batcher gathers records and their count, and hands them on. One goroutine uses it at a time.
type batcher struct {
	r       *Receiver
	parser  *wire.Parser
	program []byte // of records that name none; nil for none
	batch   receiver.Batch

	records, bytes, cut, gaps uint64
	empty, bad, notAllowed    uint64
	outOfStep                 uint64

	answered bool // records of the batch hold memory of their own, by go-syslog

	pieces []piece // for the spool; nil without

	// Of the batcher of a spool.
	spool *spool
	at    place64 // how far the records bring the ring
	skip  uint32  // how many records of the block are not to be handed on
}

func newBatcher(r *Receiver) *batcher {
	b := &batcher{
		r:      r,
		parser: wire.NewParser(r.loc),
		batch:  receiver.Batch{Source: r.cfg.Listen, Reporter: r.cfg.Reporter},
	}
	if r.cfg.Program != "" {
		b.program = []byte(r.cfg.Program)
	}
	return b
}

// begin starts a batch of what was read now.
func (b *batcher) begin(now time.Time) { b.batch.Received = now }

// full says that flush must come before the next add.
func (b *batcher) full() bool { return len(b.batch.Records)+len(b.pieces) >= maxBatch }

// hold takes a piece for the spool. It must keep until it was delivered.
func (b *batcher) hold(data []byte, cut bool, trust event.Trust) {
	b.pieces = append(b.pieces, piece{data, cut, trust})
}

// piece takes a piece out of the spool.
func (b *batcher) piece(ctx context.Context, h receiver.Handler, p *piece) error {
	if b.r.tcp == nil {
		return b.datagram(ctx, h, p.data, p.cut, p.trust)
	}
	return b.line(ctx, h, p.data, p.cut, p.trust)
}

// add takes a frame, which must keep until flush.
func (b *batcher) add(frame []byte, cut bool, trust event.Trust) {
	b.records++
	if wire.Blank(frame) {
		b.empty++
		return
	}
	if cut {
		b.cut++
	}
	n := len(b.batch.Records)
	if n == cap(b.batch.Records) {
		b.batch.Records = append(b.batch.Records, receiver.Record{})
	}
	b.batch.Records = b.batch.Records[:n+1]
	record := &b.batch.Records[n]
	record.Trust, record.Cut, record.Framing = trust, cut, receiver.Whole
	switch b.parser.Parse(frame, b.batch.Received, record) {
	case wire.None:
		if b.r.second.ask(frame, record) {
			b.answered = true
		} else {
			b.pure(frame, record)
		}
	case wire.Bare:
		if b.program != nil { // whose messages these are, the operator has said
			record.Trust = trust
		}
		if !bytes.Equal(record.Program, b.program) {
			b.pure(frame, record)
		}
	}
	if record.Program == nil {
		record.Program, record.Framing = b.program, receiver.FileLine // the rest of a message with a line end has no header either
	}
}

// pure takes the priority off a message of the listener's program that has no more of a header. Words that could be a tag ("DROP
// input: ...") are none where the operator has said whose messages those without a header are.
func (b *batcher) pure(frame []byte, record *receiver.Record) {
	if n := wire.Priority(frame); n > 0 && b.program != nil {
		record.Host, record.Program, record.PID, record.Message = nil, nil, nil, frame[n:]
	}
}

// datagram takes a datagram. cut says that it was longer than there was room.
func (b *batcher) datagram(ctx context.Context, h receiver.Handler, data []byte, cut bool, trust event.Trust) error {
	data = wire.Trim(data)
	if b.r.cfg.Datagrams != datagramsLines {
		return b.line(ctx, h, data, cut, trust)
	}
	for {
		line, rest, more := bytes.Cut(data, []byte{'\n'})
		if err := b.line(ctx, h, wire.Trim(line), cut && !more, trust); err != nil || !more {
			return err
		}
		data = rest
	}
}

// line takes one record.
func (b *batcher) line(ctx context.Context, h receiver.Handler, line []byte, cut bool, trust event.Trust) error {
	b.at.done++
	if b.skip > 0 {
		b.skip--
		return nil
	}
	if limit := b.r.cfg.MaxLine; len(line) > limit {
		line, cut = line[:limit], true
	}
	b.add(line, cut, trust)
	if b.full() {
		return b.flush(ctx, h)
	}
	return nil
}

// flush counts what was gathered and hands it on.
func (b *batcher) flush(ctx context.Context, h receiver.Handler) error {
	b.count()
	if len(b.batch.Records) == 0 {
		return nil
	}
	if b.spool != nil {
		b.spool.mark(&b.batch, b.at)
	}
	err := h.Handle(ctx, &b.batch)
	if b.answered {
		clear(b.batch.Records)
		b.answered = false
	}
	b.batch.Records = b.batch.Records[:0]
	return err
}

func (b *batcher) count() {
	m := &b.r.meter
	m.Records.Add(b.records)
	m.Bytes.Add(b.bytes)
	if b.cut|b.gaps|b.empty|b.bad|b.notAllowed|b.outOfStep != 0 {
		m.Cut.Add(b.cut)
		m.Gaps.Add(b.gaps)
		m.Drop(receiver.Empty, b.empty)
		m.Drop(receiver.BadFrame, b.bad)
		m.Drop(receiver.NotAllowed, b.notAllowed)
		m.Drop(receiver.OutOfStep, b.outOfStep)
	}
	b.records, b.bytes, b.cut, b.gaps = 0, 0, 0, 0
	b.empty, b.bad, b.notAllowed, b.outOfStep = 0, 0, 0, 0
}
