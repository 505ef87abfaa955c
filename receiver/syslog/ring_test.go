package syslog

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tattled/event"
	"tattled/receiver"
)

func testRing(t testing.TB, size int) *ring {
	g, err := newRing(size, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if g.mem != nil {
			g.close()
		}
	})
	return g
}

// again opens what g left, as the next process does.
func (g *ring) again(t testing.TB, stage int) (*ring, error) {
	f := dup(t, int(g.file.Fd()), "ring")
	return openRing(f, stage)
}

// Blocks come out as they went in, over many laps, whatever their sizes.
func TestRing(t *testing.T) {
	g := testRing(t, 16*pageSize)
	random := rand.New(rand.NewPCG(1, 2))
	var found scratch
	var want [][]piece
	at := uint64(0)
	for range 5000 {
		var pieces []piece
		for range 1 + random.IntN(20) {
			pieces = append(pieces, piece{bytes.Repeat([]byte{byte(random.IntN(256))}, random.IntN(400)), random.IntN(2) == 0, event.Trust(random.IntN(2))})
		}
		for !g.fits(sizeOf(pieces)) {
			b, ok, err := g.read(at, &found)
			if err != nil || !ok {
				t.Fatalf("at %d: %v %v", at, ok, err)
			}
			if !slices.EqualFunc(found.pieces, want[0], func(a, b piece) bool {
				return bytes.Equal(a.data, b.data) && a.cut == b.cut && a.trust == b.trust
			}) {
				t.Fatalf("the block at %d came out otherwise", at)
			}
			if b.id != uint64(len(want[0])) || b.end != b.at+7 || b.received.UnixNano() != 12345 {
				t.Fatalf("%+v", b)
			}
			at, want = b.next, want[1:]
			g.head.tail = at
			if len(want) == 0 && random.IntN(2) == 0 {
				g.rewind()
				g.head.tail, at = g.head.head, g.head.head
			}
		}
		b := block{received: time.Unix(0, 12345), id: uint64(len(pieces))}
		b.end = g.place(sizeOf(pieces)) + 7
		g.write(&b, pieces)
		want = append(want, pieces)
	}
	next, err := g.again(t, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer next.close()
	n := 0
	for {
		b, ok, err := next.read(at, &found)
		if err != nil {
			t.Fatal(err)
		}
		if !ok {
			break
		}
		at = b.next
		n++
	}
	if n != len(want) || at != next.head.head {
		t.Errorf("%d blocks of %d up to %d of %d", n, len(want), at, next.head.head)
	}
}

// What is not a ring of ours is refused.
func TestOpenRing(t *testing.T) {
	spoil := map[string]func(*ring){
		"nothing":    func(*ring) {},
		"magic":      func(g *ring) { g.head.magic[0]++ },
		"version":    func(g *ring) { g.head.version++ },
		"stage":      func(g *ring) { g.head.stage += pageSize },
		"size":       func(g *ring) { g.head.size -= pageSize },
		"tail":       func(g *ring) { g.head.tail = 8 },
		"head":       func(g *ring) { g.head.head = g.head.size + 8 },
		"no size":    func(g *ring) { g.head.size = 0 },
		"misaligned": func(g *ring) { g.head.head = 4 },
	}
	for name, do := range spoil {
		g := testRing(t, pageSize)
		do(g)
		next, err := g.again(t, 0)
		if (err == nil) != (name == "nothing") {
			t.Errorf("%s: %v", name, err)
		}
		if err == nil {
			next.close()
		}
	}
	if g, err := openRing(memory(t, strings.Repeat("x", 3*pageSize)), 0); err == nil {
		g.close()
		t.Error("a file that is not sealed was taken")
	}
}

// A damaged ring is cut where the damage begins; nothing panics.
func FuzzRing(f *testing.F) {
	f.Add(uint16(0), []byte{1}, uint64(4096), uint64(0))
	f.Add(uint16(4), []byte("\x00\x00\x00\x00"), uint64(800), uint64(0))
	f.Add(uint16(48), []byte("\xff\xff\xff\xff"), uint64(4096), uint64(100))
	f.Add(uint16(40), []byte("\xff\xff\xff\xff\xff\xff\xff\xff"), uint64(4096), uint64(8))
	f.Fuzz(func(t *testing.T, offset uint16, garbage []byte, head, at uint64) {
		g := testRing(t, 2*pageSize)
		for i := range 10 {
			g.write(&block{id: uint64(i)}, []piece{{data: []byte("one")}, {data: bytes.Repeat([]byte("x"), 300), cut: true}})
		}
		copy(g.data[int(offset)%len(g.data):], garbage)
		g.head.head = head % (2*pageSize + 1) &^ 7
		var found scratch
		for at %= g.head.head + 1; ; {
			b, ok, err := g.read(at&^7, &found)
			if err != nil || !ok {
				break
			}
			if b.next <= at || b.next > g.head.head {
				t.Fatalf("from %d to %d of %d", at, b.next, g.head.head)
			}
			at = b.next
		}
	})
}

// Every kind of garbage in a ring that comes back: what is sound before it is read, the rest is counted, and the listener
// works.
func TestDamagedRing(t *testing.T) {
	for name, damage := range map[string]func(*ring){
		"head":    func(g *ring) { g.head.magic[0] = 0 },
		"payload": func(g *ring) { g.data[blockHead+pieceHead]++ },
		"length":  func(g *ring) { binary.LittleEndian.PutUint32(g.data, 1<<31) },
		"count":   func(g *ring) { g.data[47] = 0xff },
	} {
		t.Run(name, func(t *testing.T) {
			u, w := newUDPUnit(t, Config{}), newWatch()
			u.setLazy(true)
			r, stop := u.start(w)
			send(t, dial(t, r), header+"lost")
			w.wait(t, 1)
			stop()
			g, err := openRing(u.ring(), stageSize)
			if err != nil {
				t.Fatal(err)
			}
			damage(g)
			g.close()
			r, stop = u.start(w)
			send(t, dial(t, r), header+"next")
			w.wait(t, 2)
			stop()
			if got := w.messages(); !slices.Equal(got, []string{"lost", "next"}) || r.Meter().Gaps.Load() != 1 {
				t.Errorf("%q, %d gaps", got, r.Meter().Gaps.Load())
			}
		})
	}
}

// ring returns the file of the ring that is kept.
func (s *shelf) ring() *os.File {
	s.mu.Lock()
	defer s.mu.Unlock()
	for name, files := range s.files {
		if strings.HasPrefix(name, ringPrefix) {
			return dup(s.t, files[0], name)
		}
	}
	s.t.Fatal("no ring is kept")
	return nil
}

// A full ring stops the reading until there is a commit, and nothing is lost: the kernel keeps it, and the peer waits.
func TestFullRing(t *testing.T) {
	u, w := newUnit(t, Config{}), newWatch()
	u.setLazy(true)
	r, stop := u.start(w)
	c := dial(t, r)
	const total = 3 * defaultRing
	record := header + strings.Repeat("x", 8000-len(header)-1) + "\n"
	sent := make(chan error, 1)
	go func() {
		for range total / len(record) {
			if _, err := c.Write([]byte(record)); err != nil {
				sent <- err
				return
			}
		}
		sent <- nil
	}()
	until(t, "the ring to be full", func() bool { return u.hurries.Load() > 100 })
	if n := w.count() * len(record); n > defaultRing {
		t.Errorf("%d bytes were taken, the ring has %d", n, defaultRing)
	}
	u.setLazy(false)
	u.catchUp()
	if err := <-sent; err != nil {
		t.Fatal(err)
	}
	w.wait(t, total/len(record))
	stop()
	if n := w.count(); n != total/len(record) {
		t.Errorf("%d records", n)
	}
}

// What has no record is given up as well: a stranger who sends nothing but blanks fills no ring.
func TestBlanksDoNotFillTheRing(t *testing.T) {
	u, w := newUDPUnit(t, Config{}), newWatch()
	r := u.open()
	defer r.closeSockets()
	r.spool = r.openSpool(u.ledger)
	defer r.spool.close()
	blank := []piece{{data: bytes.Repeat([]byte(" "), 60000)}}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for i := range 2 * defaultRing / 60000 {
		if i == 300 { // and behind a record too
			through(t, r.spool, u.commits(w), piece{data: []byte(header + "one")})
		}
		b := block{received: time.Unix(1, 0)}
		if err := r.spool.put(ctx, &b, blank); err != nil {
			t.Fatalf("block %d: %v", i, err)
		}
		if err := r.spool.deliver(ctx, u.commits(w), &b, blank, 0); err != nil {
			t.Fatal(err)
		}
	}
}

func through(t testing.TB, s *spool, h receiver.Handler, pieces ...piece) {
	t.Helper()
	b := block{received: time.Unix(1, 0)}
	if err := s.put(t.Context(), &b, pieces); err != nil {
		t.Fatal(err)
	}
	if err := s.deliver(t.Context(), h, &b, pieces, 0); err != nil {
		t.Fatal(err)
	}
}

// A listener with little to do goes on using the beginning of its ring.
func TestQuietRingStaysSmall(t *testing.T) {
	u, w := newUDPUnit(t, Config{}), newWatch()
	r := u.open()
	defer r.closeSockets()
	r.spool = r.openSpool(u.ledger)
	defer r.spool.close()
	h := u.commits(w)
	for range 20000 {
		through(t, r.spool, h, piece{data: []byte(header + strings.Repeat("x", 4000))})
	}
	var status unix.Stat_t
	if err := unix.Fstat(int(r.spool.ring.file.Fd()), &status); err != nil {
		t.Fatal(err)
	}
	if used := status.Blocks * 512; used > 2<<20 {
		t.Errorf("80 MB went through it, and it takes %d KiB of memory", used>>10)
	}
}

// A cursor of another ring, or of more than this one has, is no position in it.
func TestForeignCursor(t *testing.T) {
	for name, spoil := range map[string]func(c receiver.Cursor){
		"another generation": func(c receiver.Cursor) { c[0]++ },
		"behind the end":     func(c receiver.Cursor) { c[8] = 1 },
	} {
		t.Run(name, func(t *testing.T) {
			u, w := newUDPUnit(t, Config{}), newWatch()
			r, stop := u.start(w)
			send(t, dial(t, r), header+"one")
			w.wait(t, 1)
			stop()
			want := []string{"one", "one", "two"}
			for _, c := range u.at {
				spoil(c)
			}
			if name == "behind the end" {
				want = []string{"one", "two"}
			}
			u.resumes(t, w, want, func(r *Receiver) { send(t, dial(t, r), header+"two") })
		})
	}
}

// What was received under another configuration is judged by the one of now.
func TestRingUnderAnotherConfiguration(t *testing.T) {
	u, w := newUDPUnit(t, Config{Trust: "report"}), newWatch()
	u.setLazy(true)
	r, stop := u.start(w)
	send(t, dial(t, r), header+"first"+strings.Repeat("x", 600))
	w.wait(t, 1)
	stop()
	u.cfg.Trust, u.cfg.MaxLine = "count", 512
	_, stop = u.start(w)
	got := w.wait(t, 2)
	stop()
	if got[0].trust != "report" || got[1].trust != "count" || w.cut != 1 {
		t.Errorf("%.200v, %d cut", got, w.cut)
	}
}

func BenchmarkRing(b *testing.B) {
	g := testRing(b, defaultRing)
	var pieces []piece
	for i := range 64 {
		pieces = append(pieces, piece{data: []byte(fmt.Sprint(header, i, strings.Repeat("x", 100)))})
	}
	blk := block{received: time.Unix(1, 0)}
	b.ReportAllocs()
	b.SetBytes(int64(sizeOf(pieces)))
	for b.Loop() {
		g.head.tail = g.head.head
		g.write(&blk, pieces)
	}
}
