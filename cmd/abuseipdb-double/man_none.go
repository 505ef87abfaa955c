//go:build !man

package main

import "github.com/spf13/cobra"

// manCommands are for the package's build alone: see man.go.
func manCommands() []*cobra.Command { return nil }
