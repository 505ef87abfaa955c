package trusted

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"tattled/event"
)

const (
	// maxAddrs is how many addresses one name may have. An answer with more is not used.
	maxAddrs = 32
	// askAtOnce is how many look-ups run at once, and askFor how long one may take.
	askAtOnce = 8
	askFor    = 10 * time.Second
	// failingFor is how long a name that resolved before may fail before that is a problem.
	failingFor = time.Hour
)

// Lookup returns the addresses of a name of one family, "ip4" or "ip6", as net.Resolver.LookupNetIP does.
type Lookup func(ctx context.Context, network, host string) ([]netip.Addr, error)

// SystemLookup asks the name servers that this machine is configured with.
func SystemLookup() Lookup { return (&net.Resolver{PreferGo: true}).LookupNetIP }

// Names knows what DNS names resolve to: their last good answers. Safe for concurrent use; Ask is the one method that waits.
type Names struct {
	lookup Lookup
	dirty  atomic.Bool // there are answers to store

	mu    sync.Mutex
	known map[string]*answer
}

// answer is what is known of a name.
type answer struct {
	V4 []netip.Addr `json:"v4,omitempty"`
	V6 []netip.Addr `json:"v6,omitempty"`
	At time.Time    `json:"at"` // of the last good answer; zero: there was none

	asked bool // in this process
	why   string
	since time.Time // why is so since; zero if the last answer was good
	wrong bool      // the last answer was one that cannot be used
}

func (a *answer) addrs() []netip.Addr { return slices.Concat(a.V4, a.V6) }

// NewNames returns Names that ask by lookup.
func NewNames(lookup Lookup) *Names { return &Names{lookup: lookup, known: map[string]*answer{}} }

// Ask asks for all of names, forgets all others, and reports whether an address came or went.
func (n *Names) Ask(ctx context.Context, names []string) (changed bool) {
	var mu sync.Mutex
	var group errgroup.Group
	group.SetLimit(askAtOnce)
	for _, name := range names {
		group.Go(func() error {
			v4, v6 := n.family(ctx, "ip4", name), n.family(ctx, "ip6", name)
			if ctx.Err() != nil {
				return nil
			}
			different := n.take(name, v4, v6, time.Now())
			mu.Lock()
			defer mu.Unlock()
			changed = changed || different
			return nil
		})
	}
	_ = group.Wait()
	n.mu.Lock()
	defer n.mu.Unlock()
	for name := range n.known {
		if !slices.Contains(names, name) {
			delete(n.known, name)
			changed = true
		}
	}
	return changed
}

// found is the answer for one family.
type found struct {
	addrs []netip.Addr
	none  bool  // the name servers say that there is none
	err   error // of anything else
}

// family asks for one family. The name is whole: no search domain is added.
func (n *Names) family(ctx context.Context, network, name string) found {
	ctx, cancel := context.WithTimeout(ctx, askFor)
	defer cancel()
	addrs, err := n.lookup(ctx, network, name+".")
	if missing, ok := errors.AsType[*net.DNSError](err); ok && missing.IsNotFound && !missing.IsTemporary && !missing.IsTimeout {
		return found{none: true}
	}
	for i := range addrs {
		addrs[i] = addrs[i].Unmap().WithZone("")
	}
	addrs = slices.DeleteFunc(addrs, func(a netip.Addr) bool { return a.Is4() != (network == "ip4") })
	return found{addrs, err == nil && len(addrs) == 0, err}
}

// take takes in an answer, and reports whether the addresses changed. A family that failed keeps what it had; one that has none has none
// only where the other one answers.
func (n *Names) take(name string, v4, v6 found, now time.Time) (changed bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	a := n.known[name]
	if a == nil {
		a = &answer{}
		n.known[name] = a
	}
	a.asked = true
	next, why, wrong := a.judge(v4, v6)
	if why != "" {
		if a.since.IsZero() {
			a.since = now
		}
		a.why, a.wrong = why, wrong
		return false
	}
	changed = !slices.Equal(a.addrs(), next.addrs())
	since := a.since
	*a = answer{V4: next.V4, V6: next.V6, At: now, asked: true}
	if err := cmp.Or(v4.err, v6.err); err != nil { // one family
		if a.why, a.since = describe(err), since; since.IsZero() {
			a.since = now
		}
	}
	return changed
}

// judge returns what a becomes by an answer. If it is not to be used, why says so, and wrong whether there was one at all.
func (a *answer) judge(v4, v6 found) (next answer, why string, wrong bool) {
	all := slices.Concat(v4.addrs, v6.addrs)
	switch usual := filter(all); {
	case len(all) > maxAddrs:
		return next, fmt.Sprintf("the answer has %d addresses, and at most %d are accepted", len(all), maxAddrs), true
	case len(all) == 0 && (v4.err != nil || v6.err != nil):
		return next, describe(cmp.Or(v4.err, v6.err)), false
	case len(all) == 0:
		return next, "the name servers say that it does not exist or has no address", true
	case len(usual) == 0:
		return next, fmt.Sprintf("the answer has no address that a host can have (%v)", all[0]), true
	case !slices.ContainsFunc(usual, public) && slices.ContainsFunc(a.addrs(), public):
		return next, fmt.Sprintf("the answer has private addresses alone (%v), where it had public ones before", usual[0]), true
	}
	next.V4, next.V6 = filter(v4.addrs), filter(v6.addrs)
	if v4.err != nil {
		next.V4 = a.V4
	}
	if v6.err != nil {
		next.V6 = a.V6
	}
	return next, "", false
}

// filter returns the addresses that a host can have, each once, in order.
func filter(addrs []netip.Addr) []netip.Addr {
	kept := slices.DeleteFunc(slices.Clone(addrs), func(a netip.Addr) bool { return !usable(a) })
	slices.SortFunc(kept, netip.Addr.Compare)
	return slices.Compact(kept)
}

func public(a netip.Addr) bool { return !a.IsPrivate() }

// maxWhy bounds what is said of an error, in bytes.
const maxWhy = 200

// describe says an error of a look-up on one line.
func describe(err error) string {
	text := err.Error()
	if e, ok := errors.AsType[*net.DNSError](err); ok {
		if text = e.Err; e.Server != "" {
			text += " (name server " + e.Server + ")"
		}
	}
	text = strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, text)
	return text[:min(len(text), maxWhy)]
}

// Known reports whether each of names has resolved once, now or in an earlier process.
func (n *Names) Known(names []string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return !slices.ContainsFunc(names, func(name string) bool { return n.known[name] == nil || n.known[name].At.IsZero() })
}

// Addrs returns the addresses of names.
func (n *Names) Addrs(names []string) []netip.Addr {
	n.mu.Lock()
	defer n.mu.Unlock()
	var all []netip.Addr
	for _, name := range names {
		if a := n.known[name]; a != nil {
			all = append(all, a.addrs()...)
		}
	}
	return all
}

// Failure returns why a name's last look-up is of no use, "" if it is.
func (n *Names) Failure(name string) string {
	n.mu.Lock()
	defer n.mu.Unlock()
	if a := n.known[name]; a != nil {
		return a.why
	}
	return "no answer came in time"
}

// Problems says which of names have no address, or an old one.
func (n *Names) Problems(names []string, now time.Time) []event.Problem {
	n.mu.Lock()
	defer n.mu.Unlock()
	const remedy = "check the name and this machine's name servers (`tattled check` looks it up), or write networks in place of the name; it is looked up again every five minutes"
	var all []event.Problem
	for _, name := range names {
		a := n.known[name]
		switch {
		case a == nil || !a.asked || a.why == "":
		case a.At.IsZero():
			all = append(all, event.Problem{What: name + ": a name in trusted or own was never resolved, so that it names no address", Cause: a.why, Remedy: remedy, Since: a.since})
		case a.wrong || now.Sub(a.since) >= failingFor:
			all = append(all, event.Problem{
				What:  name + ": a name in trusted or own is not resolved any more",
				Cause: fmt.Sprintf("%s; the answer of %s is still in effect", a.why, a.At.UTC().Format(time.RFC3339)), Remedy: remedy, Since: a.since,
			})
		}
	}
	return all
}
