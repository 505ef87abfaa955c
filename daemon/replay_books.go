package daemon

import (
	"cmp"
	"net/netip"
	"slices"
	"time"

	"tattled/event"
	"tattled/policy"
	"tattled/store"
)

// The bounds of what a replay remembers beside the store.
const (
	maxReplayTold    = 100_000 // addresses that were reported
	maxReplayAlerts  = 1000
	maxReplayRefused = 10_000 // addresses for each reason
	maxReplayDays    = 4000
	replayExamples   = 5
)

// replayBooks counts what comes of a replay. One goroutine uses it at a time.
type replayBooks struct {
	gate         *policy.Gate
	quota        int
	from, to     time.Time
	events       uint64
	told         map[netip.Addr]*ReplayedAddress // by policy.Key
	untold       uint64                          // reports about addresses for which there was no room
	destinations []*ReplayedDestination
	alerts       []ReplayedAlert
	days         []ReplayedDay
	today        ReplayedDay
	expired      uint64 // up to the day before
	refused      map[policy.Refusal]*replayRefused
}

type replayRefused struct {
	events uint64
	by     map[netip.Addr]uint32
	more   bool
}

func newReplayBooks(gate *policy.Gate, quota int) *replayBooks {
	return &replayBooks{gate: gate, quota: quota, told: map[netip.Addr]*ReplayedAddress{}, refused: map[policy.Refusal]*replayRefused{}}
}

// destination adds one.
func (b *replayBooks) destination(name string, action policy.Action) {
	b.destinations = append(b.destinations, &ReplayedDestination{Name: name, Action: action.String()})
}

func (b *replayBooks) of(name string) *ReplayedDestination {
	i := slices.IndexFunc(b.destinations, func(d *ReplayedDestination) bool { return d.Name == name })
	return b.destinations[i]
}

// note takes in events, and the reports that the last one of them had due.
func (b *replayBooks) note(events []event.Event, due []event.Report) {
	if b.events == 0 {
		b.from = events[0].Received
	}
	b.to = events[len(events)-1].Received
	b.events += uint64(len(events))
	for i := range events {
		e := &events[i]
		if a := b.told[policy.Key(e.Addr)]; a != nil {
			a.After++
			if e.Kind == event.AuthSuccess {
				a.LoginsAfter++
			}
		}
		if !b.gate.Ordinary(e) {
			if reason := b.gate.Refuse(e); reason != policy.None {
				b.refuse(reason, e.Addr)
			}
		}
	}
	for i := range due {
		b.judged(&due[i])
	}
}

func (b *replayBooks) refuse(reason policy.Refusal, addr netip.Addr) {
	r := counter(b.refused, reason)
	r.events++
	if r.by == nil {
		r.by = map[netip.Addr]uint32{}
	}
	if n, known := r.by[addr]; known || len(r.by) < maxReplayRefused {
		r.by[addr] = n + 1
	} else {
		r.more = true
	}
}

// judged takes in a report or an alert that became due.
func (b *replayBooks) judged(r *event.Report) {
	d := b.of(r.Destination)
	d.Judged++
	if d.Action != policy.Report.String() {
		b.today.Alerts++
		return
	}
	b.today.Judged++
	key := policy.Key(r.Addr)
	a := b.told[key]
	if a == nil {
		if len(b.told) >= maxReplayTold {
			b.untold++
			return
		}
		a = &ReplayedAddress{Addr: r.Addr, First: r.Judged, Policy: r.Policy, Service: r.Service, Country: r.Place.Country, ASN: r.Place.ASN, Attempts: uint64(max(r.Count, 1))}
		b.told[key] = a
	}
	a.Reports++
}

// sent takes in what a destination took.
func (b *replayBooks) sent(destination string, r *event.Report, now time.Time) {
	d := b.of(destination)
	d.Sent++
	if d.Action == policy.Report.String() {
		b.today.Sent++
		if a := b.told[policy.Key(r.Addr)]; a != nil {
			a.Sent++
		}
		return
	}
	if len(b.alerts) < maxReplayAlerts {
		b.alerts = append(b.alerts, ReplayedAlert{
			Time: now, Destination: destination, Addr: r.Addr, Policy: r.Policy, Kind: r.Kind.String(), Service: r.Service, Rule: r.Rule,
			Count: r.Count, User: r.User, Host: r.Host, ScoreMissing: r.ScoreMissing,
		})
	}
}

// closeDay ends the day of a time.
func (b *replayBooks) closeDay(at time.Time, s store.Stats) {
	day := b.today
	day.Day, day.Limit = dayOf(at).Format(time.DateOnly), b.quota
	expired := uint64(0)
	for _, d := range b.destinations {
		if d.Action == policy.Report.String() {
			day.Waiting += s.Items[d.Name][store.Pending]
			expired += s.Expired[d.Name].Reports
		}
	}
	day.Expired, b.expired = expired-b.expired, expired
	if len(b.days) < maxReplayDays {
		b.days = append(b.days, day)
	}
	b.today = ReplayedDay{}
}

// gated returns what the gate refused, by reason.
func (b *replayBooks) gated(counters *policy.Counters) []ReplayedRefusal {
	var all []ReplayedRefusal
	for _, reason := range policy.Refusals() {
		one := ReplayedRefusal{Reason: reason.String(), Because: reason.Because(), Decisions: counters.Refused(reason)}
		if r := b.refused[reason]; r != nil {
			one.Events, one.Addresses, one.More, one.Examples = r.events, len(r.by), r.more, r.examples()
		}
		if one.Decisions+one.Events > 0 {
			all = append(all, one)
		}
	}
	return all
}

// examples returns the addresses with the most events.
func (r *replayRefused) examples() []netip.Addr {
	all := make([]netip.Addr, 0, len(r.by))
	for addr := range r.by {
		all = append(all, addr)
	}
	slices.SortFunc(all, func(a, b netip.Addr) int { return cmp.Or(cmp.Compare(r.by[b], r.by[a]), a.Compare(b)) })
	return all[:min(len(all), replayExamples)]
}
