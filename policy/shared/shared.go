// Package shared knows the networks that do the work of many: the edges of content delivery networks, public resolvers,
// and crawlers. Whoever is reported for one of them harms everybody who uses it. The lists are files that come with the
// program, each with its operator, source, date and checksum; nothing is fetched. It decides nothing: the gate and the
// configuration ask it.
package shared

import (
	"embed"
	"encoding"
	"fmt"
	"net/netip"
	"path"
	"strings"

	"github.com/gaissmai/bart"

	"tattled/setting"
)

//go:embed *.txt
var files embed.FS

// Kind is what a list's networks do.
type Kind string

// The kinds.
const (
	CDN      Kind = "cdn"      // asks a web server on behalf of visitors
	Resolver Kind = "resolver" // a public DNS resolver
	Crawler  Kind = "crawler"  // a search engine, or who fetches the preview of a link
)

// List is the networks of one operator.
type List struct {
	Name     string // of its file, such as cloudflare
	Operator string
	Kind     Kind
	Source   string // where the operator publishes them
	Copy     string // where they were read
	Date     string // of that copy, or of the reading where it has none: 2026-11-30
	Licence  string // why they may come with the program
	SHA256   string // of the networks, one on a line
	Networks []netip.Prefix
}

// Names lists the names of all lists, in order.
func Names() []string {
	entries, _ := files.ReadDir(".") // embedded: it cannot fail
	names := make([]string, len(entries))
	for i, e := range entries {
		names[i] = strings.TrimSuffix(e.Name(), path.Ext(e.Name()))
	}
	return names
}

// Read reads a list by its name.
func Read(name string) (*List, error) {
	text, err := files.ReadFile(name + ".txt")
	if err != nil {
		return nil, fmt.Errorf("there is no list %q%s", name, instead(name))
	}
	l := &List{Name: name}
	into := map[string]*string{
		"operator": &l.Operator, "kind": (*string)(&l.Kind), "source": &l.Source, "copy": &l.Copy, "date": &l.Date, "licence": &l.Licence, "sha256": &l.SHA256,
	}
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		if head, found := strings.CutPrefix(line, "# "); found {
			key, value, _ := strings.Cut(head, ": ")
			if into[key] == nil {
				return nil, fmt.Errorf("list %s: nobody knows %q", name, key)
			}
			*into[key] = value
			continue
		}
		network, err := netip.ParsePrefix(line)
		if err != nil {
			return nil, fmt.Errorf("list %s: %w", name, err)
		}
		l.Networks = append(l.Networks, network)
	}
	return l, nil
}

// instead says which list may have been meant.
func instead(name string) string {
	for _, known := range Names() {
		if setting.EditDistance(name, known) <= 2 {
			return fmt.Sprintf(": did you mean %q?", "@"+known)
		}
	}
	return ": there are @" + strings.Join(Names(), ", @")
}

// Set is all lists, for looking addresses up. It never changes.
type Set struct{ table bart.Table[*List] }

// NewSet reads all lists. A list that cannot be read is a fault of the program's: it panics.
func NewSet() *Set {
	s := new(Set)
	for _, name := range Names() {
		l, err := Read(name)
		if err != nil {
			panic(err)
		}
		for _, n := range l.Networks {
			s.table.Insert(n, l)
		}
	}
	return s
}

// Find returns the list that has addr, nil if none has. Of several the one with the smallest network counts.
func (s *Set) Find(addr netip.Addr) *List {
	l, _ := s.table.Lookup(addr)
	return l
}

// Overlaps reports whether a list has an address of a network.
func (s *Set) Overlaps(p netip.Prefix) bool { return s.table.OverlapsPrefix(p) }

// Network is an entry of a list of networks in the configuration: a network, an address, or the name of a list of this
// package with an @ before it ("@cloudflare").
type Network struct {
	name     string // of a list, "" for one network
	networks []netip.Prefix
}

var (
	_ encoding.TextMarshaler   = Network{}
	_ encoding.TextUnmarshaler = (*Network)(nil)
)

// Prefixes returns the networks: one, or those of the list. Do not write to it.
func (n Network) Prefixes() []netip.Prefix { return n.networks }

func (n Network) String() string {
	if n.name != "" || len(n.networks) == 0 {
		return "@" + n.name
	}
	return n.networks[0].String()
}

// MarshalText writes what UnmarshalText reads.
func (n Network) MarshalText() ([]byte, error) { return []byte(n.String()), nil }

// UnmarshalText reads "192.0.2.0/24", "2001:db8::1" or "@cloudflare".
func (n *Network) UnmarshalText(text []byte) error {
	if name, isList := strings.CutPrefix(string(text), "@"); isList {
		l, err := Read(name)
		if err != nil {
			return err
		}
		*n = Network{name, l.Networks}
		return nil
	}
	var one setting.Network
	if err := one.UnmarshalText(text); err != nil {
		return err
	}
	*n = Network{networks: []netip.Prefix{one.Prefix()}}
	return nil
}
