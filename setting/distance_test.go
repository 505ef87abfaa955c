package setting

import (
	"strings"
	"testing"
)

func TestEditDistance(t *testing.T) {
	for pair, want := range map[[2]string]int{
		{"", ""}: 0, {"", "abc"}: 3, {"sshd", "sshd"}: 0, {"ssdh", "sshd"}: 2, {"sshd2", "sshd"}: 1, {"kitten", "sitting"}: 3,
		{strings.Repeat("a", 65), "a"}: 64,
	} {
		if got := EditDistance(pair[0], pair[1]); got != want {
			t.Errorf("%q is %d from %q, not %d", pair[0], got, pair[1], want)
		}
		if back := EditDistance(pair[1], pair[0]); back != want {
			t.Errorf("%q is %d from %q, not %d", pair[1], back, pair[0], want)
		}
	}
}
