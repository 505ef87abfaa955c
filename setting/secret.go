package setting

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// maxSecret bounds a secret's file in bytes.
const maxSecret = 64 << 10

// Secret is a text that is never shown: every usual way of printing it gives "<secret>". It is held by pointer, because
// package fmt looks into unexported fields without asking their methods.
type Secret struct{ text *string }

// NewSecret wraps text.
func NewSecret(text string) Secret { return Secret{&text} }

// Reveal returns the text, for the one place that sends it.
func (s Secret) Reveal() string {
	if s.text == nil {
		return ""
	}
	return *s.text
}

// IsZero reports whether there is no secret.
func (s Secret) IsZero() bool { return s.Reveal() == "" }

func (s Secret) String() string {
	if s.IsZero() {
		return ""
	}
	return "<secret>"
}

// GoString hides the text from %#v.
func (s Secret) GoString() string { return s.String() }

// MarshalText hides the text from encoders.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// LookUpSecret looks for a secret where the operator may have put it, in this order: the systemd credential named
// credential in $CREDENTIALS_DIRECTORY, the file at path (skipped if path is empty), the environment variable named env.
// White space at the end is dropped. No secret anywhere is no error: the zero Secret comes back. A file that others can
// read, an empty one, and one that cannot be read are errors.
func LookUpSecret(credential, path, env string) (Secret, error) {
	if dir := os.Getenv("CREDENTIALS_DIRECTORY"); dir != "" && reachable(dir) {
		s, err := readSecret(filepath.Join(dir, credential), false)
		if err == nil || !errors.Is(err, fs.ErrNotExist) {
			return s, err
		}
	}
	if path != "" {
		s, err := readSecret(path, true)
		if err == nil || !errors.Is(err, fs.ErrNotExist) {
			return s, err
		}
	}
	return NewSecret(strings.TrimSpace(os.Getenv(env))), nil
}

// reachable is false for the processes of ExecReload=, at least under systemd 252: they are given the variable, and may not
// enter the directory that it names.
func reachable(dir string) bool {
	_, err := os.ReadDir(dir)
	return !errors.Is(err, fs.ErrPermission)
}

func readSecret(path string, private bool) (Secret, error) {
	info, err := os.Stat(path)
	if err != nil {
		return Secret{}, fmt.Errorf("read secret: %w", err)
	}
	switch {
	case !info.Mode().IsRegular():
		return Secret{}, fmt.Errorf("read secret: %s is no regular file", path)
	case private && info.Mode().Perm()&0o037 != 0:
		return Secret{}, fmt.Errorf("read secret: %s has mode %04o, others can read it: chmod 0600 %s", path, info.Mode().Perm(), path)
	case info.Size() > maxSecret:
		return Secret{}, fmt.Errorf("read secret: %s is larger than %d bytes", path, maxSecret)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return Secret{}, fmt.Errorf("read secret: %w", err)
	}
	if s := NewSecret(strings.TrimSpace(string(text))); !s.IsZero() {
		return s, nil
	}
	return Secret{}, fmt.Errorf("read secret: %s is empty", path)
}
