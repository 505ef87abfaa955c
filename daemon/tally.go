package daemon

import (
	"sync"
	"sync/atomic"
	"time"

	"tattled/detect"
	"tattled/receiver"
)

// tally counts what the pipeline did. It outlives a reload, so that no counter ever falls.
type tally struct {
	overlong atomic.Uint64 // refused because the record was cut
	trusted  atomic.Uint64 // matched, and dropped because the address is trusted

	mu      sync.Mutex
	sources map[string]*sourceTally
	rules   map[ruleName]*atomic.Uint64
	missed  map[string]*atomic.Uint64
	refused map[string]*refusals // by service
}

// refusals counts by detect.Refusal.
type refusals [16]atomic.Uint64

type ruleName struct{ service, rule string }

// sourceTally is one source's side of the books.
type sourceTally struct {
	matched, ignored, refused atomic.Uint64
	strange                   atomic.Uint64 // of those ignored: of a program that no rule knows
	nameless                  atomic.Uint64 // of those: without a program
	lag                       atomic.Int64  // of the last record that had a time, in nanoseconds
	habit                     habit
}

func newTally() *tally {
	return &tally{
		sources: map[string]*sourceTally{},
		rules:   map[ruleName]*atomic.Uint64{},
		missed:  map[string]*atomic.Uint64{},
		refused: map[string]*refusals{},
	}
}

func (t *tally) source(name string) *sourceTally {
	t.mu.Lock()
	defer t.mu.Unlock()
	return counter(t.sources, name)
}

// counter returns the value of key, made if it is not there.
func counter[K comparable, V any](m map[K]*V, key K) *V {
	if m[key] == nil {
		m[key] = new(V)
	}
	return m[key]
}

// forRules returns the counters of rules: those of the same name go on, whatever else changed.
func (t *tally) forRules(rules *detect.Rules) (matched, missed []*atomic.Uint64, refused []*refusals) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, r := range rules.All() {
		matched = append(matched, counter(t.rules, ruleName{r.Service.Name, r.Name}))
	}
	for _, s := range rules.Services() {
		missed = append(missed, counter(t.missed, s.Name))
		refused = append(refused, counter(t.refused, s.Name))
	}
	return matched, missed, refused
}

// eachRefused calls emit for each reason for which a message of a service was refused.
func (t *tally) eachRefused(emit func(service string, reason detect.Refusal, n uint64)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for service, counts := range t.refused {
		for _, reason := range detect.Refusals() {
			if n := counts[reason].Load(); n > 0 {
				emit(service, reason, n)
			}
		}
	}
}

// eachRule calls emit for each rule, with how often it matched.
func (t *tally) eachRule(emit func(service, rule string, n uint64)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for name, n := range t.rules {
		emit(name.service, name.rule, n.Load())
	}
}

// ruleCounts returns how often each rule matched.
func (t *tally) ruleCounts() map[ruleName]uint64 { return counts(t, t.rules) }

// matches counts the lines of a service that its rules matched: all of them, and those that tell of an attack.
type matches struct{ all, attacks uint64 }

// matchedByService returns how often rules of each service matched.
func (t *tally) matchedByService(rules *detect.Rules) map[string]matches {
	attack := map[ruleName]bool{}
	for _, r := range rules.All() {
		attack[ruleName{r.Service.Name, r.Name}] = r.Kind.Hostile()
	}
	all := map[string]matches{}
	for name, n := range t.ruleCounts() {
		m := all[name.service]
		m.all += n
		if attack[name] {
			m.attacks += n
		}
		all[name.service] = m
	}
	return all
}

// missedCounts returns, by service, how many records of a known program matched nothing.
func (t *tally) missedCounts() map[string]uint64 { return counts(t, t.missed) }

func counts[K comparable](t *tally, counters map[K]*atomic.Uint64) map[K]uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	all := make(map[K]uint64, len(counters))
	for key, n := range counters {
		all[key] = n.Load()
	}
	return all
}

// outcomes are what became of the records of a batch.
type outcomes struct{ matched, ignored, refused, strange, nameless uint64 }

// count adds a batch. One without records says only how far its stream was read.
func (s *sourceTally) count(b *receiver.Batch, o outcomes) {
	if len(b.Records) == 0 {
		return
	}
	s.matched.Add(o.matched)
	s.ignored.Add(o.ignored)
	s.refused.Add(o.refused)
	s.strange.Add(o.strange)
	s.nameless.Add(o.nameless)
	s.habit.note(b.Received)
	if n := len(b.Records); !b.Records[n-1].Time.IsZero() {
		s.lag.Store(int64(max(b.Received.Sub(b.Records[n-1].Time), 0)))
	}
}

// lagFor is for how long after the last record the lag is that of this record. A source that has nothing more to say has no lag.
const lagFor = time.Minute

// lagAt returns the lag as of now.
func (s *sourceTally) lagAt(now time.Time) time.Duration {
	if now.Sub(s.habit.lastRecord()) >= lagFor {
		return 0
	}
	return time.Duration(s.lag.Load())
}

// records returns how many records were judged, how many of them were of a program that no rule knows, and how many of those
// named none. It reads the last first: a batch that comes meanwhile makes a source seem less strange.
func (s *sourceTally) records() (all, strange, nameless uint64) {
	nameless, strange = s.nameless.Load(), s.strange.Load()
	return s.matched.Load() + s.ignored.Load() + s.refused.Load(), strange, nameless
}
