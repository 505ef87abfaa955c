//go:build race

package main

// raced says that the race detector is in the binary, which makes it several times slower.
const raced = true
