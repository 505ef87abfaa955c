// Package trusted knows who is trusted beyond fixed networks: what files list, what DNS names resolve to, and who was seen to be one of
// ours. It reads and resolves; what follows from it is the gate's business. Nothing in it is called by a receiver that would wait.
package trusted

import (
	"encoding"
	"fmt"
	"net/netip"
	"path/filepath"
	"strings"

	"tattled/policy/shared"
)

// Entry is an entry of `trusted` or `own`: a network, an address, a list that comes with tattled ("@cloudflare"), a file
// ("/etc/tattled/offices" or "file:/etc/tattled/offices"), or a DNS name ("vpn.example.org").
type Entry struct {
	network shared.Network
	file    string
	name    string
}

var (
	_ encoding.TextMarshaler   = Entry{}
	_ encoding.TextUnmarshaler = (*Entry)(nil)
)

// Network returns the entry's network, address or list; ok is false if it is a file or a name.
func (e Entry) Network() (n shared.Network, ok bool) { return e.network, e.file == "" && e.name == "" }

func (e Entry) String() string {
	switch {
	case e.file != "":
		return e.file
	case e.name != "":
		return e.name
	default:
		return e.network.String()
	}
}

// MarshalText writes what UnmarshalText reads.
func (e Entry) MarshalText() ([]byte, error) { return []byte(e.String()), nil }

// UnmarshalText reads an entry.
func (e *Entry) UnmarshalText(text []byte) error {
	s := string(text)
	if path, isFile := strings.CutPrefix(s, "file:"); isFile || strings.HasPrefix(s, "/") {
		if !isFile {
			path = s
		}
		path = "/" + strings.TrimLeft(path, "/")
		if !isFile && filepath.Clean(s) != s || isFile && !strings.HasPrefix(s, "file:/") || path == "/" {
			return fmt.Errorf("%q: write the whole path of a file, as in /etc/tattled/offices", s)
		}
		*e = Entry{file: filepath.Clean(path)}
		return nil
	}
	if name, isName := nameOf(s); isName {
		*e = Entry{name: name}
		return nil
	}
	var n shared.Network
	if err := n.UnmarshalText(text); err != nil {
		if strings.ContainsAny(s, "/:@") || !strings.ContainsAny(strings.ToLower(s), "abcdefghijklmnopqrstuvwxyz") {
			return err
		}
		return fmt.Errorf("%q is neither a network, an address, a list (@cloudflare), a file (/etc/tattled/offices) nor a whole DNS name (vpn.example.org)", s)
	}
	*e = Entry{network: n}
	return nil
}

// The bounds of a DNS name in bytes.
const (
	maxNameBytes  = 253
	maxLabelBytes = 63
)

// nameOf reads a DNS name with two labels or more, the last of which begins with a letter: nothing that could be a slip in an address.
// It returns it in lower case and without a dot at its end.
func nameOf(s string) (name string, ok bool) {
	name = strings.ToLower(strings.TrimSuffix(s, "."))
	labels := strings.Split(name, ".")
	if len(name) > maxNameBytes || len(labels) < 2 {
		return "", false
	}
	for _, l := range labels {
		if l == "" || len(l) > maxLabelBytes || l[0] == '-' || l[len(l)-1] == '-' || strings.Trim(l, "abcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
			return "", false
		}
	}
	top := labels[len(labels)-1][0]
	return name, 'a' <= top && top <= 'z'
}

// Networks returns what the entries name that needs neither a file nor a look-up.
func Networks(entries []Entry) []shared.Network {
	var all []shared.Network
	for _, e := range entries {
		if n, ok := e.Network(); ok {
			all = append(all, n)
		}
	}
	return all
}

// usable reports whether an address can be the answer for a name: a host has it, and not this machine or all.
func usable(a netip.Addr) bool {
	return a.IsGlobalUnicast() && (!a.Is4() || a.As4()[0] != 0 && a.As4()[0] < 240)
}
