package bolt

import (
	"bytes"
	"errors"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"tattled/store"
	"tattled/store/storetest"
)

// A copy that is made while the file is written to is sound and opens; a cut or a flipped bit is found before anybody relies on it.
func TestCopyAndCheck(t *testing.T) {
	dir := t.TempDir()
	b, _, err := Open(filepath.Join(dir, "state.db"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	s, err := store.New(b, storetest.Options())
	if err != nil {
		t.Fatal(err)
	}
	a := &attackers{began: time.Now().Add(-time.Hour), told: map[netip.Addr]int{}}
	a.read(t, s, 300)
	path := filepath.Join(dir, "copy.db")
	var size int64
	err = b.Copy(func(n int64) io.Writer {
		size = n
		f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_EXCL, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.Close() })
		a.read(t, s, 600) // writers go on
		return f
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(path)
	if err != nil || int64(len(content)) != size {
		t.Fatalf("%d bytes, %d were announced: %v", len(content), size, err)
	}
	if err := Check(path); err != nil {
		t.Fatal(err)
	}
	for what, change := range map[string]func([]byte) []byte{
		"cut":     func(b []byte) []byte { return b[:len(b)/2] },
		"empty":   func([]byte) []byte { return nil },
		"a meta":  func(b []byte) []byte { b[30] ^= 1; return b },
		"a leaf":  func(b []byte) []byte { return flipRecord(t, b) },
		"no file": func([]byte) []byte { return []byte("not a state file") },
	} {
		bad := filepath.Join(dir, "bad.db")
		if err := os.WriteFile(bad, change(append([]byte(nil), content...)), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := Check(bad); !errors.Is(err, store.ErrDamaged) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if err := Check(filepath.Join(dir, "missing.db")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a missing one: %v", err)
	}
	again, done, err := Open(path, Options{})
	if err != nil || done.Damage != "" || done.Records > 0 {
		t.Fatalf("%v, %+v", err, done)
	}
	copied, err := store.New(again, storetest.Options())
	if err != nil {
		t.Fatal(err)
	}
	defer copied.Close()
	if n := copied.Stats().Events; n != 300 {
		t.Errorf("%d events in the copy, want the 300 of when it began", n)
	}
}

// flipRecord flips a bit of every record that has a service: the first in the file may lie in a page that is free.
func flipRecord(t *testing.T, b []byte) []byte {
	t.Helper()
	if !bytes.Contains(b, []byte("sshd")) {
		t.Fatal("there is no record to damage")
	}
	return bytes.ReplaceAll(b, []byte("sshd"), []byte("rshd"))
}
