package main

import (
	"fmt"
	"io"
	"strings"
)

// maxKept bounds the output that is kept of a test until it is known whether it failed: the end is what counts.
const maxKept = 200

// watch shows what `go test -json` says as it comes: a line for each package, each figure, and what failed with its output.
func watch(r io.Reader, w io.Writer) error {
	kept := map[[2]string][]string{} // by package and test
	return events(r, func(e testEvent) {
		key := [2]string{e.Package, e.Test}
		switch e.Action {
		case "output":
			switch _, _, ok := figureOf(e.Output); {
			case ok:
				fmt.Fprintf(w, "        %s", e.Output[strings.Index(e.Output, "figure: "):])
			case e.Package == "": // of the build
				fmt.Fprint(w, e.Output)
			}
			if kept[key] = append(kept[key], e.Output); len(kept[key]) > 2*maxKept {
				kept[key] = kept[key][maxKept:]
			}
		case "fail":
			lines := kept[key]
			fmt.Fprintf(w, "  FAIL  %s %s, %.1f s\n", e.Package, e.Test, e.Elapsed)
			for _, line := range lines[max(0, len(lines)-maxKept):] {
				fmt.Fprint(w, "        ", line)
			}
			delete(kept, key)
		case "pass", "skip":
			if e.Test == "" {
				fmt.Fprintf(w, "  %-4s  %s, %.1f s\n", e.Action, e.Package, e.Elapsed)
			}
			if e.Test != "" && e.Action == "skip" {
				fmt.Fprintf(w, "  skip  %s %s: %s\n", e.Package, e.Test, strings.TrimSpace(strings.Join(kept[key], " ")))
			}
			delete(kept, key)
		}
	})
}
