package store

import "hash/maphash"

const (
	// knownBits is how many bits of memory an address takes, and knownProbes how many of them it sets: of a thousand addresses
	// that never were here, about four are looked for in vain.
	knownBits   = 16
	knownProbes = 4
	// knownLeast is for how many addresses there is room at least.
	knownLeast = 1 << 14
	// knownAtOnce is how many addresses a transaction takes over into a new filter.
	knownAtOnce = 8192
	// knownBlock is how many bits lie together: an address sets its bits in one block, which is one line of the processor's cache.
	knownBlock = 512
)

// known says of an address that it never was in Addresses nor in Recent, so that nobody needs to look for it: most that a flood
// brings are new. It is a Bloom filter, so it may take a new address for one that is known, which costs a look; it never
// takes a known one for new. Addresses that were given up stay in it until the next filter takes its place, which is filled
// from the tables, some addresses in each transaction. The zero value takes every address for known, until the first filter
// is full. For the committer alone.
type known struct {
	seed maphash.Seed
	now  filter
	next filter   // being filled; nil if there is none
	hand [16]byte // next has all addresses of the table Addresses below it
	n    uint64   // addresses in now, those that were given up since included
}

// filter is blocks of bits. An address has its block by the upper bits of its hash, and its bits in
// there by the lower ones.
type filter [][knownBlock / 64]uint64

func newFilter(addresses uint64) filter {
	return make(filter, addresses*knownBits/knownBlock)
}

func (f filter) block(hash uint64) *[knownBlock / 64]uint64 {
	return &f[hash>>32*uint64(len(f))>>32]
}

func (f filter) add(hash uint64) {
	block := f.block(hash)
	for range knownProbes {
		block[hash%knownBlock/64] |= 1 << (hash % 64)
		hash >>= 9
	}
}

func (f filter) has(hash uint64) bool {
	block := f.block(hash)
	for range knownProbes {
		if block[hash%knownBlock/64]&(1<<(hash%64)) == 0 {
			return false
		}
		hash >>= 9
	}
	return true
}

// mayHave reports whether an address may be in Addresses or in Recent.
func (k *known) mayHave(key [16]byte) bool {
	return k.now == nil || k.now.has(maphash.Comparable(k.seed, key))
}

// add takes in an address that is about to be written. If it is not written after all, that does no harm.
func (k *known) add(key [16]byte) {
	hash := maphash.Comparable(k.seed, key)
	if k.now != nil {
		k.now.add(hash)
		k.n++
	}
	if k.next != nil {
		k.next.add(hash)
	}
}

// renew goes on filling the next filter if one is due. It comes first in a transaction: what it sees is committed, and whatever is
// written later goes through add.
func (k *known) renew(w *work) {
	if k.next == nil {
		if k.now != nil && k.n*knownBits <= uint64(len(k.now))*knownBlock {
			return
		}
		if k.now == nil {
			k.seed = maphash.MakeSeed()
		}
		k.next, k.hand = newFilter(max(knownLeast, 2*w.counts.addresses)), [16]byte{}
		for key := range w.s.recent.m {
			k.next.add(maphash.Comparable(k.seed, key))
		}
	}
	left := knownAtOnce
	w.tx.Scan(Addresses, k.hand[:], nil, false, func(key, _ []byte) bool {
		if left == 0 {
			copy(k.hand[:], key)
			return false
		}
		if left--; len(key) == 16 {
			k.next.add(maphash.Comparable(k.seed, [16]byte(key)))
		}
		return true
	})
	if left > 0 {
		k.now, k.n, k.next = k.next, w.counts.addresses, nil
	}
}
