package policy

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"net/netip"
	"reflect"
	"testing"
	"time"

	"pgregory.net/rapid"

	"tattled/event"
	"tattled/setting"
)

// anEvent draws events that share few addresses, accounts and connections, so that they meet.
func anEvent(rt *rapid.T, clock *time.Time) *event.Event {
	*clock = clock.Add(time.Duration(rapid.IntRange(-3600, 3600).Draw(rt, "step")) * time.Second)
	e := failure(*clock)
	e.Time = e.Time.Add(-time.Duration(rapid.IntRange(-60, 7200).Draw(rt, "late")) * time.Second)
	e.Kind = rapid.SampledFrom([]event.Kind{event.AuthFailure, event.AuthSuccess, event.FirewallBlock, event.Probe}).Draw(rt, "kind")
	e.Addr = rapid.SampledFrom([]netip.Addr{attacker, netip.MustParseAddr("2a02:6b8::1"), netip.MustParseAddr("2a02:6b8::2")}).Draw(rt, "addr")
	e.Path = rapid.SampledFrom([]string{"", "/a", "/b"}).Draw(rt, "path")
	e.User = rapid.SampledFrom([]string{"", "a", "b", "c", "d", "e"}).Draw(rt, "user")
	e.PID = rapid.SampledFrom([]string{"1", "2", "3"}).Draw(rt, "pid")
	e.Port = rapid.Uint16Range(0, 3).Draw(rt, "peer's port")
	e.LocalPort = rapid.Uint16Range(0, 9).Draw(rt, "port")
	e.Session = rapid.Bool().Draw(rt, "session")
	e.Handshake = rapid.Bool().Draw(rt, "handshake")
	return e
}

// Judging a state that was written and read back between any two events leads to the same reports as judging one that
// was not; and no destination is told twice within its window.
func TestStateSurvivesItsEncoding(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		p := New(Defaults(), NewGate(GateConfig{ReportUnverifiedTCP: true}), everyone, nil)
		kept, stored := map[netip.Addr]*State{}, map[netip.Addr][]byte{}
		clock, s := noon, State{} // used again and again, for any address
		for i := range rapid.IntRange(1, 200).Draw(rt, "events") {
			e := anEvent(rt, &clock)
			key := Key(e.Addr)
			if kept[key] == nil {
				kept[key] = new(State)
			}
			var direct, decoded Judgement
			p.Judge(kept[key], e, &direct)
			if s.Reset(); stored[key] != nil {
				b := stored[key]
				if err := s.UnmarshalBinary(b); err != nil {
					rt.Fatalf("event %d: %v", i, err)
				}
			}
			p.Judge(&s, e, &decoded)
			stored[key], _ = s.AppendBinary(nil)
			if !reflect.DeepEqual(direct.Reports, decoded.Reports) && len(direct.Reports)+len(decoded.Reports) > 0 {
				rt.Fatalf("event %d: %+v\nagainst %+v", i, direct.Reports, decoded.Reports)
			}
		}
	})
}

// Another address's events change nothing, and a window holds, for clocks that only go forward.
func TestAddressesAreIndependent(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		p := New(Defaults(), NewGate(GateConfig{ReportUnverifiedTCP: true}), everyone, nil)
		together, alone := map[netip.Addr]*State{attacker: {}, attacker.Next(): {}}, State{}
		clock, last := noon, map[string]time.Time{}
		for range rapid.IntRange(1, 300).Draw(rt, "events") {
			before := clock
			e := anEvent(rt, &clock)
			if clock.Before(before) {
				clock, e.Received = before, before
			}
			e.Addr = attacker
			if rapid.Bool().Draw(rt, "other") {
				e.Addr = attacker.Next()
			}
			var a, b Judgement
			p.Judge(together[e.Addr], e, &a)
			if e.Addr != attacker {
				continue
			}
			p.Judge(&alone, e, &b)
			if len(a.Reports) != len(b.Reports) {
				rt.Fatal("another address made a difference")
			}
			for _, r := range b.Reports {
				name := r.Destination
				if name == "mail" {
					name += r.Policy
				}
				if was, told := last[name]; told && r.Judged.Sub(was) < 24*time.Hour {
					rt.Fatalf("%s was told twice within %s", name, r.Judged.Sub(was))
				}
				last[name] = r.Judged
			}
		}
	})
}

// The state of an address stays bounded under everything an attacker can vary.
func TestStateIsBounded(t *testing.T) {
	p := newPolicy(t, GateConfig{}, Defaults()...)
	var s State
	var j Judgement
	for i := range 20000 {
		e := failure(noon.Add(time.Duration(i) * time.Minute))
		e.User, e.PID, e.Rule, e.LocalPort = fmt.Sprint("u", i), fmt.Sprint(i%50), fmt.Sprint("r", i%20), uint16(i)
		e.Kind = event.Kinds()[i%len(event.Kinds())]
		e.Session = i%2 == 0
		e.Addr = netip.MustParseAddr(fmt.Sprintf("2a02:6b8::%x", i%5000))
		p.Judge(&s, e, &j)
	}
	if b, _ := s.AppendBinary(nil); len(b) > 4096 {
		t.Errorf("a state of %d bytes", len(b))
	}
}

func TestStateOfATypicalAttackerIsSmall(t *testing.T) {
	p := newPolicy(t, GateConfig{}, Defaults()...)
	var s State
	var j Judgement
	for i := range 5 {
		e := failure(noon.Add(time.Duration(i) * time.Second))
		e.PID, e.Session = fmt.Sprint(100+i), true
		p.Judge(&s, e, &j)
		b, _ := s.AppendBinary(nil)
		t.Logf("after %d events: %d bytes", i+1, len(b))
		if len(b) > 400 {
			t.Errorf("%d bytes after %d events", len(b), i+1)
		}
	}
}

// A state that was written before connections had ports is read: it holds one attempt, told of by two lines of process 7.
func TestFirstVersionIsRead(t *testing.T) {
	old, err := hex.DecodeString("01000001b57e9be10100818885b2c068010000010000015e291a55000102383b0116390100012f5d7053")
	if err != nil {
		t.Fatal(err)
	}
	var s State
	if err := s.UnmarshalBinary(old); err != nil {
		t.Fatal(err)
	}
	var more []*event.Event
	for i := range 4 {
		e := failure(noon.Add(time.Duration(i) * time.Second))
		e.Session, e.PID, e.Rule, e.Port = true, fmt.Sprint(7+i), "r2", 40022 // of 7 this is another line about the same
		more = append(more, e)
	}
	p := newPolicy(t, GateConfig{}, bruteforce("report"))
	if got := judgeInto(p, &s, more...); len(got) != 0 {
		t.Errorf("four attempts: %+v", got)
	}
	last := failure(noon.Add(time.Minute))
	last.Session, last.PID = true, "12"
	if got := judgeInto(p, &s, last); len(got) != 1 || got[0].Count != 5 {
		t.Errorf("five attempts: %+v", got)
	}
}

func FuzzState(f *testing.F) {
	p := New(Defaults(), NewGate(GateConfig{}), everyone, nil)
	var s State
	var j Judgement
	for _, e := range series(7, noon, time.Second) {
		e.Addr, e.Session, e.LocalPort = netip.MustParseAddr("2a02:6b8::1"), true, 22
		p.Judge(&s, e, &j)
		b, _ := s.AppendBinary(nil)
		f.Add(b)
	}
	f.Add([]byte{})
	f.Add([]byte{1, 0, 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		var s State
		if s.UnmarshalBinary(b) != nil {
			if len(s.tracks)+len(s.windows) > 0 {
				t.Fatal("a refused state is not empty")
			}
			return
		}
		again, _ := s.AppendBinary(nil)
		var s2 State
		if err := s2.UnmarshalBinary(again); err != nil {
			t.Fatalf("what was written can not be read: %v", err)
		}
		if third, _ := s2.AppendBinary(nil); !bytes.Equal(again, third) {
			t.Fatal("written twice, and differently")
		}
		var j Judgement
		e := failure(noon)
		p.Judge(&s, e, &j) // whatever was read can be judged on
	})
}

func TestAChangedPolicyStartsAnew(t *testing.T) {
	var s State
	judgeInto(newPolicy(t, GateConfig{}, bruteforce("report")), &s, series(4, noon, time.Second)...)
	more := bruteforce("report")
	more.Threshold = 6
	if got := judgeInto(newPolicy(t, GateConfig{}, more), &s, failure(noon.Add(5*time.Second)), failure(noon.Add(6*time.Second))); len(got) != 1 {
		t.Error("a changed threshold forgot what was counted")
	}
	other := bruteforce("report")
	other.When.Service = []string{"sshd"}
	other.Within = setting.Duration(time.Hour)
	judgeInto(newPolicy(t, GateConfig{}, other), &s, failure(noon))
	if len(s.tracks) != 1 {
		t.Errorf("%d tracks, want only that of the policy that exists", len(s.tracks))
	}
}
