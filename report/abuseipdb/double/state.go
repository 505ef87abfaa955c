package double

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// stateVersion is the form of a state file.
const stateVersion = 1

// state is what a state file holds. Of keys it has the keyID alone.
type state struct {
	Version  int                         `json:"version"`
	Offset   time.Duration               `json:"offset"` // of the clock
	Reports  []stored                    `json:"reports"`
	Requests []Request                   `json:"requests"`
	Files    []File                      `json:"files"`
	Last     []lastReport                `json:"last"`
	Known    map[netip.Addr]known        `json:"known"`
	Usage    map[string]map[string]*used `json:"usage"`
	Faults   []Fault                     `json:"faults"`
}

// lastReport is an entry for the 15-minute rule.
type lastReport struct {
	Reporter string     `json:"reporter"`
	Addr     netip.Addr `json:"addr"`
	At       time.Time  `json:"at"`
}

// Save writes everything that the double knows to a file, in place of what is there, if anything has changed since the last time.
// Whoever reads the file sees the old state or the new one, also after a crash.
func (d *Double) Save(path string) error {
	d.mu.Lock()
	if !d.changed {
		d.mu.Unlock()
		return nil
	}
	s := state{
		Version: stateVersion, Offset: d.offset, Reports: slices.Collect(d.reports.each()), Requests: slices.Collect(d.requests.each()),
		Files: slices.Collect(d.files.each()), Known: d.known, Usage: d.usage, Faults: d.faults,
	}
	for k, at := range d.last {
		s.Last = append(s.Last, lastReport{k.key, k.addr, at})
	}
	text, err := json.Marshal(s)
	d.changed = false
	d.mu.Unlock()
	if err == nil {
		err = replace(path, text)
	}
	if err != nil {
		d.mu.Lock()
		d.changed = true
		d.mu.Unlock()
		return fmt.Errorf("save the state: %w", err)
	}
	return nil
}

// replace puts a file in place of another one.
func replace(path string, text []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // it is renamed by then if all went well
	_, err = f.Write(text)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

// Load reads what Save wrote. A file that does not exist is a double with nothing in it. Options.Start has precedence over the
// clock of the file.
func (d *Double) Load(path string) error {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read the state: %w", err)
	}
	var s state
	if err := json.Unmarshal(text, &s); err != nil {
		return fmt.Errorf("read the state: %s: %w", path, err)
	}
	if s.Version != stateVersion {
		return fmt.Errorf("read the state: %s has the form %d, this program knows %d: delete the file", path, s.Version, stateVersion)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.options.Start.IsZero() {
		d.offset = s.Offset
	}
	d.reports.fill(s.Reports)
	d.requests.fill(s.Requests)
	d.files.fill(s.Files)
	for _, l := range s.Last {
		d.last[reported{l.Reporter, l.Addr}] = l.At
	}
	for addr, k := range s.Known {
		d.known[addr] = k
	}
	for key, byEndpoint := range s.Usage {
		d.usage[key] = byEndpoint
	}
	d.faults = s.Faults
	return nil
}
