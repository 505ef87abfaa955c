package trusted

import (
	"encoding/json"
	"maps"
	"slices"
)

// Memory is what is kept over a restart.
type Memory struct {
	Names     map[string]answer `json:"names,omitempty"`
	Peers     []Seen            `json:"peers,omitempty"`     // by TCP
	Datagrams []Seen            `json:"datagrams,omitempty"` // peers whose address may be forged
	Logins    []Seen            `json:"logins,omitempty"`
}

// maxMemory bounds a Memory as it is stored, in bytes: far more than its parts come to.
const maxMemory = 1 << 19

// Pack returns m as it is stored, in pieces of at most so many bytes.
func (m Memory) Pack(size int) [][]byte {
	text, err := json.Marshal(m)
	if err != nil || len(text) > maxMemory {
		return nil
	}
	return slices.Collect(slices.Chunk(text, size))
}

// Unpack reads what Pack wrote; of anything else it returns an empty Memory.
func Unpack(pieces [][]byte) Memory {
	var m Memory
	if text := slices.Concat(pieces...); len(text) > maxMemory || json.Unmarshal(text, &m) != nil {
		return Memory{}
	}
	return m
}

// Changed notes that there are answers to store.
func (n *Names) Changed() { n.dirty.Store(true) }

// Stored notes that all answers are stored.
func (n *Names) Stored() { n.dirty.Store(false) }

// Dirty reports whether there are answers to store.
func (n *Names) Dirty() bool { return n.dirty.Load() }

// Store returns the last good answers.
func (n *Names) Store() map[string]answer {
	n.mu.Lock()
	defer n.mu.Unlock()
	all := map[string]answer{}
	for name, a := range n.known {
		if !a.At.IsZero() {
			all[name] = answer{V4: a.V4, V6: a.V6, At: a.At}
		}
	}
	return all
}

// Restore takes up the answers that an earlier process stored.
func (n *Names) Restore(all map[string]answer) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, name := range slices.Sorted(maps.Keys(all)) {
		a := all[name]
		if whole, ok := nameOf(name); !ok || whole != name || len(n.known) >= 2*MaxNames || len(a.V4)+len(a.V6) > 2*maxAddrs {
			continue
		}
		if kept := (answer{V4: filter(a.V4), V6: filter(a.V6), At: a.At}); len(kept.addrs()) > 0 && !a.At.IsZero() {
			n.known[name] = &kept
		}
	}
}
