// Command dashboard makes the dashboards in packaging/grafana, asks a Prometheus for what they show, and draws it.
// `make dashboard` runs it. It is not part of tattled.
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "dashboard:", err)
		os.Exit(1)
	}
}

const usage = `usage: dashboard write FOLDER       write the dashboards into a folder
       dashboard ask OPTIONS        ask a Prometheus for what every panel shows; fails if one is empty
       dashboard draw OPTIONS       draw the answers`

func run(args []string) error {
	if len(args) == 0 {
		return fmt.Errorf("%s", usage)
	}
	switch args[0] {
	case "ask":
		return ask(args[1:], os.Stdout)
	case "draw":
		return draw(args[1:])
	case "write":
		if len(args) != 2 {
			return fmt.Errorf("%s", usage)
		}
		return write(args[1])
	}
	return fmt.Errorf("%s", usage)
}

// dashboards are all of ours, by the names of their files.
func dashboards() map[string]dashboard {
	return map[string]dashboard{"tattled.json": tattled(), "tattled-fleet.json": fleet()}
}

func write(folder string) error {
	for name, d := range dashboards() {
		text, err := encode(d)
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(folder, name), text, 0o644); err != nil { //nolint:gosec // they are for everybody
			return err
		}
	}
	return nil
}

func encode(d dashboard) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	err := e.Encode(d)
	return b.Bytes(), err
}
