//go:build !cgo

// Command tattled-journal reads the systemd journal; this build of it was made without cgo and cannot.
package main

import (
	"fmt"
	"os"
)

func main() {
	fmt.Fprintln(os.Stderr, "tattled-journal: built without cgo, it cannot read the journal: build it with CGO_ENABLED=1 and libsystemd-dev, or leave it out, and tattled reads through journalctl")
	os.Exit(1)
}
