package fail2ban

import (
	"errors"
	"slices"
	"strings"
	"testing"
)

// TestManyAlternatives says that the ways to write a pattern out are counted, however many there are: 2 to the 63rd power and more
// as well.
func TestManyAlternatives(t *testing.T) {
	two := slot{{{text: "a"}}, {{text: "b"}}}
	for _, n := range []int{1, 6, 7, 11, 12, 62, 63, 64, 70, 128} {
		all, err := patterns(slices.Repeat([]slot{two}, n))
		switch {
		case n <= 6 && (err != nil || len(all) != 1 || all[0] != strings.Repeat("{a|b}", n)):
			t.Errorf("%d: %q, %v", n, all, err)
		case n > 6 && n <= 11 && (err != nil || len(all) != 1<<(n-6)):
			t.Errorf("%d: %d patterns, %v", n, len(all), err)
		case n > 11 && !errors.Is(err, errManyWays):
			t.Errorf("%d: %d patterns, %v", n, len(all), err)
		}
	}
}
