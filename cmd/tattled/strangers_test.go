package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// What strangers put into their forgeries, so that it is known again in a report.
const (
	forgedUser = "forged-by-a-stranger"
	forgedPort = 47_111
)

// roleMark names the part that a process of this binary plays in TestNobodyIsFramed, as a user of its own.
const roleMark = "TATTLED_TEST_ROLE"

// The users that strangers are: nobody, and the one that web applications run as.
const (
	uidNobody = 65534
	uidWeb    = 33
)

// attackLines are lines about addr that would each lead to a report if they were true: header and message of several services.
func attackLines(addr string, n int) []string {
	stamp := time.Now().Format(time.Stamp)
	id := n%30_000 + 100
	return []string{
		fmt.Sprintf("<38>%s web1 sshd[%d]: Failed password for root from %s port %d ssh2", stamp, id, addr, 1024+id),
		fmt.Sprintf("<38>%s web1 sshd[%d]: Failed password for invalid user %s from %s port %d ssh2", stamp, id, forgedUser, addr, forgedPort),
		fmt.Sprintf("<38>1 %s web1 sshd %d - - Failed password for root from %s port %d ssh2", time.Now().Format(time.RFC3339), id, addr, 1024+id),
		fmt.Sprintf("<38>%s sshd-session[%d]: Failed password for root from %s port %d ssh2", stamp, id, addr, 1024+id),
		fmt.Sprintf("<4>%s web1 kernel: [UFW BLOCK] IN=eth0 OUT= MAC=02:77:00:00:00:01 SRC=%s DST=10.77.0.10 LEN=60 TOS=0x00 PREC=0x00 TTL=52 ID=1 DF PROTO=TCP SPT=%d DPT=%d WINDOW=64240 RES=0x00 SYN URGP=0",
			stamp, addr, forgedPort, 1+n%1000),
		fmt.Sprintf("<20>%s web1 postfix/smtpd[%d]: warning: unknown[%s]: SASL LOGIN authentication failed: UGFzc3dvcmQ6, sasl_username=%s", stamp, id, addr, forgedUser),
		fmt.Sprintf("<22>%s web1 dovecot: imap-login: Disconnected (auth failed, 2 attempts in 12 secs): user=<%s>, method=PLAIN, rip=%s, lip=10.77.0.10, session=<x3A%d>", stamp, forgedUser, addr, n),
		fmt.Sprintf(`<190>%s web1 nginx: %s - - [%s] "GET /.env HTTP/1.1" 404 153 "-" "curl/8.1"`, stamp, addr, time.Now().Format("02/Jan/2006:15:04:05 -0700")),
		fmt.Sprintf("<38>%s %s sshd[%d]: Accepted password for root from %s port %d ssh2", stamp, addr, id, addr, 1024+id),
	}
}

// hidden are the same lines within a harmless record, where only a reader that takes one datagram for several finds them.
func hidden(harmless, addr string, n int) []string {
	lines := attackLines(addr, n)
	return []string{
		harmless + "\n" + lines[n%len(lines)],
		harmless + "\r\n" + lines[n%len(lines)] + "\r\n",
		harmless + "\x00" + lines[n%len(lines)],
		harmless + "\n" + strings.Join(lines, "\n") + "\n",
		harmless + "\n" + strconv.Itoa(len(lines[0])) + " " + lines[0],
		strconv.Itoa(len(lines[0])) + " " + lines[0] + strconv.Itoa(len(lines[1])) + " " + lines[1],
	}
}

// datagrams is the first kind: who sends UDP to every listener that takes it, from wherever he says he is. He names innocents,
// and with each the attacker of the moment; at half time he makes up 5,000 hosts with logs that hold a peer's whole lines.
func (s *street) datagrams() {
	type way struct{ from, to string }
	var conns []net.Conn
	for _, w := range []way{
		{"127.0.0.1", loopback}, {"127.0.0.2", loopback}, {"91.200.0.1", loopback},
		{allowedPeer, allowedUDP}, {"10.77.0.10", allowedUDP}, {"91.200.0.1", allowedUDP}, {"198.51.100.9", allowedUDP},
	} {
		d := net.Dialer{LocalAddr: &net.UDPAddr{IP: net.ParseIP(w.from)}}
		c, err := d.DialContext(s.t.Context(), "udp", w.to)
		if err != nil {
			s.t.Fatal(err)
		}
		s.t.Cleanup(func() { c.Close() })
		conns = append(conns, c)
	}
	send := func(text string) {
		for _, c := range conns {
			_, _ = io.WriteString(c, text) // who does not listen has not been harmed
		}
	}
	half := time.Now().Add(framingTime() / 2)
	s.during(20*time.Millisecond, func(n int) {
		if half.Before(time.Now()) {
			half = half.Add(time.Hour) // once
			for n := range 5000 {
				fmt.Fprintf(conns[n%4], "<187>%s host%d nginx: 2026/11/22 10:00:00 [error] 1#1: *5 open() \"/srv/.env\" failed (2: No such file or directory), client: %s, server: _, request: \"GET /.env HTTP/1.1\"",
					time.Now().Format(time.Stamp), n, s.innocent(n))
			}
		}
		for _, text := range append(attackLines(s.innocent(n/4), n), hidden("<14>app: hello", s.innocent(n/4), n)...) {
			send(text)
		}
		if attacker := s.now(); attacker != "" {
			for i := range 2 {
				send(attackLines(attacker, n+i)[1])
				send(attackLines(attacker, n+i)[4])
			}
		}
	})
}

// localUser is the second kind: a process of another user, with logger(1) and with sockets of his own, and what journald makes
// of what he logs.
func (s *street) localUser() {
	for n := range 200 {
		s.innocent(n)
	}
	s.play("local", uidNobody)
	s.during(100*time.Millisecond, func(n int) {
		s.journalMu.Lock()
		defer s.journalMu.Unlock()
		message := func(id int) string {
			return fmt.Sprintf("MESSAGE=Failed password for invalid user %s from %s port %d ssh2", forgedUser, s.innocent(n/8), 1024+id)
		}
		pid := 100 + n%30_000
		for _, fields := range []string{
			"_TRANSPORT=syslog _COMM=logger _EXE=/usr/bin/logger _SYSTEMD_UNIT=session-3.scope SYSLOG_IDENTIFIER=sshd",
			"_TRANSPORT=stdout _COMM=cat _EXE=/usr/bin/cat _SYSTEMD_UNIT=session-3.scope SYSLOG_IDENTIFIER=sshd",
			"_TRANSPORT=syslog _COMM=sshd _EXE=/home/mallory/sshd _SYSTEMD_UNIT=user@65534.service SYSLOG_IDENTIFIER=sshd",
			"_TRANSPORT=syslog _COMM=sshd _EXE=/usr/sbin/sshd _SYSTEMD_UNIT=session-3.scope SYSLOG_IDENTIFIER=sshd",
			"_TRANSPORT=journal _COMM=sshd-session _SYSTEMD_UNIT=ssh.service SYSLOG_IDENTIFIER=sshd-session",
		} {
			s.journal.entry(fmt.Sprintf("_UID=%d _PID=%d SYSLOG_PID=%d %s", uidNobody, pid, pid, fields), message(pid))
		}
		s.journal.flush()
	})
}

// webClient is the third kind: he sends his text to applications that log it, one of the web's user and one of root, and has
// a browser post lines to the port that takes syslog by TCP.
func (s *street) webClient() {
	s.play("app", uidWeb)
	s.play("app", 0)
	client := &http.Client{Timeout: 5 * time.Second}
	s.t.Cleanup(client.CloseIdleConnections)
	post := func(to, contentType, body string) {
		req, err := http.NewRequestWithContext(s.t.Context(), http.MethodPost, to, strings.NewReader(body))
		if err != nil {
			s.t.Error(err)
			return
		}
		req.Header.Set("Content-Type", contentType)
		if res, err := client.Do(req); err == nil { // the syslog port does not answer, and may hang up at once
			res.Body.Close()
		}
	}
	s.during(50*time.Millisecond, func(n int) {
		texts := append(hidden("bob", s.innocent(n/4), n), hidden("", s.innocent(n/4), n)...)
		texts = append(texts, hidden("bob", s.now(), n)[0])
		for _, uid := range []int{uidWeb, 0} {
			post(fmt.Sprintf("http://127.0.0.1:%d/login", 8000+uid), "application/x-www-form-urlencoded", url.Values{"user": texts}.Encode())
		}
		s.journalMu.Lock() // the application's standard output, which journald splits at each line feed
		for line := range strings.SplitSeq(texts[n%len(texts)], "\n") {
			s.journal.entry("_TRANSPORT=stdout _UID=33 _COMM=python3 _EXE=/usr/bin/python3.11 _SYSTEMD_UNIT=app.service SYSLOG_IDENTIFIER=app", "MESSAGE="+strings.ReplaceAll(line, "\x00", ""))
		}
		s.journal.flush()
		s.journalMu.Unlock()
	})
	s.during(200*time.Millisecond, func(n int) { // curl --data-binary @lines http://127.0.0.1:5514/
		ctx, cancel := context.WithTimeout(s.t.Context(), 2*time.Second)
		defer cancel()
		lines := strings.Join(attackLines(s.innocent(n/2), n), "\n") + "\n"
		cmd := exec.CommandContext(ctx, "curl", "--silent", "--max-time", "1", "--data-binary", "@-", "http://"+loopback+"/")
		cmd.Stdin = strings.NewReader(lines)
		_ = cmd.Run() // it gets no answer
	})
}

// entry appends an entry to the journal: fields separated by spaces, and the message.
func (j *journalWriter) entry(fields, message string) {
	usec := time.Now().UnixMicro()
	text := fmt.Sprintf("__REALTIME_TIMESTAMP=%d\n__MONOTONIC_TIMESTAMP=%d\n_BOOT_ID=0123456789abcdef0123456789abcdef\n"+
		"_MACHINE_ID=fedcba9876543210fedcba9876543210\n_HOSTNAME=web1\nPRIORITY=6\n%s\n%s\n\n", usec, usec%1e12, strings.ReplaceAll(fields, " ", "\n"), message)
	if _, err := j.buf.WriteString(text); err != nil {
		j.t.Errorf("write to the journal: %v", err)
	}
}

// play is what a process of this binary does when roleMark is set: it becomes another user and acts until its standard input ends.
func play(role string) int {
	uid, err := strconv.Atoi(os.Getenv("TATTLED_TEST_UID"))
	if err != nil {
		return 2
	}
	dir := os.Getenv("TATTLED_TEST_DIR")
	if err := become(uid); err != nil {
		fmt.Fprintln(os.Stderr, "become another user:", err)
		return 1
	}
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		defer cancel()
		_, _ = io.Copy(io.Discard, os.Stdin)
	}()
	switch role {
	case "local":
		fmt.Fprintln(os.Stdout, "begun")
		mallory(ctx, dir)
	case "app":
		if err := application(ctx, uid, dir); err != nil {
			fmt.Fprintln(os.Stderr, "application:", err)
			return 1
		}
	}
	return 0
}

func become(uid int) error {
	if uid == 0 {
		return nil
	}
	if err := syscall.Setgroups(nil); err != nil {
		return err
	}
	if err := syscall.Setgid(uid); err != nil {
		return err
	}
	return syscall.Setuid(uid)
}

// mallory writes to everything that this machine's syslog listens on. What he may not open refuses him, which is right.
func mallory(ctx context.Context, dir string) {
	innocent := func(n int) string { return fmt.Sprintf("91.200.%d.%d", n/50%4, 1+n%50) }
	go repeat(ctx, 300*time.Millisecond, func(n int) {
		message := fmt.Sprintf("Failed password for invalid user %s from %s port %d ssh2", forgedUser, innocent(n/6), 1024+n)
		for _, to := range []string{
			"-n 127.0.0.1 -P 5514 -d", "-n 127.0.0.1 -P 5514 -T", "-n 127.0.0.1 -P 5514 -T --octet-count",
			"-n 10.77.0.10 -P 514 -d", "-u " + dir + "/log", "-u " + dir + "/open",
		} {
			args := append(strings.Fields(to), "-p", "auth.info", "-t", "sshd", fmt.Sprintf("--id=%d", 100+n), message)
			_ = exec.CommandContext(ctx, "logger", args...).Run()
		}
	})
	repeat(ctx, 100*time.Millisecond, func(n int) {
		addr := innocent(n / 4)
		lines := attackLines(addr, n)
		for _, text := range append(hidden("<14>app: hello", addr, n), lines...) {
			whisper("udp", loopback, text)
			whisper("udp", allowedUDP, text)
			whisper("unixgram", dir+"/log", text)
			whisper("unixgram", dir+"/open", text)
		}
		whisper("tcp", loopback, strings.Join(lines, "\n")+"\n")
		var counted bytes.Buffer
		for _, line := range lines {
			fmt.Fprintf(&counted, "%d %s", len(line), line)
		}
		whisper("tcp", loopback, counted.String())
	})
}

// whisper sends text by a connection of its own, if it is let.
func whisper(network, to, text string) {
	c, err := net.DialTimeout(network, to, time.Second)
	if err != nil {
		return
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(time.Second))
	_, _ = io.WriteString(c, text)
}

// application is a web application that logs who failed to log in, as libraries do: Python's SysLogHandler (no header, a NUL
// at the end, line feeds as they are) and Go's log/syslog (a header, a line feed at the end). Root's logs to the unix socket
// and with a text of its own before the stranger's, since whoever may write there is believed for whole records; that of the
// web's user logs everywhere, and the stranger's text alone as well.
func application(ctx context.Context, uid int, dir string) error {
	ways := [][2]string{{"unixgram", dir + "/log"}, {"unixgram", dir + "/open"}}
	forms := []func(string) string{
		func(text string) string { return "<12>login failed for " + text + "\x00" },
		func(text string) string {
			return fmt.Sprintf("<12>%s web1 app[7]: login failed for %s\n", time.Now().Format(time.RFC3339), text)
		},
	}
	if uid != 0 {
		ways = append(ways, [2]string{"udp", loopback}, [2]string{"udp", allowedUDP}, [2]string{"tcp", loopback})
		forms = append(forms, func(text string) string { return text + "\x00" })
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /login", func(_ http.ResponseWriter, r *http.Request) {
		if r.ParseForm() != nil {
			return
		}
		for _, text := range r.PostForm["user"] {
			for _, way := range ways {
				for _, form := range forms {
					whisper(way[0], way[1], form(text))
				}
			}
		}
	})
	listener, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", 8000+uid))
	if err != nil {
		return err
	}
	server := &http.Server{Handler: mux, ReadHeaderTimeout: time.Second}
	defer context.AfterFunc(ctx, func() { server.Close() })()
	fmt.Fprintln(os.Stdout, "begun")
	if err := server.Serve(listener); err != http.ErrServerClosed {
		return err
	}
	return nil
}

// The strangers' lines do look like attacks: each of them, on its own and by a way that is trusted, is an event.
func TestForgeriesAreEvents(t *testing.T) {
	for i, line := range attackLines("91.200.0.1", 7) {
		code, out, errOut := invoke(t, line+"\n", "match", "--json", "-")
		if code != 0 || !strings.Contains(out, `"ip":"91.200.0.1"`) {
			t.Errorf("line %d is not matched: exit %d, %s%s\n%s", i, code, out, errOut, line)
		}
	}
}
