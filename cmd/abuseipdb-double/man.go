//go:build man

package main

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
)

// manCommands are for the package's build alone.
func manCommands() []*cobra.Command {
	var dir string
	cmd := &cobra.Command{
		Use:    "man",
		Short:  "Write the manual page",
		Hidden: true,
		Args:   cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			root := cmd.Root()
			root.DisableAutoGenTag = true // the same page from the same source
			page, err := os.Create(dir + "/abuseipdb-double.8")
			if err != nil {
				return fmt.Errorf("write the manual page: %w", err)
			}
			defer page.Close()
			header := &doc.GenManHeader{Title: "ABUSEIPDB-DOUBLE", Section: "8", Source: "tattled", Manual: "System administration"}
			if err := doc.GenMan(root, header, page); err != nil {
				return fmt.Errorf("write the manual page: %w", err)
			}
			return page.Close()
		},
	}
	cmd.Flags().StringVar(&dir, "dir", "man", "the folder to write to")
	return []*cobra.Command{cmd}
}
