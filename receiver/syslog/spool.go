package syslog

import (
	"context"
	"encoding/binary"
	"sync"
	"time"

	"tattled/receiver"
)

// spool makes of a listener a source that can rewind: what is taken out of the kernel is in its ring before the kernel
// forgets it, and stays there until its cursor is committed. The next process reads from the ring what this one had not
// committed, before anything new.
//
//	kernel ─ peek, receive ─ put (into the ring) ─ the kernel forgets it ─ deliver (Handle) ─ commit ─ room in the ring
//
// Blocks are delivered in the order of the ring, one at a time, or a cursor would say of one that is not yet delivered that
// it is: whoever puts and delivers holds the lock over both.
type spool struct {
	mu     sync.Mutex
	ring   *ring
	from   receiver.Positions
	stream string
	batch  *batcher
	failed error // of deliver: nothing may be delivered after what was not

	start   place64 // where this process goes on
	last    place64 // the cursor that was handed on last
	handed  bool    // there is one
	checked uint64  // where the room was looked at last

	ends map[uint64]uint64 // of streams by id, as the process before left them
}

// place64 is a position in the ring: so many records into the block at a position.
type place64 struct {
	at   uint64
	done uint32
}

// sizeCursor is the size of a cursor: the ring's generation and a place64.
const sizeCursor = 8 + 8 + 4

func (p place64) cursor(to []byte, generation uint64) receiver.Cursor {
	to = binary.BigEndian.AppendUint64(to[:0], generation)
	to = binary.BigEndian.AppendUint64(to, p.at)
	return binary.BigEndian.AppendUint32(to, p.done)
}

// committed returns where the stream was left, ok if that is a position in this ring.
func (s *spool) committed() (p place64, ok bool) {
	c := s.from.Position(s.stream)
	if len(c) != sizeCursor || binary.BigEndian.Uint64(c) != s.ring.head.generation {
		return p, false
	}
	return place64{binary.BigEndian.Uint64(c[8:]), binary.BigEndian.Uint32(c[16:])}, true
}

// StreamPrefix begins the streams of listeners with a ring. What follows is the source.
const StreamPrefix = "ring:"

// openSpool takes up the ring that the process before left, or makes one and has it kept. Without anybody to keep it, or to
// remember positions, there is none, and it returns nil.
func (r *Receiver) openSpool(from receiver.Positions) *spool {
	if r.keeper == nil || from == nil {
		return nil
	}
	s := &spool{from: from, stream: StreamPrefix + r.cfg.Listen, batch: newBatcher(r), ends: map[uint64]uint64{}}
	s.batch.spool = s
	stage := 0
	if r.tcp == nil {
		stage = stageSize
	}
	name := ringName(r.cfg.Listen)
	if r.left != nil {
		ring, err := openRing(r.left, stage)
		if s.ring, r.left = ring, nil; err != nil {
			r.meter.Gaps.Add(1)
			r.keeper.Forget(name)
		}
	}
	if s.ring == nil {
		ring, err := newRing(r.cfg.Ring, stage)
		if err != nil {
			r.meter.Errors.Add(1)
			return nil
		}
		if !r.keeper.Keep(name, ring.file.Fd()) || !r.keeper.Settle(name) {
			r.keeper.Forget(name)
			ring.close()
			return nil
		}
		s.ring = ring
	}
	s.begin()
	return s
}

// begin finds out where to go on.
func (s *spool) begin() {
	h := s.ring.head
	p, ok := s.committed()
	switch {
	case !ok || p.at < h.tail:
		p = place64{at: h.tail}
	case p.at > h.head: // of a store that knows more of this ring than it has
		s.batch.gaps++
		p = place64{at: h.head}
	}
	s.start, s.checked = p, h.head
}

// replay hands on what the process before took and did not commit. A ring that is damaged ends where the damage begins.
func (s *spool) replay(ctx context.Context, h receiver.Handler) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var found scratch
	trust, fixed := s.batch.r.cfg.fixedTrust()
	for at, skip := s.start.at, s.start.done; ctx.Err() == nil; skip = 0 {
		b, ok, err := s.ring.read(at, &found)
		if err != nil {
			s.batch.gaps++
			s.ring.cut(at)
		}
		if !ok {
			break
		}
		s.ends[b.id] = b.end
		for i := range found.pieces {
			p := &found.pieces[i]
			s.batch.bytes += uint64(len(p.data))
			if fixed { // the configuration may have changed
				p.trust = trust
			}
		}
		if err := s.deliver(ctx, h, &b, found.pieces, skip); err != nil {
			return err
		}
		at = b.next
	}
	s.batch.count()
	return ctx.Err()
}

// put writes pieces into the ring, and waits for room. s.mu is held. When it fails, nothing was written.
func (s *spool) put(ctx context.Context, b *block, pieces []piece) error {
	if s.failed != nil {
		return s.failed
	}
	if err := s.reserve(ctx, sizeOf(pieces)); err != nil {
		return err
	}
	s.ring.write(b, pieces)
	return nil
}

// takeDatagrams takes what b holds of d.
func (s *spool) takeDatagrams(ctx context.Context, h receiver.Handler, d *datagrams, b *batcher) error {
	pieces := b.pieces
	b.pieces = b.pieces[:0]
	b.count()
	if len(pieces) == 0 {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	blk := block{received: b.batch.Received, id: datagramStream, end: d.turn}
	if err := s.put(ctx, &blk, pieces); err != nil {
		return err
	}
	d.done()
	return s.deliver(ctx, h, &blk, pieces, 0)
}

// takeFrames takes what c's reader holds, which are the records in the next n bytes of c.
func (s *spool) takeFrames(ctx context.Context, c *conn, n int) error {
	b := c.rd.batcher
	pieces := b.pieces
	b.pieces = b.pieces[:0]
	b.count()
	if n == 0 {
		return nil
	}
	sure := c.revalidate() // before they are in the ring, or the next process would skip them and go on in the middle of a record
	blk := block{received: b.batch.Received, end: c.begin() + uint64(n)}
	if c.kept != "" {
		blk.id = streamID(c.kept)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(pieces) > 0 {
		if err := s.put(ctx, &blk, pieces); err != nil {
			return err
		}
	}
	ends := errMidRecord
	if sure {
		ends = c.forget(n)
	}
	if len(pieces) > 0 {
		if err := s.deliver(ctx, c.server.handler, &blk, pieces, 0); err != nil {
			return err
		}
	}
	return ends
}

// deliver hands on the records of a block but the first skip of them. s.mu is held.
func (s *spool) deliver(ctx context.Context, h receiver.Handler, b *block, pieces []piece, skip uint32) error {
	s.batch.begin(b.received)
	s.batch.at, s.batch.skip = place64{at: b.at}, skip
	for i := range pieces {
		if s.failed = s.batch.piece(ctx, h, &pieces[i]); s.failed != nil {
			return s.failed
		}
	}
	s.batch.at, s.batch.skip = place64{at: b.next}, 0
	s.failed = s.batch.flush(ctx, h)
	return s.failed
}

// mark gives a batch its stream and cursor.
func (s *spool) mark(b *receiver.Batch, p place64) {
	b.Stream = s.stream
	b.Cursor = p.cursor(b.Cursor, s.ring.head.generation)
	s.last, s.handed = p, true
}

// reserve sees to it that there is room for size bytes: where there is none, nothing is read until what is in the ring is
// committed.
func (s *spool) reserve(ctx context.Context, size int) error {
	every := uint64(len(s.ring.data) / 16)
	if s.ring.head.head-s.checked >= every {
		s.checked = s.ring.head.head
		s.release()
		if s.ring.used() == 0 {
			s.ring.rewind() // so that a listener with little to do touches little memory
			s.release()
			s.checked = s.ring.head.head
		} else if s.ring.used() > 4*every {
			s.hurry()
		}
	}
	for !s.ring.fits(size) {
		if s.release(); s.ring.fits(size) {
			break
		}
		s.hurry()
		timer := time.NewTimer(roomEvery)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		}
	}
	return nil
}

// roomEvery is how often a full ring is looked at.
const roomEvery = 2 * time.Millisecond

// release gives up what is committed: all that was delivered, if the last cursor is, because what came after it had no
// record.
func (s *spool) release() {
	h := s.ring.head
	switch p, ok := s.committed(); {
	case !s.handed, ok && p == s.last:
		h.tail = h.head
	case ok:
		h.tail = max(h.tail, min(p.at, h.head))
	}
}

func (s *spool) hurry() {
	if f, ok := s.from.(receiver.Hurrier); ok {
		f.Hurry()
	}
}

func (s *spool) close() {
	if s != nil {
		s.ring.close()
	}
}
