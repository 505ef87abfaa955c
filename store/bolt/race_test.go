//go:build race

package bolt

// raced says that the race detector is in the binary: what it keeps of each access makes the process about twice as large.
const raced = true
