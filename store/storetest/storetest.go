// Package storetest is the suite that every store.Backend passes: the contract of the backend itself, and the typed store
// upon it, with a failure at every transaction that either was applied or was not.
package storetest

import (
	"testing"

	"tattled/store"
)

// Suite says how to make backends of one sort. Reopen gives the same records again, after a Close or, if the backend
// survives it, after the process died.
type Suite struct {
	// Open returns a new, empty backend, and how to open what it kept once it is closed.
	Open func(t *testing.T) (b store.Backend, reopen func() store.Backend)
}

// Run runs the suite.
func (s Suite) Run(t *testing.T) {
	t.Run("backend", s.backend)
	t.Run("model", s.model)
	t.Run("committer", s.committer)
	t.Run("faults", s.faults)
	t.Run("outbox", s.outbox)
	t.Run("ranks", s.ranks)
	t.Run("marks", s.marks)
}

// NewerSchema is the record of a schema that no program knows yet.
func NewerSchema() []byte {
	return store.SealSchema(store.Schema + 1)
}
