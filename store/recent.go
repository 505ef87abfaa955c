package store

import (
	"bytes"
	"encoding/binary"
	"maps"
	"slices"
	"sync"
)

const (
	// partSize is from how many bytes on a record of Recent is full. Records of this size share pages well; larger ones would
	// need free pages side by side, which an old file has not.
	partSize = 1100
	// foldAbove is how many addresses may be newer than in Addresses before folding begins: the more there are, the more of
	// them share a page of Addresses. In memory each takes about 50 bytes.
	foldAbove = 1 << 15
	// foldBytes is how many bytes of Recent may be written before folding begins, and lapBytes how many more until it ends: a
	// few addresses that are seen again and again would fill the file otherwise.
	foldBytes = 16 << 20
	lapBytes  = 16 << 20
	// foldCommits is how many commits' worth of Recent may be there before folding begins, so that a start reads little, and
	// lapCommits how many more until it ends.
	foldCommits = 1024
	lapCommits  = 64
	// foldLeast is how many addresses a commit folds at least, and pruneLeast how many bytes of Recent it prunes.
	foldLeast  = 256
	pruneLeast = 256 << 10
)

// place is where Recent has what a commit wrote of an address: the part, and from which of its bytes on. A part begins its
// last address within partSize bytes.
type place struct {
	commit   uint64
	part, at uint16
	fresh    bool // nothing of it is in Addresses
}

// key is the key of the part.
func (p place) key() (key [10]byte) {
	binary.BigEndian.PutUint64(key[:], p.commit)
	binary.BigEndian.PutUint16(key[8:], p.part)
	return key
}

// recent is the addresses that are newer than in the table Addresses, as of the last commit: all that are in Recent and
// were not folded. Only their places are in memory. The committer alone changes it; others look things up.
type recent struct {
	mu sync.RWMutex
	m  map[[16]byte]place

	// For the committer alone.
	pass   [][16]byte // keys to be folded in this pass, ascending
	size   int        // how many there were when it began
	upTo   uint64     // what commits up to here left in Recent is not needed when the pass has ended
	before int        // bytes of it
	stale  uint64     // what commits up to here left is not needed; 0 if nothing of it is there any more
	oldest uint64     // no commit before this one has anything in Recent that is needed
	bytes  int        // in Recent that are needed
}

func (r *recent) get(key [16]byte) (place, bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	p, ok := r.m[key]
	return p, ok
}

// read returns what is at a place of Recent, lent as the transaction lends it. ok is false where it is not what was written
// there; damaged is the part then, nil if there is none.
func (p place) read(tx ReadTx, key [16]byte) (record, damaged []byte, ok bool) {
	payload, part := p.open(tx)
	if record, ok = p.find(payload, key); !ok {
		return nil, part, false
	}
	return record, nil, true
}

// open returns the part of a place, and what is in it, nil where that is damaged.
func (p place) open(tx ReadTx) (payload, part []byte) {
	k := p.key()
	part = tx.Get(Recent, k[:])
	payload, ok := unseal(Recent, k[:], part)
	if !ok {
		return nil, part
	}
	return payload, part
}

// find returns what a part has of an address.
func (p place) find(payload []byte, key [16]byte) (record []byte, ok bool) {
	if int(p.at) > len(payload) {
		return nil, false
	}
	d := decoder{b: payload[p.at:]}
	same := [16]byte(d.bytes(16)) == key
	record = d.bytes(d.count(len(d.b)))
	return record, same && !d.bad
}

// partKey names a part.
type partKey struct {
	commit uint64
	part   uint16
}

// readFolding is read for fold, which comes to the same parts again and again: each is looked for and checked once.
func (w *work) readFolding(p place, key [16]byte) (record []byte, ok bool, err error) {
	k := partKey{p.commit, p.part}
	payload, again := w.opened[k]
	if !again {
		payload, _ = p.open(w.tx)
		w.opened[k] = payload
	}
	if record, ok = p.find(payload, key); ok {
		return record, true, nil
	}
	clear(w.opened) // what was lent ends with the write that follows
	return w.read(p, key)
}

// read returns what is at a place of Recent, lent until Recent is written to. Where that is damaged, ok is false, the part is put
// aside, and all that it held is lost.
func (w *work) read(p place, key [16]byte) (record []byte, ok bool, err error) {
	record, damaged, ok := p.read(w.tx, key)
	if damaged != nil {
		k := p.key()
		err = w.quarantine(Recent, k[:], damaged)
	}
	if !ok {
		w.lose(p)
	}
	return record, ok, err
}

// lose takes the addresses of which the part of p has what is newest into this commit, as lost. Left alone, each would go back to
// an older state after a restart, which does not know what was told since.
func (w *work) lose(p place) {
	for key, at := range w.s.recent.m {
		if at.commit != p.commit || at.part != p.part || w.changes(key) {
			continue
		}
		now := milli(w.now)
		w.take(key, at.fresh).now = address{first: now, last: now, lost: now}
	}
}

// changes reports whether the group changed an address so far.
func (w *work) changes(key [16]byte) bool {
	_, inMemory := w.touched[key]
	_, written := w.places[key]
	return inMemory || written
}

// load reads the table Recent. It returns how many of its records were damaged; what they held is as old as it is in
// Addresses.
func (r *recent) load(tx ReadTx) (damaged int) {
	r.m = make(map[[16]byte]place)
	tx.Scan(Recent, nil, nil, false, func(k, v []byte) bool {
		payload, ok := unseal(Recent, k, v)
		if !ok || len(k) != 10 {
			damaged++
			return true
		}
		p := place{commit: binary.BigEndian.Uint64(k), part: binary.BigEndian.Uint16(k[8:])}
		if r.oldest == 0 {
			r.oldest = p.commit
		}
		r.bytes += len(v)
		ok = eachVersion(payload, func(key [16]byte, at int, record []byte) {
			if len(record) == 0 {
				delete(r.m, key)
				return
			}
			p.at = uint16(at)
			r.m[key] = p
		})
		if !ok {
			damaged++
		}
		return true
	})
	return damaged
}

// eachVersion takes a record of Recent apart, and says where in it each version begins. An empty version says that the
// address was given up.
func eachVersion(payload []byte, fn func(key [16]byte, at int, record []byte)) bool {
	d := decoder{b: payload}
	for len(d.b) > 0 && !d.bad {
		at := len(payload) - len(d.b)
		key := d.bytes(16)
		record := d.bytes(d.count(len(d.b)))
		if !d.bad {
			fn([16]byte(key), at, record)
		}
	}
	return !d.bad
}

// parts writes versions into records of Recent.
type parts struct {
	w       *work
	place   place // of the open part
	part    []byte
	value   []byte
	written int // bytes
}

// begin makes p ready for a commit.
func (p *parts) begin(w *work) {
	*p = parts{w: w, place: place{commit: w.counts.commit}, part: p.part[:0], value: p.value}
}

// add takes one version and returns its place.
func (p *parts) add(key [16]byte, record []byte) (place, error) {
	at := p.place
	at.at = uint16(len(p.part))
	p.part = append(p.part, key[:]...)
	p.part = binary.AppendUvarint(p.part, uint64(len(record)))
	p.part = append(p.part, record...)
	if len(p.part) < partSize {
		return at, nil
	}
	return at, p.flush()
}

func (p *parts) flush() error {
	if len(p.part) == 0 {
		return nil
	}
	key := p.place.key()
	p.value = seal(p.value[:0], Recent, key[:], p.part)
	if err := p.w.putRaw(Recent, key[:], p.value); err != nil {
		return err
	}
	p.written += len(p.value)
	p.place.part++
	p.part = p.part[:0]
	return nil
}

// fold moves addresses from Recent to their place in Addresses, some in every commit, in the order of their keys. One
// that this commit touches is left for the next lap. When all that was there at the beginning of a lap has had its turn,
// what was written to Recent before it is not needed any more: later commits prune it.
func (w *work) fold() error {
	r := &w.s.recent
	if err := w.prune(r.stale); err != nil {
		return err
	}
	if len(r.pass) == 0 && !w.beginLap() {
		return nil
	}
	most := max(foldLeast, r.size/lapCommits, r.size*w.parts.written/lapBytes)
	gone := make(map[[16]byte]bool, len(w.gone))
	for _, key := range w.gone {
		gone[key] = true
	}
	clear(w.opened)
	n := 0
	for n < len(r.pass) && len(w.folded) < most {
		key := r.pass[n]
		n++
		at, dirty := r.m[key]
		if !dirty || gone[key] || w.changes(key) {
			continue
		}
		record, ok, err := w.readFolding(at, key)
		if err != nil {
			return err
		}
		if !ok { // it is lost, and newer now
			continue
		}
		w.buf = seal(w.buf[:0], Addresses, key[:], record)
		put := w.putRaw
		if at.fresh {
			put = w.putNew
		}
		if err := put(Addresses, key[:], w.buf); err != nil {
			return err
		}
		w.folded = append(w.folded, key)
	}
	w.lapLeft = r.pass[n:]
	return w.putAddresses() // those that are lost
}

// prune deletes from Recent what commits up to upTo left there, the oldest first and twice as much as this commit writes. What
// remains is always the end of the history, so whoever reads it finds of each address the newest version or none. It begins a
// commit after the lap's end, or a reader that looked up a place just before would find nothing there, nor in Addresses.
func (w *work) prune(upTo uint64) error {
	if upTo == 0 {
		return nil
	}
	most := max(pruneLeast, 2*w.parts.written)
	var keys [][]byte
	w.tx.Scan(Recent, nil, key64(upTo+1), false, func(k, v []byte) bool {
		keys = append(keys, bytes.Clone(k))
		most -= len(v)
		return most > 0
	})
	w.pruned = most > 0
	return w.remove(Recent, keys)
}

// beginLap begins one if it is time.
func (w *work) beginLap() bool {
	r := &w.s.recent
	if len(r.m) == 0 || len(r.m) < foldAbove && r.bytes < foldBytes && w.counts.commit-r.oldest < foldCommits {
		return false
	}
	r.pass = r.pass[:0]
	for key := range r.m {
		r.pass = append(r.pass, key)
	}
	slices.SortFunc(r.pass, func(a, b [16]byte) int { return compareKeys(&a, &b) })
	r.size, r.upTo, r.before = len(r.pass), w.counts.commit-1, r.bytes
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
	maps.Copy(r.m, w.places)
	r.bytes += w.parts.written
	if r.oldest == 0 {
		r.oldest = w.counts.commit
	}
	if w.pruned {
		r.stale = 0
	}
	if w.lapLeft == nil {
		return
	}
	if r.pass = w.lapLeft; len(r.pass) == 0 {
		r.stale, r.oldest = r.upTo, r.upTo+1
		r.bytes -= r.before
	}
}
