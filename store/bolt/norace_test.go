//go:build !race

package bolt

// raced says that the race detector is in the binary.
const raced = false
