package store

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"tattled/event"
)

func fullEvent() event.Event {
	return event.Event{
		Time: time.Date(2026, 11, 22, 12, 0, 0, 123456789, time.UTC), Received: time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC),
		Kind: event.WebAttack, Service: "nginx", Rule: "r", Categories: []int{21, 15}, Addr: netip.MustParseAddr("2a02:6b8::1"), Port: 1, LocalPort: 65535,
		Proto: event.TCP, Handshake: true, Stray: true, Session: true, Weak: true, Forward: true, User: "\xff\x00<script>", Program: "p", PID: "7", Host: "h",
		Source: "s", Reporter: "shop", Trust: event.TrustReport, Line: strings.Repeat("ü", 512),
		Place: event.Place{Country: "BE", CountryName: "Belgium", City: "Gent", ASN: 4294967295, Org: "o", Lat: 51.05, Lon: -3.72},
	}
}

func fullReport() event.Report {
	e, score := fullEvent(), 80
	return event.Report{
		ID: "0190", Destination: "mail", Policy: "p", Judged: e.Time, DryRun: true, Addr: e.Addr, Kind: e.Kind, Service: e.Service, Rule: e.Rule,
		Categories: e.Categories, First: e.Time, Last: e.Time.Add(time.Hour), Count: 12, Users: 3, Ports: []uint16{22, 2222}, Proto: e.Proto,
		Place: e.Place, Reputation: &event.Reputation{MinScore: 0, MaxScore: 100, MaxAge: 90 * 24 * time.Hour, DropUnknown: true}, Score: &score,
		Kinds:   []event.Kind{event.Probe, event.WebAttack},
		Prior:   &event.Prior{Kinds: []event.Kind{event.AuthFailure}, Count: 10, More: true, First: e.Time.Add(-time.Hour)},
		Comment: "c", User: e.User, Host: e.Host, Reporter: e.Reporter, Line: e.Line,
	}
}

// Every field comes back. A field that is added to an Event or a Report and forgotten in the codec fails here.
func TestCodecKeepsEveryField(t *testing.T) {
	e := fullEvent()
	mustBeFull(t, reflect.ValueOf(e), "Seq", "Received", "Path") // which serves policies alone, and is not kept
	got, ok := decodeEvent(appendEvent(nil, &e))
	if diff := cmp.Diff(e, got, cmpopts.EquateComparable(netip.Addr{})); !ok || diff != "" {
		t.Errorf("event: %v\n%s", ok, diff)
	}
	item := Item{
		ID: "0190", Report: fullReport(), State: Rejected, Rank: 7, Attempts: 3, Created: e.Time, NextAttempt: e.Time.Add(1), Claimed: e.Time.Add(2),
		Settled: e.Time.Add(3), Detail: "d", UnansweredSince: e.Time.Add(4),
	}
	mustBeFull(t, reflect.ValueOf(item))
	mustBeFull(t, reflect.ValueOf(item.Report), "ScoreMissing") // which the courier sets, and nobody keeps
	mustBeFull(t, reflect.ValueOf(*item.Report.Reputation), "MinScore")
	mustBeFull(t, reflect.ValueOf(*item.Report.Prior))
	again, ok := decodeItem(appendItem(nil, &item))
	if diff := cmp.Diff(item, again, cmpopts.EquateComparable(netip.Addr{})); !ok || diff != "" {
		t.Errorf("item: %v\n%s", ok, diff)
	}
	item.UnansweredSince = time.Time{}
	if again, ok = decodeItem(appendItem(nil, &item)); !ok || !reflect.DeepEqual(again.Detail, item.Detail) || !again.UnansweredSince.IsZero() {
		t.Errorf("without a doubt: %v %+v", ok, again)
	}
	var none event.Event
	if got, ok := decodeEvent(appendEvent(nil, &none)); !ok || !reflect.DeepEqual(got, none) {
		t.Errorf("an empty event came back as %+v, %v", got, ok)
	}
}

// What an older release wrote into the text of an item is in its field.
func TestOldUnanswered(t *testing.T) {
	since := time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)
	for detail, want := range map[string]Item{
		"unanswered since 2026-11-22T10:00:00Z no answer: EOF": {UnansweredSince: since, Detail: "no answer: EOF"},
		"unanswered since 2026-11-22T10:00:00Z ":               {UnansweredSince: since},
		"unanswered since yesterday":                           {Detail: "unanswered since yesterday"},
		"status 500: unanswered since 2026-11-22T10:00:00Z x":  {Detail: "status 500: unanswered since 2026-11-22T10:00:00Z x"},
	} {
		got, ok := decodeItem(appendOldItem(nil, &Item{ID: "i", State: Pending, Detail: detail, Report: event.Report{ID: "i"}}))
		if !ok || got.Rank != 0 || got.Detail != want.Detail || !got.UnansweredSince.Equal(want.UnansweredSince) {
			t.Errorf("%q: %v %q %s", detail, ok, got.Detail, got.UnansweredSince)
		}
	}
}

// Items in doubt had a form of their own before all had a rank.
func TestOldItemInDoubt(t *testing.T) {
	want := Item{ID: "0190", Report: fullReport(), State: Pending, Detail: "d", UnansweredSince: fullEvent().Time}
	got, ok := decodeItem(appendOldItem(nil, &want))
	if diff := cmp.Diff(want, got, cmpopts.EquateComparable(netip.Addr{}), cmpopts.EquateApproxTime(0)); !ok || diff != "" {
		t.Errorf("%v\n%s", ok, diff)
	}
}

// appendOldItem writes an item as releases before schema 3 did.
func appendOldItem(b []byte, i *Item) []byte {
	form := byte(itemForm)
	if !i.UnansweredSince.IsZero() {
		form = itemInDoubt
	}
	b = append(b, form, byte(i.State), byte(i.Attempts))
	for _, t := range []time.Time{i.Created, i.NextAttempt, i.Claimed, i.Settled} {
		b = appendTime(b, t)
	}
	b = appendText(b, i.Detail, MaxDetail)
	if form == itemInDoubt {
		b = appendTime(b, i.UnansweredSince)
	}
	return appendReport(b, &i.Report)
}

// mustBeFull fails where the sample leaves a field out.
func mustBeFull(t *testing.T, v reflect.Value, but ...string) {
	t.Helper()
	for i := range v.NumField() {
		name := v.Type().Field(i).Name
		if v.Field(i).IsZero() && !bytes.Contains([]byte(strings.Join(but, " ")), []byte(name)) {
			t.Errorf("the sample of %s has no %s: the test would not see that it is lost", v.Type(), name)
		}
	}
}

func TestLongTextsAreCut(t *testing.T) {
	e := fullEvent()
	e.User, e.Line, e.Categories = strings.Repeat("é", 1000), strings.Repeat("x", 5000), make([]int, 500)
	got, ok := decodeEvent(appendEvent(nil, &e))
	if !ok || len(got.User) != 254 || len(got.Line) != event.MaxLine || len(got.Categories) != maxCategories {
		t.Errorf("%v: %d, %d, %d", ok, len(got.User), len(got.Line), len(got.Categories))
	}
}

// A record is what was written there, or it is not trusted: any bit that flips in it, another key, another table.
func TestSeal(t *testing.T) {
	key, payload := []byte("key"), []byte("payload")
	record := seal(nil, Notes, key, payload)
	if got, ok := unseal(Notes, key, record); !ok || !bytes.Equal(got, payload) {
		t.Fatal("not what was sealed")
	}
	for bit := range 8 * len(record) {
		flipped := bytes.Clone(record)
		flipped[bit/8] ^= 1 << (bit % 8)
		if _, ok := unseal(Notes, key, flipped); ok {
			t.Errorf("bit %d flipped, and it passed", bit)
		}
	}
	if Verify(Events, key, record) || Verify(Notes, []byte("kez"), record) || Verify(Notes, key, nil) || Verify(Notes, key, record[:3]) {
		t.Error("a record in another place passed")
	}
}

func TestOrderedTime(t *testing.T) {
	times := []time.Time{{}, time.Unix(0, 0), time.Unix(0, 1), time.Unix(1, 0), fullEvent().Time, time.Date(2261, 12, 31, 0, 0, 0, 0, time.UTC), time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)}
	for i := 1; i < len(times); i++ {
		if a, b := orderedTime(times[i-1]), orderedTime(times[i]); a > b || a == b && i > 1 {
			t.Errorf("%s is %d, %s is %d", times[i-1], a, times[i], b)
		}
	}
}

// FuzzRecords gives any bytes to every decoder of what lies in the file. None may panic, take much memory, or read what
// it can not write again.
func FuzzRecords(f *testing.F) {
	e, r := fullEvent(), fullReport()
	item := Item{Report: r, State: Pending}
	var a address
	a.note(&e)
	c := counts{items: map[itemsKey]uint64{{"mail", Pending}: 3}}
	for _, b := range [][]byte{appendEvent(nil, &e), packed([]event.Event{e, {}, e}), appendItem(nil, &item), a.append(nil), c.append(nil), {}, {1}} {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if e, ok := decodeEvent(b); ok {
			if again, ok := decodeEvent(appendEvent(nil, &e)); !ok || again.Line != e.Line || again.Addr != e.Addr {
				t.Errorf("event %+v came back as %+v", e, again)
			}
		}
		if all, ok := decodeEvents(b); ok {
			if again, ok := decodeEvents(packed(all)); !ok || len(again) != len(all) || again[0].Line != all[0].Line {
				t.Errorf("events %+v came back as %+v", all, again)
			}
		}
		if i, ok := decodeItem(b); ok {
			if again, ok := decodeItem(appendItem(nil, &i)); !ok || again.ID != i.ID || again.State != i.State {
				t.Errorf("item %+v came back as %+v", i, again)
			}
		}
		var a, again address
		if a.decode(b) && (!again.decode(a.append(nil)) || again.total != a.total || again.last != a.last) {
			t.Errorf("address %+v came back as %+v", a, again)
		}
		if c, ok := decodeCounts(b); ok {
			if _, ok := decodeCounts(c.append(nil)); !ok {
				t.Errorf("counts %+v can not be read", c)
			}
		}
		eachVersion(b, func([16]byte, int, []byte) {})
		_ = CheckSchema(b)
		_, _, _ = splitDue(b)
	})
}

func TestKeysOfDestinationsDoNotMeet(t *testing.T) {
	if string(dueUpTo("mail", Pending, 3)) <= string(append(dueFrom("mail", Pending, 3), 0xff)) || strings.HasPrefix(string(dueFrom("mail2", Pending, 3)), string(dueFrom("mail", Pending, 3))) {
		t.Error("items of one destination lie among those of another")
	}
	item := Item{State: Claimed, Claimed: time.Unix(5, 0), Report: event.Report{Destination: "mail"}}
	at, seq, ok := splitDue(dueKey(&item, key64(7)))
	if n, _ := seqOf(seq); !ok || n != 7 || at != uint64(5*time.Second) || binary.BigEndian.Uint64(seq) != 7 {
		t.Error("a place in Due does not lead back")
	}
}

// Retention's clock follows the real one, but a clock that is ten years ahead for a minute expires an hour's worth.
func TestRetentionDoesNotBelieveAClockThatJumps(t *testing.T) {
	const start = int64(1_800_000_000_000)
	clock := advance(0, start, 0)
	if clock != start {
		t.Errorf("a new clock begins at %d", clock)
	}
	for i := range int64(60) {
		clock = advance(clock, start+int64(10*365*24*time.Hour/time.Millisecond)+i*1000, time.Second)
	}
	if ahead := time.Duration(clock-start) * time.Millisecond; ahead > 61*time.Minute {
		t.Errorf("a jump of ten years moved it by %s in a minute", ahead)
	}
	if clock = advance(clock, start+60_000, time.Second); clock != start+60_000 {
		t.Errorf("it does not go back with the real clock: %d", clock)
	}
	clock = start - int64(30*24*time.Hour/time.Millisecond) // the machine was off for a month
	for range 13 * 60 {
		clock = advance(clock, start, time.Minute)
	}
	if clock != start {
		t.Errorf("it is %s behind after half a day", time.Duration(start-clock)*time.Millisecond)
	}
}
