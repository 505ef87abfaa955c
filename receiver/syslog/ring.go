package syslog

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"os"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"tattled/event"
)

// ring is a ring of blocks in a file in memory, mapped into the process. systemd keeps the file, so that the next process
// finds in it what this one took out of the kernel. One goroutine uses it at a time.
//
// The file is a page with ringHead, the memory that datagrams are received into (none for TCP), and the data. Positions
// count bytes of data and never wrap: the byte at position p is at p modulo the size of the data. A block is not cut by the
// end of the data: where there is no room for it, a zero says so, and it is at the beginning. The blocks between tail and
// head are whole. A writer stores head last, in one atomic step, so that a process that is killed leaves no half block.
type ring struct {
	file  *os.File
	mem   []byte
	head  *ringHead
	stage []byte
	data  []byte
}

// ringHead is the beginning of the file.
type ringHead struct {
	magic      [8]byte
	version    uint32
	stage      uint32 // bytes
	size       uint64 // of the data, in bytes
	generation uint64 // of positions: another file, another number
	tail       uint64
	head       uint64
}

const (
	ringMagic   = "tattring"
	ringVersion = 1
	pageSize    = 4096

	blockHead = 48
	pieceHead = 4

	// A piece's length, which is at most maxDatagram, and what is known of it.
	pieceCut    = 1 << 24
	pieceTrust  = 25
	pieceLength = pieceCut - 1
)

// block is a run of pieces that came by one way: what one recvmmsg(2) brought, or whole frames of one connection.
type block struct {
	at, next uint64 // its position, and that of the next
	received time.Time
	// id tells the stream of which the pieces are a part, and end is up to where: of a connection, its bytes; of datagrams,
	// the turns of receiving. 0 is a stream that no other process goes on with.
	id, end uint64
}

// piece is a datagram or a frame.
type piece struct {
	data  []byte
	cut   bool
	trust event.Trust
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// newRing makes an empty ring with size bytes of data behind stage bytes, both rounded up to pages.
func newRing(size, stage int) (*ring, error) {
	size, stage = pages(size), pages(stage)
	fd, err := unix.MemfdCreate("tattled-ring", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return nil, fmt.Errorf("make a file in memory: %w", err)
	}
	file := os.NewFile(uintptr(fd), "ring")
	if err = file.Truncate(int64(pageSize + stage + size)); err == nil {
		_, err = unix.FcntlInt(file.Fd(), unix.F_ADD_SEALS, ringSeals)
	}
	if err != nil {
		file.Close()
		return nil, fmt.Errorf("make a file in memory: %w", err)
	}
	g := &ring{file: file}
	if err := g.mapFile(pageSize + stage + size); err != nil {
		return nil, err
	}
	h := g.head
	copy(h.magic[:], ringMagic)
	h.version, h.stage, h.size, h.generation = ringVersion, uint32(stage), uint64(size), rand.Uint64()
	g.divide()
	return g, nil
}

// ringSeals see to it that the file keeps its size, so that no access to the memory fails.
const ringSeals = unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_SEAL

func pages(n int) int { return (n + pageSize - 1) &^ (pageSize - 1) }

// openRing opens what another process left. It owns file, also when it fails. stage is as for newRing.
func openRing(file *os.File, stage int) (*ring, error) {
	g := &ring{file: file}
	info, err := file.Stat()
	if err != nil || info.Size() <= pageSize || info.Size() > 2<<30 {
		file.Close()
		return nil, errors.Join(errors.New("not a ring"), err)
	}
	if seals, err := unix.FcntlInt(file.Fd(), unix.F_GET_SEALS, 0); err != nil || seals&ringSeals != ringSeals {
		file.Close()
		return nil, errors.Join(errors.New("not a ring"), err)
	}
	if err := g.mapFile(int(info.Size())); err != nil {
		return nil, err
	}
	if h := g.head; string(h.magic[:]) != ringMagic || h.version != ringVersion || int(h.stage) != pages(stage) ||
		h.size == 0 || h.size != uint64(info.Size())-pageSize-uint64(h.stage) || h.size%pageSize != 0 ||
		h.tail > h.head || h.head-h.tail > h.size || h.tail%8 != 0 || h.head%8 != 0 {
		g.close()
		return nil, errors.New("the ring's head is damaged, or of another version")
	}
	g.divide()
	return g, nil
}

func (g *ring) mapFile(size int) (err error) {
	if g.mem, err = unix.Mmap(int(g.file.Fd()), 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED); err != nil {
		g.file.Close()
		return fmt.Errorf("map a file in memory: %w", err)
	}
	g.head = (*ringHead)(unsafe.Pointer(&g.mem[0]))
	return nil
}

func (g *ring) divide() {
	g.stage = g.mem[pageSize : pageSize+int(g.head.stage)]
	g.data = g.mem[pageSize+int(g.head.stage):]
}

// close lets go of the memory. Nothing may use it any more.
func (g *ring) close() {
	_ = unix.Munmap(g.mem)
	g.mem, g.stage, g.data, g.head = nil, nil, nil, nil
	g.file.Close()
}

// sizeOf returns how many bytes a block of pieces has.
func sizeOf(pieces []piece) int {
	size := blockHead
	for i := range pieces {
		size += pieceHead + len(pieces[i].data)
	}
	return (size + 7) &^ 7
}

// place returns where a block of size bytes goes.
func (g *ring) place(size int) uint64 {
	at, all := g.head.head, uint64(len(g.data))
	if rest := all - at%all; uint64(size) > rest {
		return at + rest
	}
	return at
}

// fits reports whether there is room for a block of size bytes.
func (g *ring) fits(size int) bool {
	return g.place(size)+uint64(size)-g.head.tail <= uint64(len(g.data))
}

// used returns how many bytes are between tail and head.
func (g *ring) used() uint64 { return g.head.head - g.head.tail }

// rewind has the next block go to the beginning of the memory.
func (g *ring) rewind() {
	if offset := g.head.head % uint64(len(g.data)); offset > 0 {
		binary.LittleEndian.PutUint32(g.data[offset:], 0)
		atomic.StoreUint64(&g.head.head, g.head.head-offset+uint64(len(g.data)))
	}
}

// cut takes away what is from position at on.
func (g *ring) cut(at uint64) { atomic.StoreUint64(&g.head.head, at) }

// write adds a block, for which there must be room. It sets b.at and b.next.
func (g *ring) write(b *block, pieces []piece) {
	size, all := sizeOf(pieces), uint64(len(g.data))
	if b.at = g.place(size); b.at != g.head.head {
		binary.LittleEndian.PutUint32(g.data[g.head.head%all:], 0)
	}
	b.next = b.at + uint64(size)
	to, le := g.data[b.at%all:][:size], binary.LittleEndian
	le.PutUint32(to, uint32(size))
	le.PutUint64(to[8:], b.at)
	le.PutUint64(to[16:], uint64(b.received.UnixNano()))
	le.PutUint64(to[24:], b.id)
	le.PutUint64(to[32:], b.end)
	le.PutUint64(to[40:], uint64(len(pieces)))
	n := blockHead
	for i := range pieces {
		p := &pieces[i]
		what := uint32(len(p.data)) | uint32(p.trust)<<pieceTrust
		if p.cut {
			what |= pieceCut
		}
		le.PutUint32(to[n:], what)
		n += pieceHead + copy(to[n+pieceHead:], p.data)
	}
	clear(to[n:])
	le.PutUint32(to[4:], crc32.Checksum(to[8:], castagnoli))
	atomic.StoreUint64(&g.head.head, b.next)
}

var errRing = errors.New("the ring is damaged")

// scratch is what read copies blocks to.
type scratch struct {
	buf    []byte
	pieces []piece
}

// read copies the block at position at or, where the data ends there, the one at the beginning. ok is false if there are no
// more. The pieces in to hold until the next read.
func (g *ring) read(at uint64, to *scratch) (b block, ok bool, err error) {
	head, all, le := g.head.head, uint64(len(g.data)), binary.LittleEndian
	if at == head {
		return b, false, nil
	}
	rest := g.data[at%all:]
	size := le.Uint32(rest)
	if size == 0 {
		if at += uint64(len(rest)); at == head {
			return b, false, nil
		}
		rest = g.data
		size = le.Uint32(rest)
	}
	if at > head || size < blockHead || size%8 != 0 || uint64(size) > head-at || uint64(size) > uint64(len(rest)) {
		return b, false, errRing
	}
	to.buf = append(to.buf[:0], rest[:size]...)
	buf := to.buf
	if le.Uint32(buf[4:]) != crc32.Checksum(buf[8:], castagnoli) || le.Uint64(buf[8:]) != at {
		return b, false, errRing
	}
	b = block{
		at: at, next: at + uint64(size), received: time.Unix(0, int64(le.Uint64(buf[16:]))),
		id: le.Uint64(buf[24:]), end: le.Uint64(buf[32:]),
	}
	err = to.split(buf[blockHead:], le.Uint64(buf[40:]))
	return b, err == nil, err
}

// split finds count pieces in a block.
func (to *scratch) split(from []byte, count uint64) error {
	to.pieces = to.pieces[:0]
	for range count {
		if len(from) < pieceHead {
			return errRing
		}
		what := binary.LittleEndian.Uint32(from)
		n, trust := int(what&pieceLength), event.Trust(what>>pieceTrust)
		from = from[pieceHead:]
		if n > len(from) || trust > event.TrustReport {
			return errRing
		}
		to.pieces = append(to.pieces, piece{data: from[:n:n], cut: what&pieceCut != 0, trust: trust})
		from = from[n:]
	}
	return nil
}
