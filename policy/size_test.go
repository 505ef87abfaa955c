package policy

import (
	"fmt"
	"testing"
	"time"

	"tattled/event"
)

// The package comment says how many bytes the state of an address takes that was seen a few times.
func TestStateSize(t *testing.T) {
	p := New(Defaults(), NewGate(GateConfig{}), everyone, nil)
	for kind, change := range map[string]func(e *event.Event, i int){
		"ssh, one account": func(*event.Event, int) {},
		"ssh, accounts":    func(e *event.Event, i int) { e.User, e.Port = fmt.Sprint("user", i), uint16(40000+i) },
		"web": func(e *event.Event, _ int) {
			e.Kind, e.Service, e.Rule, e.LocalPort = event.Probe, "web-access", "secrets", 443
		},
		"packets": func(e *event.Event, i int) {
			e.Kind, e.Service, e.Rule, e.LocalPort, e.Handshake = event.FirewallBlock, "netfilter", "block", uint16(20+i), false
		},
	} {
		for _, n := range []int{1, 2, 5, 10} {
			var s State
			var j Judgement
			for i := range n {
				e := failure(noon.Add(time.Duration(i) * 7 * time.Second))
				change(e, i)
				p.Judge(&s, e, &j)
			}
			b, err := s.AppendBinary(nil)
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("%s, %d events: %d bytes", kind, n, len(b))
			if most := map[int]int{1: 130, 2: 190, 5: 290, 10: 600}[n]; len(b) < 40 || len(b) > most {
				t.Errorf("%s: the state after %d events takes %d bytes, the package comment says 40 to %d", kind, n, len(b), most)
			}
		}
	}
}
