package detect

import (
	"slices"

	"tattled/detect/pattern"
	"tattled/detect/rulefile"
)

// What detect/attack has to know of rules so that it can write the lines that they describe, and `tattled rules` to list them.

// Builtin reports whether the service is one that tattled comes with, not one of the user's files.
func (s *Service) Builtin() bool { return s.builtin }

// Frame returns what may be before and after a message of the service. Do not write to it.
func (s *Service) Frame() pattern.Frame { return s.frame }

// Stamped reports whether a message may begin with a stamp of the service's own.
func (s *Service) Stamped() bool { return s.stamped }

// Parser returns what reads the service's messages in place of patterns, a type of packet or weblog, with its name in rule files:
// "" and nil for patterns. The service's rules must have been read before (Rules.All).
func (s *Service) Parser() (name string, parser any) { return s.parserName, s.parser }

// Patterns returns the rule's patterns and its expressions, as its file has them. Do not write to them.
func (r *Rule) Patterns() (match, regex []rulefile.Text) { return r.match, r.regex }

// Disabled returns the disabled rules whose lines programs of s go on to write: those of s, and of services that are disabled
// as a whole.
func (r *Rules) Disabled(s *Service) []*Rule {
	var all []*Rule
	for _, other := range slices.Concat([]*Service{s}, r.disabled) {
		if other.shares(s) {
			all = append(all, other.shadow...)
		}
	}
	return all
}
