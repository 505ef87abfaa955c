package parse

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

// TestFour reads addresses and what is nearly one in the middle of a text, from either side, as Addr reads them alone.
func TestFour(t *testing.T) {
	parts := []string{"0", "1", "9", "10", "99", "100", "199", "249", "255", "256", "260", "300", "999", "1000", "00", "01", "007", "", "a", "1a", "-1", "/"}
	random := rand.New(rand.NewPCG(1, 2))
	pick := func() string {
		if random.IntN(4) > 0 {
			return parts[random.IntN(9)]
		}
		return parts[random.IntN(len(parts))]
	}
	good := 0
	for range 200_000 {
		text := pick() + "." + pick() + "." + pick() + "." + pick()
		if random.IntN(10) == 0 {
			text = strings.Replace(text, ".", string(rune(random.IntN(128))), 1)
		}
		want, ok := parse4([]byte(text))
		before := strings.Repeat("x", random.IntN(20))
		after := strings.Repeat(" ", random.IntN(20))
		m := []byte(before + text + after)
		at, end := len(before), len(before)+len(text)
		if addr, to := Four(m, at); ok && len(m)-at >= fourRoom && (to != end || addr != want) || !ok && to == end {
			t.Fatalf("Four(%q, %d) = %v, %d; the address alone: %v, %t", m, at, addr, to, want, ok)
		}
		if addr, from := FourBack(m, end); ok && end >= fourRoom && (from != at || addr != want) || !ok && from == at {
			t.Fatalf("FourBack(%q, %d) = %v, %d; the address alone: %v, %t", m, end, addr, from, want, ok)
		}
		if ok {
			good++
		}
	}
	if good < 50_000 {
		t.Fatalf("only %d of the texts were addresses", good)
	}
}

// TestFourStopsAtDigits reads no part of a longer row of digits.
func TestFourStopsAtDigits(t *testing.T) {
	const room = "                "
	for _, text := range []string{"1.2.3.4567", "1.2.3.2550", "1111.2.3.4", "2551.2.3.4"} {
		m := []byte(room + text + room)
		if addr, end := Four(m, len(room)); end >= 0 {
			t.Errorf("Four of %q ends at %d: %v", text, end-len(room), fmt.Sprint(addr))
		}
		if addr, at := FourBack(m, len(room)+len(text)); at >= 0 {
			t.Errorf("FourBack of %q begins at %d: %v", text, at-len(room), fmt.Sprint(addr))
		}
	}
}
