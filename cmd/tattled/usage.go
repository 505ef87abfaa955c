package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

// usageError is a fault in how a command was called.
type usageError struct{ error }

// asUsage makes wrong arguments exit as wrong flags do.
func asUsage(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if check == nil {
			return nil
		}
		if err := check(cmd, args); err != nil {
			return usageError{err}
		}
		return nil
	}
}

// noArgs is for a command that takes no arguments.
func noArgs(_ *cobra.Command, args []string) error {
	if len(args) > 0 {
		return fmt.Errorf("unexpected argument %q: the command takes none", args[0])
	}
	return nil
}

// onlyCommands is for a command that does nothing but have others.
func onlyCommands(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	cmd.SuggestionsMinimumDistance = 2
	if similar := cmd.SuggestionsFor(args[0]); len(similar) > 0 {
		return fmt.Errorf("there is no command %q: did you mean %s?", args[0], strings.Join(similar, " or "))
	}
	return fmt.Errorf("there is no command %q", args[0])
}

// needs is for a command that takes one argument or more: what, as in its use.
func needs(what string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		if len(args) == 0 {
			return fmt.Errorf("%s is missing", what)
		}
		return nil
	}
}

// needsOne is for a command that takes exactly one argument.
func needsOne(what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) > 1 {
			return fmt.Errorf("unexpected argument %q: the command takes one, %s", args[1], what)
		}
		return needs(what)(cmd, args)
	}
}
