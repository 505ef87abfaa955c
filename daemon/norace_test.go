//go:build !race

package daemon

// raced says that the race detector watches, which costs several times the CPU time.
const raced = false
