package journal

import (
	"strings"
	"testing"

	"tattled/receiver"
)

// entryOf makes a parser's entry of FIELD=value words.
func entryOf(t testing.TB, words string) (*parser, *entry) {
	t.Helper()
	text := strings.ReplaceAll(words, " ", "\n") + "\n\n"
	p := newParser(strings.NewReader(text), func(*parser) error { return nil })
	if err := p.run(); err != nil || len(p.entries) != 1 {
		t.Fatalf("%q: %d entries, %v", words, len(p.entries), err)
	}
	return p, &p.entries[0]
}

// What may lead to a report, and the forgeries that may not. A forger is a local user without privileges, or who may run
// some programs through sudo.
func TestTrusted(t *testing.T) {
	const root = "_TRANSPORT=syslog _UID=0 "
	for _, c := range []struct {
		want  bool
		what  string
		entry string
	}{
		{true, "the kernel", "_TRANSPORT=kernel SYSLOG_IDENTIFIER=kernel"},
		{true, "sshd", root + "SYSLOG_IDENTIFIER=sshd _COMM=sshd _EXE=/usr/sbin/sshd _SYSTEMD_UNIT=ssh.service"},
		{true, "sshd of a socket", root + "SYSLOG_IDENTIFIER=sshd _COMM=sshd _EXE=/usr/sbin/sshd _SYSTEMD_UNIT=ssh@7-192.0.2.1:22-203.0.113.5:40022.service"},
		{true, "sshd, the user being in", root + "SYSLOG_IDENTIFIER=sshd _COMM=sshd _EXE=/usr/sbin/sshd _SYSTEMD_UNIT=session-3.scope"},
		{true, "sshd-session", root + "SYSLOG_IDENTIFIER=sshd-session _COMM=sshd-session _EXE=/usr/lib/openssh/sshd-session _SYSTEMD_UNIT=sshd.service"},
		{true, "sshd-session under the old name", root + "SYSLOG_IDENTIFIER=sshd _COMM=sshd-session _EXE=/usr/libexec/sshd-session _SYSTEMD_UNIT=sshd.service"},
		{true, "postfix, as its user", "_TRANSPORT=syslog _UID=103 SYSLOG_IDENTIFIER=postfix/smtpd _COMM=smtpd _EXE=/usr/lib/postfix/sbin/smtpd _SYSTEMD_UNIT=postfix@-.service"},
		{true, "dovecot's log process", root + "SYSLOG_IDENTIFIER=dovecot _COMM=log _EXE=/usr/lib/dovecot/log _SYSTEMD_UNIT=dovecot.service"},
		{true, "nginx's standard error", "_TRANSPORT=stdout _UID=33 SYSLOG_IDENTIFIER=nginx _COMM=nginx _EXE=/usr/sbin/nginx _SYSTEMD_UNIT=nginx.service"},
		{true, "mariadbd of mariadb", "_TRANSPORT=stdout _UID=104 SYSLOG_IDENTIFIER=mariadbd _COMM=mariadbd _SYSTEMD_UNIT=mariadb.service"},
		{true, "the audit plug-in of mariadb", "_TRANSPORT=syslog _UID=104 SYSLOG_IDENTIFIER=mysql-server_auditing _COMM=mariadbd _EXE=/usr/sbin/mariadbd _SYSTEMD_UNIT=mariadb.service"},
		{false, "a user under its name", "_TRANSPORT=syslog _UID=1000 SYSLOG_IDENTIFIER=mysql-server_auditing _COMM=logger _EXE=/usr/bin/logger _SYSTEMD_UNIT=session-3.scope"},
		{true, "no identifier", "_TRANSPORT=journal _UID=0 _COMM=vsftpd _EXE=/usr/sbin/vsftpd _SYSTEMD_UNIT=vsftpd.service"},
		{true, "gone before journald looked at the executable", root + "SYSLOG_IDENTIFIER=a-name-of-more-than-15 _COMM=a-name-of-more- _SYSTEMD_UNIT=other.service"},

		{false, "logger -t sshd", "_TRANSPORT=syslog _UID=1000 SYSLOG_IDENTIFIER=sshd _COMM=logger _EXE=/usr/bin/logger _SYSTEMD_UNIT=session-3.scope"},
		{false, "a user's program called sshd", "_TRANSPORT=syslog _UID=1000 SYSLOG_IDENTIFIER=sshd _COMM=sshd _EXE=/home/a/sshd _SYSTEMD_UNIT=session-3.scope"},
		{false, "the real sshd, run by a user", "_TRANSPORT=syslog _UID=1000 SYSLOG_IDENTIFIER=sshd _COMM=sshd _EXE=/usr/sbin/sshd _SYSTEMD_UNIT=session-3.scope"},
		{false, "systemd-cat -t sshd", "_TRANSPORT=stdout _UID=1000 SYSLOG_IDENTIFIER=sshd _COMM=cat _EXE=/usr/bin/cat _SYSTEMD_UNIT=session-3.scope"},
		{false, "sudo logger -t sshd", root + "SYSLOG_IDENTIFIER=sshd _COMM=logger _EXE=/usr/bin/logger _SYSTEMD_UNIT=session-3.scope"},
		{false, "a link called sshd to sudo, whose prompt goes to /dev/log", root + "SYSLOG_IDENTIFIER=sshd _COMM=sshd _EXE=/usr/bin/sudo _SYSTEMD_UNIT=session-3.scope"},
		{false, "the same, from cron", root + "SYSLOG_IDENTIFIER=sshd _COMM=sshd _EXE=/usr/bin/sudo _SYSTEMD_UNIT=cron.service"},
		{false, "the same, killed before journald looked", root + "SYSLOG_IDENTIFIER=sshd _COMM=sshd _SYSTEMD_UNIT=session-3.scope"},
		{false, "the same, from cron and killed", root + "SYSLOG_IDENTIFIER=sshd _COMM=sshd _SYSTEMD_UNIT=cron.service"},
		{false, "what sudo writes to a stream that a user opened", "_TRANSPORT=stdout _UID=0 SYSLOG_IDENTIFIER=sudo _COMM=sudo _EXE=/usr/bin/sudo _SYSTEMD_UNIT=session-3.scope"},
		{false, "a user's own service manager", "_TRANSPORT=stdout _UID=1000 SYSLOG_IDENTIFIER=nginx _COMM=nginx _SYSTEMD_UNIT=user@1000.service"},
		{false, "a user's service manager, named like it", "_TRANSPORT=stdout _UID=1000 SYSLOG_IDENTIFIER=user _COMM=user _SYSTEMD_UNIT=user@1000.service"},
		{false, "a user's process in sshd's group", "_TRANSPORT=syslog _UID=1000 SYSLOG_IDENTIFIER=sshd _COMM=logger _SYSTEMD_UNIT=sshd.service"},
		{false, "a web application, as sshd", "_TRANSPORT=syslog _UID=33 SYSLOG_IDENTIFIER=sshd _COMM=sh _SYSTEMD_UNIT=apache2.service"},
		{false, "root in a container that has /dev/log", root + "SYSLOG_IDENTIFIER=sshd _COMM=sshd _EXE=/usr/sbin/sshd _SYSTEMD_UNIT=docker-0123.scope"},
		{false, "rsyslog, with what others sent", "_TRANSPORT=journal _UID=0 SYSLOG_IDENTIFIER=sshd _COMM=rsyslogd _EXE=/usr/sbin/rsyslogd _SYSTEMD_UNIT=rsyslog.service"},
		{false, "audit", "_TRANSPORT=audit _UID=0 SYSLOG_IDENTIFIER=sshd _COMM=sshd _EXE=/usr/sbin/sshd _SYSTEMD_UNIT=ssh.service"},
		{false, "no transport", "_UID=0 SYSLOG_IDENTIFIER=sshd _COMM=sshd _EXE=/usr/sbin/sshd _SYSTEMD_UNIT=ssh.service"},
		{false, "no user", "_TRANSPORT=syslog SYSLOG_IDENTIFIER=sshd _COMM=sshd _EXE=/usr/sbin/sshd _SYSTEMD_UNIT=ssh.service"},
		{false, "no unit", root + "SYSLOG_IDENTIFIER=sshd _COMM=sshd _EXE=/usr/sbin/sshd"},
		{false, "nothing but a name", "SYSLOG_IDENTIFIER=sshd"},
		{false, "no name", root + "_EXE=/usr/sbin/sshd _SYSTEMD_UNIT=ssh.service"},
		{false, "a name that ends in a slash", root + "SYSLOG_IDENTIFIER=/ _COMM=x _EXE=/usr/sbin/sshd _SYSTEMD_UNIT=ssh.service"},
		{false, "a beginning of a service's name", "_TRANSPORT=syslog _UID=1000 SYSLOG_IDENTIFIER=s _COMM=x _SYSTEMD_UNIT=sendmail.service"},
	} {
		if p, e := entryOf(t, c.entry); trusted(p, e) != c.want {
			t.Errorf("%s: trusted is %v", c.what, !c.want)
		}
	}
}

// Our own entries are known by the unit, or by a process's number and name together: numbers are given out again, and a
// client chooses its identifier.
func TestOwn(t *testing.T) {
	r := &Receiver{pid: []byte("100"), childPID: []byte("101")}
	for _, c := range []struct {
		own   bool
		entry string
	}{
		{true, "_SYSTEMD_UNIT=tattled.service"},
		{true, "_SYSTEMD_UNIT=tattled.service _PID=7 _COMM=sh"},
		{true, "_SYSTEMD_UNIT=session-3.scope _PID=100 _COMM=tattled"},
		{true, "_SYSTEMD_UNIT=session-3.scope _PID=101 _COMM=tattled-journal"},
		{false, "_SYSTEMD_UNIT=ssh.service _PID=100 _COMM=sshd SYSLOG_IDENTIFIER=sshd"},
		{false, "_SYSTEMD_UNIT=ssh.service _PID=101 _COMM=sshd SYSLOG_IDENTIFIER=tattled"},
		{false, "_SYSTEMD_UNIT=session-3.scope _PID=100"},
		{false, "_SYSTEMD_UNIT=session-3.scope _PID=1000 _COMM=tattled"},
		{false, "_SYSTEMD_UNIT=session-3.scope _PID=7 _COMM=tattled"},
		{false, "SYSLOG_PID=100 _PID=7 _COMM=tattled SYSLOG_IDENTIFIER=tattled UNIT=tattled.service"},
		{false, "_COMM=tattled SYSLOG_IDENTIFIER=tattled"},
		{false, "_SYSTEMD_UNIT=tattled.service.service"},
	} {
		if p, e := entryOf(t, c.entry); r.isOwn(p, e) != c.own {
			t.Errorf("%s: our own is %v", c.entry, !c.own)
		}
	}
	if p, e := entryOf(t, "_COMM=tattled _PID="); (&Receiver{}).isOwn(p, e) {
		t.Error("an entry without a number is our own before there is a child")
	}
}

// Collected journals may lack fields; what is there must fit.
func TestBelieved(t *testing.T) {
	for _, c := range []struct {
		want  bool
		entry string
	}{
		{true, "_UID=0 SYSLOG_IDENTIFIER=sshd _COMM=sshd"},
		{true, "_TRANSPORT=syslog _UID=0 SYSLOG_IDENTIFIER=sshd _COMM=sshd-session _SYSTEMD_UNIT=ssh.service"},
		{true, "_UID=0 SYSLOG_IDENTIFIER=sshd _COMM=sshd _EXE=/usr/sbin/sshd"},
		{false, "SYSLOG_IDENTIFIER=sshd _COMM=sshd"},
		{false, "_UID=1000 SYSLOG_IDENTIFIER=sshd _COMM=sshd"},
		{false, "_UID=0 SYSLOG_IDENTIFIER=sshd"},
		{false, "_UID=0 SYSLOG_IDENTIFIER=sshd _COMM=logger"},
		{false, "_UID=0 SYSLOG_IDENTIFIER=sshd _COMM=sshd _EXE=/usr/bin/sudo"},
		{false, "_UID=0 SYSLOG_IDENTIFIER=sshd _COMM=sshd _SYSTEMD_UNIT=session-3.scope"},
		{false, "_TRANSPORT=stdout _UID=0 SYSLOG_IDENTIFIER=sshd _COMM=sshd"},
		{false, "_TRANSPORT=audit _UID=0 SYSLOG_IDENTIFIER=sshd _COMM=sshd"},
	} {
		if p, e := entryOf(t, c.entry); believed(p, e) != c.want {
			t.Errorf("%s: believed is %v", c.entry, !c.want)
		}
	}
}

// What a program prints becomes an entry for each line, so that a message with line ends becomes several; what it sends stays one.
func TestFraming(t *testing.T) {
	for entry, want := range map[string]receiver.Framing{
		"_TRANSPORT=stdout SYSLOG_IDENTIFIER=lighttpd MESSAGE=x": receiver.OutLine, "_TRANSPORT=stdout _COMM=lighttpd MESSAGE=x": receiver.OutLine,
		"_TRANSPORT=syslog SYSLOG_IDENTIFIER=lighttpd MESSAGE=x": receiver.Whole, "_TRANSPORT=journal SYSLOG_IDENTIFIER=lighttpd MESSAGE=x": receiver.Whole,
		"_STREAM_ID=7 SYSLOG_IDENTIFIER=lighttpd MESSAGE=x": receiver.OutLine,
		"_TRANSPORT=kernel MESSAGE=x":                       receiver.Whole, "SYSLOG_IDENTIFIER=lighttpd MESSAGE=x": receiver.Whole,
	} {
		p, e := entryOf(t, entry)
		var record receiver.Record
		(&Receiver{kernel: []byte("kernel")}).fill(&record, p, e)
		if program := string(record.Program); record.Framing != want || program != "lighttpd" && program != "kernel" {
			t.Errorf("%s: framing %d, program %q", entry, record.Framing, program)
		}
	}
}
