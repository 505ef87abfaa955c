package event

import "fmt"

// Kind is the sort of an event. Its text form is part of the command line, the configuration and the metrics.
type Kind uint8

// The kinds. Zero is no kind.
const (
	AuthFailure Kind = iota + 1
	AuthSuccess
	FirewallBlock
	FirewallAccept
	Ban
	Probe
	WebAttack
	MailAbuse
	kindEnd
)

// Kinds lists every kind, in order.
func Kinds() []Kind {
	var all []Kind
	for k := AuthFailure; k < kindEnd; k++ {
		all = append(all, k)
	}
	return all
}

func (k Kind) String() string {
	switch k {
	case AuthFailure:
		return "auth-failure"
	case AuthSuccess:
		return "auth-success"
	case FirewallBlock:
		return "firewall-block"
	case FirewallAccept:
		return "firewall-accept"
	case Ban:
		return "ban"
	case Probe:
		return "probe"
	case WebAttack:
		return "web-attack"
	case MailAbuse:
		return "mail-abuse"
	default:
		return fmt.Sprintf("kind(%d)", uint8(k))
	}
}

// Hostile reports whether an event of the kind tells of an attack by itself. A packet that was refused may be anybody's.
func (k Kind) Hostile() bool {
	switch k {
	case AuthFailure, Ban, Probe, WebAttack, MailAbuse:
		return true
	default:
		return false
	}
}

// Severity says how much more an event of one kind weighs than one of another: 0 to 3. It orders reports that wait.
func (k Kind) Severity() int {
	switch k {
	case AuthSuccess, WebAttack:
		return 3
	case AuthFailure, Ban, MailAbuse:
		return 2
	case Probe:
		return 1
	default:
		return 0
	}
}

// MarshalText writes the kind's name. It fails on a value that is no kind.
func (k Kind) MarshalText() ([]byte, error) {
	if k == 0 || k >= kindEnd {
		return nil, fmt.Errorf("no such kind: %d", uint8(k))
	}
	return []byte(k.String()), nil
}

// UnmarshalText reads a kind's name.
func (k *Kind) UnmarshalText(text []byte) error {
	for _, known := range Kinds() {
		if known.String() == string(text) {
			*k = known
			return nil
		}
	}
	return fmt.Errorf("no such kind: %q (one of %v)", text, Kinds())
}
