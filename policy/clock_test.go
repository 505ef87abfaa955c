package policy

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

// What a Clock knows is kept within its bounds, however the clock is set; and no time is ever negative, or more than what the
// clock showed.
func TestClockIsBounded(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		var c Clock
		moment := rapid.OneOf(rapid.Int64(), rapid.Int64Range(0, maxMoment), rapid.Int64Range(1_700_000_000_000, 1_800_000_000_000))
		for range rapid.IntRange(0, 30).Draw(rt, "steps") {
			c.Observe(moment.Draw(rt, "before"), moment.Draw(rt, "now"), time.Duration(rapid.Int64().Draw(rt, "elapsed")))
			b, _ := c.AppendBinary(nil)
			again := DecodeClock(b)
			if b2, _ := again.AppendBinary(nil); string(b) != string(b2) || len(c.steps) > maxSteps {
				rt.Fatalf("%+v came back as %+v", c, again)
			}
			at, now := bounded(moment.Draw(rt, "at")), bounded(moment.Draw(rt, "then"))
			if got := c.since(at, now); got < 0 || got > max(now-at, 0) {
				rt.Fatalf("%d from %d to %d, by %+v", got, at, now, c)
			}
		}
	})
	for _, bad := range []string{"\x05", "\x05\x05", "\x05\x06\x80", "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x01"} {
		if c := DecodeClock([]byte(bad)); len(c.steps) != 0 {
			t.Errorf("%q was taken for %+v", bad, c)
		}
	}
}
