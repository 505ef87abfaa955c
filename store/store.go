package store

import (
	"bytes"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"time"

	"tattled/event"
	"tattled/policy"
	"tattled/receiver"
)

// Store reads what is kept. Everything is written by its Committer, of which there is one. It may be used by several
// goroutines at once.
type Store struct {
	backend Backend
	options Options
	recent  recent
	ticked  time.Time    // when retention's clock last moved; for the committer alone
	clock   policy.Clock // for the committer alone
	known   known

	// The clock, and what passed between two of its times by one that nobody sets.
	now     func() time.Time
	elapsed func(from, to time.Time) time.Duration

	mu       sync.Mutex
	restored Restored
	counts   counts // the committer alone writes; it reads without the lock
	commits  uint64
	evicted  map[string]uint64
	expired  map[string]Expiry
	damaged  uint64
	seenBad  map[string]bool // damaged records that a reader has met, counted once each
	opened   time.Time
	held     uint64          // reports that were held back because the store was restored
	outages  []policy.Outage // as of the last commit
	inUse    map[string]bool // streams that this run reads on, as far as it asked for them; at most as many as there are files

	oldest oldest
}

// New opens what lies in b, or begins it. A store of a newer schema is refused with an error that is ErrNewer, and
// nothing is written to it. The Store owns b from now on, also if New fails.
func New(b Backend, o Options) (*Store, error) {
	s := &Store{
		backend: b, options: o, evicted: map[string]uint64{}, expired: map[string]Expiry{}, seenBad: map[string]bool{},
		opened: time.Now(), inUse: map[string]bool{},
	}
	s.now, s.elapsed = time.Now, func(from, to time.Time) time.Duration { return to.Sub(from) } // by their monotonic readings
	if o.Now != nil {
		s.now = o.Now
	}
	if err := s.open(); err != nil {
		_ = b.Close() // the first error says what is wrong
		return nil, fmt.Errorf("open store: %w", err)
	}
	return s, nil
}

func (s *Store) open() error {
	current := false
	err := s.backend.View(func(tx ReadTx) error {
		record := tx.Get(Meta, []byte(SchemaKey))
		if record == nil {
			s.recent.m = make(map[[16]byte]place)
			return nil
		}
		if err := CheckSchema(record); err != nil {
			return err
		}
		current = bytes.Equal(record, SealSchema(Schema))
		return s.load(tx)
	})
	if err != nil || current {
		return err
	}
	return s.backend.Update(func(tx Tx) error { return tx.Put(Meta, []byte(SchemaKey), SealSchema(Schema)) })
}

// load takes what must be in memory.
func (s *Store) load(tx ReadTx) error {
	key := []byte(CountsKey)
	ok := false
	if payload, sound := unseal(Meta, key, tx.Get(Meta, key)); sound {
		s.counts, ok = decodeCounts(payload)
	}
	if !ok {
		s.counts = recount(tx)
	}
	s.loadRestored(tx)
	if note, sound := unseal(Notes, noteKey(clockNote), tx.Get(Notes, noteKey(clockNote))); sound && len(note) > 0 {
		s.clock = policy.DecodeClock(note[1:])
	}
	s.damaged = s.counts.records[Quarantine] + uint64(s.recent.load(tx))
	if ok {
		return nil
	}
	for key := range s.recent.m {
		if tx.Get(Addresses, key[:]) == nil {
			s.counts.addresses++
		}
	}
	return nil
}

// Outages returns the services that are at fault, by what was committed so far. How long ago that was, Outage.Last says.
func (s *Store) Outages() []policy.Outage {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.outages)
}

// Close closes the backend. The committer must have ended.
func (s *Store) Close() error {
	if err := s.backend.Close(); err != nil {
		return fmt.Errorf("close store: %w", err)
	}
	return nil
}

// get returns a payload in memory of its own, nil if there is none or it is damaged.
func (s *Store) get(t Table, key []byte) []byte {
	var payload []byte
	err := s.backend.View(func(tx ReadTx) error {
		record := tx.Get(t, key)
		if p, ok := unseal(t, key, record); ok {
			payload = bytes.Clone(p)
		} else if record != nil {
			s.bad(t, key)
		}
		return nil
	})
	if err != nil {
		return nil
	}
	return payload
}

// bad counts a damaged record that a reader met. Readers cannot quarantine it.
func (s *Store) bad(t Table, key []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if k := string(quarantineKey(t, key)); !s.seenBad[k] && len(s.seenBad) < maxQuarantined {
		s.seenBad[k] = true
		s.damaged++
	}
}

// Position returns how far a stream was read, as of the last commit: nil if nothing of it was ever committed. It
// implements receiver.Positions.
func (s *Store) Position(stream string) receiver.Cursor {
	d := decoder{b: s.get(Streams, streamKey(stream))}
	s.use(stream, d.b != nil)
	if d.b == nil {
		return nil
	}
	if d.time(); d.bad {
		return nil
	}
	return receiver.Cursor(d.b)
}

// startsWithin is how long after New receivers ask for all that they read.
const startsWithin = time.Minute

// use remembers that somebody reads a stream on: retention spares it, however long nothing comes. Streams that began later
// in this run are not remembered, or in a year of logs with a date in their names all would be.
func (s *Store) use(stream string, known bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if known || time.Since(s.opened) < startsWithin {
		s.inUse[stream] = true
	}
}

// Events returns up to limit events with a Seq above after, in ascending order.
func (s *Store) Events(after uint64, limit int) ([]event.Event, error) {
	return s.events(key64(after+1), limit, false)
}

// Latest returns the newest limit events, in ascending order.
func (s *Store) Latest(limit int) ([]event.Event, error) {
	all, err := s.events(nil, limit, true)
	slices.Reverse(all)
	return all, err
}

func (s *Store) events(from []byte, limit int, reverse bool) ([]event.Event, error) {
	var all []event.Event
	if limit <= 0 {
		return nil, nil
	}
	first, _ := seqOf(from)
	err := s.backend.View(func(tx ReadTx) error {
		tx.Scan(Events, from, nil, reverse, func(k, v []byte) bool {
			found, ok := openEvents(k, v)
			if !ok {
				s.bad(Events, k)
				return true
			}
			if reverse {
				slices.Reverse(found)
			}
			for _, e := range found {
				if e.Seq >= first && len(all) < limit {
					all = append(all, e)
				}
			}
			return len(all) < limit
		})
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read events: %w", err)
	}
	return all, nil
}

// Address returns what is known about addr, or about its /64; false if nothing is.
func (s *Store) Address(addr netip.Addr) (Address, bool, error) {
	var a address
	if !addr.IsValid() {
		return Address{}, false, nil
	}
	key := key16(addr)
	at, newer := s.recent.get(key)
	for {
		found, moved := false, false
		err := s.backend.View(func(tx ReadTx) error {
			found, moved = s.readAddress(tx, key, at, newer, &a)
			return nil
		})
		switch {
		case err != nil:
			return Address{}, false, fmt.Errorf("read address: %w", err)
		case found:
			return a.summary(addr), true, nil
		case !moved:
			return Address{}, false, nil
		}
		was := at
		if at, newer = s.recent.get(key); at == was { // it did not move: what was there is damaged
			newer = false
		}
	}
}

// readAddress reads what tx has of an address: at its place in Recent, or in Addresses. moved says that nothing is at its
// place any more.
func (s *Store) readAddress(tx ReadTx, key [16]byte, at place, newer bool, a *address) (found, moved bool) {
	if newer {
		record, damaged, ok := at.read(tx, key)
		if ok && a.decode(record) {
			return true, false
		}
		if damaged == nil {
			return false, true
		}
		part := at.key()
		s.bad(Recent, part[:])
	}
	record := tx.Get(Addresses, key[:])
	payload, ok := unseal(Addresses, key[:], record)
	if found = ok && a.decode(payload); !found && record != nil {
		s.bad(Addresses, key[:])
	}
	return found, false
}

// Items returns up to limit items of the outbox, newest first.
func (s *Store) Items(limit int) ([]Item, error) {
	var all []Item
	if limit <= 0 {
		return nil, nil
	}
	err := s.backend.View(func(tx ReadTx) error {
		tx.Scan(Items, nil, nil, true, func(k, v []byte) bool {
			if item, ok := openItem(k, v); ok {
				all = append(all, item)
			} else {
				s.bad(Items, k)
			}
			return len(all) < limit
		})
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read outbox: %w", err)
	}
	return all, nil
}

func openItem(key, record []byte) (Item, bool) {
	payload, ok := unseal(Items, key, record)
	if !ok {
		return Item{}, false
	}
	return decodeItem(payload)
}

// Score returns the AbuseIPDB score of addr for reports of at most maxAge that was stored last; false if there is none.
func (s *Store) Score(addr netip.Addr, maxAge time.Duration) (Score, bool) {
	d := decoder{b: s.get(Scores, scoreKey(addr, maxAge))}
	if d.b == nil {
		return Score{}, false
	}
	score := Score{Value: int(d.number(100)), At: d.time(), MaxAge: time.Duration(d.number(maxScoreDays)) * scoreDay}
	return score, d.done()
}

// maxScoreDays bounds a score's MaxAge.
const maxScoreDays = 1000

// Note returns what was put under key, nil if nothing was.
func (s *Store) Note(key string) []byte {
	b := s.get(Notes, noteKey(key))
	if b == nil {
		return nil
	}
	return b[1:] // a note may be empty, a value never is
}

// noteKey is the key of a note.
func noteKey(key string) []byte { return append([]byte{'n'}, key...) }

// Expiry is how many reports for a destination were given up unsent since New because there was no room for them, and when
// the last one was.
type Expiry struct {
	Reports uint64
	Last    time.Time
}

// Stats is what the store holds, and what it did since New.
type Stats struct {
	Events    uint64                      // kept
	LastSeq   uint64                      // of the newest event
	Addresses uint64                      // remembered, of IPv6 /64s
	Items     map[string]map[State]uint64 // of the outbox, by destination and state
	Usage     Usage
	Commits   uint64            // groups made durable
	Evicted   map[string]uint64 // by what of Evictable
	Expired   map[string]Expiry // by destination, of "waiting" above
	Held      uint64            // reports that were held back because the store was restored
	Damaged   uint64            // records that failed their checksum, those quarantined earlier included
}

// Evictable lists what retention and limits remove.
func Evictable() []string {
	return []string{whatEvents, whatAddresses, whatItems, whatScores, whatStreams, whatMarks, whatWaiting}
}

// Stats returns the figures. It is cheap: nothing is read.
func (s *Store) Stats() Stats {
	usage := s.backend.Usage()
	s.mu.Lock()
	defer s.mu.Unlock()
	c := &s.counts
	all := Stats{
		Events: c.events, LastSeq: c.lastSeq, Addresses: c.addresses, Items: map[string]map[State]uint64{}, Usage: usage,
		Commits: s.commits, Held: s.held, Evicted: maps.Clone(s.evicted), Expired: maps.Clone(s.expired), Damaged: s.damaged,
	}
	for _, what := range Evictable() {
		all.Evicted[what] += 0
	}
	for k, n := range c.items {
		if all.Items[k.destination] == nil {
			all.Items[k.destination] = map[State]uint64{}
		}
		all.Items[k.destination][k.state] = n
	}
	return all
}
