// Package machine is for tests that need something of the machine that they run on: root, a namespace, a terminal. A person without it
// sees them skipped, with the reason. In CI a test that did not run is a promise that nobody keeps, so there it fails. Only tests
// import it; it does not know what they need.
package machine

import (
	"fmt"
	"os"
	"testing"
)

// Lacks ends a test that cannot run here, because of what: skipped, or failed where the environment has CI=true (as .ci/run and the usual
// services set it). It is not for tests that are left out because they are long.
func Lacks(t testing.TB, what ...any) {
	t.Helper()
	failInCI(t, what)
	t.Skip(what...)
}

// Partly says that a test checks less here, because of what: it goes on, or fails where the environment has CI=true.
func Partly(t testing.TB, what ...any) {
	t.Helper()
	failInCI(t, what)
	t.Log(what...)
}

func failInCI(t testing.TB, what []any) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatal("CI=true, and this machine lacks what the test needs: " + fmt.Sprint(what...))
	}
}
