package receivertest

import "os"

// Size returns how much a test does of something: short in an ordinary run, full with TATTLED_FULL=1, in which it is as much
// as the promise says that the test is of.
func Size(short, full int) int {
	if os.Getenv("TATTLED_FULL") == "1" {
		return full
	}
	return short
}
