package policy

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"tattled/event"
	"tattled/setting"
)

func decoded(t *testing.T, text string) *State {
	t.Helper()
	b, err := hex.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	s := new(State)
	if err := s.UnmarshalBinary(b); err != nil {
		t.Fatal(err)
	}
	return s
}

// A state that version 2 wrote after four proven attempts on four connections goes on where it was.
func TestSecondVersionIsRead(t *testing.T) {
	s := decoded(t, "02000001f2eb4d3d0400818885b2c068d10fd10fd10f0400b8170400b81704e2af8c789c56ef2e01017a1501d7914e179c569f1f0101"+
		"7a150164e225e29c56cf0f01017a150159c3e7819c560001017a1501010016012f5d7053")
	p := newPolicy(t, GateConfig{}, bruteforce("report", "alert"))
	again := failure(noon.Add(5 * time.Second)) // another line about the attempt of process 3
	again.Session, again.PID, again.Rule = true, "3", "pam"
	if got := judgeInto(p, s, again); len(got) != 0 {
		t.Errorf("a connection was forgotten: %+v", got)
	}
	got := judgeInto(p, s, failure(noon.Add(6*time.Second)))
	if len(got) != 2 || got[0].Count != 5 || !slices.Equal(got[0].Ports, []uint16{22}) || s.tracks[0].split {
		t.Errorf("%+v", got)
	}
}

// One that it wrote after forged and proven events by turns, and an alert: moments are divided, what is published is not taken
// from before, and the window of the alert holds.
func TestSecondVersionIsDivided(t *testing.T) {
	s := decoded(t, "0201046d61696c0a6272757465666f726365a0e38299a034012a0206b80000000000000000000000010301f2eb4d3d020091d685b2c0"+
		"68d00f0200e80701cf0f000002001b001c0274e12903e4e89518")
	c, m := &s.tracks[0].clean, &s.tracks[0].mixed
	if !s.tracks[0].split || len(c.hits) != 1 || len(m.hits) != 2 || c.run.n != 1 || m.run.n != 2 || len(c.ports)+len(c.users) != 0 || len(m.ports) != 2 {
		t.Errorf("%+v", s.tracks[0])
	}
	if w := s.Windows(); len(w) != 1 || w[0].Unproven || w[0].DryRun || !w[0].At.Equal(noon.Add(4*time.Second)) {
		t.Errorf("windows %+v", w)
	}
	p := newPolicy(t, GateConfig{}, bruteforce("report", "alert"))
	var got []event.Report
	for _, e := range series(4, noon.Add(time.Minute), time.Second) {
		e.Addr = netip.MustParseAddr("2a02:6b8::2")
		got = append(got, judgeInto(p, s, e)...)
	}
	if len(got) != 1 || got[0].Destination != "abuseipdb" || got[0].Addr != netip.MustParseAddr("2a02:6b8::2") || got[0].Count != 5 || len(got[0].Ports) != 0 {
		t.Errorf("%+v", got)
	}
}

// One that version 3 wrote after three ports and two accounts: values that had 32 bits are read, and count no more.
func TestThirdVersionIsRead(t *testing.T) {
	old := thirdVersion()
	s := new(State)
	if err := s.UnmarshalBinary(old); err != nil {
		t.Fatal(err)
	}
	if len(s.tracks) != 1 || len(s.tracks[0].clean.hits) != 2 || s.tracks[0].clean.hits[1].value != 23 || len(s.logins) != 0 || len(s.windows) != 1 {
		t.Fatalf("%+v", s)
	}
	mustComeBack(t, 0, s)
	distinct := bruteforce("report")
	distinct.Distinct, distinct.Threshold = "ports", 3
	e := failure(noon)
	e.LocalPort = 24
	if got := judgeInto(newPolicy(t, GateConfig{}, distinct), s, e); len(got) != 0 {
		t.Errorf("%+v", got)
	}
}

// thirdVersion is a window and a track with two moments that have values, as version 3 wrote them.
func thirdVersion() []byte {
	b := []byte{3, 1, byte(proven)}
	b = binary.AppendUvarint(appendText(appendText(b, "abuseipdb"), ""), uint64(noon.UnixMilli()))
	b = append(b, 1, 1, 2, 3, 4, 0, 2, 1)
	b = binary.BigEndian.AppendUint32(binary.AppendUvarint(b, uint64(noon.UnixMilli())), 22)
	b = binary.BigEndian.AppendUint32(binary.AppendUvarint(b, 1000), 23)
	return append(b, 2, 0, 0, 0, 0, 0, 0)
}

// aPolicy draws policies of every form, up to all bounds at once, and destinations with names of any length.
func aPolicy(rt *rapid.T) *Policy {
	n := rapid.SampledFrom([]int{1, 2, MaxRules, MaxRules + 1}).Draw(rt, "policies")
	var rules []Config
	for i := range n {
		c := Config{
			Name: fmt.Sprint("p", i, strings.Repeat("x", rapid.SampledFrom([]int{0, maxName - 3, 500}).Draw(rt, "name"))),
			When: When{Kind: []event.Kind{event.AuthFailure, event.Probe}}, Within: setting.Duration(30 * 24 * time.Hour),
			Threshold: rapid.SampledFrom([]int{0, 1, 3, MaxThreshold, 1 << 20}).Draw(rt, "threshold"),
			Distinct:  rapid.SampledFrom([]string{"", distinctPorts, distinctUsers, distinctPaths}).Draw(rt, "distinct"),
			Successes: rapid.SampledFrom([]int{0, 1, maxLogins, 1 << 20}).Draw(rt, "successes"), MinDistinct: rapid.SampledFrom([]int{0, 2, 1 << 20}).Draw(rt, "least"),
			Do: rapid.SampledFrom([][]string{{doReport}, {doAlert}, {doReport, doAlert}, {doCount}}).Draw(rt, "do"),
		}
		if rapid.Bool().Draw(rt, "sequence") {
			c.After = []event.Kind{event.AuthFailure}
		}
		rules = append(rules, c)
	}
	var to []Destination
	for i := range rapid.IntRange(1, 5).Draw(rt, "destinations") {
		to = append(to, Destination{
			Name:   fmt.Sprint(i, strings.Repeat("d", rapid.SampledFrom([]int{1, 63, 64, 300}).Draw(rt, "destination"))),
			Action: rapid.SampledFrom([]Action{Report, Alert}).Draw(rt, "action"), Window: time.Hour, DryRun: rapid.Bool().Draw(rt, "dry"),
		})
	}
	return New(rules, NewGate(GateConfig{ReportUnverifiedTCP: true}), to, nil)
}

// wild gives an event values at the bounds of their types.
func wild(rt *rapid.T, e *event.Event) {
	if rapid.Bool().Draw(rt, "tame") {
		return
	}
	e.Time = time.UnixMilli(rapid.Int64().Draw(rt, "time"))
	e.Received = time.UnixMilli(rapid.SampledFrom([]int64{math.MinInt64, -1, 0, 1, maxMoment, maxMoment + 1, math.MaxInt64}).Draw(rt, "received"))
	e.User, e.PID, e.Rule = rapid.String().Draw(rt, "any user"), rapid.String().Draw(rt, "any pid"), rapid.String().Draw(rt, "any rule")
	e.LocalPort, e.Port, e.Trust = rapid.Uint16().Draw(rt, "any port"), rapid.Uint16().Draw(rt, "any peer's port"), event.Trust(rapid.IntRange(0, 1).Draw(rt, "trust"))
	raw := netip.MustParseAddr("2a02:6b8::").As16()
	raw[15] = rapid.Byte().Draw(rt, "host")
	e.Addr = netip.AddrFrom16(raw)
}

// Whatever Judge builds can be written and read back, and is the same then: a state is never forgotten for its size.
func TestWhateverIsBuiltIsReadBack(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		p := aPolicy(rt)
		var s State
		clock := noon
		for i := range rapid.IntRange(1, 12).Draw(rt, "events") {
			e := anEvent(rt, &clock)
			wild(rt, e)
			var j Judgement
			for range rapid.SampledFrom([]int{1, 20}).Draw(rt, "times") {
				e.Time, e.Received = e.Time.Add(time.Second), e.Received.Add(time.Second)
				e.LocalPort++
				p.Judge(&s, e, &j)
			}
			mustComeBack(rt, i, &s)
		}
	})
}

func mustComeBack(t rapid.TB, i int, s *State) {
	t.Helper()
	b, _ := s.AppendBinary(nil)
	var again State
	if err := again.UnmarshalBinary(b); err != nil {
		t.Fatalf("event %d: %d bytes with %d tracks and %d windows cannot be read back: %v", i, len(b), len(s.tracks), len(s.windows), err)
	}
	if x, y := plain(s), plain(&again); !reflect.DeepEqual(x, y) {
		t.Fatalf("event %d: came back otherwise:\n%+v\n%+v", i, x, y)
	}
}

// plain is s without what only is capacity.
func plain(s *State) State {
	var c State
	c.windows, c.logins = append(c.windows, s.windows...), append(c.logins, s.logins...)
	for _, t := range s.tracks {
		for _, one := range []*tally{&t.clean, &t.mixed} {
			*one = tally{
				slices.Concat(one.hits), one.run, slices.Concat(one.sessions), slices.Concat(one.ports),
				slices.Concat(one.users), slices.Concat(one.peers),
			}
		}
		c.tracks = append(c.tracks, t)
	}
	return c
}

// The largest state that there can be: all tracks, some at the highest threshold, both tallies full, every window.
func TestTheLargestStateIsReadBack(t *testing.T) {
	var rules []Config
	for i := range MaxRules {
		rules = append(rules, Config{
			Name: fmt.Sprint("p", i), Threshold: []int{1000, 100}[min(i/4, 1)], Within: setting.Duration(30 * 24 * time.Hour),
			Do: []string{"report"}, Distinct: []string{distinctPorts, distinctUsers}[i%2],
		})
	}
	var everywhere []Destination
	for i := range 2 * maxWindows {
		everywhere = append(everywhere, Destination{Name: fmt.Sprint("d", i), Action: Report, Window: 10 * 365 * 24 * time.Hour, DryRun: i%2 == 0})
	}
	var s State
	var j Judgement
	first := bruteforce("report")
	first.Threshold = 1
	New([]Config{first}, NewGate(GateConfig{}), everywhere, nil).Judge(&s, failure(noon), &j)
	first.Successes = 5
	for i := range 4 * maxLogins {
		login := failure(noon)
		login.Kind, login.User, login.Trust = event.AuthSuccess, fmt.Sprint(i), event.Trust(i%2)
		New([]Config{first}, NewGate(GateConfig{}), everywhere, nil).Judge(&s, login, &j)
	}
	p := New(rules, NewGate(GateConfig{}), everywhere[1:2], nil)
	for i := range 2*maxHits + 1 {
		e := failure(noon.Add(time.Duration(i) * 100 * time.Second))
		e.User, e.LocalPort, e.Trust = fmt.Sprint(i), uint16(i+1), event.Trust(i%2)
		p.Judge(&s, e, &j)
	}
	b, _ := s.AppendBinary(nil)
	t.Logf("%d bytes", len(b))
	if c, m := len(s.tracks[1].clean.hits), len(s.tracks[1].mixed.hits); len(s.tracks) != MaxRules || c != maxHits || m != maxHits || len(s.windows) != 2*maxWindows || len(s.logins) != 2*maxLogins {
		t.Errorf("not the largest: %d tracks, %d and %d moments, %d windows", len(s.tracks), c, m, len(s.windows))
	}
	mustComeBack(t, 0, &s)
}
