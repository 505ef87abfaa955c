package journal

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"tattled/event"
	"tattled/receiver"
)

// printed is an entry of what nginx writes to its standard error, which may lead to a report.
func printed(stream, pid, message, lineBreak string) fieldsOf {
	e := fieldsOf{
		"_TRANSPORT", "stdout", "_STREAM_ID", stream, "_UID", "33", "_COMM", "nginx", "_EXE", "/usr/sbin/nginx", "_PID", pid,
		"_SYSTEMD_UNIT", "nginx.service", "SYSLOG_IDENTIFIER", "nginx", "_HOSTNAME", "web1", "MESSAGE", message,
	}
	if lineBreak != "" {
		e = append(e, "_LINE_BREAK", lineBreak)
	}
	return e
}

// What journald breaks a service's output into is no record that may be believed, on either side of the break, however
// entries of others come in between; and what comes next is.
func TestBrokenLines(t *testing.T) {
	t.Parallel()
	const a, b = "0123456789abcdef0123456789abcdef", "fedcba9876543210fedcba9876543210"
	forged := "client: 198.51.100.7, request"
	for _, c := range []struct {
		what    string
		entries []fieldsOf
		cut     string // for each entry that comes out: c cut, . whole
	}{
		{"a NUL", []fieldsOf{printed(a, "7", "bob", "nul"), printed(a, "7", forged, ""), printed(a, "7", forged, "")}, "cc."},
		{"LineMax", []fieldsOf{printed(a, "7", strings.Repeat("x", 48<<10), "line-max"), printed(a, "7", forged, ""), printed(a, "7", forged, "")}, "cc."},
		{"twice LineMax", []fieldsOf{printed(a, "7", "x", "line-max"), printed(a, "7", forged, "line-max"), printed(a, "7", forged, ""), printed(a, "7", forged, "")}, "ccc."},
		{"the rest has no address", []fieldsOf{printed(a, "7", "bob", "nul"), printed(a, "7", "nothing", ""), printed(a, "7", forged, "")}, "cc."},
		{"others between", []fieldsOf{printed(a, "7", forged, "nul"), sshd("from 192.0.2.1"), printed(b, "7", forged, ""), printed(a, "8", forged, "")}, "c..c"},
		{"the end of the stream", []fieldsOf{printed(a, "7", forged, "eof"), printed(b, "7", forged, ""), printed(a, "7", forged, "")}, "c.."},
		{"another process in between", []fieldsOf{
			printed(a, "7", "bob", "pid-change"), printed(a, "8", forged, ""), printed(a, "8", forged, ""), printed(a, "7", forged, ""), printed(a, "7", forged, ""),
		}, "cc.c."},
		{"a reason that is not known yet", []fieldsOf{printed(a, "7", forged, "moon"), printed(a, "7", forged, ""), printed(a, "7", forged, "")}, "cc."},
		{"dropped by the rate limit", []fieldsOf{
			{"_TRANSPORT", "driver", "SYSLOG_IDENTIFIER", "systemd-journald", "_UID", "0", "MESSAGE", "Suppressed 12 messages from nginx.service"},
			printed(a, "7", forged, ""), printed(a, "7", forged, ""),
		}, ".c."},
		{"a field of a client", []fieldsOf{append(sshd("from 192.0.2.1"), "LINE_BREAK", "nul"), sshd("from 192.0.2.1")}, ".."},
	} {
		for way, open := range ways() {
			t.Run(c.what+", "+way, func(t *testing.T) {
				t.Parallel()
				file := newJournalFile(t, filepath.Join(t.TempDir(), "test.journal"))
				file.add(c.entries...)
				awaitFile(t, file.path)
				r, s := open(t, filepath.Dir(file.path)), &sink{}
				stop := run(t, r, s)
				await(t, func() bool { return s.count() >= len(c.entries) }, "all records")
				stop()
				if got := cuts(s.records); got != c.cut {
					t.Errorf("cut are %s, want %s", got, c.cut)
				}
				if got, want := r.Meter().Cut.Load(), uint64(strings.Count(c.cut, "c")); got != want {
					t.Errorf("%d are counted as cut, want %d", got, want)
				}
			})
		}
	}
}

func cuts(records []record) string {
	var all strings.Builder
	for _, r := range records {
		if r.cut == "true" {
			all.WriteByte('c')
		} else {
			all.WriteByte('.')
		}
	}
	return all.String()
}

// The mark of a broken line is part of the position: a restart between the two entries, of the child or of all of tattled,
// does not make the second one whole.
func TestBrokenLineAndRestart(t *testing.T) {
	t.Parallel()
	for way, open := range ways() {
		t.Run(way, func(t *testing.T) {
			t.Parallel()
			file := newJournalFile(t, filepath.Join(t.TempDir(), "test.journal"))
			file.add(printed("0123456789abcdef", "7", "bob", "nul"))
			awaitFile(t, file.path)
			s := &sink{}
			for i, want := range []string{"c", "cc", "cc."} {
				stop := run(t, open(t, filepath.Dir(file.path)), s)
				await(t, func() bool { return s.count() == i+1 }, "the next entry")
				stop()
				if got := cuts(s.records); got != want {
					t.Fatalf("cut are %s, want %s", got, want)
				}
				if len(s.cursor) > receiver.MaxCursor {
					t.Errorf("a cursor of %d bytes", len(s.cursor))
				}
				file.add(printed("0123456789abcdef", "7", "client: 198.51.100.7", ""))
			}
		})
	}
}

// Whoever can make many streams cannot make one forgotten that matters: what may not lead to a report leaves no mark. The
// marks are bounded.
func TestBrokenLinesAreBounded(t *testing.T) {
	var b breaks
	broken := func(words string, trusted bool) bool {
		p, e := entryOf(t, words)
		return b.broken(p, e, trusted)
	}
	broken("_STREAM_ID=service _LINE_BREAK=nul MESSAGE=x", true)
	for i := range 10 * maxBreaks {
		if !broken(fmt.Sprintf("_STREAM_ID=%d _LINE_BREAK=nul MESSAGE=x", i), false) {
			t.Fatal("a broken line of a stranger is whole")
		}
	}
	if !broken("_STREAM_ID=service MESSAGE=x", true) {
		t.Error("the service's mark is gone")
	}
	for i := range 10 * maxBreaks {
		broken(fmt.Sprintf("_STREAM_ID=%d _LINE_BREAK=nul MESSAGE=x", i), true)
	}
	if len(b) != maxBreaks {
		t.Errorf("%d marks, at most %d are allowed", len(b), maxBreaks)
	}
	if broken("_STREAM_ID=0 MESSAGE=x", true) || !broken(fmt.Sprintf("_STREAM_ID=%d MESSAGE=x", 10*maxBreaks-1), true) {
		t.Error("it is not the oldest marks that are dropped")
	}
}

func TestPosition(t *testing.T) {
	all := breaks{{1, 2}, {1<<64 - 1, 1<<32 - 1}, {anyStream, 0}}
	for n := range len(all) + 1 {
		position := appendPosition(nil, []byte("s=1;i=2"), all[:n])
		cursor, b, err := parsePosition(position)
		if err != nil || cursor != "s=1;i=2" || !slices.Equal(b, all[:n]) {
			t.Errorf("%q gives %q, %v, %v", position, cursor, b, err)
		}
	}
	for _, bad := range []string{"s=1\x00", "s=1\x00abc", "s=1\x00" + strings.Repeat("x", breakSize*(maxBreaks+1))} {
		if _, _, err := parsePosition(receiver.Cursor(bad)); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
	if maxPosition+1+maxBreaks*breakSize > receiver.MaxCursor {
		t.Error("a position may be too long")
	}
}

// A line feed in what a client sends in one piece begins no record: journald keeps it in the message.
func TestLineFeedInAMessage(t *testing.T) {
	t.Parallel()
	message := "user bob\nFailed password for root from 198.51.100.7 port 22 ssh2\n<38>Jan  1 00:00:00 web1 sshd[1]: Failed password for root from 198.51.100.7 port 22 ssh2"
	for way, open := range ways() {
		t.Run(way, func(t *testing.T) {
			t.Parallel()
			file := newJournalFile(t, filepath.Join(t.TempDir(), "test.journal"))
			native := sshd(message)
			native[1] = "journal"
			file.add(native, sshd(message))
			awaitFile(t, file.path)
			s := &sink{}
			stop := run(t, open(t, filepath.Dir(file.path)), s)
			await(t, func() bool { return s.count() >= 2 }, "both")
			stop()
			if len(s.records) != 2 {
				t.Errorf("%d records, want 2", len(s.records))
			}
			for _, r := range s.records {
				if r.message != message || r.trust != event.TrustReport.String() {
					t.Errorf("got %v", r)
				}
			}
		})
	}
}
