package policy

import (
	"encoding"
	"fmt"
	"strconv"
	"strings"
	"time"

	"tattled/event"
	"tattled/setting"
)

// Bounds of a configuration. They keep the state of one address bounded.
const (
	MaxRules     = 64   // policies in one configuration
	MaxThreshold = 1000 // of one policy
	maxSum       = 4000 // of the thresholds of all policies
	maxName      = 64   // bytes in the name of a policy
	maxWithin    = 30 * 24 * time.Hour

	maxMinDistinct = 32  // different values that a policy can ask for beside a number
	maxBroad       = 100 // the number beside them: finding the values looks at each of the events several times
)

// Unknown is the country code of an address whose country is not known.
const Unknown = "??"

// Config is one policy: whose events are counted, how many in what time are too many, and what is done then. Events are
// counted for each address, those of IPv6 for each /64.
type Config struct {
	// Name names the policy in reports, in alerts and in metrics: letters, digits and "-", at most 64 bytes, each name
	// once. It is required. A policy with the name of a shipped one takes its place, with all of its settings.
	Name string `yaml:"name"`

	// Enabled says whether the policy is in effect; by default true. {name: port-scan, enabled: false} switches a shipped one
	// off, and needs nothing else.
	Enabled *bool `yaml:"enabled"`

	// When says which events count. All of its conditions must hold.
	When When `yaml:"when"`

	// After turns the policy into one about a sequence: events of these kinds are counted (Threshold of them in Within), and
	// the policy is reached by an event of When that follows them. The conditions source, service, country and asn of When
	// (and their opposites) hold for both, its other conditions only for the event that follows. "Five failures and then a success" is after:
	// [auth-failure], when: {kind: [auth-success]}.
	After []event.Kind `yaml:"after"`

	// Threshold is how many events reach the policy: 1 to 1000, by default 1; all policies together at most 4000. Several
	// log lines about one attempt on one connection count as one event.
	Threshold int `yaml:"threshold"`

	// Within is the time in which Threshold events must lie, by their own time: up to 30d. It is required where threshold
	// is above 1, or where there is an after.
	Within setting.Duration `yaml:"within"`

	// Distinct counts different values instead of events: "ports" (of ours), "users" (the accounts tried) or "paths" (what a
	// web server was asked for, without the query). Events without that value do not count.
	Distinct string `yaml:"distinct"`

	// MinDistinct asks for number and breadth: Threshold counts events again, each with the value that Distinct names, and
	// among them must be at least so many different ones: 2 to 32, at most Threshold, which then is at most 100. "Ten tries at
	// three accounts or more" is threshold: 10, distinct: users, min_distinct: 3. By default 0: Threshold counts the values.
	MinDistinct int `yaml:"min_distinct" zero:"default"`

	// Successes weighs successful logins (auth-success) against the failures that the policy counts, 1 to 20; by default 0:
	// they are not looked at. One takes back so many failures at most: the newest of its own account, at its own service, from
	// its own address, of the ten minutes before. And the policy is not reached before there are more failures than different
	// accounts, at most 20, that got in from the address in the time of Within. Failures of an account that got in from the address
	// at that service within 30 days do not count: whoever knew a password does not guess it. A success weighs only as far as it is as
	// trusted as the failures. It goes with when.kind: [auth-failure] alone, without after, and with distinct: users or none.
	Successes int `yaml:"successes" zero:"default"`

	// Reputation asks AbuseIPDB for the address's score before an alert goes out, and sends it only if the score lies
	// within. The alert waits for the score for 5 minutes at most. It cannot be combined with "report": AbuseIPDB forbids reports that rest on its own scores.
	Reputation *Reputation `yaml:"reputation"`

	// Private lets the policy alert about addresses that nobody holds on the public Internet: this machine's own, private,
	// link-local, multicast and documentation ones. Such an alert does not ask for a score. Absent, nobody is told of them. Trusted
	// networks are never alerted on.
	Private bool `yaml:"private"`

	// Do is what happens when the policy is reached, at most once in the window of each destination: "report" (to
	// AbuseIPDB and its like, where the reporting gate allows it), "alert" (mail, webhook), "count" (the metric only). At
	// least one.
	Do []string `yaml:"do"`
}

// When is the conditions of a policy. An empty list is no condition. Names are compared byte for byte.
type When struct {
	// Kind lists kinds of events, such as auth-failure or firewall-accept.
	Kind []event.Kind `yaml:"kind"`
	// Service lists services as the rule files name them, such as sshd.
	Service []string `yaml:"service"`
	// ServiceNot lists services that do not fulfil the condition.
	ServiceNot []string `yaml:"service_not"`
	// Rule lists rules as the rule files name them, such as failed-password.
	Rule []string `yaml:"rule"`
	// RuleNot lists rules that do not fulfil the condition.
	RuleNot []string `yaml:"rule_not"`
	// Strength is "strong" for events that only attackers cause, or "weak" for those of rules that a well-behaved peer fits
	// now and then: a page that is not there, a lost connection. Absent: both.
	Strength string `yaml:"strength"`
	// Source lists sources as the configuration names them.
	Source []string `yaml:"source"`

	// Country lists countries of the address by their ISO 3166-1 code (DE, NL), or "??" for one that is not known.
	Country []string `yaml:"country"`
	// CountryNot lists the countries that are expected: every other one fulfils the condition, and so does an unknown one
	// unless "??" is listed. It cannot be combined with country.
	CountryNot []string `yaml:"country_not"`

	// ASN lists autonomous systems by their number.
	ASN []uint32 `yaml:"asn"`
	// ASNNot lists autonomous systems that do not fulfil the condition. An unknown one fulfils it.
	ASNNot []uint32 `yaml:"asn_not"`

	// Ports lists ports on our side: 22, or "8000-8100". An event without a port does not fulfil it.
	Ports []Ports `yaml:"ports"`
	// User lists accounts. An event without an account does not fulfil it.
	User []string `yaml:"user"`
	// UserNot lists accounts that do not fulfil the condition.
	UserNot []string `yaml:"user_not"`

	// Direction is of packets that a packet filter has logged: "in" for those to the machine itself, "forward" for those that it
	// passes on, or would, to others. What a network's own machines send out is forwarded as well, so that they are blamed for what
	// the filter refuses them. Default: in, and whatever is no packet.
	Direction string `yaml:"direction"`
}

// Reputation is a condition on the address's AbuseIPDB score (0, never reported or harmless, to 100).
type Reputation struct {
	// MinScore is the lowest score that fulfils the condition, 0 to 100; by default 0.
	MinScore *int `yaml:"min_score"`
	// MaxScore is the highest, min_score to 100; by default 100.
	MaxScore *int `yaml:"max_score"`
	// MaxAge is how old the reports behind the score may be: 1d to 365d, by default 90d.
	MaxAge setting.Duration `yaml:"max_age"`
	// Unknown says what becomes of an alert whose score cannot be had in time, or at all for want of a key: "alert" sends it, and
	// it says why there is no score; "drop" does not send it. By default alert.
	Unknown string `yaml:"unknown"`
}

// Bounds returns the lowest and the highest score that fulfil the condition.
func (r *Reputation) Bounds() (lowest, highest int) {
	highest = 100
	if r.MinScore != nil {
		lowest = *r.MinScore
	}
	if r.MaxScore != nil {
		highest = *r.MaxScore
	}
	return lowest, highest
}

// DropsUnknown reports whether an alert without a score is not sent.
func (r *Reputation) DropsUnknown() bool { return r.Unknown == unknownDrop }

// Ports is one port or a range of ports, both ends included.
type Ports struct{ First, Last uint16 }

var (
	_ encoding.TextMarshaler   = Ports{}
	_ encoding.TextUnmarshaler = (*Ports)(nil)
)

func (p Ports) String() string {
	if p.First == p.Last {
		return strconv.Itoa(int(p.First))
	}
	return fmt.Sprintf("%d-%d", p.First, p.Last)
}

// MarshalText writes what UnmarshalText reads.
func (p Ports) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// UnmarshalText reads "22" or "8000-8100". Port 0 is none.
func (p *Ports) UnmarshalText(text []byte) error {
	first, last, isRange := strings.Cut(string(text), "-")
	if !isRange {
		last = first
	}
	a, errA := strconv.ParseUint(strings.TrimSpace(first), 10, 16)
	b, errB := strconv.ParseUint(strings.TrimSpace(last), 10, 16)
	if errA != nil || errB != nil || a == 0 || b < a {
		return fmt.Errorf("%q is neither a port like 22 nor a range like 8000-8100", text)
	}
	*p = Ports{uint16(a), uint16(b)}
	return nil
}

// Contains reports whether port lies in the range.
func (p Ports) Contains(port uint16) bool { return port >= p.First && port <= p.Last }
