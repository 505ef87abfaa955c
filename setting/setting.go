// Package setting has the values that people write into configuration files, in the forms in which they write them:
// durations with days, secrets from files and credentials, networks. It checks one value at a time and knows no section;
// packages use it for their Config, daemon reads the file.
package setting

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// FaultFunc is how a Config reports what is wrong with it: path is the setting, in dotted form as seen from the Config
// ("timezone", "allow[2]"), "" for the Config itself; problem says what is wrong and what to write instead. It may be
// called any number of times: the operator sees all faults at once.
type FaultFunc func(path, problem string)

// Duration is a time span as people write it: Go's form, and days and weeks ("90d", "2w", "1d12h").
type Duration time.Duration

// D returns the span as the standard library knows it.
func (d Duration) D() time.Duration { return time.Duration(d) }

func (d Duration) String() string {
	if day := 24 * time.Hour; d != 0 && time.Duration(d)%day == 0 {
		return strconv.Itoa(int(time.Duration(d)/day)) + "d"
	}
	text := time.Duration(d).String()
	for _, nothing := range []string{"m0s", "h0m"} {
		if strings.HasSuffix(text, nothing) {
			text = text[:len(text)-2]
		}
	}
	return text
}

// MarshalText writes what UnmarshalText reads.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText reads a span; a number without a unit is refused, and so is a negative span.
func (d *Duration) UnmarshalText(text []byte) error {
	span, err := parseDuration(string(text))
	if err != nil {
		return err
	}
	*d = Duration(span)
	return nil
}

func parseDuration(text string) (time.Duration, error) {
	fail := fmt.Errorf("%q is not a duration: write it like 90s, 10m, 24h or 90d", text)
	var total time.Duration
	rest := text
	for _, unit := range []struct {
		letter string
		span   time.Duration
	}{{"w", 7 * 24 * time.Hour}, {"d", 24 * time.Hour}} {
		number, after, found := strings.Cut(rest, unit.letter)
		if !found {
			continue
		}
		n, err := strconv.ParseUint(number, 10, 16)
		if err != nil {
			return 0, fail
		}
		total += time.Duration(n) * unit.span
		rest = after
	}
	if rest == "" && total > 0 {
		return total, nil
	}
	span, err := time.ParseDuration(rest)
	if err != nil || span < 0 || total+span < 0 {
		return 0, fail
	}
	return total + span, nil
}

// Network is a network or a single address, as people write either ("192.0.2.0/24", "2001:db8::1").
type Network netip.Prefix

// Prefix returns the network, masked; never IPv4-mapped.
func (n Network) Prefix() netip.Prefix { return netip.Prefix(n) }

func (n Network) String() string { return netip.Prefix(n).String() }

// MarshalText writes the network in CIDR form.
func (n Network) MarshalText() ([]byte, error) { return []byte(n.String()), nil }

// UnmarshalText reads a network or an address. Host bits behind the mask are refused: they are a slip more often than not.
func (n *Network) UnmarshalText(text []byte) error {
	s := string(text)
	if addr, err := netip.ParseAddr(s); err == nil {
		if addr.Zone() != "" {
			return fmt.Errorf("%q has a zone: write the address without it", s)
		}
		addr = addr.Unmap()
		*n = Network(netip.PrefixFrom(addr, addr.BitLen()))
		return nil
	}
	p, err := netip.ParsePrefix(s)
	if err != nil {
		return fmt.Errorf("%q is neither a network like 192.0.2.0/24 nor an address", s)
	}
	if p.Addr().Is4In6() {
		return fmt.Errorf("%q is an IPv4-mapped network: write it as IPv4", s)
	}
	if p != p.Masked() {
		return fmt.Errorf("%q has bits after its mask: did you mean %s?", s, p.Masked())
	}
	*n = Network(p)
	return nil
}

// Contains reports whether addr lies in one of the networks.
func Contains(networks []Network, addr netip.Addr) bool {
	addr = addr.Unmap()
	for _, n := range networks {
		if n.Prefix().Contains(addr) {
			return true
		}
	}
	return false
}
