package bolt

import (
	"path/filepath"
	"testing"

	"tattled/store"
	"tattled/store/storetest"
)

// mustOpen opens a file that must be sound.
func mustOpen(t *testing.T, path string) *Backend {
	t.Helper()
	b, done, err := Open(path, Options{MaxSize: 1 << 30})
	if err != nil {
		t.Fatal(err)
	}
	if done.Damage != "" || done.Records > 0 || done.Meta {
		t.Fatalf("the file is damaged: %+v", done)
	}
	return b
}

func TestSuite(t *testing.T) {
	storetest.Suite{Open: func(t *testing.T) (store.Backend, func() store.Backend) {
		path := filepath.Join(t.TempDir(), "state.db")
		return mustOpen(t, path), func() store.Backend { return mustOpen(t, path) }
	}}.Run(t)
}
