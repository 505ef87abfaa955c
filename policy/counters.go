package policy

import (
	"maps"
	"sync"

	"tattled/event"
)

// outcome is how a decision ended.
type outcome uint8

const (
	outcomeReport outcome = iota
	outcomeAlert
	outcomeCount
	outcomeMuted   // a window is open
	outcomeRefused // the gate
	outcomeWeighed // as many accounts got in as failed
	outcomeHeld    // the service seems to be at fault
	outcomeEnd
)

func (o outcome) String() string {
	return [...]string{doReport, doAlert, doCount, "muted", "refused", "weighed", "held"}[o]
}

// Outcomes lists what may come of a decision, as Decision.Action has it.
func Outcomes() []string {
	var all []string
	for o := range outcomeEnd {
		all = append(all, o.String())
	}
	return all
}

func outcomeOf(a Action) outcome {
	if a == Report {
		return outcomeReport
	}
	return outcomeAlert
}

// Judgement collects what follows from the events of one group. It is used again for the next one after Reset.
type Judgement struct {
	Reports []event.Report // due, in the order of the events
	Clock   Clock          // what is known of the clock that the events were read by; Reset keeps it
	Outages Outages        // what is known of services that let nobody in; Reset keeps it

	policy  *Policy
	tally   []uint64
	refused [refusalEnd]uint64
}

// Reset empties j, but for Clock and Outages.
func (j *Judgement) Reset() {
	clear(j.Reports)
	j.Reports = j.Reports[:0]
	clear(j.tally)
	j.refused = [refusalEnd]uint64{}
}

// begin makes room for the decisions of p.
func (j *Judgement) begin(p *Policy) {
	if j.policy == p {
		return
	}
	j.policy = p
	j.tally = make([]uint64, len(p.rules)*int(outcomeEnd))
}

func (j *Judgement) decided(rule int, o outcome) { j.tally[rule*int(outcomeEnd)+int(o)]++ }

// Counters counts decisions. It may be used by several goroutines at once. The zero value is ready.
type Counters struct {
	mu        sync.Mutex
	decisions map[Decision]uint64
	refused   [refusalEnd]uint64
}

// Decision names a counter: a policy that was reached, and what came of it: "report", "alert", "count", "muted" (a window
// is open), "refused" (by the gate), "weighed" (successes outweigh the failures) or "held" (the service seems to be at fault).
type Decision struct{ Policy, Action string }

// Count adds what j decided. The committer calls it once the group is durable.
func (p *Policy) Count(j *Judgement) {
	if j.policy != p {
		return
	}
	c := p.counters
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.decisions == nil {
		c.decisions = make(map[Decision]uint64)
	}
	for i, n := range j.tally {
		if n > 0 {
			c.decisions[Decision{p.rules[i/int(outcomeEnd)].name, outcome(i % int(outcomeEnd)).String()}] += n
		}
	}
	for r, n := range j.refused {
		c.refused[r] += n
	}
}

// Decisions returns how often each decision was made so far.
func (c *Counters) Decisions() map[Decision]uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return maps.Clone(c.decisions)
}

// Refused returns how often the gate refused a report for this reason.
func (c *Counters) Refused(r Refusal) uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	if r >= refusalEnd {
		return 0
	}
	return c.refused[r]
}
