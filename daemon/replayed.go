package daemon

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	"tattled/policy"
	"tattled/report"
	"tattled/store"
)

// Replayed is what came of a replay. Its JSON is the command line's.
type Replayed struct {
	From     time.Time `json:"from"` // of the events
	To       time.Time `json:"to"`
	Records  uint64    `json:"records"`
	Matched  uint64    `json:"matched"`
	Ignored  uint64    `json:"ignored"`
	Refused  uint64    `json:"refused"` // records whose peer cannot be told
	Trusted  uint64    `json:"trusted"` // of those that matched: of a trusted network
	Events   uint64    `json:"events"`
	Evicted  uint64    `json:"evicted_addresses,omitempty"`
	Reported int       `json:"reported_addresses"`
	Alerted  uint64    `json:"alerts_sent"`

	Blocked      ReplayedBlock         `json:"blocked_at_first_report"`
	Destinations []ReplayedDestination `json:"destinations"`
	Policies     []ReplayedPolicy      `json:"policies"`
	Gate         []ReplayedRefusal     `json:"gate"`
	Days         []ReplayedDay         `json:"days"`
	Addresses    []ReplayedAddress     `json:"addresses"` // that were reported, those with the most attempts after it first
	Alerts       []ReplayedAlert       `json:"alerts"`
	Unlisted     uint64                `json:"unlisted_reports,omitempty"` // reports about addresses beyond those that are listed

	told map[netip.Addr]*ReplayedAddress
}

// ReplayedBlock is what would not have happened if each address had been blocked when its first report was judged.
type ReplayedBlock struct {
	Attempts uint64 `json:"attempts"` // events of reported addresses after their first report
	Of       uint64 `json:"of"`       // events of all addresses
	Logins   uint64 `json:"logins"`   // of Attempts: logins that succeeded
}

// ReplayedDestination is one destination: what became due, and what became of it.
type ReplayedDestination struct {
	Name      string `json:"name"`
	Action    string `json:"action"`
	Judged    uint64 `json:"judged"`
	Sent      uint64 `json:"sent"`
	Dismissed uint64 `json:"dismissed"`
	Rejected  uint64 `json:"rejected"`
	Expired   uint64 `json:"expired"`
	Waiting   uint64 `json:"waiting"`
}

// ReplayedPolicy is how often one policy decided what.
type ReplayedPolicy struct {
	Name    string `json:"name"`
	Report  uint64 `json:"report"`
	Alert   uint64 `json:"alert"`
	Count   uint64 `json:"count"`
	Muted   uint64 `json:"muted"`
	Refused uint64 `json:"refused"`
	Weighed uint64 `json:"weighed"`
	Held    uint64 `json:"held"`
}

// ReplayedRefusal is one reason of the gate's.
type ReplayedRefusal struct {
	Reason    string       `json:"reason"`
	Because   string       `json:"because"`
	Decisions uint64       `json:"decisions"` // reports and alerts that a policy wanted
	Events    uint64       `json:"events"`    // that could lead to no report
	Addresses int          `json:"addresses"` // they are of
	More      bool         `json:"more,omitempty"`
	Examples  []netip.Addr `json:"examples"`
}

// ReplayedDay is one day of UTC, by which quotas go.
type ReplayedDay struct {
	Day     string `json:"day"`
	Judged  uint64 `json:"judged"` // reports that became due
	Sent    uint64 `json:"sent"`
	Limit   int    `json:"limit,omitempty"`
	Waiting uint64 `json:"waiting"` // at its end
	Expired uint64 `json:"expired"`
	Alerts  uint64 `json:"alerts"`
}

// ReplayedAddress is an address that was reported; of IPv6 it stands for its /64.
type ReplayedAddress struct {
	Addr        netip.Addr `json:"ip"`
	First       time.Time  `json:"first_report"`
	Policy      string     `json:"policy"` // of the first report
	Service     string     `json:"service"`
	Country     string     `json:"country,omitempty"`
	ASN         uint32     `json:"asn,omitempty"`
	Reports     uint32     `json:"reports"`
	Sent        uint32     `json:"sent"`
	Attempts    uint64     `json:"attempts_before"` // counted by the first report
	After       uint64     `json:"attempts_after"`
	LoginsAfter uint64     `json:"logins_after,omitempty"`
}

// ReplayedAlert is an alert that was sent. Its texts are from the log.
type ReplayedAlert struct {
	Time         time.Time  `json:"time"`
	Destination  string     `json:"destination"`
	Addr         netip.Addr `json:"ip"`
	Policy       string     `json:"policy"`
	Kind         string     `json:"kind"`
	Service      string     `json:"service"`
	Rule         string     `json:"rule"`
	Count        int        `json:"count"`
	User         string     `json:"user,omitempty"`
	Host         string     `json:"host,omitempty"`
	ScoreMissing string     `json:"score_missing,omitempty"`
}

// result sums up.
func (r *Replay) result() *Replayed {
	b, s := r.books, r.store.Stats()
	out := &Replayed{
		From: b.from, To: b.to, Trusted: r.tally.trusted.Load(), Events: b.events, Evicted: s.Evicted["addresses"], Reported: len(b.told),
		Gate: b.gated(r.counters), Days: b.days, Alerts: b.alerts, Unlisted: b.untold, told: b.told,
	}
	out.trusted()
	for _, one := range r.tally.sources {
		out.Matched += one.matched.Load()
		out.Ignored += one.ignored.Load()
		out.Refused += one.refused.Load()
	}
	out.Records = out.Matched + out.Ignored + out.Refused
	for _, d := range b.destinations {
		one := *d
		states := s.Items[d.Name]
		one.Rejected, one.Waiting, one.Expired = states[store.Rejected], states[store.Pending]+states[store.Claimed], s.Expired[d.Name].Reports
		for _, c := range r.couriers {
			if c.sender.name == d.Name {
				one.Dismissed = c.Count(report.Dismissed)
				one.Rejected = c.Count(report.Rejected)
			}
		}
		if d.Action == policy.Alert.String() {
			out.Alerted += d.Sent
		}
		out.Destinations = append(out.Destinations, one)
	}
	out.policies(r)
	out.addresses(b)
	return out
}

// trusted adds to the gate's refusals what was dropped before anything was judged, as the metric has it.
func (o *Replayed) trusted() {
	if o.Trusted == 0 {
		return
	}
	i := slices.IndexFunc(o.Gate, func(g ReplayedRefusal) bool { return g.Reason == policy.Trusted.String() })
	if i < 0 {
		i, o.Gate = 0, slices.Insert(o.Gate, 0, ReplayedRefusal{Reason: policy.Trusted.String(), Because: policy.Trusted.Because()})
	}
	o.Gate[i].Decisions += o.Trusted
	o.Gate[i].Events += o.Trusted
}

// policies fills in the decisions, in the order of the configuration.
func (o *Replayed) policies(r *Replay) {
	decisions := r.counters.Decisions()
	for _, p := range r.config.policies() {
		n := func(action string) uint64 { return decisions[policy.Decision{Policy: p.Name, Action: action}] }
		o.Policies = append(o.Policies, ReplayedPolicy{p.Name, n("report"), n("alert"), n("count"), n("muted"), n("refused"), n("weighed"), n("held")})
	}
}

// addresses fills in what was reported.
func (o *Replayed) addresses(b *replayBooks) {
	o.Blocked.Of = b.events
	for _, a := range b.told {
		o.Blocked.Attempts += a.After
		o.Blocked.Logins += a.LoginsAfter
		o.Addresses = append(o.Addresses, *a)
	}
	slices.SortFunc(o.Addresses, func(x, y ReplayedAddress) int { return cmp.Or(cmp.Compare(y.After, x.After), x.Addr.Compare(y.Addr)) })
}

// ReplayedDifference is what two configurations made of the same records.
type ReplayedDifference struct {
	Policies []PolicyDifference `json:"policies"` // that differ
	Both     int                `json:"both"`     // addresses that both reported
	First    []ReplayedAddress  `json:"only_first"`
	Second   []ReplayedAddress  `json:"only_second"`
}

// PolicyDifference is one policy by both; one that a configuration has not decided nothing there.
type PolicyDifference struct {
	Name   string         `json:"name"`
	First  ReplayedPolicy `json:"first"`
	Second ReplayedPolicy `json:"second"`
}

// Compare returns how other differs from o.
func (o *Replayed) Compare(other *Replayed) ReplayedDifference {
	d := ReplayedDifference{First: missing(o, other), Second: missing(other, o)}
	d.Both = len(o.told) - len(d.First)
	first, second := byName(o.Policies), byName(other.Policies)
	names := map[string]bool{}
	for name := range first {
		names[name] = true
	}
	for name := range second {
		names[name] = true
	}
	for _, name := range slices.SortedFunc(maps.Keys(names), strings.Compare) {
		a, b := first[name], second[name]
		if a.Name, b.Name = name, name; a != b {
			d.Policies = append(d.Policies, PolicyDifference{name, a, b})
		}
	}
	return d
}

func byName(all []ReplayedPolicy) map[string]ReplayedPolicy {
	m := map[string]ReplayedPolicy{}
	for _, p := range all {
		m[p.Name] = p
	}
	return m
}

// missing returns the addresses that one reported and the other did not.
func missing(one, other *Replayed) []ReplayedAddress {
	all := []ReplayedAddress{}
	for _, a := range one.Addresses {
		if other.told[policy.Key(a.Addr)] == nil {
			all = append(all, a)
		}
	}
	return all
}
