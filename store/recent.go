package store

import (
	"bytes"
	"encoding/binary"
	"slices"
	"sync"
)

const (
	// partSize is from how many bytes on a record of Recent is full. Records of this size share pages well; larger ones would
	// need free pages side by side, which an old file has not.
	partSize = 600
	// foldAbove is how many addresses may be newer than in Addresses before folding begins; below it an address that is seen
	// again and again costs no page of its own.
	foldAbove = 4096
	// foldCommits is how many commits' worth of Recent may lie there before folding begins, so that a start reads little.
	foldCommits = 1024
	// recentMax is how many addresses are held in memory, about 300 bytes each. Above it folding is faster than whatever
	// comes in.
	recentMax = 1 << 16
)

// version is an address as a commit wrote it, encoded.
type version struct {
	record []byte
	commit uint64
}

// recent is the addresses that are newer than in the table Addresses, as of the last commit: all that lies in Recent and
// was not folded. The committer alone changes it; others look things up.
type recent struct {
	mu sync.RWMutex
	m  map[[16]byte]version

	// For the committer alone.
	lap    [][16]byte // keys to be folded in this lap, ascending
	upTo   uint64     // what commits up to here left in Recent goes when the lap ends
	oldest uint64     // no commit before this one has anything in Recent
}

func (r *recent) get(key [16]byte) (version, bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	v, ok := r.m[key]
	return v, ok
}

// load reads the table Recent. It returns how many of its records were damaged; what they held is as old as it is in
// Addresses.
func (r *recent) load(tx ReadTx) (damaged int) {
	r.m = make(map[[16]byte]version)
	tx.Scan(Recent, nil, nil, false, func(k, v []byte) bool {
		payload, ok := unseal(Recent, k, v)
		if !ok || len(k) != 10 {
			damaged++
			return true
		}
		commit := binary.BigEndian.Uint64(k)
		if r.oldest == 0 {
			r.oldest = commit
		}
		ok = eachVersion(payload, func(key [16]byte, record []byte) {
			if len(record) == 0 {
				delete(r.m, key)
				return
			}
			r.m[key] = version{bytes.Clone(record), commit}
		})
		if !ok {
			damaged++
		}
		return true
	})
	return damaged
}

// eachVersion takes a record of Recent apart. An empty version says that the address was given up.
func eachVersion(payload []byte, fn func(key [16]byte, record []byte)) bool {
	d := decoder{b: payload}
	for len(d.b) > 0 && !d.bad {
		key := d.bytes(16)
		record := d.bytes(d.count(len(d.b)))
		if !d.bad {
			fn([16]byte(key), record)
		}
	}
	return !d.bad
}

// parts writes versions into records of Recent.
type parts struct {
	w     *work
	n     uint16
	key   [10]byte
	part  []byte
	value []byte
}

// add takes one version.
func (p *parts) add(key [16]byte, record []byte) error {
	p.part = append(p.part, key[:]...)
	p.part = binary.AppendUvarint(p.part, uint64(len(record)))
	p.part = append(p.part, record...)
	if len(p.part) < partSize {
		return nil
	}
	return p.flush()
}

func (p *parts) flush() error {
	if len(p.part) == 0 {
		return nil
	}
	binary.BigEndian.PutUint64(p.key[:], p.w.counts.commit)
	binary.BigEndian.PutUint16(p.key[8:], p.n)
	p.value = seal(p.value[:0], Recent, p.key[:], p.part)
	if err := p.w.putRaw(Recent, p.key[:], p.value); err != nil {
		return err
	}
	p.n++
	p.part = p.part[:0]
	return nil
}

// fold moves addresses from memory to their place in Addresses, some in every commit, in the order of their keys. One
// that this commit touches is left for the next lap. When all that was there at the beginning of a lap has had its turn,
// what was written to Recent before it is not needed any more.
func (w *work) fold() error {
	r := &w.s.recent
	if len(r.lap) == 0 && !w.beginLap() {
		return nil
	}
	most := max(256, len(r.m)/64)
	if len(r.m) > recentMax {
		most = max(most, 2*len(w.order))
	}
	gone := make(map[[16]byte]bool, len(w.gone))
	for _, key := range w.gone {
		gone[key] = true
	}
	n := 0
	for n < len(r.lap) && len(w.folded) < most {
		key := r.lap[n]
		n++
		v, dirty := r.m[key]
		if _, touched := w.touched[key]; touched || !dirty || gone[key] {
			continue
		}
		w.buf = seal(w.buf[:0], Addresses, key[:], v.record)
		if err := w.putRaw(Addresses, key[:], w.buf); err != nil {
			return err
		}
		w.folded = append(w.folded, key)
	}
	w.lapLeft = r.lap[n:]
	if len(w.lapLeft) > 0 {
		return nil
	}
	return w.deleteRange(Recent, nil, key64(r.upTo+1), 1<<20)
}

// beginLap begins one if it is time.
func (w *work) beginLap() bool {
	r := &w.s.recent
	if len(r.m) == 0 || len(r.m) < foldAbove && w.counts.commit-r.oldest < foldCommits {
		return false
	}
	r.lap = r.lap[:0]
	for key := range r.m {
		r.lap = append(r.lap, key)
	}
	slices.SortFunc(r.lap, func(a, b [16]byte) int { return bytes.Compare(a[:], b[:]) })
	r.upTo = w.counts.commit - 1
	return true
}

// publish takes over what a commit that is durable did.
func (r *recent) publish(w *work) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, keys := range [][][16]byte{w.folded, w.gone} {
		for _, key := range keys {
			delete(r.m, key)
		}
	}
	for _, t := range w.order {
		r.m[t.key] = version{t.record, w.counts.commit}
	}
	if r.oldest == 0 {
		r.oldest = w.counts.commit
	}
	if w.lapLeft == nil {
		return
	}
	if r.lap = w.lapLeft; len(r.lap) == 0 {
		r.oldest = r.upTo + 1
	}
}
