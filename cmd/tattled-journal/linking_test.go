//go:build cgo

package main

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

// remote writes real journal files from export text.
const remote = "/lib/systemd/systemd-journal-remote"

// world is a directory of journals and a reader of it, whose entries are read one by one.
type world struct {
	*testing.T
	dir string
	r   *reader
}

func newWorld(t *testing.T) *world {
	runtime.LockOSThread() // a journal belongs to one thread; the test's ends with it
	return &world{T: t, dir: t.TempDir()}
}

// write makes a journal file, each of its entries given as a second and FIELD=value words.
func (w *world) write(name string, entries ...string) {
	w.Helper()
	var in strings.Builder
	for _, e := range entries {
		second, fields, _ := strings.Cut(e, " ")
		fmt.Fprintf(&in, "__REALTIME_TIMESTAMP=17952192%s000000\n__MONOTONIC_TIMESTAMP=%s000000\n_BOOT_ID=0123456789abcdef0123456789abcdef\n", second, second)
		in.WriteString(strings.ReplaceAll(fields, " ", "\n") + "\n_TRANSPORT=syslog\n_COMM=sshd\nSYSLOG_PID=7\n\n")
	}
	cmd := exec.Command(remote, "--split-mode=none", "--compress=no", "-o", filepath.Join(w.dir, name+".journal"), "-")
	cmd.Stdin = strings.NewReader(in.String())
	if out, err := cmd.CombinedOutput(); err != nil {
		w.Fatalf("this test needs systemd-journal-remote: %v\n%s", err, out)
	}
}

// spoil brings a field's value into the state in which a reader may find it while it is being linked: there is an entry
// that has it, and it is the value of none. mend ends that.
func (w *world) spoil(name, field string) (mend func()) {
	w.Helper()
	f, err := os.OpenFile(filepath.Join(w.dir, name+".journal"), os.O_RDWR, 0)
	if err != nil {
		w.Fatal(err)
	}
	w.Cleanup(func() { f.Close() })
	all, err := os.ReadFile(f.Name())
	if err != nil {
		w.Fatal(err)
	}
	// https://systemd.io/JOURNAL_FILE_FORMAT: n_entries is the last but the payload, in compact files the last but two.
	at := bytes.Index(all, []byte(field)) - 8
	const compact = 1 << 4
	if binary.LittleEndian.Uint32(all[12:])&compact != 0 {
		at -= 8
	}
	if at < 0 || binary.LittleEndian.Uint64(all[at:]) != 1 {
		w.Fatalf("%s: no value of one entry", field)
	}
	set := func(n byte) {
		if _, err := f.WriteAt([]byte{n}, int64(at)); err != nil {
			w.Fatal(err)
		}
	}
	set(0)
	return func() { set(1) }
}

// open begins to read what is there.
func (w *world) open(o options) {
	w.Helper()
	o.directory, o.every = w.dir, 512
	if !o.noFollow {
		o.since = "@1"
	}
	r, err := open(&o, nil)
	if err != nil {
		w.Fatal(err)
	}
	w.Cleanup(func() { r.journal.Close() })
	w.r = r
}

// next demands that the next entry has, or lacks, some fields.
func (w *world) next(has, lacks string) {
	w.Helper()
	w.r.batch = w.r.batch[:0]
	found, err := w.r.one()
	if err != nil || !found {
		w.Fatalf("no entry (error %v), want %s", err, has)
	}
	text := "\n" + string(w.r.batch)
	if !strings.Contains(text, "\n"+has+"\n") || lacks != "" && strings.Contains(text, "\n"+lacks+"=") {
		w.Fatalf("the entry should have %s, and no %q:%s", has, lacks, text)
	}
}

// none demands that there is no entry yet, that nothing of one is written, and that the position is that of the entry
// before, in the second that is given: "" if there is none before.
func (w *world) none(before string) {
	w.Helper()
	w.r.batch = w.r.batch[:0]
	if found, err := w.r.one(); found || err != nil || len(w.r.batch) > 0 {
		w.Fatalf("an entry (error %v): %s", err, w.r.batch)
	}
	usec, err := w.r.journal.GetRealtimeUsec()
	if got := fmt.Sprint(usec); before != "" && got != "17952192"+before+"000000" || (err == nil) != (before != "") {
		w.Fatalf("the position is behind %s (error %v), want behind second %q", got, err, before)
	}
}

// An entry without a message is not there before it has one or another follows, however long that takes.
func TestMessageBeingLinked(t *testing.T) {
	w := newWorld(t)
	w.write("a", "01 SYSLOG_IDENTIFIER=sshd MESSAGE=one", "02 SYSLOG_IDENTIFIER=sshd MESSAGE=two-192.0.2.1")
	mend := w.spoil("a", "MESSAGE=two")
	w.open(options{})
	w.next("MESSAGE=one", "")
	w.none("01")
	w.none("01")
	w.r.held = time.Now().Add(-time.Hour)
	w.none("01")
	mend()
	w.next("MESSAGE=two-192.0.2.1", "")
	w.none("02")
}

// The same for the very first entry.
func TestFirstMessageBeingLinked(t *testing.T) {
	w := newWorld(t)
	w.write("a", "01 SYSLOG_IDENTIFIER=sshd MESSAGE=one")
	mend := w.spoil("a", "MESSAGE=one")
	w.open(options{})
	w.none("")
	w.none("")
	mend()
	w.next("MESSAGE=one", "")
}

// What really has no message is sent as it is, once another entry follows; and nothing waits for it at the end of a
// reading that does not follow.
func TestNoMessage(t *testing.T) {
	w := newWorld(t)
	w.write("a", "01 SYSLOG_IDENTIFIER=sshd MESSAGE=one", "02 SYSLOG_IDENTIFIER=sshd", "03 SYSLOG_IDENTIFIER=sshd MESSAGE=three", "04 SYSLOG_IDENTIFIER=sshd")
	for _, noFollow := range []bool{false, true} {
		w.open(options{noFollow: noFollow})
		w.next("MESSAGE=one", "")
		w.next("__REALTIME_TIMESTAMP=1795219202000000", "MESSAGE")
		w.next("MESSAGE=three", "")
		w.none("03")
	}
}

// An entry that lacks another field that most have is left for later as well, but not for long: it has something to say.
// Where it ends with what is there, it is sent.
func TestFieldBeingLinked(t *testing.T) {
	const entry = "MESSAGE=from-192.0.2.1 SYSLOG_IDENTIFIER=other _SYSTEMD_UNIT=other.service _UID=0 _EXE=/sbin/other"
	for _, field := range strings.Fields(entry)[1:] {
		t.Run(field, func(t *testing.T) {
			w := newWorld(t)
			w.write("a", "01 SYSLOG_IDENTIFIER=sshd MESSAGE=one", "02 "+entry)
			name, _, _ := strings.Cut(field, "=")
			mend := w.spoil("a", field)
			w.open(options{})
			w.next("MESSAGE=one", "")
			w.none("01")
			w.r.held = time.Now().Add(-mostLinking)
			w.next("MESSAGE=from-192.0.2.1", name)

			w.open(options{noFollow: true})
			w.next("MESSAGE=one", "")
			w.next("MESSAGE=from-192.0.2.1", name)

			w.open(options{})
			w.next("MESSAGE=one", "")
			w.none("01")
			mend()
			w.next(field, "")
		})
	}
}

// Where the entry that follows is of another writer's file, it proves nothing: there is a moment more, but not for each.
func TestOthersEntryFollows(t *testing.T) {
	w := newWorld(t)
	w.write("a", "01 SYSLOG_IDENTIFIER=sshd MESSAGE=one", "02 SYSLOG_IDENTIFIER=sshd MESSAGE=two")
	w.write("b", "03 SYSLOG_IDENTIFIER=sshd MESSAGE=three", "05 SYSLOG_IDENTIFIER=sshd MESSAGE=five")
	w.write("c", "04 SYSLOG_IDENTIFIER=sshd MESSAGE=four")
	mend := w.spoil("a", "MESSAGE=two")
	w.spoil("c", "MESSAGE=four")
	w.open(options{})
	w.next("MESSAGE=one", "")
	w.none("01")
	mend()
	w.next("MESSAGE=two", "")
	w.next("MESSAGE=three", "")
	w.r.doubted = time.Now().Add(-linking)
	w.next("__REALTIME_TIMESTAMP=1795219204000000", "MESSAGE")
	w.next("MESSAGE=five", "")

	w.open(options{noFollow: true}) // does not end before the end
	w.next("MESSAGE=one", "")
	w.next("MESSAGE=two", "")
	w.next("MESSAGE=three", "")
	w.next("__REALTIME_TIMESTAMP=1795219204000000", "MESSAGE")
	w.next("MESSAGE=five", "")
}
