package store

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"tattled/event"
	"tattled/policy"
)

// group is what goes into one transaction.
type group struct {
	events  []event.Event
	bytes   int // of events
	cursors map[string][]byte
	marks   []string
	do      []*request
	first   bool // it ends with the first event that has a report due: see Committer.Apply
}

// reset empties the group for its next use.
func (g *group) reset() {
	clear(g.events)
	clear(g.marks)
	clear(g.do)
	g.events, g.bytes, g.marks, g.do = g.events[:0], 0, g.marks[:0], g.do[:0]
	clear(g.cursors)
}

// work is one transaction: it reads the store as it was, and what it finds is published only when the transaction is
// durable. It is used again for the next one.
type work struct {
	s           *Store
	tx          Tx
	now         time.Time
	usage       Usage
	counts      counts
	evict       map[string]uint64
	quarantined uint64
	hold        map[string]time.Duration // for how long reports are held back where a state was lost, by destination
	since       Restored                 // the restoration, as long as anything is held back for it
	held        uint64
	shrink      bool // nothing but to make room

	touched map[[16]byte]*touched // what is in memory of addresses that changed
	old     []*touched            // of them: those that were here before
	fresh   []*touched            // and those that were not
	spare   []*touched
	parts   parts
	pack    pack
	places  map[[16]byte]place // of the addresses that were written into Recent
	gone    [][16]byte         // addresses that were given up
	folded  [][16]byte
	opened  map[partKey][]byte // parts of Recent that were read for folding, nil where they are damaged
	lapLeft [][16]byte         // nil where nothing was folded
	pruned  bool               // nothing stale is left in Recent

	policy    *policy.Policy // nil judges nothing
	judgement policy.Judgement
	changed   map[string]bool   // destinations whose items changed
	expired   map[string]uint64 // reports that expired for want of room, by destination
	buf       []byte
	value     []byte
}

// touched is an address that the group changes.
type touched struct {
	key   [16]byte
	fresh bool // nothing of it is in Addresses
	now   address
}

// How many addresses are in memory at once, of a few kilobytes each; those of a larger group are written in between. Of what is
// there for the first time there are fewer: most of a flood do not come again, and so few stay in the processor's cache.
const (
	maxOld   = 1024
	maxFresh = 128
)

// errRetry asks for the transaction to be done again: a request failed after it had written.
var errRetry = errors.New("do it again")

// begin makes w ready for a transaction.
func (w *work) begin(s *Store, now time.Time) {
	w.s, w.now, w.usage = s, now, s.backend.Usage()
	w.counts = s.counts.clone()
	w.counts.commit++
	w.evict, w.changed, w.expired, w.quarantined, w.held = map[string]uint64{}, map[string]bool{}, map[string]uint64{}, 0, 0
	if w.touched == nil {
		w.touched, w.places, w.opened = make(map[[16]byte]*touched), make(map[[16]byte]place), make(map[partKey][]byte)
	}
	w.spareTouched()
	clear(w.places)
	w.parts.begin(w)
	w.gone, w.folded, w.lapLeft, w.pruned = w.gone[:0], w.folded[:0], nil, false
	w.judgement.Reset()
}

// run does all of g in tx.
func (w *work) run(tx Tx, g *group, p *policy.Policy) error {
	w.tx, w.policy = tx, p
	w.s.known.renew(w)
	if err := w.tick(); err != nil {
		return err
	}
	for i := range g.events {
		if err := w.judge(&g.events[i], p); err != nil {
			return err
		}
		if g.first && len(w.judgement.Reports) > 0 {
			g.events = g.events[:i+1]
			break
		}
	}
	steps := []func() error{
		w.putAddresses,
		func() error { return w.putEvents(g.events) },
		func() error { return w.putReports() },
		func() error { return w.putMarks(g.marks) },
		func() error { return w.putCursors(g.cursors) },
		func() error { return w.answer(g.do) },
		w.putAddresses, // those of reports that were joined
		w.retain,
		w.putGone,
		w.fold,
		w.putCounts,
	}
	for _, step := range steps {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// judge gives e its place and takes it into what is known about its address.
func (w *work) judge(e *event.Event, p *policy.Policy) error {
	w.counts.lastSeq++
	e.Seq = w.counts.lastSeq
	if !e.Addr.IsValid() {
		return nil
	}
	a, err := w.address(key16(e.Addr))
	if err != nil {
		return err
	}
	first, seen := a.first, a.total > 0
	a.note(e)
	switch {
	case p == nil:
	case !w.since.At.IsZero() || a.lost > 0:
		if e.Trust != event.TrustReport { // what anybody may have forged makes no address one that was seen before
			if a.first = max(a.first, w.since.UpTo.UnixMilli()+1); seen {
				a.first = first
			}
		}
		w.judgeHeld(a, e, p)
	default:
		p.Judge(&a.state, e, &w.judgement)
	}
	return nil
}

// address returns what is known about an address, to be changed.
func (w *work) address(key [16]byte) (*address, error) {
	if t, ok := w.touched[key]; ok {
		return &t.now, nil
	}
	if len(w.old) >= or(w.s.options.Touched, maxOld) {
		if err := w.putAddresses(); err != nil {
			return nil, err
		}
	}
	if !w.s.known.mayHave(key) {
		return w.takeNew(key)
	}
	if at, newer := w.place(key); newer {
		t := w.take(key, at.fresh)
		record, ok, err := w.read(at, key)
		if !ok || !t.now.decode(record) {
			t.now = address{lost: milli(w.now)}
		}
		return &t.now, err
	}
	record := w.tx.Get(Addresses, key[:])
	if record == nil {
		return w.takeNew(key)
	}
	t := w.take(key, false)
	payload, ok := unseal(Addresses, key[:], record)
	if ok && t.now.decode(payload) {
		return &t.now, nil
	}
	t.now = address{lost: milli(w.now)}
	return &t.now, w.quarantine(Addresses, key[:], record)
}

// place returns where Recent has what is newest of an address.
func (w *work) place(key [16]byte) (place, bool) {
	if at, ok := w.places[key]; ok {
		return at, true
	}
	at, ok := w.s.recent.m[key] // only this goroutine writes to it
	return at, ok
}

// takeNew returns what is known about an address that was never here, to be changed.
func (w *work) takeNew(key [16]byte) (*address, error) {
	if len(w.fresh) >= maxFresh {
		if err := w.putTouched(w.fresh); err != nil {
			return nil, err
		}
		w.fresh = w.fresh[:0]
	}
	w.counts.addresses++
	w.s.known.add(key)
	t := w.empty(key)
	t.fresh = true
	w.fresh = append(w.fresh, t)
	return &t.now, nil
}

// take returns an empty touched for an address that was here before; fresh says that nothing of it is in Addresses.
func (w *work) take(key [16]byte, fresh bool) *touched {
	t := w.empty(key)
	t.fresh = fresh
	w.old = append(w.old, t)
	return t
}

func (w *work) empty(key [16]byte) *touched {
	var t *touched
	if n := len(w.spare); n > 0 {
		t, w.spare = w.spare[n-1], w.spare[:n-1]
		t.now.reset()
	} else {
		t = new(touched)
	}
	t.key = key
	w.touched[key] = t
	return t
}

// putAddresses writes every address that is in memory into Recent.
func (w *work) putAddresses() error {
	for _, list := range []*[]*touched{&w.old, &w.fresh} {
		if err := w.putTouched(*list); err != nil {
			return err
		}
		*list = (*list)[:0]
	}
	return nil
}

// putTouched writes addresses into Recent, in the order of their keys: fold then finds several in each part that it reads. They are
// not in memory any more.
func (w *work) putTouched(list []*touched) error {
	slices.SortFunc(list, func(a, b *touched) int { return compareKeys(&a.key, &b.key) })
	for _, t := range list {
		if told := t.now.state.LastNotified(); !told.IsZero() {
			t.now.notified = max(told.UnixMilli(), 0)
		}
		w.value = t.now.append(w.value[:0])
		at, err := w.parts.add(t.key, w.value)
		if err != nil {
			return err
		}
		at.fresh = t.fresh
		w.places[t.key] = at
		delete(w.touched, t.key)
	}
	w.spare = append(w.spare, list...)
	return w.parts.flush() // what was written may be read again
}

// spareTouched empties what a transaction that failed left in memory, and keeps the memory.
func (w *work) spareTouched() {
	w.spare = append(append(w.spare, w.old...), w.fresh...)
	w.old, w.fresh = w.old[:0], w.fresh[:0]
	clear(w.touched)
}

// putGone writes into Recent which addresses were given up.
func (w *work) putGone() error {
	for _, key := range w.gone {
		if _, err := w.parts.add(key, nil); err != nil {
			return err
		}
	}
	return w.parts.flush()
}

// put seals and writes a record. In the tables whose keys ascend every key is a new one.
func (w *work) put(t Table, key, payload []byte) error {
	w.value = seal(w.value[:0], t, key, payload)
	return w.putRaw(t, key, w.value)
}

func (w *work) putRaw(t Table, key, record []byte) error {
	if t.Ascending() && t != Items || w.tx.Get(t, key) == nil {
		return w.putNew(t, key, record)
	}
	return w.write(t, key, record)
}

// putNew writes a record that is not there.
func (w *work) putNew(t Table, key, record []byte) error {
	w.counts.records[t]++
	return w.write(t, key, record)
}

func (w *work) write(t Table, key, record []byte) error {
	if err := w.tx.Put(t, key, record); err != nil {
		return fmt.Errorf("write %s: %w", t, err)
	}
	return nil
}

// delete takes a record away, if there is one.
func (w *work) delete(t Table, key []byte) error {
	if w.tx.Get(t, key) == nil {
		return nil
	}
	return w.remove(t, [][]byte{key})
}

// remove takes records away that are there.
func (w *work) remove(t Table, keys [][]byte) error {
	for _, k := range keys {
		w.counts.records[t]--
		if err := w.tx.Delete(t, k); err != nil {
			return fmt.Errorf("delete from %s: %w", t, err)
		}
	}
	return nil
}

func (w *work) putEvents(events []event.Event) error {
	w.counts.events += uint64(len(events))
	w.pack.begin()
	for i := range events {
		w.pack.add(&events[i])
		if !w.pack.full() && i < len(events)-1 {
			continue
		}
		if err := w.put(Events, key64(events[i].Seq), w.pack.b); err != nil {
			return err
		}
		w.pack.begin()
	}
	return nil
}

func (w *work) putReports() error {
	for i := range w.judgement.Reports {
		if _, err := w.addItem(&w.judgement.Reports[i], w.judgement.Reports[i].Judged); err != nil {
			return err
		}
	}
	return nil
}

func (w *work) putCursors(cursors map[string][]byte) error {
	names := make([]string, 0, len(cursors))
	for name := range cursors {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		key := streamKey(name)
		w.buf = appendTime(w.buf[:0], w.now)
		w.buf = append(w.buf, cursors[name]...)
		if err := w.put(Streams, key, w.buf); err != nil {
			return err
		}
	}
	return nil
}

// streamKey is the key of a stream: its name, which is never empty.
func streamKey(name string) []byte { return append([]byte{'s'}, name...) }

// answer runs the requests that joined the group. One that fails before it wrote anything gets its error; one that fails
// later is taken out, and all is done again without it.
func (w *work) answer(requests []*request) error {
	for _, r := range requests {
		if !r.start() {
			continue
		}
		tx := WriteTx{w: w}
		if r.err = r.fn(&tx); r.err == nil {
			continue
		}
		if tx.wrote {
			r.skip = true
			return errRetry
		}
	}
	return nil
}

func (w *work) putCounts() error {
	w.buf = w.counts.append(w.buf[:0])
	return w.put(Meta, []byte(CountsKey), w.buf)
}

// quarantine takes a record that failed its checksum out of its table and keeps it where it does no harm.
func (w *work) quarantine(t Table, key, record []byte) error {
	w.quarantined++
	raw := bytes.Clone(record)
	if err := w.delete(t, key); err != nil || w.counts.records[Quarantine] >= maxQuarantined {
		return err
	}
	return w.putRaw(Quarantine, quarantineKey(t, key), raw)
}

// maxQuarantined bounds how many damaged records are kept.
const maxQuarantined = 1000

// quarantineKey is the key under which Quarantine has a damaged record of another table.
func quarantineKey(t Table, key []byte) []byte { return append([]byte{byte(t)}, key...) }

// publish takes over what is durable now.
func (w *work) publish() {
	s := w.s
	s.recent.publish(w)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.counts, s.clock, s.outages = w.counts, w.judgement.Clock, w.judgement.Outages.Now()
	s.commits++
	for what, n := range w.evict {
		s.evicted[what] += n
	}
	s.damaged += w.quarantined
	for destination, n := range w.expired {
		s.expired[destination] = Expiry{Reports: s.expired[destination].Reports + n, Last: w.now}
	}
	s.held += w.held
}

// reset empties a for its next use and keeps its memory.
func (a *address) reset() {
	state, seqs := a.state, a.seqs[:0]
	state.Reset()
	*a = address{state: state, seqs: seqs}
}

// scoreKey is the key of a score: a full address, and the days whose reports it is about. Older releases had the address alone as the
// key, and so one score of each: such a score is asked for again.
func scoreKey(addr netip.Addr, maxAge time.Duration) []byte {
	raw := addr.Unmap().WithZone("").As16()
	return binary.BigEndian.AppendUint16(raw[:], uint16(min(max(maxAge, 0)/scoreDay, maxScoreDays)))
}

// appendScore writes a score.
func appendScore(b []byte, s Score) []byte {
	b = binary.AppendUvarint(b, uint64(min(max(s.Value, 0), 100)))
	b = appendTime(b, s.At)
	return binary.AppendUvarint(b, uint64(max(s.MaxAge, 0)/scoreDay))
}

// scoreDay is the unit of a score's MaxAge.
const scoreDay = 24 * time.Hour
