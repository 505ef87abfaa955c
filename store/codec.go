package store

import (
	"encoding/binary"
	"math"
	"net/netip"
	"strings"
	"time"

	"tattled/event"
)

// The first byte of an encoded event, item and report says in what form the rest is.
const (
	eventForm   = 1 // one event, as older releases wrote it
	packForm    = 2 // several, see pack
	itemForm    = 1
	itemInDoubt = 2 // itemForm with UnansweredSince before the report, as older releases wrote it
	itemRanked  = 3 // itemForm with Rank and UnansweredSince before the report
)

// Bounds of texts in bytes; longer ones are cut when they are stored.
const (
	maxText       = 255
	maxCategories = 30 // AbuseIPDB knows 23
	maxPorts      = 16
	maxID         = 64
)

const (
	flagHandshake = 1 << iota
	flagStray
	flagSession
	flagWeak
	flagForward
)

func flagsOf(e *event.Event) byte {
	var f byte
	if e.Handshake {
		f |= flagHandshake
	}
	if e.Stray {
		f |= flagStray
	}
	if e.Session {
		f |= flagSession
	}
	if e.Weak {
		f |= flagWeak
	}
	if e.Forward {
		f |= flagForward
	}
	return f
}

func setFlags(e *event.Event, f byte) {
	e.Handshake, e.Stray, e.Session, e.Weak = f&flagHandshake != 0, f&flagStray != 0, f&flagSession != 0, f&flagWeak != 0
	e.Forward = f&flagForward != 0
}

// Flags of a report. What a flag says is there follows the flags; releases that did not know of it did not set it.
const (
	flagReputation = 1 << iota
	flagDryRun
	flagDropUnknown // with flagReputation
	flagKinds
	flagPrior
	flagMore // with flagPrior
	flagComment
)

// decodeEvent reads an event in the form of older releases; it takes any bytes and keeps none of them.
func decodeEvent(b []byte) (event.Event, bool) {
	d := decoder{b: b}
	if d.byte() != eventForm {
		return event.Event{}, false
	}
	e := event.Event{Time: d.time(), Received: d.time()}
	e.Kind, e.Proto, e.Trust = event.Kind(d.byte()), event.Proto(d.byte()), event.Trust(d.byte())
	setFlags(&e, d.byte())
	e.Addr = d.addr()
	e.Port = binary.BigEndian.Uint16(d.bytes(2))
	e.LocalPort = binary.BigEndian.Uint16(d.bytes(2))
	e.Categories = d.categories()
	for _, s := range []*string{&e.Service, &e.Rule, &e.User, &e.Program, &e.PID, &e.Host, &e.Source, &e.Reporter} {
		*s = d.text(maxText)
	}
	e.Place = d.place()
	e.Line = d.text(event.MaxLine)
	if !d.done() {
		return event.Event{}, false
	}
	return e, true
}

func appendAddr(b []byte, a netip.Addr) []byte {
	raw := a.WithZone("").AsSlice()
	b = append(b, byte(len(raw)))
	return append(b, raw...)
}

func (d *decoder) addr() netip.Addr {
	n := int(d.byte())
	if n == 0 {
		return netip.Addr{}
	}
	a, ok := netip.AddrFromSlice(d.bytes(n))
	if !ok {
		d.bad = true
	}
	return a
}

func appendCategories(b []byte, categories []int) []byte {
	categories = categories[:min(len(categories), maxCategories)]
	b = append(b, byte(len(categories)))
	for _, c := range categories {
		b = append(b, byte(c))
	}
	return b
}

func (d *decoder) categories() []int {
	n := d.count(maxCategories)
	if n == 0 {
		return nil
	}
	all := make([]int, n)
	for i := range all {
		all[i] = int(d.byte())
	}
	return all
}

func appendPlace(b []byte, p *event.Place) []byte {
	b = appendText(b, p.Country, maxText)
	b = appendText(b, p.CountryName, maxText)
	b = appendText(b, p.City, maxText)
	b = appendText(b, p.Org, maxText)
	b = binary.AppendUvarint(b, uint64(p.ASN))
	if p.Lat == 0 && p.Lon == 0 {
		return append(b, 0)
	}
	b = append(b, 1)
	b = binary.BigEndian.AppendUint32(b, math.Float32bits(p.Lat))
	return binary.BigEndian.AppendUint32(b, math.Float32bits(p.Lon))
}

func (d *decoder) place() event.Place {
	var p event.Place
	for _, s := range []*string{&p.Country, &p.CountryName, &p.City, &p.Org} {
		*s = d.text(maxText)
	}
	p.ASN = uint32(d.number(math.MaxUint32))
	if d.byte() == 1 {
		p.Lat = math.Float32frombits(binary.BigEndian.Uint32(d.bytes(4)))
		p.Lon = math.Float32frombits(binary.BigEndian.Uint32(d.bytes(4)))
	}
	return p
}

// appendItem writes all of an item.
func appendItem(b []byte, i *Item) []byte {
	b = append(b, itemRanked, byte(i.State))
	b = binary.AppendUvarint(b, uint64(i.Attempts))
	for _, t := range []time.Time{i.Created, i.NextAttempt, i.Claimed, i.Settled} {
		b = appendTime(b, t)
	}
	b = appendText(b, i.Detail, MaxDetail)
	b = appendTime(append(b, i.Rank), i.UnansweredSince)
	return appendReport(b, &i.Report)
}

func decodeItem(b []byte) (Item, bool) {
	d := decoder{b: b}
	form := d.byte()
	if form < itemForm || form > itemRanked {
		return Item{}, false
	}
	i := Item{State: State(d.byte()), Attempts: int(d.number(math.MaxInt32))}
	for _, t := range []*time.Time{&i.Created, &i.NextAttempt, &i.Claimed, &i.Settled} {
		*t = d.time()
	}
	i.Detail = d.text(MaxDetail)
	switch form {
	case itemRanked:
		i.Rank, i.UnansweredSince = d.byte(), d.time()
	case itemInDoubt:
		i.UnansweredSince = d.time()
	default:
		i.UnansweredSince, i.Detail = oldUnanswered(i.Detail)
	}
	i.Report = d.report()
	i.ID = i.Report.ID
	if !d.done() || i.State == 0 || i.State >= stateEnd || i.Rank > MaxRank || i.ID == "" {
		return Item{}, false
	}
	return i, true
}

// oldUnanswered returns what a Detail said before items had UnansweredSince, "unanswered since 2026-11-22T10:00:00Z no answer", and
// what remains of it.
func oldUnanswered(detail string) (since time.Time, rest string) {
	marked, found := strings.CutPrefix(detail, "unanswered since ")
	if !found {
		return time.Time{}, detail
	}
	text, rest, _ := strings.Cut(marked, " ")
	since, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return time.Time{}, detail
	}
	return plainTime(since.Unix(), 0), rest
}

func appendReport(b []byte, r *event.Report) []byte {
	b = appendText(b, r.ID, maxID)
	for _, s := range []string{r.Destination, r.Policy, r.Service, r.Rule, r.User, r.Host, r.Reporter} {
		b = appendText(b, s, maxText)
	}
	for _, t := range []time.Time{r.Judged, r.First, r.Last} {
		b = appendTime(b, t)
	}
	b = appendAddr(b, r.Addr)
	b = append(b, byte(r.Kind), byte(r.Proto))
	b = appendCategories(b, r.Categories)
	b = binary.AppendUvarint(b, uint64(max(r.Count, 0)))
	b = binary.AppendUvarint(b, uint64(max(r.Users, 0)))
	ports := r.Ports[:min(len(r.Ports), maxPorts)]
	b = append(b, byte(len(ports)))
	for _, p := range ports {
		b = binary.BigEndian.AppendUint16(b, p)
	}
	b = appendPlace(b, &r.Place)
	var flags byte
	if r.Reputation != nil {
		flags |= flagReputation
		if r.Reputation.DropUnknown {
			flags |= flagDropUnknown
		}
	}
	if r.DryRun {
		flags |= flagDryRun
	}
	if len(r.Kinds) > 0 {
		flags |= flagKinds
	}
	if r.Prior != nil {
		flags |= flagPrior
		if r.Prior.More {
			flags |= flagMore
		}
	}
	if r.Comment != "" {
		flags |= flagComment
	}
	b = append(b, flags)
	if r.Reputation != nil {
		b = append(b, byte(r.Reputation.MinScore), byte(r.Reputation.MaxScore))
		b = binary.AppendUvarint(b, uint64(r.Reputation.MaxAge/time.Second))
	}
	if len(r.Kinds) > 0 {
		b = appendKinds(b, r.Kinds)
	}
	if p := r.Prior; p != nil {
		b = appendKinds(b, p.Kinds)
		b = binary.AppendUvarint(b, uint64(max(p.Count, 0)))
		b = appendTime(b, p.First)
	}
	if r.Comment != "" {
		b = appendText(b, r.Comment, event.MaxComment)
	}
	score := byte(noScore)
	if r.Score != nil {
		score = byte(min(max(*r.Score, 0), noScore-1))
	}
	b = append(b, score)
	return appendText(b, r.Line, event.MaxLine)
}

func appendKinds(b []byte, kinds []event.Kind) []byte {
	kinds = kinds[:min(len(kinds), maxKinds)]
	b = append(b, byte(len(kinds)))
	for _, k := range kinds {
		b = append(b, byte(k))
	}
	return b
}

func (d *decoder) kinds() []event.Kind {
	var all []event.Kind
	for range d.count(maxKinds) {
		all = append(all, event.Kind(d.byte()))
	}
	return all
}

// noScore stands for a score that is not known.
const noScore = 255

func (d *decoder) report() event.Report {
	r := event.Report{ID: d.text(maxID)}
	for _, s := range []*string{&r.Destination, &r.Policy, &r.Service, &r.Rule, &r.User, &r.Host, &r.Reporter} {
		*s = d.text(maxText)
	}
	for _, t := range []*time.Time{&r.Judged, &r.First, &r.Last} {
		*t = d.time()
	}
	r.Addr = d.addr()
	r.Kind, r.Proto = event.Kind(d.byte()), event.Proto(d.byte())
	r.Categories = d.categories()
	r.Count = int(d.number(math.MaxInt32))
	r.Users = int(d.number(math.MaxInt32))
	for range d.count(maxPorts) {
		r.Ports = append(r.Ports, binary.BigEndian.Uint16(d.bytes(2)))
	}
	r.Place = d.place()
	flags := d.byte()
	r.DryRun = flags&flagDryRun != 0
	if flags&flagReputation != 0 {
		r.Reputation = &event.Reputation{MinScore: int(d.byte()), MaxScore: int(d.byte()), DropUnknown: flags&flagDropUnknown != 0}
		r.Reputation.MaxAge = time.Duration(d.number(math.MaxInt32)) * time.Second
	}
	if flags&flagKinds != 0 {
		r.Kinds = d.kinds()
	}
	if flags&flagPrior != 0 {
		r.Prior = &event.Prior{Kinds: d.kinds(), Count: int(d.number(math.MaxInt32)), More: flags&flagMore != 0, First: d.time()}
	}
	if flags&flagComment != 0 {
		r.Comment = d.text(event.MaxComment)
	}
	if score := int(d.byte()); score != noScore {
		r.Score = &score
	}
	r.Line = d.text(event.MaxLine)
	return r
}
