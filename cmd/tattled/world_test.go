package main

import (
	"bufio"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"tattled/report/abuseipdb/double"
)

// attacker returns the n-th address of a series that the gate has nothing against.
func attacker(n int) string { return fmt.Sprintf("45.148.%d.%d", 10+n/250, 1+n%250) }

// sshLine is one failed login as OpenSSH logs it.
func sshLine(addr string, n int) string {
	return fmt.Sprintf("Failed password for invalid user u%d from %s port %d ssh2", n, addr, 1024+n%60000)
}

// attackLog is an sshd log of many attackers, some over the shipped threshold and some under it.
type attackLog struct {
	lines []string // messages, in the order of logging
	over  []string // the addresses over the threshold, sorted
}

// newAttackLog spreads lines over addresses: the first quarter of them fail four times, one under the threshold of five, and
// the others share the rest, mixed with the harmless lines of a busy server.
func newAttackLog(lines, addresses int, seed uint64) attackLog {
	r := rand.New(rand.NewPCG(seed, 1))
	var l attackLog
	quiet := addresses / 4
	for a := range quiet {
		for range 4 {
			l.lines = append(l.lines, sshLine(attacker(a), len(l.lines)))
		}
	}
	for a := quiet; a < addresses; a++ {
		l.over = append(l.over, attacker(a))
		for range 5 {
			l.lines = append(l.lines, sshLine(attacker(a), len(l.lines)))
		}
	}
	for len(l.lines) < lines {
		n := len(l.lines)
		if r.IntN(3) == 0 {
			l.lines = append(l.lines, fmt.Sprintf("pam_unix(sshd:session): session opened for user deploy(uid=%d) by (uid=0)", 1000+n%9))
		} else {
			l.lines = append(l.lines, sshLine(attacker(quiet+r.IntN(addresses-quiet)), n))
		}
	}
	r.Shuffle(len(l.lines), func(i, j int) { l.lines[i], l.lines[j] = l.lines[j], l.lines[i] })
	slices.Sort(l.over)
	return l
}

// newDouble serves a local AbuseIPDB over HTTP. Every address may be reported; its daily quota is large enough.
func newDouble(t *testing.T) (d *double.Double, url string) {
	t.Helper()
	d, err := double.New(double.Options{Plan: "premium"})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(d)
	t.Cleanup(server.Close)
	return d, server.URL + "/api/v2/"
}

// reported returns the addresses that the double accepted, sorted; one that it accepted twice stands there twice.
func reported(d *double.Double) []string {
	var all []string
	for _, r := range d.Reports() {
		all = append(all, r.IP)
	}
	slices.Sort(all)
	return all
}

// journalWriter is a real journal that grows: systemd-journal-remote, fed with export text.
type journalWriter struct {
	t    *testing.T
	dir  string
	in   io.WriteCloser
	buf  *bufio.Writer
	cmd  *exec.Cmd
	done bool
}

func newJournal(t *testing.T) *journalWriter {
	t.Helper()
	const program = "/lib/systemd/systemd-journal-remote"
	if _, err := os.Stat(program); err != nil {
		t.Fatalf("this test needs it: apt-get install systemd-journal-remote (%v)", err)
	}
	j := &journalWriter{t: t, dir: t.TempDir()}
	j.cmd = exec.Command(program, "-o", filepath.Join(j.dir, "test.journal"), "-")
	var err error
	if j.in, err = j.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := j.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	j.buf = bufio.NewWriter(j.in)
	t.Cleanup(j.close)
	return j
}

// sshd appends a message of sshd, as journald would take it from the real one.
func (j *journalWriter) sshd(pid int, at time.Time, message string) {
	usec := at.UnixMicro()
	for _, field := range []string{
		fmt.Sprintf("__REALTIME_TIMESTAMP=%d", usec), fmt.Sprintf("__MONOTONIC_TIMESTAMP=%d", usec%1e12),
		"_BOOT_ID=0123456789abcdef0123456789abcdef", "_MACHINE_ID=fedcba9876543210fedcba9876543210", "_HOSTNAME=web1",
		"_TRANSPORT=syslog", "_UID=0", "_COMM=sshd", "_EXE=/usr/sbin/sshd", "_SYSTEMD_UNIT=ssh.service", "SYSLOG_IDENTIFIER=sshd",
		"PRIORITY=6", fmt.Sprintf("_PID=%d", pid), fmt.Sprintf("SYSLOG_PID=%d", pid), "MESSAGE=" + message, "",
	} {
		if _, err := j.buf.WriteString(field + "\n"); err != nil {
			j.t.Fatalf("write to the journal: %v", err)
		}
	}
}

func (j *journalWriter) flush() {
	if err := j.buf.Flush(); err != nil {
		j.t.Fatalf("write to the journal: %v", err)
	}
}

// close ends the journal; what was written stays.
func (j *journalWriter) close() {
	if j.done {
		return
	}
	j.done = true
	_ = j.buf.Flush()
	_ = j.in.Close()
	_ = j.cmd.Wait()
}

// buildHelper builds tattled-journal, with which the journal is read.
func buildHelper(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "tattled-journal")
	if out, err := exec.Command("go", "build", "-o", path, "tattled/cmd/tattled-journal").CombinedOutput(); err != nil {
		t.Fatalf("build the journal helper: %v\n%s", err, out)
	}
	return path
}

// fileHeader is the traditional header of a log file.
func fileHeader(at time.Time, pid int) string {
	return fmt.Sprintf("%s web1 sshd[%d]: ", at.Local().Format(time.Stamp), pid)
}

// appendLines appends messages of sshd to a log file.
func appendLines(t *testing.T, path string, lines []string, pid int) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for i, line := range lines {
		b.WriteString(fileHeader(time.Now(), pid+i) + line + "\n")
	}
	if _, err := f.WriteString(b.String()); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

// full says that tests of the scorecard are to run in their long form.
func full() bool { return os.Getenv("TATTLED_FULL") == "1" }

// besideOthers lets a test that waits most of its time run at the same time as others of its kind: in the long form it takes
// up to an hour.
func besideOthers(t *testing.T) {
	t.Helper()
	if full() {
		t.Parallel()
	}
}
