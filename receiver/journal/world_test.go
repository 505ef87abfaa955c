package journal

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"tattled/receiver"
	"tattled/setting"
)

// remote writes real journal files from export text.
const remote = "/lib/systemd/systemd-journal-remote"

// helperPath is the helper, built once; TestMain removes it.
var helperPath = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "tattled-journal-test")
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "tattled-journal")
	cmd := exec.Command("go", "build", "-o", path, "tattled/cmd/tattled-journal")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=1")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the helper: %w\n%s", err, out)
	}
	return path, nil
})

func TestMain(m *testing.M) {
	status := m.Run()
	if path, err := helperPath(); err == nil {
		_ = os.RemoveAll(filepath.Dir(path))
	}
	os.Exit(status)
}

func helper(t testing.TB) string {
	t.Helper()
	path, err := helperPath()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// journalFile is a journal file that grows.
type journalFile struct {
	t    testing.TB
	path string
	in   io.WriteCloser
	cmd  *exec.Cmd
	n    int
	at   time.Time
	once sync.Once
}

func newJournalFile(t testing.TB, path string) *journalFile {
	t.Helper()
	j := &journalFile{t: t, path: path, at: time.Now().Add(-time.Hour).Truncate(time.Second)}
	j.cmd = exec.Command(remote, "--split-mode=none", "--compress=no", "-o", path, "-")
	var err error
	if j.in, err = j.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err = j.cmd.Start(); err != nil {
		t.Fatalf("this test needs systemd-journal-remote: %v", err)
	}
	t.Cleanup(j.close)
	return j
}

// close ends the file; what was written stays.
func (j *journalFile) close() {
	j.once.Do(func() {
		_ = j.in.Close()
		if err := j.cmd.Wait(); err != nil {
			j.t.Errorf("%s: %v", remote, err)
		}
	})
}

// fieldsOf is an entry: names and values in turn.
type fieldsOf []string

// sshd is an entry as journald takes it from the real sshd.
func sshd(message string) fieldsOf {
	return fieldsOf{
		"_TRANSPORT", "syslog", "_UID", "0", "_COMM", "sshd", "_EXE", "/usr/sbin/sshd", "_SYSTEMD_UNIT", "ssh.service",
		"_PID", "77", "SYSLOG_IDENTIFIER", "sshd", "SYSLOG_PID", "77", "_HOSTNAME", "web1", "MESSAGE", message,
	}
}

// add appends entries, a millisecond apart.
func (j *journalFile) add(entries ...fieldsOf) {
	j.t.Helper()
	var b bytes.Buffer
	for _, e := range entries {
		j.n++
		at := j.at.Add(time.Duration(j.n) * time.Millisecond)
		fmt.Fprintf(&b, "__REALTIME_TIMESTAMP=%d\n__MONOTONIC_TIMESTAMP=%d\n", at.UnixMicro(), at.UnixMicro()%1e12)
		b.WriteString("_BOOT_ID=0123456789abcdef0123456789abcdef\n_MACHINE_ID=fedcba9876543210fedcba9876543210\n")
		for i := 0; i < len(e); i += 2 {
			if strings.ContainsAny(e[i+1], "\n\x00") { // the other form takes systemd-journal-remote half the time
				binaryField(&b, e[i], e[i+1])
			} else {
				b.WriteString(e[i] + "=" + e[i+1] + "\n")
			}
		}
		b.WriteByte('\n')
	}
	if _, err := j.in.Write(b.Bytes()); err != nil {
		j.t.Errorf("write to the journal: %v", err)
	}
}

func binaryField(b *bytes.Buffer, name, value string) {
	b.WriteString(name + "\n")
	b.Write(binary.LittleEndian.AppendUint64(nil, uint64(len(value))))
	b.WriteString(value + "\n")
}

// awaitFile waits until path is there.
func awaitFile(t testing.TB, path string) {
	t.Helper()
	await(t, func() bool { _, err := os.Stat(path); return err == nil }, path)
}

// await polls until done, which is not to be expected to fail.
func await(t testing.TB, done func() bool, what string) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.After(20 * time.Second); !done(); {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("gave up waiting for %s", what)
		}
	}
}

// viaHelper reads dir through the helper, from the beginning.
func viaHelper(t testing.TB, dir string) *Receiver {
	return newReceiver(t, Config{Directory: dir, Helper: helper(t), Since: setting.Duration(24 * time.Hour)})
}

// viaJournalctl reads dir through journalctl, from the beginning.
func viaJournalctl(t testing.TB, dir string) *Receiver {
	r := newReceiver(t, Config{Directory: dir, Helper: "/bin/false", Since: setting.Duration(24 * time.Hour)})
	r.helper = ""
	return r
}

func newReceiver(t testing.TB, c Config) *Receiver {
	t.Helper()
	r, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// ways are both ways to read.
func ways() map[string]func(testing.TB, string) *Receiver {
	return map[string]func(testing.TB, string) *Receiver{"helper": viaHelper, "journalctl": viaJournalctl}
}

// record is a copy of a receiver.Record.
type record struct{ time, host, program, pid, message, trust, cut string }

func copyOf(r receiver.Record) record {
	return record{r.Time.UTC().Format(time.RFC3339Nano), string(r.Host), string(r.Program), string(r.PID), string(r.Message), r.Trust.String(), fmt.Sprint(r.Cut)}
}
