package main

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"time"

	"tattled/detect"
	"tattled/event"
	"tattled/receiver"
)

// found is a finding as --json writes it. Absent fields are left out.
type found struct {
	LineNo    int64  `json:"line_no"`
	Time      string `json:"time,omitempty"`
	Host      string `json:"host,omitempty"`
	Program   string `json:"program,omitempty"`
	PID       string `json:"pid,omitempty"`
	Service   string `json:"service"`
	Rule      string `json:"rule"`
	Kind      string `json:"kind"`
	IP        string `json:"ip"`
	Port      uint16 `json:"port,omitempty"`
	LocalPort uint16 `json:"local_port,omitempty"`
	Proto     string `json:"proto,omitempty"`
	Direction string `json:"direction,omitempty"` // "forward" of a packet that went on to another machine
	User      string `json:"user,omitempty"`
	Handshake bool   `json:"handshake"` // the address is proven, as the log was read: with headers or without
	Weak      bool   `json:"weak"`      // a well-behaved peer fits it now and then
}

func newFound(line int64, r *receiver.Record, b *receiver.Batch, f *detect.Finding) *found {
	one := &found{
		LineNo: line, Host: string(r.Host), Program: string(r.Program), PID: string(r.PID),
		Service: f.Rule.Service.Name, Rule: f.Rule.Name, Kind: f.Rule.Kind.String(),
		IP: f.Addr.String(), Port: f.Port, LocalPort: f.LocalPort, Proto: f.Proto.String(), User: string(f.User),
		Handshake: f.Handshake() && !f.Raw && f.Rule.Service.Lines.Whole(r.Framing == receiver.FileLine, r.Framing == receiver.OutLine), Weak: f.Weak(),
	}
	if f.Forward {
		one.Direction = "forward"
	}
	at := r.Time
	if at.IsZero() {
		at, _ = f.Stamp.Time(b.Location, b.Received)
	}
	if !at.IsZero() {
		one.Time = at.Format(time.RFC3339Nano)
	}
	return one
}

// printer appends a finding to b as a line of output.
type printer func(b []byte, one *found) []byte

// printJSON escapes what cannot be seen beyond what JSON asks for, so that no terminal obeys it and no reader is deceived.
func printJSON(b []byte, one *found) []byte {
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(one) // numbers and strings cannot fail
	return append(event.AppendVisibleJSON(b, bytes.TrimSuffix(text.Bytes(), []byte("\n"))), '\n')
}

// printText is for people: what a peer chose is quoted.
func printText(b []byte, one *found) []byte {
	b = strconv.AppendInt(b, one.LineNo, 10)
	if one.Time != "" {
		b = append(b, " "+one.Time...)
	}
	b = append(b, " "+one.Service+"/"+one.Rule+" "+one.Kind+" "+one.IP...)
	if one.LocalPort != 0 {
		b = strconv.AppendUint(append(b, " port "...), uint64(one.LocalPort), 10)
	}
	if one.User != "" {
		b = strconv.AppendQuoteToASCII(append(b, " user "...), one.User)
	}
	return append(b, '\n')
}

// maxAddresses bounds how many addresses a summary tells apart, and with it the memory that it takes.
const maxAddresses = 200_000

// matchTally counts for --summary.
type matchTally struct {
	rules []ruleCount             // by Rule.Index, as far as any matched: not all rules need to be read for it
	four  map[[4]byte]struct{}    // the addresses of IPv4, which are most: of small keys, a map is several times faster
	six   map[netip.Addr]struct{} // the other ones
	more  bool                    // there were more than maxAddresses

	// recent has addresses of IPv4 that are in four, with the bit above them set, each at its hash: most lines of a log are
	// by those that had many just before, and looking here costs a fraction of looking into a large map.
	recent [1 << 11]uint64
}

type ruleCount struct {
	rule *detect.Rule
	n    int64
}

func newMatchTally() *matchTally {
	return &matchTally{four: map[[4]byte]struct{}{}, six: map[netip.Addr]struct{}{}}
}

func (t *matchTally) count(h *hit) {
	i := h.rule.Index
	if i >= len(t.rules) {
		t.rules = append(t.rules, make([]ruleCount, i+1-len(t.rules))...)
	}
	t.rules[i].rule = h.rule
	t.rules[i].n++
	if !h.addr.Is4() {
		remember(t, t.six, h.addr)
		return
	}
	four := h.addr.As4()
	key := binary.BigEndian.Uint32(four[:])
	slot := &t.recent[key*0x9e3779b1>>(32-11)]
	if *slot != 1<<32|uint64(key) {
		*slot = 1<<32 | uint64(key)
		remember(t, t.four, four)
	}
}

// remember adds an address to one of the maps, unless they have enough.
func remember[A comparable](t *matchTally, known map[A]struct{}, addr A) {
	if _, there := known[addr]; there {
		return
	}
	if t.distinct() < maxAddresses {
		known[addr] = struct{}{}
	} else {
		t.more = true
	}
}

// distinct returns how many addresses there were, maxAddresses at most.
func (t *matchTally) distinct() int { return len(t.four) + len(t.six) }

func (t *matchTally) write(w *bufio.Writer, s *scan, began time.Time) {
	t.rules = slices.DeleteFunc(t.rules, func(c ruleCount) bool { return c.n == 0 })
	width := len("addresses")
	for _, c := range t.rules {
		width = max(width, len(c.rule.String()))
	}
	row := func(name, value string) { fmt.Fprintf(w, "%-*s %s\n", width, name, value) }
	for _, c := range t.rules {
		row(c.rule.String(), strconv.FormatInt(c.n, 10))
	}
	addresses := strconv.Itoa(t.distinct())
	if t.more {
		addresses += " or more"
	}
	row("lines", strconv.FormatInt(s.lines, 10))
	row("matched", strconv.FormatInt(s.matched, 10))
	row("refused", strconv.FormatInt(s.refused, 10))
	row("addresses", addresses)
	row("seconds", fmt.Sprintf("%.3f", time.Since(began).Seconds()))
}
