package setting

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"unicode"
	"unicode/utf8"
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

// SecretFile is the path of a file that holds a secret. It is absolute, and it is never shown unless its folder is there:
// an operator may have written the secret itself in its place, and that must not get into a log.
type SecretFile string

// UnmarshalText reads a path. Its errors do not show what was written.
func (f *SecretFile) UnmarshalText(text []byte) error {
	path := SecretFile(text)
	if err := path.check(); err != nil {
		return err
	}
	*f = path
	return nil
}

func (f SecretFile) check() error {
	path := string(f)
	if filepath.IsAbs(path) && filepath.Dir(path) != "/" && !strings.ContainsFunc(path, unicode.IsControl) {
		return nil
	}
	return errors.New("this is not the absolute path of a file in a folder: write where the file with the secret is, like /etc/tattled/abuseipdb.key. " +
		"What was written is not shown, because it may be the secret itself")
}

// String returns the path if its folder is there.
func (f SecretFile) String() string {
	if info, err := os.Stat(filepath.Dir(string(f))); f.check() != nil || err != nil || !info.IsDir() {
		return "(a path that is not shown, because its folder does not exist)"
	}
	return Redact(string(f))
}

// GoString is String.
func (f SecretFile) GoString() string { return f.String() }

// ReadCredential reads the file of the systemd credential of that name, as LookUpSecret does. env is the environment variable that
// may hold the secret in its place.
func ReadCredential(path, credential, env string) (Secret, error) {
	s, err := readSecret(path, "the credential "+credential, false)
	if err != nil {
		return s, err
	}
	return clean(s, "the credential "+credential, env)
}

// LookUpSecret looks for a secret where the operator may have put it, in this order: the systemd credential named
// credential in $CREDENTIALS_DIRECTORY, the file (skipped if it is empty), the environment variable named env. White space
// at both ends is dropped. No secret anywhere is no error: the zero Secret comes back. A file that others can read, an empty
// one, one that cannot be read, and one that holds more than a secret are errors. No error shows the secret.
func LookUpSecret(credential string, file SecretFile, env string) (Secret, error) {
	if dir := os.Getenv("CREDENTIALS_DIRECTORY"); dir != "" && reachable(dir) {
		s, err := ReadCredential(filepath.Join(dir, credential), credential, env)
		if !errors.Is(err, fs.ErrNotExist) {
			return s, err
		}
	}
	if file != "" {
		if err := file.check(); err != nil {
			return Secret{}, err
		}
		s, err := readSecret(string(file), file.String(), true)
		if err == nil {
			return clean(s, file.String(), env)
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return s, err
		}
	}
	return clean(NewSecret(strings.TrimSpace(os.Getenv(env))), "$"+env, env)
}

// clean refuses what stands in the file besides a secret. where is safe to show.
func clean(s Secret, where, env string) (Secret, error) {
	text := s.Reveal()
	problem := ""
	switch {
	case strings.HasPrefix(text, "\ufeff"):
		problem = "begins with a byte order mark: save it as plain text without one"
	case strings.ContainsAny(text, "\r\n"):
		problem = "has more than one line: leave the secret alone in it"
	case !utf8.ValidString(text), strings.ContainsFunc(text, unicode.IsControl):
		problem = "has characters that are not text: save it as plain text in UTF-8"
	case assigns(text, env):
		problem = "assigns the secret to a name: leave out all up to the equals sign"
	default:
		return s, nil
	}
	return Secret{}, fmt.Errorf("read secret: %s %s", where, problem)
}

// assigns tells whether text is a line of an environment file. Other names are a matter of the secret's own form.
func assigns(text, env string) bool {
	name, _, found := strings.Cut(text, "=")
	return found && env != "" && strings.EqualFold(strings.TrimSpace(strings.TrimPrefix(name, "export ")), env)
}

// reachable is false for the processes of ExecReload=, at least under systemd 252: they are given the variable, and may not
// enter the directory that it names.
func reachable(dir string) bool {
	_, err := os.ReadDir(dir)
	return !errors.Is(err, fs.ErrPermission)
}

// readSecret reads the file at path, which its errors call shown.
func readSecret(path, shown string, private bool) (Secret, error) {
	info, err := os.Stat(path)
	if err != nil {
		return Secret{}, unreadable(shown, nil, err)
	}
	switch {
	case !info.Mode().IsRegular():
		return Secret{}, fmt.Errorf("read secret: %s is not a regular file", shown)
	case private && info.Mode().Perm()&0o037 != 0:
		return Secret{}, fmt.Errorf("read secret: %s has mode %04o, others can read it: %s", shown, info.Mode().Perm(), remedy(shown, info))
	case info.Size() > maxSecret:
		return Secret{}, fmt.Errorf("read secret: %s is larger than %d bytes", shown, maxSecret)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return Secret{}, unreadable(shown, info, err)
	}
	if s := NewSecret(strings.TrimSpace(string(text))); !s.IsZero() {
		return s, nil
	}
	return Secret{}, fmt.Errorf("read secret: %s is empty", shown)
}

// unreadable says why the file of a secret cannot be read, and what to do; info is nil where not even that is known.
func unreadable(shown string, info fs.FileInfo, err error) error {
	err = withoutPath(err)
	switch {
	case !errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("read secret: %s: %w", shown, err)
	case info != nil && info.Mode().Perm()&0o040 != 0:
		return fmt.Errorf("read secret: %s: %w: its group may read it, and this user is not in that: run this as root, or %s", shown, err, remedy(shown, info))
	default:
		return fmt.Errorf("read secret: %s: %w: %s", shown, err, remedy(shown, info))
	}
}

// remedy returns the commands after which the service can read the file of a secret, and strangers cannot.
func remedy(shown string, info fs.FileInfo) string {
	if info != nil && os.Getuid() != 0 {
		if owner, ok := info.Sys().(*syscall.Stat_t); ok && int(owner.Uid) == os.Getuid() {
			return "chmod 600 " + shown
		}
	}
	return fmt.Sprintf("chown root:tattled %[1]s && chmod 640 %[1]s", shown)
}

// withoutPath returns the cause of an error of package os, which quotes the path.
func withoutPath(err error) error {
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		return e.Err
	}
	return err
}
